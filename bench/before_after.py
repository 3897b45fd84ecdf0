"""This checkout against an earlier commit, in turns on one CPU: ``python -m bench.before_after [COMMIT]``.

The commit is checked out into a temporary worktree; each side has processes and a kernel cache of its own, and the same
program (this one, with its table of workloads) drives both, so only what both can do is compared. Four parts, or those
that ``--only`` names:

    steps    every row of RESULTS.md that fastnn has and that needs no process of its own (``-k`` picks by word)
    cold     import, the first fit of the network of `fastnn train digits`: cached, and what an empty cache adds
    parts    the first use of each optimizer, loss and activation after that fit, less a second use
    command  `fastnn train digits` from start to exit, kernels cached

Prints Markdown: medians before and after, their ratio, and the ratio of the fastest turns, which other work on the
machine disturbs least. ``-o FILE`` keeps all samples as JSON.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.limits import limit_threads

ROOT = Path(__file__).parents[1]
DEFAULT = "799d7cd"  # the last commit before the open table
SIDES = ("before", "after")
PARTS = ("steps", "cold", "parts", "command")
KINDS = ("train", "gradient", "predict", "digits", "tutorial", "estimator", "estimator-predict", "epoch")

# A fit of the network of `fastnn train digits` on numbers of its data's shape; `seconds` is that of the fit alone.
_FIT = """
import json, time
import numpy as np
start = time.perf_counter()
import fastnn
imported = time.perf_counter() - start
rng = np.random.default_rng(0)
X = rng.random((1437, 64), dtype=np.float32)
labels = rng.integers(10, size=1437)
TARGETS = {"categorical_crossentropy": labels, "log_loss": labels % 2, "poisson": labels[:, None] % 4}
OUTPUTS = {"categorical_crossentropy": "softmax", "log_loss": "sigmoid", "poisson": "softplus"}
def seconds(hidden="relu", loss="categorical_crossentropy", optimizer="adam"):
    n_outputs = 10 if loss == "categorical_crossentropy" else 1
    y = TARGETS.get(loss, (labels[:, None] / 10).astype(np.float32))
    output = OUTPUTS.get(loss, "linear")
    network = fastnn.Network.mlp(64, [128, 64], n_outputs, activation=hidden, output=output, seed=0)
    if isinstance(optimizer, tuple):
        optimizer = getattr(fastnn.optimizers, optimizer[0])(**optimizer[1])
    metrics = ["accuracy"] if loss == "categorical_crossentropy" else []
    trainer = fastnn.Trainer(network, loss=loss, optimizer=optimizer, metrics=metrics)
    start = time.perf_counter()
    trainer.fit(X, y, epochs=1, batch_size=32, validation_split=0.2, n_threads=1, seed=0)
    return time.perf_counter() - start
first = seconds()
"""
_COLD = _FIT + 'print(json.dumps({"import": imported, "fit": first, "compile": first - seconds()}))\n'
_FIRST_USES = _FIT.replace("{", "{{").replace("}", "}}") + (
    "print(json.dumps({{name: seconds(**part) - seconds(**part) for name, part in {uses}}}))\n"
)
LOSSES = ("mse", "mae", "huber", "log_loss", "poisson")


@contextlib.contextmanager
def checkout(commit: str):
    """The src folder of that commit, in a worktree that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-before-"))
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder / "src"
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


class Side:
    """One of the two: where its package lies and where its kernels are kept."""

    def __init__(self, source: Path, cache: Path):
        self.source, self.cache = source, cache

    def environment(self, cache: Path | None = None) -> dict[str, str]:
        path = os.pathsep.join([str(self.source), *filter(None, [os.environ.get("PYTHONPATH")])])
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        # With byte code, as installed packages have it: compiling the sources would be a fifth of the import.
        return {**kept, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(cache or self.cache)}

    def run(self, *arguments: str, cache: Path | None = None) -> str:
        """What a new Python process prints."""
        with tempfile.TemporaryDirectory() as folder:  # where this checkout's own folders are not importable
            done = subprocess.run(
                [sys.executable, *arguments], env=self.environment(cache), cwd=folder, capture_output=True, text=True
            )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)[:200]} failed under {self.source}:\n{done.stderr[-3000:]}")
        return done.stdout

    def measure(self, program: str, *arguments: str, cache: Path | None = None) -> dict[str, float]:
        return json.loads(self.run("-c", program, *arguments, cache=cache).splitlines()[-1])

    def in_copy(self, program: str, *arguments: str, empty: bool = False) -> dict[str, float]:
        """The same with a copy of the cache, or an empty one: what is compiled leaves no trace."""
        with tempfile.TemporaryDirectory(prefix="bench-cache-") as folder:
            cache = Path(folder) / "cache"
            if empty:
                cache.mkdir()
            else:
                shutil.copytree(self.cache, cache)
            return self.measure(program, *arguments, cache=cache)


def steps(sides: dict[str, Side], rounds: int, words: list[str]) -> dict[str, dict[str, list[float]]]:
    """Samples of both sides for every workload, in seconds."""
    from bench.catalogue import ALL
    from bench.crew import PeerFailure, Worker
    from bench.measure import Settings, alternate
    from bench.peers import Unsupported

    table = {}
    chosen = [w for w in ALL if w.kind in KINDS and "fastnn" in w.peers]
    chosen = [w for w in chosen if any(word in f"{w.name} {w.kind} {w.section}" for word in words or [""])]
    workers = {}
    for name, side in sides.items():
        os.environ["NUMBA_CACHE_DIR"] = str(side.cache)
        workers[name] = Worker("fastnn", Settings(), str(side.source))
    del os.environ["NUMBA_CACHE_DIR"]
    try:
        for workload in chosen:
            try:
                for worker in workers.values():
                    worker.prepare(workload)
            except Unsupported as reason:
                print(f"{workload.name}: {reason}", file=sys.stderr)
                continue
            turns = rounds if workload.kind not in ("digits", "tutorial", "estimator") else -(-rounds // 3)
            table[workload.name] = alternate({name: worker.sample for name, worker in workers.items()}, turns)
            for worker in workers.values():
                worker.finish()
            print(row(workload.name, table[workload.name]), file=sys.stderr, flush=True)
    except PeerFailure as failure:
        print(f"a process failed, so no more steps:\n{failure}", file=sys.stderr)
    finally:
        for worker in workers.values():
            worker.close()
    return table


def in_turns(sides: dict[str, Side], rounds: int, measure) -> dict[str, dict[str, list[float]]]:
    """``measure(side)`` gives a dict of seconds; the sides take turns."""
    table: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        for name in SIDES if turn % 2 == 0 else SIDES[::-1]:
            for what, seconds in measure(sides[name]).items():
                table.setdefault(what, {side: [] for side in SIDES})[name].append(seconds)
    return table


def cold(sides, rounds):
    """Import and first fit with the kernels cached; compiling into an empty cache, of which a few turns are enough."""

    def cached(side):
        times = side.measure(_COLD)
        return {"import": times["import"], "first fit from the cache": times["fit"]}

    def empty(side):
        return {"first fit, empty cache: compile time": side.in_copy(_COLD, empty=True)["compile"]}

    return in_turns(sides, rounds, cached) | in_turns(sides, min(rounds, 3), empty)


def parts(sides, rounds):
    from bench.peers.fastnn_peer import OPTIMIZERS
    from bench.workloads import ACTIVATIONS

    uses = [(f"first use of {name}", {"optimizer": how}) for name, how in OPTIMIZERS.items() if name != "adam"]
    uses += [(f"first use of {name}", {"loss": name}) for name in LOSSES]
    uses += [(f"first use of {name}", {"hidden": name}) for name in ACTIVATIONS if name != "relu"]

    table: dict[str, dict[str, list[float]]] = {}
    for turn in range(min(rounds, 3)):
        # Parts that share compiled code (SGD with and without momentum) are not the first to use it in every turn.
        first = turn * len(uses) // 3
        program = _FIRST_USES.format(uses=uses[first:] + uses[:first])
        for what, samples in in_turns(sides, 1, lambda side, program=program: side.in_copy(program)).items():
            for name in SIDES:
                table.setdefault(what, {side: [] for side in SIDES})[name] += samples[name]
    return table


def command(sides, rounds):
    def measure(side):
        start = time.perf_counter()
        side.run("-m", "fastnn", "train", "digits")
        return {"fastnn train digits, start to exit": time.perf_counter() - start}

    in_turns(sides, 1, measure)  # kernels that only the command uses
    return in_turns(sides, rounds, measure)


def row(name: str, samples: dict[str, list[float]]) -> str:
    from bench.report import format_value

    before, after = (statistics.median(samples[side]) for side in SIDES)
    shown = [format_value(before), format_value(after)]
    if min(before, after) > 1e-7 and not name.startswith("first use"):
        shown += [f"{after / before:.3f}", f"{min(samples['after']) / min(samples['before']):.3f}"]
    else:  # a difference of two times that are often alike
        shown += ["", ""]
    return "| " + " | ".join([name, *shown]) + " |"


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.before_after", description=__doc__.splitlines()[0])
    parser.add_argument("commit", nargs="?", default=DEFAULT, help=f"the state before (default {DEFAULT})")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part only; may be repeated")
    parser.add_argument(
        "-k", "--keyword", action="append", default=[], help="only steps whose name, kind or section has it"
    )
    parser.add_argument("--rounds", type=int, default=15, help="turns of each side (default 15)")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file for all samples")
    arguments = parser.parse_args(argv)
    limit_threads(1)
    from bench.results import load_average, machine

    if arguments.rounds < 1:
        parser.error(f"--rounds={arguments.rounds}: at least 1")
    chosen, load, tables = arguments.only or PARTS, load_average(), {}
    with checkout(arguments.commit) as old, tempfile.TemporaryDirectory(prefix="bench-caches-") as caches:
        sides = {"before": Side(old, Path(caches) / "before"), "after": Side(ROOT / "src", Path(caches) / "after")}
        for side in sides.values():
            side.measure(_COLD)  # fills its cache
        if "cold" in chosen:
            tables |= cold(sides, arguments.rounds)
        if "parts" in chosen:
            tables |= parts(sides, arguments.rounds)
        if "command" in chosen:
            tables |= command(sides, arguments.rounds)
        if "steps" in chosen:
            tables |= steps(sides, arguments.rounds, arguments.keyword)
    conditions = machine(1)
    print(f"{arguments.commit} and this checkout, {conditions['cpu_model']}, load average {load} at the start\n")
    print("|  | before | after | ratio | fastest turns |\n| --- | ---: | ---: | ---: | ---: |")
    for name, samples in tables.items():
        print(row(name, samples))
    if arguments.output:
        document = {"before": arguments.commit, "machine_info": conditions, "load_average": load, "samples": tables}
        arguments.output.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
