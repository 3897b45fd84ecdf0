"""The network: initial parameters, weights in and out, and what it says about itself."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import initializers
from fastnn.activations import Compiled
from reference.network import layer_outputs
from support import assert_close, flat, oracle_of, public_names, rng, targets

# -- initial parameters ------------------------------------------------------------------------------------------------

FAN_IN, UNITS = 300, 200
VARIANCES = {
    "he_normal": 2 / FAN_IN,
    "he_uniform": 2 / FAN_IN,
    "glorot_normal": 2 / (FAN_IN + UNITS),
    "glorot_uniform": 2 / (FAN_IN + UNITS),
    "lecun_normal": 1 / FAN_IN,
}


@pytest.mark.parametrize("name", VARIANCES)
def test_scaled_initializers_have_their_mean_variance_and_shape(name):
    layer = fastnn.Dense(UNITS, kernel_initializer=name)
    W, b = fastnn.Network([fastnn.Input(FAN_IN), layer], dtype="float64", seed=0).get_weights()
    std = np.sqrt(VARIANCES[name])
    assert abs(W.mean()) < 5 * std / np.sqrt(W.size)
    assert abs(W.std() / std - 1) < 0.02
    np.testing.assert_array_equal(b, 0)
    if name.endswith("uniform"):
        assert np.abs(W).max() <= np.sqrt(3) * std
        assert np.abs(W).max() > 0.999 * np.sqrt(3) * std
    else:  # the share beyond one standard deviation
        assert abs((np.abs(W) > std).mean() - 0.3173) < 0.01


@pytest.mark.parametrize(("fan_in", "units"), [(7, 7), (12, 5), (5, 12)])
def test_orthogonal(fan_in, units):
    layer = fastnn.Dense(units, kernel_initializer="orthogonal")
    W, _ = fastnn.Network([fastnn.Input(fan_in), layer], dtype="float64", seed=0).get_weights()
    product = W.T @ W if fan_in >= units else W @ W.T
    np.testing.assert_allclose(product, np.eye(min(fan_in, units)), atol=1e-14)


def test_zeros():
    layer = fastnn.Dense(3, kernel_initializer="zeros")
    assert not fastnn.Network([fastnn.Input(2), layer]).parameters.any()


def test_auto_takes_what_suits_the_activation():
    for activation in fastnn.activations.NAMES:
        named = initializers.suited_to(activation)
        rectifies = activation in ("relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus")
        assert named == "lecun_normal" if activation == "selu" else named.startswith("he" if rectifies else "glorot")
        auto, explicit = (
            fastnn.Network([fastnn.Input(3), fastnn.Dense(4, activation, kernel_initializer=name)], seed=1).parameters
            for name in ("auto", named)
        )
        np.testing.assert_array_equal(auto, explicit)


def test_the_seed_decides_and_precision_does_not():
    single, double, other, again = (
        fastnn.Network.mlp(4, [5], 2, dtype=dtype, seed=seed).parameters
        for dtype, seed in (("float32", 0), ("float64", 0), ("float32", 1), ("float32", 0))
    )
    np.testing.assert_array_equal(single, double.astype("float32"))
    np.testing.assert_array_equal(single, again)
    assert not np.array_equal(single, other)


# -- weights in and out ------------------------------------------------------------------------------------------------


def make_network(dtype="float64", dropout=0.0):
    return fastnn.Network.mlp(4, [5, 6], 3, activation="silu", output="softmax", dropout=dropout, dtype=dtype, seed=0)


def test_parameters_and_weights_are_views_of_one_vector(dtype):
    network = make_network(dtype)
    weights = network.get_weights()
    assert [w.shape for w in weights] == [(4, 5), (5,), (5, 6), (6,), (6, 3), (3,)]
    assert all(w.dtype == dtype and w.base is not None for w in weights)
    np.testing.assert_array_equal(flat(weights), network.parameters)
    assert network.parameters.shape == (network.n_parameters,) == (4 * 5 + 5 + 5 * 6 + 6 + 6 * 3 + 3,)
    weights[2][1, 4] = 42.0
    assert network.parameters[25 + 6 + 4] == 42.0
    before = network.predict(np.ones((1, 4)))
    network.parameters[:] = 0
    assert not weights[2].any()
    assert not np.array_equal(network.predict(np.ones((1, 4))), before)


def test_set_weights_gives_get_weights(dtype):
    first, second = make_network(dtype), fastnn.Network(make_network().layers, dtype=dtype, seed=9)
    second.set_weights([w.tolist() for w in first.get_weights()])
    np.testing.assert_array_equal(first.parameters, second.parameters)
    second.set_weights(second.get_weights())  # its own views
    np.testing.assert_array_equal(first.parameters, second.parameters)


def test_a_gradient_unflattens_into_the_shapes_of_the_weights():
    network = make_network()
    X, y = rng(1).normal(size=(20, 4)), targets("categorical_crossentropy", 20, 3)
    _, gradient = network.loss_and_gradient(X, y, loss="categorical_crossentropy")
    _, expected = ref.loss_and_gradient(oracle_of(network), X, y, "categorical_crossentropy")
    for part, other in zip(network.unflatten(gradient), expected, strict=True):
        assert_close(part, other, 1000)


def test_each_gradient_is_an_array_of_its_own():
    network = make_network()
    X, y = rng(1).normal(size=(20, 4)), targets("categorical_crossentropy", 20, 3)
    _, first = network.loss_and_gradient(X, y, loss="categorical_crossentropy")
    kept = first.copy()
    network.loss_and_gradient(2 * X, y, loss="categorical_crossentropy")
    np.testing.assert_array_equal(first, kept)


# -- what it says about itself -----------------------------------------------------------------------------------------


def test_mlp_is_its_layers_written_out():
    network = fastnn.Network.mlp(4, [5, 6], 2, activation="tanh", output="softmax", dropout=0.1, seed=0)
    layers = [
        fastnn.Input(4), fastnn.Dense(5, "tanh"), fastnn.Dropout(0.1), fastnn.Dense(6, "tanh"), fastnn.Dropout(0.1),
        fastnn.Dense(2, "softmax"),
    ]  # fmt: skip
    assert network.layers == tuple(layers)
    assert (network.n_inputs, network.n_outputs) == (4, 2)
    np.testing.assert_array_equal(network.parameters, fastnn.Network(layers, seed=0).parameters)


def test_summary_lists_layers_outputs_parameters_and_flops():
    network = fastnn.Network([fastnn.Input(4), fastnn.Dense(1000, "relu"), fastnn.Dropout(0.25), fastnn.Dense(1)])
    lines = [line.split() for line in network.summary().splitlines()]
    assert lines == [
        ["layer", "output", "parameters", "flops"],
        ["Input", "4", "0", "0"],
        ["Dense", "relu", "1000", "5,000", "8,000"],
        ["Dropout", "0.25", "1000", "0", "0"],
        ["Dense", "linear", "1", "1,001", "2,000"],
        ["total", "6,001", "10,000"],
    ]
    assert len({len(line) for line in network.summary().splitlines()}) == 1


@pytest.mark.parametrize(
    ("output", "loss"),
    [("softmax", "categorical_crossentropy"), ("softmax", "mse"), ("sigmoid", "log_loss"), ("linear", "huber")],
)
def test_explain_is_the_oracle_step_by_step(output, loss, dtype):
    layers = [
        fastnn.Input(4), fastnn.Dense(5, "gelu"), fastnn.Dropout(0.5), fastnn.Dense(3, "tanh", use_bias=False),
        fastnn.Dense(3, output),
    ]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    x, y = rng(1).normal(size=4), targets(loss, 1, 3)
    account = network.explain(x, y[0], loss=loss)
    oracle = oracle_of(network)
    outputs = layer_outputs(oracle, x[np.newaxis])
    value, gradients = ref.loss_and_gradient(oracle, x[np.newaxis], y, loss)
    assert_close(np.float64(account.loss), value, 100)
    np.testing.assert_array_equal(account.x, x)
    np.testing.assert_array_equal(account.y, y[0])
    assert len(account.steps) == len(oracle)
    delta = ref.LOSSES[loss].gradient(y, outputs[-1])
    found = []
    for step, layer, before, after in reversed(
        list(zip(account.steps, oracle, outputs[:-1], outputs[1:], strict=True))
    ):
        assert_close(step.input, before[0], 100, step.name)
        assert_close(step.output, after[0], 100, step.name)
        assert_close(step.delta, delta[0], 1000, step.name)
        delta, layer_gradients = layer.backward(before, delta)
        ours = [g for g in (step.weights_gradient, step.bias_gradient) if g is not None]
        for gradient, expected in zip(ours, layer_gradients, strict=True):
            assert_close(gradient, expected, 1000, step.name)
        found = ours + found
    assert_close(flat(found), flat(gradients), 1000)
    text = str(account)
    for line in ("forward", "loss", "backward", "layer 1: dense", "layer 1: gelu", f"layer 4: {output}"):
        if line != "layer 4: linear":
            assert line in text
    assert f"{loss} = {value:.6g}" in text


def test_explain_takes_a_class_number():
    network = make_network()
    account = network.explain([1.0, 2.0, 3.0, 4.0], 2, loss="categorical_crossentropy")
    np.testing.assert_array_equal(account.y, [0, 0, 1])
    same = network.explain([1.0, 2.0, 3.0, 4.0], [0, 0, 1], loss="categorical_crossentropy")
    assert account.loss == same.loss


def test_explain_of_a_network_that_computes_nothing():
    network = fastnn.Network([fastnn.Input(2), fastnn.Activation("linear")])
    assert network.explain([1.0, 2.0], [1.0, 0.0], loss="mse").loss == 2.0


def test_repr_says_how_to_make_it():
    network = fastnn.Network([fastnn.Input(2), fastnn.Dense(3, "relu"), fastnn.Dropout(0.5)], seed=4)
    again = eval(repr(network), public_names())
    assert again.layers == network.layers
    np.testing.assert_array_equal(again.parameters, network.parameters)


# -- copies and threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda n: pickle.loads(pickle.dumps(n))])
def test_copies_predict_the_same_and_share_nothing(duplicate, dtype):
    network = make_network(dtype, dropout=0.1)
    X = rng(1).normal(size=(20, 4))
    expected = network.predict(X)
    other = duplicate(network)
    np.testing.assert_array_equal(other.predict(X), expected)
    assert (other.layers, other.dtype, other.seed) == (network.layers, network.dtype, network.seed)
    other.parameters[:] = 0
    np.testing.assert_array_equal(network.predict(X), expected)
    fastnn.Trainer(other, loss="mse").fit(X, expected)
    assert other.parameters.any()


def test_equal_layers_share_a_plan_unless_they_are_the_users():
    def make(**options):
        return fastnn.Network([fastnn.Input(3), fastnn.Residual([fastnn.Dense(3, **options)]), fastnn.Dense(2)])

    assert make(activation="tanh").plan is make(activation="tanh").plan
    assert make(activation="tanh").plan is not make(activation="relu").plan

    own = Compiled(lambda x: x * x, lambda x, y: 2 * x, name="square")
    assert make(activation=own).plan is not make(activation=own).plan  # what it stands on may have changed meanwhile

    class Mine(fastnn.Dense):
        pass

    assert fastnn.Network([fastnn.Input(3), Mine(2)]).plan is not fastnn.Network([fastnn.Input(3), Mine(2)]).plan


def test_threads_may_predict_at_once(dtype):
    network = make_network(dtype)
    inputs = [rng(seed).normal(size=(size, 4)).astype(dtype) for seed, size in enumerate((1, 3, 70, 300))]
    expected = [network.predict(X) for X in inputs]
    failures = []

    def work():
        for _ in range(50):
            for X, y in zip(inputs, expected, strict=True):
                if not np.array_equal(network.predict(X), y):
                    failures.append(len(X))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
