"""A layer that normalises features by numbers found in data once, before training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fastnn.common.validation import as_array, check_finite, check_not_empty, check_real, is_sparse
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.batch_normalization import BATCH_NORMALIZATION, N_STATISTICS
from fastnn.layers.base import Layer

_PIECE = 2**20  # numbers that are looked at in one go, in float64


@dataclass(frozen=True, repr=False)
class Normalization(Layer):
    """Each feature to mean 0 and variance 1, by numbers that `adapt` finds in data or that you give.

    The output is (x - mean) / sqrt(variance), for every feature of the last axis. The numbers are part of the network,
    which then takes raw features wherever it goes; training leaves them as they are. `Network.state` holds them.

    Parameters
    ----------
    mean, variance : float, sequence of float or None, default None
        A number for every feature, or one for all; variances are > 0. None: `adapt` has to be called before the layer
        becomes part of a network.

    Raises
    ------
    ValueError, TypeError
        If the numbers do not go together, or are out of range or of the wrong type.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.array([[1.0, 1000.0], [3.0, 3000.0]])
    >>> normalization = fastnn.Normalization().adapt(X)
    >>> normalization
    Normalization(mean=(2.0, 2000.0), variance=(1.0, 1000000.0))
    >>> fastnn.Network([fastnn.Input(2), normalization]).predict(X)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    mean: Any = None
    variance: Any = None

    trainable: ClassVar[bool] = False

    def __post_init__(self):
        if (self.mean is None) != (self.variance is None):
            raise ValueError(f"mean and variance must be given together, got {self.mean!r} and {self.variance!r}")
        if self.mean is None:
            return
        mean, variance = _numbers("mean", self.mean, -math.inf), _numbers("variance", self.variance, 0.0)
        if np.ndim(mean) == np.ndim(variance) == 1 and len(mean) != len(variance):
            raise ValueError(f"mean and variance must be of one length, got {len(mean)} and {len(variance)}")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "variance", variance)

    def adapt(self, X: Any) -> Self:
        """Take mean and variance of every feature from data, once.

        A feature that is the same in all rows gets the variance 1, so that it becomes 0.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ..., n_features)
            Real, finite numbers. Statistics are over all axes but the last, in float64, a piece at a time.

        Returns
        -------
        Normalization
            This layer.

        Raises
        ------
        ValueError
            If the layer has its numbers already, which networks may have taken over; or X is empty, holds a number that
            is not finite, or has one axis only.
        TypeError
            If X holds no real numbers.
        """
        if self.mean is not None:
            raise ValueError("Normalization is adapted already; make a new layer, and a new network with it")
        if is_sparse(X):
            if X.dtype.kind not in "fiub":
                raise TypeError(f"X must hold real numbers, got a sparse matrix of dtype {X.dtype}")
            array = X.tocsr()
        else:
            array = as_array("X", X)
        if array.ndim < 2 or array.shape[-1] == 0:
            raise ValueError(f"X must have shape (samples, ..., features), got {array.shape}")
        check_not_empty("X", array)
        check_finite("X", array)
        n_rows = math.prod(array.shape[:-1])
        if n_rows == 0:
            raise ValueError(f"X must hold numbers, got shape {array.shape}")
        low = np.min([piece.min(axis=0) for piece in _pieces(array)], axis=0)
        high = np.max([piece.max(axis=0) for piece in _pieces(array)], axis=0)
        # A shift by any of the numbers keeps sums of large, close numbers exact.
        mean = low + sum((piece - low).sum(axis=0) for piece in _pieces(array)) / n_rows
        variance = sum(((piece - mean) ** 2).sum(axis=0) for piece in _pieces(array)) / n_rows
        is_constant = low == high
        object.__setattr__(self, "mean", tuple(np.where(is_constant, low, mean).tolist()))
        object.__setattr__(self, "variance", tuple(np.where(is_constant, 1.0, variance).tolist()))
        return self

    def build(self, plan: PlanBuilder) -> None:
        if self.mean is None:
            raise ValueError(
                "Normalization must be adapted before it becomes part of a network: "
                "layer.adapt(X), or Normalization(mean, variance)"
            )
        values = []
        for name in ("mean", "variance"):
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) != plan.units:
                raise ValueError(f"Normalization was given {name}s of {len(given)} features, not of {plan.units}")
            values.append(given if isinstance(given, tuple) else (given,) * plan.units)
        mean = plan.add_state("mean", (plan.units,), values=values[0])
        plan.add_state("variance", (plan.units,), values=values[1])
        # What batch normalisation does in inference.
        plan.add_op(
            BATCH_NORMALIZATION, details={"momentum": 0.0, "state": mean}, in_place=True,
            extra_units=plan.positions * plan.units + N_STATISTICS * math.ceil(plan.units / PANEL),
        )  # fmt: skip


def _numbers(name: str, given: Any, low: float) -> Any:
    """Return a float or a tuple of floats, all above `low`."""
    if np.ndim(given) == 0:
        return check_real(name, given, low, closed="neither")
    array = as_array(name, given)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a number or one for every feature, got shape {array.shape}")
    return tuple(check_real(f"{name}[{i}]", value, low, closed="neither") for i, value in enumerate(array.tolist()))


def _pieces(array: Any) -> Iterator[np.ndarray]:
    """The rows of features in float64, some at a time."""
    step = max(1, _PIECE // math.prod(array.shape[1:]))
    for first in range(0, array.shape[0], step):
        piece = array[first : first + step]
        piece = piece.toarray() if is_sparse(piece) else piece
        yield np.ascontiguousarray(piece.reshape(-1, array.shape[-1]), np.float64)  # sums in one order


__all__ = ["Normalization"]
