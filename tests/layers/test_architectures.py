"""Networks that nobody would think of: random stacks of layers, batch sizes and threads, against the oracle."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from support import flat, oracle_of, rng

# Smooth ones: at a kink two roundings may take two sides. Exponentials of exponentials leave every range.
SMOOTH = [name for name in fastnn.activations.NAMES if name not in ("relu", "leaky_relu", "exponential")]
units = st.sampled_from([1, 2, 5, 15, 16, 17, 31, 32, 33, 40])

layer = st.one_of(
    st.builds(fastnn.Dense, units, st.sampled_from(SMOOTH), use_bias=st.booleans()),
    st.builds(fastnn.Activation, st.sampled_from(SMOOTH)),
    st.builds(fastnn.LayerNormalization, epsilon=st.just(0.1), center=st.booleans(), scale=st.booleans()),
    st.builds(fastnn.BatchNormalization, momentum=st.just(0.8), epsilon=st.just(0.1), center=st.booleans()),
    st.just(fastnn.Dropout(0.0)),
)


@st.composite
def networks(draw):
    n_inputs, n_outputs = draw(units), draw(units)
    output, loss = draw(
        st.sampled_from(
            [
                ("linear", "mse"),
                ("softmax", "categorical_crossentropy"),
                ("sigmoid", "log_loss"),
                ("softplus", "poisson"),
            ]
        )
    )
    n_outputs = max(n_outputs, 2 if output == "softmax" else 1)  # one output of softmax is refused
    middle = draw(st.lists(layer, max_size=6))
    layers = [fastnn.Input(n_inputs), *middle, fastnn.Dense(n_outputs), fastnn.Activation(output)]
    network = fastnn.Network(layers, dtype="float64", seed=draw(st.integers(0, 3)))
    return network, loss


def make_data(network, n):
    X, y = rng(1).normal(size=(n, network.n_inputs)), rng(2).uniform(0.1, 0.9, (n, network.n_outputs))
    return X, y / y.sum(axis=1, keepdims=True) if network.n_outputs > 1 else y


def assert_equal(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max(initial=0.0)))


@settings(max_examples=150)
@given(made=networks(), n=st.integers(1, 150))
def test_outputs_loss_and_gradient(made, n):
    network, loss = made
    X, y = make_data(network, n)
    weight = rng(3).uniform(0.0, 2.0, n) + 0.01
    layers = oracle_of(network)
    assert_equal(network.predict(X), ref.forward(layers, X), 1e-12)
    value, gradient = network.loss_and_gradient(X, y, loss=loss, sample_weight=weight)
    expected, gradients = ref.loss_and_gradient(layers, X, y, loss, sample_weight=weight)
    assert_equal(value, expected, 1e-12)
    assert_equal(gradient, flat(gradients), 1e-10)


@settings(max_examples=150)
@given(made=networks(), n=st.integers(2, 300), batch_size=st.integers(2, 200), n_threads=st.integers(1, 3))
def test_two_epochs_of_training(made, n, batch_size, n_threads):
    network, loss = made
    assume(n % batch_size != 1)  # batch normalization wants two rows in the last batch too
    X, y = make_data(network, n)
    layers = oracle_of(network)
    for _ in range(2):
        for first in range(0, n, batch_size):
            rows = slice(first, first + batch_size)
            _, gradients = ref.loss_and_gradient(layers, X[rows], y[rows], loss, training=True)
            statistics = iter(ref.moving_statistics(layers, X[rows]))
            parameters = [p - 0.01 * g for p, g in zip(ref.get_parameters(layers), gradients, strict=True)]
            layers = ref.replace_parameters(layers, parameters)
            for part in layers:
                if isinstance(part, ref.BatchNormalization):
                    part.moving_mean, part.moving_variance = next(statistics)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=fastnn.SGD(0.01))
    trainer.fit(X, y, epochs=2, batch_size=batch_size, shuffle=False, n_threads=n_threads)
    assert_equal(network.parameters, flat(ref.get_parameters(layers)), 1e-9)
    assert_equal(network.predict(X), ref.forward(layers, X), 1e-8)
