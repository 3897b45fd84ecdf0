"""Each unit times a factor of its own, and plus a shift of its own where there is one: y = g x + b."""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.ops.normalization import delta_sums, put, shift_of
from fastnn.kernels.simd import filled, fma, lanes, load, load_first, store, store_first
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, gradient_of, parameters_of


@op_unit
def scale_forward(job, op):
    """target = g source + b."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    source, target = op.source * scale, op.target * scale
    for panel in range(panels_of(job, op)):
        for unit in range(op.units):
            factor = filled(buffer, parameters[op.weights + unit])
            shift = filled(buffer, shift_of(parameters, op, unit))
            at = (panel * op.units + unit) * PANEL
            for i in range(at, at + PANEL, lanes(buffer)):
                store(buffer, target + i, fma(factor, load(buffer, source + i), shift))
    return True


@op_unit
def scale_backward(job, op):
    """dg = sum of x dy, db = sum of dy, over samples and positions; dx = g dy."""
    parameters, gradient, buffer = parameters_of(job), gradient_of(job), buffer_of(job)
    scale = job.capacity * PANEL
    source, delta = op.source * scale, job.delta * scale
    if op.n_parameters > 0 and job.n_samples > 0:
        for unit in range(op.units):
            sums, products = delta_sums(op, buffer, source, delta, unit, job.n_samples)
            put(gradient, op.weights + unit, products, job.start)
            if op.bias >= 0:
                put(gradient, op.bias + unit, sums, job.start)
    if op.has_gradient_below:
        for panel in range(panels_of(job, op)):
            for unit in range(op.units):
                factor = filled(buffer, parameters[op.weights + unit])
                at = delta + (panel * op.units + unit) * PANEL
                for i in range(at, at + PANEL, lanes(buffer)):
                    store(buffer, i, factor * load(buffer, i))
    return True


@row_unit
def scale_row(row, op):
    """y = g x + b in place."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    for position in range(op.positions):
        at = row.source + position * op.units
        for unit in range(0, op.units, lanes(buffer)):
            count = min(lanes(buffer), op.units - unit)
            y = load_first(buffer, at + unit, count) * load_first(parameters, op.weights + unit, count)
            if op.bias >= 0:
                y = y + load_first(parameters, op.bias + unit, count)
            store_first(buffer, at + unit, y, count)
    return True


SCALE = OpKind("scale", scale_forward, scale_backward, scale_row)
