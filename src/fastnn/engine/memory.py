"""Memory that kernels work in: aligned, sized in whole cache lines, known by its address."""

import ctypes

import numpy as np

from fastnn.engine.layout import Plan
from fastnn.engine.linking import LinkedOps
from fastnn.kernels import tables
from fastnn.kernels.tile import PREFETCH_STEPS

CACHE_LINE = 64  # bytes
PLAIN = 0x1 | 0x100 | 0x400  # the flags of a C-contiguous, aligned, writable array


def aligned_zeros(size: int, dtype: np.dtype) -> np.ndarray:
    """Return zeros that start on a cache line, and after which a whole vector may be read (not written)."""
    spare = 2 * CACHE_LINE // dtype.itemsize
    raw = np.zeros(size + spare, dtype)
    start = (-raw.ctypes.data % CACHE_LINE) // dtype.itemsize
    return raw[start : start + size]


def whole_lines(size: int, dtype: np.dtype) -> int:
    """Round a number of elements up to whole cache lines."""
    per_line = CACHE_LINE // dtype.itemsize
    return -(-size // per_line) * per_line


def address_of(array: np.ndarray) -> int:
    """Return where an array's first element lies: 0.2 us for a plain one, where `array.ctypes.data` takes 0.7.

    Of records, whose description for a memoryview takes 8 us to write, the second is the quicker.
    """
    if array.flags.num & PLAIN == PLAIN and array.size and array.dtype.names is None:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    return array.ctypes.data


class RowWorkspace:
    """What `kernels.rows` works in: a record, and two rows of the widest layer, each of whole vectors."""

    def __init__(self, plan: Plan, dtype: np.dtype, parameters: np.ndarray, ops: LinkedOps):
        row_size, buffer_size = row_sizes(plan, dtype)
        self.buffer = aligned_zeros(buffer_size, dtype)
        self.parameters, self.ops = parameters, ops  # whose addresses the record holds
        self.rows = np.zeros(1, tables.ROWS[dtype])
        self.rows["ops"], self.rows["n_ops"] = ops.table.ctypes.data, ops.table.size
        self.rows["parameters"], self.rows["n_values"] = parameters.ctypes.data, parameters.size
        self.rows["buffer"], self.rows["buffer_size"] = self.buffer.ctypes.data, self.buffer.size
        self.rows["row_size"] = row_size


def row_sizes(plan: Plan, dtype: np.dtype) -> tuple[int, int]:
    """Return how many elements a row of the widest layer takes, in whole vectors, and the buffer for single rows."""
    # Where a layer works at several positions, the last vector of the last may reach past the row's end.
    row_size = whole_lines(plan.widest_row, dtype) + CACHE_LINE // dtype.itemsize
    return row_size, 2 * row_size + plan.n_kept_for_rows


def parameter_buffer(plan: Plan, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the memory of a network, and in it the views of its parameters and of its state."""
    spare = CACHE_LINE // 4  # whole vectors are read past the last parameter and the last state
    size = plan.parameter_stride + plan.n_states + spare
    # Products ask for rows of a kernel ahead of their use. Behind the last of all lies memory that nobody uses: another
    # thread would have to take the lines back.
    nobodys = min(PREFETCH_STEPS * max(plan.units_after), plan.parameter_stride)
    buffer = aligned_zeros(size + nobodys, dtype)[:size]
    stride = plan.parameter_stride
    return buffer, buffer[: plan.n_parameters], buffer[stride : stride + plan.n_states]
