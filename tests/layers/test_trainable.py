"""Layers that are not trained: nothing that training does changes them, and what is below them still learns."""

import numpy as np
import pytest

import fastnn
from support import rng

OPTIMIZERS = [
    fastnn.SGD(0.1, momentum=0.9), fastnn.Adam(0.01), fastnn.AdamW(0.01, weight_decay=0.5), fastnn.RMSprop(0.01),
    fastnn.Adagrad(0.01), fastnn.Adadelta(1.0), fastnn.Lion(0.01), fastnn.Adam(0.01, global_clipnorm=0.1),
    fastnn.Adam(0.01, use_ema=True),
]  # fmt: skip


def layers_with(frozen):
    return [
        fastnn.Input(6),
        fastnn.Dense(8, "tanh"),
        fastnn.Dense(8, "relu", kernel_regularizer=0.1, kernel_constraint=fastnn.MaxNorm(0.1), trainable=not frozen),
        fastnn.LayerNormalization(trainable=not frozen),
        fastnn.BatchNormalization(trainable=not frozen),
        fastnn.Dense(1),
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_training_leaves_them_and_changes_the_others(optimizer, n_threads):
    network = fastnn.Network(layers_with(frozen=True), seed=0)
    before = [w.copy() for w in network.get_weights()]
    state = network.state.copy()
    X, y = rng(0).normal(size=(80, 6)), rng(1).normal(size=80)
    fastnn.Trainer(network, loss="mse", optimizer=optimizer).fit(X, y, epochs=3, n_threads=n_threads)
    changed = [not np.array_equal(w, old) for w, old in zip(network.get_weights(), before, strict=True)]
    assert changed == [True, True, False, False, False, False, False, False, True, True]
    np.testing.assert_array_equal(network.state, state)


def test_the_others_get_the_gradient_that_they_would_get_otherwise():
    X, y = rng(0).normal(size=(40, 6)), rng(1).normal(size=40)
    free = fastnn.Network(layers_with(frozen=False), dtype="float64", seed=0)
    frozen = fastnn.Network(layers_with(frozen=True), dtype="float64", seed=0)
    _, expected = free.loss_and_gradient(X, y, loss="mse", penalties=False)
    _, gradient = frozen.loss_and_gradient(X, y, loss="mse", penalties=False)
    for variable in frozen.plan.variables:
        part = slice(variable.offset, variable.offset + variable.size)
        np.testing.assert_array_equal(gradient[part], expected[part] if variable.is_trained else 0.0)


def test_a_large_network_with_a_frozen_layer_in_the_middle():
    """Large networks are updated layer by layer, which needs every gradient; with a frozen layer they are not."""
    layers = [fastnn.Input(300), fastnn.Dense(256, "relu"), fastnn.Dense(256, "relu", trainable=False), fastnn.Dense(3)]
    X, y = rng(0).normal(size=(64, 300)), rng(1).normal(size=(64, 3))
    steps = []
    for clip in (None, 1e9):
        network = fastnn.Network(layers, dtype="float64", seed=0)
        fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.1, global_clipnorm=clip)).fit(X, y, n_threads=1)
        steps.append(network.parameters.copy())
    np.testing.assert_array_equal(steps[0], steps[1])


def test_files_and_configurations_keep_it(tmp_path):
    network = fastnn.Network(layers_with(frozen=True), seed=0)
    network.save(tmp_path / "file")
    assert fastnn.Network.load(tmp_path / "file").layers == network.layers
    assert "trainable" not in fastnn.Dense(3).config
    assert fastnn.Dense(3, trainable=False).config["trainable"] is False
    assert repr(fastnn.Dense(3, trainable=False)).endswith("trainable=False)")
    assert "(not trained)" in network.summary()
    with pytest.raises(TypeError, match="trainable must be True or False"):
        fastnn.Dense(3, trainable="no")
