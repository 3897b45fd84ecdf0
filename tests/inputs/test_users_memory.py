"""Memory that belongs to the user, who may change it, or be given it by fastnn: nothing is read after it was freed,
nothing of theirs is written, and arrays that overlap give what separate ones give."""

import weakref

import numpy as np
import pytest
import scipy.sparse

import fastnn
from support import rng


def make_network(dtype="float32", n_inputs=4, n_outputs=3, output="softmax"):
    return fastnn.Network.mlp(n_inputs, [5], n_outputs, output=output, dtype=dtype, seed=0)


# -- sparse matrices whose arrays are replaced -------------------------------------------------------------------------


def sparse_data(dtype="float32"):
    X = scipy.sparse.random(60, 4, 0.5, format="csr", random_state=0, dtype=np.dtype(dtype))
    return X, rng(1).integers(0, 3, 60)


class ReplaceArrays(fastnn.callbacks.Callback):
    """Puts other arrays into a matrix, as `X.data = ...` does, and says whether the first ones still live."""

    def __init__(self, X):
        self.X = X
        self.originals = [weakref.ref(array) for array in (X.data, X.indices, X.indptr)]
        self.are_alive = []

    def on_epoch_begin(self, epoch):
        self.X.data, self.X.indices = np.full(1, np.nan, np.float32), np.full(1, 2**30, np.int32)
        self.X.indptr = np.zeros(61, np.int32)
        self.are_alive += [original() is not None for original in self.originals]


def test_a_sparse_matrix_may_be_given_other_arrays_while_it_is_trained_on():
    X, y = sparse_data()
    alone = fastnn.Trainer(make_network(), loss="categorical_crossentropy")
    alone.fit(X, y, epochs=3, seed=0)
    trainer = fastnn.Trainer(make_network(), loss="categorical_crossentropy")
    replacing = ReplaceArrays(X)
    trainer.fit(X, y, epochs=3, seed=0, callbacks=[replacing])
    assert all(replacing.are_alive)
    assert len(replacing.are_alive) == 9
    np.testing.assert_array_equal(trainer.network.parameters, alone.network.parameters)


def test_so_may_one_that_an_objective_holds():
    X, y = sparse_data()
    objective = fastnn.Objective(make_network(), X, y, loss="categorical_crossentropy")
    loss, _ = objective()
    replacing = ReplaceArrays(X)
    replacing.on_epoch_begin(0)
    assert all(replacing.are_alive)
    assert objective()[0] == loss


# -- arrays that overlap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 300, 5000])
@pytest.mark.parametrize("shift", [-8, 0, 1, 160])
def test_predict_into_memory_of_its_features(n, shift, dtype):
    network = make_network(dtype)
    memory = rng(2).normal(size=4 * n + 200).astype(dtype)
    X = memory[8 : 8 + n * 4].reshape(n, 4)
    expected = network.predict(X.copy())
    out = memory[8 + shift : 8 + shift + n * 3].reshape(n, 3)
    assert network.predict(X, out=out) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n", [1, 8, 300])
def test_predict_into_the_features_themselves(n, dtype):
    network = make_network(dtype, n_outputs=4)
    X = rng(3).normal(size=(n, 4)).astype(dtype)
    expected = network.predict(X[::-1])
    assert network.predict(X[::-1], out=X) is X
    np.testing.assert_array_equal(X, expected)


def test_predict_into_the_values_of_a_sparse_matrix():
    network, (X, _) = make_network(), sparse_data()
    expected = network.predict(X)
    memory = np.zeros(180, np.float32)
    memory[: X.nnz] = X.data
    X = scipy.sparse.csr_matrix((memory[: X.nnz], X.indices, X.indptr), shape=X.shape, copy=False)
    assert np.may_share_memory(X.data, memory)
    np.testing.assert_array_equal(network.predict(X, out=memory.reshape(60, 3)), expected)


def test_weights_of_a_network_change_places():
    layers = [fastnn.Input(3), fastnn.Dense(3, "relu"), fastnn.Dense(3, "relu")]
    network = fastnn.Network(layers, seed=0)
    W1, b1, W2, b2 = (w.copy() for w in network.get_weights())
    one, _, two, _ = network.get_weights()
    network.set_weights([two, b2, one.T, b1])
    for view, expected in zip(network.get_weights(), [W2, b2, W1.T, b1], strict=True):
        np.testing.assert_array_equal(view, expected)


# -- functions of the user are given read-only arrays ------------------------------------------------------------------


def metric_that_writes_to(name, index):
    def greedy(y_true, y_pred, sample_weight=None):
        (y_true, y_pred, sample_weight)[index][:] = 0
        return 0.0

    return greedy


@pytest.mark.parametrize(("what", "index"), [("targets", 0), ("predictions", 1), ("weights", 2)])
@pytest.mark.parametrize("kind", ["labels", "rows"])
@pytest.mark.parametrize("split", [0.0, 0.5])
def test_a_metric_cannot_write_to_what_it_is_given(what, index, kind, split):
    X, labels, weights = rng(1).normal(size=(40, 4)), rng(2).integers(0, 3, 40), np.ones(40)
    y = labels if kind == "labels" else np.eye(3)[labels]
    before = y.copy()
    trainer = fastnn.Trainer(
        make_network(), loss="categorical_crossentropy", metrics=[metric_that_writes_to(what, index)]
    )
    with pytest.raises(ValueError, match="read-only"):
        trainer.fit(X, y, sample_weight=weights, validation_split=split)
    with pytest.raises(ValueError, match="read-only"):
        trainer.evaluate(X, y, sample_weight=weights)
    np.testing.assert_array_equal(y, before)
    np.testing.assert_array_equal(weights, 1)
    assert y.flags.writeable
    assert weights.flags.writeable


@pytest.mark.parametrize("index", [0, 1])
def test_nor_can_a_loss(index):
    def greedy(y, predictions):
        (y, predictions)[index][:] = 0
        return (predictions[:, 0] - y[:, 0]) ** 2, 2 * (predictions - y)

    X, y = np.ones((10, 4)), np.arange(10.0)
    network = make_network(n_outputs=1, output="linear")
    with pytest.raises(ValueError, match="read-only"):
        fastnn.Trainer(network, loss=greedy).evaluate(X, y)
    with pytest.raises(ValueError, match="read-only"):
        network.loss_and_gradient(X, y, loss=greedy)
    np.testing.assert_array_equal(y, np.arange(10.0))
