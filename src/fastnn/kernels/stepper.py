"""A network as a compiled function that goes one step of time further: what `Network.stepper` calls.

The arithmetic is `rows.predict_row`, compiled once for all networks. Records, parameters and ops are found by addresses
that enter as what Numba calls dynamic globals, so code that contains them is never written to a disk cache.

Jobs
----
- `make_step`: the function for one stepper
"""

import numba

from fastnn.kernels.jit import FLAGS
from fastnn.kernels.predictor import address_in_code
from fastnn.kernels.rows import predict_row
from fastnn.kernels.tables import ROWS
from fastnn.kernels.views import records_at


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


__all__ = ["make_step"]
