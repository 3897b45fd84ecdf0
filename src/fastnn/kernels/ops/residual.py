"""x + f(x): an op before f and one after it.

The one after adds x, which nothing between them may overwrite. On the way back the delta of the sum goes into f as it
is; a copy waits until f's own delta comes out, and is added to it there.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined
from fastnn.kernels.ops.common import copy, panels_of
from fastnn.kernels.simd import lanes, load, store
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of

DETAILS = np.dtype(
    [
        ("input", np.int64),  # buffer offset of x
        ("delta", np.int64),  # buffer offset of the copy of the sum's delta: the extra region of the op before f
        ("row", np.int64),  # where x is kept while a single row is predicted, behind the buffer's two rows
    ]
)
_details = details_of(DETAILS)


@inlined
def _size(job, op):
    return panels_of(job, op) * op.units * PANEL


@op_unit
def residual_start_forward(job, op):
    """Nothing: f reads x where it lies."""
    return True


@op_unit
def residual_start_backward(job, op):
    """The delta of f's input, plus that of the sum."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    delta, kept = job.delta * scale, op.extra * scale
    for i in range(0, _size(job, op), lanes(buffer)):
        store(buffer, delta + i, load(buffer, delta + i) + load(buffer, kept + i))
    return True


@op_unit
def residual_add_forward(job, op):
    """target = x + f(x)."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    x, source, target = _details(op).input * scale, op.source * scale, op.target * scale
    for i in range(0, _size(job, op), lanes(buffer)):
        store(buffer, target + i, load(buffer, source + i) + load(buffer, x + i))
    return True


@op_unit
def residual_add_backward(job, op):
    """Keep a copy of the delta, which f's backward pass writes over."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    copy(buffer, job.delta * scale, _details(op).delta * scale, _size(job, op))
    return True


@row_unit
def residual_start_row(row, op):
    """Keep x: f writes over it."""
    buffer, kept = buffer_of(row), 2 * row.row_size + _details(op).row
    copy(buffer, row.source, kept, op.positions * op.units)
    return True


@row_unit
def residual_add_row(row, op):
    """x + f(x), in place."""
    buffer, kept = buffer_of(row), 2 * row.row_size + _details(op).row
    for i in range(0, op.positions * op.units, lanes(buffer)):
        store(buffer, row.source + i, load(buffer, row.source + i) + load(buffer, kept + i))
    return True


RESIDUAL_START = OpKind(
    "residual_start", residual_start_forward, residual_start_backward, residual_start_row, details=DETAILS,
    minds_lengths=True,
)  # fmt: skip
RESIDUAL_ADD = OpKind(
    "residual_add", residual_add_forward, residual_add_backward, residual_add_row, details=DETAILS, minds_lengths=True
)  # fmt: skip
