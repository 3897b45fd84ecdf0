"""What several test files share: a network's oracle, targets that suit a loss, kernels compiled for a test."""

import hashlib
import pathlib

import numba
import numpy as np

import fastnn
import reference as ref
from fastnn.kernels import cache, jit


def rng(seed=0):
    return np.random.default_rng(seed)


def public_names():
    """What ``from fastnn import *`` brings, for representations that are evaluated."""
    return {name: getattr(fastnn, name) for name in fastnn.__all__}


def oracle_of(network):
    """The oracle's layers with the network's weights and state, in float64; dropout and noise as at inference."""
    weights = iter(np.array(w, dtype=float) for w in network.get_weights())
    states = iter(np.split(network.state.astype(float), np.cumsum([s.size for s in network.plan.states])[:-1]))
    layers = []
    for layer in network.layers:
        if isinstance(layer, fastnn.Dense):
            layers.append(ref.Dense(next(weights), next(weights) if layer.use_bias else None))
            layers += _oracle_activation(layer.activation)
        elif isinstance(layer, fastnn.Activation):
            layers += _oracle_activation(layer.function)
        elif isinstance(layer, fastnn.Dropout):
            layers.append(ref.Dropout(layer.rate, mask=None if layer.rate else 1.0))
        elif isinstance(layer, (fastnn.LayerNormalization, fastnn.BatchNormalization)):
            gamma, beta = (next(weights) if wanted else None for wanted in (layer.scale, layer.center))
            if isinstance(layer, fastnn.LayerNormalization):
                layers.append(ref.LayerNormalization(gamma, beta, layer.epsilon))
            else:
                mean, variance = next(states), next(states)
                layers.append(ref.BatchNormalization(gamma, beta, mean, variance, layer.momentum, layer.epsilon))
        else:
            assert isinstance(layer, (fastnn.Input, fastnn.GaussianNoise)), layer
    return layers


def _oracle_activation(function):
    if function.name == "linear":
        return []
    params = {name: getattr(function, name) for name in ("negative_slope", "alpha") if hasattr(function, name)}
    return [ref.Activation(function.name, params)]


def flat(arrays):
    """Arrays as one vector, in the order of `Network.parameters`."""
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.empty(0)


def targets(loss, n, n_outputs, seed=1):
    """Targets that suit the loss, none of them equal to an output."""
    if loss == "poisson":
        return rng(seed).poisson(2.0, (n, n_outputs)).astype(float)
    if loss == "msle":
        return rng(seed).uniform(0.0, 3.0, (n, n_outputs))
    if loss in ("log_loss", "binary_crossentropy"):
        return rng(seed).integers(0, 2, (n, n_outputs)).astype(float)
    if loss == "categorical_crossentropy":
        return np.eye(n_outputs)[rng(seed).integers(0, n_outputs, n)]
    return rng(seed).normal(size=(n, n_outputs))


def assert_close(actual, expected, units, what=""):
    """All within `units` roundings of the dtype of `actual`, relative to the largest expected magnitude."""
    actual, expected = np.asarray(actual), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = np.abs(expected).max(initial=0.0)
    error = np.abs(actual - expected).max(initial=0.0)
    limit = units * np.finfo(actual.dtype).eps * scale
    assert error <= limit, f"{what}: off by {error:.3g}, allowed {limit:.3g} (largest magnitude {scale:.3g})"


def check_vjp(network, X, v, *, by_inputs=True):
    """Both gradients of sum(v * outputs) that `vjp` returns are the central differences; returns that by the inputs.

    Features that are numbers of categories have none: then only the parameters' is compared.
    """
    below, gradient = network.vjp(X, v)

    def value_of(inputs):
        return (network.predict(inputs.reshape(X.shape)) * v).sum()

    def value(parameters):
        network.parameters[:] = parameters
        return (network.predict(X) * v).sum()

    if by_inputs:
        expected = ref.central_difference(value_of, X.ravel().copy(), eps=1e-6)
        np.testing.assert_allclose(below.ravel(), expected, rtol=0, atol=1e-7 * np.abs(expected).max())
    expected = ref.central_difference(value, network.parameters.copy(), eps=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7 * np.abs(expected).max())
    return below


def test_kernel(function):
    """Compile a kernel that only a test calls; its machine code is stamped with the test file as well."""
    dispatcher = numba.njit(**jit.FLAGS)(function)
    own = hashlib.sha256(pathlib.Path(function.__code__.co_filename).read_bytes()).hexdigest()[:16]
    cache.attach_cache(dispatcher, function, stamp=cache.STAMP + own)
    return dispatcher


test_kernel.__test__ = False
