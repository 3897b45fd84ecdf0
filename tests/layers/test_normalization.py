"""LayerNormalization and BatchNormalization: against the oracle, in training and outside, however a batch is cut."""

import pickle

import numpy as np
import pytest

import fastnn
import reference as ref
from support import flat, rng

N_INPUTS, N_OUTPUTS = 3, 2

# name -> the layers between Input(3) and the output, each normalisation with its options
MIDDLES = {
    "layer": [fastnn.Dense(21, "tanh"), fastnn.LayerNormalization()],
    "layer first": [fastnn.LayerNormalization(epsilon=0.1)],
    "layer without gamma": [fastnn.Dense(9), fastnn.LayerNormalization(scale=False), fastnn.Activation("gelu")],
    "layer without beta": [fastnn.Dense(40, "relu"), fastnn.LayerNormalization(center=False)],
    "layer alone": [fastnn.LayerNormalization(center=False, scale=False)],
    "batch": [fastnn.Dense(21, "tanh"), fastnn.BatchNormalization()],
    "batch first": [fastnn.BatchNormalization(momentum=0.5, epsilon=0.1)],
    "batch without gamma": [fastnn.Dense(9), fastnn.BatchNormalization(scale=False), fastnn.Activation("silu")],
    "batch without beta": [fastnn.Dense(40, "sigmoid"), fastnn.BatchNormalization(center=False, momentum=0.0)],
    "batch alone": [fastnn.BatchNormalization(center=False, scale=False)],
    "both, twice": [
        fastnn.Dense(17), fastnn.BatchNormalization(), fastnn.LayerNormalization(), fastnn.Activation("tanh"),
        fastnn.Dense(35), fastnn.LayerNormalization(), fastnn.BatchNormalization(momentum=0.9),
    ],
}  # fmt: skip
ROWS = (2, 17, 32, 33, 70, 300)  # a part of a vector, of a panel, panels, more than a micro-batch


def make_network(middle, dtype="float64"):
    """Random parameters and running statistics."""
    layers = [fastnn.Input(N_INPUTS), *MIDDLES[middle], fastnn.Dense(N_OUTPUTS)]
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    network.parameters[:] = rng(1).normal(size=network.n_parameters)
    network.state[:] = rng(2).uniform(0.5, 2.0, network.state.size)
    return network


def oracle(network):
    weights = iter(np.array(w, dtype=float) for w in network.get_weights())
    states = iter(np.split(network.state.astype(float), np.cumsum([s.size for s in network.plan.states])[:-1]))
    layers = []
    for layer in network.layers[1:]:
        function = getattr(layer, "activation", None) or getattr(layer, "function", None)
        if isinstance(layer, fastnn.Dense):
            layers.append(ref.Dense(next(weights), next(weights)))
        elif not isinstance(layer, fastnn.Activation):
            gamma, beta = (next(weights) if wanted else None for wanted in (layer.scale, layer.center))
            if isinstance(layer, fastnn.LayerNormalization):
                layers.append(ref.LayerNormalization(gamma, beta, layer.epsilon))
            else:
                mean, variance = next(states), next(states)
                layers.append(ref.BatchNormalization(gamma, beta, mean, variance, layer.momentum, layer.epsilon))
        if function is not None and function.name != "linear":
            layers.append(ref.Activation(function.name))
    return layers


def make_data(n):
    return rng(3).normal(1.0, 2.0, size=(n, N_INPUTS)), rng(4).normal(size=(n, N_OUTPUTS))


@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("middle", MIDDLES)
def test_inference_and_its_gradient_follow_the_oracle(middle, n):
    network, (X, y) = make_network(middle), make_data(n)
    layers = oracle(network)
    np.testing.assert_allclose(network.predict(X), ref.forward(layers, X), rtol=1e-10, atol=1e-11)
    loss, gradient = network.loss_and_gradient(X, y, loss="mse")
    expected, gradients = ref.loss_and_gradient(layers, X, y, "mse")
    assert loss == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(gradient, flat(gradients), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n", ROWS)
@pytest.mark.parametrize("middle", MIDDLES)
def test_a_step_of_training_follows_the_oracle(middle, n, n_threads):
    """Loss, gradient and running statistics of one whole batch, with sample weights, of which some are 0."""
    network, (X, y) = make_network(middle), make_data(n)
    weights = rng(5).integers(0, 3, n).astype(float) + (np.arange(n) == 0)
    layers = oracle(network)
    expected, gradients = ref.loss_and_gradient(layers, X, y, "mse", sample_weight=weights, training=True)
    states = [s for pair in ref.moving_statistics(layers, X) for s in pair]
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0))
    history = trainer.fit(X, y, batch_size=None, shuffle=False, sample_weight=weights, n_threads=n_threads)
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-11)]
    np.testing.assert_allclose(before - network.parameters, flat(gradients), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(network.state, flat(states), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("middle", ["batch", "both, twice"])
def test_epochs_with_a_small_last_batch_follow_the_oracle(middle, n_threads):
    """150 rows in batches of 70: the last has 10 rows, so that most threads have none of it."""
    network, (X, y) = make_network(middle), make_data(150)
    layers = oracle(network)
    for _ in range(3):
        for first in (0, 70, 140):
            rows = slice(first, first + 70)
            _, gradients = ref.loss_and_gradient(layers, X[rows], y[rows], "mse", training=True)
            statistics = iter(ref.moving_statistics(layers, X[rows]))
            parameters = [p - 0.05 * g for p, g in zip(ref.get_parameters(layers), gradients, strict=True)]
            layers = ref.replace_parameters(layers, parameters)
            for layer in layers:
                if isinstance(layer, ref.BatchNormalization):
                    layer.moving_mean, layer.moving_variance = next(statistics)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.05))
    trainer.fit(X, y, epochs=3, batch_size=70, shuffle=False, n_threads=n_threads)
    np.testing.assert_allclose(network.parameters, flat(ref.get_parameters(layers)), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(network.predict(X), ref.forward(layers, X), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("middle", MIDDLES)
def test_training_gradient_is_the_central_difference(middle):
    """Of the loss that training reports: the statistics are a function of the parameters below them."""
    X, y = make_data(9)
    network = make_network(middle)
    start = network.parameters.copy()

    def step(parameters, rate):
        network.parameters[:] = parameters
        trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(rate))
        return trainer.fit(X, y, batch_size=None, shuffle=False, n_threads=1).history["loss"][0]

    step(start, 1.0)
    gradient = start - network.parameters
    expected = ref.central_difference(lambda parameters: step(parameters, 1e-300), start)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=3e-7)


@pytest.mark.parametrize("middle", MIDDLES)
def test_single_precision_follows_the_oracle(middle):
    network, (X, y) = make_network(middle, "float32"), make_data(70)
    layers = oracle(network)
    np.testing.assert_allclose(network.predict(X), ref.forward(layers, X), rtol=1e-4, atol=1e-4)
    _, gradients = ref.loss_and_gradient(layers, X, y, "mse", training=True)
    before = network.parameters.astype(float)
    fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0)).fit(X, y, batch_size=None, n_threads=1)
    scale = np.abs(flat(gradients)).max()
    np.testing.assert_allclose(before - network.parameters, flat(gradients), rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("middle", MIDDLES)
def test_one_row_alone_has_the_bits_of_a_row_in_a_batch(middle, dtype):
    network, (X, _) = make_network(middle, dtype), make_data(40)
    X = X.astype(dtype)
    together = network.predict(X)
    np.testing.assert_array_equal(network.predict(X[7:8]), together[7:8])
    out = np.empty(N_OUTPUTS, dtype)
    network.compile_predictor()(X[7], out)
    np.testing.assert_array_equal(out, together[7])


@pytest.mark.parametrize("middle", ["layer", "batch", "both, twice"])
def test_explain_passes_normalisation(middle):
    network, (X, y) = make_network(middle), make_data(1)
    explanation = network.explain(X[0], y[0], loss="mse")
    np.testing.assert_allclose(explanation.output, network.predict(X)[0], rtol=1e-12)
    gradients = [
        g for step in explanation.steps for g in (step.weights_gradient, step.bias_gradient) if g is not None
    ]  # fmt: skip
    kernels = {v.layer for v in network.plan.variables if v.name == "kernel"}
    _, gradient = network.loss_and_gradient(X, y, loss="mse")
    tensors = zip(network.unflatten(gradient), network.plan.variables, strict=True)
    expected = [g for g, variable in tensors if variable.layer in kernels]
    np.testing.assert_allclose(flat(gradients), flat(expected), rtol=1e-12)


def test_state_is_separate_from_the_weights_and_travels_with_the_network(tmp_path):
    network = make_network("both, twice")
    assert [s.name for s in network.plan.states] == ["moving_mean", "moving_variance"] * 2
    assert network.state.shape == (2 * 17 + 2 * 35,)
    assert sum(w.size for w in network.get_weights()) == network.n_parameters
    network.save(tmp_path / "network.safetensors")
    X, _ = make_data(5)
    for copy in (pickle.loads(pickle.dumps(network)), fastnn.Network.load(tmp_path / "network.safetensors")):
        np.testing.assert_array_equal(copy.state, network.state)
        np.testing.assert_array_equal(copy.predict(X), network.predict(X))


def test_state_starts_at_mean_0_and_variance_1():
    network = fastnn.Network([fastnn.Input(2), fastnn.BatchNormalization()])
    assert network.state.tolist() == [0, 0, 1, 1]
    assert network.parameters.tolist() == [1, 1, 0, 0]


def test_inference_leaves_the_state_alone():
    network, (X, y) = make_network("batch"), make_data(40)
    before = network.state.copy()
    network.predict(X)
    network.loss_and_gradient(X, y, loss="mse")
    fastnn.Trainer(network, loss="mse").evaluate(X, y)
    np.testing.assert_array_equal(network.state, before)


def test_a_diverged_step_leaves_the_state_alone():
    network, (X, y) = make_network("batch"), make_data(40)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-3))
    trainer.fit(X, y, batch_size=20)
    before, state = network.parameters.copy(), network.state.copy()
    network.get_weights()[-1][:] = np.inf
    with pytest.raises(FloatingPointError):
        trainer.fit(X, y, batch_size=20)
    assert np.isfinite(state).all()
    network.get_weights()[-1][:] = 0.0
    np.testing.assert_array_equal(network.state, state)
    assert network.parameters.shape == before.shape


def test_the_best_epoch_is_restored_with_its_statistics():
    network, (X, y) = make_network("batch"), make_data(64)
    states, losses = [], []

    class Look(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            states.append(self.trainer.network.state.copy())
            losses.append(logs["val_loss"])

    stop = fastnn.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.3))
    trainer.fit(X, y, epochs=60, validation_data=make_data(40), callbacks=[Look(), stop])
    best = int(np.argmin(losses))
    assert best < len(losses) - 1  # or the test would say nothing
    np.testing.assert_array_equal(network.state, states[best])


def test_decay_leaves_normalisation_alone():
    """AdamW and Lion decay kernels only."""
    network, (X, y) = make_network("both, twice"), make_data(40)
    network.parameters[:] = 1.0
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.AdamW(1e-300, weight_decay=1e299))
    trainer.fit(X, y, batch_size=None)
    for variable, values in zip(network.plan.variables, network.get_weights(), strict=True):
        np.testing.assert_allclose(values, 0.9 if variable.name == "kernel" else 1.0)


@pytest.mark.parametrize(
    ("n", "batch_size", "which"),
    [(1, 32, "every batch"), (10, 1, "every batch"), (1, None, "every batch"), (33, 32, "the last batch"),
     (9, 4, "the last batch")],
)  # fmt: skip
def test_a_batch_of_one_row_is_refused_before_training(n, batch_size, which):
    network, (X, y) = make_network("batch"), make_data(n)
    before = network.parameter_buffer.copy()
    with pytest.raises(ValueError, match=f"batch_size={batch_size} with {n} training samples leaves {which} with one"):
        fastnn.Trainer(network, loss="mse").fit(X, y, batch_size=batch_size)
    np.testing.assert_array_equal(network.parameter_buffer, before)
    fastnn.Trainer(make_network("layer"), loss="mse").fit(X, y, batch_size=batch_size)  # needs no batch
    network.predict(X[:1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.LayerNormalization(0.0), r"epsilon must be a number in \(0, inf\), got 0"),
        (lambda: fastnn.BatchNormalization(1.0), r"momentum must be a number in \[0, 1\), got 1"),
        (lambda: fastnn.BatchNormalization(epsilon=-1.0), r"epsilon must be a number in \(0, inf\), got -1"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("cls", [fastnn.LayerNormalization, fastnn.BatchNormalization])
def test_flags_are_booleans(cls):
    with pytest.raises(TypeError, match="scale must be True or False, got 1"):
        cls(scale=1)


@pytest.mark.parametrize("middle", MIDDLES)
def test_config_and_repr(middle):
    for layer in MIDDLES[middle]:
        assert fastnn.layers.from_config(layer.config) == layer
        assert type(layer).__name__ in repr(layer)


def test_an_objective_takes_parameters_beside_the_running_statistics():
    network, (X, y) = make_network("batch"), make_data(40)
    objective = fastnn.Objective(network, X, y, loss="mse")
    expected = network.loss_and_gradient(X, y, loss="mse")
    loss, gradient = objective(network.parameters.copy())
    assert loss == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])
