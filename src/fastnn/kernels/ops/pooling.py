"""Pooling: the largest number or the mean of each window of an image (height, width, channels).

What lies in the padding counts neither as a number nor for the mean, as in Keras.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, named
from fastnn.kernels.ops.common import clear, copy, sample_panels
from fastnn.kernels.ops.windows import GEOMETRY, taps_of_output
from fastnn.kernels.simd import lanes, load, maximum, select, store, store_first
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of

DETAILS = np.dtype(GEOMETRY)
_details = details_of(DETAILS)


@inner
def _is_quartering(d):
    """Whether the windows are the usual ones, two by two side by side."""
    return (
        d.taps_y == 2 and d.taps_x == 2 and d.stride_y == 2 and d.stride_x == 2
        and d.pad_y == 0 and d.pad_x == 0 and 2 * d.out_y <= d.in_y and 2 * d.out_x <= d.in_x
    )  # fmt: skip


@inner
def _is_tiling(d):
    """Whether each place lies in one window: then its gradient is written, not added to."""
    return (
        d.taps_y == d.stride_y and d.taps_x == d.stride_x and d.pad_y == 0 and d.pad_x == 0
        and d.out_y * d.taps_y == d.in_y and d.out_x * d.taps_x == d.in_x
    )  # fmt: skip


@inner
def _window(d, y, x):
    """Where the first tap of a window that sees the image is, and how many there are down and across."""
    first_y, n_y = taps_of_output(y, d.in_y, d.taps_y, d.stride_y, 1, d.pad_y)
    first_x, n_x = taps_of_output(x, d.in_x, d.taps_x, d.stride_x, 1, d.pad_x)
    return (y * d.stride_y + first_y - d.pad_y) * d.in_x + x * d.stride_x + first_x - d.pad_x, n_y, n_x


@inlined
def _larger(x, y):
    """The larger of two vectors; a NaN in either stays."""
    return select(y == y, maximum(x, y), y)


@inner
def _largest_of_four(buffer, at, down, run, target):
    for i in range(0, run, lanes(buffer)):
        upper = _larger(load(buffer, at + i), load(buffer, at + run + i))
        lower = _larger(load(buffer, at + down + i), load(buffer, at + down + run + i))
        store(buffer, target + i, _larger(upper, lower))


@inner
def _pool(buffer, at, down, run, n_y, n_x, target, is_max):
    """One window, a place after the other: each is read in one go."""
    copy(buffer, at, target, run)
    for tap in range(1, n_y * n_x):
        source = at + tap // n_x * down + tap % n_x * run
        for i in range(0, run, lanes(buffer)):
            value, other = load(buffer, target + i), load(buffer, source + i)
            store(buffer, target + i, _larger(value, other) if is_max else value + other)
    if not is_max:
        for i in range(0, run, lanes(buffer)):
            store(buffer, target + i, load(buffer, target + i) * (1.0 / (n_y * n_x)))


@inner
def _pool_panels(job, op, is_max):
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    is_quartering = is_max and _is_quartering(d)
    for panel in range(sample_panels(job)):
        source = op.source * scale + panel * d.in_y * down
        target = op.target * scale + panel * d.out_y * d.out_x * run
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                if is_quartering:
                    _largest_of_four(buffer, source + place * run, down, run, target)
                else:
                    _pool(buffer, source + place * run, down, run, n_y, n_x, target, is_max)
                target += run


@inner
def _give(buffer, delta, below, is_tiling):
    store(buffer, below, delta if is_tiling else load(buffer, below) + delta)


@inner
def _share(buffer, largest, delta, at, below, is_tiling):
    """Give the delta of the samples whose number at `at` is the largest to the place below; return the rest."""
    is_largest = load(buffer, at) == largest
    _give(buffer, select(is_largest, delta, 0.0), below, is_tiling)
    return select(is_largest, 0.0, delta)


@inner
def _pass_back(job, op, is_max):
    """To the first number of each window that is the largest, or the same share to all."""
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    n_panels = sample_panels(job)
    is_tiling = _is_tiling(d)
    if not is_tiling:
        clear(buffer, job.other_delta * scale, n_panels * d.in_y * down)
    for panel in range(n_panels):
        source = op.source * scale + panel * d.in_y * down
        below = job.other_delta * scale + panel * d.in_y * down
        first = panel * d.out_y * d.out_x * run
        target, delta = op.target * scale + first, job.delta * scale + first
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                at = place * run
                if is_max:
                    for i in range(0, run, lanes(buffer)):
                        largest, rest = load(buffer, target + i), load(buffer, delta + i)
                        for tap_y in range(n_y):
                            for tap_x in range(n_x):
                                tap = at + tap_y * down + tap_x * run + i
                                rest = _share(buffer, largest, rest, source + tap, below + tap, is_tiling)
                else:
                    for tap in range(n_y * n_x):
                        to = below + at + tap // n_x * down + tap % n_x * run
                        for i in range(0, run, lanes(buffer)):
                            _give(buffer, load(buffer, delta + i) * (1.0 / (n_y * n_x)), to + i, is_tiling)
                target += run
                delta += run
    job.delta, job.other_delta = job.other_delta, job.delta


@inner
def _pool_row(row, op, is_max):
    """The same in the same order, with channels across the lanes."""
    buffer, d = buffer_of(row), _details(op)
    width, target = lanes(buffer), row.target
    for y in range(d.out_y):
        for x in range(d.out_x):
            place, n_y, n_x = _window(d, y, x)
            for channel in range(0, op.units, width):
                at = row.source + place * op.units + channel
                value = load(buffer, at)
                for tap in range(1, n_y * n_x):
                    other = load(buffer, at + (tap // n_x * d.in_x + tap % n_x) * op.units)
                    value = _larger(value, other) if is_max else value + other
                if not is_max:
                    value = value * (1.0 / (n_y * n_x))
                store_first(buffer, target + channel, value, min(width, op.units - channel))
            target += op.units
    row.source, row.target = row.target, row.source


def _pooling(name, is_max):
    """Build the op of one kind: the largest number of a window, or the mean."""

    @op_unit
    @named(f"{name}_forward")
    def forward(job, op):
        _pool_panels(job, op, is_max)
        return True

    @op_unit
    @named(f"{name}_backward")
    def backward(job, op):
        if op.has_gradient_below:
            _pass_back(job, op, is_max)
        return True

    @row_unit
    @named(f"{name}_row")
    def single_row(row, op):
        _pool_row(row, op, is_max)
        return True

    return OpKind(name, forward, backward, single_row, details=DETAILS)


MAX_POOLING, AVERAGE_POOLING = _pooling("max_pooling", True), _pooling("average_pooling", False)
