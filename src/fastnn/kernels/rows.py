"""Inference for single rows, without panels: one row's latency is what a control loop or a simulation waits for.

A panel would compute a whole vector of samples where there is one. Here the vectors run along the units instead: an
activation is a plain row, padded to whole vectors, and the buffer is two such rows between which the layers go back and
forth. Sums are taken in the same order as in panels, so a row alone gives the same bits as within a batch.

Jobs
----
- `predict_rows`: outputs of the rows of an array
- `predict_row`: outputs for one row of any type that can be indexed, for compiled code of the user
- `make_predictor`: what `Network.compile_predictor` gives, a network as a compiled function
- `make_step`: what `Network.stepper` calls, which goes one step of time further

Around `predict_row`, compiled once for all networks, these put a small function that knows where records, parameters
and ops lie. The addresses enter as what Numba calls dynamic globals, so that code which contains them is never written
to a disk cache, where they would outlive the process.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.jit import FLAGS, inner, kernel
from fastnn.kernels.tables import ROWS
from fastnn.kernels.units import call_row
from fastnn.kernels.views import buffer_of, on_stack, ops_of, records_at


@inner
def forward_row(row):
    """Run all ops on the row at the start of the buffer; `row.source` says where their outputs lie."""
    ops = ops_of(row)
    row.source, row.target = 0, row.row_size
    for o in range(ops.size):
        call_row(ops[o].row, row, ops[o])


@kernel
def predict_rows(X, out, rows):
    """Write the outputs for the rows of X into out; both are C-contiguous and of the network's dtype.

    `rows` is one record: its buffer holds two rows of the widest layer, each padded to whole vectors.
    """
    row = rows[0]
    buffer = buffer_of(row)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            buffer[j] = X[i, j]
        forward_row(row)
        for j in range(out.shape[1]):
            out[i, j] = buffer[row.source + j]


@kernel
def predict_row(x, n_inputs, out, n_outputs, row):
    """Write the outputs for x[0], ..., x[n_inputs - 1] into out[0], ..., out[n_outputs - 1]."""
    buffer = buffer_of(row)
    for j in range(n_inputs):
        buffer[j] = x[j]
    forward_row(row)
    for j in range(n_outputs):
        out[j] = buffer[row.source + j]


def address_in_code(array):
    """Build an intrinsic that returns where the array's first element lies."""
    address = array.ctypes.data

    @intrinsic
    def where(typingctx):
        def codegen(context, builder, sig, args):
            pointer = context.add_dynamic_addr(builder, address, info="parameters or ops of a fastnn network")
            return builder.ptrtoint(pointer, ir.IntType(64))

        return types.int64(), codegen

    return where


def make_predictor(parameters, ops, row_size, buffer_size, n_inputs, n_outputs):
    """Compile ``predict(x, out)`` for the network with these arrays, which must stay where they are for ever.

    Parameters
    ----------
    parameters : (n,) float32 or float64, contiguous, with a whole vector of slack after it
    ops : the network's ops, with the addresses of their units for single rows
    row_size, buffer_size : int, elements of a row and of the whole buffer of `predict_row`
    n_inputs, n_outputs : int
    """
    parameters_at, ops_address = address_in_code(parameters), address_in_code(ops)
    n_values, n_ops, dtype = parameters.size, ops.size, parameters.dtype
    record_on_stack = on_stack(ROWS[dtype])

    @numba.njit(**FLAGS)
    def predict(x, out):
        # Record and buffer are the call's own, so that threads may call at once.
        buffer = np.empty(buffer_size, dtype)
        row = record_on_stack()
        row.ops, row.n_ops = ops_address(), n_ops
        row.parameters, row.n_values = parameters_at(), n_values
        row.buffer, row.buffer_size, row.row_size = buffer.ctypes.data, buffer_size, row_size
        predict_row(x, n_inputs, out, n_outputs, row)
        buffer[0] = 0.0  # keeps the buffer alive until here

    return predict


def make_step(rows, dtype, n_inputs, n_outputs):
    """Compile ``step(x, out)`` for these arrays, which must stay where they are as long as the function lives.

    Parameters
    ----------
    rows : records of `tables.ROWS`, one for each sequence, each with ops, and a buffer that holds its state
    dtype : the network's
    n_inputs, n_outputs : int, of one step
    """
    rows_address, n_rows = address_in_code(rows), rows.size
    rows_at = records_at(ROWS[dtype])

    if n_rows == 1:

        @numba.njit(**FLAGS)
        def step(x, out):
            row = rows_at(rows_address(), 1)[0]
            predict_row(x, n_inputs, out, n_outputs, row)

    else:

        @numba.njit(**FLAGS)
        def step(x, out):
            rows = rows_at(rows_address(), n_rows)
            for i in range(n_rows):
                predict_row(x[i], n_inputs, out[i], n_outputs, rows[i])

    return step
