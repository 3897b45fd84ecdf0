"""The network: a list of layers; the loss of a batch and its gradient by back-propagation (Rumelhart et al., 1986)."""

import dataclasses

import numpy as np

from .layers import Activation, BatchNormalization
from .losses import ALIASES, FROM_LOGITS, LOSSES, make_targets


def layer_outputs(layers, X, training=False):
    """[X, output of the first layer, ..., output of the last layer]."""
    outputs = [np.asarray(X, dtype=float)]
    for layer in layers:
        outputs.append(layer.forward(outputs[-1], training))
    return outputs


def forward(layers, X, training=False):
    """Predictions of shape (n, n_outputs)."""
    return layer_outputs(layers, X, training)[-1]


def penalty(layers):
    return sum(layer.penalty() for layer in layers)


def loss_and_gradient(
    layers, X, y, loss, sample_weight=None, training=False, label_smoothing=0.0, loss_params=None, penalties=True
):
    """Loss of a batch and the list of its gradients, in the order of get_parameters(layers).

    The loss is sum_i w_i l_i / sum_i w_i (0 where the weights sum to 0), plus the layers' penalties once.
    """
    loss = ALIASES.get(loss, loss)
    outputs = layer_outputs(layers, X, training)
    y = make_targets(y, outputs[-1].shape[1], loss, label_smoothing)
    w = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    w = w / w.sum() if w.sum() != 0 else np.zeros(len(y))

    last = layers[-1]
    pair = FROM_LOGITS.get((last.name, loss)) if isinstance(last, Activation) else None
    below = layers[:-1] if pair else layers  # the layers that delta has yet to pass
    function, params = pair or LOSSES[loss], loss_params or {}
    value = w @ function.value(y, outputs[len(below)], **params)
    delta = w[:, np.newaxis] * function.gradient(y, outputs[len(below)], **params)

    gradients = []
    for layer, x in reversed(list(zip(below, outputs[:-1], strict=False))):
        delta, layer_gradients = layer.backward(x, delta, training)
        if penalties:
            layer_gradients = [g + p for g, p in zip(layer_gradients, layer.penalty_gradient(), strict=True)]
        gradients = layer_gradients + gradients
    return float(value + (penalty(layers) if penalties else 0.0)), gradients


def get_parameters(layers):
    """The trainable arrays, layer by layer: [W1, b1, W2, ...]."""
    return [getattr(layer, name) for layer in layers for name in layer.parameter_names()]


def replace_parameters(layers, parameters):
    """New layers with these trainable arrays; the old layers stay as they are."""
    parameters = iter(parameters)
    return [
        dataclasses.replace(layer, **{name: next(parameters) for name in layer.parameter_names()}) for layer in layers
    ]


def moving_statistics(layers, X):
    """[(moving_mean, moving_variance), ...] of every BatchNormalization after one training step on the batch X."""
    inputs = layer_outputs(layers, X, training=True)
    return [
        layer.updated_moving(x)
        for layer, x in zip(layers, inputs[:-1], strict=True)
        if isinstance(layer, BatchNormalization)
    ]


def central_difference(f, x, eps=1e-6):
    """Gradient of the scalar function f at the array x: (f(x + eps e_i) - f(x - eps e_i)) / (2 eps), error O(eps^2)."""
    x = np.array(x, dtype=float)
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        saved = x[i]
        x[i] = saved + eps
        above = f(x)
        x[i] = saved - eps
        below = f(x)
        x[i] = saved
        gradient[i] = (above - below) / (2 * eps)
    return gradient
