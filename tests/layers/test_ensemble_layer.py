"""Ensembles that share their kernels, factors of features, and losses over several positions."""

import numpy as np
import pytest

import fastnn
from support import rng


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def make_network(k=3, average=True, dtype="float64", activation="softmax"):
    members = fastnn.Ensemble(
        [fastnn.Dense(6, "tanh"), fastnn.Dense(5, use_bias=False), fastnn.Dense(4, activation)], k, average=average
    )
    network = fastnn.Network([fastnn.Input(3), members], dtype=dtype, seed=1)
    network.parameters[:] = rng(5).normal(size=network.n_parameters)
    return network


def members_of(network, X):
    """By the definition, one member after the other."""
    r, W, s, b, r_2, W_2, s_2, V, c = (weights.astype(float) for weights in network.get_weights())
    outputs = []
    for i in range(len(r)):
        h = np.tanh(s[i] * ((r[i] * X) @ W) + b[i])
        h = s_2[i] * ((r_2[i] * h) @ W_2)
        outputs.append(softmax(h @ V[i] + c[i]))
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("n", [1, 2, 40, 150])
def test_the_output_is_the_mean_of_the_members(n, dtype):
    X = rng(1).normal(size=(n, 3)).astype(dtype)
    network = make_network(dtype=dtype)
    expected = members_of(network, X)
    tolerance = {"rtol": 1e-12} if dtype == "float64" else {"rtol": 2e-4, "atol": 1e-6}
    np.testing.assert_allclose(network.predict(X), expected.mean(axis=1), **tolerance)
    each = make_network(average=False, dtype=dtype)
    assert each.predict(X).shape == (n, 3, 4)
    np.testing.assert_allclose(each.predict(X), expected, **tolerance)


def test_members_start_with_signs_of_their_own_and_heads_of_their_own():
    layers = [fastnn.Input(40), fastnn.Ensemble([fastnn.Dense(6, "relu"), fastnn.Dense(2)], 5)]
    r, _, s, b, V, c = fastnn.Network(layers, seed=0).get_weights()
    assert set(np.unique(r)) == {-1.0, 1.0}
    assert len({tuple(row) for row in r}) == 5
    np.testing.assert_array_equal(s, np.ones((5, 6)))
    assert not b.any() and not c.any()
    assert len(np.unique(V)) == V.size
    assert np.abs(V).max() <= np.sqrt(6 / (6 + 2))  # of a head's own fans, not of all heads'
    np.testing.assert_array_equal(fastnn.Network(layers, seed=0).parameters, fastnn.Network(layers, seed=0).parameters)


@pytest.mark.parametrize(("activation", "loss"), [("softmax", "categorical_crossentropy"), ("linear", "mse")])
def test_members_that_are_not_averaged_learn_for_themselves(activation, loss):
    """The gradient with repeated targets is the mean of the members' own."""
    X, y = rng(1).normal(size=(50, 3)), rng(2).dirichlet(np.ones(4), size=50)
    network = make_network(average=False, activation=activation)
    value, gradient = network.loss_and_gradient(X, np.repeat(y[:, None], 3, axis=1), loss=loss)
    outputs = network.predict(X)
    errors = (outputs - y[:, None]) ** 2 if loss == "mse" else -4 * y[:, None] * np.log(outputs)
    assert value == pytest.approx(errors.mean())
    # Its own factors and head move a member alone.
    start, weights = network.parameters.copy(), network.get_weights()
    ends = np.cumsum([array.size for array in weights])
    head = gradient[ends[6] : ends[7]].reshape(weights[7].shape)
    step = 1e-6
    for member, row, column in [(0, 1, 2), (2, 4, 0)]:
        place = ends[6] + np.ravel_multi_index((member, row, column), weights[7].shape)
        values = []
        for sign in (1, -1):
            network.parameters[:] = start
            network.parameters[place] += sign * step
            out = network.predict(X)[:, member]
            error = ((out - y) ** 2).mean() if loss == "mse" else -(y * np.log(out)).sum(axis=1).mean()
            values.append(error / 3)
        assert head[member, row, column] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-9)


def test_the_mean_of_probabilities_goes_with_losses_of_probabilities():
    X, y = rng(1).normal(size=(60, 3)), rng(2).integers(0, 4, 60)
    trainer = fastnn.Trainer(make_network(), loss="categorical_crossentropy", metrics=["accuracy"])
    losses = trainer.fit(X, y, epochs=30).history["loss"]
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="needs probabilities"):
        fastnn.Trainer(make_network(activation="linear"), loss="categorical_crossentropy")


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_change_rounding_only(n_threads):
    X, y = rng(0).normal(size=(200, 3)), rng(1).normal(size=(200, 4))
    fits = []
    for threads in (1, n_threads):
        network = make_network(activation="linear")
        fits.append(fastnn.Trainer(network, loss="mse").fit(X, y, epochs=3, batch_size=100, n_threads=threads))
    np.testing.assert_allclose(*[fit.history["loss"] for fit in fits], rtol=1e-10)


def test_a_layer_inside_that_is_not_trained_stays():
    body = [fastnn.Dense(4, "tanh", trainable=False), fastnn.Dense(2)]
    network = fastnn.Network([fastnn.Input(3), fastnn.Ensemble(body, 2)], seed=0)
    before = [weights.copy() for weights in network.get_weights()]
    fastnn.Trainer(network, loss="mse").fit(rng(1).normal(size=(20, 3)), rng(2).normal(size=(20, 2)))
    same = [np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert same == [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((fastnn.Dense(3),), TypeError, "layers must be a sequence"),
        (([],), ValueError, "at least one Dense"),
        (([fastnn.Dropout(0.1)],), ValueError, "at least one Dense"),
        (([fastnn.Dense(3), fastnn.BatchNormalization()],), TypeError, r"layers\[1\] of an Ensemble must be one of"),
        (([fastnn.Dense(3)], 0), ValueError, "k must be"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        fastnn.Ensemble(*arguments)


def test_scale_is_a_factor_a_feature_on_the_last_axis(dtype):
    network = fastnn.Network([fastnn.Input((5, 3)), fastnn.Scale()], dtype=dtype)
    network.parameters[:] = [2.0, -1.0, 0.5]
    X = rng(0).normal(size=(40, 5, 3)).astype(dtype)
    np.testing.assert_array_equal(network.predict(X), X * network.parameters)
    np.testing.assert_array_equal(network.predict(X[:1]), X[:1] * network.parameters)


def test_the_loss_over_positions_is_the_mean_of_theirs():
    """Softmax at every position has its own cross-entropy, from logits, with smoothing to the number of classes."""
    X, y = rng(1).normal(size=(40, 6, 3)), rng(2).dirichlet(np.ones(4), size=(40, 6))
    network = fastnn.Network([fastnn.Input((6, 3)), fastnn.Dense(4, "softmax")], dtype="float64", seed=0)
    value, gradient = network.loss_and_gradient(X, y, loss="categorical_crossentropy")
    rows = fastnn.Network([fastnn.Input(3), fastnn.Dense(4, "softmax")], dtype="float64", seed=0)
    flat = rows.loss_and_gradient(X.reshape(-1, 3), y.reshape(-1, 4), loss="categorical_crossentropy")
    assert value == pytest.approx(flat[0])
    np.testing.assert_allclose(gradient, flat[1], rtol=1e-10, atol=1e-14)
    smoothed = fastnn.losses.CategoricalCrossentropy(label_smoothing=0.1)
    results = []
    for network_, features, targets in [(network, X, y), (rows, X.reshape(-1, 3), y.reshape(-1, 4))]:
        trainer = fastnn.Trainer(network_, loss=smoothed, optimizer=fastnn.SGD(0.1))
        trainer.fit(features, targets, batch_size=None, epochs=1)
        results.append(network_.parameters.copy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)
