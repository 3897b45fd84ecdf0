"""Losses of one panel: the value, the gradient with respect to the network's output, and the running metrics.

Each loss is one function (output a, target y, parameter) -> (value, slope), elementwise on vectors; the loops average
it over the outputs and weight it by sample. The losses that belong to an output activation work from logits and
put the activation in place of the logits, so that metrics see outputs in every case.

To add a loss: write its function here, give it a number in `tables.Loss`, call its loop in `panel_loss`, and declare
it in `fastnn/losses.py`.

References
----------
.. [1] P. J. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35(1), 1964.
.. [2] C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, sec. 4.3 (the logit forms).
"""

from fastnn.kernels.elementary import exp, log, log1p
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import absolute, filled, fma, lanes, load, maximum, minimum, select, store, total
from fastnn.kernels.tables import Loss, Sum

GIVEN_DELTA = int(Loss.GIVEN_DELTA)
MAE = int(Loss.MAE)
HUBER = int(Loss.HUBER)
LOG_LOSS = int(Loss.LOG_LOSS)
CATEGORICAL_CROSSENTROPY = int(Loss.CATEGORICAL_CROSSENTROPY)
POISSON = int(Loss.POISSON)
SIGMOID_LOG_LOSS = int(Loss.SIGMOID_LOG_LOSS)
SOFTMAX_CROSSENTROPY = int(Loss.SOFTMAX_CROSSENTROPY)
EXPONENTIAL_POISSON = int(Loss.EXPONENTIAL_POISSON)

WEIGHT = int(Sum.WEIGHT)
LOSS = int(Sum.LOSS)
CORRECT = int(Sum.CORRECT)
SQUARED_ERROR = int(Sum.SQUARED_ERROR)
ABSOLUTE_ERROR = int(Sum.ABSOLUTE_ERROR)

CLIP = 1e-7  # probabilities are kept this far from 0 and 1 where a logarithm follows (Keras's epsilon)


@inlined
def _mse(a, y, value):
    error = a - y
    return error * error, error + error


@inlined
def _mae(a, y, value):
    error = a - y
    return absolute(error), select(error > 0.0, 1.0, select(error < 0.0, -1.0, error))


@inlined
def _huber(a, y, delta):
    """Quadratic for |error| <= delta, linear outside [1]_."""
    error = a - y
    size = absolute(error)
    is_small = size <= delta
    value = select(is_small, 0.5 * (error * error), delta * (size - 0.5 * delta))
    return value, maximum(minimum(error, delta), -delta)


@inlined
def _log_loss(a, y, value):
    p = maximum(minimum(a, 1.0 - CLIP), CLIP)
    q = maximum(minimum(1.0 - a, 1.0 - CLIP), CLIP)  # 1 - p would have lost CLIP's digits to rounding
    loss = -fma(y, log(p), (1.0 - y) * log(q))
    slope = (p - y) / (p * q)
    return loss, select(p == a, slope, a - a)


@inlined
def _categorical_crossentropy(a, y, value):
    p = maximum(minimum(a, 1.0), CLIP)
    return -(y * log(p)), select(p == a, -y / p, a - a)


@inlined
def _poisson(a, y, value):
    """a - y log(a): the deviance up to terms in y alone, with Keras's 1e-7 inside the logarithm."""
    shifted = a + CLIP
    return a - y * log(shifted), 1.0 - y / shifted


def _make_loop(function, averages_outputs):
    """Build the loop over one panel for an elementwise loss."""

    @inner
    def loop(buffer, output, targets, weights, delta, n_outputs, value, scale):
        share = 1.0 / n_outputs if averages_outputs else 1.0
        value_v = filled(buffer, value)
        loss = 0.0
        for column in range(0, PANEL, lanes(buffer)):
            weight = load(buffer, weights + column)
            factor = weight * (scale * share)
            losses = filled(buffer, 0.0)
            for j in range(n_outputs):
                i = j * PANEL + column
                term, slope = function(load(buffer, output + i), load(buffer, targets + i), value_v)
                losses = losses + term
                store(buffer, delta + i, slope * factor)
            loss += total(losses * weight) * share
        return loss

    return loop


_mse_loop = _make_loop(_mse, True)
_mae_loop = _make_loop(_mae, True)
_huber_loop = _make_loop(_huber, True)
_log_loss_loop = _make_loop(_log_loss, True)
_poisson_loop = _make_loop(_poisson, True)
_crossentropy_loop = _make_loop(_categorical_crossentropy, False)


@inner
def _sigmoid_log_loss_loop(buffer, output, targets, weights, delta, n_outputs, scale):
    """From logits z: ln(1 + e^z) - y z, slope sigmoid(z) - y."""
    share = 1.0 / n_outputs
    loss = 0.0
    for column in range(0, PANEL, lanes(buffer)):
        weight = load(buffer, weights + column)
        factor = weight * (scale * share)
        losses = filled(buffer, 0.0)
        for j in range(n_outputs):
            i = j * PANEL + column
            z, y = load(buffer, output + i), load(buffer, targets + i)
            e = exp(-absolute(z))
            losses = losses + (maximum(z, 0.0) - z * y + log1p(e))
            a = select(z < 0.0, e, 1.0 + (z - z)) / (e + 1.0)
            store(buffer, output + i, a)
            store(buffer, delta + i, (a - y) * factor)
        loss += total(losses * weight) * share
    return loss


@inner
def _exponential_poisson_loop(buffer, output, targets, weights, delta, n_outputs, scale):
    """From logits z: e^z - y z, slope e^z - y."""
    share = 1.0 / n_outputs
    loss = 0.0
    for column in range(0, PANEL, lanes(buffer)):
        weight = load(buffer, weights + column)
        factor = weight * (scale * share)
        losses = filled(buffer, 0.0)
        for j in range(n_outputs):
            i = j * PANEL + column
            z, y = load(buffer, output + i), load(buffer, targets + i)
            a = exp(z)
            losses = losses + (a - y * z)
            store(buffer, output + i, a)
            store(buffer, delta + i, (a - y) * factor)
        loss += total(losses * weight) * share
    return loss


@inner
def _softmax_crossentropy_loop(buffer, output, targets, weights, delta, n_outputs, scale):
    """From logits z: sum_c y_c (ln sum_k e^z_k - z_c), slope (sum_c y_c) softmax(z) - y."""
    loss = 0.0
    for column in range(0, PANEL, lanes(buffer)):
        weight = load(buffer, weights + column)
        z = output + column
        largest = load(buffer, z)
        for j in range(1, n_outputs):
            largest = maximum(largest, load(buffer, z + j * PANEL))
        normaliser = filled(buffer, 0.0)
        weighted_logit = filled(buffer, 0.0)
        target_sum = filled(buffer, 0.0)
        for j in range(n_outputs):
            y = load(buffer, targets + column + j * PANEL)
            shifted = load(buffer, z + j * PANEL) - largest
            # 0 * -inf would be NaN: a class that cannot occur and does not costs nothing.
            weighted_logit = weighted_logit + select(y == 0.0, 0.0, y * shifted)
            target_sum = target_sum + y
            e = exp(shifted)
            normaliser = normaliser + e
            store(buffer, z + j * PANEL, e)
        loss += total((target_sum * log(normaliser) - weighted_logit) * weight)
        inverse = 1.0 / normaliser
        factor = weight * scale
        for j in range(n_outputs):
            a = load(buffer, z + j * PANEL) * inverse
            store(buffer, z + j * PANEL, a)
            y = load(buffer, targets + column + j * PANEL)
            store(buffer, delta + column + j * PANEL, fma(a, target_sum, -y) * factor)
    return loss


@inner
def _take_delta(buffer, targets, weights, delta, n_outputs):
    """The targets are the gradient with respect to the outputs, weights and all; padding has none."""
    for column in range(0, PANEL, lanes(buffer)):
        is_sample = load(buffer, weights + column) > 0.0
        for j in range(n_outputs):
            i = j * PANEL + column
            store(buffer, delta + i, select(is_sample, load(buffer, targets + i), 0.0))


@inner
def _count_metrics(buffer, output, targets, weights, n_outputs, sums):
    """Add the panel's correct answers, squared and absolute errors, weighted by sample."""
    share = 1.0 / n_outputs
    for column in range(0, PANEL, lanes(buffer)):
        weight = load(buffer, weights + column)
        best_a, best_y = load(buffer, output + column), load(buffer, targets + column)
        index_a, index_y = filled(buffer, 0.0), filled(buffer, 0.0)
        squares, sizes = filled(buffer, 0.0), filled(buffer, 0.0)
        for j in range(n_outputs):
            i = j * PANEL + column
            a, y = load(buffer, output + i), load(buffer, targets + i)
            error = a - y
            squares = fma(error, error, squares)
            sizes = sizes + absolute(error)
            index_a = select(a > best_a, filled(buffer, j), index_a)
            index_y = select(y > best_y, filled(buffer, j), index_y)
            best_a, best_y = maximum(best_a, a), maximum(best_y, y)
        if n_outputs == 1:
            index_a, index_y = select(best_a > 0.5, 1.0, index_a), select(best_y > 0.5, 1.0, index_y)
        sums[CORRECT] += total(select(index_a == index_y, weight, 0.0))
        sums[SQUARED_ERROR] += total(squares * weight) * share
        sums[ABSOLUTE_ERROR] += total(sizes * weight) * share


@inner
def panel_loss(job, buffer, output, targets, weights, delta, scale, sums):
    """Loss of one panel, added to `sums`; `delta` becomes the gradient of `scale` times the weighted sum of losses.

    `output` holds activations, or logits for the losses that take them, which become activations.
    """
    n_outputs = job.n_outputs
    if job.loss == SOFTMAX_CROSSENTROPY:
        loss = _softmax_crossentropy_loop(buffer, output, targets, weights, delta, n_outputs, scale)
    elif job.loss == SIGMOID_LOG_LOSS:
        loss = _sigmoid_log_loss_loop(buffer, output, targets, weights, delta, n_outputs, scale)
    elif job.loss == GIVEN_DELTA:
        _take_delta(buffer, targets, weights, delta, n_outputs)
        loss = 0.0
    elif job.loss == EXPONENTIAL_POISSON:
        loss = _exponential_poisson_loop(buffer, output, targets, weights, delta, n_outputs, scale)
    elif job.loss == MAE:
        loss = _mae_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    elif job.loss == HUBER:
        loss = _huber_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    elif job.loss == LOG_LOSS:
        loss = _log_loss_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    elif job.loss == CATEGORICAL_CROSSENTROPY:
        loss = _crossentropy_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    elif job.loss == POISSON:
        loss = _poisson_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    else:
        loss = _mse_loop(buffer, output, targets, weights, delta, n_outputs, job.loss_value, scale)
    sums[LOSS] += loss * job.loss_scale
    for column in range(0, PANEL, lanes(buffer)):
        sums[WEIGHT] += total(load(buffer, weights + column))
    if job.wants_metrics:
        _count_metrics(buffer, output, targets, weights, n_outputs, sums)
