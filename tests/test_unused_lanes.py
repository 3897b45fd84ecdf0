"""Lanes of a panel that hold no sample must not build up values: elementwise passes work on whole panels."""

import numpy as np
import pytest

import fastnn


@pytest.mark.parametrize("activation", ["selu", "softplus", "leaky_relu", "mish"])
def test_thousands_of_small_batches_leave_the_loss_finite(activation):
    # In 5 rows of a 32-row panel a whole vector is unused; selu multiplied what was there by 1.05 a step.
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(40, 3)), generator.normal(size=(40, 1))
    network = fastnn.Network.mlp(3, [8], 1, activation=activation, output=activation, seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-6))
    trainer.fit(X, y, epochs=1, batch_size=None)  # fills all lanes
    history = trainer.fit(X[:5], y[:5], epochs=5000, batch_size=5, shuffle=False)
    assert np.isfinite(history.history["loss"]).all()
