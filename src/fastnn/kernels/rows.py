"""Inference for single rows, without panels: one row's latency is what a control loop or a simulation waits for.

A panel computes 16 samples where there is one. Here the vectors run along the units instead: an activation is a plain
row, padded to whole vectors, and the buffer is two such rows between which the layers go back and forth. Sums are
taken in the same order as in panels, so a row alone gives the same bits as within a batch.

Jobs
----
- `predict_rows`: outputs of the rows of an array
- `predict_row`: outputs for one row of any type that can be indexed, for compiled code of the user
"""

from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.units import call_row
from fastnn.kernels.views import buffer_of, ops_of


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
