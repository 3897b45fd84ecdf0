"""The dense op: Z = X W + b, with its three products.

The backward pass is made of units of their own, so that a network compiles only those that it needs: the gradient of
the input; the gradient of the weights, for wide or for narrow layers; or gradient and update block by block, for large
ones.
"""

import numpy as np

from fastnn.kernels.gemm import (
    PANEL,
    multiply_forward,
    multiply_input_gradient,
    multiply_weight_gradient,
    transpose_deltas,
)
from fastnn.kernels.jit import inner
from fastnn.kernels.layerwise import own_range, update_dense
from fastnn.kernels.narrow import group_for, multiply_narrow, transpose_narrow
from fastnn.kernels.ops.common import samples_of
from fastnn.kernels.simd import VECTOR_BYTES, filled, fma, lanes, load, store
from fastnn.kernels.team import wait_for_all
from fastnn.kernels.units import OpKind, call_op, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of, shared_of

DETAILS = np.dtype([("input_gradient", np.int64), ("weight_gradient", np.int64), ("update", np.int64)])
_details = details_of(DETAILS)


@op_unit
def dense_forward(job, op):
    """Z = X W + b."""
    multiply_forward(job, op, samples_of(job, op))
    return True


@op_unit
def dense_backward(job, op):
    """The gradients of input, kernel and bias; or, while layers are updated one by one, the update."""
    details = _details(op)
    if op.has_gradient_below and job.n_samples > 0:
        call_op(details.input_gradient, job, op)
    if job.updates and op.updates_itself:
        if not call_op(details.update, job, op):
            return False
    elif job.n_samples > 0 and op.n_parameters > 0:
        call_op(details.weight_gradient, job, op)
    if op.has_gradient_below:
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@op_unit
def dense_input_gradient(job, op):
    """dX = W dZ, from the delta to the other delta."""
    multiply_input_gradient(job, op, samples_of(job, op))
    return True


@op_unit
def dense_weight_gradient(job, op):
    """dW (+)= X dZ^T and db (+)= sum of dZ."""
    scale, n_samples = job.capacity * PANEL, samples_of(job, op)
    item_size = VECTOR_BYTES // lanes(buffer_of(job))
    transpose_deltas(buffer_of(job), job.delta * scale, op.units, n_samples, job.strips * scale)
    # The last product of a backward pass also fetches what this thread will update next: nobody reads it by then.
    first, end = 0, 0
    if job.n_threads > 1 and not op.has_gradient_below:
        first, end = own_range(job)
    bias = job.gradient + op.bias * item_size if op.bias >= 0 else 0
    weights, ahead, ahead_end = job.gradient + op.weights * item_size, first * item_size, end * item_size
    multiply_weight_gradient(job, op, weights, bias, 0, op.fan_in, job.buffer, n_samples, job.start,
                             job.parameters + ahead, job.parameters + ahead_end)  # fmt: skip
    return True


@inner
def _narrow_weight_gradient(job, op, group):
    """dW and db of a layer of few units, several samples at a time."""
    scale = job.capacity * PANEL
    buffer, n_samples, strips = buffer_of(job), samples_of(job, op), job.strips * scale
    transpose_narrow(buffer, job.delta * scale, op.units, n_samples, strips, group)
    multiply_narrow(gradient_of(job), op.weights, op.bias, op.fan_in, op.units, buffer, op.source * scale, strips,
                    n_samples, job.start, group)  # fmt: skip
    return True


@op_unit
def dense_weight_gradient_by_pairs(job, op):
    """The weight gradient where a vector holds two samples."""
    return _narrow_weight_gradient(job, op, 2)


@op_unit
def dense_weight_gradient_by_fours(job, op):
    """The weight gradient where a vector holds four samples."""
    return _narrow_weight_gradient(job, op, 4)


_WEIGHT_GRADIENTS = {  # by how many samples share a vector
    1: dense_weight_gradient, 2: dense_weight_gradient_by_pairs, 4: dense_weight_gradient_by_fours,
}  # fmt: skip


@op_unit
def dense_update(job, op):
    """The gradient of blocks of the kernel over all threads' samples, each used for the update at once."""
    scale = job.capacity * PANEL
    shared = shared_of(job)
    # Other threads may still read the strips of the layer behind.
    if not wait_for_all(shared, job.n_threads):
        return False
    if job.n_samples > 0:
        transpose_deltas(buffer_of(job), job.delta * scale, op.units, job.n_samples, job.strips * scale)
    if not wait_for_all(shared, job.n_threads):
        return False
    update_dense(job, op)
    return True


# --- one row ----------------------------------------------------------------------------------------------------------

_CHAINS = 4  # sums that run side by side, since each waits for its last product


@inner
def _start(parameters, bias, column, buffer):
    return load(parameters, bias + column) if bias >= 0 else filled(buffer, 0.0)


@inner
def _multiply_row(parameters, op, buffer, source, target):
    """z = x W + b. Lanes beyond the last unit read on in the parameters, and are never looked at."""
    width = lanes(buffer)
    column = 0
    while column + _CHAINS * width <= op.units:
        at = op.weights + column
        z_0 = _start(parameters, op.bias, column, buffer)
        z_1 = _start(parameters, op.bias, column + width, buffer)
        z_2 = _start(parameters, op.bias, column + 2 * width, buffer)
        z_3 = _start(parameters, op.bias, column + 3 * width, buffer)
        for k in range(op.fan_in):
            x = filled(buffer, buffer[source + k])
            z_0 = fma(x, load(parameters, at), z_0)
            z_1 = fma(x, load(parameters, at + width), z_1)
            z_2 = fma(x, load(parameters, at + 2 * width), z_2)
            z_3 = fma(x, load(parameters, at + 3 * width), z_3)
            at += op.units
        store(buffer, target + column, z_0)
        store(buffer, target + column + width, z_1)
        store(buffer, target + column + 2 * width, z_2)
        store(buffer, target + column + 3 * width, z_3)
        column += _CHAINS * width
    while column < op.units:
        at = op.weights + column
        z = _start(parameters, op.bias, column, buffer)
        for k in range(op.fan_in):
            z = fma(filled(buffer, buffer[source + k]), load(parameters, at), z)
            at += op.units
        store(buffer, target + column, z)
        column += width


@row_unit
def dense_row(row, op):
    """z = x W + b at every position; a vector that spills over is overwritten by the next position's."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    for position in range(op.positions):
        _multiply_row(parameters, op, buffer, row.source + position * op.fan_in, row.target + position * op.units)
    row.source, row.target = row.target, row.source
    return True


def _parts(op, dtype, *, by_layer, is_large):
    """What the backward pass of one op consists of."""
    parts = {}
    if op["has_gradient_below"]:
        parts["input_gradient"] = dense_input_gradient
    if by_layer:
        parts["update"] = dense_update
    # A large network trains by layers or with several samples a block: few units are no reason for another product.
    parts["weight_gradient"] = _WEIGHT_GRADIENTS[1 if is_large else group_for(op["units"], dtype)]
    return parts


DENSE = OpKind(
    "dense", dense_forward, dense_backward, dense_row, updates_itself=True, details=DETAILS, parts=_parts,
    minds_lengths=True,
)  # fmt: skip
