"""What training has to do, and how well it is done: loss and metrics over a data set, in inference mode."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import losses
from fastnn import metrics as metric_functions
from fastnn.common.validation import check_real, read_only
from fastnn.engine.python_loss import make_workspace
from fastnn.engine.team import Team
from fastnn.inputs.data import Data, DataSpec
from fastnn.inputs.sequences import Ragged
from fastnn.kernels import tables
from fastnn.losses import LossFunction, PythonLoss
from fastnn.metrics import Metric, Outputs
from fastnn.model.network import Network


@dataclass(frozen=True)
class Task:
    """Everything but the data and the optimizer that decides what training does.

    Attributes
    ----------
    network : Network
    loss : LossFunction
    metrics : tuple of Metric
    mixup : float
        Alpha of mixup, 0 for none.
    """

    network: Network
    loss: LossFunction
    metrics: tuple[Metric, ...] = ()
    mixup: float = 0.0

    @classmethod
    def of(cls, network: Network, loss: Any, metrics: Any, mixup: Any) -> "Task":
        """Return what a user asks for, checked, or raise ValueError or TypeError."""
        loss, metrics = losses.get(loss), metric_functions.check_metrics(metrics)
        loss.check_outputs(network.plan.output_activation, network.plan.output_units)
        is_multilabel = loss.name == "log_loss" and network.plan.output_units > 1
        metric_functions.check_suited(metrics, network.plan.output_units, is_multilabel)
        mixup = check_real("mixup", mixup, 0.0)
        if mixup and loss.name not in ("categorical_crossentropy", "log_loss"):
            raise ValueError(
                f"mixup must be 0 unless the loss is categorical_crossentropy or log_loss, got {mixup} with {loss.name}"
            )
        return cls(network, loss, metrics, mixup)

    @property
    def data_spec(self) -> DataSpec:
        """What the task asks of data."""
        return DataSpec.of(self.network, self.loss)


_BATCH_ROWS = 128  # a thread
_FIRST_CALL_BATCHES = 32
_PIECE_ROWS = 4096
_WEIGHT, _LOSS = int(tables.Sum.WEIGHT), int(tables.Sum.LOSS)  # members of an enum are slower to find and to use
_NO_MOMENTS = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}


class Evaluation:
    """A network's loss and metrics on one data set; each call of `run` takes the parameters of that moment.

    Parameters
    ----------
    task : Task
        The network, loss and metrics.
    data : Data
    team : Team
        The threads that share the rows.
    call_seconds : float
        About how long one kernel call may last.
    """

    def __init__(self, task: Task, data: Data, team: Team, call_seconds: float = 0.05):
        network, loss = task.network, task.loss
        self._task = task
        self._data = data
        self._call_seconds = call_seconds
        batch_size = _BATCH_ROWS * team.n_threads
        self._workspace = make_workspace(
            loss, network.plan, network.dtype, n_rows=batch_size, team=team, with_gradient=False
        )
        self._workspace.set_data(data.x, data.y, data.lengths)
        self._workspace.set(
            mode=tables.Mode.EVALUATE, n_rows=data.n_rows, batch_size=batch_size,
            wants_metrics=bool(task.metrics), **loss.job_fields(network.plan.output_activation),
        )  # fmt: skip

    def run(self, prefix: str = "") -> dict[str, float]:
        """Return {"loss": ..., metric: ...}, the names behind a prefix."""
        workspace, data, position = self._workspace, self._data, self._workspace.position
        network = self._task.network
        parameters, moments = network.parameter_buffer, _NO_MOMENTS[network.dtype]
        workspace.begin()
        n_rows = data.n_rows
        n_batches = _FIRST_CALL_BATCHES
        while position[0] < n_rows:
            started = time.perf_counter()
            workspace.run(n_batches, parameters, moments, data.order, data.weights)
            seconds = max(time.perf_counter() - started, 1e-9)
            n_batches = max(1, min(2 * n_batches, int(n_batches * self._call_seconds / seconds)))
        return logs_from_sums(workspace.totals(), self._task, data, prefix)


def logs_from_sums(sums: list[float], task: Task, data: Data, prefix: str = "") -> dict[str, float]:
    """Return the loss and the metrics that running sums stand for; metrics that need all predictions get them."""
    weight = max(sums[_WEIGHT], 1e-300)
    logs = {prefix + "loss": sums[_LOSS] / weight}
    if not task.metrics:
        return logs
    means = [total / weight for total in sums]
    outputs = None
    for metric in task.metrics:
        if metric.from_sums is not None:
            logs[prefix + metric.name] = float(metric.from_sums(means))
        elif metric.compute is not None:
            outputs = outputs or _all_outputs(task, data)
            logs[prefix + metric.name] = float(metric.compute(outputs))
    return logs


def _all_outputs(task: Task, data: Data) -> Outputs:
    """Predict all rows of the data; those of a split are gathered in pieces, never all at once."""
    network = task.network
    y, weights = data.y.array, data.weights
    lengths = data.lengths if data.lengths.size else None
    if data.rows is None:
        x = data.x.array
        predictions = network.predict(x, lengths=None if isinstance(x, Ragged) else lengths)
    else:
        rows = data.rows
        predictions = np.empty((rows.size, *network.plan.output_shape), network.dtype)
        for first in range(0, rows.size, _PIECE_ROWS):
            piece = rows[first : first + _PIECE_ROWS]
            part = None if lengths is None else lengths[piece]
            network.predict(data.x.array[piece], out=predictions[first : first + _PIECE_ROWS], lengths=part)
        y, weights = y[rows], weights[rows] if weights.size else weights
        lengths = None if lengths is None else lengths[rows]
    predictions = task.loss.probabilities(predictions)
    if predictions.ndim > 2 and not isinstance(task.loss, PythonLoss):
        y, predictions, weights = _by_steps(task, y, predictions, weights, lengths)
    # The next metric is given the same arrays, so none may write to them.
    is_multilabel = task.loss.name == "log_loss" and network.plan.output_units > 1
    return Outputs(read_only(y), read_only(predictions), read_only(weights) if weights.size else None, is_multilabel)


def _by_steps(
    task: Task, y: Any, predictions: np.ndarray, weights: np.ndarray, lengths: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a row for each position of the outputs that counts, as a loss takes them: targets, outputs, weights."""
    plan, n = task.network.plan, len(predictions)
    positions = plan.output_positions
    y = y[:] if isinstance(y, Ragged) else y
    y = y.reshape(n, positions, -1) if y.dtype != np.int64 or y.shape[1] != positions else y
    if weights.ndim == 1 and weights.size:
        weights = np.repeat(weights, positions).reshape(n, positions)
    counts = np.ones((n, positions), np.bool_)
    if lengths is not None and plan.output_steps:
        counts = np.arange(positions) // (positions // plan.output_steps) < lengths[:, np.newaxis]
    predictions = predictions.reshape(n, positions, -1)
    return y[counts], predictions[counts], weights[counts] if weights.size else weights
