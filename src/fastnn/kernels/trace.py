"""One sample through the network with every delta kept, for `Network.explain`.

Jobs
----
- `trace`: forward, loss, and the backward pass one op at a time
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import kernel
from fastnn.kernels.sources import gather_weights
from fastnn.kernels.tables import Sum
from fastnn.kernels.tile import ZERO
from fastnn.kernels.units import call_data, call_loss, call_op
from fastnn.kernels.views import buffer_of, ops_of, sums_of
from fastnn.kernels.walk import forward

LOSS = int(Sum.LOSS)


@kernel
def trace(jobs, deltas):
    """Fill `deltas[o]` with dL/d(output of op o), and the job's gradient vector with the sample's gradient.

    The job's capacity is one panel; its plan works nowhere in place, so the activations stay in the buffer.
    """
    job = jobs[0]
    job.position = job.first_sample = job.is_training = job.updates = 0
    job.n_samples = job.goes_back = 1
    job.start = ZERO
    call_data(job.x.gather, job, job.x)
    call_data(job.y.gather, job, job.y)
    gather_weights(job)
    forward(job)
    buffer, ops = buffer_of(job), ops_of(job)
    sums_of(job)[LOSS] = call_loss(job.loss, job, 1.0)
    for o in range(ops.size - 1, -1, -1):
        op = ops[o]
        for unit in range(op.positions * op.units):
            deltas[o, unit] = buffer[job.delta * PANEL + unit * PANEL]
        call_op(op.backward, job, op)
