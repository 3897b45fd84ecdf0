"""The one way of measuring: peers take turns on the same CPU, and medians over the turns are compared.

A measured action returns its own seconds per unit (step, call, fit), so that preparing it stays outside its time.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    threads: int = 1
    rounds: int = 9  # turns of each peer, for what is short
    slow_rounds: int = 5  # for whole fits
    process_rounds: int = 3  # for what needs a fresh process each time
    seconds: float = 0.05  # how long a peer works at least in one turn; a fit of one epoch may last longer

    def rounds_for(self, kind: str) -> int:
        if kind in ("import", "first-fit", "first-fit-empty", "stack-first-fit-empty", "memory"):
            return self.process_rounds
        if kind in ("agreement", "stack-agreement"):
            return 1
        return self.slow_rounds if kind in ("digits", "tutorial", "estimator") else self.rounds


QUICK = {"rounds": 3, "slow_rounds": 1, "process_rounds": 1, "seconds": 0.01}
ONCE = {"rounds": 1, "slow_rounds": 1, "process_rounds": 1, "seconds": 0.0}


@dataclass
class Measurement:
    """All peers of one workload: samples in seconds per unit, why the others are missing, and remarks."""

    workload: object
    threads: int
    samples: dict[str, list[float]]
    skipped: dict[str, str]
    extra: dict[str, dict] = field(default_factory=dict)  # per peer, for extra_info

    def median(self, peer: str) -> float:
        return statistics.median(self.samples[peer])


def alternate(actions: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all actions in turn, ``rounds`` times: A B C, B C A, C A B, ..., so that no peer has a fixed neighbour."""
    names = list(actions)
    samples: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            first = turn % len(names) if names else 0
            for name in names[first:] + names[:first]:
                samples[name].append(actions[name]())
    finally:
        if collecting:
            gc.enable()
    return samples


def repeated(run: Callable[[int], object], units: int, seconds: float) -> tuple[Callable[[], float], int]:
    """An action that calls ``run(n)`` with n chosen to last at least ``seconds``, and n.

    ``run`` is warmed up first (compilation, caches). ``units`` are the steps or calls that ``run(1)`` stands for.
    """

    def elapsed(n: int) -> float:
        start = time.perf_counter()
        run(n)
        return time.perf_counter() - start

    run(1)
    run(2)  # some peers compile once more, or take another path, when asked for several
    n = 1
    while (once := elapsed(n)) < seconds:
        n = max(n + 1, min(10 * n, math.ceil(1.1 * n * seconds / max(once, 1e-9))))
    return lambda: elapsed(n) / (n * units), n


def quartile_range(samples: list[float]) -> float:
    """Interquartile range, 0 for a single sample."""
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return high - low
