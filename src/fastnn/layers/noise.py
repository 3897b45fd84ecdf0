"""Layers that are random in training and pass their input on at inference."""

from dataclasses import dataclass

from fastnn.common.validation import check_real
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.noise import DROPOUT, GAUSSIAN_NOISE
from fastnn.layers.base import Layer


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Sets each input to 0 with probability `rate` while training, and scales the rest by 1 / (1 - rate) [1]_.

    The mask is a pure function of (seed, step, layer, unit, position in the batch): it does not depend on the number
    of threads or on how a batch is cut.

    Parameters
    ----------
    rate : float
        Probability of a zero, in [0, 1).

    Raises
    ------
    ValueError
        If rate is outside [0, 1).

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Dropout(0.5)
    Dropout(rate=0.5)
    """

    rate: float

    def __post_init__(self):
        object.__setattr__(self, "rate", check_real("rate", self.rate, 0.0, 1.0, closed="left"))

    def build(self, plan: PlanBuilder) -> None:
        plan.add_op(DROPOUT, value=self.rate, in_place=True)


@dataclass(frozen=True, repr=False)
class GaussianNoise(Layer):
    """Adds normal noise to each input while training; nothing at inference [1]_.

    The noise is a pure function of (seed, step, layer, unit, position in the batch), as the mask of `Dropout`.

    Parameters
    ----------
    stddev : float
        Standard deviation, > 0.

    Raises
    ------
    ValueError
        If stddev is not positive.

    References
    ----------
    .. [1] C. M. Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 7(1), 1995.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input(4), fastnn.GaussianNoise(0.1), fastnn.Dense(8, "relu"), fastnn.Dense(1)]
    >>> fastnn.Network(layers).layers[1]
    GaussianNoise(stddev=0.1)
    """

    stddev: float

    def __post_init__(self):
        object.__setattr__(self, "stddev", check_real("stddev", self.stddev, 0.0, closed="neither"))

    def build(self, plan: PlanBuilder) -> None:
        plan.add_op(GAUSSIAN_NOISE, value=self.stddev, in_place=True)


__all__ = ["Dropout", "GaussianNoise"]
