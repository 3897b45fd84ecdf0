"""Losses: value(y, a) of shape (n,), one number a sample, beside its gradient with respect to a, of shape (n, K).

y and a have shape (n, K). All but categorical_crossentropy are averages over the K outputs; categorical_crossentropy
is a sum over the K classes. This is what Keras and PyTorch do.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logsumexp

from .activations import softmax, softplus

EPSILON = 1e-7  # keras.config.epsilon(): probabilities are kept this far from 0 (and, in log_loss, from 1)


class Loss(NamedTuple):
    value: Callable
    gradient: Callable


def mse(y, a):
    return np.mean((a - y) ** 2, axis=1)


def mse_gradient(y, a):
    return 2 * (a - y) / y.shape[1]


def mae(y, a):
    return np.mean(np.abs(a - y), axis=1)


def mae_gradient(y, a):
    return np.sign(a - y) / y.shape[1]  # 0 where a = y


def huber(y, a, delta=1.0):
    """Huber, 1964: a parabola within delta (there: k) of the target, straight lines outside."""
    e = np.abs(a - y)
    return np.mean(np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)), axis=1)


def huber_gradient(y, a, delta=1.0):
    return np.clip(a - y, -delta, delta) / y.shape[1]


def poisson(y, a):
    """Negative log-likelihood of counts y at rates a, without the constant log(y!); epsilon as in Keras."""
    return np.mean(a - y * np.log(a + EPSILON), axis=1)


def poisson_gradient(y, a):
    return (1 - y / (a + EPSILON)) / y.shape[1]


def mape(y, a):
    """Percent of the target; epsilon as in Keras."""
    return 100 * np.mean(np.abs(a - y) / np.maximum(np.abs(y), EPSILON), axis=1)


def mape_gradient(y, a):
    return 100 * np.sign(a - y) / np.maximum(np.abs(y), EPSILON) / y.shape[1]


def msle(y, a):
    """Squared difference of ln(1 + a) and ln(1 + y), both at least epsilon, as in Keras."""
    return np.mean((np.log1p(np.maximum(a, EPSILON)) - np.log1p(np.maximum(y, EPSILON))) ** 2, axis=1)


def msle_gradient(y, a):
    p = np.maximum(a, EPSILON)
    slope = 2 * (np.log1p(p) - np.log1p(np.maximum(y, EPSILON))) / (1 + p)
    return np.where(p == a, slope, 0.0) / y.shape[1]


def log_loss(y, a):
    """Bishop, 2006, equation 4.90; the probabilities of both classes, a and 1 - a, are clipped."""
    p, q = np.clip(a, EPSILON, 1 - EPSILON), np.clip(1 - a, EPSILON, 1 - EPSILON)
    return np.mean(-y * np.log(p) - (1 - y) * np.log(q), axis=1)


def log_loss_gradient(y, a):
    p, q = np.clip(a, EPSILON, 1 - EPSILON), np.clip(1 - a, EPSILON, 1 - EPSILON)
    return np.where(p == a, (p - y) / (p * q), 0.0) / y.shape[1]  # a clipped value does not move


def categorical_crossentropy(y, a):
    """Bishop, 2006, equation 4.108, of clipped probabilities. Rows of a are not rescaled to sum 1 (Keras does)."""
    return -np.sum(y * np.log(np.clip(a, EPSILON, 1)), axis=1)


def categorical_crossentropy_gradient(y, a):
    p = np.clip(a, EPSILON, 1)
    return np.where(p == a, -y / p, 0.0)


LOSSES = {
    "mse": Loss(mse, mse_gradient),
    "mae": Loss(mae, mae_gradient),
    "huber": Loss(huber, huber_gradient),
    "log_loss": Loss(log_loss, log_loss_gradient),
    "categorical_crossentropy": Loss(categorical_crossentropy, categorical_crossentropy_gradient),
    "poisson": Loss(poisson, poisson_gradient),
    "mape": Loss(mape, mape_gradient),
    "msle": Loss(msle, msle_gradient),
}
ALIASES = {"binary_crossentropy": "log_loss"}


# The pairs of output activation and loss that are one function of the logits z: nothing is clipped.


def softmax_crossentropy(y, z):
    """-sum_c y_c log softmax(z)_c, with log softmax(z) = z - logsumexp(z)."""
    return -np.sum(y * (z - logsumexp(z, axis=1, keepdims=True)), axis=1)


def softmax_crossentropy_gradient(y, z):
    return softmax(z) * y.sum(axis=1, keepdims=True) - y  # softmax(z) - y where y sums to 1: Bishop, equation 4.109


def sigmoid_log_loss(y, z):
    """-y log s(z) - (1 - y) log(1 - s(z)), with log s(z) = -softplus(-z) and log(1 - s(z)) = -softplus(z)."""
    return np.mean(y * softplus(-z) + (1 - y) * softplus(z), axis=1)


def sigmoid_log_loss_gradient(y, z):
    return (expit(z) - y) / y.shape[1]  # Bishop, equation 4.91


def exponential_poisson(y, z):
    """Negative log-likelihood of counts y at rates exp(z), without the constant log(y!)."""
    return np.mean(np.exp(z) - y * z, axis=1)


def exponential_poisson_gradient(y, z):
    return (np.exp(z) - y) / y.shape[1]


FROM_LOGITS = {
    ("softmax", "categorical_crossentropy"): Loss(softmax_crossentropy, softmax_crossentropy_gradient),
    ("sigmoid", "log_loss"): Loss(sigmoid_log_loss, sigmoid_log_loss_gradient),
    ("exponential", "poisson"): Loss(exponential_poisson, exponential_poisson_gradient),
}


def make_targets(y, n_outputs, loss, label_smoothing=0.0):
    """Targets of shape (n, n_outputs): a 1-D y is a column of numbers, or class indices where there are classes.

    Label smoothing: Szegedy et al., 2016, section 7. For log_loss the two classes are y and 1 - y, so K = 2.
    """
    loss = ALIASES.get(loss, loss)
    y = np.asarray(y)
    if y.ndim == 1 and (n_outputs > 1 or loss == "categorical_crossentropy"):
        y = np.eye(n_outputs)[y.astype(int)]
    y = y.reshape(len(y), n_outputs).astype(float)
    if label_smoothing == 0:
        return y
    n_classes = {"categorical_crossentropy": n_outputs, "log_loss": 2}[loss]
    return y * (1 - label_smoothing) + label_smoothing / n_classes
