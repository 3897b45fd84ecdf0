"""Activations: value(z, **params) beside derivative(z, **params), element by element; softmax works on rows.

Where a function has a kink at z = 0, the derivative is the one from the left, as in PyTorch: relu 0, leaky_relu
negative_slope.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import erfc, expit


class ActivationPair(NamedTuple):
    value: Callable
    derivative: Callable | None  # None: the Jacobian is not diagonal, see activate_backward


def linear(z):
    return z


def linear_derivative(z):
    return np.ones_like(z)


def sigmoid(z):
    return expit(z)  # 1 / (1 + exp(-z))


def sigmoid_derivative(z):
    return expit(z) * expit(-z)  # s (1 - s); 1 - s(z) = s(-z) loses no digits


def tanh(z):
    return np.tanh(z)


def tanh_derivative(z):
    return 4 * expit(2 * z) * expit(-2 * z)  # 1 - tanh(z)^2 = 1 / cosh(z)^2, without the cancellation


def relu(z):
    return np.where(z > 0, z, 0.0)


def relu_derivative(z):
    return np.where(z > 0, 1.0, 0.0)


def leaky_relu(z, negative_slope=0.01):
    """Maas, Hannun and Ng, 2013, section 2. The default slope is PyTorch's and the paper's (Keras: 0.3)."""
    return np.where(z > 0, z, negative_slope * z)


def leaky_relu_derivative(z, negative_slope=0.01):
    return np.where(z > 0, 1.0, negative_slope)


def elu(z, alpha=1.0):
    """Clevert, Unterthiner and Hochreiter, 2016, equation 15."""
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def elu_derivative(z, alpha=1.0):
    return np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0)))


# Klambauer, Unterthiner, Mayr and Hochreiter, 2017, equation 2 and section "Self-Normalizing Neural Networks":
# the fixed point of mean 0 and variance 1.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def selu(z):
    return SELU_SCALE * elu(z, SELU_ALPHA)


def selu_derivative(z):
    return SELU_SCALE * elu_derivative(z, SELU_ALPHA)


def softplus(z):
    """Dugas et al., 2001: log(1 + exp(z)), without overflow."""
    return np.logaddexp(0, z)


def softplus_derivative(z):
    return expit(z)


def gelu(z):
    """Hendrycks and Gimpel, 2016, section 2: z Phi(z), the exact form (not the tanh approximation)."""
    return z * normal_cdf(z)


def gelu_derivative(z):
    return normal_cdf(z) + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def normal_cdf(z):
    return erfc(-z / np.sqrt(2)) / 2  # (1 + erf(z / sqrt 2)) / 2, accurate in the left tail as well


def silu(z):
    """Elfwing, Uchibe and Doya, 2018, section 2: z times its sigmoid; also called swish."""
    return z * expit(z)


def silu_derivative(z):
    return expit(z) + z * sigmoid_derivative(z)


def mish(z):
    """Misra, 2019, equation 1: z tanh(softplus(z))."""
    return z * np.tanh(softplus(z))


def mish_derivative(z):
    return np.tanh(softplus(z)) + z * tanh_derivative(softplus(z)) * softplus_derivative(z)


def exponential(z):
    return np.exp(z)


def softmax(z):
    """Bridle, 1990. A shift of a row changes nothing; with its maximum subtracted exp does not overflow."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {
    "linear": ActivationPair(linear, linear_derivative),
    "sigmoid": ActivationPair(sigmoid, sigmoid_derivative),
    "tanh": ActivationPair(tanh, tanh_derivative),
    "relu": ActivationPair(relu, relu_derivative),
    "leaky_relu": ActivationPair(leaky_relu, leaky_relu_derivative),
    "elu": ActivationPair(elu, elu_derivative),
    "selu": ActivationPair(selu, selu_derivative),
    "softplus": ActivationPair(softplus, softplus_derivative),
    "gelu": ActivationPair(gelu, gelu_derivative),
    "silu": ActivationPair(silu, silu_derivative),
    "mish": ActivationPair(mish, mish_derivative),
    "softmax": ActivationPair(softmax, None),
    "exponential": ActivationPair(exponential, exponential),  # its own derivative
}


def activate(name, z, **params):
    """a = f(z), any shape; softmax over the last axis."""
    return ACTIVATIONS[name].value(np.asarray(z, dtype=float), **params)


def activate_backward(name, z, delta, **params):
    """dL/dz from delta = dL/da: the transposed Jacobian of the activation at z, times delta."""
    z = np.asarray(z, dtype=float)
    if name == "softmax":
        a = softmax(z)  # da_i/dz_j = a_i (1[i = j] - a_j)
        return a * (delta - (delta * a).sum(axis=-1, keepdims=True))
    return delta * ACTIVATIONS[name].derivative(z, **params)
