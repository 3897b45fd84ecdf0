"""Updating each layer where its gradient is made, block by block, while the block is in cache.

The gradient of a large network is written to memory, fetched back for the update and overwritten in the next step; with
several threads, each one's is fetched by another besides. Where nothing looks at the whole gradient, one micro-batch a
thread can do without: the gradient of a block of rows of a kernel is made in a small area, the optimizer uses it, and
the next block takes its place. Each thread makes the gradient of some rows of every kernel, from the samples of all
threads: what moves between cores is activations and deltas. So the sums are the same, to the bit, whatever the threads.
Penalties are added to a block just before its update; only a limit on the gradient looks at all of it.

Updates work on whole cache lines, layers begin and end anywhere, and the last layer comes first. So the line that a
layer shares with the one before it waits, its gradients put down in the gradient vector, until those of the other
complete it. The line that two threads' rows share is the first one's, which makes the gradient of that row, too.

Jobs
----
- `suits`: whether a network is large and simple enough
- `area_size`: how much room an area takes; one a thread lies behind the gradient vectors
- `update_dense`: gradient and update of a dense layer
- `update_vectors`: update of a layer whose gradients lie in the gradient vector
"""

import numpy as np

from fastnn.kernels.gemm import PANEL, multiply_weight_gradient
from fastnn.kernels.jit import inner
from fastnn.kernels.penalties import update_penalized
from fastnn.kernels.simd import lanes, load, store
from fastnn.kernels.tables import Layer
from fastnn.kernels.tile import ADD, TILE_ROWS, ZERO

LAYER_NORMALIZATION = int(Layer.LAYER_NORMALIZATION)
BATCH_NORMALIZATION = int(Layer.BATCH_NORMALIZATION)

LEAST_PARAMETERS = 100_000  # parameters, gradient and two moments of fewer stay in a core's own cache (1.6 MB)
BLOCK = 8192  # elements of a block, or one row of tiles if that has more


def area_size(widest: int) -> int:
    """Return how many elements a block, a bias and the lines that they share with neighbours take: whole lines."""
    return (max(BLOCK, TILE_ROWS * widest) + widest + 47) // 16 * 16


@inner
def suits(job, ops):
    """Whether the parameters are many, and with several threads all in dense layers."""
    if job.n_parameters < LEAST_PARAMETERS:
        return False
    if job.n_threads > 1:
        for o in range(ops.size):
            if ops[o].kind == LAYER_NORMALIZATION or ops[o].kind == BATCH_NORMALIZATION:
                return False
    return True


@inner
def _to_whole_lines(i, array):
    """The first element of a cache line that is not before i."""
    return (i + lanes(array) - 1) // lanes(array) * lanes(array)


@inner
def _block_gradient(job, op, parameters, gradients, at, bias, first, n_rows, workspaces, source, strips):
    """The gradient of some rows of a kernel over the samples of all threads, each of which has its own buffer."""
    size = workspaces.size // job.n_threads
    n_panels = (job.batch_rows + PANEL - 1) // PANEL
    rows = op.weights + first * op.units  # what is updated with it
    for thread in range(job.n_threads):
        panel, last_panel = thread * n_panels // job.n_threads, (thread + 1) * n_panels // job.n_threads
        n_samples = min(last_panel * PANEL, job.batch_rows) - panel * PANEL
        multiply_weight_gradient(gradients, at, bias, first, n_rows, op.fan_in, op.units,
                                 workspaces[thread * size : (thread + 1) * size], source, strips, n_samples,
                                 ZERO if thread == 0 else ADD, parameters, rows, rows + n_rows * op.units)  # fmt: skip


@inner
def update_dense(job, variables, op, parameters, gradients, moments, workspaces, source, strips, limit):
    """Update this thread's part of a dense layer; return where the updated parameters now begin.

    They begin at `limit` so far. The strips of all threads' deltas are ready, and none needs the kernel any more.
    """
    n_threads, units = job.n_threads, op.units
    begin = op.weights
    end = op.bias + units if op.bias >= 0 else begin + op.fan_in * units
    first_line = _to_whole_lines(begin, parameters)
    # The last threads take one part each.
    n_parts = max(1, min(n_threads, op.fan_in, op.fan_in * units // BLOCK))
    part = job.thread - (n_threads - n_parts)
    if part < 0:
        return min(limit, first_line)
    row, last_row = part * op.fan_in // n_parts, (part + 1) * op.fan_in // n_parts
    done = _to_whole_lines(begin + row * units, parameters)
    has_end = part == n_parts - 1
    if has_end:
        goal = limit
    else:
        goal = _to_whole_lines(begin + last_row * units, parameters)
        last_row += (goal - begin - last_row * units + units - 1) // units

    area_length = (gradients.size - n_threads * job.parameter_stride) // n_threads
    area = n_threads * job.parameter_stride + job.thread * area_length
    origin = (begin + row * units) // lanes(parameters) * lanes(parameters)  # the element whose gradient leads the area
    most = max(TILE_ROWS, BLOCK // units // TILE_ROWS * TILE_ROWS)
    n_blocks = (last_row - row + most - 1) // most
    lower = (last_row - row) // n_blocks
    n_higher = last_row - row - lower * n_blocks
    for block in range(n_blocks):
        n_rows = lower + (block < n_higher)
        at = begin + row * units
        has_bias = has_end and block == n_blocks - 1 and op.bias >= 0
        _block_gradient(job, op, parameters, gradients, area + at - origin, area + op.bias - origin if has_bias else -1,
                        row, n_rows, workspaces, source, strips)  # fmt: skip
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
            update_penalized(job, variables, parameters, gradients, moments, done, stop, origin - area)
            store(gradients, area, load(gradients, area + stop - origin))
            origin = done = stop
        row += n_rows
    return min(limit, first_line)


@inner
def update_vectors(job, variables, begin, parameters, gradient, moments, limit):
    """Update the whole lines from `begin` to `limit`; return where they begin."""
    first_line = min(limit, _to_whole_lines(begin, parameters))
    update_penalized(job, variables, parameters, gradient, moments, first_line, limit, np.int64(0))
    return first_line
