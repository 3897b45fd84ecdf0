"""Activations as ops: a = f(z) in place or to another region, and delta *= f'(z) in place on the delta.

An activation is one function of vectors, and its slope as a function of the output; gelu, silu and mish, whose slope
needs z, give value and slope together and keep the slope for the backward pass. Softmax, which looks at all units of a
sample, has loops of its own.

To add one: its functions here and its line in `ACTIVATIONS`.

References
----------
.. [1] D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear
       Units (ELUs)", ICLR 2016.
.. [2] G. Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017 (selu's constants).
.. [3] D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.
.. [4] S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units", Neural Networks 107, 2018 (silu).
.. [5] D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020.
"""

from fastnn.kernels.elementary import exp, expm1, normal_cdf_and_pdf, reciprocal, sigmoid, softplus, tanh
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, named
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.simd import filled, fma, lanes, load, maximum, minimum, select, store, store_first
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@inlined
def _relu(z, value):
    return maximum(z, 0.0)


@inlined
def relu_slope(a, value):
    return select(a > 0.0, 1.0, 0.0)


@inlined
def _leaky_relu(z, value):
    return select(z > 0.0, z, z * value)


@inlined
def leaky_relu_slope(a, value):
    return select(a > 0.0, 1.0, value)


@inlined
def _elu(z, value):
    return select(z > 0.0, z, expm1(z) * value)


@inlined
def _elu_slope(a, value):
    return select(a > 0.0, 1.0, a + value)


@inlined
def _selu(z, value):
    return select(z > 0.0, z, expm1(z) * SELU_ALPHA) * SELU_SCALE


@inlined
def _selu_slope(a, value):
    return select(a > 0.0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)


@inlined
def _sigmoid(z, value):
    return sigmoid(z)


@inlined
def _sigmoid_slope(a, value):
    return a * (1.0 - a)


@inlined
def _tanh(z, value):
    return tanh(z)


@inlined
def _tanh_slope(a, value):
    return fma(-a, a, 1.0)


@inlined
def _softplus(z, value):
    return softplus(z)


@inlined
def _softplus_slope(a, value):
    """1 - e^-a, which is the sigmoid of z."""
    return -expm1(-a)


@inlined
def _exponential(z, value):
    return exp(z)


@inlined
def _exponential_slope(a, value):
    return a


@inlined
def _gelu(z):
    cdf, pdf = normal_cdf_and_pdf(z)
    return z * cdf, fma(z, pdf, cdf)


@inlined
def _silu(z):
    s = sigmoid(z)
    return z * s, fma(z * s, 1.0 - s, s)


@inlined
def _mish(z):
    """z t with t = tanh(log(1 + e)) = n / (n + 2) and dt/dz = 4 e (1 + e) / (n + 2)^2, where e = e^z and n = e (e + 2).

    Error of z t: 4 ulp.
    """
    bounded = minimum(z, 20.0)  # from where on t is 1 in either precision, and n finite
    e = exp(bounded)
    n = e * (e + 2.0)
    r = reciprocal(n + 2.0)
    t = n * r
    return z * t, fma(bounded * (4.0 * e), (e + 1.0) * (r * r), t)


def elementwise(name, function, slope):
    """Build the op of an activation whose slope follows from its output: a = function(z, value), slope(a, value)."""

    @op_unit
    @named(f"{name}_forward")
    def forward(job, op):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        source, target = op.source * scale, op.target * scale
        value = filled(buffer, op.value)
        for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
            store(buffer, target + i, function(load(buffer, source + i), value))
        return True

    @op_unit
    @named(f"{name}_backward")
    def backward(job, op):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        output, delta = op.target * scale, job.delta * scale
        value = filled(buffer, op.value)
        for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
            store(buffer, delta + i, load(buffer, delta + i) * slope(load(buffer, output + i), value))
        return True

    @row_unit
    @named(f"{name}_row")
    def row(row, op):
        buffer = buffer_of(row)
        value = filled(buffer, op.value)
        for i in range(row.source, row.source + op.positions * op.units, lanes(buffer)):
            store(buffer, i, function(load(buffer, i), value))
        return True

    return OpKind(name, forward, backward, row, is_activation=True, minds_lengths=True)


@op_unit
def kept_slope_backward(job, op):
    """delta *= f'(z), which the forward pass kept."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    extra, delta = op.extra * scale, job.delta * scale
    for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
        store(buffer, delta + i, load(buffer, delta + i) * load(buffer, extra + i))
    return True


def with_slope(name, function):
    """Build the op of an activation that gives its slope beside its value: (a, f'(z)) = function(z)."""

    @op_unit
    @named(f"{name}_forward")
    def forward(job, op):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        source, target, extra = op.source * scale, op.target * scale, op.extra * scale
        for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
            a, slope = function(load(buffer, source + i))
            if job.goes_back:
                store(buffer, extra + i, slope)
            store(buffer, target + i, a)
        return True

    @row_unit
    @named(f"{name}_row")
    def row(row, op):
        buffer = buffer_of(row)
        for i in range(row.source, row.source + op.positions * op.units, lanes(buffer)):
            store(buffer, i, function(load(buffer, i))[0])
        return True

    return OpKind(name, forward, kept_slope_backward, row, is_activation=True, keeps_slope=True, minds_lengths=True)


@inner
def _softmax_panel(buffer, source, target, units):
    """Softmax over the units of one panel, every sample in its own lane; the largest logit is taken off first."""
    for column in range(0, PANEL, lanes(buffer)):
        z, a = source + column, target + column
        largest = load(buffer, z)
        for j in range(1, units):
            largest = maximum(largest, load(buffer, z + j * PANEL))
        normaliser = filled(buffer, 0.0)
        for j in range(units):
            e = exp(load(buffer, z + j * PANEL) - largest)
            normaliser = normaliser + e
            store(buffer, a + j * PANEL, e)
        scale = 1.0 / normaliser
        for j in range(units):
            store(buffer, a + j * PANEL, load(buffer, a + j * PANEL) * scale)


@inner
def _softmax_panel_backward(buffer, output, delta, units):
    """delta = a * (delta - sum(delta * a)): the product with softmax's Jacobian diag(a) - a a^T."""
    for column in range(0, PANEL, lanes(buffer)):
        a, d = output + column, delta + column
        inner_product = filled(buffer, 0.0)
        for j in range(units):
            inner_product = fma(load(buffer, a + j * PANEL), load(buffer, d + j * PANEL), inner_product)
        for j in range(units):
            store(buffer, d + j * PANEL, load(buffer, a + j * PANEL) * (load(buffer, d + j * PANEL) - inner_product))


@op_unit
def softmax_forward(job, op):
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for panel in range(panels_of(job, op)):
        at = panel * op.units * PANEL
        _softmax_panel(buffer, op.source * scale + at, op.target * scale + at, op.units)
    return True


@op_unit
def softmax_backward(job, op):
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for panel in range(panels_of(job, op)):
        at = panel * op.units * PANEL
        _softmax_panel_backward(buffer, op.target * scale + at, job.delta * scale + at, op.units)
    return True


@inner
def _softmax_of_row(buffer, at, units):
    """In place, as `_softmax_panel`; the sums are vectors of equal lanes, so that their order is kept."""
    largest = filled(buffer, buffer[at])
    for j in range(1, units):
        largest = maximum(largest, filled(buffer, buffer[at + j]))
    for column in range(0, units, lanes(buffer)):
        store(buffer, at + column, exp(load(buffer, at + column) - largest))
    normaliser = filled(buffer, 0.0)
    for j in range(units):
        normaliser = normaliser + filled(buffer, buffer[at + j])
    scale = 1.0 / normaliser
    for column in range(0, units, lanes(buffer)):
        store(buffer, at + column, load(buffer, at + column) * scale)


@row_unit
def softmax_row(row, op):
    """Softmax at every position."""
    buffer = buffer_of(row)
    for position in range(op.positions):
        at = row.source + position * op.units
        if op.positions == 1:
            _softmax_of_row(buffer, at, op.units)
        else:
            _softmax_of_few(buffer, at, op.units)
    return True


@inner
def _softmax_of_few(buffer, at, units):
    """Softmax of one position among several: element by element, so that the next position stays as it is."""
    largest = buffer[at]
    for j in range(1, units):
        largest = max(largest, buffer[at + j])
    normaliser = filled(buffer, 0.0)
    for j in range(units):
        normaliser = normaliser + exp(filled(buffer, buffer[at + j] - largest))
    scale = 1.0 / normaliser
    for j in range(units):
        store_first(buffer, at + j, exp(filled(buffer, buffer[at + j] - largest)) * scale, 1)


SOFTMAX = OpKind("softmax", softmax_forward, softmax_backward, softmax_row, is_activation=True, minds_lengths=True)

# What an activation is to a plan: its op, and whether it keeps its slope for the backward pass.
ACTIVATIONS = {
    "sigmoid": elementwise("sigmoid", _sigmoid, _sigmoid_slope),
    "tanh": elementwise("tanh", _tanh, _tanh_slope),
    "relu": elementwise("relu", _relu, relu_slope),
    "leaky_relu": elementwise("leaky_relu", _leaky_relu, leaky_relu_slope),
    "elu": elementwise("elu", _elu, _elu_slope),
    "selu": elementwise("selu", _selu, _selu_slope),
    "softplus": elementwise("softplus", _softplus, _softplus_slope),
    "gelu": with_slope("gelu", _gelu),
    "silu": with_slope("silu", _silu),
    "mish": with_slope("mish", _mish),
    "softmax": SOFTMAX,
    "exponential": elementwise("exponential", _exponential, _exponential_slope),
}
