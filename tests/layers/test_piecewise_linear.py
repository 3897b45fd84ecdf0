"""PiecewiseLinear: learned piecewise-linear functions of every feature, against NumPy's encoding."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import layers
from support import check_vjp, rng

EDGES = ((-1.0, -0.2, 0.1, 0.9), (-2.0, 0.0, 0.5, 3.0))


def oracle(X, edges, kernel, bias):
    """The formula of the paper, feature by feature: X of shape (..., features)."""
    parts = []
    for i, numbers in enumerate(np.asarray(edges, float)):
        low, high = numbers[:-1], numbers[1:]
        places = (X[..., i, np.newaxis] - low) / (high - low)
        places[..., 1:] = np.maximum(places[..., 1:], 0)
        places[..., :-1] = np.minimum(places[..., :-1], 1)
        parts.append(places @ kernel[i] + bias[i])
    return np.concatenate(parts, axis=-1)


def disturbed(shape, units, edges=EDGES, dtype="float64"):
    network = fastnn.Network([fastnn.Input(shape), fastnn.PiecewiseLinear(units, edges)], dtype=dtype, seed=0)
    network.parameters[:] = rng(0).normal(size=network.n_parameters)
    return network


@pytest.mark.parametrize("units", [1, 3, 17])
@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_it_is_the_formula_in_panels_and_on_rows(shape, units, dtype):
    network = disturbed(shape, units, dtype=dtype)
    kernel, bias = network.get_weights()
    assert kernel.shape == (2, 3, units) and bias.shape == (2, units)
    X = (2 * rng(1).normal(size=(70, *shape))).astype(dtype)  # beyond the outer edges too
    X[:4, ..., 0] = np.reshape(EDGES[0], (4, *[1] * (len(shape) - 1)))
    expected = oracle(X.astype(float), network.state.reshape(2, 4), kernel.astype(float), bias)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(network.predict(X), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(network.predict(X[:1]), expected[:1], rtol=tolerance, atol=tolerance)
    assert network.predict(X[:0]).shape == (0, *shape[:-1], 2 * units)


def test_one_bin_is_a_straight_line():
    network = disturbed((2,), 3, ((-1.0, 1.0), (0.0, 4.0)))
    X = np.array([[-9.0, 0.0], [0.0, 2.0], [9.0, 4.0]])
    Y = network.predict(X)
    np.testing.assert_allclose(Y[1] - Y[0], Y[2] - Y[1], rtol=1e-12)


@pytest.mark.parametrize("shape", [(2,), (3, 2)])
def test_gradients_are_central_differences(shape):
    network = disturbed(shape, 3)
    X, n_outputs = 2 * rng(2).normal(size=(40, *shape)), int(np.prod(shape)) * 3
    v = rng(3).normal(size=(40, *shape[:-1], 6))
    assert v.size == 40 * n_outputs
    check_vjp(network, X, v)


def test_at_an_edge_the_slope_is_that_of_the_bin_above():
    network = fastnn.Network([fastnn.Input(1), fastnn.PiecewiseLinear(1, [(0.0, 1.0, 3.0)])], dtype="float64")
    network.parameters[:] = [5.0, 8.0, 0.0]
    below, _ = network.vjp(np.array([[-1.0], [0.0], [1.0], [3.0]]), np.ones((4, 1)))
    np.testing.assert_array_equal(below.ravel(), [5.0, 5.0, 4.0, 4.0])


def test_edges_are_quantiles():
    X = rng(4).exponential(size=(500, 3))
    layer = fastnn.PiecewiseLinear(2).adapt(X, n_bins=5)
    np.testing.assert_allclose(layer.edges, np.quantile(X, np.linspace(0, 1, 6), axis=0).T)
    assert len(fastnn.PiecewiseLinear(2).adapt(X).edges[0]) == 17
    assert fastnn.PiecewiseLinear(2).adapt(X.reshape(100, 5, 3), n_bins=5) == layer
    assert fastnn.PiecewiseLinear(2).adapt(X.tolist(), n_bins=5) == layer


def test_quantiles_that_are_one_number_are_one_edge_and_wide_bins_are_halved():
    flag = np.repeat([0.0, 1.0], [90, 10])
    layer = fastnn.PiecewiseLinear(2).adapt(np.stack([flag, np.full(100, 7.0), np.zeros(100)], axis=1), n_bins=4)
    assert layer.edges[0] == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert layer.edges[1][0] == 3.5 and layer.edges[1][-1] == 10.5  # a constant lies in the middle
    assert layer.edges[2] == (-0.5, -0.25, 0.0, 0.25, 0.5)


def test_training_leaves_the_edges_and_learns_what_a_linear_map_cannot():
    X = rng(5).uniform(-2, 2, (400, 2))
    y = np.abs(X[:, 0]) + (X[:, 1] > 1)
    layer = fastnn.PiecewiseLinear(1).adapt(X, n_bins=16)
    network = fastnn.Network([fastnn.Input(2), layer, fastnn.Dense(1)], seed=0)
    edges = network.state.copy()
    history = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.05)).fit(X, y, epochs=40)
    assert history.history["loss"][-1] < 0.05 * y.var()
    np.testing.assert_array_equal(network.state, edges)


def test_what_is_not_trained_stays():
    body = [fastnn.PiecewiseLinear(2, EDGES, trainable=False), fastnn.Dense(1)]
    network = fastnn.Network([fastnn.Input(2), *body], seed=0)
    before = [weights.copy() for weights in network.get_weights()]
    fastnn.Trainer(network, loss="mse").fit(rng(1).normal(size=(20, 2)), rng(2).normal(size=20))
    same = [np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert same == [True, True, False, False]


def test_edges_that_are_one_number_in_float32_add_nothing():
    edges = [(1.0, 1.0 + 1e-12, 2.0)]
    network = disturbed((1,), 2, edges, "float32")
    X = np.array([[0.0], [1.0], [1.5], [2.0]], np.float32)
    kernel, bias = network.get_weights()
    expected = np.maximum(X - 1, 0) * kernel[0, 1] + bias[0]
    np.testing.assert_allclose(network.predict(X), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(network.predict(X[2:3]), expected[2:3], rtol=1e-6, atol=1e-6)


def test_each_feature_has_a_kernel_of_its_own_scale():
    """The limit of Glorot's initializer goes by one feature's bins, not by all features'."""
    network = fastnn.Network([fastnn.Input(50), fastnn.PiecewiseLinear(8, [np.arange(17.0)] * 50)], seed=0)
    assert np.abs(network.get_weights()[0]).max() == pytest.approx(np.sqrt(6 / (16 + 8)), rel=0.01)


def test_a_config_holds_the_edges():
    layer = fastnn.PiecewiseLinear(2, np.array(EDGES), kernel_regularizer=0.1, kernel_constraint=fastnn.MaxNorm(2.0))
    assert layer.edges == EDGES
    assert layers.from_config(json.loads(json.dumps(layer.config))) == layer


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "units"),
        ((2, 3.0), ValueError, "edges must be two or more numbers for every feature"),
        ((2, [(1.0,)]), ValueError, "edges must be two or more"),
        ((2, [(0.0, 1.0), (0.0, 1.0, 2.0)]), ValueError, "edges"),
        ((2, [(0.0, 1.0, 1.0)]), ValueError, r"edges\[0\] must grow, got 1.0 before 1.0"),
        ((2, [(0.0, np.nan)]), ValueError, r"edges\[0\]\[1\]"),
        ((2, [("a", "b")]), (TypeError, ValueError), "edges"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        fastnn.PiecewiseLinear(*arguments)


def test_options_are_checked():
    with pytest.raises(ValueError, match="kernel_initializer"):
        fastnn.PiecewiseLinear(2, kernel_initializer="auto")
    with pytest.raises(TypeError, match="trainable"):
        fastnn.PiecewiseLinear(2, trainable=1)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones(3), ValueError, "must have shape"),
        (np.ones((0, 3)), ValueError, "X"),
        (np.array([[1.0, np.nan]]), ValueError, "X"),
        (np.array([["a"]]), (TypeError, ValueError), "X"),
    ],
)
def test_data_to_adapt_to_is_checked(X, error, message):
    layer = fastnn.PiecewiseLinear(2)
    with pytest.raises(error, match=message):
        layer.adapt(X)
    assert layer.edges is None


def test_it_is_adapted_once_and_before_a_network_has_it():
    layer = fastnn.PiecewiseLinear(2)
    with pytest.raises(ValueError, match="must be adapted before"):
        fastnn.Network([fastnn.Input(2), layer])
    with pytest.raises(ValueError, match="n_bins"):
        layer.adapt(np.ones((3, 2)), n_bins=0)
    layer.adapt(rng(0).normal(size=(20, 2)))
    with pytest.raises(ValueError, match="adapted already"):
        layer.adapt(np.ones((3, 2)))
    with pytest.raises(ValueError, match="edges of 2 features, not of 3"):
        fastnn.Network([fastnn.Input(3), layer])
