"""Ops that are random in training and pass their input on at inference: dropout and Gaussian noise.

Every random number is a pure function of (seed, step, layer, unit, position in the batch), so it does not depend on how
a batch is cut over panels and threads.
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.common import pass_on, sample_panels
from fastnn.kernels.random import keep_scale, mix, normal, step_key
from fastnn.kernels.simd import filled, lanes, load, store
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of


@inner
def _drop(job, op, source, target):
    """target = source * mask."""
    buffer = buffer_of(job)
    key = step_key(job, op.key)
    n_units = op.positions * op.units
    for unit in range(n_units):
        unit_key = mix(key, unit)
        for panel in range(sample_panels(job)):
            at = (panel * n_units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                scale = keep_scale(buffer, unit_key, job.first_sample + panel * PANEL + column, op.value)
                store(buffer, target + at + column, load(buffer, source + at + column) * scale)


@op_unit
def dropout_forward(job, op):
    scale = job.capacity * PANEL
    if job.is_training:
        _drop(job, op, op.source * scale, op.target * scale)
    else:
        pass_on(job, op)
    return True


@op_unit
def dropout_backward(job, op):
    """The same mask on the delta, drawn again."""
    if job.is_training:
        delta = job.delta * job.capacity * PANEL
        _drop(job, op, delta, delta)
    return True


@op_unit
def noise_forward(job, op):
    """target = source + standard deviation * noise."""
    if not job.is_training:
        pass_on(job, op)
        return True
    buffer, scale = buffer_of(job), job.capacity * PANEL
    source, target = op.source * scale, op.target * scale
    key = step_key(job, op.key)
    n_units = op.positions * op.units
    for unit in range(n_units):
        unit_key = mix(key, unit)
        for panel in range(sample_panels(job)):
            at = (panel * n_units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                noise = normal(buffer, unit_key, job.first_sample + panel * PANEL + column) * filled(buffer, op.value)
                store(buffer, target + at + column, load(buffer, source + at + column) + noise)
    return True


@op_unit
def identity_backward(job, op):
    """The delta of the output is that of the input."""
    return True


@row_unit
def identity_row(row, op):
    return True


DROPOUT = OpKind("dropout", dropout_forward, dropout_backward, identity_row, minds_lengths=True)
GAUSSIAN_NOISE = OpKind("gaussian_noise", noise_forward, identity_backward, identity_row, minds_lengths=True)
