"""Pooling: the largest number or the mean of each window of an image (height, width, channels).

What lies in the padding counts neither as a number nor for the mean, as in Keras.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import clear
from fastnn.kernels.ops.windows import GEOMETRY, taps_of_output
from fastnn.kernels.simd import filled, lanes, load, maximum, select, store, store_first
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
def _largest(buffer, at, down, run, n_y, n_x, target):
    for i in range(0, run, lanes(buffer)):
        value = load(buffer, at + i)
        for y in range(n_y):
            for x in range(n_x):
                value = _larger(value, load(buffer, at + y * down + x * run + i))
        store(buffer, target + i, value)


@op_unit
def max_pooling_forward(job, op):
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    is_quartering = _is_quartering(d)
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        source = op.source * scale + panel * d.in_y * down
        target = op.target * scale + panel * d.out_y * d.out_x * run
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                at = source + place * run
                if is_quartering:
                    _largest_of_four(buffer, at, down, run, target)
                else:
                    _largest(buffer, at, down, run, n_y, n_x, target)
                target += run
    return True


@inner
def _share(buffer, largest, delta, at, below):
    """Give the delta to the number at `at` where it is the largest; return what is left for the taps to come."""
    is_largest = load(buffer, at) == largest
    store(buffer, below, load(buffer, below) + select(is_largest, delta, 0.0))
    return select(is_largest, 0.0, delta)


@inner
def _put(buffer, largest, delta, at, below):
    """As `_share`, where nothing else is added."""
    is_largest = load(buffer, at) == largest
    store(buffer, below, select(is_largest, delta, 0.0))
    return select(is_largest, 0.0, delta)


@op_unit
def max_pooling_backward(job, op):
    """The delta goes to the first number of the window that is the largest."""
    if not op.has_gradient_below:
        return True
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    n_panels = (job.n_samples + PANEL - 1) // PANEL
    is_quartering = _is_quartering(d)
    if not is_quartering or d.in_y != 2 * d.out_y or d.in_x != 2 * d.out_x:
        clear(buffer, job.other_delta * scale, n_panels * d.in_y * down)
    for panel in range(n_panels):
        source = op.source * scale + panel * d.in_y * down
        below = job.other_delta * scale + panel * d.in_y * down
        first = panel * d.out_y * d.out_x * run
        target, delta = op.target * scale + first, job.delta * scale + first
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                for i in range(0, run, lanes(buffer)):
                    largest, rest = load(buffer, target + i), load(buffer, delta + i)
                    at = place * run + i
                    if is_quartering:
                        rest = _put(buffer, largest, rest, source + at, below + at)
                        rest = _put(buffer, largest, rest, source + at + run, below + at + run)
                        at += down
                        rest = _put(buffer, largest, rest, source + at, below + at)
                        _put(buffer, largest, rest, source + at + run, below + at + run)
                    else:
                        for tap_y in range(n_y):
                            for tap_x in range(n_x):
                                tap = at + tap_y * down + tap_x * run
                                rest = _share(buffer, largest, rest, source + tap, below + tap)
                target += run
                delta += run
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def max_pooling_row(row, op):
    buffer, d = buffer_of(row), _details(op)
    target = row.target
    for y in range(d.out_y):
        for x in range(d.out_x):
            place, n_y, n_x = _window(d, y, x)
            for channel in range(op.units):
                at = row.source + place * op.units + channel
                value = buffer[at]
                for tap_y in range(n_y):
                    for tap_x in range(n_x):
                        other = buffer[at + (tap_y * d.in_x + tap_x) * op.units]
                        value = other if other > value or other != other else value
                buffer[target + channel] = value
            target += op.units
    row.source, row.target = row.target, row.source
    return True


@op_unit
def average_pooling_forward(job, op):
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        source = op.source * scale + panel * d.in_y * down
        target = op.target * scale + panel * d.out_y * d.out_x * run
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                share = filled(buffer, 1.0 / (n_y * n_x))
                for i in range(0, run, lanes(buffer)):
                    value = filled(buffer, 0.0)
                    for tap_y in range(n_y):
                        for tap_x in range(n_x):
                            value = value + load(buffer, source + place * run + tap_y * down + tap_x * run + i)
                    store(buffer, target + i, value * share)
                target += run
    return True


@op_unit
def average_pooling_backward(job, op):
    """Each number of a window gets the same share of its delta."""
    if not op.has_gradient_below:
        return True
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run = op.units * PANEL
    down = d.in_x * run
    n_panels = (job.n_samples + PANEL - 1) // PANEL
    clear(buffer, job.other_delta * scale, n_panels * d.in_y * down)
    for panel in range(n_panels):
        below = job.other_delta * scale + panel * d.in_y * down
        delta = job.delta * scale + panel * d.out_y * d.out_x * run
        for y in range(d.out_y):
            for x in range(d.out_x):
                place, n_y, n_x = _window(d, y, x)
                share = filled(buffer, 1.0 / (n_y * n_x))
                for i in range(0, run, lanes(buffer)):
                    part = load(buffer, delta + i) * share
                    for tap_y in range(n_y):
                        for tap_x in range(n_x):
                            at = below + place * run + tap_y * down + tap_x * run + i
                            store(buffer, at, load(buffer, at) + part)
                delta += run
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def average_pooling_row(row, op):
    """The same sums in the same order, as vectors of equal lanes."""
    buffer, d = buffer_of(row), _details(op)
    target = row.target
    for y in range(d.out_y):
        for x in range(d.out_x):
            place, n_y, n_x = _window(d, y, x)
            share = filled(buffer, 1.0 / (n_y * n_x))
            for channel in range(op.units):
                value = filled(buffer, 0.0)
                for tap_y in range(n_y):
                    for tap_x in range(n_x):
                        at = (place + tap_y * d.in_x + tap_x) * op.units + channel
                        value = value + filled(buffer, buffer[row.source + at])
                store_first(buffer, target + channel, value * share, 1)
            target += op.units
    row.source, row.target = row.target, row.source
    return True


MAX_POOLING = OpKind("max_pooling", max_pooling_forward, max_pooling_backward, max_pooling_row, details=DETAILS)
AVERAGE_POOLING = OpKind(
    "average_pooling", average_pooling_forward, average_pooling_backward, average_pooling_row, details=DETAILS
)  # fmt: skip
