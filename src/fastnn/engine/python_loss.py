"""The slower path: losses that are Python functions, between two kernel calls a step."""

from typing import Any

import numpy as np

from fastnn.common.validation import check_real, read_only
from fastnn.engine.layout import Plan
from fastnn.engine.rows import Rows, source_of
from fastnn.engine.workspace import Workspace
from fastnn.kernels import tables
from fastnn.kernels.sources import SCATTERS
from fastnn.losses import Compiled, LossFunction, PythonLoss, get
from fastnn.metrics import count_sums

_NO_ROWS = np.empty(0, np.int64)
_NO_WEIGHTS = np.empty(0)


def make_workspace(loss: LossFunction, plan: Plan, dtype: np.dtype, **options: Any) -> Workspace:
    """Return the workspace that goes with a loss; `options` are those of `Workspace`."""
    if isinstance(loss, PythonLoss):
        return PythonLossWorkspace(loss, plan, dtype, **options)
    return Workspace(plan, dtype, **options)


class PythonLossWorkspace(Workspace):
    """A workspace that asks a Python function for the loss of each batch.

    A step is: outputs by the kernel (dropout on while training), values and gradient by the function, and the kernel
    again with that gradient in place of targets. The second forward pass has the same dropout masks, which are
    functions of the step.
    """

    def __init__(self, loss: PythonLoss, plan: Plan, dtype: np.dtype, **options: Any):
        super().__init__(plan, dtype, **options)
        self.set(n_outputs=plan.n_outputs, positions=1)  # the function sees all outputs of a sample
        self._loss = loss
        # Views of the fields that change with every step: setting them by name costs more than a small kernel call.
        names = ("mode", "position", "metrics", "failed")
        self._fields = {name: self.jobs[name] for name in names}
        self._targets = {name: self.jobs["y"][name] for name in ("gather", "address", "row_stride", "column_stride")}
        self._scatter = SCATTERS[tables.Source(source_of(dtype))].address(dtype)
        self._x: Rows | None = None
        self._y = np.empty(0)
        self._delta: Rows | None = None

    @property
    def can_fuse_epochs(self) -> bool:
        """Whether a kernel call can go on with the next epoch: no call does more than a part of a step."""
        return False

    def set_data(self, x: Rows, y: Rows, lengths: np.ndarray = _NO_ROWS) -> None:
        """Point the jobs to features and to a gradient that is filled in batch by batch."""
        self._x, self._y = x, y.array
        # A row for each of the data: kernels find a batch's gradient by row numbers, as they do targets.
        self._delta = Rows.of(np.zeros((x.n_rows, self.plan.n_outputs), self.dtype))
        super().set_data(x, self._delta, lengths)

    def _put(self, **values: int) -> None:
        for name, value in values.items():
            self._fields[name].fill(value)

    def run(
        self,
        n_steps: int,
        parameters: np.ndarray,
        moments: np.ndarray,
        order: np.ndarray = _NO_ROWS,
        sample_weight: np.ndarray = _NO_WEIGHTS,
    ) -> None:
        """Do up to `n_steps` batches."""
        assert self._delta is not None
        self.prepare(parameters, moments, order, sample_weight)  # for the mode of the whole step
        job = self.jobs[0]
        mode, n_rows, batch_size = int(job["mode"]), int(job["n_rows"]), int(job["batch_size"])
        for _ in range(n_steps):
            position = int(job["position"])
            if position >= n_rows or job["failed"]:
                return
            batch = slice(position, min(position + batch_size, n_rows))
            rows = order[batch] if order.size else batch
            outputs = self._outputs(mode, parameters, moments, order, batch)
            values, gradient = self._loss(self._y[rows], read_only(outputs))  # metrics take them too
            weights = sample_weight[rows] if sample_weight.size else np.ones(len(outputs))
            loss, weight = float(weights @ values), float(weights.sum())
            if mode == tables.Mode.TRAIN and not (np.isfinite(loss) and np.isfinite(gradient).all()):
                self._put(failed=1)
                return
            if weight:
                self._delta.array[rows] = gradient * (weights / weight)[:, np.newaxis]
            else:
                self._delta.array[rows] = 0.0
            metrics = int(job["metrics"])
            self._put(metrics=0)  # of targets, which the kernel does not see
            super().run(1, parameters, moments, order, sample_weight)
            self._put(metrics=metrics)
            self.sums[0, tables.Sum.LOSS] += loss
            if metrics:
                count_sums(self._y[rows], outputs, weights, self.sums[0])

    def _outputs(
        self, mode: int, parameters: np.ndarray, moments: np.ndarray, order: np.ndarray, batch: slice
    ) -> np.ndarray:
        """Return the outputs of a batch: in training mode with dropout, else as `Network.predict` has them."""
        delta = self._delta
        assert delta is not None
        outputs = np.empty((batch.stop - batch.start, self.plan.n_outputs), self.dtype)
        # The kernel writes to address + position of the row in the epoch.
        self._put(mode=tables.Mode.OUTPUTS if mode == tables.Mode.TRAIN else tables.Mode.PREDICTIONS)
        self._put_targets(outputs.ctypes.data - batch.start * outputs.strides[0], outputs, self._scatter)
        super().run(1, parameters, moments, order)
        self._put(mode=mode, position=batch.start)
        self._put_targets(delta.address, delta.array, delta.gather_unit(self.dtype).address(self.dtype))
        return outputs

    def _put_targets(self, address: int, array: np.ndarray, unit: int) -> None:
        """Point the jobs to where outputs go, or to the gradient."""
        values = (unit, address, *array.strides)
        for field, value in zip(self._targets.values(), values, strict=True):
            field.fill(value)


def check_gradient(loss: Any, y: Any, predictions: Any, *, step: float = 1e-6, tolerance: float = 1e-5) -> float:
    """Compare the gradient of a loss of your own with central differences of its values [1]_.

    Parameters
    ----------
    loss : callable of (y, predictions), PythonLoss or losses.Compiled
        See `fastnn.losses.PythonLoss` and `fastnn.losses.Compiled`.
    y : array-like of shape (n,) or (n, n_targets)
        Targets of a few samples, as the function takes them.
    predictions : array-like of shape (n, n_outputs)
        Where to compare, in float64; keep away from kinks.
    step : float, default 1e-6
        Half the distance of two values, relative to predictions over 1 in size; > 0.
    tolerance : float, default 1e-5
        Largest error allowed, relative to gradients over 1 in size; > 0.

    Returns
    -------
    float
        The largest error.

    Raises
    ------
    ValueError
        If an error is larger than the tolerance; the message says for which sample and output.
    TypeError
        If the loss is no function.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, sec. 5.3.3.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> def quartic(y, predictions):
    ...     error = predictions - y
    ...     return (error**4).sum(axis=1), 4 * error**3
    >>> fastnn.check_gradient(quartic, np.zeros((2, 1)), np.array([[0.5], [-1.0]])) < 1e-8
    True
    >>> fastnn.check_gradient(lambda y, p: ((p - y)[:, 0] ** 2, p - y), np.zeros((1, 1)), np.array([[0.5]]))
    Traceback (most recent call last):
    ...
    ValueError: the gradient of loss '<lambda>' at sample 0, output 0 must be 1 by central differences, got 0.5
    """
    function = get(loss)
    if not isinstance(function, PythonLoss | Compiled):
        raise TypeError(f"loss must be a function of yours, got {loss!r}")
    step = check_real("step", step, 0.0, closed="neither")
    tolerance = check_real("tolerance", tolerance, 0.0, closed="neither")
    point = np.array(predictions, np.float64)
    if point.ndim != 2:
        raise ValueError(f"predictions must have shape (n, n_outputs), got {point.shape}")
    targets = np.asarray(y)
    gradient = function(targets, point)[1]
    worst = 0.0
    for at in np.ndindex(point.shape):
        here = float(point[at])
        width = step * max(1.0, abs(here))
        sums = []
        for there in (here + width, here - width):
            point[at] = there
            sums.append(float(function(targets, point)[0].sum()))
        point[at] = here
        expected, got = (sums[0] - sums[1]) / (2 * width), float(gradient[at])
        error = abs(got - expected) / max(1.0, abs(expected), abs(got))
        if not error <= tolerance:
            raise ValueError(
                f"the gradient of loss {function.name!r} at sample {at[0]}, output {at[1]} must be {expected:.6g} by "
                f"central differences, got {got:.6g}"
            )
        worst = max(worst, error)
    return worst
