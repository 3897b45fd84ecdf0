"""Optimizer updates: one pass over the flat vectors of parameters, gradient and moments.

Every vector is as long as whole cache lines, so that no tail is needed; a call updates the range [first, last). Moments
hold the optimizer's slots one after the other, each of `parameter_stride` elements; all start at 0. The gradient of
element i is element i of an array that begins at the address `gradient`, which need not be memory of its own before
`first`: blocks are updated from a small area.

To add an optimizer: its unit here, its class in the package `fastnn/optimizers/`, and its line in the registry there.

Jobs
----
- one `update_unit` an optimizer: `sgd`, `adam`, ...
- `decay_weights`: decoupled weight decay, before the optimizer
- `average_parameters`: the moving average, after it

References
----------
.. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
.. [2] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
.. [3] S. J. Reddi, S. Kale, S. Kumar, "On the Convergence of Adam and Beyond", ICLR 2018.
.. [4] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
.. [5] T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop, 2016.
.. [6] G. Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
.. [7] A. Graves, "Generating Sequences With Recurrent Neural Networks", 2013, eqs. 38-41.
.. [8] J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods", JMLR 12, 2011.
.. [9] M. D. Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012.
.. [10] X. Chen et al., "Symbolic Discovery of Optimization Algorithms", NeurIPS 2023.
.. [11] B. T. Polyak, A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control Optim.
       30(4), 1992.
"""

import numpy as np

from fastnn.kernels.elementary import reciprocal, root
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.layerwise import own_range
from fastnn.kernels.simd import (
    absolute,
    filled,
    fma,
    lanes,
    load,
    load_first,
    maximum,
    minimum,
    select,
    store,
    store_first,
)
from fastnn.kernels.units import step_unit, update_unit
from fastnn.kernels.views import array_at, moments_of, parameters_of, variables_of

LARGEST = 3e38  # `root` and `reciprocal` want finite numbers


@inlined
def _mean_square(v, g, rest):
    """(1 - rest) v + rest g^2, finite."""
    return minimum(fma(rest, fma(g, g, -v), v), LARGEST)


@inner
def _epsilon_of_adam(h, step):
    """Epsilon as algorithm 1 of [2]_ adds it; epsilon hat, of the form before its section 2.1, is corrected like v."""
    return h[2] / (1.0 - h[1] ** step) ** 0.5 if h[3] != 0.0 else h[2]


@update_unit
def sgd(job, gradient, first, last):
    """v = momentum v - rate g;  w += v, or with Nesterov w += momentum v - rate g [1]_."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    momentum, nesterov = h[0], h[1] != 0.0
    rate_v, momentum_v = filled(parameters, -rate), filled(parameters, momentum)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        if momentum == 0.0:
            change = rate_v * g
        else:
            velocity = fma(momentum_v, load(moments, i), rate_v * g)
            store(moments, i, velocity)
            change = fma(momentum_v, velocity, rate_v * g) if nesterov else velocity
        store(parameters, i, load(parameters, i) + change)
    return True


@update_unit
def adam(job, gradient, first, last):
    """Algorithm 1 of [2]_: w -= rate m_hat / (sqrt(v_hat) + epsilon), both moments corrected for their start at 0."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    beta_1, beta_2, epsilon = h[0], h[1], _epsilon_of_adam(h, job.step + 1)
    stride, step = job.parameter_stride, job.step + 1
    # m_hat and sqrt(v_hat) differ from m and sqrt(v) by factors that are constant over the vector.
    rate_1 = filled(parameters, -rate / (1.0 - beta_1**step))
    root_2 = filled(parameters, 1.0 / (1.0 - beta_2**step) ** 0.5)
    beta_1_v = filled(parameters, beta_1)
    rest_1, rest_2 = filled(parameters, 1.0 - beta_1), filled(parameters, 1.0 - beta_2)
    epsilon_v = filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        m = fma(beta_1_v, load(moments, i), rest_1 * g)
        v = _mean_square(load(moments, stride + i), g, rest_2)
        store(moments, i, m)
        store(moments, stride + i, v)
        step_size = (rate_1 * m) * reciprocal(fma(root(v), root_2, epsilon_v))
        store(parameters, i, load(parameters, i) + step_size)
    return True


@update_unit
def amsgrad(job, gradient, first, last):
    """Algorithm 2 of [3]_: Adam with the largest v so far; corrected for its start at 0 as PyTorch and Keras do."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    beta_1, beta_2, epsilon = h[0], h[1], _epsilon_of_adam(h, job.step + 1)
    stride, step = job.parameter_stride, job.step + 1
    rate_1 = filled(parameters, -rate / (1.0 - beta_1**step))
    root_2 = filled(parameters, 1.0 / (1.0 - beta_2**step) ** 0.5)
    beta_1_v = filled(parameters, beta_1)
    rest_1, rest_2 = filled(parameters, 1.0 - beta_1), filled(parameters, 1.0 - beta_2)
    epsilon_v = filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        m = fma(beta_1_v, load(moments, i), rest_1 * g)
        v = _mean_square(load(moments, stride + i), g, rest_2)
        largest = maximum(load(moments, 2 * stride + i), v)
        store(moments, i, m)
        store(moments, stride + i, v)
        store(moments, 2 * stride + i, largest)
        change = (rate_1 * m) * reciprocal(fma(root(largest), root_2, epsilon_v))
        store(parameters, i, load(parameters, i) + change)
    return True


# prod_{i <= t} (1 - 0.96^i / 2) of [5]_, whose factors are 1 in float64 from i = 900 on.
_WARM_UP = np.cumprod(1.0 - 0.5 * 0.96 ** np.arange(1, 1001))


@update_unit
def nadam(job, gradient, first, last):
    """Algorithm 2 of [5]_, with the momentum mu_t = beta_1 (1 - 0.96^t / 2) of Keras."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    beta_1, beta_2, epsilon = h[0], h[1], h[2]
    stride, step = job.parameter_stride, job.step + 1
    mu, mu_next = beta_1 * (1.0 - 0.5 * 0.96**step), beta_1 * (1.0 - 0.5 * 0.96 ** (step + 1))
    product = beta_1**step * _WARM_UP[min(step, _WARM_UP.size) - 1]  # mu_1 mu_2 ... mu_t
    rate_m = filled(parameters, -rate * mu_next / (1.0 - product * mu_next))
    rate_g = filled(parameters, -rate * (1.0 - mu) / (1.0 - product))
    root_2 = filled(parameters, 1.0 / (1.0 - beta_2**step) ** 0.5)
    beta_1_v = filled(parameters, beta_1)
    rest_1, rest_2 = filled(parameters, 1.0 - beta_1), filled(parameters, 1.0 - beta_2)
    epsilon_v = filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        m = fma(beta_1_v, load(moments, i), rest_1 * g)
        v = _mean_square(load(moments, stride + i), g, rest_2)
        store(moments, i, m)
        store(moments, stride + i, v)
        change = fma(rate_m, m, rate_g * g) * reciprocal(fma(root(v), root_2, epsilon_v))
        store(parameters, i, load(parameters, i) + change)
    return True


@update_unit
def adamax(job, gradient, first, last):
    """Algorithm 2 of [2]_: the largest gradient, decayed, in place of the root."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    beta_1, beta_2, epsilon = h[0], h[1], h[2]
    stride, step = job.parameter_stride, job.step + 1
    rate_1 = filled(parameters, -rate / (1.0 - beta_1**step))
    beta_1_v, rest_1 = filled(parameters, beta_1), filled(parameters, 1.0 - beta_1)
    beta_2_v, epsilon_v = filled(parameters, beta_2), filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        m = fma(beta_1_v, load(moments, i), rest_1 * g)
        u = minimum(maximum(beta_2_v * load(moments, stride + i), absolute(g)), LARGEST)
        store(moments, i, m)
        store(moments, stride + i, u)
        store(parameters, i, load(parameters, i) + (rate_1 * m) * reciprocal(u + epsilon_v))
    return True


@update_unit
def rmsprop(job, gradient, first, last):
    """v = rho v + (1 - rho) g^2;  velocity = momentum velocity + rate g / (sqrt(v) + epsilon);  w -= velocity [6]_.

    Centered takes v - mean(g)^2 for v [7]_. Slots: v, then the mean, then the velocity, those that exist.
    """
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    rho, momentum, epsilon, centered = h[0], h[1], h[2], h[3] != 0.0
    stride = job.parameter_stride
    rate_v, rho_v, rest = filled(parameters, rate), filled(parameters, rho), filled(parameters, 1.0 - rho)
    momentum_v, epsilon_v = filled(parameters, momentum), filled(parameters, epsilon)
    velocities = 2 * stride if centered else stride
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        v = _mean_square(load(moments, i), g, rest)
        store(moments, i, v)
        if centered:
            mean = fma(rho_v, load(moments, stride + i), rest * g)
            store(moments, stride + i, mean)
            v = maximum(v - mean * mean, 0.0)  # below 0 only by rounding
        change = (rate_v * g) * reciprocal(root(v) + epsilon_v)
        if momentum != 0.0:
            change = fma(momentum_v, load(moments, velocities + i), change)
            store(moments, velocities + i, change)
        store(parameters, i, load(parameters, i) - change)
    return True


@update_unit
def adagrad(job, gradient, first, last):
    """w -= rate g / (sqrt(sum of g^2) + epsilon) [8]_; the slot is the sum, without what it starts from."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    initial_accumulator, epsilon = h[0], h[1]
    rate_v, epsilon_v = filled(parameters, -rate), filled(parameters, epsilon)
    initial = filled(parameters, initial_accumulator)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        squares = minimum(fma(g, g, load(moments, i)), LARGEST)
        store(moments, i, squares)
        change = (rate_v * g) * reciprocal(root(squares + initial) + epsilon_v)
        store(parameters, i, load(parameters, i) + change)
    return True


@update_unit
def adadelta(job, gradient, first, last):
    """Algorithm 1 of [9]_: dx = -RMS(earlier dx) / RMS(g) g;  w += rate dx."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    rho, epsilon = h[0], h[1]
    stride = job.parameter_stride
    rate_v, rho_v, rest = filled(parameters, rate), filled(parameters, rho), filled(parameters, 1.0 - rho)
    epsilon_v = filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(slopes, i)
        v = _mean_square(load(moments, i), g, rest)
        changes = load(moments, stride + i)
        change = root(changes + epsilon_v) * reciprocal(root(v + epsilon_v)) * g
        store(moments, i, v)
        store(moments, stride + i, fma(rho_v, changes, rest * (change * change)))
        store(parameters, i, load(parameters, i) - rate_v * change)
    return True


@update_unit
def lion(job, gradient, first, last):
    """Algorithm 2 of [10]_: w -= rate sign(beta_1 m + (1 - beta_1) g), and m keeps an average of its own rate."""
    parameters, moments, slopes = parameters_of(job), moments_of(job), array_at(gradient, last, job.element)
    h, rate = job.hyperparameters, job.rate
    beta_1, beta_2 = h[0], h[1]
    rate_v, zero = filled(parameters, rate), filled(parameters, 0.0)
    beta_1_v, beta_2_v = filled(parameters, beta_1), filled(parameters, beta_2)
    rest_1, rest_2 = filled(parameters, 1.0 - beta_1), filled(parameters, 1.0 - beta_2)
    for i in range(first, last, lanes(parameters)):
        g, m = load(slopes, i), load(moments, i)
        direction = fma(beta_1_v, m, rest_1 * g)
        store(moments, i, fma(beta_2_v, m, rest_2 * g))
        change = select(direction > zero, rate_v, select(direction < zero, -rate_v, zero))
        store(parameters, i, load(parameters, i) - change)
    return True


@update_unit
def decay_weights(job, gradient, first, last):
    """w -= rate * weight_decay * w, apart from the gradient [4]_; kernels only, unless the job wants all."""
    parameters, variables = parameters_of(job), variables_of(job)
    factor = filled(parameters, 1.0 - job.rate * job.weight_decay)
    for v in range(variables.size):
        variable = variables[v]
        if variable.is_trained and (variable.is_kernel or job.decays_all):
            begin, end = max(variable.offset, first), min(variable.offset + variable.size, last)
            for i in range(begin, end, lanes(parameters)):
                count = min(lanes(parameters), end - i)
                store_first(parameters, i, load_first(parameters, i, count) * factor, count)
    return True


@step_unit
def average_parameters(job):
    """Keep an exponential moving average of the parameters in the last slot of the moments [11]_."""
    parameters, moments = parameters_of(job), moments_of(job)
    first, last = own_range(job)
    at = moments.size - job.parameter_stride
    # The average starts at the parameters after the first step.
    momentum = job.average_momentum if job.step > 0 else 0.0
    momentum_v, rest = filled(parameters, momentum), filled(parameters, 1.0 - momentum)
    for i in range(first, last, lanes(parameters)):
        store(moments, at + i, fma(momentum_v, load(moments, at + i), rest * load(parameters, i)))
    return True
