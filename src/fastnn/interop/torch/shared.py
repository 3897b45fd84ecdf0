"""What reading and writing share: activations, and where axes lie: convolutions here have channels first, ours last."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.activations import ELU, ActivationFunction, LeakyReLU


def _read_gelu(module: Any) -> ActivationFunction:
    if module.approximate != "none":
        raise ValueError(f"{module} has no equal in fastnn, whose gelu is exact")
    return ActivationFunction("gelu")


def _read_softplus(module: Any) -> ActivationFunction:
    if module.beta != 1:
        raise ValueError(f"{module} has no equal in fastnn, whose softplus has beta=1")
    return ActivationFunction("softplus")


# Class name in torch.nn -> function of a module that returns our activation. Which axis a Softmax runs over is checked
# by whoever knows the shapes.
READ: dict[str, Callable[[Any], ActivationFunction]] = {
    "Sigmoid": lambda module: ActivationFunction("sigmoid"),
    "Tanh": lambda module: ActivationFunction("tanh"),
    "ReLU": lambda module: ActivationFunction("relu"),
    "LeakyReLU": lambda module: LeakyReLU(module.negative_slope),
    "ELU": lambda module: ELU(module.alpha),
    "SELU": lambda module: ActivationFunction("selu"),
    "Softplus": _read_softplus,
    "GELU": _read_gelu,
    "SiLU": lambda module: ActivationFunction("silu"),
    "Mish": lambda module: ActivationFunction("mish"),
    "Softmax": lambda module: ActivationFunction("softmax"),
}

# Name -> function of torch.nn, the activation's number, and the axis of the channels; "linear" needs no module.
WRITE: dict[str, Callable[[Any, float, int], Any]] = {
    "sigmoid": lambda nn, value, axis: nn.Sigmoid(),
    "tanh": lambda nn, value, axis: nn.Tanh(),
    "relu": lambda nn, value, axis: nn.ReLU(),
    "leaky_relu": lambda nn, value, axis: nn.LeakyReLU(value),
    "elu": lambda nn, value, axis: nn.ELU(value),
    "selu": lambda nn, value, axis: nn.SELU(),
    "softplus": lambda nn, value, axis: nn.Softplus(),
    "gelu": lambda nn, value, axis: nn.GELU(),
    "silu": lambda nn, value, axis: nn.SiLU(),
    "mish": lambda nn, value, axis: nn.Mish(),
    "softmax": lambda nn, value, axis: nn.Softmax(dim=axis),
}


def to_last(n_axes: int) -> tuple[int, ...]:
    """Return the order that brings channels behind the samples to the end, as `to_first` brings them there.

    Examples
    --------
    >>> to_last(3)
    (0, 2, 3, 1)
    """
    return (0, *range(2, n_axes + 1), 1)


def places_of(shape: tuple[int, ...]) -> np.ndarray:
    """Return for each number of a sample whose channels come first its place in one of this shape, channels last.

    Examples
    --------
    >>> places_of((2, 2))
    array([0, 2, 1, 3])
    """
    return np.moveaxis(np.arange(np.prod(shape)).reshape(shape), -1, 0).ravel()
