"""Arguments that say how windows move over images or sequences, as Keras has them."""

import math
import numbers
from dataclasses import dataclass
from typing import Any

from fastnn.common.validation import LARGEST, check_choice
from fastnn.engine.plan import PlanBuilder

PADDINGS = ("valid", "same")
AXES = {1: ("time", "channels"), 2: ("height", "width", "channels")}


def check_sizes(name: str, value: Any, n_axes: int) -> Any:
    """Return an integer >= 1, or a tuple of so many: one an axis."""
    kind = "an integer >= 1" + (f" or a tuple of {n_axes} such" if n_axes > 1 else "")
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if any(isinstance(size, bool) or not isinstance(size, numbers.Integral) for size in sizes):
        raise TypeError(f"{name} must be {kind}, got {value!r}")
    if min(sizes, default=0) < 1 or max(sizes) > LARGEST or (isinstance(value, (tuple, list)) and len(sizes) != n_axes):
        raise ValueError(f"{name} must be {kind}, got {value!r}")
    return tuple(map(int, sizes)) if isinstance(value, (tuple, list)) else int(sizes[0])


def both(sizes: Any, n_axes: int = 2, rest: int = 1) -> tuple[int, int]:
    """Return one number an axis of an image, of which a sequence is one with a single row."""
    given = sizes if isinstance(sizes, tuple) else (sizes,) * n_axes
    return (rest, given[0]) if n_axes == 1 else (given[0], given[1])


def image_shape(plan: PlanBuilder, layer: str, n_axes: int) -> tuple[int, int, int]:
    """Return (height, width, channels) at this point of the network, or raise ValueError if it is no image."""
    if len(plan.shape) != n_axes + 1:
        kind = "images" if n_axes == 2 else "sequences"
        wanted = "(" + ", ".join(AXES[n_axes]) + ")"
        begin = f"start with Input({wanted}) or put a Reshape before it"
        if len(plan.shape) == n_axes and plan.layer == 1:
            begin = f"for one channel start with Input({(*plan.shape, 1)}) and give X[..., numpy.newaxis]"
        raise ValueError(
            f"{layer} takes {kind} of shape {wanted}, but a sample has the shape {plan.shape} at layers[{plan.layer}]; "
            f"{begin}"
        )
    return plan.shape if n_axes == 2 else (1, *plan.shape)  # type: ignore[return-value]


def check_padding(padding: Any) -> None:
    check_choice("padding", padding, PADDINGS)


@dataclass(frozen=True)
class Windows:
    """How windows lie along one axis.

    Parameters
    ----------
    n_in : int
        Places of the image.
    n_out : int
        Windows.
    taps, stride, dilation : int
        Places a window looks at, how far one window is from the next, and one place from the next.
    pad : int
        How far the first window begins before the image.
    """

    n_in: int
    n_out: int
    taps: int
    stride: int
    dilation: int
    pad: int

    @property
    def fields(self) -> tuple[int, ...]:
        """In the order of `fastnn.kernels.ops.windows.GEOMETRY`."""
        divisor = math.gcd(self.stride, self.dilation)
        steps = self.stride // divisor, self.dilation // divisor
        return (self.n_in, self.n_out, self.taps, self.stride, self.dilation, self.pad, *steps)


def lay(layer: str, axis: str, n_in: int, taps: int, stride: int, dilation: int, padding: str) -> Windows:
    """Return how windows lie along an axis; "same" gives ceil(n_in / stride) of them, as in Keras.

    Raises
    ------
    ValueError
        If a window without padding is larger than the image.
    """
    span = (taps - 1) * dilation + 1
    if padding == "same":
        n_out = -(-n_in // stride)
        return Windows(n_in, n_out, taps, stride, dilation, max(0, (n_out - 1) * stride + span - n_in) // 2)
    if span > n_in:
        raise ValueError(
            f"{layer} looks at windows {span} long, but the {axis} of its input is {n_in}; "
            'make the window smaller or use padding="same"'
        )
    return Windows(n_in, (n_in - span) // stride + 1, taps, stride, dilation, 0)


def lay_transposed(n_in: int, taps: int, stride: int, padding: str) -> Windows:
    """Return the windows whose places are the outputs of a transposed convolution, and that are its n_in inputs."""
    n_large = n_in * stride if padding == "same" else n_in * stride + max(taps - stride, 0)
    pad = max(0, (n_in - 1) * stride + taps - n_large) // 2 if padding == "same" else 0
    return Windows(n_large, n_in, taps, stride, 1, pad)


def details_of(y: Windows, x: Windows) -> dict[str, float]:
    """Return the fields of `fastnn.kernels.ops.windows.GEOMETRY`."""
    names = ("in", "out", "taps", "stride", "dilation", "pad", "tap_step", "out_step")
    return {
        f"{name}_{axis}": value
        for axis, windows in (("y", y), ("x", x))
        for name, value in zip(names, windows.fields, strict=True)
    }
