"""Losses that fastnn has, by name and as objects where one has a parameter."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn.common.records import Record
from fastnn.common.validation import check_bool, check_choice, check_real
from fastnn.kernels import losses as kernels
from fastnn.kernels.ops.activation import ACTIVATIONS
from fastnn.kernels.units import Unit

# Keras's names for the same losses.
ALIASES = {
    **dict.fromkeys(("mean_squared_error", "MeanSquaredError", "MSE"), "mse"),
    **dict.fromkeys(("mean_absolute_error", "MeanAbsoluteError", "MAE"), "mae"),
    **dict.fromkeys(("binary_crossentropy", "BinaryCrossentropy"), "log_loss"),
    **dict.fromkeys(
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", "CategoricalCrossentropy"),
        "categorical_crossentropy",
    ),
    **dict.fromkeys(("mean_absolute_percentage_error", "MeanAbsolutePercentageError", "MAPE"), "mape"),
    **dict.fromkeys(("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", "MSLE"), "msle"),
    "Huber": "huber",
    "Poisson": "poisson",
}
# What users of PyTorch and scikit-learn may mean: not quite the same, or under conditions.
MEANT = {
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
    "mean_squared_log_error": "msle",
    **dict.fromkeys(("log_cosh", "logcosh", "LogCosh", "categorical_hinge"), ""),  # none
}
_UNITS = {
    "mse": kernels.mse,
    "mae": kernels.mae,
    "huber": kernels.huber,
    "log_loss": kernels.log_loss,
    "categorical_crossentropy": kernels.categorical_crossentropy,
    "poisson": kernels.poisson,
    "mape": kernels.mape,
    "msle": kernels.msle,
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

    All but categorical_crossentropy, which sums over classes, also average over outputs. mape is in percent of the
    target, which must not be 0; msle is of ln(1 + y), for targets that are not negative.

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
        check_choice("loss", self.name, NAMES, MEANT)

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
            f"fastnn.losses.{WITH_PARAMETERS[self.name].__name__}(from_logits=True)"
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


WITH_PARAMETERS = {"huber": Huber, "categorical_crossentropy": CategoricalCrossentropy, "log_loss": LogLoss}
