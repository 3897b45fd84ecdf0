"""`fastnn bench`: the time of a training step here, against plain NumPy and scikit-learn, in under two minutes.

The peers take turns in one process, each held to one thread, on the same data with the same batches and optimizer;
medians over the turns are compared. The whole suite, with every peer, is in the repository's `bench/`.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A network and how it is trained; the names are those of `fastnn.Network` and `fastnn.Trainer`."""

    sizes: tuple[int, ...]
    batch: int
    n_rows: int = 2048
    hidden: str = "relu"
    optimizer: str = "adam"
    loss: str = "categorical_crossentropy"
    dtype: str = "float32"

    def __str__(self) -> str:
        extra = "" if self.dtype == "float32" else f" {self.dtype}"
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}{extra}"

    @property
    def n_steps(self) -> int:
        """Steps of one epoch."""
        return self.n_rows // self.batch


WORKLOADS = (
    Workload((64, 64, 10), 32),
    Workload((64, 64, 10), 256),
    Workload((64, 256, 10), 32),
    Workload((784, 32, 32, 10), 16),
    Workload((784, 256, 10), 128),
    Workload((784, 512, 512, 10), 128),
    Workload((64, 64, 10), 32, dtype="float64"),
)

PEERS = ("fastnn", "NumPy", "scikit-learn")


@dataclass(frozen=True)
class Result:
    """One workload's times.

    Attributes
    ----------
    workload : Workload
    samples : dict of str to list of float
        Seconds a training step, one number a turn, for each of `PEERS`.
    """

    workload: Workload
    samples: dict[str, list[float]]

    def median(self, peer: str) -> float:
        """Return the median time of a step in seconds."""
        return statistics.median(self.samples[peer])

    def ratio(self, peer: str) -> float:
        """Return how many times as long as fastnn a peer takes."""
        return self.median(peer) / self.median("fastnn")


def _make_data(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    X = generator.random((workload.n_rows, workload.sizes[0])).astype(workload.dtype)
    return X, generator.integers(0, workload.sizes[-1], workload.n_rows)


def _fastnn(workload: Workload, X: np.ndarray, y: np.ndarray) -> Callable[[int], object]:
    from fastnn.model.network import Network
    from fastnn.training.trainer import Trainer

    *hidden, n_outputs = workload.sizes[1:]
    network = Network.mlp(
        workload.sizes[0], hidden, n_outputs, activation=workload.hidden, output="softmax", dtype=workload.dtype, seed=0
    )
    trainer = Trainer(network, loss=workload.loss, optimizer=workload.optimizer)
    return lambda n: trainer.fit(X, y, epochs=n, batch_size=workload.batch, n_threads=1)


def _numpy(workload: Workload, X: np.ndarray, y: np.ndarray) -> Callable[[int], object]:
    from fastnn.benchmark.numpy_baseline import Network
    from fastnn.model.network import Network as Fastnn

    baseline = Network(workload, (X, y), workload.batch)
    baseline.reset(Fastnn.mlp(workload.sizes[0], workload.sizes[1:-1], workload.sizes[-1], seed=0).get_weights())
    return baseline.train


def _sklearn(workload: Workload, X: np.ndarray, y: np.ndarray) -> Callable[[int], object]:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        workload.sizes[1:-1], activation=workload.hidden, solver=workload.optimizer, alpha=0.0,
        batch_size=workload.batch, n_iter_no_change=10**9, warm_start=True, random_state=0,
    )  # fmt: skip
    return lambda n: model.set_params(max_iter=n).fit(X, y)


_BUILDERS = {"fastnn": _fastnn, "NumPy": _numpy, "scikit-learn": _sklearn}


def measure(workload: Workload, *, turns: int = 7, seconds: float = 0.1) -> Result:
    """Time the training steps of all peers in turn.

    Parameters
    ----------
    workload : Workload
        What to train.
    turns : int, default 7
        How often each peer comes.
    seconds : float, default 0.1
        How long a peer works at least in one turn.

    Returns
    -------
    Result

    Examples
    --------
    >>> from fastnn.benchmark import Workload, measure
    >>> result = measure(Workload((4, 8, 3), 16, n_rows=64), turns=1, seconds=0.001)
    >>> sorted(result.samples)
    ['NumPy', 'fastnn', 'scikit-learn']
    """
    # NumPy and SciPy each bring a BLAS; both have to be loaded before they can be limited.
    import scipy.linalg  # noqa: F401
    from sklearn import config_context
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    X, y = _make_data(workload)
    samples: dict[str, list[float]] = {peer: [] for peer in PEERS}
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        stack.enter_context(config_context(assume_finite=True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's word for max_iter reached
        actions = {peer: _timed(_BUILDERS[peer](workload, X, y), workload.n_steps, seconds) for peer in PEERS}
        for turn in range(turns):
            first = turn % len(PEERS)
            for peer in PEERS[first:] + PEERS[:first]:
                samples[peer].append(actions[peer]())
    return Result(workload, samples)


def _timed(train: Callable[[int], object], n_steps: int, seconds: float) -> Callable[[], float]:
    """Return an action that trains for at least `seconds` and returns the seconds of one step."""

    def elapsed(n_epochs: int) -> float:
        started = time.perf_counter()
        train(n_epochs)
        return time.perf_counter() - started

    elapsed(1)  # compiles, fills caches
    n_epochs = max(1, round(seconds / elapsed(1)))
    return lambda: elapsed(n_epochs) / (n_epochs * n_steps)


def as_json(results: Sequence[Result], machine: dict[str, Any]) -> dict[str, Any]:
    """Return results as JSON types: the machine, and every sample in seconds."""
    return {
        "machine": machine,
        "unit": "seconds per training step",
        "workloads": [{**asdict(r.workload), "name": str(r.workload), "samples": r.samples} for r in results],
    }


def draw(results: Sequence[Result], path: str, machine: str) -> None:
    """Save a chart of the times to an image file (needs matplotlib).

    Parameters
    ----------
    results : sequence of Result
        What to show, a group of bars each.
    path : str
        The image; its suffix chooses the format.
    machine : str
        The title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1 + 0.7 * len(results)), layout="constrained")
    axes = figure.subplots()
    for i, (peer, color) in enumerate(zip(PEERS, ("#D55E00", "#000000", "#E69F00"), strict=True)):
        times = [result.median(peer) * 1e6 for result in results]
        bars = axes.barh(np.arange(len(results)) + (i - 1) * 0.27, times, height=0.25, color=color, label=peer)
        axes.bar_label(bars, [f"{t:,.0f}" for t in times], padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds a training step, logarithmic: shorter is better")
    axes.set_yticks(range(len(results)), [str(result.workload) for result in results])
    axes.invert_yaxis()
    axes.margins(x=0.2)
    axes.set_title(machine, fontsize=9)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
