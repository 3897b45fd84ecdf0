"""Layer normalisation: each sample to mean 0 and variance 1 over its units, at every position [1]_.

References
----------
.. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3.
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.ops.normalization import delta_sums, put, scale_and_shift, scale_of, shift_of
from fastnn.kernels.simd import filled, fma, lanes, load, load_first, sqrt, store, store_first
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, gradient_of, parameters_of


@op_unit
def layer_normalization_forward(job, op):
    """target = gamma (x - mean) / sqrt(variance + epsilon) + beta, with statistics over the units of each sample."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    source, target, x_hat = op.source * scale, op.target * scale, op.extra * scale
    inverses = x_hat + op.positions * op.units * scale
    share = filled(buffer, 1.0 / op.units)
    for panel in range(panels_of(job, op)):
        for column in range(0, PANEL, lanes(buffer)):
            at = panel * op.units * PANEL + column
            mean = filled(buffer, 0.0)
            for unit in range(op.units):
                mean = mean + load(buffer, source + at + unit * PANEL)
            mean = mean * share
            variance = filled(buffer, 0.0)
            for unit in range(op.units):
                difference = load(buffer, source + at + unit * PANEL) - mean
                variance = fma(difference, difference, variance)
            inverse = 1.0 / sqrt(fma(variance, share, filled(buffer, op.value)))
            store(buffer, inverses + panel * PANEL + column, inverse)
            for unit in range(op.units):
                i = at + unit * PANEL
                normal = (load(buffer, source + i) - mean) * inverse
                store(buffer, x_hat + i, normal)
                gamma = filled(buffer, scale_of(parameters, op, unit))
                store(buffer, target + i, fma(normal, gamma, filled(buffer, shift_of(parameters, op, unit))))
    return True


@op_unit
def layer_normalization_backward(job, op):
    """delta of the input in place of that of the output, and the gradients of gamma and beta."""
    parameters, gradient, buffer = parameters_of(job), gradient_of(job), buffer_of(job)
    scale = job.capacity * PANEL
    delta, x_hat = job.delta * scale, op.extra * scale
    inverses = x_hat + op.positions * op.units * scale
    if op.n_parameters > 0:
        for unit in range(op.units):
            sums, products = delta_sums(op, buffer, x_hat, delta, unit, job.n_samples)
            if op.weights >= 0:
                put(gradient, op.weights + unit, products, job.start)
            if op.bias >= 0:
                put(gradient, op.bias + unit, sums, job.start)
    share = filled(buffer, 1.0 / op.units)
    for panel in range(panels_of(job, op)):
        for column in range(0, PANEL, lanes(buffer)):
            at = panel * op.units * PANEL + column
            through_mean, through_variance = filled(buffer, 0.0), filled(buffer, 0.0)
            for unit in range(op.units):
                i = at + unit * PANEL
                d = load(buffer, delta + i) * filled(buffer, scale_of(parameters, op, unit))
                through_mean = through_mean + d
                through_variance = fma(d, load(buffer, x_hat + i), through_variance)
                store(buffer, delta + i, d)
            through_mean, through_variance = through_mean * share, through_variance * share
            inverse = load(buffer, inverses + panel * PANEL + column)
            for unit in range(op.units):
                i = at + unit * PANEL
                rest = load(buffer, delta + i) - through_mean - through_variance * load(buffer, x_hat + i)
                store(buffer, delta + i, rest * inverse)
    return True


@row_unit
def layer_normalization_row(row, op):
    """The same sums in the same order, as vectors of equal lanes."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    share = filled(buffer, 1.0 / op.units)
    for position in range(op.positions):
        at = row.source + position * op.units
        mean = filled(buffer, 0.0)
        for unit in range(op.units):
            mean = mean + filled(buffer, buffer[at + unit])
        mean = mean * share
        variance = filled(buffer, 0.0)
        for unit in range(op.units):
            difference = filled(buffer, buffer[at + unit]) - mean
            variance = fma(difference, difference, variance)
        inverse = 1.0 / sqrt(fma(variance, share, filled(buffer, op.value)))
        for unit in range(0, op.units, lanes(buffer)):
            count = min(lanes(buffer), op.units - unit)
            x_hat = (load_first(buffer, at + unit, count) - mean) * inverse
            store_first(buffer, at + unit, scale_and_shift(parameters, op, x_hat, unit), count)
    return True


LAYER_NORMALIZATION = OpKind(
    "layer_normalization", layer_normalization_forward, layer_normalization_backward, layer_normalization_row,
    minds_lengths=True,
)  # fmt: skip
