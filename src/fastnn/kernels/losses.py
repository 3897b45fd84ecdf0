"""Losses over the panels of a micro-batch: the value, and the gradient with respect to the network's outputs.

`count_metrics` counts the metrics that are sums over samples, while a batch is in cache.

Most losses are one function (output a, target y, parameter) -> (value, slope), elementwise on vectors; the loop
averages it over the outputs and weights it by sample. The losses that belong to an output activation work from logits
and put the activation in place of the logits, so that metrics see outputs in every case.

To add one: its function and its unit here, and its line in `fastnn.losses`.

References
----------
.. [1] P. J. Huber, "Robust Estimation of a Location Parameter", Ann. Math. Statist. 35(1), 1964.
.. [2] C. M. Bishop, "Pattern Recognition and Machine Learning", 2006, sec. 4.3 (the logit forms).
"""

from fastnn.kernels.elementary import exp, log, log1p
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, named
from fastnn.kernels.simd import absolute, filled, fma, lanes, load, maximum, minimum, select, store, total
from fastnn.kernels.tables import N_SUMS, Sum
from fastnn.kernels.units import loss_unit, step_unit
from fastnn.kernels.views import buffer_of, sums_of

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


@inlined
def _mape(a, y, value):
    """Percent of the target, which counts as 1e-7 at least (Keras's epsilon)."""
    error, share = a - y, 100.0 / maximum(absolute(y), CLIP)
    return absolute(error) * share, select(error > 0.0, share, select(error < 0.0, -share, error))


@inlined
def _msle(a, y, value):
    """Squared difference of ln(1 + a) and ln(1 + y), neither a nor y below 1e-7 (Keras's epsilon)."""
    is_low = a < CLIP
    above = select(is_low, CLIP, a) + 1.0
    error = log(above) - log(maximum(y, CLIP) + 1.0)
    return error * error, select(is_low, 0.0, (error + error) / above)


def _over_panels(loop, name):
    """Build the unit of a loss from its loop over one panel."""

    @loss_unit
    @named(name)
    def loss(job, factor):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        n_outputs, value = job.n_outputs, 0.0
        for panel in range((job.n_samples + PANEL - 1) // PANEL * job.positions):  # one for each position
            at = panel * n_outputs * PANEL
            value += loop(buffer, job.output * scale + at, job.y.target * scale + at,
                          job.weights * scale + panel * PANEL, job.delta * scale + at, n_outputs, job.loss_value,
                          factor)  # fmt: skip
        return value

    return loss


def elementwise(function, name, averages_outputs=True):
    """Build the unit of a loss from its function of one output element."""

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

    return _over_panels(loop, name)


@inner
def _sigmoid_log_loss_loop(buffer, output, targets, weights, delta, n_outputs, value, scale):
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
def _exponential_poisson_loop(buffer, output, targets, weights, delta, n_outputs, value, scale):
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
def _softmax_crossentropy_loop(buffer, output, targets, weights, delta, n_outputs, value, scale):
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
def _take_delta(buffer, output, targets, weights, delta, n_outputs, value, scale):
    """The targets are the gradient with respect to the outputs, weights and all; padding has none."""
    for column in range(0, PANEL, lanes(buffer)):
        is_sample = load(buffer, weights + column) > 0.0
        for j in range(n_outputs):
            i = j * PANEL + column
            store(buffer, delta + i, select(is_sample, load(buffer, targets + i), 0.0))
    return 0.0


mse = elementwise(_mse, "mse")
mae = elementwise(_mae, "mae")
huber = elementwise(_huber, "huber")
log_loss = elementwise(_log_loss, "log_loss")
poisson = elementwise(_poisson, "poisson")
mape = elementwise(_mape, "mape")
msle = elementwise(_msle, "msle")
categorical_crossentropy = elementwise(_categorical_crossentropy, "categorical_crossentropy", averages_outputs=False)
sigmoid_log_loss = _over_panels(_sigmoid_log_loss_loop, "sigmoid_log_loss")
softmax_crossentropy = _over_panels(_softmax_crossentropy_loop, "softmax_crossentropy")
exponential_poisson = _over_panels(_exponential_poisson_loop, "exponential_poisson")
given_delta = _over_panels(_take_delta, "given_delta")


CORRECT = int(Sum.CORRECT)
SQUARED_ERROR = int(Sum.SQUARED_ERROR)
ABSOLUTE_ERROR = int(Sum.ABSOLUTE_ERROR)


@inner
def _count_metrics(buffer, output, targets, weights, n_outputs, sums, at):
    """Add the panel's correct answers, squared and absolute errors, weighted by sample, to the sums from `at` on."""
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
        sums[at + CORRECT] += total(select(index_a == index_y, weight, 0.0))
        sums[at + SQUARED_ERROR] += total(squares * weight) * share
        sums[at + ABSOLUTE_ERROR] += total(sizes * weight) * share


@step_unit
def count_metrics(job):
    """Count the micro-batch's correct answers and errors."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL * job.positions):
        at = panel * job.n_outputs * PANEL
        weights = job.weights * scale + panel * PANEL
        _count_metrics(buffer, job.output * scale + at, job.y.target * scale + at, weights, job.n_outputs, sums_of(job),
                       job.thread * N_SUMS)  # fmt: skip
    return True
