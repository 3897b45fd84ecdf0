"""A network as a compiled function: what `Network.compile_predictor` gives.

The arithmetic is `rows.predict_row`, compiled once for all networks. Around it goes a small function that knows where
the network's parameters and table of ops lie. Their addresses enter as what Numba calls dynamic globals, so that code
which contains them is never written to a disk cache, where they would outlive the process.

Jobs
----
- `make_predictor`: the function for one network
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.jit import FLAGS
from fastnn.kernels.rows import predict_row
from fastnn.kernels.tables import ROWS
from fastnn.kernels.views import on_stack


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
    row_size, buffer_size : int, elements of a row and of the whole buffer of `rows.predict_row`
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


__all__ = ["address_in_code", "make_predictor"]
