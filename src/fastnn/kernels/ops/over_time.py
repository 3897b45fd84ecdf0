"""The mean and the largest number of a sequence, for every channel: of the steps that count."""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined
from fastnn.kernels.ops.common import sample_panels
from fastnn.kernels.ops.pooling import AVERAGE_POOLING, DETAILS, MAX_POOLING
from fastnn.kernels.simd import filled, lanes, load, maximum, select, store
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import buffer_of

_ALL = float(np.iinfo(np.int32).max)  # as the length of sequences that have all steps


@inlined
def _lengths(job, buffer, scale, panel, column):
    """The lengths of a vector of sequences."""
    if job.n_row_lengths > 0:
        return load(buffer, job.lengths * scale + panel * PANEL + column)
    return filled(buffer, _ALL)


@op_unit
def mean_over_time_forward(job, op):
    buffer, scale, run = buffer_of(job), job.capacity * PANEL, op.units * PANEL
    for panel in range(sample_panels(job)):
        source, target = op.source * scale + panel * op.positions * run, op.target * scale + panel * run
        for column in range(0, PANEL, lanes(buffer)):
            lengths = _lengths(job, buffer, scale, panel, column)
            last = filled(buffer, op.positions)
            share = 1.0 / maximum(select(lengths < last, lengths, last), 1.0)
            for i in range(column, run, PANEL):
                value = filled(buffer, 0.0)
                for time in range(op.positions):
                    x = load(buffer, source + time * run + i)
                    value = value + select(lengths > filled(buffer, time), x, 0.0)
                store(buffer, target + i, value * share)
    return True


@op_unit
def mean_over_time_backward(job, op):
    """Each step that counts gets the same share of the delta."""
    if not op.has_gradient_below:
        return True
    buffer, scale, run = buffer_of(job), job.capacity * PANEL, op.units * PANEL
    for panel in range(sample_panels(job)):
        below, delta = job.other_delta * scale + panel * op.positions * run, job.delta * scale + panel * run
        for column in range(0, PANEL, lanes(buffer)):
            lengths = _lengths(job, buffer, scale, panel, column)
            last = filled(buffer, op.positions)
            share = 1.0 / maximum(select(lengths < last, lengths, last), 1.0)
            for i in range(column, run, PANEL):
                part = load(buffer, delta + i) * share
                for time in range(op.positions):
                    store(buffer, below + time * run + i, select(lengths > filled(buffer, time), part, 0.0))
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


@op_unit
def max_over_time_forward(job, op):
    buffer, scale, run = buffer_of(job), job.capacity * PANEL, op.units * PANEL
    for panel in range(sample_panels(job)):
        source, target = op.source * scale + panel * op.positions * run, op.target * scale + panel * run
        for column in range(0, PANEL, lanes(buffer)):
            lengths = _lengths(job, buffer, scale, panel, column)
            for i in range(column, run, PANEL):
                value = load(buffer, source + i)
                for time in range(1, op.positions):
                    x = load(buffer, source + time * run + i)
                    larger = select(x == x, maximum(value, x), x)  # a NaN in either stays
                    value = select(lengths > filled(buffer, time), larger, value)
                store(buffer, target + i, value)
    return True


@op_unit
def max_over_time_backward(job, op):
    """The delta goes to the first step that has the largest number."""
    if not op.has_gradient_below:
        return True
    buffer, scale, run = buffer_of(job), job.capacity * PANEL, op.units * PANEL
    for panel in range(sample_panels(job)):
        source, target = op.source * scale + panel * op.positions * run, op.target * scale + panel * run
        below, delta = job.other_delta * scale + panel * op.positions * run, job.delta * scale + panel * run
        for column in range(0, PANEL, lanes(buffer)):
            lengths = _lengths(job, buffer, scale, panel, column)
            for i in range(column, run, PANEL):
                largest, rest = load(buffer, target + i), load(buffer, delta + i)
                for time in range(op.positions):
                    at = time * run + i
                    part = select(load(buffer, source + at) == largest, rest, 0.0)
                    part = select(lengths > filled(buffer, time), part, 0.0)
                    store(buffer, below + at, part)
                    rest = rest - part
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


MEAN_OVER_TIME = OpKind(
    "mean_over_time", mean_over_time_forward, mean_over_time_backward, AVERAGE_POOLING.row, details=DETAILS,
    minds_lengths=True,
)  # fmt: skip
MAX_OVER_TIME = OpKind(
    "max_over_time", max_over_time_forward, max_over_time_backward, MAX_POOLING.row, details=DETAILS,
    minds_lengths=True,
)  # fmt: skip
