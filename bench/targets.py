"""The figures that issues ask for, each with the way it is read off a results table."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Table
from bench.workloads import CALLBACKS, FEATURES, OPTIMIZERS


@dataclass(frozen=True)
class Target:
    text: str
    value: Callable[[Table], float | None]
    must: float
    aim: float
    unit: str = ""
    more: bool = False  # is more better?

    def verdict(self, table: Table) -> tuple[float | None, str]:
        value = self.value(table)
        if value is None:
            return None, "not measured"
        reached = [value >= limit if self.more else value <= limit for limit in (self.must, self.aim)]
        return value, "aim" if reached[1] else "must" if reached[0] else "MISSED"


def ratio(above: tuple[str, str], below: tuple[str, str], scale: float = 1.0):
    """Median of one (workload, peer) over that of another."""

    def value(table):
        a, b = table.median(*above), table.median(*below)
        return None if a is None or b is None else scale * a / b

    return value


def faster(workload, peer, must, aim):
    """How many times fastnn is faster than the peer."""
    return Target(
        f"{workload} against {peer}", ratio((workload, peer), (workload, "fastnn")), must, aim, "x", more=True
    )


def over_gemm(workload, must=1.35, aim=1.15):
    return Target(
        f"{workload} over its bare GEMM time", ratio((workload, "fastnn"), (workload, "gemm")), must, aim, "x"
    )


def against(text, workload, base, must, aim):
    """fastnn's time on one workload over fastnn's on another."""
    return Target(text, ratio((workload, "fastnn"), (base, "fastnn")), must, aim, "x")


def absolute(workload, must, aim, unit="us", scale=1e6):
    def value(table):
        median = table.median(workload)
        return None if median is None else scale * median

    return Target(workload, value, must, aim, unit)


def _callback_cost(name):
    """Microseconds an epoch that a callback adds."""

    def value(table):
        with_it, without = table.median(f"{TINY}, {name}"), table.median(TINY)
        return None if with_it is None or without is None else 1e6 * (with_it - without)

    return Target(f"{name}, an epoch", value, 20, 5, "us")


def _import_beyond_numba(table):
    own, numba = table.median("import"), table.median("import", "numba")
    return None if own is None or numba is None else own - numba


def _memory_beyond(table):
    """MB beyond 4 x parameters + workspace; the workspace is counted as activations and deltas of one batch."""
    entry = table.entries.get(("memory of a fit", "fastnn"))
    if entry is None:
        return None
    workspace = 2 * 4 * 128 * (784 + 512 + 512 + 10)
    return 1e-6 * (entry["stats"]["median"] - 4 * entry["extra_info"]["parameter_bytes"] - workspace)


SMOOTH = ("tanh", "sigmoid", "elu", "gelu", "silu", "mish")
BASE = "64-64-10/32"

ISSUE_4 = [
    *(over_gemm(w) for w in (BASE, "64-64-10/256", "64-256-10/32", "784-256-10/128", "784-512-512-10/128")),
    over_gemm("784-32-32-10/16", 1.5, 1.3),
    *(against(f"{a} against relu, {BASE}", f"{BASE} {a}", f"{BASE} relu", 1.4, 1.2) for a in SMOOTH),
    *(
        faster(workload, "jax", must, aim)
        for workload, must, aim in (
            (BASE, 2.8, 3.5), ("64-64-10/256", 2.4, 3), ("64-256-10/32", 2.0, 2.5), ("784-32-32-10/16", 2.2, 3),
            ("784-256-10/128", 1.1, 1.25), ("784-512-512-10/128", 1.05, 1.15),
        )
    ),
    faster(BASE, "torch", 25, 35),
    faster(BASE, "keras-fit", 200, 300),
    faster(BASE, "sklearn", 15, 20),
    faster(BASE, "numpy", 6, 7.5),
    faster("64-64-10/256", "numpy", 2, 2.6),
    faster("64-256-10/32", "numpy", 3, 3.7),
    faster("tutorial, 1000 epochs", "numpy", 6, 9),
    absolute("24-8-2 loss and gradient", 6, 3.5),
    absolute("predict 64-64-10, 1 row", 5, 2.5),
    Target("import fastnn beyond numba's own import", _import_beyond_numba, 0.15, 0.05, "s"),
    absolute("first fit, warm cache", 0.6, 0.3, "s", 1),
    absolute("first fit, empty cache", 20, 8, "s", 1),
    Target("memory of a fit beyond 4 x parameters + workspace", _memory_beyond, 10, 10, "MB"),
]  # fmt: skip

TINY = "epoch of one tiny step"

ISSUE_5 = [
    *(against(f"{o} against adam, {BASE}", f"{BASE} {o}", f"{BASE} adam", 1.3, 1.3) for o in OPTIMIZERS),
    *(against(f"{f} against none, {BASE}", f"{BASE} {f}", BASE, 1.3, 1.3) for f in ("Dropout", *FEATURES)),
    *(
        against(f"{n} against none, {BASE}", f"{BASE} {n}", BASE, 1.6, 1.6)
        for n in ("LayerNormalization", "BatchNormalization")
    ),
    absolute(TINY, 25, 12),
    *(_callback_cost(name) for name in CALLBACKS),
]  # fmt: skip

ISSUE_6 = [
    *(
        faster(f"MLPClassifier {data}/{kind}", "sklearn", must, aim)
        for data in ("digits", "20000x16x26")
        for kind, must, aim in (("200 float32", 4, 6), ("200 float64", 3, 3), ("32 float32", 12, 18))
    ),
    faster("MLPClassifier.predict, 1 row", "sklearn", 8, 20),
    faster("MLPClassifier.predict, 100000 rows", "sklearn", 1.5, 1.5),
]

MANY = "64 networks"  # a workload of threads.py


def _slowest_choice(table):
    """One thread's time over that of n_threads=None, where it is least."""
    ratios = [
        table.median(w, "one") / table.median(w, "none") for w in table.workloads("threads") if table.median(w, "none")
    ]
    return min(ratios, default=None)


CUT = ("784-512-512-10/128", "64-256-10/256")  # what several threads have to gain by

# Read off what threads.py measured; "one", "all" and "none" are values of n_threads.
ISSUE_7 = [
    *(Target(f"{w}, all threads against 1", ratio((w, "one"), (w, "all")), 1.6, 1.85, "x", more=True) for w in CUT),
    Target("n_threads=None against 1, the slowest workload", _slowest_choice, 0.97, 0.97, "x", more=True),
    *(
        faster(f"{w}, all threads", peer, must, must)
        for w in CUT
        for peer, must in (("torch", 1.3), ("torch-compile", 1.3), ("jax", 1.15))
    ),
    Target(f"{MANY}, fit_many against fits one after the other", ratio((MANY, "alone"), (MANY, "all")), 1.9, 1.9, "x",
           more=True),
    Target(f"{MANY}, fit_many in one thread against fits alone", ratio((MANY, "one"), (MANY, "alone")), 1.0, 1.0, "x"),
]  # fmt: skip

TARGETS = {4: ISSUE_4, 5: ISSUE_5, 6: ISSUE_6}  # and those of bench.stacks.targets
