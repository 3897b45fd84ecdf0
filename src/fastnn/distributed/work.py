"""What runs on workers: shards are made and trained, their vectors averaged, chunks evaluated.

Every function here is pure: from the same arguments it makes the same bits, on any worker, as often as Dask wants.
"""

import math
import pickle
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.callbacks import Callback
from fastnn.common.validation import as_array, as_sample_weight, is_sparse
from fastnn.distributed import carrier
from fastnn.distributed.tree import fold
from fastnn.inputs.data import DataSpec, check_data
from fastnn.metrics import Metric, Outputs, check_metrics

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it are far apart
_PIECE_ROWS = 4096  # that many are predicted in one thread
_received: dict[str, tuple[float, int]] = {}  # by worker: when its last counted transfer ended, bytes
_counting = threading.Lock()
STOPPED: set[str] = set()  # fits whose client asked this process to stop


class Shard(NamedTuple):
    """Checked data of some chunks. A tuple, so that Dask sees the size of its arrays."""

    rows: int
    weight: float
    X: Any
    y: Any
    sample_weight: np.ndarray | None


class Report(NamedTuple):
    """What a trained shard says beside its vector."""

    shard: int
    seconds: float
    rows: int
    steps: int
    weight: float
    logs: dict[str, float]
    worker: str
    received: int  # bytes that the worker got from others since it started
    problem: str  # why there is no vector


class Part(NamedTuple):
    """An average over some shards."""

    vector: carrier.Vector | None  # None: of no row, or something went wrong
    rows: int
    reports: tuple[Report, ...]


# --- data -----------------------------------------------------------------------------------------------------------


def check_chunk(
    spec: DataSpec, number: int, X: Any, y: Any, weights: Any, prefix: str = ""
) -> tuple[Any, Any, Any] | None:
    """Return one chunk in forms that `fit` takes without converting, None if it has no row; errors name it."""
    where = f"(chunk {number})"
    names = (f"{prefix}X {where}", f"{prefix}y {where}", f"{prefix}sample_weight {where}")
    X = X if is_sparse(X) else as_array(names[0], X)
    y = as_array(names[1], y)
    if X.ndim and X.shape[0] == 0 and y.ndim and y.shape[0] == 0:
        return None
    data = check_data(spec, X, y, None, names)
    if weights is not None:
        weights = as_array(names[2], weights)
        # Rows without weight are nothing unusual in a chunk; all that is asked of them is their number.
        weights = as_sample_weight(weights, data.n_rows, names[2]) if weights.any() else np.zeros(data.n_rows)
    return data.x.array, data.y.array, weights


def make_shard(
    spec: DataSpec, first: int, xs: Sequence[Any], ys: Sequence[Any], weights: Sequence[Any], prefix: str = ""
) -> Shard:
    """Return the chunks from number `first` on as one shard; a single chunk is not copied."""
    chunks = [
        check_chunk(spec, first + i, X, y, w, prefix)
        for i, (X, y, w) in enumerate(zip(xs, ys, weights or [None] * len(xs), strict=True))
    ]
    found = [chunk for chunk in chunks if chunk is not None]
    if not found:
        return Shard(0, 0.0, None, None, None)
    X, y = _joined([chunk[0] for chunk in found]), _joined([chunk[1] for chunk in found])
    w = _joined([chunk[2] for chunk in found]) if weights else None
    total = float(X.shape[0]) if w is None else math.fsum(w)
    return Shard(X.shape[0] if total else 0, total, X, y, w)


def _joined(arrays: list[Any]) -> Any:
    if len(arrays) == 1:
        return arrays[0]
    if any(is_sparse(array) for array in arrays):
        from scipy import sparse

        return sparse.vstack(arrays, format="csr")
    return np.concatenate(arrays)


def describe(shard: Shard) -> tuple[int, str, int]:
    """Return how many rows a shard has, where it lies, and what that worker has received so far."""
    return shard.rows, *_here()


# --- training -------------------------------------------------------------------------------------------------------


def open_start(blob: bytes) -> Any:
    """Return what a fit or a round starts from, as it travelled."""
    return pickle.loads(blob)


def shard_seed(seed: int, shard: int) -> int:
    """Return a shard's own seed; the first has the trainer's.

    Examples
    --------
    >>> from fastnn.distributed.work import shard_seed
    >>> shard_seed(7, 0), shard_seed(7, 1) != shard_seed(7, 2)
    (7, True)
    """
    return (seed + shard * _GOLDEN) % 2**63 if shard else seed


class Watch(Callback):
    """Ends a shard's training where the client has given up the fit."""

    def __init__(self, fit_id: str):
        self._fit_id = fit_id

    def on_progress(self, rows_done: int, n_rows: int) -> None:
        if self._fit_id in STOPPED:
            self.trainer.stop()


def share_of(shard: Shard, turn: int, parts: int) -> Shard:
    """Return every `parts`-th row of a shard, from a first one that goes on with each turn; few rows are all taken.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.distributed.work import Shard, share_of
    >>> shard = Shard(5, 5.0, np.zeros((5, 1)), np.arange(5), None)
    >>> share_of(shard, 2, 2).y, share_of(shard, 3, 2).y, share_of(shard, 3, 9).y
    (array([0, 2, 4]), array([1, 3]), array([0, 1, 2, 3, 4]))
    """
    if parts == 1 or shard.rows < parts:
        return shard
    rows = slice(turn % parts, None, parts)
    weights = None if shard.sample_weight is None else shard.sample_weight[rows]
    X, y = shard.X[rows], shard.y[rows]
    total = float(X.shape[0]) if weights is None else math.fsum(weights)
    return Shard(X.shape[0], total, X, y, weights) if total else shard


def train(
    start: carrier.Start, now: carrier.Now, fit_id: str, first: int, options: dict[str, Any], shards: Sequence[Shard]
) -> Part:
    """Train shards from number `first` on, one after the other, each from what `now` holds, and average them."""
    check_version(start.version)
    try:
        trainer = start.idle.pop()
    except IndexError:
        trainer = carrier.trainer_of(start)
    part = fold(
        first, first + len(shards), lambda i: _train_shard(trainer, now, fit_id, i, options, shards[i - first]), merge
    )
    start.idle.append(trainer)
    return part


def _train_shard(
    trainer: Any, now: carrier.Now, fit_id: str, number: int, options: dict[str, Any], shard: Shard
) -> Part:
    if not shard.rows:
        return Part(None, 0, ())
    began = time.perf_counter()
    fit_options = {name: value for name, value in options.items() if name != "parts"}
    state = now.state
    shard = share_of(shard, state["epochs_done"], options["parts"])
    carrier.begin(trainer, now, seed=shard_seed(state["seed"], number))
    problem = ""
    try:
        trainer.fit(
            shard.X, shard.y, sample_weight=shard.sample_weight, callbacks=[Watch(fit_id)], n_threads=1, **fit_options
        )
    except FloatingPointError as error:
        problem = str(error)
    except (ValueError, TypeError) as error:
        raise type(error)(f"shard {number}: {error}") from error
    if trainer.stop_training:
        problem = "stopped"
    logs = {name: values[-1] for name, values in trainer.history.history.items() if values}
    vector = None if problem else carrier.change_of(trainer, now)
    report = Report(
        number, time.perf_counter() - began, shard.rows, trainer.step - state["step"], shard.weight, logs,
        *_here(), problem,
    )  # fmt: skip
    return Part(vector, shard.rows, (report,))


def merge(left: Part, right: Part) -> Part:
    """Return the average of two parts, weighted by rows; nothing is changed in place, for Dask may ask again."""
    reports, rows = left.reports + right.reports, left.rows + right.rows
    if left.rows == 0 or right.rows == 0:
        return Part(left.vector if left.rows else right.vector, rows, reports)
    if left.vector is None or right.vector is None:
        return Part(None, rows, reports)
    return Part(carrier.mean_of(left.vector, right.vector, right.rows / rows), rows, reports)


def merge_here(left: Part, right: Part) -> Part:
    """Return `merge`, with what this worker has received by now."""
    part = merge(left, right)
    worker, received = _here()
    if not part.reports:
        return part
    note = Report(-1, 0.0, 0, 0, 0.0, {}, worker, received, "")
    return Part(part.vector, part.rows, (*part.reports, note))


def _here() -> tuple[str, int]:
    """Return this worker's address, and how many bytes it got from other workers so far."""
    from distributed import get_worker

    worker = get_worker()
    with _counting:
        seen, total = _received.get(worker.address, (0.0, 0))
        new = []
        for entry in reversed(worker.transfer_incoming_log):
            if entry["stop"] <= seen:
                break
            new.append(entry)
        if new:
            _received[worker.address] = (new[0]["stop"], total + sum(entry["total"] for entry in new))
        return worker.address, _received.get(worker.address, (0.0, 0))[1]


def stop_here(fit_id: str) -> None:
    """Have all training of a fit in this process end within some 50 ms."""
    STOPPED.add(fit_id)


def check_version(version: str) -> None:
    """Raise RuntimeError unless this worker has the client's fastnn: other versions may give other bits."""
    from fastnn import __version__

    if __version__ != version:
        raise RuntimeError(
            f"workers must have the client's version of fastnn: the worker at {_here()[0]} has {__version__}, "
            f"the client {version}"
        )


# --- evaluation -----------------------------------------------------------------------------------------------------


def summable(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """Return the metrics whose means over chunks make the mean over all: rmse by its square."""
    names = ["mse" if metric.name == "rmse" else metric.name for metric in metrics if metric.from_sums is not None]
    return check_metrics(list(dict.fromkeys(names)))


def means(
    metrics: Sequence[Metric], weighted: Sequence[tuple[float, dict[str, float]]], prefix: str = ""
) -> dict[str, float]:
    """Return loss and metrics from (weight, means by name) of several sets of rows, summed exactly."""
    total = math.fsum(weight for weight, _ in weighted)
    names = ["loss", *(metric.name for metric in metrics if metric.from_sums is not None)]
    logs = {}
    for name in names:
        if name == "rmse":
            squares = [
                weight * (values["mse"] if "mse" in values else values["rmse"] ** 2) for weight, values in weighted
            ]
            logs[prefix + name] = math.sqrt(math.fsum(squares) / total)
        elif len(weighted) == 1:
            logs[prefix + name] = weighted[0][1][name]
        else:
            logs[prefix + name] = math.fsum(weight * values[name] for weight, values in weighted) / total
    return logs


class Evaluated(NamedTuple):
    """Means over one chunk, and what metrics that take all rows at once need."""

    weight: float
    means: dict[str, float]
    outputs: tuple[Any, Any, Any] | None


def evaluate_chunk(start: carrier.Start, spec: DataSpec, number: int, X: Any, y: Any, weights: Any) -> Evaluated:
    """Return loss and metrics of one chunk."""
    check_version(start.version)
    checked = check_chunk(spec, number, X, y, weights)
    if checked is None:
        return Evaluated(0.0, {}, None)
    X, y, weights = checked
    return _evaluate(start, None, X, y, weights)


def evaluate_shard(start: carrier.Start, now: carrier.Now, shard: Shard) -> Evaluated:
    """Return loss and metrics of a shard."""
    return _evaluate(start, now, shard.X, shard.y, shard.sample_weight) if shard.rows else Evaluated(0.0, {}, None)


def _evaluate(start: carrier.Start, now: carrier.Now | None, X: Any, y: Any, weights: Any) -> Evaluated:
    weight = float(X.shape[0]) if weights is None else math.fsum(weights)
    if not weight:
        return Evaluated(0.0, {}, None)
    trainer = carrier.trainer_of(start, summable(start.metrics))
    if now is not None:
        carrier.begin(trainer, now)
    values = carrier.evaluate_alone(trainer, X, y, weights)
    outputs = None
    if any(metric.from_sums is None for metric in start.metrics):
        outputs = (y, predict_rows(trainer.network, X), weights)
    return Evaluated(weight, values, outputs)


def total_up(start: carrier.Start, parts: Sequence[Evaluated], prefix: str = "") -> dict[str, float]:
    """Return loss and metrics over all chunks."""
    parts = [part for part in parts if part.weight]
    if not parts:
        raise ValueError("X must have at least one sample that weighs something, got none")
    logs = means(start.metrics, [(part.weight, part.means) for part in parts], prefix)
    if all(part.outputs is None for part in parts):
        return logs
    columns = list(zip(*(part.outputs for part in parts if part.outputs is not None), strict=True))
    weights = None if columns[2][0] is None else np.concatenate(columns[2])
    is_multilabel = start.loss.name == "log_loss" and start.network.n_outputs > 1
    outputs = Outputs(np.concatenate(columns[0]), np.concatenate(columns[1]), weights, is_multilabel)
    for metric in start.metrics:
        if metric.compute is not None and metric.from_sums is None:
            logs[prefix + metric.name] = float(metric.compute(outputs))
    return {prefix + name: logs[prefix + name] for name in ("loss", *(metric.name for metric in start.metrics))}


def predict_rows(network: Any, X: Any) -> np.ndarray:
    """Return a network's outputs, in the one thread that Dask gave this task."""
    X = X if is_sparse(X) else as_array("X", X)
    out = np.empty((X.shape[0], network.n_outputs), network.dtype)
    for first in range(0, X.shape[0], _PIECE_ROWS):
        network.predict(X[first : first + _PIECE_ROWS], out=out[first : first + _PIECE_ROWS])
    return out
