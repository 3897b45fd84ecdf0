"""Batch normalisation: each unit to mean 0 and variance 1 over the batch and all positions [1]_.

A batch's statistics are those of the whole batch, however it is cut: a thread's workspace holds its whole share, the
threads publish what they found in their own buffers, meet, and all combine the parts in the same order. Forward and
backward publish in different rows, so that one barrier each is enough.

References
----------
.. [1] S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
.. [2] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance", Am. Stat. 37(3), 1983
       (how variances of parts are combined).
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.ops.normalization import (
    delta_sums,
    put,
    samples_in,
    scale_and_shift,
    scale_of,
    shift_of,
    valid,
)
from fastnn.kernels.simd import filled, fma, lanes, load, load_first, sqrt, store, store_first, total
from fastnn.kernels.team import wait_for_all
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of, shared_of, workspaces_of

DETAILS = np.dtype(
    [
        ("momentum", np.float64),  # of the running statistics
        ("state", np.int64),  # where they lie in the parameter buffer, behind the parameters: means, then variances
    ]
)
_details = details_of(DETAILS)

# Rows of statistics behind x_hat in an op's extra region, one element a unit, each row of whole panels.
PART_MEAN, PART_SQUARES, PART_DELTA, PART_DELTA_X, MEAN, VARIANCE, INVERSE = range(7)
N_STATISTICS = 7


@inlined
def _row(job, op, row):
    """Where one row of statistics lies."""
    scale = job.capacity * PANEL
    behind = (op.extra + op.positions * op.units) * scale
    return behind + row * ((op.units + PANEL - 1) // PANEL * PANEL)


@inner
def _rows_before(job, thread):
    """How many rows of the batch belong to threads before this one; kernels/train.py cuts it so."""
    n_panels = (job.batch_rows + PANEL - 1) // PANEL
    n_active = min(job.n_threads, n_panels)
    return min(min(thread, n_active) * n_panels // n_active * PANEL, job.batch_rows)


@inner
def _publish_statistics(job, op):
    """Mean and sum of squared differences from it, for every unit, over this thread's samples."""
    buffer, source = buffer_of(job), op.source * job.capacity * PANEL
    means, squares = _row(job, op, PART_MEAN), _row(job, op, PART_SQUARES)
    n_panels = panels_of(job, op)
    for unit in range(op.units):
        sums = filled(buffer, 0.0)
        for panel in range(n_panels):
            count = samples_in(op, job.n_samples, panel)
            at = source + (panel * op.units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                sums = sums + valid(buffer, load(buffer, at + column), column, count)
        mean = total(sums) / (job.n_samples * op.positions)
        mean_v = filled(buffer, mean)
        differences = filled(buffer, 0.0)
        for panel in range(n_panels):
            count = samples_in(op, job.n_samples, panel)
            at = source + (panel * op.units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                difference = valid(buffer, load(buffer, at + column) - mean_v, column, count)
                differences = fma(difference, difference, differences)
        buffer[means + unit] = mean
        buffer[squares + unit] = total(differences)


@inner
def _combine_statistics(job, op):
    """Statistics of the batch from those of the threads [2]_, in the order of the threads."""
    buffer, workspaces = buffer_of(job), workspaces_of(job)
    means, squares = _row(job, op, PART_MEAN), _row(job, op, PART_SQUARES)
    epsilon, share = filled(buffer, op.value), filled(buffer, 1.0 / (job.batch_rows * op.positions))
    for unit in range(0, op.units, lanes(buffer)):
        mean, square = load(workspaces, means + unit), load(workspaces, squares + unit)
        for thread in range(1, job.n_threads):
            n_before = _rows_before(job, thread)
            n_own = _rows_before(job, thread + 1) - n_before
            if n_own > 0:
                at = thread * job.buffer_size + unit
                difference = load(workspaces, at + means) - mean
                n_both = n_before + n_own
                mean = mean + difference * filled(buffer, n_own / n_both)
                # Squares are sums over samples and positions.
                between = difference * difference * filled(buffer, n_before * n_own / n_both * op.positions)
                square = square + load(workspaces, at + squares) + between
        variance = square * share
        store(buffer, _row(job, op, MEAN) + unit, mean)
        store(buffer, _row(job, op, VARIANCE) + unit, variance)
        store(buffer, _row(job, op, INVERSE) + unit, 1.0 / sqrt(variance + epsilon))


@inner
def _recall_statistics(job, op):
    """The running statistics, as constants."""
    parameters, buffer, state = parameters_of(job), buffer_of(job), _details(op).state
    epsilon = filled(buffer, op.value)
    for unit in range(0, op.units, lanes(buffer)):
        store(buffer, _row(job, op, MEAN) + unit, load(parameters, state + unit))
        variance = load(parameters, state + op.units + unit)
        store(buffer, _row(job, op, INVERSE) + unit, 1.0 / sqrt(variance + epsilon))


@op_unit
def batch_normalization_forward(job, op):
    """target = gamma (x - mean) / sqrt(variance + epsilon) + beta; False if the team was dismissed.

    In training all threads call this alike, those without samples too. A layer that is not trained keeps its running
    statistics and uses them in training as well: its op does not see the batch.
    """
    if job.is_training and op.sees_batch:
        if job.n_samples > 0:
            _publish_statistics(job, op)
        if not wait_for_all(shared_of(job), job.n_threads):
            return False
        _combine_statistics(job, op)
    else:
        _recall_statistics(job, op)
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    source, target, extra = op.source * scale, op.target * scale, op.extra * scale
    means, inverses = _row(job, op, MEAN), _row(job, op, INVERSE)
    for unit in range(op.units):
        mean, inverse = filled(buffer, buffer[means + unit]), filled(buffer, buffer[inverses + unit])
        gamma = filled(buffer, scale_of(parameters, op, unit))
        beta = filled(buffer, shift_of(parameters, op, unit))
        for panel in range(panels_of(job, op)):
            at = (panel * op.units + unit) * PANEL
            for i in range(at, at + PANEL, lanes(buffer)):
                x_hat = (load(buffer, source + i) - mean) * inverse
                store(buffer, extra + i, x_hat)
                store(buffer, target + i, fma(x_hat, gamma, beta))
    return True


@op_unit
def batch_normalization_backward(job, op):
    """delta of the input in place of that of the output, and the gradients of gamma and beta.

    In training the mean and the variance depend on every sample of the batch, so the sums over delta do, too.
    """
    parameters, gradient = parameters_of(job), gradient_of(job)
    buffer, workspaces, scale = buffer_of(job), workspaces_of(job), job.capacity * PANEL
    delta, x_hat = job.delta * scale, op.extra * scale
    sums, products = _row(job, op, PART_DELTA), _row(job, op, PART_DELTA_X)
    for unit in range(op.units):
        own_sum, own_product = delta_sums(op, buffer, x_hat, delta, unit, job.n_samples)
        buffer[sums + unit], buffer[products + unit] = own_sum, own_product
        if job.n_samples > 0 and op.n_parameters > 0:
            if op.weights >= 0:
                put(gradient, op.weights + unit, own_product, job.start)
            if op.bias >= 0:
                put(gradient, op.bias + unit, own_sum, job.start)
    if job.is_training and op.sees_batch and not wait_for_all(shared_of(job), job.n_threads):
        return False
    share = 1.0 / (job.batch_rows * op.positions)
    inverses = _row(job, op, INVERSE)
    for unit in range(op.units):
        through_mean, through_variance = 0.0, 0.0
        if job.is_training and op.sees_batch:
            for thread in range(job.n_threads):
                through_mean += workspaces[thread * job.buffer_size + sums + unit] * share
                through_variance += workspaces[thread * job.buffer_size + products + unit] * share
        mean_v, variance_v = filled(buffer, through_mean), filled(buffer, through_variance)
        factor = filled(buffer, buffer[inverses + unit] * scale_of(parameters, op, unit))
        for panel in range(panels_of(job, op)):
            count = samples_in(op, job.n_samples, panel)
            at = (panel * op.units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                i = at + column
                d = load(buffer, delta + i) - mean_v - variance_v * load(buffer, x_hat + i)
                store(buffer, delta + i, valid(buffer, d * factor, column, count))
    return True


@op_unit
def batch_normalization_keep(job, op):
    """Move the running statistics towards the batch's: running = momentum * running + (1 - momentum) * the batch's.

    The variance is the biased one, as in Keras. One thread does it, after an update, when nobody reads them.
    """
    parameters, buffer, details = parameters_of(job), buffer_of(job), _details(op)
    means, variances, rest = _row(job, op, MEAN), _row(job, op, VARIANCE), 1.0 - details.momentum
    for unit in range(op.units):
        mean, variance = details.state + unit, details.state + op.units + unit
        parameters[mean] += rest * (buffer[means + unit] - parameters[mean])
        parameters[variance] += rest * (buffer[variances + unit] - parameters[variance])
    return True


@row_unit
def batch_normalization_row(row, op):
    """In place, with the running statistics."""
    parameters, buffer, state = parameters_of(row), buffer_of(row), _details(op).state
    epsilon = filled(buffer, op.value)
    for position in range(op.positions):
        at = row.source + position * op.units
        for unit in range(0, op.units, lanes(buffer)):
            count = min(lanes(buffer), op.units - unit)
            inverse = 1.0 / sqrt(load(parameters, state + op.units + unit) + epsilon)
            x_hat = (load_first(buffer, at + unit, count) - load(parameters, state + unit)) * inverse
            store_first(buffer, at + unit, scale_and_shift(parameters, op, x_hat, unit), count)
    return True


BATCH_NORMALIZATION = OpKind(
    "batch_normalization", batch_normalization_forward, batch_normalization_backward, batch_normalization_row,
    after_update=batch_normalization_keep, sees_batch=True, details=DETAILS,
)  # fmt: skip
