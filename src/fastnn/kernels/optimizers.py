"""Optimizer updates: one pass over the flat vectors of parameters, gradient and moments.

Every vector is as long as whole cache lines, so that no tail is needed; a thread updates the range [first, last).
`moments` holds the optimizer's slots one after the other, each of `stride` elements.

To add an optimizer: write its pass here, give it a number in `tables.Optimizer`, call it in `update`, and declare it
in `fastnn/optimizers.py`.

References
----------
.. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.
.. [2] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from fastnn.kernels.elementary import reciprocal, root
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import absolute, filled, fma, lanes, load, minimum, select, store
from fastnn.kernels.tables import Optimizer

SGD = int(Optimizer.SGD)
ADAM = int(Optimizer.ADAM)

TINY = 1e-37  # moments that decay below this become 0: denormals make every later update several times slower


@inlined
def _flush(x):
    return select(absolute(x) < TINY, 0.0, x)


@inner
def _sgd(parameters, gradient, moments, first, last, rate, momentum, nesterov):
    """v = momentum v - rate g;  w += v, or with Nesterov w += momentum v - rate g [1]_."""
    rate_v, momentum_v = filled(parameters, -rate), filled(parameters, momentum)
    for i in range(first, last, lanes(parameters)):
        g = load(gradient, i)
        if momentum == 0.0:
            change = rate_v * g
        else:
            velocity = _flush(fma(momentum_v, load(moments, i), rate_v * g))
            store(moments, i, velocity)
            change = fma(momentum_v, velocity, rate_v * g) if nesterov else velocity
        store(parameters, i, load(parameters, i) + change)


@inner
def _adam(parameters, gradient, moments, stride, first, last, step, rate, beta_1, beta_2, epsilon):
    """Algorithm 1 of [2]_: w -= rate m_hat / (sqrt(v_hat) + epsilon), both moments corrected for their start at 0."""
    # m_hat and sqrt(v_hat) differ from m and sqrt(v) by factors that are constant over the vector.
    rate_1 = filled(parameters, -rate / (1.0 - beta_1**step))
    root_2 = filled(parameters, 1.0 / (1.0 - beta_2**step) ** 0.5)
    beta_1_v, beta_2_v = filled(parameters, beta_1), filled(parameters, beta_2)
    rest_1, rest_2 = filled(parameters, 1.0 - beta_1), filled(parameters, 1.0 - beta_2)
    epsilon_v = filled(parameters, epsilon)
    for i in range(first, last, lanes(parameters)):
        g = load(gradient, i)
        m = _flush(fma(beta_1_v, load(moments, i), rest_1 * g))
        v = minimum(_flush(fma(beta_2_v, load(moments, stride + i), rest_2 * (g * g))), 3e38)  # `root` wants v < inf
        store(moments, i, m)
        store(moments, stride + i, v)
        step_size = (rate_1 * m) * reciprocal(fma(root(v), root_2, epsilon_v))
        store(parameters, i, load(parameters, i) + step_size)


@inner
def update(job, rate, parameters, gradient, moments, first, last):
    """Apply the job's optimizer to the elements [first, last); `job.step` is the number of updates done before."""
    h = job.hyperparameters
    stride = job.parameter_stride
    if job.optimizer == ADAM:
        _adam(parameters, gradient, moments, stride, first, last, job.step + 1, rate, h[0], h[1], h[2])
    elif job.optimizer == SGD:
        _sgd(parameters, gradient, moments, first, last, rate, h[0], h[1] != 0.0)
