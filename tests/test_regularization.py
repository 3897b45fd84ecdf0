"""Clipping, max-norm and averaging of weights: each against its oracle, alone and on several threads."""

import numpy as np
import pytest

import fastnn
import reference as ref

X = np.random.default_rng(0).normal(size=(100, 3))
Y = 5 * np.random.default_rng(1).normal(size=(100, 2))


def make_network(dtype="float64", **options):
    layers = [fastnn.Input(3), fastnn.Dense(21, "tanh", **options), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=3)
    network.parameters[:] = np.random.default_rng(4).normal(size=network.n_parameters)
    return network


def oracle_gradients(weights):
    W1, b1, W2, b2 = weights
    return ref.loss_and_gradient([ref.Dense(W1, b1), ref.Activation("tanh"), ref.Dense(W2, b2)], X, Y, "mse")[1]


def train(network, optimizer, n_steps=10, n_threads=1):
    trainer = fastnn.Trainer(network, loss="mse", optimizer=optimizer)
    trainer.fit(X, Y, epochs=n_steps, batch_size=None, n_threads=n_threads)
    return trainer


def assert_weights(network, expected, tolerance=1e-11):
    for ours, theirs in zip(network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


CLIPS = {
    "clipvalue": (0.3, lambda gradients: [ref.clip_by_value(g, 0.3) for g in gradients]),
    "clipnorm": (0.7, lambda gradients: [ref.clip_by_norm(g, 0.7) for g in gradients]),
    "global_clipnorm": (0.9, lambda gradients: ref.clip_by_global_norm(gradients, 0.9)),
    "nothing to clip by value": (1e3, lambda gradients: gradients),
    "nothing to clip by norm": (1e3, lambda gradients: gradients),
    "nothing to clip globally": (1e3, lambda gradients: gradients),
}
ARGUMENTS = dict(zip(list(CLIPS)[3:], list(CLIPS)[:3], strict=True))


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("name", CLIPS)
def test_clipped_steps_follow_the_oracle(name, n_threads):
    limit, clip = CLIPS[name]
    network = make_network()
    weights = [w.copy() for w in network.get_weights()]
    for _ in range(10):
        weights = [w - 0.05 * g for w, g in zip(weights, clip(oracle_gradients(weights)), strict=True)]
    train(network, fastnn.SGD(0.05, **{ARGUMENTS.get(name, name): limit}), n_threads=n_threads)
    assert_weights(network, weights)


def test_clipping_stands_between_gradient_and_moments():
    network = make_network()
    optimizers = [ref.Adam(0.05) for _ in range(4)]
    weights = [w.copy() for w in network.get_weights()]
    for _ in range(10):
        gradients = ref.clip_by_global_norm(oracle_gradients(weights), 0.9)
        weights = [o.step(w, g) for o, w, g in zip(optimizers, weights, gradients, strict=True)]
    train(network, fastnn.Adam(0.05, global_clipnorm=0.9))
    assert_weights(network, weights, 1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_max_norm_follows_the_oracle(dtype, n_threads):
    network = make_network(dtype, kernel_constraint=fastnn.MaxNorm(1.5))
    weights = [w.astype(float) for w in network.get_weights()]
    for _ in range(10):
        weights = [w - 0.05 * g for w, g in zip(weights, oracle_gradients(weights), strict=True)]
        weights[0] = ref.max_norm(weights[0], 1.5)
    train(network, fastnn.SGD(0.05), n_threads=n_threads)
    assert_weights(network, weights, 1e-11 if dtype == "float64" else 1e-4)
    norms = np.linalg.norm(network.get_weights()[0], axis=0)
    assert norms.max() == pytest.approx(1.5, rel=1e-6)
    assert norms.min() < 1.4  # a column within the limit is left alone


# -- averages ---------------------------------------------------------------------------------------------------------


def oracle_average(n_steps, momentum=0.8, limit=1e9):
    network = make_network()
    weights, averages = [w.copy() for w in network.get_weights()], [None] * 4
    for _ in range(n_steps):
        weights = [w - 0.05 * g for w, g in zip(weights, oracle_gradients(weights), strict=True)]
        weights[0] = ref.max_norm(weights[0], limit)
        averages = [ref.ema(a, w, momentum) for a, w in zip(averages, weights, strict=True)]
    return weights, averages


AVERAGED = {"use_ema": True, "ema_momentum": 0.8}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_average_follows_the_oracle_and_is_what_the_network_holds_after_fit(n_threads):
    network = make_network(kernel_constraint=fastnn.MaxNorm(1.5))
    trainer = train(network, fastnn.SGD(0.05, **AVERAGED), n_threads=n_threads)
    weights, averages = oracle_average(10, limit=1.5)
    assert_weights(network, averages)
    for ours, theirs in zip(network.unflatten(trainer.average[:128]), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_training_goes_on_with_the_parameters_not_the_average():
    network = make_network()
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.05, **AVERAGED))
    for _ in range(5):
        trainer.fit(X, Y, epochs=2, batch_size=None)
    assert_weights(network, oracle_average(10)[1])


def test_validation_and_callbacks_see_the_average():
    seen = []

    class Look(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            network = self.trainer.network
            assert_weights(network, oracle_average(epoch + 1)[1])
            seen.append((logs["val_loss"], network.loss_and_gradient(X, Y, loss="mse")[0]))

    trainer = fastnn.Trainer(make_network(), loss="mse", optimizer=fastnn.SGD(0.05, **AVERAGED))
    trainer.fit(X, Y, epochs=3, batch_size=None, validation_data=(X, Y), callbacks=[Look()])
    assert len(seen) == 3
    for reported, computed in seen:
        assert reported == pytest.approx(computed, rel=1e-12)


def test_a_failed_epoch_gives_the_last_average_back():
    network = make_network()
    trainer = train(network, fastnn.SGD(0.05, **AVERAGED), n_steps=4)
    trainer.learning_rate = 1e200
    with pytest.raises(FloatingPointError):
        trainer.fit(X, Y, epochs=5, batch_size=10)
    assert trainer.step == 4
    assert_weights(network, oracle_average(4)[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.MaxNorm(0.0), r"max_value must be a number in \(0, inf\), got 0"),
        (lambda: fastnn.Dense(1, kernel_constraint={"limit": 1}), "a key of kernel_constraint must be one of 'max_v"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_number_is_no_constraint():
    with pytest.raises(TypeError, match=r"kernel_constraint must be fastnn.MaxNorm\(max_value\) or None, got 2.0"):
        fastnn.Dense(1, kernel_constraint=2.0)


def test_config_holds_the_constraint():
    layer = fastnn.Dense(4, "tanh", kernel_constraint=fastnn.MaxNorm(3.0))
    assert fastnn.layers.from_config(layer.config) == layer


def test_a_schedule_and_an_average_resume_where_they_stopped():
    """state_dict keeps the schedule a schedule, and knows that the network holds the average."""
    optimizer = fastnn.Adam(fastnn.schedules.CosineDecay(0.05, decay_steps=8), **AVERAGED)
    uncut = train(make_network(), optimizer)
    first = train(make_network(), optimizer, n_steps=4)
    resumed = fastnn.Trainer(make_network(), loss="mse", optimizer=optimizer)
    resumed.network.parameters[:] = first.network.parameters
    resumed.load_state_dict(first.state_dict())
    resumed.fit(X, Y, epochs=6, batch_size=None, n_threads=1)
    np.testing.assert_array_equal(resumed.network.parameters, uncut.network.parameters)
    assert resumed.history.learning_rate == uncut.history.learning_rate
