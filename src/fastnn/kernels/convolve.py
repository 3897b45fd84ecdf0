"""The three products of a convolution on panels, written as register tiles whose operands lie at offsets.

A convolution connects a large image of `channels` with a small one of `filters`, for each of its `groups` apart:

    gather    small[o, f] = bias[f] + sum over taps t and channels c of W[t, c, f] large[i, c]
    spread    large[i, c] = bias[c] + sum over taps t and filters f of W[t, c, f] small[o, f]
    pairs     dW[t, c, f] = sum over windows o and samples of large[i, c] dsmall[o, f]

where window o sees by tap t the place i = o * stride + t * dilation - pad.

The forward pass of a convolution gathers and the gradient of its input is spread; a transposed convolution does it the
other way round. What lies in the padding is left out, not multiplied by 0: windows that the edge of the image cuts in
the same way are computed together.

Jobs
----
- `gather_products`, `spread_products`, `pair_products`
- `sums_over_positions`: the gradient of a bias
"""

import numpy as np

from fastnn.kernels.conv_tile import DIAGONAL_ROWS, PAIR_COLUMNS, PAIR_ROWS
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.common import sample_panels
from fastnn.kernels.ops.windows import GEOMETRY, outputs_of_tap, taps_of_input, taps_of_output
from fastnn.kernels.simd import VECTOR_BYTES, filled, lanes, load, store, total
from fastnn.kernels.tables import WINDOW
from fastnn.kernels.tile import ADD, TILE_ROWS, TILE_VECTORS
from fastnn.kernels.units import call_window
from fastnn.kernels.views import buffer_of, gradient_of, on_stack, parameters_of

DETAILS = np.dtype(
    [
        *GEOMETRY,
        ("channels", np.int64),
        ("filters", np.int64),
        ("groups", np.int64),
        ("is_diagonal", np.int64),  # whether each channel is convolved for itself: tiles take many groups
        ("window", np.int64),  # addresses of units
        ("pairs", np.int64),
        ("input_gradient", np.int64),
        ("weight_gradient", np.int64),
    ]
)

_new_window = on_stack(WINDOW)


@inner
def _groups(d):
    """How many groups tiles work on one after the other, and of each the channels and the filters."""
    if d.is_diagonal:
        return 1, d.channels, d.filters
    return d.groups, d.channels // d.groups, d.filters // d.groups


@inner
def _fill(job, at, height, bias):
    """Put the bias (0 if it is below 0) into `height` rows of a panel: what no tap reaches."""
    buffer, parameters = buffer_of(job), parameters_of(job)
    for r in range(height):
        value = filled(buffer, parameters[bias + r] if bias >= 0 else 0.0)
        for column in range(0, PANEL, lanes(buffer)):
            store(buffer, at + r * PANEL + column, value)


@inner
def _gather_row(job, d, w, at_a, at_b, at_c, columns, height, bias, column):
    """All windows of one column of them, or of some neighbouring columns that see the same taps."""
    x, n_next, first_x, n_x = columns
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    in_size, channels, filters = d.channels // d.groups, d.channels, d.filters
    is_joined = d.dilation_x == 1 and d.groups == 1
    w.n_next, w.n_middle, w.n_inner = n_next, n_x, in_size
    if is_joined:  # the channels of neighbouring taps lie one after the other, in the image and in the kernel
        w.n_middle, w.n_inner = 1, n_x * in_size
    for y in range(d.out_y):
        first_y, w.n_outer = taps_of_output(y, d.in_y, d.taps_y, d.stride_y, d.dilation_y, d.pad_y)
        place = (y * d.stride_y + first_y * d.dilation_y - d.pad_y) * d.in_x
        place += x * d.stride_x + first_x * d.dilation_x - d.pad_x
        target = at_c + (y * d.out_x + x) * filters * PANEL
        if w.n_outer == 0 or n_x == 0:
            if column == 0:
                for i in range(n_next):
                    _fill(job, target + i * filters * PANEL, height, bias)
            continue
        w.a = job.parameters + (at_a + (first_y * d.taps_x + first_x) * in_size * filters) * item_size
        w.b = job.buffer + (at_b + place * channels * PANEL + column) * item_size
        w.c = job.buffer + (target + column) * item_size
        call_window(d.window, job, w)


@inner
def gather_products(job, d, large, small, weights, bias):
    """From the large image to the small one; a bias < 0 means none."""
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    n_groups, in_size, out_size = _groups(d)
    w = _new_window()
    kernel_step = d.channels // d.groups * d.filters
    w.a_row, w.a_inner, w.a_middle, w.a_outer = 1, d.filters, kernel_step, d.taps_x * kernel_step
    w.b_inner, w.b_middle = PANEL, d.dilation_x * d.channels * PANEL
    w.b_outer = d.dilation_y * d.in_x * d.channels * PANEL
    w.b_next, w.c_next = d.stride_x * d.channels * PANEL, d.filters * PANEL
    w.has_bias, w.n_columns = bias >= 0, 1
    n_tiles = (out_size + TILE_ROWS - 1) // TILE_ROWS
    for group in range(n_groups):
        for panel in range(sample_panels(job)):
            at_b = large + (panel * d.in_y * d.in_x * d.channels + group * in_size) * PANEL
            unit = group * out_size
            for t in range(n_tiles):
                height = out_size // n_tiles + (t < out_size % n_tiles)
                own_bias = bias + unit if bias >= 0 else -1
                w.n_rows, w.bias = height, job.parameters + max(own_bias, 0) * item_size
                at_c = small + (panel * d.out_y * d.out_x * d.filters + unit) * PANEL
                x = 0
                while x < d.out_x:
                    first, n = taps_of_output(x, d.in_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x)
                    end = x + 1
                    while end < d.out_x:
                        other, n_other = taps_of_output(end, d.in_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x)
                        if other != first or n_other != n:
                            break
                        end += 1
                    for column in range(0, PANEL, TILE_VECTORS * width):
                        columns = x, end - x, first, n
                        _gather_row(job, d, w, weights + unit, at_b, at_c, columns, height, own_bias, column)
                    x = end
                unit += height
                at_b += height * PANEL * d.is_diagonal


@inner
def _spread_row(job, d, w, at_a, at_b, at_c, columns, height, bias, column):
    """All places of one column of the image, or of columns a stride apart that the same taps reach."""
    x, n_next, first_x, n_x, window_x = columns
    item_size = VECTOR_BYTES // lanes(buffer_of(job))
    in_size, channels, filters = d.channels // d.groups, d.channels, d.filters
    w.n_next, w.n_middle = n_next, n_x
    for y in range(d.in_y):
        first_y, w.n_outer, window_y = taps_of_input(
            y, d.out_y, d.taps_y, d.stride_y, d.dilation_y, d.pad_y, d.tap_step_y
        )
        target = at_c + (y * d.in_x + x) * channels * PANEL
        if w.n_outer == 0 or n_x == 0:
            if column == 0:
                for i in range(n_next):
                    _fill(job, target + i * d.stride_x * channels * PANEL, height, bias)
            continue
        w.a = job.parameters + (at_a + (first_y * d.taps_x + first_x) * in_size * filters) * item_size
        w.b = job.buffer + (at_b + (window_y * d.out_x + window_x) * filters * PANEL + column) * item_size
        w.c = job.buffer + (target + column) * item_size
        call_window(d.window, job, w)


@inner
def spread_products(job, d, small, large, weights, bias):
    """From the small image to the large one; a bias < 0 means none."""
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    n_groups, in_size, out_size = _groups(d)
    w = _new_window()
    kernel_step = d.channels // d.groups * d.filters
    w.a_row, w.a_inner = 1 if d.is_diagonal else d.filters, 1
    w.a_middle = d.tap_step_x * kernel_step
    w.a_outer = d.tap_step_y * d.taps_x * kernel_step
    w.b_inner, w.b_middle = PANEL, -d.out_step_x * d.filters * PANEL
    w.b_outer = -d.out_step_y * d.out_x * d.filters * PANEL
    w.b_next, w.c_next = d.filters * PANEL, d.stride_x * d.channels * PANEL
    w.n_inner, w.has_bias, w.n_columns = 1 if d.is_diagonal else out_size, bias >= 0, 1
    n_tiles = (in_size + TILE_ROWS - 1) // TILE_ROWS
    for group in range(n_groups):
        for panel in range(sample_panels(job)):
            at_b = small + (panel * d.out_y * d.out_x * d.filters + group * out_size) * PANEL
            unit = 0
            for t in range(n_tiles):
                height = in_size // n_tiles + (t < in_size % n_tiles)
                own_bias = bias + group * in_size + unit if bias >= 0 else -1
                w.n_rows, w.bias = height, job.parameters + max(own_bias, 0) * item_size
                at_a = weights + unit * w.a_row + group * out_size
                at_c = large + (panel * d.in_y * d.in_x * d.channels + group * in_size + unit) * PANEL
                for begin in range(min(d.stride_x, d.in_x)):
                    x = begin
                    while x < d.in_x:
                        first, n, window = taps_of_input(
                            x, d.out_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x, d.tap_step_x
                        )
                        end = x + d.stride_x
                        while end < d.in_x:
                            other, n_other, _ = taps_of_input(
                                end, d.out_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x, d.tap_step_x
                            )
                            if other != first or n_other != n:
                                break
                            end += d.stride_x
                        n_next = (end - x) // d.stride_x
                        for column in range(0, PANEL, TILE_VECTORS * width):
                            columns = x, n_next, first, n, window
                            _spread_row(job, d, w, at_a, at_b, at_c, columns, height, own_bias, column)
                        x = end
                unit += height
                at_b += height * PANEL * d.is_diagonal


@inner
def _pairs_of_run(job, d, w, at_a, at_b, offset, n_run, out_size, is_empty):
    """The sums for `n_run` neighbouring rows of the kernel and all filters of a group; `w` holds the loops."""
    buffer, gradient = buffer_of(job), gradient_of(job)
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    area = job.strips * job.capacity * PANEL
    most_rows, row_step = (DIAGONAL_ROWS, 1) if d.is_diagonal else (PAIR_ROWS, d.filters)
    n_heights, n_widths = (n_run + most_rows - 1) // most_rows, (out_size + PAIR_COLUMNS - 1) // PAIR_COLUMNS
    w.c = job.buffer + area * item_size
    row = 0
    for i in range(n_heights):
        w.n_rows = n_run // n_heights + (i < n_run % n_heights)
        w.a = job.buffer + (at_a + row * PANEL) * item_size
        column = 0
        for j in range(n_widths):
            w.n_columns = out_size // n_widths + (j < out_size % n_widths)
            if not is_empty:
                w.b = job.buffer + (at_b + (row if d.is_diagonal else column) * PANEL) * item_size
                call_window(d.pairs, job, w)
            for r in range(w.n_rows):
                at = offset + (row + r) * row_step + column
                for q in range(w.n_columns):
                    value = gradient[at + q] if job.start == ADD else 0.0
                    if not is_empty:
                        value += total(load(buffer, area + (r * w.n_columns + q) * width))
                    gradient[at + q] = value
            column += w.n_columns
        row += w.n_rows


@inner
def pair_products(job, d, large, small, weights):
    """The gradient of the kernel, into the gradient vector from `weights` on."""
    n_groups, in_size, out_size = _groups(d)
    kernel_step = d.channels // d.groups * d.filters
    w = _new_window()
    w.a_outer, w.a_middle = d.in_y * d.in_x * d.channels * PANEL, d.stride_y * d.in_x * d.channels * PANEL
    w.a_inner = d.stride_x * d.channels * PANEL
    w.b_outer, w.b_middle = d.out_y * d.out_x * d.filters * PANEL, d.out_x * d.filters * PANEL
    w.b_inner = d.filters * PANEL
    w.n_outer = sample_panels(job)
    # Without padding all taps of a row of the kernel see the image from every window.
    _, n_last = outputs_of_tap(d.taps_x - 1, d.in_x, d.out_x, d.stride_x, d.dilation_x, d.pad_x)
    is_joined = d.dilation_x == 1 and d.groups == 1 and d.pad_x == 0 and n_last == d.out_x
    n_runs = 1 if is_joined else d.taps_x
    n_run = d.taps_x * in_size if is_joined else in_size
    for tap_y in range(d.taps_y):
        y, w.n_middle = outputs_of_tap(tap_y, d.in_y, d.out_y, d.stride_y, d.dilation_y, d.pad_y)
        for tap_x in range(n_runs):
            x, w.n_inner = outputs_of_tap(tap_x, d.in_x, d.out_x, d.stride_x, d.dilation_x, d.pad_x)
            place = (y * d.stride_y + tap_y * d.dilation_y - d.pad_y) * d.in_x
            place += x * d.stride_x + tap_x * d.dilation_x - d.pad_x
            is_empty = w.n_outer == 0 or w.n_middle == 0 or w.n_inner == 0
            for group in range(n_groups):
                at_a = large + (place * d.channels + group * in_size) * PANEL
                at_b = small + ((y * d.out_x + x) * d.filters + group * out_size) * PANEL
                offset = weights + (tap_y * d.taps_x + tap_x) * kernel_step + group * out_size
                _pairs_of_run(job, d, w, at_a, at_b, offset, n_run, 1 if d.is_diagonal else out_size, is_empty)


@inner
def sums_over_positions(job, at, positions, units, bias):
    """The gradient of a bias: the sum of a region over all samples and positions, for each unit."""
    buffer, gradient = buffer_of(job), gradient_of(job)
    width = lanes(buffer)
    n = sample_panels(job) * positions
    for unit in range(units):
        sum_0, sum_1 = filled(buffer, 0.0), filled(buffer, 0.0)
        for panel in range(n):
            row = at + (panel * units + unit) * PANEL
            for column in range(0, PANEL, 2 * width):
                sum_0 = sum_0 + load(buffer, row + column)
                sum_1 = sum_1 + load(buffer, row + column + width)
        value = gradient[bias + unit] if job.start == ADD else 0.0
        gradient[bias + unit] = value + total(sum_0 + sum_1)
