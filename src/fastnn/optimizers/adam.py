"""Adam and its relatives: steps scaled by running means of the gradient and its size."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastnn.kernels import optimizers as kernels
from fastnn.kernels.units import Unit
from fastnn.optimizers.base import DECAY, NOT_NEGATIVE, POSITIVE, Optimizer

_RANGES = {"beta_1": DECAY, "beta_2": DECAY, "epsilon": POSITIVE}


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam [1]_: steps scaled by running means of the gradient and its square.

    w -= learning_rate m_hat / (sqrt(v_hat) + epsilon), the paper's algorithm 1 and PyTorch's. Keras and scikit-learn
    compute the form before its section 2.1, in which epsilon is added to the root of v before v is corrected for its
    start at 0: `epsilon_hat` gives theirs. The two differ where gradients are about as small as epsilon.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the two means, in [0, 1).
    epsilon : float, default 1e-7
        Added to the root (outside it, as in the paper's algorithm 1), > 0.
    amsgrad : bool, default False
        Whether to take the largest v so far [2]_; as in PyTorch and Keras, v is corrected for its start at 0.
    epsilon_hat : bool, default False
        Whether epsilon is the paper's epsilon hat, as in Keras and scikit-learn; by keyword only.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 1.
    .. [2] S. J. Reddi, S. Kale, S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018, algorithm 2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Adam(0.002).beta_2
    0.999
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    epsilon_hat: bool = field(default=False, kw_only=True)

    n_slots: ClassVar[int] = 2
    ranges: ClassVar = _RANGES
    flags: ClassVar[tuple[str, ...]] = ("amsgrad", "epsilon_hat")
    kernel_arguments: ClassVar = ("beta_1", "beta_2", "epsilon", "epsilon_hat")

    @property
    def unit(self) -> Unit:  # type: ignore[override]
        """Its compiled update."""
        return kernels.amsgrad if self.amsgrad else kernels.adam

    @property
    def slots(self) -> int:
        return 2 + self.amsgrad + self.use_ema


@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient [1]_: w -= learning_rate (step of Adam + weight_decay w).

    The decay is multiplied by the learning rate, as in PyTorch and Keras.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    beta_1, beta_2, epsilon, amsgrad, epsilon_hat
        As for `Adam`.
    weight_decay : float, default 0.004
        Decay of the kernels, >= 0.
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
    .. [1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.AdamW(weight_decay=0.01)
    AdamW(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False, weight_decay=0.01)
    """

    weight_decay: float = 0.004
    decay_all: bool = field(default=False, kw_only=True)

    ranges: ClassVar = {**_RANGES, "weight_decay": NOT_NEGATIVE}
    flags: ClassVar = ("amsgrad", "epsilon_hat", "decay_all")

    @property
    def decay(self) -> tuple[float, bool]:
        return self.weight_decay, self.decay_all


@dataclass(frozen=True, repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov's momentum [1]_.

    The momentum warms up as in Keras, mu_t = beta_1 (1 - 0.96^t / 2); PyTorch's is the same with momentum_decay=1.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the two means, in [0, 1).
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
    .. [1] T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop, 2016, algorithm 2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Nadam(0.002).learning_rate
    0.002
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    unit: ClassVar = kernels.nadam
    n_slots: ClassVar[int] = 2
    ranges: ClassVar = _RANGES
    kernel_arguments: ClassVar = ("beta_1", "beta_2", "epsilon")


@dataclass(frozen=True, repr=False)
class Adamax(Optimizer):
    """Adam with the largest decayed |g| in place of the root mean square [1]_.

    u = max(beta_2 u, |g|); w -= learning_rate m_hat / (u + epsilon). The paper has no epsilon; it is added to u as in
    Keras (PyTorch adds it to |g|).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the mean and of the largest, in [0, 1).
    epsilon : float, default 1e-7
        Added to u, > 0.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Adamax().epsilon
    1e-07
    """

    learning_rate: Any = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    unit: ClassVar = kernels.adamax
    n_slots: ClassVar[int] = 2
    ranges: ClassVar = _RANGES
    kernel_arguments: ClassVar = ("beta_1", "beta_2", "epsilon")


__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]
