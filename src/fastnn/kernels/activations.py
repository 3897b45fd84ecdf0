"""Activation functions over a flat buffer: forward in place or to another buffer, backward in place on the delta.

Jobs
----
- `activate`: a = f(z); for gelu, silu and mish, whose derivative needs z, f'(z) is kept in `extra` for a backward pass
- `activate_backward`: delta *= f'(z), from a alone or from `extra`; softmax multiplies by its Jacobian

Everything outside softmax is elementwise, so panels are treated as one flat run of vectors.

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
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import filled, fma, lanes, load, maximum, minimum, select, store
from fastnn.kernels.tables import Activation

SIGMOID = int(Activation.SIGMOID)
TANH = int(Activation.TANH)
RELU = int(Activation.RELU)
LEAKY_RELU = int(Activation.LEAKY_RELU)
ELU = int(Activation.ELU)
SELU = int(Activation.SELU)
SOFTPLUS = int(Activation.SOFTPLUS)
GELU = int(Activation.GELU)
SILU = int(Activation.SILU)
MISH = int(Activation.MISH)
SOFTMAX = int(Activation.SOFTMAX)
EXPONENTIAL = int(Activation.EXPONENTIAL)

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@inlined
def _relu(z, value):
    return maximum(z, 0.0)


@inlined
def _relu_slope(a, value):
    return select(a > 0.0, 1.0, 0.0)


@inlined
def _leaky_relu(z, value):
    return select(z > 0.0, z, z * value)


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


def _make_forward(function):
    """Build the loop of an activation whose derivative follows from its output."""

    @inner
    def forward(buffer, source, target, size, value):
        value = filled(buffer, value)
        for i in range(0, size, lanes(buffer)):
            store(buffer, target + i, function(load(buffer, source + i), value))

    return forward


def _make_backward(slope):
    """Build the loop delta *= slope(a)."""

    @inner
    def backward(buffer, output, delta, size, value):
        value = filled(buffer, value)
        for i in range(0, size, lanes(buffer)):
            store(buffer, delta + i, load(buffer, delta + i) * slope(load(buffer, output + i), value))

    return backward


def _make_forward_with_slope(function):
    """Build the loop of an activation that returns its derivative beside its value."""

    @inner
    def forward(buffer, source, target, extra, size, keeps_slope):
        for i in range(0, size, lanes(buffer)):
            a, slope = function(load(buffer, source + i))
            if keeps_slope:
                store(buffer, extra + i, slope)
            store(buffer, target + i, a)

    return forward


@inlined
def _leaky_relu_slope(a, value):
    return select(a > 0.0, 1.0, value)


_relu_forward, _relu_backward = _make_forward(_relu), _make_backward(_relu_slope)
_leaky_relu_forward, _leaky_relu_backward = _make_forward(_leaky_relu), _make_backward(_leaky_relu_slope)
_elu_forward, _elu_backward = _make_forward(_elu), _make_backward(_elu_slope)
_selu_forward, _selu_backward = _make_forward(_selu), _make_backward(_selu_slope)
_sigmoid_forward, _sigmoid_backward = _make_forward(_sigmoid), _make_backward(_sigmoid_slope)
_tanh_forward, _tanh_backward = _make_forward(_tanh), _make_backward(_tanh_slope)
_softplus_forward, _softplus_backward = _make_forward(_softplus), _make_backward(_softplus_slope)
_exponential_forward, _exponential_backward = _make_forward(_exponential), _make_backward(_exponential_slope)
_gelu_forward = _make_forward_with_slope(_gelu)
_silu_forward = _make_forward_with_slope(_silu)
_mish_forward = _make_forward_with_slope(_mish)


@inner
def softmax(buffer, source, target, units):
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
def softmax_backward(buffer, output, delta, units):
    """delta = a * (delta - sum(delta * a)): the product with softmax's Jacobian diag(a) - a a^T."""
    for column in range(0, PANEL, lanes(buffer)):
        a, d = output + column, delta + column
        inner_product = filled(buffer, 0.0)
        for j in range(units):
            inner_product = fma(load(buffer, a + j * PANEL), load(buffer, d + j * PANEL), inner_product)
        for j in range(units):
            store(buffer, d + j * PANEL, load(buffer, a + j * PANEL) * (load(buffer, d + j * PANEL) - inner_product))


@inner
def copy(buffer, source, target, size):
    """Copy a run of whole vectors, unless it already lies there."""
    if source == target:
        return
    for i in range(0, size, lanes(buffer)):
        store(buffer, target + i, load(buffer, source + i))


@inner
def activate_flat(code, value, buffer, source, target, extra, size, keeps_slope):
    """a = f(z) on a run of whole vectors, for every f but softmax; `source` may be `target`."""
    if code == RELU:
        _relu_forward(buffer, source, target, size, value)
    elif code == TANH:
        _tanh_forward(buffer, source, target, size, value)
    elif code == SIGMOID:
        _sigmoid_forward(buffer, source, target, size, value)
    elif code == LEAKY_RELU:
        _leaky_relu_forward(buffer, source, target, size, value)
    elif code == ELU:
        _elu_forward(buffer, source, target, size, value)
    elif code == SELU:
        _selu_forward(buffer, source, target, size, value)
    elif code == SOFTPLUS:
        _softplus_forward(buffer, source, target, size, value)
    elif code == EXPONENTIAL:
        _exponential_forward(buffer, source, target, size, value)
    elif code == GELU:
        _gelu_forward(buffer, source, target, extra, size, keeps_slope)
    elif code == SILU:
        _silu_forward(buffer, source, target, extra, size, keeps_slope)
    elif code == MISH:
        _mish_forward(buffer, source, target, extra, size, keeps_slope)
    else:
        copy(buffer, source, target, size)


@inner
def activate(code, value, buffer, source, target, extra, units, n_panels, keeps_slope):
    """a = f(z) on `n_panels` panels; `source` may be `target`."""
    if code == SOFTMAX:
        for panel in range(n_panels):
            offset = panel * units * PANEL
            softmax(buffer, source + offset, target + offset, units)
    else:
        activate_flat(code, value, buffer, source, target, extra, units * PANEL * n_panels, keeps_slope)


@inner
def activate_backward(code, value, buffer, output, extra, delta, units, n_panels):
    """delta *= f'(z) on `n_panels` panels, given the output a = f(z) or, in `extra`, f'(z) itself."""
    size = units * PANEL * n_panels
    if code == RELU:
        _relu_backward(buffer, output, delta, size, value)
    elif code == TANH:
        _tanh_backward(buffer, output, delta, size, value)
    elif code == SIGMOID:
        _sigmoid_backward(buffer, output, delta, size, value)
    elif code == LEAKY_RELU:
        _leaky_relu_backward(buffer, output, delta, size, value)
    elif code == ELU:
        _elu_backward(buffer, output, delta, size, value)
    elif code == SELU:
        _selu_backward(buffer, output, delta, size, value)
    elif code == SOFTPLUS:
        _softplus_backward(buffer, output, delta, size, value)
    elif code == EXPONENTIAL:
        _exponential_backward(buffer, output, delta, size, value)
    elif code == GELU or code == SILU or code == MISH:
        for i in range(0, size, lanes(buffer)):
            store(buffer, delta + i, load(buffer, delta + i) * load(buffer, extra + i))
    elif code == SOFTMAX:
        for panel in range(n_panels):
            offset = panel * units * PANEL
            softmax_backward(buffer, output + offset, delta + offset, units)
