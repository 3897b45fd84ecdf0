"""Normalization: numbers found in data once, that travel with the network."""

import pickle

import numpy as np
import pytest
import scipy.sparse

import fastnn
from support import rng

X = rng(3).normal(loc=(5.0, -1000.0, 0.0), scale=(0.1, 30.0, 1.0), size=(500, 3))


def network_for(data, dtype="float64", shape=3):
    layers = [fastnn.Input(shape), fastnn.Normalization().adapt(data), fastnn.Dense(4, "tanh"), fastnn.Dense(1)]
    return fastnn.Network(layers, dtype=dtype, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_get_mean_0_and_variance_1(dtype):
    network = fastnn.Network([fastnn.Input(3), fastnn.Normalization().adapt(X)], dtype=dtype)
    expected = (X - X.mean(axis=0)) / X.std(axis=0)
    tolerance = 1e-3 if dtype == "float32" else 1e-12  # 1,000 in float32 is exact to 6e-5
    np.testing.assert_allclose(network.predict(X), expected, atol=tolerance)
    np.testing.assert_array_equal(network.predict(X[:1]), network.predict(X)[:1])
    assert network.n_parameters == 0
    np.testing.assert_allclose(network.state, [*X.mean(axis=0), *X.var(axis=0)], rtol=1e-6)


def test_data_of_every_kind_give_the_same():
    whole = np.round(X)
    expected = fastnn.Normalization().adapt(whole)
    as_bytes = np.arange(24, dtype=np.uint8).reshape(8, 3)
    for same in (
        whole.astype(np.int64), np.asfortranarray(whole), whole.tolist(), np.repeat(whole, 2, axis=0)[::2],
        whole.reshape(50, 10, 3), whole.reshape(5, 10, 10, 3), scipy.sparse.csr_matrix(whole),
        scipy.sparse.coo_array(whole), whole[np.newaxis],
    ):  # fmt: skip
        assert fastnn.Normalization().adapt(same) == expected
    assert fastnn.Normalization().adapt(as_bytes).mean == tuple(as_bytes.mean(axis=0))


def test_pieces_give_the_numbers_of_the_whole(monkeypatch):
    whole = fastnn.Normalization().adapt(X)
    monkeypatch.setattr("fastnn.layers.numbers._PIECE", 21)
    for data in (X, scipy.sparse.csr_matrix(X), X.reshape(50, 10, 3)):
        layer = fastnn.Normalization().adapt(data)
        np.testing.assert_allclose(layer.mean, whole.mean, rtol=1e-12)
        np.testing.assert_allclose(layer.variance, whole.variance, rtol=1e-10)


def test_a_feature_that_never_changes_becomes_0():
    data = np.column_stack([np.full(100, 0.1), np.full(100, 1e8 + 0.3), np.arange(100.0)])
    layer = fastnn.Normalization().adapt(data)
    assert layer.mean[:2] == (0.1, 1e8 + 0.3)
    assert layer.variance[:2] == (1.0, 1.0)
    for dtype in ("float32", "float64"):
        outputs = fastnn.Network([fastnn.Input(3), layer], dtype=dtype).predict(data.astype(dtype))
        assert not outputs[:, :2].any()


def test_large_numbers_that_are_close_keep_their_variance():
    layer = fastnn.Normalization().adapt(1e12 + np.arange(100.0)[:, np.newaxis])
    np.testing.assert_allclose(layer.variance, np.arange(100).var(), rtol=1e-12)


def test_it_works_over_the_last_axis():
    images = rng(4).normal(loc=(1.0, 9.0), scale=(2.0, 0.5), size=(40, 4, 3, 2))
    network = fastnn.Network([fastnn.Input((4, 3, 2)), fastnn.Normalization().adapt(images)], dtype="float64")
    expected = (images - images.mean(axis=(0, 1, 2))) / images.std(axis=(0, 1, 2))
    np.testing.assert_allclose(network.predict(images), expected, rtol=1e-11, atol=1e-12)


def test_one_number_for_all_features():
    network = fastnn.Network([fastnn.Input((2, 2)), fastnn.Normalization(127.5, 127.5**2)])
    np.testing.assert_array_equal(network.predict(np.array([[0.0, 255.0, 127.5, 0.0]])).ravel(), [-1, 1, 0, -1])


def test_training_leaves_it_alone_and_learns_behind_it():
    network = network_for(X, "float32")
    before = network.state.copy()
    y = (X[:, 1] + 1000) / 30
    history = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.03)).fit(X, y, epochs=20, batch_size=50)
    assert history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    np.testing.assert_array_equal(network.state, before)


def test_gradients_of_the_inputs_pass_through():
    network = network_for(X)
    gradient, _ = network.vjp(X[:5], np.ones((5, 1)))
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-4
        slope = (network.predict(X[:5] + step) - network.predict(X[:5] - step)) / 2e-4
        np.testing.assert_allclose(gradient[:, column], slope[:, 0], rtol=1e-5, atol=1e-9)


def test_the_same_for_sparse_rows():
    network = network_for(X, "float32")
    np.testing.assert_array_equal(network.predict(scipy.sparse.csr_matrix(X.astype(np.float32))), network.predict(X))


def test_it_travels_with_the_network(tmp_path):
    network = network_for(X, "float32")
    expected = network.predict(X)
    network.save(tmp_path / "network.safetensors")
    copies = [fastnn.Network.load(tmp_path / "network.safetensors"), pickle.loads(pickle.dumps(network))]
    for copy in copies:
        np.testing.assert_array_equal(copy.predict(X), expected)
        assert copy.layers == network.layers
    predict, out = network.compile_predictor(), np.empty(1, np.float32)
    predict(X[0].astype(np.float32), out)
    np.testing.assert_array_equal(out, expected[0])
    assert "Normalization" in str(network.summary())


def test_a_file_has_room_for_many_features(tmp_path):
    layer = fastnn.Normalization().adapt(rng(5).normal(size=(10, 3000)))
    fastnn.Network([fastnn.Input(3000), layer]).save(tmp_path / "wide.safetensors")
    assert fastnn.Network.load(tmp_path / "wide.safetensors").layers[1] == layer


def test_it_may_stand_inside_residual():
    layers = [fastnn.Input(3), fastnn.Residual([fastnn.Normalization().adapt(X)])]
    expected = X + (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(fastnn.Network(layers, dtype="float64").predict(X), expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"X must have shape \(samples, \.\.\., features\), got \(2,\)"),
        (np.empty((0, 3)), ValueError, "X must have at least one sample"),
        (np.empty((4, 0)), ValueError, "X must have shape"),
        (np.empty((4, 0, 3)), ValueError, "X must hold numbers"),
        ([[1.0], [np.nan]], ValueError, "X must be finite, got nan in row 1, column 0"),
        ([["a"]], TypeError, "X must hold real numbers"),
        (scipy.sparse.csr_matrix([[1j]]), TypeError, "X must hold real numbers"),
        (scipy.sparse.csr_matrix([[np.inf, 0.0]]), ValueError, "X must be finite"),
    ],
)
def test_data_that_say_nothing_are_refused_and_change_nothing(data, error, message):
    layer = fastnn.Normalization()
    with pytest.raises(error, match=message):
        layer.adapt(data)
    assert layer.mean is None
    layer.adapt(X)


def test_what_is_not_adapted_or_is_twice():
    with pytest.raises(ValueError, match="must be adapted before it becomes part of a network"):
        fastnn.Network([fastnn.Input(3), fastnn.Normalization()])
    layer = fastnn.Normalization().adapt(X)
    with pytest.raises(ValueError, match="adapted already; make a new layer"):
        layer.adapt(X + 1)
    with pytest.raises(ValueError, match="means of 3 features, not of 4"):
        fastnn.Network([fastnn.Input(4), layer])
    with pytest.raises(AttributeError, match="cannot be assigned"):
        layer.mean = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.0,), ValueError, "must be given together"),
        (([1.0, 2.0], [1.0]), ValueError, "of one length, got 2 and 1"),
        (([1.0], [0.0]), ValueError, r"variance\[0\] must be a number in \(0, inf\)"),
        ((0.0, -1.0), ValueError, "variance must be"),
        (([np.nan], [1.0]), ValueError, r"mean\[0\]"),
        (("a", 1.0), TypeError, "mean must be"),
        (([[1.0]], [1.0]), ValueError, "mean must be a number or one for every feature"),
        (([], []), ValueError, "mean must be a number or one for every feature"),
    ],
)
def test_wrong_numbers(arguments, error, message):
    with pytest.raises(error, match=message):
        fastnn.Normalization(*arguments)


def test_numbers_beyond_float32_are_refused_by_float32_networks():
    for mean, variance in ((1e39, 1.0), (0.0, 1e-40), (0.0, 1e39)):
        layers = [fastnn.Input(2), fastnn.Normalization([0.0, mean], [1.0, variance])]
        with pytest.raises(ValueError, match=r"\[1\] = .* of layer 1 is out of the range of float32"):
            fastnn.Network(layers)
        fastnn.Network(layers, dtype="float64")


def test_a_variance_of_0_is_refused_as_state():
    network = network_for(X)
    state = network.state.copy()
    state[3] = 0
    with pytest.raises(ValueError, match="must not hold negative variances"):
        network.state = state
