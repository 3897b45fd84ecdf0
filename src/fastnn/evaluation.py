"""Loss and metrics over a data set, in inference mode, as often as they are wanted."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fastnn import metrics as metric_functions
from fastnn.data import Data
from fastnn.engine import Workspace
from fastnn.kernels import tables
from fastnn.losses import LossFunction
from fastnn.team import Team

if TYPE_CHECKING:
    from fastnn.network import Network

_BATCH_ROWS = 128  # a thread
_FIRST_CALL_BATCHES = 32
_NO_MOMENTS = {np.dtype(name): np.empty(0, name) for name in ("float32", "float64")}


class Evaluation:
    """A network's loss and metrics on one data set; each call of `run` takes the parameters of that moment.

    Parameters
    ----------
    network : Network
    loss : LossFunction
    metrics : sequence of str
    data : Data
    team : Team
        The threads that share the rows.
    call_seconds : float
        About how long one kernel call may last.
    """

    def __init__(
        self,
        network: "Network",
        loss: LossFunction,
        metrics: Sequence[str],
        data: Data,
        team: Team,
        call_seconds: float = 0.05,
    ):
        self._network = network
        self._metrics = metrics
        self._data = data
        self._call_seconds = call_seconds
        batch_size = _BATCH_ROWS * team.n_threads
        self._workspace = Workspace(network.plan, network.dtype, n_rows=batch_size, team=team, with_gradient=False)
        self._workspace.set_data(data.x, data.y)
        self._workspace.set(
            mode=tables.Mode.EVALUATE, n_rows=data.n_rows, batch_size=batch_size,
            wants_metrics=bool(metrics), **loss.job_fields(network.plan.output_activation),
        )  # fmt: skip
        self._position = self._workspace.jobs["position"]

    def run(self, prefix: str = "") -> dict[str, float]:
        """Return {"loss": ..., metric: ...}, the names behind a prefix."""
        workspace, data, position = self._workspace, self._data, self._position
        parameters, moments = self._network.parameter_buffer, _NO_MOMENTS[self._network.dtype]
        workspace.sums.fill(0.0)
        position.fill(0)
        n_rows = data.n_rows
        n_batches = _FIRST_CALL_BATCHES
        while position[0] < n_rows:
            started = time.perf_counter()
            workspace.run(n_batches, parameters, moments, data.order, data.weights)
            seconds = max(time.perf_counter() - started, 1e-9)
            n_batches = max(1, min(2 * n_batches, int(n_batches * self._call_seconds / seconds)))
        return logs_from_sums(workspace.totals(), self._network, self._metrics, data, prefix)


def logs_from_sums(
    sums: np.ndarray, network: "Network", metrics: Sequence[str], data: Data, prefix: str = ""
) -> dict[str, float]:
    """Return the loss and the metrics that running sums stand for; metrics that need all predictions get them."""
    means = sums / max(sums[tables.Sum.WEIGHT], 1e-300)
    logs = {prefix + "loss": float(means[tables.Sum.LOSS])}
    outputs = None
    for name in metrics:
        if name in metric_functions.FROM_SUMS:
            logs[prefix + name] = float(metric_functions.FROM_SUMS[name](means))
        else:
            if outputs is None:
                outputs = _outputs(network, data)
            logs[prefix + name] = float(metric_functions.FROM_PREDICTIONS[name](*outputs))
    return logs


def _outputs(network: "Network", data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return targets, predictions and weights of all rows, for metrics that need them at once."""
    chosen = slice(None) if data.rows is None else data.rows
    weights = data.weights[chosen] if data.weights.size else None
    return data.y.array[chosen], network.predict(data.x.array[chosen]), weights
