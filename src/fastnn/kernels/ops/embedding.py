"""The embedding op: a number of every position of a sample is that of a row of a table, which stands in its place.

A position may hold further numbers, before and behind it, which are passed on. What is no number of a row, below 0 or
beyond the last one, is taken for the last row.

The gradient of the table is 0 but for the rows that the batch names, to which the deltas are added one sample after the
other. It is a vector like that of any kernel, so optimizers do exactly what they say, moments of all rows included.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import clear, copy, panels_of, sample_panels
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    filled,
    indexed_rows,
    lanes,
    load,
    load_first,
    select,
    store,
    store_first,
    transpose_block,
    transpose_rows,
)
from fastnn.kernels.tile import ZERO
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of

DETAILS = np.dtype([
    ("n_rows", np.int64),  # of the table
    ("column", np.int64),  # which of a position's numbers is that of a row
])  # fmt: skip
_details = details_of(DETAILS)


@inlined
def _width(op):
    """Numbers in a row of the table."""
    return op.units + 1 - op.fan_in


@inlined
def _row_number(value, n_rows):
    return int(value) if value >= 0.0 and value < n_rows - 1 else n_rows - 1


@inlined
def _row_numbers(buffer, at, n_rows):
    """Row numbers as they lie in the input, in floats."""
    x, last = load(buffer, at), filled(buffer, n_rows - 1)
    x = select(x >= 0.0, x, last)
    return select(x < last, x, last)


@op_unit
def embedding_forward(job, op):
    """Rows of the table, transposed to (units, samples), between the numbers that are passed on."""
    buffer, scale, n_rows, first = buffer_of(job), job.capacity * PANEL, _details(op).n_rows, _details(op).column
    width, size = lanes(buffer), _width(op)
    item_size = VECTOR_BYTES // width
    address, stride = job.parameters + op.weights * item_size, size * item_size
    nothing = filled(buffer, 0.0)
    for panel in range(sample_panels(job)):
        used = min(PANEL, job.n_samples - panel * PANEL)
        for position in range(panel * op.positions, (panel + 1) * op.positions):
            source = op.source * scale + position * op.fan_in * PANEL
            target = op.target * scale + position * op.units * PANEL
            copy(buffer, source, target, first * PANEL)
            below, above = source + first * PANEL, target + first * PANEL
            for column in range(0, used, width):
                rows = indexed_rows(buffer, _row_numbers(buffer, below + column, n_rows), address, stride)
                for unit in range(0, size, width):
                    transpose_rows(rows, unit * item_size, size - unit, buffer, above + unit * PANEL + column, PANEL)
            for column in range((used + width - 1) // width * width, PANEL, width):
                for unit in range(size):
                    store(buffer, above + unit * PANEL + column, nothing)
            # After the rows, whose blocks reach into it.
            copy(buffer, below + PANEL, above + size * PANEL, (op.fan_in - 1 - first) * PANEL)
    return True


@inner
def _add_rows(job, op, position, used, scratch):
    """Add the deltas of one position to the rows of the gradient that its samples name."""
    buffer, gradient, scale = buffer_of(job), gradient_of(job), job.capacity * PANEL
    width, n_rows, first, size = lanes(buffer), _details(op).n_rows, _details(op).column, _width(op)
    padded = (size + width - 1) // width * width
    source = op.source * scale + (position * op.fan_in + first) * PANEL
    delta = job.delta * scale + (position * op.units + first) * PANEL
    for column in range(0, used, width):
        for unit in range(0, size, width):
            transpose_block(buffer, delta + unit * PANEL + column, PANEL, buffer, scratch + unit, padded)
        for lane in range(min(width, used - column)):
            at, line = op.weights + _row_number(buffer[source + column + lane], n_rows) * size, scratch + lane * padded
            for unit in range(0, size, width):
                count = min(width, size - unit)
                total = load_first(gradient, at + unit, count) + load(buffer, line + unit)
                store_first(gradient, at + unit, total, count)


@op_unit
def embedding_backward(job, op):
    """Add the deltas to the gradient of the rows; row numbers have none, and what is passed on has its own."""
    buffer, gradient, scale, first = buffer_of(job), gradient_of(job), job.capacity * PANEL, _details(op).column
    width = lanes(buffer)
    if op.n_parameters > 0:
        if job.start == ZERO:
            nothing = filled(buffer, 0.0)
            last = op.weights + op.n_parameters
            for i in range(op.weights, last, width):
                store_first(gradient, i, nothing, min(width, last - i))
        for panel in range(sample_panels(job)):
            used = min(PANEL, job.n_samples - panel * PANEL)
            for position in range(panel * op.positions, (panel + 1) * op.positions):
                _add_rows(job, op, position, used, job.strips * scale)
    if op.has_gradient_below:
        for panel in range(panels_of(job, op)):
            delta = job.delta * scale + panel * op.units * PANEL
            below = job.other_delta * scale + panel * op.fan_in * PANEL
            copy(buffer, delta, below, first * PANEL)
            clear(buffer, below + first * PANEL, PANEL)
            behind = first + _width(op)
            copy(buffer, delta + behind * PANEL, below + (first + 1) * PANEL, (op.units - behind) * PANEL)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def embedding_row(row, op):
    """The rows of the table, one after the other, between the numbers that are passed on."""
    parameters, buffer, n_rows, first = parameters_of(row), buffer_of(row), _details(op).n_rows, _details(op).column
    size = _width(op)
    for position in range(op.positions):
        source, target = row.source + position * op.fan_in, row.target + position * op.units
        at = op.weights + _row_number(buffer[source + first], n_rows) * size
        for unit in range(first):
            buffer[target + unit] = buffer[source + unit]
        for unit in range(size):
            buffer[target + first + unit] = parameters[at + unit]
        for unit in range(first + 1, op.fan_in):
            buffer[target + size - 1 + unit] = buffer[source + unit]
    row.source, row.target = row.target, row.source
    return True


EMBEDDING = OpKind(
    "embedding", embedding_forward, embedding_backward, embedding_row, details=DETAILS, minds_lengths=True
)  # fmt: skip
