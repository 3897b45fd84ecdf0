"""Convolution and transposed convolution over images (height, width, channels) with samples across the lanes."""

from fastnn.kernels.conv_tile import diagonal_pair_tile, diagonal_window_tile, pair_tile, window_tile
from fastnn.kernels.convolve import DETAILS, gather_products, pair_products, spread_products, sums_over_positions
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.windows import taps_of_input, taps_of_output
from fastnn.kernels.simd import filled, fma, lanes, load, store_first
from fastnn.kernels.units import OpKind, call_op, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, parameters_of

_details = details_of(DETAILS)


@op_unit
def convolution_forward(job, op):
    scale = job.capacity * PANEL
    gather_products(job, _details(op), op.source * scale, op.target * scale, op.weights, op.bias)
    return True


@op_unit
def convolution_backward(job, op):
    """The gradients of input, kernel and bias, as far as they are wanted."""
    details = _details(op)
    if job.n_samples > 0:
        if op.has_gradient_below:
            call_op(details.input_gradient, job, op)
        if op.n_parameters > 0:
            call_op(details.weight_gradient, job, op)
    if op.has_gradient_below:
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@op_unit
def convolution_input_gradient(job, op):
    scale = job.capacity * PANEL
    spread_products(job, _details(op), job.delta * scale, job.other_delta * scale, op.weights, -1)
    return True


@op_unit
def convolution_weight_gradient(job, op):
    scale, d = job.capacity * PANEL, _details(op)
    pair_products(job, d, op.source * scale, job.delta * scale, op.weights)
    if op.bias >= 0:
        sums_over_positions(job, job.delta * scale, d.out_y * d.out_x, d.filters, op.bias)
    return True


@op_unit
def transposed_forward(job, op):
    scale = job.capacity * PANEL
    spread_products(job, _details(op), op.source * scale, op.target * scale, op.weights, op.bias)
    return True


@op_unit
def transposed_input_gradient(job, op):
    scale = job.capacity * PANEL
    gather_products(job, _details(op), job.delta * scale, job.other_delta * scale, op.weights, -1)
    return True


@op_unit
def transposed_weight_gradient(job, op):
    scale, d = job.capacity * PANEL, _details(op)
    pair_products(job, d, job.delta * scale, op.source * scale, op.weights)
    if op.bias >= 0:
        sums_over_positions(job, job.delta * scale, d.in_y * d.in_x, d.channels, op.bias)
    return True


# --- one row ----------------------------------------------------------------------------------------------------------

_CHAINS = 4  # windows that are computed side by side, since each sum waits for its last product


@inner
def _multiply_windows(parameters, d, buffer, op, unit, n, source, target, first_y, n_y, first_x, n_x):
    """All filters of a group at `n` neighbouring windows; `source` is where the first tap's channels lie.

    Lanes beyond the last filter read on in the parameters, and are not stored; nor are chains beyond the last window,
    which compute it again.
    """
    width, step = lanes(buffer), d.stride_x * d.channels
    in_size, out_size = d.channels // d.groups, d.filters // d.groups
    # The channels of neighbouring taps lie one after the other, in the image and in the kernel.
    n_joined = n_x if d.dilation_x == 1 and d.groups == 1 else 1
    step_1, step_2, step_3 = min(1, n - 1) * step, min(2, n - 1) * step, min(3, n - 1) * step
    for column in range(0, out_size, width):
        z_0 = load(parameters, op.bias + unit + column) if op.bias >= 0 else filled(buffer, 0.0)
        z_1, z_2, z_3 = z_0, z_0, z_0
        for tap_y in range(n_y):
            for tap_x in range(0, n_x, n_joined):
                tap = (first_y + tap_y) * d.taps_x + first_x + tap_x
                at = op.weights + tap * in_size * d.filters + unit + column
                place = source + (tap_y * d.dilation_y * d.in_x + tap_x * d.dilation_x) * d.channels
                for c in range(place, place + n_joined * in_size):
                    weights = load(parameters, at)
                    z_0 = fma(filled(buffer, buffer[c]), weights, z_0)
                    z_1 = fma(filled(buffer, buffer[c + step_1]), weights, z_1)
                    z_2 = fma(filled(buffer, buffer[c + step_2]), weights, z_2)
                    z_3 = fma(filled(buffer, buffer[c + step_3]), weights, z_3)
                    at += d.filters
        n_last, at = min(width, out_size - column), target + column
        store_first(buffer, at, z_0, n_last)
        if n > 1:
            store_first(buffer, at + d.filters, z_1, n_last)
        if n > 2:
            store_first(buffer, at + 2 * d.filters, z_2, n_last)
        if n > 3:
            store_first(buffer, at + 3 * d.filters, z_3, n_last)


@row_unit
def convolution_row(row, op):
    """A few windows after the others, filters across the lanes."""
    parameters, buffer, d = parameters_of(row), buffer_of(row), _details(op)
    in_size, out_size = d.channels // d.groups, d.filters // d.groups
    for y in range(d.out_y):
        first_y, n_y = taps_of_output(y, d.in_y, d.taps_y, d.stride_y, d.dilation_y, d.pad_y)
        place_y = (y * d.stride_y + first_y * d.dilation_y - d.pad_y) * d.in_x
        x = 0
        while x < d.out_x:
            first_x, n_x = taps_of_output(x, d.in_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x)
            n = 1
            while n < _CHAINS and x + n < d.out_x:
                other, n_other = taps_of_output(x + n, d.in_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x)
                if other != first_x or n_other != n_x:
                    break
                n += 1
            place = place_y + x * d.stride_x + first_x * d.dilation_x - d.pad_x
            for group in range(d.groups):
                source = row.source + place * d.channels + group * in_size
                target = row.target + (y * d.out_x + x) * d.filters + group * out_size
                _multiply_windows(parameters, d, buffer, op, group * out_size, n, source, target, first_y, n_y,
                                  first_x, n_x)  # fmt: skip
            x += n
    row.source, row.target = row.target, row.source
    return True


@row_unit
def transposed_row(row, op):
    """One place after the other; the sum of each is over filters, which lie together in kernel and input."""
    parameters, buffer, d = parameters_of(row), buffer_of(row), _details(op)
    for y in range(d.in_y):
        first_y, n_y, window_y = taps_of_input(
            y, d.out_y, d.taps_y, d.stride_y, d.dilation_y, d.pad_y, d.tap_step_y
        )  # fmt: skip
        for x in range(d.in_x):
            first_x, n_x, window_x = taps_of_input(
                x, d.out_x, d.taps_x, d.stride_x, d.dilation_x, d.pad_x, d.tap_step_x
            )
            for channel in range(d.channels):
                value = parameters[op.bias + channel] if op.bias >= 0 else buffer[0] * 0
                for i in range(n_y):
                    for j in range(n_x):
                        tap = (first_y + i * d.tap_step_y) * d.taps_x + first_x + j * d.tap_step_x
                        at = op.weights + (tap * d.channels + channel) * d.filters
                        window = (window_y - i * d.out_step_y) * d.out_x + window_x - j * d.out_step_x
                        for f in range(d.filters):
                            value += parameters[at + f] * buffer[row.source + window * d.filters + f]
                buffer[row.target + (y * d.in_x + x) * d.channels + channel] = value
    row.source, row.target = row.target, row.source
    return True


def _parts_of(input_gradient, weight_gradient, pairs=pair_tile):
    def parts(op, dtype, *, by_layer, is_large):
        """What the backward pass of one op consists of."""
        wanted = {}
        if op["has_gradient_below"]:
            wanted["input_gradient"] = input_gradient
        if op["n_parameters"] > 0:
            wanted.update(weight_gradient=weight_gradient, pairs=pairs)
        return wanted

    return parts


CONVOLUTION = OpKind(
    "convolution", convolution_forward, convolution_backward, convolution_row, details=DETAILS,
    parts=_parts_of(convolution_input_gradient, convolution_weight_gradient), forward_parts={"window": window_tile},
    one_panel=True,
)  # fmt: skip
DEPTHWISE_CONVOLUTION = OpKind(
    "depthwise_convolution", convolution_forward, convolution_backward, convolution_row, details=DETAILS,
    parts=_parts_of(convolution_input_gradient, convolution_weight_gradient, diagonal_pair_tile),
    forward_parts={"window": diagonal_window_tile}, one_panel=True,
)  # fmt: skip
TRANSPOSED_CONVOLUTION = OpKind(
    "transposed_convolution", transposed_forward, convolution_backward, transposed_row, details=DETAILS,
    parts=_parts_of(transposed_input_gradient, transposed_weight_gradient), forward_parts={"window": window_tile},
    one_panel=True,
)  # fmt: skip
