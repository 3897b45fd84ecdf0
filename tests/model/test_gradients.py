"""Loss and gradient of the kernels: against the oracle and central differences, over every combination there is."""

import itertools

import numpy as np
import pytest

import fastnn
import reference as ref
from support import assert_close, flat, oracle_of, rng, targets

ACTIVATIONS = fastnn.activations.NAMES
LOSSES = fastnn.losses.NAMES
PROBABILITIES = {"log_loss": ("sigmoid", "softmax"), "categorical_crossentropy": ("softmax",)}  # others are refused

# Allowed error in roundings (eps) of the largest magnitude: 2e-13 in float64, 1.5e-5 in float32. Measured over the
# whole matrix: 79 and 60, both where a gradient is a small difference of large terms; 4 and 13 for the loss.
UNITS = {"float64": 1000, "float32": 128}


def make_network(hidden, output, loss, use_bias, dtype, seed=0):
    """A 4-3-3 network whose outputs and targets suit the loss's domain."""
    layers = [fastnn.Input(4), fastnn.Dense(3, hidden, use_bias=use_bias), fastnn.Dense(3, output, use_bias=use_bias)]
    network = fastnn.Network(layers, dtype=dtype, seed=seed)
    generator = rng(seed + 1)
    for weights in network.get_weights():
        weights[...] = generator.uniform(0.1, 0.6, weights.shape)
        if loss in ("poisson", "msle", "log_loss", "categorical_crossentropy"):  # they take logarithms of outputs, so:
            weights[...] *= 0.25 if hidden == "exponential" else 0.5  # positive and, for all activations, below 1
        else:
            weights[...] *= generator.choice([-1.0, 1.0], weights.shape)
    return network


def make_data(loss, n=5, n_inputs=4, n_outputs=3):
    X = rng(2).uniform(0.1, 0.9, (n, n_inputs))
    if loss in ("mse", "mae", "huber"):
        X *= rng(3).choice([-2.0, 2.0], X.shape)
    return X, targets(loss, n, n_outputs)


def check_against_oracle(network, X, y, loss, sample_weight=None, what="", **loss_params):
    name = loss if isinstance(loss, str) else loss.name
    expected, gradients = ref.loss_and_gradient(
        oracle_of(network), X, y, name, sample_weight=sample_weight, loss_params=loss_params
    )
    value, gradient = network.loss_and_gradient(X, y, loss=loss, sample_weight=sample_weight)
    assert np.isfinite(expected), what
    units = UNITS[network.dtype.name]
    assert_close(network.dtype.type(value), expected, units, f"loss, {what}")
    assert_close(gradient, flat(gradients), units, f"gradient, {what}")


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_every_hidden_activation_output_activation_and_loss(output, dtype):
    weight = rng(4).uniform(0.0, 2.0, 5)
    losses = [loss for loss in LOSSES if output in PROBABILITIES.get(loss, ACTIVATIONS)]
    for hidden, loss, use_bias in itertools.product(ACTIVATIONS, losses, (True, False)):
        network = make_network(hidden, output, loss, use_bias, dtype)
        X, y = make_data(loss)
        X = X.astype(dtype)
        check_against_oracle(network, X, y, loss, None, (hidden, output, loss, use_bias))
        check_against_oracle(network, X, y, loss, weight, (hidden, output, loss, use_bias, "weighted"))


@pytest.mark.parametrize("output", ACTIVATIONS)
def test_every_combination_against_central_differences(output):
    weight = rng(4).uniform(0.5, 2.0, 5)
    losses = [loss for loss in LOSSES if output in PROBABILITIES.get(loss, ACTIVATIONS)]
    for hidden, loss, use_bias in itertools.product(ACTIVATIONS, losses, (True, False)):
        network = make_network(hidden, output, loss, use_bias, "float64")
        X, y = make_data(loss)
        _, gradient = network.loss_and_gradient(X, y, loss=loss, sample_weight=weight)
        expected = central_difference(network, X, y, loss, weight)
        tolerance = 1e-7 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=tolerance, err_msg=str((hidden, output, loss)))


def central_difference(network, X, y, loss, weight):
    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss=loss, sample_weight=weight)[0]

    return ref.central_difference(value, network.parameters.copy(), eps=1e-6)


SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 250)
WIDTHS = ([], [1], [16], [17, 5], [33, 15, 6], [7, 31, 2, 40])  # hidden; with the output 1 to 5 dense layers


@pytest.mark.parametrize("hidden", WIDTHS, ids=str)
def test_batch_sizes_and_depths(hidden, dtype):
    """Batches that do not fill a vector, a panel, or a micro-batch; several panels; every depth."""
    for n, weighted in itertools.product(SIZES, (False, True)):
        network = fastnn.Network.mlp(11, hidden, 3, activation="silu", output="softmax", dtype=dtype, seed=1)
        X = rng(5).normal(size=(n, 11)).astype(dtype)
        y = targets("categorical_crossentropy", n, 3)
        weight = rng(6).uniform(0.1, 2.0, n) if weighted else None
        check_against_oracle(network, X, y, "categorical_crossentropy", weight, (n, hidden))


@pytest.mark.parametrize("units", [1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 1000])
def test_widths(units, dtype):
    for n_inputs, n_outputs in ((units, 2), (2, units), (units, 1)):
        network = fastnn.Network.mlp(n_inputs, [units], n_outputs, activation="tanh", dtype=dtype, seed=1)
        X = rng(5).normal(size=(37, n_inputs)).astype(dtype)
        check_against_oracle(network, X, targets("mse", 37, n_outputs), "mse", None, (n_inputs, units, n_outputs))


@pytest.mark.parametrize(("slope", "alpha"), [(0.0, 1.0), (0.3, 0.5), (1.5, 3.0)])
def test_parameters_of_activations(slope, alpha, dtype):
    functions = fastnn.activations.LeakyReLU(slope), fastnn.activations.ELU(alpha)
    layers = [fastnn.Input(4), *(fastnn.Dense(5, function) for function in functions), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=3)
    X = rng(5).normal(size=(20, 4)).astype(dtype)
    check_against_oracle(network, X, targets("mse", 20, 2), "mse")


@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_huber_delta(delta, dtype):
    network = fastnn.Network.mlp(4, [5], 2, dtype=dtype, seed=3)
    X = rng(5).normal(size=(20, 4)).astype(dtype)
    check_against_oracle(network, X, targets("huber", 20, 2), fastnn.losses.Huber(delta), delta=delta)


@pytest.mark.parametrize(("output", "loss"), [("softmax", "categorical_crossentropy"), ("sigmoid", "log_loss")])
def test_activations_stacked_under_a_loss_from_logits(output, loss, dtype):
    """The output activation cannot work in place there: the one below needs its own output."""
    layers = [fastnn.Input(4), fastnn.Dense(3, "tanh"), fastnn.Activation("softplus"), fastnn.Activation(output)]
    network = fastnn.Network(layers, dtype=dtype, seed=3)
    X = rng(5).normal(size=(40, 4)).astype(dtype)
    check_against_oracle(network, X, targets(loss, 40, 3), loss)


def test_activation_before_the_first_dense_layer(dtype):
    layers = [fastnn.Input(4), fastnn.Activation("tanh"), fastnn.Dropout(0.5), fastnn.Dense(3, "relu"), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=3)
    X = rng(5).normal(size=(40, 4)).astype(dtype)
    check_against_oracle(network, X, targets("mse", 40, 2), "mse")


@pytest.mark.parametrize(
    "layers", [[fastnn.Activation("softmax")], [fastnn.Dropout(0.1)], [fastnn.Activation("linear")]]
)
def test_a_network_without_parameters_has_a_loss(layers, dtype):
    network = fastnn.Network([fastnn.Input(3), *layers], dtype=dtype)
    X = rng(5).uniform(0.1, 0.9, (40, 3)).astype(dtype)
    value, gradient = network.loss_and_gradient(X, X, loss="mse")
    expected, _ = ref.loss_and_gradient(oracle_of(network) or [ref.Activation("linear")], X, X, "mse")
    assert gradient.shape == (0,)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("output", "loss"), [("softmax", "categorical_crossentropy"), ("sigmoid", "log_loss")])
def test_logits_far_out_neither_overflow_nor_give_log_0(output, loss, dtype):
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(3, output)], dtype=dtype)
    network.set_weights([np.eye(3), np.zeros(3)])
    X = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e3], [80.0, 90.0, -100.0]])
    y = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    check_against_oracle(network, X, y, loss)


def test_targets_that_do_not_sum_to_one(dtype):
    network = fastnn.Network.mlp(4, [5], 3, output="softmax", dtype=dtype, seed=3)
    X = rng(5).normal(size=(20, 4)).astype(dtype)
    check_against_oracle(network, X, rng(6).uniform(size=(20, 3)), "categorical_crossentropy")


def test_samples_that_weigh_nothing_change_nothing(dtype):
    network = fastnn.Network.mlp(4, [5, 6], 3, dtype=dtype, seed=3)
    X, y = rng(5).normal(size=(50, 4)), rng(6).normal(size=(50, 3))
    weight = rng(7).uniform(0.5, 1.0, 50)
    weight[::3] = 0.0
    kept = weight > 0
    value, gradient = network.loss_and_gradient(X, y, loss="mse", sample_weight=weight)
    value_kept, gradient_kept = network.loss_and_gradient(X[kept], y[kept], loss="mse", sample_weight=weight[kept])
    np.testing.assert_allclose(value, value_kept, rtol=1e-6)
    assert_close(gradient, gradient_kept, UNITS[dtype])
