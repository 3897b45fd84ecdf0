"""`fastnn.saliency` and its picture."""

import numpy as np
import pytest

import fastnn
from support import rng


@pytest.mark.parametrize("end", ["softmax", "sigmoid", "tanh"])
def test_it_is_the_central_difference_of_the_logit_or_output(end):
    network = fastnn.Network.mlp(5, [6], 3, activation="tanh", output=end, dtype="float64", seed=0)
    X = rng().normal(size=(4, 5))

    def outputs(X, logits):
        a = network.predict(X)
        if end == "tanh" or not logits:
            return a
        return np.log(a) if end == "softmax" else np.log(a / (1 - a))  # softmax's up to one number a sample

    chosen = network.predict(X).argmax(axis=1)
    for logits in (True, False):
        found = fastnn.saliency(network, X, logits=logits)
        other = fastnn.saliency(network, X, output=(chosen + 1) % 3, logits=logits)
        for j in range(5):
            step = 1e-6 * np.eye(5)[j]
            change = (outputs(X + step, logits) - outputs(X - step, logits)) / 2e-6
            rows = np.arange(4)
            # A difference of two outputs, so that what softmax adds to all logits drops out.
            expected = change[rows, chosen] - change[rows, (chosen + 1) % 3]
            np.testing.assert_allclose((found - other)[:, j], expected, rtol=1e-6, atol=1e-8)


def test_images_keep_their_shape_and_running_statistics_count():
    layers = [fastnn.Input((4, 4, 1)), fastnn.Conv2D(2, 3), fastnn.BatchNormalization(), fastnn.Flatten(),
              fastnn.Dense(2), fastnn.Activation("softmax")]  # fmt: skip
    network = fastnn.Network(layers, dtype="float64", seed=0)
    network.state = rng().uniform(1, 2, network.state.size)
    X = rng().normal(size=(3, 4, 4, 1))
    found = fastnn.saliency(network, X, output=1)
    assert found.shape == X.shape
    plain = fastnn.Network(layers[:-1], dtype="float64")
    plain.parameters, plain.state = network.parameters, network.state
    np.testing.assert_array_equal(found, plain.vjp(X, np.tile([0.0, 1.0], (3, 1)))[0])


def test_wrong_arguments_are_named():
    network = fastnn.Network.mlp(2, [], 3, output="softmax", seed=0)
    for output, message in ((3, "from 0 to 2, got 3"), (0.5, "an integer"), ([0, 1], "one for each of 3 samples")):
        with pytest.raises(ValueError, match=message):
            fastnn.saliency(network, np.ones((3, 2)), output=output)
    with pytest.raises(TypeError, match="network must be a"):
        fastnn.saliency("network", np.ones((3, 2)))
