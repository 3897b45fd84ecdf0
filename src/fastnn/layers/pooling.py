"""Pooling over images and sequences, channels last."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.over_time import MAX_OVER_TIME, MEAN_OVER_TIME
from fastnn.kernels.ops.pooling import AVERAGE_POOLING, MAX_POOLING
from fastnn.kernels.units import OpKind
from fastnn.layers.base import Layer
from fastnn.layers.windows import AXES, both, check_padding, check_sizes, details_of, image_shape, lay


@dataclass(frozen=True, repr=False)
class _Pooling(Layer):
    """What pooling layers share."""

    _n_axes: ClassVar[int]
    _kind: ClassVar[OpKind]

    pool_size: Any = 2
    strides: Any = None
    padding: str = "valid"

    def __post_init__(self):
        object.__setattr__(self, "pool_size", check_sizes("pool_size", self.pool_size, self._n_axes))
        if self.strides is not None:
            object.__setattr__(self, "strides", check_sizes("strides", self.strides, self._n_axes))
        check_padding(self.padding)

    def build(self, plan: PlanBuilder) -> None:
        name, n = type(self).__name__, self._n_axes
        *image, channels = image_shape(plan, name, n)
        size = both(self.pool_size, n)
        strides = size if self.strides is None else both(self.strides, n)
        axes = AXES[2][:2] if n == 2 else ("", "time")
        y, x = (
            lay(f"{name} at layers[{plan.layer}]", axis, n_in, taps, stride, 1, self.padding)
            for axis, n_in, taps, stride in zip(axes, image, size, strides, strict=True)
        )
        plan.add_op(
            self._kind, (*(y.n_out, x.n_out)[2 - n :], channels), details=details_of(y, x),
            needs_input=self._kind is MAX_POOLING, needs_output=self._kind is MAX_POOLING,
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class _GlobalPooling(Layer):
    """What layers share that pool a whole image."""

    _n_axes: ClassVar[int]
    _kind: ClassVar[OpKind]

    def build(self, plan: PlanBuilder) -> None:
        height, width, channels = image_shape(plan, type(self).__name__, self._n_axes)
        y, x = (lay("", "", size, size, size, 1, "valid") for size in (height, width))
        looks_back = self._kind in (MAX_POOLING, MAX_OVER_TIME)
        plan.add_op(
            self._kind, (*(1,) * self._n_axes, channels), details=details_of(y, x),
            needs_input=looks_back, needs_output=looks_back,
        )  # fmt: skip
        plan.set_steps(0)
        plan.reshape((channels,))


@dataclass(frozen=True, repr=False)
class MaxPooling2D(_Pooling):
    """The largest number of each window, for every channel of an image.

    Parameters
    ----------
    pool_size : int or tuple of two int, default 2
        Height and width of the window.
    strides : int, tuple of two int or None, default None
        How far one window is from the next; None: `pool_size`, so that they lie side by side.
    padding : "valid" or "same", default "valid"
        "valid": windows lie within the image. "same": ceil(size / stride) windows an axis; what lies outside the image
        does not count.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; when the network is made, if a sample is no image or the
        window is larger than it.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input((2, 4, 1)), fastnn.MaxPooling2D(2)])
    >>> network.predict(np.arange(8.0).reshape(1, 2, 4, 1)).ravel()
    array([5., 7.], dtype=float32)
    """

    _n_axes, _kind = 2, MAX_POOLING


@dataclass(frozen=True, repr=False)
class AveragePooling2D(_Pooling):
    """The mean of each window, for every channel of an image.

    Parameters
    ----------
    pool_size, strides, padding
        As for `MaxPooling2D`.

    Raises
    ------
    ValueError, TypeError
        As for `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input((2, 4, 1)), fastnn.AveragePooling2D(2)])
    >>> network.predict(np.arange(8.0).reshape(1, 2, 4, 1)).ravel()
    array([2.5, 4.5], dtype=float32)
    """

    _n_axes, _kind = 2, AVERAGE_POOLING


@dataclass(frozen=True, repr=False)
class MaxPooling1D(_Pooling):
    """The largest number of each window, for every channel of a sequence.

    Parameters
    ----------
    pool_size, strides, padding
        As for `MaxPooling2D`, with one integer where that has two.

    Raises
    ------
    ValueError, TypeError
        As for `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input((6, 1)), fastnn.MaxPooling1D(3)])
    >>> network.predict(np.arange(6.0).reshape(1, 6, 1)).ravel()
    array([2., 5.], dtype=float32)
    """

    _n_axes, _kind = 1, MAX_POOLING


@dataclass(frozen=True, repr=False)
class AveragePooling1D(_Pooling):
    """The mean of each window, for every channel of a sequence.

    Parameters
    ----------
    pool_size, strides, padding
        As for `MaxPooling2D`, with one integer where that has two.

    Raises
    ------
    ValueError, TypeError
        As for `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input((6, 1)), fastnn.AveragePooling1D(3)])
    >>> network.predict(np.arange(6.0).reshape(1, 6, 1)).ravel()
    array([1., 4.], dtype=float32)
    """

    _n_axes, _kind = 1, AVERAGE_POOLING


@dataclass(frozen=True, repr=False)
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest number of each channel of an image: a row of so many numbers.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network([fastnn.Input((5, 4, 3)), fastnn.GlobalMaxPooling2D()]).plan.output_shape
    (3,)
    """

    _n_axes, _kind = 2, MAX_POOLING


@dataclass(frozen=True, repr=False)
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of an image: a row of so many numbers.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network([fastnn.Input((5, 4, 3)), fastnn.GlobalAveragePooling2D()]).plan.output_shape
    (3,)
    """

    _n_axes, _kind = 2, AVERAGE_POOLING


@dataclass(frozen=True, repr=False)
class GlobalMaxPooling1D(_GlobalPooling):
    """The largest number of each channel of a sequence: a row of so many numbers.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network([fastnn.Input((5, 3)), fastnn.GlobalMaxPooling1D()]).plan.output_shape
    (3,)
    """

    _n_axes, _kind = 1, MAX_OVER_TIME


@dataclass(frozen=True, repr=False)
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of a sequence: a row of so many numbers.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network([fastnn.Input((5, 3)), fastnn.GlobalAveragePooling1D()]).plan.output_shape
    (3,)
    """

    _n_axes, _kind = 1, MEAN_OVER_TIME


__all__ = [
    "AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "MaxPooling1D", "MaxPooling2D",
]  # fmt: skip
