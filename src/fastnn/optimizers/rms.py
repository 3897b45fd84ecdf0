"""Optimizers that divide the gradient by the root of its mean or summed square."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.kernels import optimizers as kernels
from fastnn.optimizers.base import DECAY, NOT_NEGATIVE, POSITIVE, Optimizer


@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop [1]_: the gradient over the root of a running mean of its square.

    v = rho v + (1 - rho) g^2; velocity = momentum velocity + learning_rate g / (sqrt(v) + epsilon); w -= velocity.
    epsilon stands outside the root, as in PyTorch (Keras: inside); the learning rate is inside the velocity, as in
    Keras (PyTorch: outside).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    rho : float, default 0.9
        Decay of the mean square, in [0, 1).
    momentum : float, default 0.0
        Share of the last change that is kept, in [0, 1).
    epsilon : float, default 1e-7
        Added to the root, > 0.
    centered : bool, default False
        Whether the square of the mean gradient is taken off the mean square, so that it is a variance [2]_.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] G. Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
    .. [2] A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013, eqs. 38-41.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.RMSprop(0.01, momentum=0.9).slots
    2
    """

    learning_rate: Any = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    unit: ClassVar = kernels.rmsprop
    n_slots: ClassVar[int] = 3
    ranges: ClassVar = {"rho": DECAY, "momentum": DECAY, "epsilon": POSITIVE}
    flags: ClassVar = ("centered",)
    kernel_arguments: ClassVar = ("rho", "momentum", "epsilon", "centered")

    @property
    def slots(self) -> int:
        return 1 + self.centered + bool(self.momentum) + self.use_ema


@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad [1]_: the gradient over the root of the sum of all its squares so far.

    w -= learning_rate g / (sqrt(initial_accumulator_value + sum of g^2) + epsilon), with epsilon outside the root as in
    the paper and PyTorch (Keras: inside), and Keras's start of the sum (the paper and PyTorch start at 0).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    initial_accumulator_value : float, default 0.1
        What the sum starts from, >= 0.
    epsilon : float, default 1e-7
        Added to the root, > 0.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
           Optimization", JMLR 12, 2011, figure 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Adagrad(0.05).initial_accumulator_value
    0.1
    """

    learning_rate: Any = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    unit: ClassVar = kernels.adagrad
    n_slots: ClassVar[int] = 1
    ranges: ClassVar = {"initial_accumulator_value": NOT_NEGATIVE, "epsilon": POSITIVE}
    kernel_arguments: ClassVar = ("initial_accumulator_value", "epsilon")


@dataclass(frozen=True, repr=False)
class Adadelta(Optimizer):
    """Adadelta [1]_: the gradient scaled by the root mean square of earlier changes over that of the gradient.

    dx = sqrt(u + epsilon) / sqrt(v + epsilon) * g with running means v of g^2 and u of dx^2; w -= learning_rate dx.
    epsilon stands inside the roots. The paper has no learning rate: it is 1 there (and in PyTorch), 0.001 in Keras.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Factor of each change, > 0.
    rho : float, default 0.95
        Decay of the two means, in [0, 1).
    epsilon : float, default 1e-7
        Added under the roots, > 0.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, algorithm 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Adadelta(1.0).rho
    0.95
    """

    learning_rate: Any = 0.001
    rho: float = 0.95
    epsilon: float = 1e-7

    unit: ClassVar = kernels.adadelta
    n_slots: ClassVar[int] = 2
    ranges: ClassVar = {"rho": DECAY, "epsilon": POSITIVE}
    kernel_arguments: ClassVar = ("rho", "epsilon")


__all__ = ["Adadelta", "Adagrad", "RMSprop"]
