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
from numba import carray, types
from numba.extending import intrinsic

from fastnn.kernels.jit import FLAGS
from fastnn.kernels.rows import predict_row


def _pointer_to(array):
    """Build an intrinsic that returns a pointer to the array's first element."""
    address = array.ctypes.data
    pointer = types.CPointer(numba.from_dtype(array.dtype))

    @intrinsic
    def first_element(typingctx):
        def codegen(context, builder, sig, args):
            where = context.add_dynamic_addr(builder, address, info="parameters or ops of a fastnn network")
            return builder.bitcast(where, context.get_value_type(pointer))

        return pointer(), codegen

    return first_element


def make_predictor(parameters, ops, buffer_size, n_inputs, n_outputs):
    """Compile ``predict(x, out)`` for the network with these arrays, which must stay where they are for ever.

    Parameters
    ----------
    parameters : (n,) float32 or float64, contiguous, with a whole vector of slack after it
    ops : the network's table
    buffer_size : int, elements of the buffer of `rows.predict_row`
    n_inputs, n_outputs : int
    """
    parameters_at, ops_at = _pointer_to(parameters), _pointer_to(ops)
    n_parameters, n_ops, dtype = parameters.size, ops.size, parameters.dtype

    @numba.njit(**FLAGS)
    def predict(x, out):
        # The buffer is the call's own, so that threads may call at once.
        predict_row(x, n_inputs, out, n_outputs, carray(ops_at(), n_ops), carray(parameters_at(), n_parameters),
                    np.empty(buffer_size, dtype))  # fmt: skip

    return predict


__all__ = ["make_predictor"]
