"""One sample through the network with every delta kept, for `Network.explain`.

Jobs
----
- `trace`: forward, loss, and the backward pass one op at a time
"""

from fastnn.kernels.data import gather, gather_weights
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import kernel
from fastnn.kernels.layers import DENSE, backward, forward
from fastnn.kernels.losses import panel_loss
from fastnn.kernels.tile import ZERO


@kernel
def trace(jobs, ops, variables, parameters, gradient, buffer, order, sample_weight, sums, deltas):
    """Fill `deltas[o]` with dL/d(output of op o) and `gradient` with the sample's gradient.

    The job's capacity is one panel; its plan works nowhere in place, so the activations stay in `buffer`.
    """
    job = jobs[0]
    gather(buffer, job.input * PANEL, job.staging * PANEL, job.x_address, job.x_row_stride, job.x_column_stride,
           job.x_source, order, 0, 1, job.n_inputs, 0.0, 0.0)  # fmt: skip
    gather(buffer, job.targets * PANEL, job.staging * PANEL, job.y_address, job.y_row_stride, job.y_column_stride,
           job.y_source, order, 0, 1, job.n_outputs, 0.0, 0.0)  # fmt: skip
    gather_weights(buffer, job.weights * PANEL, sample_weight, order, 0, 1)
    forward(job, ops, ops.size, parameters, buffer, buffer, order, 1, 0, False, True)
    delta, other = job.delta * PANEL, job.other_delta * PANEL
    panel_loss(job, buffer, job.output * PANEL, job.targets * PANEL, job.weights * PANEL, delta, 1.0, sums)
    for o in range(ops.size - 1, -1, -1):
        for unit in range(ops[o].units):
            deltas[o, unit] = buffer[delta + unit * PANEL]
        backward(job, ops[o : o + 1], 1, variables, parameters, gradient, gradient, buffer, buffer, order, 1, 0, False,
                 ZERO, False)  # fmt: skip
        if ops[o].kind == DENSE and ops[o].has_gradient_below:
            for i in range(ops[o].fan_in * PANEL):
                buffer[delta + i] = buffer[other + i]
