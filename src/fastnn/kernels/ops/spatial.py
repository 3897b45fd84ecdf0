"""Ops that move the places of an image or drop its channels: upsampling, flips, translations, spatial dropout.

What is random is a pure function of (seed, step, layer, position in the batch), as in `noise`, and happens in training
only.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.common import clear, copy, pass_on, sample_panels
from fastnn.kernels.ops.noise import identity_row
from fastnn.kernels.random import keep_scale, mix, step_key, uniform
from fastnn.kernels.simd import lanes, load, select, store
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of

DETAILS = np.dtype(
    [
        ("in_y", np.int64),
        ("in_x", np.int64),
        ("amount_y", np.int64),  # of upsampling the factor, of translations the most places; of flips whether
        ("amount_x", np.int64),
    ]
)
_details = details_of(DETAILS)


# --- upsampling -------------------------------------------------------------------------------------------------------


@op_unit
def upsampling_forward(job, op):
    """Every place of the image as a block of equal ones."""
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run, out_x = op.units * PANEL, d.in_x * d.amount_x
    target = op.target * scale
    for row in range(sample_panels(job) * d.in_y):
        source = op.source * scale + row * d.in_x * run
        for _ in range(d.amount_y):
            for x in range(out_x):
                copy(buffer, source + x // d.amount_x * run, target, run)
                target += run
    return True


@op_unit
def upsampling_backward(job, op):
    """The sum over each block."""
    if not op.has_gradient_below:
        return True
    buffer, scale, d = buffer_of(job), job.capacity * PANEL, _details(op)
    run, out_x = op.units * PANEL, d.in_x * d.amount_x
    below = job.other_delta * scale
    clear(buffer, below, sample_panels(job) * d.in_y * d.in_x * run)
    delta = job.delta * scale
    for row in range(sample_panels(job) * d.in_y):
        for _ in range(d.amount_y):
            for x in range(out_x):
                at = below + (row * d.in_x + x // d.amount_x) * run
                for i in range(0, run, lanes(buffer)):
                    store(buffer, at + i, load(buffer, at + i) + load(buffer, delta + i))
                delta += run
    job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def upsampling_row(row, op):
    buffer, d = buffer_of(row), _details(op)
    target = row.target
    for y in range(d.in_y * d.amount_y):
        for x in range(d.in_x * d.amount_x):
            source = row.source + (y // d.amount_y * d.in_x + x // d.amount_x) * op.units
            for channel in range(op.units):
                buffer[target + channel] = buffer[source + channel]
            target += op.units
    row.source, row.target = row.target, row.source
    return True


# --- spatial dropout --------------------------------------------------------------------------------------------------


@inner
def _drop_channels(job, op, source, target):
    buffer, key = buffer_of(job), step_key(job, op.key)
    for panel in range(sample_panels(job)):
        for channel in range(op.units):
            for column in range(0, PANEL, lanes(buffer)):
                scale = keep_scale(buffer, mix(key, channel), job.first_sample + panel * PANEL + column, op.value)
                for position in range(op.positions):
                    at = ((panel * op.positions + position) * op.units + channel) * PANEL + column
                    store(buffer, target + at, load(buffer, source + at) * scale)


@op_unit
def spatial_dropout_forward(job, op):
    scale = job.capacity * PANEL
    if job.is_training:
        _drop_channels(job, op, op.source * scale, op.target * scale)
    else:
        pass_on(job, op)
    return True


@op_unit
def spatial_dropout_backward(job, op):
    """The same mask on the delta, drawn again."""
    if job.is_training:
        delta = job.delta * job.capacity * PANEL
        _drop_channels(job, op, delta, delta)
    return True


# --- flips ------------------------------------------------------------------------------------------------------------


@inner
def _swap(buffer, a, b, size, key, first_sample):
    """Exchange two runs of rows of a panel for the samples that are flipped: half of them."""
    for column in range(0, PANEL, lanes(buffer)):
        is_flipped = uniform(buffer, key, first_sample + column) < 0.5
        for i in range(column, size, PANEL):
            left, right = load(buffer, a + i), load(buffer, b + i)
            store(buffer, a + i, select(is_flipped, right, left))
            store(buffer, b + i, select(is_flipped, left, right))


@inner
def _flip(job, op, at):
    buffer, d, key = buffer_of(job), _details(op), step_key(job, op.key)
    run = op.units * PANEL
    for panel in range(sample_panels(job)):
        image, sample = at + panel * op.positions * run, job.first_sample + panel * PANEL
        if d.amount_x:
            for y in range(d.in_y):
                for x in range(d.in_x // 2):
                    row = image + y * d.in_x * run
                    _swap(buffer, row + x * run, row + (d.in_x - 1 - x) * run, run, mix(key, 0), sample)
        if d.amount_y:
            down = d.in_x * run
            for y in range(d.in_y // 2):
                _swap(buffer, image + y * down, image + (d.in_y - 1 - y) * down, down, mix(key, 1), sample)


@op_unit
def flip_forward(job, op):
    pass_on(job, op)
    if job.is_training:
        _flip(job, op, op.target * job.capacity * PANEL)
    return True


@op_unit
def flip_backward(job, op):
    """The same flips bring the delta back."""
    if job.is_training:
        _flip(job, op, job.delta * job.capacity * PANEL)
    return True


# --- translations -----------------------------------------------------------------------------------------------------


@inner
def _shift(key, sample, most):
    """A whole number between -most and most, each as likely as any other."""
    draw = mix(key, sample) >> np.uint64(32)
    return np.int64((draw * np.uint64(2 * most + 1)) >> np.uint64(32)) - most


@inner
def _translate(job, op, source, target, sign):
    """target[y, x] = source[y - down, x - right], 0 where that is outside; `sign` -1 turns shifts round."""
    buffer, d, key = buffer_of(job), _details(op), step_key(job, op.key)
    for panel in range(sample_panels(job)):
        image = panel * op.positions * op.units * PANEL
        for lane in range(PANEL):
            sample = job.first_sample + panel * PANEL + lane
            down = sign * _shift(mix(key, 0), sample, d.amount_y)
            right = sign * _shift(mix(key, 1), sample, d.amount_x)
            for y in range(d.in_y):
                for x in range(d.in_x):
                    at = target + image + (y * d.in_x + x) * op.units * PANEL + lane
                    is_inside = 0 <= y - down < d.in_y and 0 <= x - right < d.in_x
                    other = source + image + ((y - down) * d.in_x + x - right) * op.units * PANEL + lane
                    for channel in range(op.units):
                        buffer[at + channel * PANEL] = buffer[other + channel * PANEL] if is_inside else 0.0


@op_unit
def translation_forward(job, op):
    scale = job.capacity * PANEL
    if job.is_training:
        _translate(job, op, op.source * scale, op.target * scale, 1)
    else:
        pass_on(job, op)
    return True


@op_unit
def translation_backward(job, op):
    """The deltas move back; those of what was moved out of the image are 0."""
    if job.is_training and op.has_gradient_below:
        scale = job.capacity * PANEL
        _translate(job, op, job.delta * scale, job.other_delta * scale, -1)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


UPSAMPLING = OpKind("upsampling", upsampling_forward, upsampling_backward, upsampling_row, details=DETAILS)
SPATIAL_DROPOUT = OpKind(
    "spatial_dropout", spatial_dropout_forward, spatial_dropout_backward, identity_row, minds_lengths=True
)  # fmt: skip
RANDOM_FLIP = OpKind("random_flip", flip_forward, flip_backward, identity_row, details=DETAILS)
RANDOM_TRANSLATION = OpKind(
    "random_translation", translation_forward, translation_backward, identity_row, details=DETAILS
)  # fmt: skip
