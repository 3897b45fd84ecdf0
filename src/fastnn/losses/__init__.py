"""Losses by name, and as objects where one has a parameter.

`base` has those of fastnn, `own` those that users write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastnn.common.own_parts import find_part
from fastnn.common.validation import check_bool, check_choice, check_real
from fastnn.losses.base import (
    ALIASES,
    MEANT,
    NAMES,
    WITH_PARAMETERS,
    CategoricalCrossentropy,
    Huber,
    LogLoss,
    LossFunction,
)
from fastnn.losses.own import Compiled, PythonLoss


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
        return WITH_PARAMETERS.get(name, partial(LossFunction, name))(**arguments)
    if callable(loss):
        return PythonLoss(loss)
    if isinstance(loss, str):
        loss = ALIASES.get(loss, loss)
    name = check_choice("loss", loss, NAMES, MEANT)
    return Huber() if name == "huber" else LossFunction(name)


__all__ = [
    "NAMES", "CategoricalCrossentropy", "Compiled", "Huber", "LogLoss", "LossFunction", "PythonLoss", "Scaled", "get",
]  # fmt: skip
