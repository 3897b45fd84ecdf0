"""Layers that bring activations to mean 0 and variance 1: over the units of a sample, or over the samples of a batch.

Both end with gamma x_hat + beta, where gamma or beta may be absent, and keep x_hat for the backward pass. Reductions
over samples leave out the lanes that only fill up a panel.

A batch's statistics are those of the whole batch, however it is cut: a thread's workspace holds its whole share, the
threads publish what they found in their own buffers, meet, and all combine the parts in the same order. Forward and
backward publish in different rows, so that one barrier each is enough.

Jobs
----
- `layer_forward`, `layer_backward`: statistics over the units of each sample [1]_
- `batch_forward`, `batch_backward`: statistics over the batch, or, outside training, those that were kept [2]_
- `keep_statistics`: the running mean and variance after an update

References
----------
.. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", arXiv:1607.06450, eq. 3.
.. [2] S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
.. [3] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance", Am. Stat. 37(3), 1983
       (how variances of parts are combined).
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import counters, filled, fma, lanes, load, select, sqrt, store, total
from fastnn.kernels.tables import Layer
from fastnn.kernels.team import wait_for_all
from fastnn.kernels.tile import ADD

BATCH_NORMALIZATION = int(Layer.BATCH_NORMALIZATION)

# Rows of statistics behind x_hat in an op's extra region, one element a unit, each row of whole panels.
PART_MEAN, PART_SQUARES, PART_DELTA, PART_DELTA_X, MEAN, VARIANCE, INVERSE = range(7)
N_STATISTICS = 7


@inlined
def _valid(buffer, x, column, count):
    """x in the lanes of a panel's first `count` samples, else 0."""
    return select(counters(buffer, column) < count, x, 0.0)


@inner
def _scale_of(parameters, op, unit):
    return parameters[op.weights + unit] if op.weights >= 0 else 1.0


@inner
def _shift_of(parameters, op, unit):
    return parameters[op.bias + unit] if op.bias >= 0 else 0.0


@inner
def _put(gradient, offset, value, start):
    gradient[offset] = gradient[offset] + value if start == ADD else value


@inner
def _delta_sums(op, buffer, x_hat, delta, unit, n_samples):
    """Sums over the samples of delta and of delta * x_hat for one unit."""
    sums, products = filled(buffer, 0.0), filled(buffer, 0.0)
    for first in range(0, n_samples, PANEL):
        count = min(PANEL, n_samples - first)
        at = first * op.units + unit * PANEL
        for column in range(0, PANEL, lanes(buffer)):
            d = _valid(buffer, load(buffer, delta + at + column), column, count)
            sums = sums + d
            products = fma(d, load(buffer, x_hat + at + column), products)
    return total(sums), total(products)


# --- over units -----------------------------------------------------------------------------------------------------


@inner
def layer_forward(op, parameters, buffer, source, target, extra, scale, n_samples):
    """target = gamma (x - mean) / sqrt(variance + epsilon) + beta, with statistics over the units of each sample."""
    x_hat, inverses = extra, extra + op.units * scale
    share = filled(buffer, 1.0 / op.units)
    for first in range(0, n_samples, PANEL):
        for column in range(0, PANEL, lanes(buffer)):
            at = first * op.units + column
            mean = filled(buffer, 0.0)
            for unit in range(op.units):
                mean = mean + load(buffer, source + at + unit * PANEL)
            mean = mean * share
            variance = filled(buffer, 0.0)
            for unit in range(op.units):
                difference = load(buffer, source + at + unit * PANEL) - mean
                variance = fma(difference, difference, variance)
            inverse = 1.0 / sqrt(fma(variance, share, filled(buffer, op.value)))
            store(buffer, inverses + first + column, inverse)
            for unit in range(op.units):
                i = at + unit * PANEL
                normal = (load(buffer, source + i) - mean) * inverse
                store(buffer, x_hat + i, normal)
                gamma = filled(buffer, _scale_of(parameters, op, unit))
                store(buffer, target + i, fma(normal, gamma, filled(buffer, _shift_of(parameters, op, unit))))


@inner
def layer_backward(op, parameters, gradient, buffer, delta, extra, scale, n_samples, start):
    """delta of the input in place of that of the output, and the gradients of gamma and beta."""
    x_hat, inverses = extra, extra + op.units * scale
    for unit in range(op.units):
        sums, products = _delta_sums(op, buffer, x_hat, delta, unit, n_samples)
        if op.weights >= 0:
            _put(gradient, op.weights + unit, products, start)
        if op.bias >= 0:
            _put(gradient, op.bias + unit, sums, start)
    share = filled(buffer, 1.0 / op.units)
    for first in range(0, n_samples, PANEL):
        for column in range(0, PANEL, lanes(buffer)):
            at = first * op.units + column
            through_mean, through_variance = filled(buffer, 0.0), filled(buffer, 0.0)
            for unit in range(op.units):
                i = at + unit * PANEL
                d = load(buffer, delta + i) * filled(buffer, _scale_of(parameters, op, unit))
                through_mean = through_mean + d
                through_variance = fma(d, load(buffer, x_hat + i), through_variance)
                store(buffer, delta + i, d)
            through_mean, through_variance = through_mean * share, through_variance * share
            inverse = load(buffer, inverses + first + column)
            for unit in range(op.units):
                i = at + unit * PANEL
                rest = load(buffer, delta + i) - through_mean - through_variance * load(buffer, x_hat + i)
                store(buffer, delta + i, rest * inverse)


# --- over samples ---------------------------------------------------------------------------------------------------


@inner
def _row(op, extra, scale, row):
    """Where one row of statistics lies."""
    return extra + op.units * scale + row * ((op.units + PANEL - 1) // PANEL * PANEL)


@inner
def _rows_before(job, thread):
    """How many rows of the batch belong to threads before this one; kernels/train.py cuts it so."""
    n_panels = (job.batch_rows + PANEL - 1) // PANEL
    n_active = min(job.n_threads, n_panels)
    return min(min(thread, n_active) * n_panels // n_active * PANEL, job.batch_rows)


@inner
def _publish_statistics(op, buffer, source, means, squares, n_samples):
    """Mean and sum of squared differences from it, for every unit, over this thread's samples."""
    for unit in range(op.units):
        sums = filled(buffer, 0.0)
        for first in range(0, n_samples, PANEL):
            count = min(PANEL, n_samples - first)
            at = source + first * op.units + unit * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                sums = sums + _valid(buffer, load(buffer, at + column), column, count)
        mean = total(sums) / n_samples
        mean_v = filled(buffer, mean)
        differences = filled(buffer, 0.0)
        for first in range(0, n_samples, PANEL):
            count = min(PANEL, n_samples - first)
            at = source + first * op.units + unit * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                difference = _valid(buffer, load(buffer, at + column) - mean_v, column, count)
                differences = fma(difference, difference, differences)
        buffer[means + unit] = mean
        buffer[squares + unit] = total(differences)


@inner
def _combine_statistics(job, op, buffer, workspaces, extra, scale):
    """Statistics of the batch from those of the threads [3]_, in the order of the threads."""
    size = workspaces.size // job.n_threads
    means, squares = _row(op, extra, scale, PART_MEAN), _row(op, extra, scale, PART_SQUARES)
    epsilon, share = filled(buffer, op.value), filled(buffer, 1.0 / job.batch_rows)
    for unit in range(0, op.units, lanes(buffer)):
        mean, square = load(workspaces, means + unit), load(workspaces, squares + unit)
        for thread in range(1, job.n_threads):
            n_before = _rows_before(job, thread)
            n_own = _rows_before(job, thread + 1) - n_before
            if n_own > 0:
                at = thread * size + unit
                difference = load(workspaces, at + means) - mean
                n_both = n_before + n_own
                mean = mean + difference * filled(buffer, n_own / n_both)
                between = difference * difference * filled(buffer, n_before * n_own / n_both)
                square = square + load(workspaces, at + squares) + between
        variance = square * share
        store(buffer, _row(op, extra, scale, MEAN) + unit, mean)
        store(buffer, _row(op, extra, scale, VARIANCE) + unit, variance)
        store(buffer, _row(op, extra, scale, INVERSE) + unit, 1.0 / sqrt(variance + epsilon))


@inner
def _recall_statistics(op, parameters, buffer, extra, scale):
    """The running statistics, as constants."""
    epsilon = filled(buffer, op.value)
    for unit in range(0, op.units, lanes(buffer)):
        store(buffer, _row(op, extra, scale, MEAN) + unit, load(parameters, op.state + unit))
        variance = load(parameters, op.state + op.units + unit)
        store(buffer, _row(op, extra, scale, INVERSE) + unit, 1.0 / sqrt(variance + epsilon))


@inner
def batch_forward(job, op, parameters, buffer, workspaces, shared, source, target, extra, scale, n_samples,
                  is_training):  # fmt: skip
    """target = gamma (x - mean) / sqrt(variance + epsilon) + beta; False if the team was dismissed.

    In training all threads call this alike, those without samples too.
    """
    if is_training:
        if n_samples > 0:
            _publish_statistics(op, buffer, source, _row(op, extra, scale, PART_MEAN),
                                _row(op, extra, scale, PART_SQUARES), n_samples)  # fmt: skip
        if not wait_for_all(shared, job.n_threads):
            return False
        _combine_statistics(job, op, buffer, workspaces, extra, scale)
    else:
        _recall_statistics(op, parameters, buffer, extra, scale)
    means, inverses = _row(op, extra, scale, MEAN), _row(op, extra, scale, INVERSE)
    for unit in range(op.units):
        mean, inverse = filled(buffer, buffer[means + unit]), filled(buffer, buffer[inverses + unit])
        gamma = filled(buffer, _scale_of(parameters, op, unit))
        beta = filled(buffer, _shift_of(parameters, op, unit))
        for first in range(0, n_samples, PANEL):
            at = first * op.units + unit * PANEL
            for i in range(at, at + PANEL, lanes(buffer)):
                x_hat = (load(buffer, source + i) - mean) * inverse
                store(buffer, extra + i, x_hat)
                store(buffer, target + i, fma(x_hat, gamma, beta))
    return True


@inner
def batch_backward(job, op, parameters, gradient, buffer, workspaces, shared, delta, extra, scale, n_samples,
                   is_training, start):  # fmt: skip
    """delta of the input in place of that of the output, and the gradients of gamma and beta.

    In training the mean and the variance depend on every sample of the batch, so the sums over delta do, too.
    """
    size = workspaces.size // job.n_threads
    sums, products = _row(op, extra, scale, PART_DELTA), _row(op, extra, scale, PART_DELTA_X)
    for unit in range(op.units):
        own_sum, own_product = _delta_sums(op, buffer, extra, delta, unit, n_samples)
        buffer[sums + unit], buffer[products + unit] = own_sum, own_product
        if n_samples > 0 and op.weights >= 0:
            _put(gradient, op.weights + unit, own_product, start)
        if n_samples > 0 and op.bias >= 0:
            _put(gradient, op.bias + unit, own_sum, start)
    if is_training:
        wait_for_all(shared, job.n_threads)
    share = 1.0 / job.batch_rows
    inverses = _row(op, extra, scale, INVERSE)
    for unit in range(op.units):
        through_mean, through_variance = 0.0, 0.0
        if is_training:
            for thread in range(job.n_threads):
                through_mean += workspaces[thread * size + sums + unit] * share
                through_variance += workspaces[thread * size + products + unit] * share
        mean_v, variance_v = filled(buffer, through_mean), filled(buffer, through_variance)
        factor = filled(buffer, buffer[inverses + unit] * _scale_of(parameters, op, unit))
        for first in range(0, n_samples, PANEL):
            count = min(PANEL, n_samples - first)
            at = first * op.units + unit * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                i = at + column
                d = load(buffer, delta + i) - mean_v - variance_v * load(buffer, extra + i)
                store(buffer, delta + i, _valid(buffer, d * factor, column, count))


@inner
def keep_statistics(job, ops, parameters, buffer):
    """Move the running statistics towards the batch's: running = momentum * running + (1 - momentum) * the batch's.

    The variance is the biased one, as in Keras. One thread does it, after an update, when nobody reads them.
    """
    scale = job.capacity * PANEL
    for o in range(ops.size):
        op = ops[o]
        if op.kind == BATCH_NORMALIZATION:
            means, variances = _row(op, op.extra * scale, scale, MEAN), _row(op, op.extra * scale, scale, VARIANCE)
            for unit in range(op.units):
                mean, variance = op.state + unit, op.state + op.units + unit
                parameters[mean] += (1.0 - op.momentum) * (buffer[means + unit] - parameters[mean])
                parameters[variance] += (1.0 - op.momentum) * (buffer[variances + unit] - parameters[variance])
