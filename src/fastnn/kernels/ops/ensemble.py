"""What an ensemble needs beside dense layers: a copy of the input for each member, their heads, and their mean.

Members lie side by side in a sample: it is (members, units), so a dense layer whose kernel they share sees `members`
times as many samples. What a member has for itself, a factor or a shift a unit, is an op `scale` over all of them.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.common import panels_of, sample_panels
from fastnn.kernels.ops.normalization import put, samples_in, valid
from fastnn.kernels.simd import filled, fma, lanes, load, store, total
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of

DETAILS = np.dtype([("members", np.int64)])
_details = details_of(DETAILS)

_TOGETHER = 4  # outputs of a head that are summed up side by side


# --- a copy of the input for each member ------------------------------------------------------------------------------


@op_unit
def members_start_forward(job, op):
    """Every member's input is the sample."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    source, target, size = op.source * scale, op.target * scale, op.fan_in * PANEL
    for panel in range(sample_panels(job)):
        for member in range(_details(op).members):
            at = target + (panel * _details(op).members + member) * size
            for i in range(0, size, lanes(buffer)):
                store(buffer, at + i, load(buffer, source + panel * size + i))
    return True


@op_unit
def members_start_backward(job, op):
    """The sum of the members' deltas, in place: what is written has been read."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    delta, size = job.delta * scale, op.fan_in * PANEL
    for panel in range(sample_panels(job)):
        at = delta + panel * _details(op).members * size
        for i in range(0, size, lanes(buffer)):
            sums = load(buffer, at + i)
            for member in range(1, _details(op).members):
                sums = sums + load(buffer, at + member * size + i)
            store(buffer, delta + panel * size + i, sums)
    return True


@row_unit
def members_start_row(row, op):
    """The row once for each member."""
    buffer = buffer_of(row)
    for member in range(_details(op).members):
        for i in range(op.fan_in):
            buffer[row.target + member * op.fan_in + i] = buffer[row.source + i]
    row.source, row.target = row.target, row.source
    return True


# --- a head for each member -------------------------------------------------------------------------------------------


@op_unit
def heads_forward(job, op):
    """Z_m = X_m W_m + b_m, for each member m."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    fan_in, units = op.fan_in, op.units
    for panel in range(panels_of(job, op)):
        member = panel % op.positions
        x, z = op.source * scale + panel * fan_in * PANEL, op.target * scale + panel * units * PANEL
        kernel, bias = op.weights + member * fan_in * units, op.bias + member * units
        for column in range(0, PANEL, lanes(buffer)):
            unit = 0
            while unit + _TOGETHER <= units:
                z_0, z_1, z_2, z_3 = filled(buffer, 0.0), filled(buffer, 0.0), filled(buffer, 0.0), filled(buffer, 0.0)
                for k in range(fan_in):
                    x_k, at = load(buffer, x + k * PANEL + column), kernel + k * units + unit
                    z_0 = fma(x_k, filled(buffer, parameters[at]), z_0)
                    z_1 = fma(x_k, filled(buffer, parameters[at + 1]), z_1)
                    z_2 = fma(x_k, filled(buffer, parameters[at + 2]), z_2)
                    z_3 = fma(x_k, filled(buffer, parameters[at + 3]), z_3)
                _finish(parameters, op, bias, buffer, z, unit, column, z_0)
                _finish(parameters, op, bias, buffer, z, unit + 1, column, z_1)
                _finish(parameters, op, bias, buffer, z, unit + 2, column, z_2)
                _finish(parameters, op, bias, buffer, z, unit + 3, column, z_3)
                unit += _TOGETHER
            while unit < units:
                even, odd = filled(buffer, 0.0), filled(buffer, 0.0)
                for k in range(0, fan_in - 1, 2):
                    at = kernel + k * units + unit
                    even = fma(load(buffer, x + k * PANEL + column), filled(buffer, parameters[at]), even)
                    odd = fma(load(buffer, x + (k + 1) * PANEL + column), filled(buffer, parameters[at + units]), odd)
                if fan_in % 2 == 1:
                    at = kernel + (fan_in - 1) * units + unit
                    even = fma(load(buffer, x + (fan_in - 1) * PANEL + column), filled(buffer, parameters[at]), even)
                _finish(parameters, op, bias, buffer, z, unit, column, even + odd)
                unit += 1
    return True


@inner
def _finish(parameters, op, bias, buffer, z, unit, column, value):
    """Store an output, its member's bias added."""
    if op.bias >= 0:
        value = value + filled(buffer, parameters[bias + unit])
    store(buffer, z + unit * PANEL + column, value)


@op_unit
def heads_backward(job, op):
    """dW_m = X_m dZ_m^T, db_m = sum of dZ_m, dX_m = W_m dZ_m."""
    if job.n_samples > 0 and op.n_parameters > 0:
        _heads_weight_gradient(job, op)
    if op.has_gradient_below:
        _heads_input_gradient(job, op)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@inner
def _heads_weight_gradient(job, op):
    gradient, buffer, scale = gradient_of(job), buffer_of(job), job.capacity * PANEL
    fan_in, units = op.fan_in, op.units
    for member in range(op.positions):
        for unit in range(units):
            if op.bias >= 0:
                sums = filled(buffer, 0.0)
                for panel in range(member, panels_of(job, op), op.positions):
                    d, count = job.delta * scale + (panel * units + unit) * PANEL, samples_in(op, job.n_samples, panel)
                    for column in range(0, PANEL, lanes(buffer)):
                        sums = sums + valid(buffer, load(buffer, d + column), column, count)
                put(gradient, op.bias + member * units + unit, total(sums), job.start)
            for k in range(fan_in):
                sums = filled(buffer, 0.0)
                for panel in range(member, panels_of(job, op), op.positions):
                    x = op.source * scale + (panel * fan_in + k) * PANEL
                    d, count = job.delta * scale + (panel * units + unit) * PANEL, samples_in(op, job.n_samples, panel)
                    for column in range(0, PANEL, lanes(buffer)):
                        delta = valid(buffer, load(buffer, d + column), column, count)
                        sums = fma(delta, load(buffer, x + column), sums)
                put(gradient, op.weights + (member * fan_in + k) * units + unit, total(sums), job.start)


@inner
def _heads_input_gradient(job, op):
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    fan_in, units = op.fan_in, op.units
    for panel in range(panels_of(job, op)):
        kernel = op.weights + panel % op.positions * fan_in * units
        d, target = job.delta * scale + panel * units * PANEL, job.other_delta * scale + panel * fan_in * PANEL
        for k in range(fan_in):
            for column in range(0, PANEL, lanes(buffer)):
                sums = filled(buffer, 0.0)
                for unit in range(units):
                    weight = filled(buffer, parameters[kernel + k * units + unit])
                    sums = fma(weight, load(buffer, d + unit * PANEL + column), sums)
                store(buffer, target + k * PANEL + column, sums)


@row_unit
def heads_row(row, op):
    """z_m = x_m W_m + b_m; numbers, not vectors: heads are narrow."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    for member in range(op.positions):
        for unit in range(op.units):
            z = buffer[row.source] * 0.0
            if op.bias >= 0:
                z = parameters[op.bias + member * op.units + unit]
            for k in range(op.fan_in):
                weight = parameters[op.weights + (member * op.fan_in + k) * op.units + unit]
                z += buffer[row.source + member * op.fan_in + k] * weight
            buffer[row.target + member * op.units + unit] = z
    row.source, row.target = row.target, row.source
    return True


# --- their mean -------------------------------------------------------------------------------------------------------


@op_unit
def members_mean_forward(job, op):
    """target = the mean over members."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    members, size = _details(op).members, op.units * PANEL
    share = filled(buffer, 1.0 / members)
    for panel in range(sample_panels(job)):
        source, target = op.source * scale + panel * members * size, op.target * scale + panel * size
        for i in range(0, size, lanes(buffer)):
            sums = load(buffer, source + i)
            for member in range(1, members):
                sums = sums + load(buffer, source + member * size + i)
            store(buffer, target + i, sums * share)
    return True


@op_unit
def members_mean_backward(job, op):
    """A member's delta is its share of the mean's."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    members, size = _details(op).members, op.units * PANEL
    share = filled(buffer, 1.0 / members)
    for panel in range(sample_panels(job)):
        delta, target = job.delta * scale + panel * size, job.other_delta * scale + panel * members * size
        for i in range(0, size, lanes(buffer)):
            part = load(buffer, delta + i) * share
            for member in range(members):
                store(buffer, target + member * size + i, part)
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def members_mean_row(row, op):
    """The mean over members."""
    buffer, members = buffer_of(row), _details(op).members
    for i in range(op.units):
        sums = buffer[row.source + i]
        for member in range(1, members):
            sums += buffer[row.source + member * op.units + i]
        buffer[row.target + i] = sums / members
    row.source, row.target = row.target, row.source
    return True


# All members of one panel are work enough for a product.
MEMBERS_START = OpKind(
    "members_start", members_start_forward, members_start_backward, members_start_row, details=DETAILS, one_panel=True
)  # fmt: skip
HEADS = OpKind("heads", heads_forward, heads_backward, heads_row)
MEMBERS_MEAN = OpKind(
    "members_mean", members_mean_forward, members_mean_backward, members_mean_row, is_mean=True, details=DETAILS
)  # fmt: skip
