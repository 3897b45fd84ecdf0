"""Training against the oracle, step by step, and what a trained network can do."""

import dataclasses

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn.inputs.splits import split_off
from support import flat, oracle_of, rng, targets

OPTIMIZERS = {
    "sgd": (fastnn.SGD(0.05), ref.SGD(0.05)),
    "momentum": (fastnn.SGD(0.02, momentum=0.9), ref.SGD(0.02, 0.9)),
    "nesterov": (fastnn.SGD(0.02, momentum=0.9, nesterov=True), ref.SGD(0.02, 0.9, True)),
    "adam": (fastnn.Adam(0.01), ref.Adam(0.01)),
    "adam with other constants": (
        fastnn.Adam(0.02, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
        ref.Adam(0.02, 0.8, 0.95, 1e-3),
    ),
    "adam with epsilon hat": (
        fastnn.Adam(0.02, epsilon=1e-2, epsilon_hat=True),
        ref.Adam(0.02, epsilon=1e-2, epsilon_hat=True),
    ),
    "amsgrad with epsilon hat": (
        fastnn.Adam(0.02, epsilon=1e-2, amsgrad=True, epsilon_hat=True),
        ref.Adam(0.02, epsilon=1e-2, amsgrad=True, epsilon_hat=True),
    ),
}
N = 42


def train_oracle(network, X, y, loss, optimizer, batch_size, epochs, sample_weight=None):
    """The parameters after each step of plain training in the order of the rows."""
    layers = oracle_of(network)
    vector = flat(ref.get_parameters(layers))
    steps = []
    for _ in range(epochs):
        for first in range(0, len(X), batch_size):
            rows = slice(first, first + batch_size)
            weight = None if sample_weight is None else sample_weight[rows]
            _, gradients = ref.loss_and_gradient(layers, X[rows], y[rows], loss, sample_weight=weight)
            vector = optimizer.step(vector, flat(gradients))
            layers = ref.replace_parameters(layers, [part.copy() for part in network.unflatten(vector)])
            steps.append(vector)
    return steps


def make_problem(dtype="float64"):
    network = fastnn.Network.mlp(5, [7, 6], 3, activation="tanh", output="softmax", dtype=dtype, seed=0)
    return network, rng(1).normal(size=(N, 5)), targets("categorical_crossentropy", N, 3)


class KeepParameters(fastnn.Callback):
    """The parameters after each epoch."""

    def on_train_begin(self):
        self.kept = []

    def on_epoch_end(self, epoch, logs):
        self.kept.append(self.trainer.network.parameters.copy())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_full_batch_training_is_the_oracle_s_after_each_of_50_steps(name):
    network, X, y = make_problem()
    ours, theirs = OPTIMIZERS[name][0], dataclasses.replace(OPTIMIZERS[name][1])
    expected = train_oracle(network, X, y, "categorical_crossentropy", theirs, N, 50)
    callback = KeepParameters()
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=ours)
    trainer.fit(X, y, epochs=50, batch_size=None, shuffle=False, callbacks=[callback])
    np.testing.assert_allclose(callback.kept, expected, rtol=0, atol=1e-10)
    assert trainer.step == 50


@pytest.mark.parametrize("batch_size", [1, 5, 16, 32, 41])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_mini_batches_are_the_oracle_s_for_at_least_50_steps(name, batch_size):
    """None of the sizes but 1 divides the number of rows: each epoch ends with a smaller batch."""
    network, X, y = make_problem()
    ours, theirs = OPTIMIZERS[name][0], dataclasses.replace(OPTIMIZERS[name][1])
    steps_an_epoch = -(-N // batch_size)
    epochs = -(-50 // steps_an_epoch)
    expected = train_oracle(network, X, y, "categorical_crossentropy", theirs, batch_size, epochs)
    callback = KeepParameters()
    fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=ours).fit(
        X, y, epochs=epochs, batch_size=batch_size, shuffle=False, callbacks=[callback]
    )
    np.testing.assert_allclose(callback.kept, expected[steps_an_epoch - 1 :: steps_an_epoch], rtol=0, atol=1e-10)


def test_float32_follows_the_oracle():
    network, X, y = make_problem("float32")
    expected = train_oracle(network, X, y, "categorical_crossentropy", ref.SGD(0.1, 0.9), 16, 10)
    fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(0.1, momentum=0.9)).fit(
        X, y, epochs=10, batch_size=16, shuffle=False
    )
    np.testing.assert_allclose(network.parameters, expected[-1], rtol=0, atol=2e-5)


def test_batches_of_several_micro_batches(dtype):
    """250 rows are two micro-batches of four panels, the last panel with rows for part of its vectors."""
    network = fastnn.Network.mlp(5, [9, 8], 2, activation="gelu", dtype=dtype, seed=0)
    X, y = rng(1).normal(size=(800, 5)), rng(2).normal(size=(800, 2))
    expected = train_oracle(network, X, y, "mse", ref.SGD(0.05), 250, 3)
    fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.05)).fit(X, y, epochs=3, batch_size=250, shuffle=False)
    np.testing.assert_allclose(network.parameters, expected[-1], rtol=0, atol=1e-12 if dtype == "float64" else 1e-5)


def test_sample_weights():
    network, X, y = make_problem()
    weight = rng(3).uniform(0, 2, N)
    weight[32:] = 0.0  # the whole last batch weighs nothing: its gradient is 0
    expected = train_oracle(network, X, y, "categorical_crossentropy", ref.Adam(0.01), 32, 5, weight)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.Adam(0.01))
    history = trainer.fit(X, y, epochs=5, batch_size=32, shuffle=False, sample_weight=weight)
    np.testing.assert_allclose(network.parameters, expected[-1], rtol=0, atol=1e-10)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("as_labels", [True, False])
def test_class_weights_multiply_sample_weights(as_labels):
    network, X, y = make_problem()
    labels = y.argmax(axis=1)
    weight = rng(3).uniform(0.5, 2, N)
    factor = np.array([0.5, 1.0, 3.0])
    expected = train_oracle(network, X, y, "categorical_crossentropy", ref.SGD(0.05), 16, 3, weight * factor[labels])
    fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(0.05)).fit(
        X, labels if as_labels else y, epochs=3, batch_size=16, shuffle=False, sample_weight=weight,
        class_weight={0: 0.5, 2: 3.0},
    )  # fmt: skip
    np.testing.assert_allclose(network.parameters, expected[-1], rtol=0, atol=1e-10)


def test_the_epoch_s_loss_and_metrics_are_weighted_means_over_its_steps():
    network, X, y = make_problem()
    weight = rng(3).uniform(0.5, 2, N)
    losses, correct = [], []
    layers = oracle_of(network)
    optimizer, vector = ref.SGD(0.05), flat(ref.get_parameters(layers))
    for rows in (slice(0, 32), slice(32, N)):
        loss, gradients = ref.loss_and_gradient(layers, X[rows], y[rows], "categorical_crossentropy", weight[rows])
        losses.append(loss * weight[rows].sum())
        right = ref.forward(layers, X[rows]).argmax(axis=1) == y[rows].argmax(axis=1)
        correct.append(weight[rows] @ right)
        vector = optimizer.step(vector, flat(gradients))
        layers = ref.replace_parameters(layers, [part.copy() for part in network.unflatten(vector)])
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(0.05), metrics=["accuracy"])
    history = trainer.fit(X, y, batch_size=32, shuffle=False, sample_weight=weight).history
    np.testing.assert_allclose(history["loss"], [sum(losses) / weight.sum()], rtol=1e-12)
    np.testing.assert_allclose(history["accuracy"], [sum(correct) / weight.sum()], rtol=1e-12)


def test_evaluate_is_the_weighted_loss_and_the_metrics():
    network = fastnn.Network.mlp(5, [7], 3, activation="tanh", dtype="float64", seed=0)
    X, y, weight = rng(1).normal(size=(300, 5)), rng(2).normal(size=(300, 3)), rng(3).uniform(0, 2, 300)
    trainer = fastnn.Trainer(network, loss="huber", metrics=["mse", "rmse", "mae", "r2"])
    result = trainer.evaluate(X, y, sample_weight=weight)
    layers = oracle_of(network)
    a = ref.forward(layers, X)
    w = weight / weight.sum()
    mse = w @ ((a - y) ** 2).mean(axis=1)
    spread = ((y - w @ y) ** 2).T @ w
    expected = {
        "loss": ref.loss_and_gradient(layers, X, y, "huber", sample_weight=weight)[0],
        "mse": mse,
        "rmse": mse**0.5,
        "mae": w @ np.abs(a - y).mean(axis=1),
        "r2": np.mean(1 - (w @ (a - y) ** 2) / spread),
    }
    assert result.keys() == expected.keys()
    np.testing.assert_allclose(list(result.values()), list(expected.values()), rtol=1e-12)


def test_validation_is_evaluate_on_the_held_back_rows():
    network, X, y = make_problem()
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
    history = trainer.fit(X, y, epochs=2, validation_split=0.25).history
    stay, off = split_off(N, int(np.ceil(N * 0.25)), y.argmax(axis=1), network.seed)
    result = trainer.evaluate(X[off], y[off])
    assert history["val_loss"][-1] == result["loss"]
    assert history["val_accuracy"][-1] == result["accuracy"]

    same, _, _ = make_problem()
    trainer = fastnn.Trainer(same, loss="categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(X[stay], y[stay], epochs=2, validation_data=(X[off], y[off]))
    np.testing.assert_array_equal(same.parameters, network.parameters)
    assert trainer.history.history == history


@pytest.mark.parametrize("labels", ["one-hot", "int64", "uint8", "float32", "int8 column"])
def test_class_numbers_are_one_hot_rows(labels):
    network, X, y = make_problem()
    numbers = y.argmax(axis=1)
    given = {"one-hot": y, "int8 column": numbers.astype("int8")[:, np.newaxis]}
    given = given[labels] if labels in given else numbers.astype(labels)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
    history = trainer.fit(X, given, epochs=3, batch_size=16).history
    same, _, _ = make_problem()
    expected = fastnn.Trainer(same, loss="categorical_crossentropy", metrics=["accuracy"])
    assert expected.fit(X, y, epochs=3, batch_size=16).history == history
    np.testing.assert_array_equal(network.parameters, same.parameters)


# -- what it learns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 1])
def test_xor_is_learnt(batch_size):
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    network = fastnn.Network.mlp(2, [8], 1, activation="tanh", output="sigmoid", seed=0)
    trainer = fastnn.Trainer(network, loss="log_loss", optimizer=fastnn.Adam(0.05), metrics=["accuracy"])
    trainer.fit(X, y, epochs=200, batch_size=batch_size)
    assert trainer.evaluate(X, y)["accuracy"] == 1.0
    np.testing.assert_array_equal(network.predict(X)[:, 0].round(), y)


def test_a_spiral_is_learnt():
    """Three arms that no straight line parts."""
    n = 200
    arm = np.arange(3).repeat(n)
    radius = np.tile(np.linspace(0.1, 1, n), 3)
    angle = 2 * np.pi * arm / 3 + 4 * radius + rng(0).normal(0, 0.1, 3 * n)
    X = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    test = np.arange(3 * n) % 5 == 0
    network = fastnn.Network.mlp(2, [64, 64], 3, output="softmax", seed=0)
    trainer = fastnn.Trainer(
        network, loss="categorical_crossentropy", optimizer=fastnn.Adam(0.01), metrics=["accuracy"]
    )
    trainer.fit(X[~test], arm[~test], epochs=150)
    assert trainer.evaluate(X[test], arm[test])["accuracy"] >= 0.97


def test_digits_are_learnt():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X = X / 16
    order = rng(0).permutation(len(X))
    train, test = order[360:], order[:360]
    network = fastnn.Network.mlp(64, [64], 10, output="softmax", seed=0)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(X[train], y[train], epochs=60)
    assert trainer.evaluate(X[test], y[test])["accuracy"] >= 0.97


def test_a_line_is_found():
    X = rng(0).normal(size=(500, 3))
    network = fastnn.Network.mlp(3, [], 1, dtype="float64", seed=0)
    fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.1)).fit(X, X @ [1.0, -2.0, 0.5] + 3, epochs=100)
    W, b = network.get_weights()
    np.testing.assert_allclose(W[:, 0], [1.0, -2.0, 0.5], atol=1e-9)
    np.testing.assert_allclose(b, [3.0], atol=1e-9)
