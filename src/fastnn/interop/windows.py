"""How the windows of a layer lie on each axis, in the words of libraries that pad by numbers."""

from dataclasses import dataclass
from typing import Any

from fastnn.layers.windows import both, lay, lay_transposed


@dataclass(frozen=True)
class Axis:
    """How windows lie along one axis.

    Parameters
    ----------
    n_in, n_out : int
        Places of the image, and windows; for a transposed convolution places before and after.
    taps, stride, dilation : int
        Places that a window looks at, how far one window is from the next, and one place from the next.
    pad, pad_after : int
        How far the first window begins before the image and the last one ends behind it, >= 0; for a transposed
        convolution, how many places are cut off.
    missing : int, default 0
        Places behind the last block of a transposed convolution that no block reaches.
    """

    n_in: int
    n_out: int
    taps: int
    stride: int
    dilation: int
    pad: int
    pad_after: int
    missing: int = 0


def sizes_of(layer: Any, n_axes: int) -> list[tuple[int, int, int]]:
    """Return (taps, stride, dilation) of a convolution or pooling for each axis."""
    taps = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    strides = taps if layer.strides is None else layer.strides
    dilation = getattr(layer, "dilation", 1)
    return list(zip(*(both(sizes, n_axes)[2 - n_axes :] for sizes in (taps, strides, dilation)), strict=True))


def lay_windows(layer: Any, shape: tuple[int, ...]) -> list[Axis]:
    """Return how the windows of a convolution or pooling lie on samples of this shape, channels last."""
    return [
        lay_axis(n_in, *sizes, layer.padding)
        for n_in, sizes in zip(shape[:-1], sizes_of(layer, len(shape) - 1), strict=True)
    ]


def lay_axis(n_in: int, taps: int, stride: int, dilation: int, padding: str) -> Axis:
    """Return how windows lie along one axis.

    Examples
    --------
    >>> lay_axis(7, 3, 2, 1, "same")
    Axis(n_in=7, n_out=4, taps=3, stride=2, dilation=1, pad=1, pad_after=1, missing=0)
    """
    windows = lay("a layer", "length", n_in, taps, stride, dilation, padding)
    reach = (windows.n_out - 1) * stride + (taps - 1) * dilation + 1
    return Axis(n_in, windows.n_out, taps, stride, dilation, windows.pad, max(0, reach - n_in - windows.pad))


def lay_transposed_windows(layer: Any, shape: tuple[int, ...]) -> list[Axis]:
    """Return how the blocks of a transposed convolution lie on samples of this shape, channels last."""
    return [
        lay_transposed_axis(n_in, taps, stride, layer.padding)
        for n_in, (taps, stride, _) in zip(shape[:-1], sizes_of(layer, len(shape) - 1), strict=True)
    ]


def lay_transposed_axis(n_in: int, taps: int, stride: int, padding: str) -> Axis:
    """Return how blocks lie along one axis.

    Examples
    --------
    >>> lay_transposed_axis(4, 3, 2, "same")
    Axis(n_in=4, n_out=8, taps=3, stride=2, dilation=1, pad=0, pad_after=1, missing=0)
    """
    windows = lay_transposed(n_in, taps, stride, padding)
    reach = (n_in - 1) * stride + taps
    excess = reach - windows.n_in
    return Axis(n_in, windows.n_in, taps, stride, 1, windows.pad, max(0, excess - windows.pad), max(0, -excess))
