"""What the tests of `fastnn.distributed` share: a small problem, and what it means that two trainers are the same."""

import numpy as np

import fastnn


def make_trainer(metrics=("accuracy",), seed=0, **options):
    network = fastnn.Network.mlp(4, [16], 3, output="softmax", seed=seed)
    return fastnn.Trainer(network, loss="categorical_crossentropy", metrics=list(metrics), **options)


def make_data(n=600, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    return X, np.argmax(X[:, :3] + X[:, 3:], axis=1)


def assert_same_bits(a, b):
    np.testing.assert_array_equal(a.network.parameters, b.network.parameters)
    np.testing.assert_array_equal(a.network.state, b.network.state)
    np.testing.assert_array_equal(a.moments, b.moments)
    assert (a.step, a.epochs_done, a.seed) == (b.step, b.epochs_done, b.seed)
