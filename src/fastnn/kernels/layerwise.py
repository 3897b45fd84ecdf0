"""Updating each layer where its gradient is made, block by block, while the block is in cache.

The gradient of a large network is written to memory, fetched back for the update and overwritten in the next step; with
several threads, each one's is fetched by another besides. Where nothing looks at the whole gradient, one micro-batch a
thread can do without: the gradient of a block of rows of a kernel is made in a small area, the optimizer uses it, and
the next block takes its place. Each thread makes the gradient of some rows of every kernel, from the samples of all
threads: what moves between cores is activations and deltas. So the sums are the same, to the bit, whatever the threads.
Penalties are added to a block just before its update; only a limit on the gradient looks at all of it.

Updates work on whole cache lines, but a layer may begin and end within a line, and the last layer is updated first. A
line that two layers share is therefore updated with the earlier one; until then the later one's gradients in it are
kept in the gradient vector. A line that the rows of two threads share belongs to the first of these threads, which
makes the gradient of that row, too.

Jobs
----
- `own_range`: the parameters that a thread updates where the gradients of all threads are summed up
- `update_range`: penalties, decay and the optimizer's update of a range
- `area_size`: how much room an area takes; one a thread lies behind the gradient vectors
- `update_dense`: gradient and update of a dense layer
- `update_vectors`: update of a layer whose gradients lie in the gradient vector
"""

from fastnn.kernels.gemm import PANEL, multiply_weight_gradient
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import VECTOR_BYTES, lanes, load, store
from fastnn.kernels.tile import ADD, TILE_ROWS, ZERO
from fastnn.kernels.units import call_update
from fastnn.kernels.views import gradients_of, parameters_of

LEAST_PARAMETERS = 100_000  # parameters, gradient and two moments of fewer stay in a core's own cache (1.6 MB)
BLOCK = 8192  # elements of a block, or one row of tiles if that has more


def area_size(widest: int) -> int:
    """Return how many elements a block, a bias and the lines that they share with neighbours take: whole lines."""
    return (max(BLOCK, TILE_ROWS * widest) + widest + 47) // 16 * 16


@inlined
def own_range(job):
    """The whole cache lines of parameters that this thread updates where the gradients of all threads are summed up."""
    width = lanes(parameters_of(job))
    n_lines = job.parameter_stride // width
    return job.thread * n_lines // job.n_threads * width, (job.thread + 1) * n_lines // job.n_threads * width


@inner
def update_range(job, gradient, first, last):
    """Update the parameters of the whole lines [first, last), whose gradient nothing else looks at.

    The gradient of element i is element i from the address `gradient` on.
    """
    if job.penalty != 0:
        call_update(job.penalty, job, gradient, first, last)
    if job.decay != 0:
        call_update(job.decay, job, gradient, first, last)
    call_update(job.update, job, gradient, first, last)


@inner
def _to_whole_lines(i, array):
    """The first element of a cache line that is not before i."""
    return (i + lanes(array) - 1) // lanes(array) * lanes(array)


@inner
def _block_gradient(job, op, weights, bias, first, n_rows):
    """The gradient of some rows of a kernel over the samples of all threads, each of which has its own buffer."""
    item_size = VECTOR_BYTES // lanes(parameters_of(job))
    n_panels = (job.batch_rows + PANEL - 1) // PANEL
    rows = job.parameters + (op.weights + first * op.units) * item_size  # what is updated with it
    for thread in range(job.n_threads):
        panel, last_panel = thread * n_panels // job.n_threads, (thread + 1) * n_panels // job.n_threads
        n_samples = min(last_panel * PANEL, job.batch_rows) - panel * PANEL
        multiply_weight_gradient(job, op, weights, bias, first, n_rows,
                                 job.workspaces + thread * job.buffer_size * item_size, n_samples,
                                 ZERO if thread == 0 else ADD, rows, rows + n_rows * op.units * item_size)  # fmt: skip


@inner
def update_dense(job, op):
    """Update this thread's part of a dense layer, and what lies between it and the parameters updated before.

    The strips of all threads' deltas are ready, and none needs the kernel any more.
    """
    parameters, gradients, limit = parameters_of(job), gradients_of(job), job.updated_from
    n_threads, units, item_size = job.n_threads, op.units, VECTOR_BYTES // lanes(parameters)
    begin = op.weights
    end = op.bias + units if op.bias >= 0 else begin + op.fan_in * units
    first_line = _to_whole_lines(begin, parameters)
    # The last threads take one part each.
    n_parts = max(1, min(n_threads, op.fan_in, op.fan_in * units // BLOCK))
    part = job.thread - (n_threads - n_parts)
    if part < 0:
        job.updated_from = min(limit, first_line)
        return
    row, last_row = part * op.fan_in // n_parts, (part + 1) * op.fan_in // n_parts
    done = _to_whole_lines(begin + row * units, parameters)
    has_end = part == n_parts - 1
    if has_end:
        goal = limit
    else:
        goal = _to_whole_lines(begin + last_row * units, parameters)
        last_row += (goal - begin - last_row * units + units - 1) // units

    area = n_threads * job.parameter_stride + job.thread * job.area_size
    origin = (begin + row * units) // lanes(parameters) * lanes(parameters)  # the element whose gradient leads the area
    most = max(TILE_ROWS, BLOCK // units // TILE_ROWS * TILE_ROWS)
    n_blocks = (last_row - row + most - 1) // most
    lower = (last_row - row) // n_blocks
    n_higher = last_row - row - lower * n_blocks
    for block in range(n_blocks):
        n_rows = lower + (block < n_higher)
        at = begin + row * units
        has_bias = has_end and block == n_blocks - 1 and op.bias >= 0
        leading = job.gradients + (area - origin) * item_size  # where the gradient of parameter 0 would lie
        _block_gradient(job, op, leading + at * item_size, leading + op.bias * item_size if has_bias else 0, row,
                        n_rows)  # fmt: skip
        if row == 0:
            for i in range(begin, min(first_line, end)):
                gradients[i] = gradients[area + i - origin]
        if block == n_blocks - 1:
            stop = goal
            if has_end:  # what the layer behind put down
                for i in range(end, limit):
                    gradients[area + i - origin] = gradients[i]
        else:
            stop = (at + n_rows * units) // lanes(parameters) * lanes(parameters)
        if stop > done:
            update_range(job, leading, done, stop)
            store(gradients, area, load(gradients, area + stop - origin))
            origin = done = stop
        row += n_rows
    job.updated_from = min(limit, first_line)


@inner
def update_vectors(job, op):
    """Update what an op owns, and what lies behind it, from this thread's gradient vector."""
    first_line = min(job.updated_from, _to_whole_lines(op.first_parameter, parameters_of(job)))
    update_range(job, job.gradient, first_line, job.updated_from)
    job.updated_from = first_line
