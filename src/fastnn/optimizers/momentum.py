"""Optimizers whose only state is a running mean of the gradient."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastnn.kernels import optimizers as kernels
from fastnn.optimizers.base import DECAY, NOT_NEGATIVE, Optimizer


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's variant if wanted [1]_.

    v = momentum v - learning_rate g; w += v, or with Nesterov w += momentum v - learning_rate g. (Keras and
    scikit-learn have this form; PyTorch multiplies the whole velocity by the learning rate, which differs only when
    the rate changes.)

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        Step length, > 0.
    momentum : float, default 0.0
        Share of the last change that is kept, in [0, 1).
    nesterov : bool, default False
        Whether the gradient counts as taken ahead of the momentum step.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
           eqs. 1-4.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: Any = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    unit: ClassVar = kernels.sgd
    n_slots: ClassVar[int] = 1
    ranges: ClassVar = {"momentum": DECAY}
    flags: ClassVar = ("nesterov",)
    kernel_arguments: ClassVar = ("momentum", "nesterov")

    @property
    def slots(self) -> int:
        return (1 if self.momentum else 0) + self.use_ema


@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion [1]_: steps of one length, in the direction of the sign of an average of the gradient.

    w -= learning_rate * (sign(beta_1 m + (1 - beta_1) g) + weight_decay * w), then m = beta_2 m + (1 - beta_2) g.
    Its steps are larger than Adam's: the paper takes a third to a tenth of Adam's learning rate.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length of every parameter, > 0.
    beta_1, beta_2 : float, default 0.9, 0.99
        Decay of the average in the step, and of the one that is kept; in [0, 1).
    weight_decay : float, default 0.0
        Decoupled decay of the kernels, >= 0.
    decay_all : bool, default False
        Whether biases and the parameters of normalisation layers decay too.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023, algorithm 2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Lion(3e-4).weight_decay
    0.0
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    decay_all: bool = field(default=False, kw_only=True)

    unit: ClassVar = kernels.lion
    n_slots: ClassVar[int] = 1
    ranges: ClassVar = {"beta_1": DECAY, "beta_2": DECAY, "weight_decay": NOT_NEGATIVE}
    flags: ClassVar = ("decay_all",)
    kernel_arguments: ClassVar = ("beta_1", "beta_2")

    @property
    def decay(self) -> tuple[float, bool]:
        return self.weight_decay, self.decay_all


__all__ = ["SGD", "Lion"]
