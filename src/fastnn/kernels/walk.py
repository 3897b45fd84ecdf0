"""The walk over a network's ops: forward, and backward in reverse. It calls units by address and names no kind.

Jobs
----
- `forward`, `backward`: all ops on the micro-batch of this thread
- `trace`: forward, loss, and the backward pass one op at a time, for `Network.explain`
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.layerwise import update_vectors
from fastnn.kernels.sources import gather_weights
from fastnn.kernels.tables import Sum
from fastnn.kernels.tile import ZERO
from fastnn.kernels.units import call_data, call_loss, call_op
from fastnn.kernels.views import buffer_of, ops_of, sums_of


@inner
def forward(job):
    """Run the ops on this thread's micro-batch; False if the team was dismissed.

    An op that looks at the whole batch is called without samples, too: its threads meet. A loss that takes logits
    computes the last op, an activation, itself.
    """
    ops = ops_of(job)
    for o in range(ops.size - job.takes_logits):
        op = ops[o]
        if (job.n_samples > 0 or op.sees_batch) and not call_op(op.forward, job, op):
            return False
    return True


@inner
def backward(job):
    """Walk the ops in reverse from the delta of the last one's output; False if the team was dismissed.

    With `job.updates` each layer is updated as soon as its gradient is made: by itself, or here from the gradient
    vector.
    """
    ops = ops_of(job)
    job.updated_from = job.parameter_stride
    for o in range(ops.size - 1 - job.takes_logits, -1, -1):
        op = ops[o]
        if not op.needs_backward:
            break
        if (job.n_samples > 0 or op.sees_batch or job.updates) and not call_op(op.backward, job, op):
            return False
        if job.updates and op.n_parameters > 0 and not op.updates_itself:
            update_vectors(job, op)
    return True


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
