"""L1 and L2 penalties: against the oracle, central differences, and what Keras and scikit-learn make of them."""

import numpy as np
import pytest

import fastnn
import reference as ref
from support import public_names

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.random.default_rng(1).normal(size=(40, 2))

PENALTIES = {
    "none": {},
    "l2": {"kernel_regularizer": fastnn.L2(0.3)},
    "l1": {"kernel_regularizer": fastnn.L1(0.2)},
    "l1_l2": {"kernel_regularizer": fastnn.L1L2(0.2, 0.3)},
    "a number": {"kernel_regularizer": 0.25},
    "bias": {"bias_regularizer": fastnn.L1L2(0.1, 0.4)},
    "both": {"kernel_regularizer": fastnn.L1(0.2), "bias_regularizer": 0.1},
}
SCIKIT_LEARN = fastnn.losses.Scaled("mse", 0.5, penalty_per_sample=True)


def make_network(options, dtype="float64"):
    """3-21-2: tensors that neither start nor end at whole vectors; the penalty is on the first layer only."""
    layers = [fastnn.Input(3), fastnn.Dense(21, "tanh", **options), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=3)
    network.parameters[:] = np.random.default_rng(4).normal(size=network.n_parameters)
    return network


def make_oracle(network):
    W1, b1, W2, b2 = (w.astype(float) for w in network.get_weights())
    factors = []
    for penalty in (network.layers[1].kernel_regularizer, network.layers[1].bias_regularizer):
        factors += [penalty.l1, penalty.l2] if penalty else [0.0, 0.0]
    return [ref.Dense(W1, b1, *factors), ref.Activation("tanh"), ref.Dense(W2, b2)]


@pytest.mark.parametrize("name", PENALTIES)
def test_loss_and_gradient_follow_the_oracle(name):
    network = make_network(PENALTIES[name])
    for penalties in (True, False):
        loss, gradient = network.loss_and_gradient(X, Y, loss="mse", penalties=penalties)
        expected, gradients = ref.loss_and_gradient(make_oracle(network), X, Y, "mse", penalties=penalties)
        assert loss == pytest.approx(expected, rel=1e-13)
        for ours, theirs in zip(network.unflatten(gradient), gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", PENALTIES)
def test_gradient_is_the_central_difference(name):
    network = make_network(PENALTIES[name])
    _, gradient = network.loss_and_gradient(X, Y, loss="mse")

    def loss_at(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, Y, loss="mse")[0]

    expected = ref.central_difference(loss_at, network.parameters.copy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PENALTIES)
def test_a_step_of_training_descends_the_penalised_loss(name, dtype):
    network = make_network(PENALTIES[name], dtype)
    loss, gradients = ref.loss_and_gradient(make_oracle(network), X, Y, "mse")
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.01))
    history = trainer.fit(X, Y, batch_size=None)
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    assert history.history["loss"][0] == pytest.approx(loss, rel=tolerance)  # the value before the step
    for ours, theirs in zip(network.unflatten((before - network.parameters) / 0.01), gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=10 * tolerance)


def test_a_penalty_is_counted_once_a_batch_whatever_it_weighs():
    options = {"kernel_regularizer": 0.5}
    network = make_network(options)
    penalty = ref.penalty(make_oracle(network))
    weights = np.linspace(0.1, 3.0, 40)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-30))
    plain = fastnn.Trainer(make_network({}), loss="mse").evaluate(X, Y, sample_weight=weights)["loss"]
    for batch_size in (1, 16, 32, None):
        history = trainer.fit(X, Y, batch_size=batch_size, sample_weight=weights, validation_data=(X, Y, weights))
        assert history.history["loss"][-1] == pytest.approx(plain + penalty, rel=1e-12)
        assert history.history["val_loss"][-1] == pytest.approx(plain + penalty, rel=1e-12)
    assert trainer.evaluate(X, Y, sample_weight=weights)["loss"] == pytest.approx(plain + penalty, rel=1e-12)


def test_penalty_per_sample_is_scikit_learn_s_alpha():
    """0.5 * alpha * sum w^2 / n beside half the mean squared error, in loss and gradient."""
    alpha, network = 0.7, make_network({"kernel_regularizer": fastnn.L2(0.35)})
    oracle = make_oracle(network)
    oracle[0].kernel_l2 = alpha / 2 / len(X)
    loss, gradients = ref.loss_and_gradient(oracle, X, Y, "mse")
    _, plain_gradients = ref.loss_and_gradient(oracle, X, Y, "mse", penalties=False)
    penalty = ref.penalty(oracle)
    trainer = fastnn.Trainer(network, loss=SCIKIT_LEARN, optimizer=fastnn.SGD(0.01))
    before = network.parameters.copy()
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx((loss - penalty) / 2 + penalty, rel=1e-12)
    history = trainer.fit(X, Y, batch_size=None)
    assert history.history["loss"][0] == pytest.approx((loss - penalty) / 2 + penalty, rel=1e-12)
    for ours, full, plain in zip(
        network.unflatten((before - network.parameters) / 0.01), gradients, plain_gradients, strict=True
    ):
        np.testing.assert_allclose(ours, full - plain / 2, rtol=1e-10, atol=1e-12)


def test_penalty_per_sample_of_an_evaluation_in_many_pieces():
    X_long, Y_long = np.tile(X, (20, 1)), np.tile(Y, (20, 1))
    network = make_network({"kernel_regularizer": 0.5})
    plain = fastnn.Trainer(make_network({}), loss="mse").evaluate(X_long, Y_long)["loss"]
    trainer = fastnn.Trainer(network, loss=SCIKIT_LEARN)
    expected = plain / 2 + ref.penalty(make_oracle(network)) / 800
    assert trainer.evaluate(X_long, Y_long)["loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.L1(-0.1), r"l1 must be a number in \[0, inf\), got -0.1"),
        (lambda: fastnn.L2(np.nan), r"l2 must be a number in \[0, inf\), got nan"),
        (
            lambda: fastnn.Dense(1, kernel_regularizer=-1.0),
            r"kernel_regularizer must be a number in \[0, inf\), got -1",
        ),
        (lambda: fastnn.Dense(1, bias_regularizer={"l3": 1}), r"a key of bias_regularizer must be one of 'l1', 'l2'"),
        (lambda: fastnn.Dense(1, kernel_regularizer={}), r"kernel_regularizer must have 'l1', 'l2' or both .*got \{\}"),
        (lambda: fastnn.Dense(1, bias_regularizer={}), r"bias_regularizer must have 'l1', 'l2' or both .*got \{\}"),
        (lambda: fastnn.Dense(1, kernel_constraint={}), r"kernel_constraint must have 'max_value' .*got \{\}"),
        (lambda: fastnn.losses.Scaled("mse", 0.0), r"factor must be a number in \(0, inf\), got 0"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_string_is_a_type_error():
    with pytest.raises(TypeError, match="kernel_regularizer must be L1, L2 or L1L2 of numbers"):
        fastnn.Dense(1, kernel_regularizer="l2")


@pytest.mark.parametrize("name", PENALTIES)
def test_config_holds_the_penalty(name):
    layer = fastnn.Dense(21, "tanh", **PENALTIES[name])
    assert fastnn.layers.from_config(layer.config) == layer
    assert eval(repr(layer), {**public_names(), "ActivationFunction": fastnn.activations.ActivationFunction}) == layer
