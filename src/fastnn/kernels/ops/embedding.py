"""The embedding op: every position of a sample is the number of a row of a table, which stands in its place.

The gradient of the table is 0 but for the rows that the batch names, to which the deltas are added one sample after the
other. It is a vector like that of any kernel, so optimizers do exactly what they say, moments of all rows included.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import clear
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

DETAILS = np.dtype([("n_rows", np.int64)])  # of the table
_details = details_of(DETAILS)


@inlined
def _numbers(buffer, at, n_rows):
    """Row numbers as they lie in the input; what is none, as behind the end of a sequence, is taken for a row too."""
    x, last = load(buffer, at), filled(buffer, n_rows - 1)
    x = select(x > 0.0, x, 0.0)
    return select(x < last, x, last)


@op_unit
def embedding_forward(job, op):
    """Rows of the table, transposed to (units, samples)."""
    buffer, scale, n_rows = buffer_of(job), job.capacity * PANEL, _details(op).n_rows
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    address, stride = job.parameters + op.weights * item_size, op.units * item_size
    nothing = filled(buffer, 0.0)
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        used = min(PANEL, job.n_samples - panel * PANEL)
        for position in range(panel * op.positions, (panel + 1) * op.positions):
            source, target = op.source * scale + position * PANEL, op.target * scale + position * op.units * PANEL
            for column in range(0, used, width):
                rows = indexed_rows(buffer, _numbers(buffer, source + column, n_rows), address, stride)
                for unit in range(0, op.units, width):
                    at = target + unit * PANEL + column
                    transpose_rows(rows, unit * item_size, op.units - unit, buffer, at, PANEL)
            for column in range((used + width - 1) // width * width, PANEL, width):
                for unit in range(op.units):
                    store(buffer, target + unit * PANEL + column, nothing)
    return True


@inner
def _add_rows(job, op, position, used, scratch):
    """Add the deltas of one position to the rows of the gradient that its samples name."""
    buffer, gradient, scale = buffer_of(job), gradient_of(job), job.capacity * PANEL
    width, last = lanes(buffer), _details(op).n_rows - 1
    padded = (op.units + width - 1) // width * width
    source, delta = op.source * scale + position * PANEL, job.delta * scale + position * op.units * PANEL
    for column in range(0, used, width):
        for unit in range(0, op.units, width):
            transpose_block(buffer, delta + unit * PANEL + column, PANEL, buffer, scratch + unit, padded)
        for lane in range(min(width, used - column)):
            row = min(max(int(buffer[source + column + lane]), 0), last)
            at, line = op.weights + row * op.units, scratch + lane * padded
            for unit in range(0, op.units, width):
                count = min(width, op.units - unit)
                total = load_first(gradient, at + unit, count) + load(buffer, line + unit)
                store_first(gradient, at + unit, total, count)


@op_unit
def embedding_backward(job, op):
    """Add the deltas to the gradient of the rows; row numbers have none."""
    buffer, gradient, scale = buffer_of(job), gradient_of(job), job.capacity * PANEL
    width = lanes(buffer)
    if op.n_parameters > 0:
        if job.start == ZERO:
            nothing = filled(buffer, 0.0)
            last = op.weights + op.n_parameters
            for i in range(op.weights, last, width):
                store_first(gradient, i, nothing, min(width, last - i))
        for panel in range((job.n_samples + PANEL - 1) // PANEL):
            used = min(PANEL, job.n_samples - panel * PANEL)
            for position in range(panel * op.positions, (panel + 1) * op.positions):
                _add_rows(job, op, position, used, job.strips * scale)
    if op.has_gradient_below:
        n_panels = (job.n_samples + PANEL - 1) // PANEL
        clear(buffer, job.other_delta * scale, n_panels * op.positions * PANEL)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def embedding_row(row, op):
    """The rows of the table, one after the other."""
    parameters, buffer, n_rows = parameters_of(row), buffer_of(row), _details(op).n_rows
    for position in range(op.positions):
        number = min(max(int(buffer[row.source + position]), 0), n_rows - 1)
        for unit in range(op.units):
            buffer[row.target + position * op.units + unit] = parameters[op.weights + number * op.units + unit]
    row.source, row.target = row.target, row.source
    return True


EMBEDDING = OpKind(
    "embedding", embedding_forward, embedding_backward, embedding_row, details=DETAILS, minds_lengths=True
)  # fmt: skip
