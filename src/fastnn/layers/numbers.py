"""Layers that treat each feature for itself: numbers found in data once, a factor, several learned functions."""

import math
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from fastnn import initializers
from fastnn.common.validation import (
    as_array,
    check_bool,
    check_finite,
    check_integer,
    check_not_empty,
    check_real,
    is_sparse,
)
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.batch_normalization import BATCH_NORMALIZATION, N_STATISTICS
from fastnn.kernels.ops.piecewise_linear import PIECEWISE_LINEAR
from fastnn.kernels.ops.scale import SCALE
from fastnn.layers.base import Layer, check_arguments

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


@dataclass(frozen=True, repr=False)
class PiecewiseLinear(Layer):
    """Several learned piecewise-linear functions of every feature, in place of the feature [1]_.

    The range of a feature is cut into bins, whose edges `adapt` finds in data or you give. A feature is encoded by one
    number a bin: how far through the bin it has come, from 0 before it to 1 behind it, without end below the first bin
    and above the last. A linear map of its own makes `units` numbers of that, with a bias. The edges are part of the
    network, and training leaves them as they are; `Network.state` holds them.

    On samples of shape (..., features) the output is (..., features * units): those of the first feature come first.

    Parameters
    ----------
    units : int
        How many numbers stand in place of each feature, >= 1.
    edges : sequence of sequences of float, or None, default None
        For every feature the edges of its bins, growing, and as many as for every other: n bins have n + 1. None:
        `adapt` has to be called before the layer becomes part of a network.
    kernel_initializer : str, default "glorot_uniform"
        One of `fastnn.initializers.NAMES` but "auto", for the map of each feature; biases start at 0.
    kernel_regularizer, bias_regularizer : L1L2, float or None, default None
        Penalties; a number means L2.
    kernel_constraint : MaxNorm or None, default None
        Limit of the norm of the kernel's columns.
    trainable : bool, default True
        Whether training changes the maps.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type, or edges do not grow.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
           NeurIPS 2022, arXiv:2203.05556.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.array([[0.0, 10.0], [1.0, 20.0], [4.0, 50.0]])
    >>> embedding = fastnn.PiecewiseLinear(8).adapt(X, n_bins=2)
    >>> embedding.edges
    ((0.0, 1.0, 4.0), (10.0, 20.0, 50.0))
    >>> fastnn.Network([fastnn.Input(2), embedding, fastnn.Dense(1)], seed=0).predict(X).shape
    (3, 1)
    """

    units: int
    edges: Any = None
    _: KW_ONLY
    kernel_initializer: str = "glorot_uniform"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        if self.edges is not None:
            object.__setattr__(self, "edges", _checked_edges(self.edges))
        check_arguments(self)

    def adapt(self, X: Any, n_bins: int = 16) -> Self:
        """Take the edges from the quantiles of every feature, once.

        Where several quantiles are one number, as where a feature has few values, they are one edge; the widest bins
        are then halved until there are `n_bins`.

        Parameters
        ----------
        X : array-like of shape (n_samples, ..., n_features)
            Real, finite numbers; quantiles are over all axes but the last. They need X in memory, in float64.
        n_bins : int, default 16
            Bins of each feature, >= 1.

        Returns
        -------
        PiecewiseLinear
            This layer.

        Raises
        ------
        ValueError
            If the layer has its edges already, which networks may have taken over; or X is empty, holds a number that
            is not finite, or has one axis only.
        TypeError
            If X holds no real numbers.
        """
        if self.edges is not None:
            raise ValueError("PiecewiseLinear is adapted already; make a new layer, and a new network with it")
        n_bins = check_integer("n_bins", n_bins, 1)
        array = as_array("X", X)
        if array.ndim < 2 or array.shape[-1] == 0:
            raise ValueError(f"X must have shape (samples, ..., features), got {array.shape}")
        check_not_empty("X", array)
        check_finite("X", array)
        rows = array.reshape(-1, array.shape[-1])
        if len(rows) == 0:
            raise ValueError(f"X must hold numbers, got shape {array.shape}")
        edges = tuple(_edges_of(rows[:, i].astype(np.float64), n_bins) for i in range(rows.shape[1]))
        object.__setattr__(self, "edges", _checked_edges(edges))
        return self

    def build(self, plan: PlanBuilder) -> None:
        if self.edges is None:
            raise ValueError(
                "PiecewiseLinear must be adapted before it becomes part of a network: "
                "layer.adapt(X), or PiecewiseLinear(units, edges)"
            )
        n_features, n_bins, positions = plan.units, len(self.edges[0]) - 1, plan.positions
        if len(self.edges) != n_features:
            raise ValueError(f"PiecewiseLinear was given edges of {len(self.edges)} features, not of {n_features}")
        kernel = plan.add_variable(
            "kernel", (n_features, n_bins, self.units), initializers.EACH + self.kernel_initializer, is_kernel=True,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        bias = plan.add_variable("bias", (n_features, self.units), "zeros", regularizer=self.bias_regularizer)
        edges = plan.add_state("edges", (n_features * (n_bins + 1),), values=sum(self.edges, ()))
        plan.add_op(
            PIECEWISE_LINEAR, (*plan.shape[:-1], n_features * self.units), weights=kernel, bias=bias,
            details={"n_bins": n_bins, "state": edges}, extra_units=positions * n_features * n_bins,
            flops=2 * positions * n_features * n_bins * self.units,
        )  # fmt: skip


def _checked_edges(given: Any) -> tuple[tuple[float, ...], ...]:
    """Return the edges as tuples of floats, or raise ValueError or TypeError."""
    try:
        array = as_array("edges", given)
    except ValueError as error:
        raise ValueError("edges must be one sequence of numbers for every feature, all of one length") from error
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(f"edges must be two or more numbers for every feature, got shape {array.shape}")
    edges = []
    for i, numbers in enumerate(array.tolist()):
        numbers = tuple(check_real(f"edges[{i}][{j}]", x, -math.inf, closed="neither") for j, x in enumerate(numbers))
        for before, after in pairwise(numbers):
            if not before < after:
                raise ValueError(f"edges[{i}] must grow, got {before!r} before {after!r}")
        edges.append(numbers)
    return tuple(edges)


def _edges_of(values: np.ndarray, n_bins: int) -> tuple[float, ...]:
    """Return quantiles of a feature as edges of so many bins."""
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1))).tolist()
    if len(edges) == 1:  # a constant
        margin = 0.5 * max(1.0, abs(edges[0]))
        edges = [edges[0] - margin, edges[0] + margin]
    while len(edges) <= n_bins:
        widest = int(np.argmax(np.diff(edges)))
        edges.insert(widest + 1, edges[widest] + 0.5 * (edges[widest + 1] - edges[widest]))
    return tuple(edges)


@dataclass(frozen=True, repr=False)
class Scale(Layer):
    """Each feature times a factor that is learnt, which starts at 1 [1]_.

    On samples of several axes it works on the last, with the same factors everywhere. In front of a network it lets
    training turn features up and down, faster than the first kernel could.

    Parameters
    ----------
    trainable : bool, default True
        Whether training changes the factors.

    Raises
    ------
    TypeError
        If `trainable` is no bool.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
           Tabular Data", NeurIPS 2024 (arXiv 2407.04491), sec. 3.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input(3), fastnn.Scale(), fastnn.Dense(1)], seed=0)
    >>> network.get_weights()[0]
    array([1., 1., 1.], dtype=float32)
    """

    _: KW_ONLY
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "trainable", check_bool("trainable", self.trainable))

    def build(self, plan: PlanBuilder) -> None:
        factors = plan.add_variable("scale", (plan.units,), "ones")
        plan.add_op(SCALE, weights=factors, needs_input=True)


__all__ = ["Normalization", "PiecewiseLinear", "Scale"]
