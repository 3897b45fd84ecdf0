"""The walk over a network's ops: forward, and backward in reverse. It calls units by address and names no kind.

Jobs
----
- `forward`, `backward`: all ops on the micro-batch of this thread
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.layerwise import update_vectors
from fastnn.kernels.units import call_op
from fastnn.kernels.views import ops_of


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
