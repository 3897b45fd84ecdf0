"""Losses by name, and as objects where one has a parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from fastnn.common.own_parts import check_own_name, compiled_for, find_part, reduce_by_path
from fastnn.common.records import Record
from fastnn.common.validation import check_bool, check_choice, check_real
from fastnn.kernels import compiled as kernels_of_own
from fastnn.kernels import losses as kernels
from fastnn.kernels.ops.activation import ACTIVATIONS
from fastnn.kernels.units import Unit

# Keras's names for the same losses.
_ALIASES = {
    **dict.fromkeys(("mean_squared_error", "MeanSquaredError", "MSE"), "mse"),
    **dict.fromkeys(("mean_absolute_error", "MeanAbsoluteError", "MAE"), "mae"),
    **dict.fromkeys(("binary_crossentropy", "BinaryCrossentropy"), "log_loss"),
    **dict.fromkeys(
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "CategoricalCrossentropy"),
        "categorical_crossentropy",
    ),
    "Huber": "huber",
    "Poisson": "poisson",
}
# What users of PyTorch and scikit-learn may mean: not quite the same, or under conditions.
_MEANT = {
    **dict.fromkeys(("MSELoss", "mse_loss", "squared_error", "squared_loss", "l2"), "mse"),
    **dict.fromkeys(("L1Loss", "l1_loss", "l1", "absolute_error"), "mae"),
    **dict.fromkeys(("SmoothL1Loss", "smooth_l1_loss", "HuberLoss", "huber_loss"), "huber"),
    **dict.fromkeys(
        (
            "BCELoss",
            "BCEWithLogitsLoss",
            "bce",
            "BCE",
            "logloss",
            "logistic",
            "binary_cross_entropy",
            "BinaryCrossEntropy",
            "binary_cross_entropy_with_logits",
        ),
        "log_loss",
    ),
    **dict.fromkeys(
        ("CrossEntropyLoss", "cross_entropy", "crossentropy", "NLLLoss", "nll_loss", "nll", "softmax"),
        "categorical_crossentropy",
    ),
    **dict.fromkeys(("PoissonNLLLoss", "poisson_nll_loss"), "poisson"),
    **dict.fromkeys(
        ("mape", "MAPE", "msle", "MSLE", "log_cosh", "logcosh", "LogCosh", "categorical_hinge"), ""
    ),  # none
}
_UNITS = {
    "mse": kernels.mse,
    "mae": kernels.mae,
    "huber": kernels.huber,
    "log_loss": kernels.log_loss,
    "categorical_crossentropy": kernels.categorical_crossentropy,
    "poisson": kernels.poisson,
}
NAMES = tuple(_UNITS)

# An output activation and its loss in one formula, from logits: no overflow, no log(0).
_FROM_LOGITS = {
    ("categorical_crossentropy", "softmax"): kernels.softmax_crossentropy,
    ("log_loss", "sigmoid"): kernels.sigmoid_log_loss,
    ("poisson", "exponential"): kernels.exponential_poisson,
}

# What makes probabilities of logits, for losses that are told to expect those.
_PROBABILITIES = {"categorical_crossentropy": "softmax", "log_loss": "sigmoid"}


@dataclass(frozen=True)
class LossFunction(Record):
    """A loss known by its name: the weighted mean over samples of what each one costs.

    mse, mae, huber, log_loss and poisson also average over outputs; categorical_crossentropy sums over classes.

    Parameters
    ----------
    name : str
        One of `fastnn.losses.NAMES`. Where a loss is chosen by name, Keras's names for these are taken too, such as
        "binary_crossentropy" for log_loss or "mean_squared_error" for mse.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.

    Examples
    --------
    >>> from fastnn.losses import LossFunction
    >>> LossFunction("mse").name
    'mse'
    """

    name: str

    def __post_init__(self):
        check_choice("loss", self.name, NAMES, _MEANT)

    @property
    def value(self) -> float:
        """The loss's parameter, with which kernels compute."""
        return 1.0 if self.name == "huber" else 0.0

    @property
    def label_smoothing(self) -> float:
        """How far targets are moved towards uniform."""
        return 0.0

    @property
    def scale(self) -> float:
        """What the loss is multiplied by."""
        return 1.0

    @property
    def penalty_per_sample(self) -> bool:
        """Whether penalties on parameters are divided by the weight of the batch."""
        return False

    @property
    def from_logits(self) -> bool:
        """Whether a network's outputs are logits, of which the loss makes probabilities."""
        return False

    def check_outputs(self, output_activation: str, n_outputs: int) -> None:
        """Raise ValueError where a network's outputs are not what the loss is made for: it would learn nonsense."""
        activation, given = _PROBABILITIES.get(self.name), output_activation.removeprefix("mean of ")
        if n_outputs == 1 and "softmax" in (activation, given):
            raise ValueError("one output of softmax is always 1: take output='sigmoid' and loss='log_loss', or 2 units")
        are_logits = given == "linear"
        if activation is None or (are_logits and self.from_logits):
            return
        if self.from_logits:
            raise ValueError(
                f"from_logits must be False for the loss {self.name!r} of a network whose output activation is "
                f"{output_activation!r}; logits are the outputs of a layer without activation"
            )
        if given in (activation, "softmax") or not (are_logits or given in ACTIVATIONS):
            return  # an activation of the user's may give anything
        raise ValueError(
            f"the loss {self.name!r} needs probabilities, but the network's outputs are {output_activation}: take "
            f"output={activation!r} (activation={activation!r} in the last layer), or linear outputs and the loss "
            f"fastnn.losses.{_WITH_PARAMETERS[self.name].__name__}(from_logits=True)"
        )

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return a network's outputs in the form in which metrics take them: probabilities where they are logits."""
        if not self.from_logits:
            return outputs
        import scipy.special

        if _PROBABILITIES[self.name] == "sigmoid":
            return scipy.special.expit(outputs)
        return scipy.special.softmax(outputs, axis=-1)

    def job_fields(self, output_activation: str) -> dict[str, Any]:
        """Everything that kernels have to know about the loss, as fields of a job's record."""
        applied = _PROBABILITIES[self.name] if self.from_logits else output_activation
        fused = _FROM_LOGITS.get((self.name, applied))
        takes_logits = fused is not None and not self.from_logits  # in place of an op that makes probabilities of them
        fields: dict[str, Any] = {
            "loss": fused or self.unit, "takes_logits": takes_logits, "loss_value": self.value,
            "loss_scale": self.scale, "penalty_per_sample": self.penalty_per_sample,
            "y.smoothing": self.label_smoothing,
        }  # fmt: skip
        if self.name == "log_loss":  # each output is a question of its own, with two answers
            fields["y.smoothed_to"] = 0.5
        return fields

    @property
    def unit(self) -> Unit:
        """The compiled loop that computes it from outputs."""
        return _UNITS[self.name]

    @property
    def config(self) -> str | dict[str, Any]:
        """The form in which files keep the loss."""
        return self.name


@dataclass(frozen=True)
class Huber(LossFunction):
    """error^2 / 2 for |error| <= delta, delta * (|error| - delta / 2) beyond, averaged over outputs [1]_.

    Parameters
    ----------
    delta : float, default 1.0
        Where it turns linear, in the unit of the targets; > 0.

    Raises
    ------
    ValueError
        If delta is not positive and finite.

    References
    ----------
    .. [1] P. J. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35(1), 1964.

    Examples
    --------
    >>> from fastnn.losses import Huber
    >>> Huber(delta=2.0).value
    2.0
    """

    delta: float = 1.0
    name: ClassVar[str] = "huber"  # type: ignore[misc]

    def __init__(self, delta: float = 1.0):
        object.__setattr__(self, "delta", check_real("delta", delta, 0.0, closed="neither"))

    @property
    def value(self) -> float:
        return self.delta

    @property
    def config(self) -> dict[str, Any]:
        return {"name": type(self).name, "delta": self.delta}


@dataclass(frozen=True)
class _Smoothed(LossFunction):
    """A loss of class probabilities whose targets are moved towards uniform, each y to (1 - s) y + s / n_classes."""

    smoothing: float = 0.0
    takes_logits: bool = False

    def __init__(self, label_smoothing: float = 0.0, *, from_logits: bool = False):
        smoothing = check_real("label_smoothing", label_smoothing, 0.0, 1.0, closed="left")
        object.__setattr__(self, "smoothing", smoothing)
        object.__setattr__(self, "takes_logits", check_bool("from_logits", from_logits))

    def __repr__(self) -> str:
        option = ", from_logits=True" if self.takes_logits else ""
        return f"{type(self).__name__}(label_smoothing={self.smoothing}{option})"

    @property
    def label_smoothing(self) -> float:
        return self.smoothing

    @property
    def from_logits(self) -> bool:
        return self.takes_logits

    @property
    def config(self) -> str | dict[str, Any]:
        config = {"name": self.name, "label_smoothing": self.smoothing}
        return {**config, "from_logits": True} if self.takes_logits else config


@dataclass(frozen=True, init=False, repr=False)
class CategoricalCrossentropy(_Smoothed):
    """-sum_c y_c log a_c, with label smoothing [1]_ if wanted.

    The smoothed loss is the loss everywhere: in training, validation, `evaluate` and `loss_and_gradient`, as in Keras
    and PyTorch.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s in y (1 - s) + s / n_classes, in [0, 1).
    from_logits : bool, default False
        False: the network's outputs are probabilities (output "softmax"). True: its last layer is linear, as is usual
        in PyTorch; the loss takes their softmax, and so do metrics, while `Network.predict` gives the logits. Values
        and gradients are the same.

    Raises
    ------
    ValueError
        If label_smoothing is outside [0, 1).

    References
    ----------
    .. [1] C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from fastnn.losses import CategoricalCrossentropy
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.Activation("softmax")], dtype="float64")
    >>> X = np.log([[0.8, 0.2]])  # what the network makes 0.8 and 0.2
    >>> loss, _ = network.loss_and_gradient(X, [0], loss=CategoricalCrossentropy(label_smoothing=0.5))
    >>> bool(np.isclose(loss, -0.75 * np.log(0.8) - 0.25 * np.log(0.2)))
    True
    """

    name: ClassVar[str] = "categorical_crossentropy"  # type: ignore[misc]


@dataclass(frozen=True, init=False, repr=False)
class LogLoss(_Smoothed):
    """-y log a - (1 - y) log(1 - a), averaged over outputs, with label smoothing [1]_ if wanted.

    The smoothed loss is the loss everywhere: in training, validation, `evaluate` and `loss_and_gradient`, as in Keras.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        s in y (1 - s) + s / 2, in [0, 1).
    from_logits : bool, default False
        False: the network's outputs are probabilities (output "sigmoid"). True: its last layer is linear, as is usual
        in PyTorch; the loss takes their sigmoid, and so do metrics, while `Network.predict` gives the logits. Values
        and gradients are the same.

    Raises
    ------
    ValueError
        If label_smoothing is outside [0, 1).

    References
    ----------
    .. [1] C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.losses import LogLoss
    >>> network = fastnn.Network.mlp(1, [], 1, seed=0)  # its output is linear
    >>> trainer = fastnn.Trainer(network, loss=LogLoss(label_smoothing=0.1, from_logits=True))
    >>> round(trainer.evaluate([[0.0]], [1.0])["loss"], 4)  # a logit of 0 is a probability of one half
    0.6931
    """

    name: ClassVar[str] = "log_loss"  # type: ignore[misc]


@dataclass(frozen=True)
class Scaled(LossFunction):
    """Another loss, multiplied by a factor: scikit-learn halves the squared error, and sums over outputs.

    Parameters
    ----------
    loss : str or LossFunction
        What is multiplied.
    factor : float
        By what, > 0. Penalties on parameters are not multiplied.
    penalty_per_sample : bool, default False
        Whether penalties on parameters are divided by the weight of each batch (its number of samples, or the sum of
        their weights), as scikit-learn divides its `alpha`.

    Raises
    ------
    ValueError, TypeError
        If the factor is not positive, or the name is unknown.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.losses import Scaled
    >>> network = fastnn.Network.mlp(1, [], 1, seed=0)
    >>> fastnn.Trainer(network, loss="mse").evaluate([[0.0]], [2.0])["loss"]
    4.0
    >>> fastnn.Trainer(network, loss=Scaled("mse", 0.5)).evaluate([[0.0]], [2.0])["loss"]
    2.0
    """

    loss: LossFunction
    factor: float
    divides_penalty: bool

    def __init__(self, loss: "str | LossFunction | dict", factor: float, *, penalty_per_sample: bool = False):
        object.__setattr__(self, "loss", get(loss))
        if isinstance(self.loss, PythonLoss):
            raise TypeError(f"loss must not be a function of yours, which can do that itself; got {self.loss.name!r}")
        object.__setattr__(self, "name", self.loss.name)
        object.__setattr__(self, "factor", check_real("factor", factor, 0.0, closed="neither"))
        object.__setattr__(self, "divides_penalty", check_bool("penalty_per_sample", penalty_per_sample))

    def __repr__(self) -> str:
        option = ", penalty_per_sample=True" if self.divides_penalty else ""
        return f"Scaled({self.loss!r}, {self.factor!r}{option})"

    @property
    def value(self) -> float:
        return self.loss.value

    @property
    def label_smoothing(self) -> float:
        return self.loss.label_smoothing

    @property
    def from_logits(self) -> bool:
        return self.loss.from_logits

    @property
    def scale(self) -> float:
        return self.loss.scale * self.factor

    @property
    def penalty_per_sample(self) -> bool:
        return self.divides_penalty

    @property
    def config(self) -> str | dict[str, Any]:
        return {
            "name": "scaled", "loss": self.loss.config, "factor": self.factor,
            "penalty_per_sample": self.divides_penalty,
        }  # fmt: skip


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
            name = f"own_{name}" if name in NAMES or name in _ALIASES else name
        if name in NAMES or name in _ALIASES:
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
        own(self, "name", check_own_name("loss", name, (*NAMES, *_ALIASES, "scaled")))
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


def get(loss: "str | LossFunction | dict | Callable[..., Any]") -> LossFunction:
    """Return the loss for a name, an object, a function of (y, predictions), or the dict that a file holds.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from fastnn import losses
    >>> losses.get("binary_crossentropy").name
    'log_loss'
    """
    if isinstance(loss, LossFunction):
        return loss
    if isinstance(loss, dict):
        arguments = dict(loss)
        if arguments.get("compiled") is True:
            return find_part("loss", Compiled, arguments.get("name"))
        name = check_choice("loss", arguments.pop("name", None), (*NAMES, "scaled"))
        if name == "scaled":
            return Scaled(**arguments)
        return _WITH_PARAMETERS.get(name, partial(LossFunction, name))(**arguments)
    if callable(loss):
        return PythonLoss(loss)
    if isinstance(loss, str):
        loss = _ALIASES.get(loss, loss)
    name = check_choice("loss", loss, NAMES, _MEANT)
    return Huber() if name == "huber" else LossFunction(name)


_WITH_PARAMETERS = {"huber": Huber, "categorical_crossentropy": CategoricalCrossentropy, "log_loss": LogLoss}
