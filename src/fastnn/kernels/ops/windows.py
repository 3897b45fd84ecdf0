"""Windows that move over an image: which taps see which places, in one dimension at a time.

The numbers of a window are n_in (places of the image), n_out (of the windows), k (taps), stride, dilation and pad (how
far the first window begins before the image). Tap t of window o sees place o * stride + t * dilation - pad.

Jobs
----
- `GEOMETRY`: the fields of `details` that say how windows lie
- `taps_of_output`, `taps_of_input`, `outputs_of_tap`
"""

import numpy as np

from fastnn.kernels.jit import inner

GEOMETRY = [
    (f"{name}_{axis}", np.int64)
    for name in ("in", "out", "taps", "stride", "dilation", "pad", "tap_step", "out_step")
    for axis in ("y", "x")
]


@inner
def ceil_div(a, b):
    return -((-a) // b)


@inner
def taps_of_output(o, n_in, k, stride, dilation, pad):
    """The taps of window o that see the image: (the first, how many)."""
    begin = o * stride - pad
    first = max(0, ceil_div(-begin, dilation))
    end = min(k, (n_in - 1 - begin) // dilation + 1)
    return first, max(0, end - first)


@inner
def taps_of_input(i, n_out, k, stride, dilation, pad, tap_step):
    """The taps by which windows see place i: (the first, how many, the window of the first).

    The taps lie `tap_step` apart, and their windows `out_step` = tap_step * dilation / stride, in falling order.
    """
    at = i + pad
    first = max(0, ceil_div(at - (n_out - 1) * stride, dilation))
    end = min(k, at // dilation + 1)
    while first < end and (at - first * dilation) % stride != 0:
        first += 1
    if first >= end:
        return 0, 0, 0
    return first, (end - first + tap_step - 1) // tap_step, (at - first * dilation) // stride


@inner
def outputs_of_tap(t, n_in, n_out, stride, dilation, pad):
    """The windows whose tap t sees the image: (the first, how many)."""
    begin = t * dilation - pad
    first = max(0, ceil_div(-begin, stride))
    end = min(n_out, (n_in - 1 - begin) // stride + 1)
    return first, max(0, end - first)
