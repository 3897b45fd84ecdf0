"""Updating each layer where its gradient is made, block by block, while the block is in cache.

The gradient of a large network is written to memory, fetched back for the update and overwritten in the next step. One
thread with one micro-batch, and nothing that looks at the whole gradient, can do without: the gradient of a block of
rows of a kernel is made in a small area, the optimizer uses it, and the next block takes its place.

Updates work on whole cache lines, layers begin and end anywhere, and the last layer comes first. So the line that a
layer shares with the one before it waits, its gradients put down in the gradient vector, until those of the other
complete it.

Jobs
----
- `LEAST_PARAMETERS`: from which size on this pays
- `area_size`: how much room the area takes, behind the gradient vector
- `update_dense`: gradient and update of a dense layer
- `update_vectors`: update of a layer whose gradients lie in the gradient vector
"""

from fastnn.kernels.gemm import TILE_ROWS, ZERO, multiply_weight_gradient
from fastnn.kernels.jit import inner
from fastnn.kernels.optimizers import update
from fastnn.kernels.simd import lanes, load, store

LEAST_PARAMETERS = 100_000  # parameters, gradient and two moments of fewer stay in a core's own cache (1.6 MB)
BLOCK = 8192  # elements of a block, or one row of tiles if that has more


def area_size(widest: int) -> int:
    """Return how many elements a block, a bias and the lines that they share with neighbours take."""
    return max(BLOCK, TILE_ROWS * widest) + widest + 32


@inner
def _to_whole_lines(i, array):
    """The first element of a cache line that is not before i."""
    return (i + lanes(array) - 1) // lanes(array) * lanes(array)


@inner
def update_dense(job, variables, op, parameters, gradient, moments, buffer, source, strips, n_samples, limit):
    """Update a dense layer from its deltas' strips; return where the updated parameters now begin.

    They begin at `limit` so far. Nothing else may need the layer's kernel any more.
    """
    area = job.parameter_stride
    begin = op.weights
    end = op.bias + op.units if op.bias >= 0 else begin + op.fan_in * op.units
    first_line = done = _to_whole_lines(begin, parameters)
    origin = done if done == begin else done - lanes(parameters)  # the element whose gradient leads the area
    most = max(TILE_ROWS, BLOCK // op.units // TILE_ROWS * TILE_ROWS)
    n_blocks = (op.fan_in + most - 1) // most
    lower = op.fan_in // n_blocks
    n_higher = op.fan_in - lower * n_blocks
    row = 0
    for block in range(n_blocks):
        n_rows = lower + (block < n_higher)
        is_last = block == n_blocks - 1
        at = begin + row * op.units
        bias = area + op.bias - origin if is_last and op.bias >= 0 else -1
        multiply_weight_gradient(gradient, area + at - origin, bias, row, n_rows, op.fan_in, op.units, buffer, source,
                                 strips, n_samples, ZERO)  # fmt: skip
        if block == 0:
            for i in range(begin, min(first_line, end)):
                gradient[i] = gradient[area + i - origin]
        if is_last:
            for i in range(end, limit):  # what the layer behind put down
                gradient[area + i - origin] = gradient[i]
            stop = limit
        else:
            stop = (at + n_rows * op.units) // lanes(parameters) * lanes(parameters)
        if stop > done:
            update(job, variables, parameters, gradient, moments, done, stop, origin - area)
            store(gradient, area, load(gradient, area + stop - origin))
            origin = done = stop
        row += n_rows
    return min(limit, first_line)


@inner
def update_vectors(job, variables, begin, parameters, gradient, moments, limit):
    """Update the whole lines from `begin` to `limit`; return where they begin."""
    first_line = min(limit, _to_whole_lines(begin, parameters))
    update(job, variables, parameters, gradient, moments, first_line, limit, 0)
    return first_line
