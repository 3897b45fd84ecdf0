"""Clipping, max-norm, averages, noise, label smoothing and mixup: each against its oracle, however a batch is cut."""

import numpy as np
import pytest
import scipy.stats

import fastnn
import reference as ref
from fastnn.kernels.random import mix, normal, symmetric_beta
from fastnn.kernels.simd import lanes, store
from support import flat, rng, test_kernel

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


# -- noise ------------------------------------------------------------------------------------------------------------


def noisy(stddev=0.5, dtype="float64"):
    """A network that returns its input, noisy in training, so that its training loss is the mean squared noise."""
    layers = [fastnn.Input(1), fastnn.GaussianNoise(stddev), fastnn.Dense(1, use_bias=False)]
    network = fastnn.Network(layers, dtype=dtype, seed=7)
    network.parameters[:] = 1.0
    return network


def test_noise_has_its_standard_deviation_in_training_and_is_absent_outside(dtype):
    x = rng(0).normal(size=(20_000, 1)).astype(dtype)
    network = noisy(0.5, dtype)
    history = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-30)).fit(x, x, batch_size=500)
    assert history.history["loss"][0] == pytest.approx(0.25, rel=0.04)  # 4 standard errors
    np.testing.assert_array_equal(network.predict(x), x)
    assert fastnn.Trainer(network, loss="mse").evaluate(x, x)["loss"] == 0


def test_noise_is_the_same_however_a_batch_is_cut_and_new_in_every_step():
    x = rng(0).normal(size=(300, 1))
    losses = []
    for n_threads in (1, 3):
        trainer = fastnn.Trainer(noisy(), loss="mse", optimizer=fastnn.SGD(1e-300))
        history = trainer.fit(x, x, epochs=3, batch_size=None, shuffle=False, n_threads=n_threads, seed=3)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-13)
    assert len(set(losses[0])) == 3


def test_gradient_under_noise_follows_the_oracle():
    """W = 0 but for the bias: the gradient of W shows the noise itself, with which the oracle must agree."""
    layers = [fastnn.Input(2), fastnn.Dense(3, "tanh"), fastnn.GaussianNoise(0.3), fastnn.Dense(1)]
    x, y = rng(0).normal(size=(40, 2)), rng(1).normal(size=(40, 1))
    noise = np.empty((40, 3))
    for unit in range(3):  # found with a last layer that passes one unit, and targets that are 0 but for one row
        network = fastnn.Network(layers, dtype="float64", seed=0)
        W1, b1, W2, b2 = network.get_weights()
        W2[:], b2[:] = np.eye(3)[:, [unit]], 0.0
        clean = ref.forward([ref.Dense(W1, b1), ref.Activation("tanh")], x)[:, [unit]]
        for row in range(40):
            network = fastnn.Network(layers, dtype="float64", seed=0)
            network.get_weights()[2][:] = np.eye(3)[:, [unit]]
            trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0))
            weights = (np.arange(40) == row).astype(float)
            trainer.fit(x, clean, batch_size=None, shuffle=False, sample_weight=weights, seed=3, n_threads=1)
            noise[row, unit] = -(network.get_weights()[3][0]) / 2  # the bias's gradient is 2 * noise
    network = fastnn.Network(layers, dtype="float64", seed=0)
    W1, b1, W2, b2 = (w.copy() for w in network.get_weights())
    oracle = [ref.Dense(W1, b1), ref.Activation("tanh"), ref.GaussianNoise(noise), ref.Dense(W2, b2)]
    _, gradients = ref.loss_and_gradient(oracle, x, y, "mse", training=True)
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0))
    trainer.fit(x, y, batch_size=None, shuffle=False, seed=3, n_threads=1)
    np.testing.assert_allclose(before - network.parameters, flat(gradients), rtol=1e-9, atol=1e-11)


@test_kernel
def normals(example, key, n):
    """n vectors of the kernel's normal numbers."""
    width = lanes(example)
    out = np.empty(n * width, example.dtype)
    for i in range(n):
        store(out, i * width, normal(example, mix(np.uint64(key), i // 8), i * width))
    return out


def test_normal_numbers_are_normal(dtype):
    drawn = normals(np.empty(1, dtype), 5, 4000).astype(float)
    assert scipy.stats.kstest(drawn, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02


# -- label smoothing --------------------------------------------------------------------------------------------------


SMOOTHED = [
    ("softmax", 4, fastnn.losses.CategoricalCrossentropy, "categorical_crossentropy"),
    ("sigmoid", 1, fastnn.losses.LogLoss, "log_loss"),
    ("sigmoid", 3, fastnn.losses.LogLoss, "log_loss"),
]


@pytest.mark.parametrize("as_labels", [True, False])
@pytest.mark.parametrize(("output", "n_outputs", "cls", "name"), SMOOTHED)
def test_smoothed_loss_is_the_oracle_s_everywhere(output, n_outputs, cls, name, as_labels):
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(n_outputs, output)], dtype="float64", seed=0)
    y = rng(1).integers(0, 2, (100, 3)) if n_outputs == 3 else rng(1).integers(0, max(n_outputs, 2), 100)
    if name == "categorical_crossentropy" and not as_labels:
        y = np.eye(4)[y]
    loss = cls(label_smoothing=0.2)
    W, b = (w.copy() for w in network.get_weights())
    oracle = [ref.Dense(W, b), ref.Activation(output)]
    expected, gradients = ref.loss_and_gradient(oracle, X, y, name, label_smoothing=0.2)
    value, gradient = network.loss_and_gradient(X, y, loss=loss)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, flat(gradients), rtol=1e-10, atol=1e-12)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=fastnn.SGD(1.0), metrics=["accuracy"])
    assert trainer.evaluate(X, y)["loss"] == pytest.approx(expected, rel=1e-12)
    plain = fastnn.Trainer(network, loss=name, metrics=["accuracy"]).evaluate(X, y)
    assert trainer.evaluate(X, y)["accuracy"] == plain["accuracy"]
    before = network.parameters.copy()
    history = trainer.fit(X, y, batch_size=None)
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-12)]
    np.testing.assert_allclose(before - network.parameters, flat(gradients), rtol=1e-10, atol=1e-12)


def test_label_smoothing_by_hand():
    """Probabilities 0.7, 0.2, 0.1 of class 0; s = 0.3 makes the targets 0.8, 0.1, 0.1."""
    network = fastnn.Network([fastnn.Input(3), fastnn.Activation("softmax")], dtype="float64")
    loss = fastnn.losses.CategoricalCrossentropy(label_smoothing=0.3)
    value, _ = network.loss_and_gradient(np.log([[0.7, 0.2, 0.1]]), [0], loss=loss)
    assert value == pytest.approx(-0.8 * np.log(0.7) - 0.1 * np.log(0.2) - 0.1 * np.log(0.1), rel=1e-14)


def test_label_smoothing_config_and_errors():
    for cls in (fastnn.losses.CategoricalCrossentropy, fastnn.losses.LogLoss):
        loss = cls(label_smoothing=0.1)
        assert fastnn.losses.get(loss.config) == loss
        assert eval(repr(loss), vars(fastnn.losses)) == loss
        with pytest.raises(ValueError, match=r"label_smoothing must be a number in \[0, 1\), got 1"):
            cls(label_smoothing=1.0)


# -- mixup ------------------------------------------------------------------------------------------------------------


@test_kernel
def mixup_draws(seed, step, alpha, n):
    """The kernel's weight and, for each panel of 32 rows, its rotation."""
    key = mix(mix(mix(np.uint64(seed), step), 0x6D69787570), 1)
    shifts = np.zeros((n + 31) // 32, np.int64)
    for panel in range(shifts.size):
        count = min(32, n - 32 * panel)
        if count > 1:
            shifts[panel] = 1 + np.int64(mix(key, 32 * panel) % np.uint64(count - 1))
    return symmetric_beta(mix(mix(np.uint64(seed), step), 0x6D69787570), alpha), shifts


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(("n", "as_labels"), [(64, True), (100, False), (33, True), (300, True), (2, True)])
def test_a_step_with_mixup_follows_the_oracle(n, as_labels, n_threads):
    x, labels = rng(0).normal(size=(n, 3)), rng(1).integers(0, 4, n)
    onehot = np.eye(4)[labels]
    weight, shifts = mixup_draws(11, 0, 0.4, n)
    partner = np.concatenate([
        32 * panel + (np.arange(min(32, n - 32 * panel)) + shift) % min(32, n - 32 * panel)
        for panel, shift in enumerate(shifts)
    ])  # fmt: skip
    if n != 33:  # whose last panel is one row, its own partner
        assert (partner != np.arange(n)).all()
    mixed_x, mixed_y = ref.mixup(x, onehot, partner, weight)
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(4, "softmax")], dtype="float64", seed=0)
    oracle = [ref.Dense(*(w.copy() for w in network.get_weights())), ref.Activation("softmax")]
    expected, gradients = ref.loss_and_gradient(oracle, mixed_x, mixed_y, "categorical_crossentropy")
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(1.0), mixup=0.4)
    y = labels if as_labels else onehot
    history = trainer.fit(x, y, batch_size=None, shuffle=False, seed=11, n_threads=n_threads)
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-12)]
    np.testing.assert_allclose(before - network.parameters, flat(gradients), rtol=1e-10, atol=1e-12)


@test_kernel
def betas(alpha, n):
    return np.array([symmetric_beta(mix(np.uint64(9), i), alpha) for i in range(n)])


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 1.5, 8.0])
def test_weights_of_mixup_have_the_beta_distribution(alpha):
    drawn = betas(alpha, 4000)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert scipy.stats.kstest(drawn, scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_weights_of_mixup_are_numbers_for_a_tiny_alpha():
    """Powers of uniforms underflow there: half of the weights are 0, half 1, to rounding."""
    drawn = betas(1e-4, 4000)
    assert np.mean((drawn > 1e-6) & (drawn < 1 - 1e-6)) < 0.01
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_one_batch_of_all_rows_is_shuffled_for_mixup_only(mixup):
    """Its partners are neighbours: rows sorted by class would meet their own. Else the order is rounding only."""
    X, y = rng(0).normal(size=(90, 4)), np.repeat([0, 1, 2], 30)
    fitted = []
    for shuffle in (True, False):
        network = fastnn.Network.mlp(4, [8], 3, output="softmax", dtype="float64", seed=0)
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy", mixup=mixup)
        trainer.fit(X, y, epochs=3, batch_size=None, shuffle=shuffle, n_threads=1)
        fitted.append(flat(network.get_weights()))
    assert np.array_equal(*fitted) == (mixup == 0.0)


def test_mixup_leaves_evaluation_alone():
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(4, "softmax")], dtype="float64", seed=0)
    labels = rng(1).integers(0, 4, 100)
    mixed = fastnn.Trainer(network, loss="categorical_crossentropy", mixup=0.4)
    plain = fastnn.Trainer(network, loss="categorical_crossentropy")
    assert mixed.evaluate(X, labels) == plain.evaluate(X, labels)


def test_mixup_wants_classes_and_a_valid_alpha():
    network = fastnn.Network.mlp(3, [], 1, output="sigmoid")
    with pytest.raises(ValueError, match=r"mixup must be 0 unless the loss is .* got 0.2 with mse"):
        fastnn.Trainer(network, loss="mse", mixup=0.2)
    with pytest.raises(ValueError, match=r"mixup must be a number in \[0, inf\), got -1"):
        fastnn.Trainer(network, loss="log_loss", mixup=-1)
