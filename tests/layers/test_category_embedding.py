"""CategoryEmbedding: rows of tables in place of some features, the others passed on; gradients; what is no category."""

import json

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import layers
from support import check_vjp, rng

COLUMNS = ((3, 4), (0, 6))  # not in order, the first and the last feature


def oracle(X, columns, tables):
    """Feature by feature: X of shape (..., features)."""
    tables = {feature: (n, table) for (feature, n), table in zip(columns, tables, strict=True)}
    parts = []
    for i in range(X.shape[-1]):
        if i in tables:
            n, table = tables[i]
            is_known = (X[..., i] >= 0) & (X[..., i] < n)
            parts.append(table[np.where(is_known, X[..., i], n).astype(int)])
        else:
            parts.append(X[..., i : i + 1])
    return np.concatenate(parts, axis=-1)


def data(n, shape=(4,), dtype="float64"):
    X = rng(1).normal(size=(n, *shape))
    X[..., 3], X[..., 0] = rng(2).integers(-1, 6, X.shape[:-1]), rng(3).integers(-1, 8, X.shape[:-1])
    return X.astype(dtype)


def disturbed(*body, shape=(4,), units=3, columns=COLUMNS, dtype="float64"):
    layer = fastnn.CategoryEmbedding(columns, units)
    network = fastnn.Network([fastnn.Input(shape), layer, *body], dtype=dtype, seed=0)
    network.parameters[:] = rng(0).normal(size=network.n_parameters)
    return network


@pytest.mark.parametrize("units", [1, 3, 17])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_rows_of_tables_stand_where_the_numbers_stood(units, shape, dtype):
    network, X = disturbed(shape=shape, units=units, dtype=dtype), data(70, shape, dtype)
    expected = oracle(X, COLUMNS, network.get_weights())
    assert expected.shape == (70, *shape[:-1], 2 + 2 * units)
    np.testing.assert_array_equal(network.predict(X), expected)
    np.testing.assert_array_equal(network.predict(X[:1]), expected[:1])  # by rows, not in panels
    assert network.predict(X[:0]).shape == (0, *expected.shape[1:])


def test_what_is_no_category_has_the_last_row():
    network = fastnn.Network([fastnn.Input(1), fastnn.CategoryEmbedding({0: 3}, 2)], seed=0)
    X = np.array([[-1.0], [-1e30], [3.0], [1e30], [2.0]], np.float32)
    for Y in (network.predict(X), np.concatenate([network.predict(x[None]) for x in X])):
        np.testing.assert_array_equal(Y, network.get_weights()[0][[3, 3, 3, 3, 2]])


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
def test_gradients_are_central_differences(shape):
    network, X = disturbed(shape=shape), data(40, shape)
    v = rng(4).normal(size=(40, *shape[:-1], 8))
    below = check_vjp(network, X, v, by_inputs=False)
    assert not below[..., [0, 3]].any()  # numbers of categories have none
    np.testing.assert_array_equal(below[..., [1, 2]], v[..., [3, 4]])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_it_learns_what_a_number_cannot_say(n_threads):
    effect, codes = rng(5).normal(size=40), rng(6).integers(-1, 40, 600)
    y = np.append(effect, 3.0)[codes]
    network = fastnn.Network([fastnn.Input(1), fastnn.CategoryEmbedding({0: 40}, 4), fastnn.Dense(1)], seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.03))
    trainer.fit(codes[:, None].astype(float), y, epochs=30, n_threads=n_threads)
    errors = network.predict(np.arange(-1.0, 40.0)[:, None])[:, 0] - np.append(3.0, effect)
    assert np.abs(errors).max() < 0.1


def test_what_is_not_trained_stays():
    layer = fastnn.CategoryEmbedding(COLUMNS, 3, trainable=False)
    network = fastnn.Network([fastnn.Input(4), layer, fastnn.Dense(1)], dtype="float64", seed=0)
    before = [weights.copy() for weights in network.get_weights()]
    fastnn.Trainer(network, loss="mse").fit(data(40), rng(2).normal(size=40), epochs=1)
    same = [np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert same == [True, True, False, False]


def test_behind_other_layers_gradients_go_on_to_them():
    body = [fastnn.CategoryEmbedding({1: 2}, 2), fastnn.Dense(1)]
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(3), *body], dtype="float64", seed=0)
    X, y = rng(1).normal(size=(9, 3)) + 1.0, rng(2).normal(size=(9, 1))
    _, gradient = network.loss_and_gradient(X, y, loss="mse")

    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss="mse")[0]

    expected = ref.central_difference(value, network.parameters.copy(), eps=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7)


def test_a_config_holds_the_columns_and_a_mapping_is_as_good():
    layer = fastnn.CategoryEmbedding({3: 4, 0: 6}, 2, embeddings_regularizer=0.1)
    assert layer.columns == COLUMNS
    assert layers.from_config(json.loads(json.dumps(layer.config))) == layer


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (({}, 2), ValueError, "one or more features, each once"),
        (([(0, 2), (0, 3)], 2), ValueError, "one or more features, each once"),
        ((3, 2), TypeError, "columns must map features to numbers of categories, got 3"),
        (([3], 2), TypeError, "columns must map"),
        (({-1: 3}, 2), ValueError, "a feature in columns"),
        (({1: 0}, 2), ValueError, r"columns\[1\]"),
        (({1: 2**24}, 2), ValueError, r"columns\[1\]"),
        (({1.5: 3}, 2), TypeError, "a feature in columns"),
        (({1: 3}, 0), ValueError, "output_dim"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        fastnn.CategoryEmbedding(*arguments)


def test_options_and_features_are_checked():
    with pytest.raises(ValueError, match="embeddings_initializer"):
        fastnn.CategoryEmbedding({0: 3}, 2, embeddings_initializer="auto")
    with pytest.raises(TypeError, match="trainable"):
        fastnn.CategoryEmbedding({0: 3}, 2, trainable=1)
    with pytest.raises(ValueError, match="columns must be features from 0 to 1, got 2"):
        fastnn.Network([fastnn.Input(2), fastnn.CategoryEmbedding({2: 3}, 2)])
