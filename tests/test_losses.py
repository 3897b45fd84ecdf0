"""Losses as users choose them: probabilities or logits, and outputs that are neither."""

import numpy as np
import pytest

import fastnn
from fastnn.losses import CategoricalCrossentropy, LogLoss, Scaled
from support import rng

LOSSES = {"softmax": CategoricalCrossentropy, "sigmoid": LogLoss}
METRICS = ["accuracy", "roc_auc", "log_loss", "f1", "binary_accuracy"]


def network(output, last=(), dtype="float64"):
    layers = [fastnn.Input(4), fastnn.Dense(5, "tanh"), fastnn.Dense(3), *last]
    if output != "linear":
        layers.append(fastnn.Activation(output))
    return fastnn.Network(layers, dtype=dtype, seed=0)


def data(output, n=70):
    X, labels = rng(1).normal(size=(n, 4)), rng(2).integers(0, 3, n)
    return X, labels if output == "softmax" else np.eye(3)[labels]


@pytest.mark.parametrize("output", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    "last",
    [(), (fastnn.LayerNormalization(),), (fastnn.BatchNormalization(),), (fastnn.Dropout(0.3),)],
    ids=["dense", "layer normalization", "batch normalization", "dropout"],
)
def test_logits_give_the_bits_of_probabilities(output, smoothing, last, dtype):
    """Loss, gradient, training, validation and metrics."""
    X, y = data(output)
    usual, logits = LOSSES[output](smoothing), LOSSES[output](smoothing, from_logits=True)
    expected, linear = network(output, last, dtype), network("linear", last, dtype)
    for one, other in zip(
        expected.loss_and_gradient(X, y, loss=usual), linear.loss_and_gradient(X, y, loss=logits), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    trainers = [fastnn.Trainer(net, loss=loss, metrics=METRICS) for net, loss in ((expected, usual), (linear, logits))]
    for trainer in trainers:
        trainer.fit(X, y, epochs=3, batch_size=20, validation_split=0.3, seed=0)
    np.testing.assert_array_equal(expected.parameters, linear.parameters)
    one, other = (trainer.history.history for trainer in trainers)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6, err_msg=name)
    one, other = (trainer.evaluate(X, y) for trainer in trainers)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-6, err_msg=name)


def test_predictions_are_the_logits():
    X, _ = data("softmax")
    logits, probabilities = network("linear").predict(X), network("softmax").predict(X)
    exponentials = np.exp(logits)
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), probabilities)


def test_threads_and_streams():
    X, y = data("softmax", 600)
    parameters = []
    for output, loss in (("softmax", CategoricalCrossentropy()), ("linear", CategoricalCrossentropy(from_logits=True))):
        net = network(output)
        trainer = fastnn.Trainer(net, loss=loss, mixup=0.2)
        trainer.fit(X, y, batch_size=128, n_threads=2, seed=0)
        trainer.fit([(X[:300], y[:300]), (X[300:], y[300:])], batch_size=128, seed=0)
        parameters.append(net.parameters)
    np.testing.assert_array_equal(*parameters)


def test_logits_far_out():
    net = fastnn.Network([fastnn.Input(2), fastnn.Dense(2, use_bias=False)], seed=0)
    net.set_weights([np.eye(2)])
    X = [[1e4, -1e4]]
    for loss, y, expected in (
        (CategoricalCrossentropy(from_logits=True), [1], 2e4),
        (LogLoss(from_logits=True), [[0.0, 0.0]], 5e3),
    ):
        value, gradient = net.loss_and_gradient(X, y, loss=loss)
        assert value == expected
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("output", LOSSES)
def test_linear_outputs_are_refused_and_both_ways_out_are_named(output):
    """They were clipped to probabilities: a loss of 0.0000, and nothing learnt."""
    X, y = data(output)
    name, linear = LOSSES[output].name, network("linear")
    way_out = rf"output='{output}'.*fastnn.losses.{LOSSES[output].__name__}\(from_logits=True\)"
    for loss in (name, LOSSES[output](0.1), Scaled(name, 0.5)):
        with pytest.raises(ValueError, match=way_out):
            fastnn.Trainer(linear, loss=loss)
        with pytest.raises(ValueError, match=way_out):
            linear.loss_and_gradient(X, y, loss=loss)
        with pytest.raises(ValueError, match=way_out):
            linear.explain(X[0], y[0], loss=loss)
    trainer = fastnn.Trainer(linear, loss="mse")
    with pytest.raises(ValueError, match=way_out):
        trainer.loss = name
    assert trainer.loss.name == "mse"


@pytest.mark.parametrize(
    ("output", "loss"), [(name, "log_loss") for name in ("relu", "tanh", "softplus", "exponential")]
    + [(name, "categorical_crossentropy") for name in ("sigmoid", "relu", "mish", "leaky_relu")],
)  # fmt: skip
def test_outputs_that_are_no_probabilities_are_refused_as_linear_ones(output, loss):
    """categorical_crossentropy makes all outputs of "sigmoid" 1: a loss of 0.0002 with an accuracy of 0.67."""
    message = rf"outputs are {output}: take output='\w+'.*linear outputs and the loss .*from_logits=True"
    for net in (network(output), fastnn.Network([*network(output).layers[:-1], fastnn.Dense(3, output)])):
        with pytest.raises(ValueError, match=message):
            fastnn.Trainer(net, loss=loss)
    members = fastnn.Network([fastnn.Input(4), fastnn.Ensemble([fastnn.Dense(2, output)], 3)])
    with pytest.raises(ValueError, match=f"outputs are mean of {output}"):
        members.loss_and_gradient(*data("softmax"), loss=loss)


def test_one_output_of_softmax_is_refused():
    one = fastnn.Network([fastnn.Input(4), fastnn.Dense(1, "softmax")], seed=0)
    linear = fastnn.Network([fastnn.Input(4), fastnn.Dense(1)], seed=0)
    for net, loss in (
        (one, "mse"), (one, "log_loss"), (linear, "categorical_crossentropy"),
        (linear, CategoricalCrossentropy(from_logits=True)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="one output of softmax is always 1: take output='sigmoid'"):
            fastnn.Trainer(net, loss=loss)


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "relu"])
@pytest.mark.parametrize("loss", LOSSES.values())
def test_logits_of_an_activation_are_refused(output, loss):
    with pytest.raises(ValueError, match=f"from_logits must be False .*{output}"):
        fastnn.Trainer(network(output), loss=loss(from_logits=True))
    with pytest.raises(ValueError, match="from_logits must be False"):
        network(output).loss_and_gradient(*data("softmax"), loss=Scaled(loss(from_logits=True), 2.0))


def test_arguments():
    with pytest.raises(TypeError, match="from_logits must be True or False"):
        LogLoss(from_logits=1)
    with pytest.raises(ValueError, match="from_logits"):
        network("linear").explain(np.zeros(4), 1, loss=CategoricalCrossentropy(from_logits=True))
    assert repr(LogLoss(0.1, from_logits=True)) == "LogLoss(label_smoothing=0.1, from_logits=True)"
    assert LogLoss(from_logits=True) != LogLoss()
    assert Scaled(LogLoss(from_logits=True), 2.0).from_logits


def test_it_is_saved(tmp_path):
    loss = Scaled(CategoricalCrossentropy(0.1, from_logits=True), 2.0)
    fastnn.Trainer(network("linear"), loss=loss).save(tmp_path / "file")
    assert fastnn.Trainer.load(tmp_path / "file").loss == loss
    assert "from_logits" not in CategoricalCrossentropy(0.1).config  # as earlier versions read it
