"""Periodic: learned waves of every feature, against NumPy."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import layers
from support import check_vjp, rng

KINDS = pytest.mark.parametrize("kind", [{}, {"use_phase": False, "keep_feature": False}], ids=["PBLD", "PLR"])


def oracle(X, weights, *, use_phase=True, keep_feature=True):
    """The formulas of the papers, feature by feature, in float64: X of shape (..., features)."""
    frequencies, *phases, kernel, bias = (array.astype(float) for array in weights)
    parts = []
    for i in range(X.shape[-1]):
        x = X[..., i, np.newaxis]
        angle = 2 * np.pi * frequencies[i] * x
        waves = np.cos(angle + phases[0][i]) if use_phase else np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
        parts += [x] if keep_feature else []
        parts.append(waves @ kernel[i] + bias[i])
    return np.concatenate(parts, axis=-1)


def disturbed(shape, units, kind, dtype="float64", n_frequencies=3):
    network = fastnn.Network([fastnn.Input(shape), fastnn.Periodic(units, n_frequencies, **kind)], dtype=dtype, seed=0)
    network.parameters[:] = rng(0).normal(size=network.n_parameters)
    return network


@KINDS
@pytest.mark.parametrize("shape, units", [((2,), 2), ((3, 2), 20)])
def test_it_is_the_formula_in_panels_and_on_rows(shape, units, kind, dtype):
    network = disturbed(shape, units, kind, dtype)
    X = (2 * rng(1).normal(size=(70, *shape))).astype(dtype)
    expected = oracle(X.astype(float), network.get_weights(), **kind)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(network.predict(X), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(network.predict(X[:1]), expected[:1], rtol=tolerance, atol=tolerance)
    assert network.predict(X[:0]).shape == (0, *shape[:-1], 2 * units)


@KINDS
@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_gradients_are_central_differences(shape, kind):
    network = disturbed(shape, 3, kind)
    check_vjp(network, 2 * rng(2).normal(size=(40, *shape)), rng(3).normal(size=(40, *shape[:-1], 6)))


def test_far_from_0_waves_stay_waves():
    network = disturbed((1,), 2, {}, "float32")
    _, _, kernel, bias = network.get_weights()
    limit = np.abs(kernel).sum() + np.abs(bias).sum() + 1e-5
    X = np.array([[1e7], [3e7], [-1e12], [3e38]], np.float32)
    assert (np.abs(network.predict(X)[:, 1]) <= limit).all()


def test_first_values_are_those_of_the_papers():
    network = fastnn.Network([fastnn.Input(50), fastnn.Periodic(4, 40, frequency_scale=0.2)], seed=0)
    frequencies, phases, kernel, bias = network.get_weights()
    assert frequencies.std() == pytest.approx(0.2, rel=0.05)
    assert phases.min() == pytest.approx(-np.pi, rel=0.01) and phases.max() == pytest.approx(np.pi, rel=0.01)
    assert np.abs(kernel).max() == pytest.approx(np.sqrt(6 / (40 + 3)), rel=0.01)  # of one feature's waves
    assert not bias.any()


def test_training_finds_a_frequency():
    X = rng(5).uniform(-2, 2, (400, 1))
    y = np.cos(2 * np.pi * 0.8 * X[:, 0] + 1)
    network = fastnn.Network([fastnn.Input(1), fastnn.Periodic(2, 8, frequency_scale=0.5), fastnn.Dense(1)], seed=0)
    history = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.02)).fit(X, y, epochs=60)
    assert history.history["loss"][-1] < 0.02 * y.var()


def test_what_is_not_trained_stays():
    body = [fastnn.Periodic(2, 3, trainable=False), fastnn.Dense(1)]
    network = fastnn.Network([fastnn.Input(2), *body], seed=0)
    before = [weights.copy() for weights in network.get_weights()]
    fastnn.Trainer(network, loss="mse").fit(rng(1).normal(size=(20, 2)), rng(2).normal(size=20))
    same = [np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert same == [True] * 4 + [False] * 2


def test_steps_behind_the_end_of_a_sequence_count_for_nothing():
    def network(n_steps):
        return fastnn.Network(
            [fastnn.Input((n_steps, 2)), fastnn.Periodic(3, 2), fastnn.LSTM(2)], dtype="float64", seed=0
        )

    X, y, lengths = rng(6).normal(size=(3, 4, 2)), rng(7).normal(size=(3, 2)), [1, 4, 2]
    loss, gradient = network(4).loss_and_gradient(X, y, loss="mse", lengths=lengths)
    alone = [network(n).loss_and_gradient(X[i : i + 1, :n], y[i : i + 1], loss="mse") for i, n in enumerate(lengths)]
    assert loss == pytest.approx(np.mean([one for one, _ in alone]))
    np.testing.assert_allclose(gradient, np.mean([one for _, one in alone], axis=0), atol=1e-12)


def test_a_config_is_the_layer():
    layer = fastnn.Periodic(3, 5, frequency_scale=1, kernel_regularizer=0.1, kernel_constraint=fastnn.MaxNorm(2.0))
    assert layers.from_config(json.loads(json.dumps(layer.config))) == layer


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"units": 0}, ValueError, "units"),
        ({"units": 1}, ValueError, "units must be >= 2 with keep_feature=True"),
        ({"n_frequencies": 0}, ValueError, "n_frequencies"),
        ({"frequency_scale": 0.0}, ValueError, "frequency_scale"),
        ({"kernel_initializer": "auto"}, ValueError, "kernel_initializer"),
        ({"use_phase": 1}, TypeError, "use_phase"),
        ({"keep_feature": None}, TypeError, "keep_feature"),
        ({"trainable": 1}, TypeError, "trainable"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        fastnn.Periodic(**arguments)
