"""Losses that users write: as functions on NumPy arrays, or compiled into the training kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.common.own_parts import check_own_name, compiled_for, reduce_by_path
from fastnn.common.validation import check_bool
from fastnn.kernels import compiled as kernels_of_own
from fastnn.kernels import losses as kernels
from fastnn.kernels.units import Unit
from fastnn.losses.base import ALIASES, NAMES, LossFunction


@dataclass(frozen=True)
class PythonLoss(LossFunction):
    """A loss of your own: a function on NumPy arrays that returns values and their gradient.

    Training with it is slower: each step computes the outputs, calls the function, and runs the network once more for
    the gradient of the parameters: about 0.1 ms a step beside the function, and twice the forward pass.
    `fastnn.check_gradient` compares the gradient with central differences.

    Parameters
    ----------
    function : callable of (y, predictions)
        Gets the targets of a batch, (n,) int64 class numbers or (n, n_targets) as they were given to `fit`, and the
        outputs of the network, (n, n_outputs) in its dtype. Returns the loss of each sample, (n,), and the derivative
        of each sample's loss with respect to its outputs, (n, n_outputs). Weights are applied afterwards.
    name : str or None, default None
        For messages; None takes the function's (with "own_" before it if fastnn has a loss of that name).
    penalty_per_sample : bool, default False
        Whether penalties on parameters are divided by the weight of the batch, as scikit-learn has it.

    Raises
    ------
    TypeError
        If it is not callable, or returns something else.
    ValueError
        If the name is that of another loss; when it is called, if shapes are wrong.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> def log_cosh(y, predictions):
    ...     error = predictions - y
    ...     return np.log(np.cosh(error)).mean(axis=1), np.tanh(error) / error.shape[1]
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> network = fastnn.Network.mlp(1, [16], 1, activation="tanh", seed=0)
    >>> trainer = fastnn.Trainer(network, loss=log_cosh, optimizer=fastnn.Adam(0.01))
    >>> history = trainer.fit(X, X**2, epochs=50)
    >>> history.history["loss"][-1] < history.history["loss"][0] / 2
    True
    """

    function: Callable[..., Any]
    divides_penalty: bool

    def __init__(self, function: Callable[..., Any], name: str | None = None, *, penalty_per_sample: bool = False):
        if not callable(function):
            raise TypeError(f"function must be callable, got {function!r}")
        if name is None:
            name = getattr(function, "__name__", type(function).__name__)
            name = f"own_{name}" if name in NAMES or name in ALIASES else name
        if name in NAMES or name in ALIASES:
            raise ValueError(f"name must not be that of another loss, got {name!r}")
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "divides_penalty", check_bool("penalty_per_sample", penalty_per_sample))

    def __call__(self, y: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values (n,) and gradient (n, n_outputs), both checked."""
        result = self.function(y, predictions)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"loss {self.name!r} must return (values, gradient), got {type(result).__name__}")
        values, gradient = np.asarray(result[0]), np.asarray(result[1])
        n = predictions.shape[0]
        for what, array, shape in (("values", values, (n,)), ("a gradient", gradient, predictions.shape)):
            if array.shape != shape:
                raise ValueError(f"loss {self.name!r} must return {what} of shape {shape}, got {array.shape}")
        return values, gradient

    @property
    def penalty_per_sample(self) -> bool:
        return self.divides_penalty

    @property
    def unit(self) -> Unit:
        return kernels.given_delta

    @property
    def config(self) -> str | dict[str, Any]:
        raise ValueError(
            f"loss must have a name that fastnn knows to be saved, got {self.name!r}, a function of yours; keep the "
            "network and trainer.state_dict() instead"
        )


class Compiled(LossFunction):
    """A loss of your own, from two functions of numbers, compiled into the training kernel.

    The loss of a sample is the mean over its outputs, as for mse; sample weights are applied to it.

    Parameters
    ----------
    value : Numba function, or a function that Numba can compile
        value(y, p) of one output element, for target y and prediction p.
    slope : likewise
        slope(y, p), the derivative of value by p.
    name : str or None, default None
        For messages and files; None takes the function's.

    Raises
    ------
    TypeError
        If a function cannot be compiled; the message says why.
    ValueError
        If the name is that of another loss.

    See Also
    --------
    fastnn.check_gradient : compares slope with central differences of value.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> def quartic(y, p):
    ...     return (p - y) ** 4
    >>> def quartic_slope(y, p):
    ...     return 4.0 * (p - y) ** 3
    >>> own = fastnn.losses.Compiled(quartic, quartic_slope)
    >>> network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1)], seed=0, dtype="float64")
    >>> network.set_weights([[[2.0]], [0.0]])
    >>> fastnn.Trainer(network, loss=own).evaluate([[1.0]], [0.0])["loss"]
    16.0
    """

    function: Any
    slope: Any
    _given: tuple[Any, Any]
    _unit: Unit

    def __init__(self, value: Any, slope: Any, name: str | None = None):
        own = object.__setattr__
        own(self, "function", compiled_for(value, "y, p"))
        own(self, "slope", compiled_for(slope, "y, p"))
        name = getattr(value, "__name__", None) if name is None else name
        own(self, "name", check_own_name("loss", name, (*NAMES, *ALIASES, "scaled")))
        own(self, "_unit", kernels_of_own.loss_unit_of(self.name, self.function, self.slope))
        own(self, "_given", (value, slope))

    def __call__(self, y: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values (n,) and gradient (n, n_outputs), element by element: for checks, not for speed."""
        targets = np.asarray(y, float).reshape(predictions.shape)
        values, slopes = (
            np.array([function(a, b) for a, b in zip(targets.flat, predictions.flat, strict=True)], float)
            for function in (self.function, self.slope)
        )
        n_outputs = predictions.shape[1]
        return values.reshape(predictions.shape).mean(axis=1), slopes.reshape(predictions.shape) / n_outputs

    @property
    def value(self) -> float:
        return 0.0

    @property
    def unit(self) -> Unit:
        return self._unit

    @property
    def config(self) -> dict[str, Any]:
        return {"name": self.name, "compiled": True}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compiled) and (self.name, self._given) == (other.name, other._given)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple:
        return reduce_by_path(Compiled, self._given, self.name)

    def __deepcopy__(self, memo: dict) -> "Compiled":
        return self
