"""Layers: forward(x, training) beside backward(x, delta, training), for x of shape (n, fan_in).

backward takes delta = dL/d(output) and returns dL/dx and the gradients of the layer's parameters, in their order.
Nothing is remembered between the two: backward computes again what it needs. Randomness comes from the caller.
"""

from dataclasses import dataclass, field

import numpy as np

from .activations import activate, activate_backward


class Layer:
    trainable = ()  # names of the parameters; one that is None does not exist

    def parameter_names(self):
        return [name for name in self.trainable if getattr(self, name) is not None]

    def penalty(self):
        return 0.0

    def penalty_gradient(self):
        return [np.zeros_like(getattr(self, name)) for name in self.parameter_names()]


@dataclass
class Dense(Layer):
    """x W + b, W of shape (fan_in, units); L1 and L2 penalties as in Keras: l1 sum|w| + l2 sum w^2, no factor 1/2."""

    W: np.ndarray
    b: np.ndarray | None = None
    kernel_l1: float = 0.0
    kernel_l2: float = 0.0
    bias_l1: float = 0.0
    bias_l2: float = 0.0
    trainable = ("W", "b")

    def forward(self, x, training=False):
        return x @ self.W if self.b is None else x @ self.W + self.b

    def backward(self, x, delta, training=False):
        gradients = [x.T @ delta] if self.b is None else [x.T @ delta, delta.sum(axis=0)]
        return delta @ self.W.T, gradients

    def penalty(self):
        value = self.kernel_l1 * np.abs(self.W).sum() + self.kernel_l2 * (self.W**2).sum()
        if self.b is not None:
            value += self.bias_l1 * np.abs(self.b).sum() + self.bias_l2 * (self.b**2).sum()
        return value

    def penalty_gradient(self):
        gradients = [self.kernel_l1 * np.sign(self.W) + 2 * self.kernel_l2 * self.W]
        if self.b is not None:
            gradients += [self.bias_l1 * np.sign(self.b) + 2 * self.bias_l2 * self.b]
        return gradients


@dataclass
class Activation(Layer):
    """One of ACTIVATIONS, with its parameters in a dict."""

    name: str
    params: dict = field(default_factory=dict)

    def forward(self, x, training=False):
        return activate(self.name, x, **self.params)

    def backward(self, x, delta, training=False):
        return activate_backward(self.name, x, delta, **self.params), []


@dataclass
class Dropout(Layer):
    """Srivastava et al., 2014, section 4, in the inverted form (their section 10): nothing is scaled at inference.

    mask has the shape of x: 1 (or True) keeps a unit, 0 drops it.
    """

    rate: float
    mask: np.ndarray | None = None

    def forward(self, x, training=False):
        return x * self.mask / (1 - self.rate) if training else x

    def backward(self, x, delta, training=False):
        return (delta * self.mask / (1 - self.rate) if training else delta), []


@dataclass
class GaussianNoise(Layer):
    """x + noise in training; noise has the shape of x and is already multiplied by its standard deviation."""

    noise: np.ndarray | None = None

    def forward(self, x, training=False):
        return x + self.noise if training else x

    def backward(self, x, delta, training=False):
        return delta, []


@dataclass
class LayerNormalization(Layer):
    """Ba, Kiros and Hinton, 2016, equation 3: each row to mean 0 and (biased) variance 1, then gamma, beta.

    epsilon is Keras's (PyTorch: 1e-5) and stands under the root in both.
    """

    gamma: np.ndarray | None
    beta: np.ndarray | None
    epsilon: float = 1e-3
    trainable = ("gamma", "beta")

    def forward(self, x, training=False):
        return scale_and_shift(normalize(x, 1, self.epsilon), self.gamma, self.beta)

    def backward(self, x, delta, training=False):
        return normalization_backward(x, delta, 1, self.gamma, self.beta, self.epsilon)


@dataclass
class BatchNormalization(Layer):
    """Ioffe and Szegedy, 2015, algorithm 1 (training) and algorithm 2, step 11 (inference).

    In training the statistics are those of the batch, unweighted, with the biased variance. momentum and epsilon are
    Keras's (PyTorch: 0.9 in this convention, 1e-5).
    """

    gamma: np.ndarray | None
    beta: np.ndarray | None
    moving_mean: np.ndarray
    moving_variance: np.ndarray
    momentum: float = 0.99
    epsilon: float = 1e-3
    trainable = ("gamma", "beta")

    def forward(self, x, training=False):
        if training:
            x_hat = normalize(x, 0, self.epsilon)
        else:
            x_hat = (x - self.moving_mean) / np.sqrt(self.moving_variance + self.epsilon)
        return scale_and_shift(x_hat, self.gamma, self.beta)

    def backward(self, x, delta, training=False):
        if training:
            return normalization_backward(x, delta, 0, self.gamma, self.beta, self.epsilon)
        std = np.sqrt(self.moving_variance + self.epsilon)  # constants: the layer is affine
        x_hat = (x - self.moving_mean) / std
        d_x_hat, gradients = scale_and_shift_backward(x_hat, delta, self.gamma, self.beta)
        return d_x_hat / std, gradients

    def updated_moving(self, x):
        """(moving_mean, moving_variance) after one training step on x.

        The variance is the batch's biased one, as in Keras (the paper and PyTorch take the unbiased one here).
        """
        return (
            self.momentum * self.moving_mean + (1 - self.momentum) * x.mean(axis=0),
            self.momentum * self.moving_variance + (1 - self.momentum) * x.var(axis=0),
        )


def normalize(x, axis, epsilon):
    mean, variance = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon)


def normalization_backward(x, delta, axis, gamma, beta, epsilon):
    """Ioffe and Szegedy, 2015, section 3, the chain rule after algorithm 1, with its three terms collected."""
    x_hat = normalize(x, axis, epsilon)
    d_x_hat, gradients = scale_and_shift_backward(x_hat, delta, gamma, beta)
    through_mean = d_x_hat.mean(axis=axis, keepdims=True)
    through_variance = x_hat * (d_x_hat * x_hat).mean(axis=axis, keepdims=True)
    std = np.sqrt(x.var(axis=axis, keepdims=True) + epsilon)
    return (d_x_hat - through_mean - through_variance) / std, gradients


def scale_and_shift(x_hat, gamma, beta):
    y = x_hat if gamma is None else x_hat * gamma
    return y if beta is None else y + beta


def scale_and_shift_backward(x_hat, delta, gamma, beta):
    gradients = [] if gamma is None else [(delta * x_hat).sum(axis=0)]
    gradients += [] if beta is None else [delta.sum(axis=0)]
    return (delta if gamma is None else delta * gamma), gradients
