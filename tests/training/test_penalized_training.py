"""Steps of training with penalties follow the oracle, wherever kernels add them: before an update, or before a clip.

Below `LEAST_PARAMETERS` a thread updates its range of the parameters, above it layer by layer. Their tensors begin and
end inside cache lines, so that one line may hold elements of two.
"""

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn.kernels.layerwise import LEAST_PARAMETERS

SMALL, LARGE = (13, 37, 29, 5), (501, 223, 7, 3)
N, BATCH = 210, 70  # three panels of samples a batch, the last of them partial
RATE, MOMENTUM = 0.02, 0.9

PENALTIES = {
    "l2": {"kernel_regularizer": fastnn.L2(0.01)},
    "l1 and l2": {"kernel_regularizer": fastnn.L1L2(0.003, 0.01), "bias_regularizer": fastnn.L1L2(0.02, 0.1)},
}
CLIPS = {
    None: lambda gradients, limit: gradients,
    "clipvalue": lambda gradients, limit: [ref.clip_by_value(g, limit) for g in gradients],
    "clipnorm": lambda gradients, limit: [ref.clip_by_norm(g, limit) for g in gradients],
    "global_clipnorm": ref.clip_by_global_norm,
}
LIMIT = 0.02


def make_network(sizes, options, dtype="float64"):
    hidden = [fastnn.Dense(units, "tanh", **options) for units in sizes[1:-1]]
    network = fastnn.Network([fastnn.Input(sizes[0]), *hidden, fastnn.Dense(sizes[-1], **options)], dtype=dtype, seed=3)
    assert (network.n_parameters >= LEAST_PARAMETERS) == (sizes == LARGE)
    network.parameters[:] = 0.1 * np.random.default_rng(4).normal(size=network.n_parameters)
    return network


def make_data(sizes):
    rng = np.random.default_rng(5)
    return rng.normal(size=(N, sizes[0])), rng.normal(size=(N, sizes[-1]))


def oracle_epoch(network, X, Y, clip, divides):
    """The weights after an epoch of SGD with momentum, and its mean loss."""
    weights = [w.astype(float) for w in network.get_weights()]
    layers = network.layers[1:]
    velocities, losses = [0.0] * len(weights), []
    for first in range(0, N, BATCH):
        oracle = []
        for layer, W, b in zip(layers, weights[::2], weights[1::2], strict=True):
            kernel, bias = (r or fastnn.L2(0.0) for r in (layer.kernel_regularizer, layer.bias_regularizer))
            factors = np.array([kernel.l1, kernel.l2, bias.l1, bias.l2]) / (BATCH if divides else 1)
            oracle += [ref.Dense(W, b, *factors), ref.Activation("tanh")]
        batch = slice(first, first + BATCH)
        loss, gradients = ref.loss_and_gradient(oracle[:-1], X[batch], Y[batch], "mse")
        losses.append(loss)
        gradients = CLIPS[clip](gradients, LIMIT)
        velocities = [MOMENTUM * v - RATE * g for v, g in zip(velocities, gradients, strict=True)]
        weights = [w + v for w, v in zip(weights, velocities, strict=True)]
    return weights, np.mean(losses)


def trained(network, X, Y, n_threads, loss="mse", **clip):
    optimizer = fastnn.SGD(RATE, momentum=MOMENTUM, **clip)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=optimizer)
    return trainer.fit(X, Y, batch_size=BATCH, shuffle=False, n_threads=n_threads).history["loss"][0]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("divides", [False, True], ids=["per batch", "per sample"])
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("sizes", [SMALL, LARGE], ids=["small", "large"])
def test_an_epoch_follows_the_oracle(sizes, penalty, clip, divides, n_threads):
    network, (X, Y) = make_network(sizes, PENALTIES[penalty]), make_data(sizes)
    expected, expected_loss = oracle_epoch(network, X, Y, clip, divides)
    loss_function = fastnn.losses.Scaled("mse", 1.0, penalty_per_sample=True) if divides else "mse"
    loss = trained(network, X, Y, n_threads, loss_function, **({clip: LIMIT} if clip else {}))
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_updates_layer_by_layer_give_the_same_bits_with_any_number_of_threads(dtype, penalty):
    X, Y = make_data(LARGE)
    found, losses = [], []
    for n_threads, clip in ((1, {}), (2, {}), (3, {}), (1, {"clipvalue": 1e30})):  # nothing reaches this limit
        network = make_network(LARGE, PENALTIES[penalty], dtype)
        losses.append(trained(network, X.astype(dtype), Y.astype(dtype), n_threads, **clip))
        found.append(network.parameters)
    for parameters in found[1:]:
        np.testing.assert_array_equal(parameters, found[0])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_number_of_threads_gives_the_same_bits(n_threads):
    X, Y = make_data(SMALL)
    found = []
    for _ in range(2):
        network = make_network(SMALL, PENALTIES["l1 and l2"], "float32")
        found.append((trained(network, X, Y, n_threads), network.parameters))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_a_loss_that_is_not_finite_updates_nothing():
    network = make_network(LARGE, PENALTIES["l2"], "float32")
    before = network.parameters.copy()
    X, Y = make_data(LARGE)
    with pytest.raises(FloatingPointError, match="the loss stopped being finite"):
        trained(network, X, np.full_like(Y, 3e38), 1)
    np.testing.assert_array_equal(network.parameters, before)


@pytest.mark.parametrize("hidden", [(37,), (1500,)], ids=["small", "large"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_alpha_of_the_estimators(hidden, n_threads):
    """alpha / 2 times the sum of squared kernels, over the samples of the batch, beside half the squared error."""
    rng, alpha, n = np.random.default_rng(0), 3.0, 64
    X, y = rng.normal(size=(n, 71)), rng.normal(size=n)
    estimator = fastnn.MLPRegressor(
        hidden_layer_sizes=hidden, activation="tanh", solver="sgd", alpha=alpha, batch_size=n, learning_rate_init=0.01,
        momentum=0.0, random_state=0, n_threads=n_threads,
    ).partial_fit(X, y)  # fmt: skip
    before = [w.copy() for pair in zip(estimator.coefs_, estimator.intercepts_, strict=True) for w in pair]
    estimator.partial_fit(X, y)
    after = [w for pair in zip(estimator.coefs_, estimator.intercepts_, strict=True) for w in pair]

    W1, b1, W2, b2 = before
    l2 = alpha / n  # the oracle's mean squared error is twice the estimator's, so its penalty has to be, too
    oracle = [ref.Dense(W1, b1, kernel_l2=l2), ref.Activation("tanh"), ref.Dense(W2, b2, kernel_l2=l2)]
    loss, gradients = ref.loss_and_gradient(oracle, X, y[:, np.newaxis], "mse")
    assert estimator.loss_curve_[-1] == pytest.approx(loss / 2, rel=1e-10)
    for ours, w, gradient in zip(after, before, gradients, strict=True):
        np.testing.assert_allclose(ours, w - 0.01 * gradient / 2, rtol=1e-10, atol=1e-12)
