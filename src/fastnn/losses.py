"""Losses by name, and as objects where one has a parameter."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.kernels import tables
from fastnn.validation import check_bool, check_choice, check_real

_ALIASES = {"binary_crossentropy": "log_loss"}
NAMES = ("mse", "mae", "huber", "log_loss", "categorical_crossentropy", "poisson")

_FROM_LOGITS = {
    ("categorical_crossentropy", tables.Activation.SOFTMAX): tables.Loss.SOFTMAX_CROSSENTROPY,
    ("log_loss", tables.Activation.SIGMOID): tables.Loss.SIGMOID_LOG_LOSS,
    ("poisson", tables.Activation.EXPONENTIAL): tables.Loss.EXPONENTIAL_POISSON,
}


@dataclass(frozen=True)
class LossFunction:
    """A loss known by its name: the weighted mean over samples of what each one costs.

    mse, mae, huber, log_loss and poisson also average over outputs; categorical_crossentropy sums over classes.

    Parameters
    ----------
    name : str
        One of `fastnn.losses.NAMES`, or "binary_crossentropy" for log_loss.

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
        check_choice("loss", self.name, NAMES)

    @property
    def value(self) -> float:
        """The loss's parameter, with which kernels compute."""
        return 1.0 if self.name == "huber" else 0.0

    @property
    def label_smoothing(self) -> float:
        """How far targets are moved towards uniform while training."""
        return 0.0

    @property
    def scale(self) -> float:
        """What the loss is multiplied by."""
        return 1.0

    @property
    def penalty_per_sample(self) -> bool:
        """Whether penalties on parameters are divided by the weight of the batch."""
        return False

    def job_fields(self, output_activation: tables.Activation) -> dict[str, Any]:
        """Everything that kernels have to know about the loss, as fields of a JOB record."""
        return {
            "loss": self.code_with(output_activation), "loss_value": self.value, "loss_scale": self.scale,
            "label_smoothing": self.label_smoothing, "penalty_per_sample": self.penalty_per_sample,
        }  # fmt: skip

    def code_with(self, output_activation: tables.Activation) -> tables.Loss:
        """The number kernels know it by; sigmoid and softmax outputs have losses from logits."""
        fused = _FROM_LOGITS.get((self.name, output_activation))
        return tables.Loss[self.name.upper()] if fused is None else fused

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


def get(loss: "str | LossFunction | dict") -> LossFunction:
    """Return the loss for a name, an object, or the dict that a file holds.

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
        name = check_choice("loss", arguments.pop("name", None), (*NAMES, "scaled"))
        if name == "scaled":
            return Scaled(**arguments)
        return Huber(**arguments) if name == "huber" else LossFunction(name, **arguments)
    if isinstance(loss, str):
        loss = _ALIASES.get(loss, loss)
    name = check_choice("loss", loss, [*NAMES, *_ALIASES])
    return Huber() if name == "huber" else LossFunction(name)
