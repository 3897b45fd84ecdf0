"""Parts that users write, compiled into the training kernel: the same numbers as fastnn's own, and clear errors."""

import copy
import pickle

import numba
import numpy as np
import pytest

import fastnn
from fastnn import activations, losses, optimizers
from support import rng


@numba.njit
def own_relu(x):
    return x if x > 0 else 0.0 * x


@numba.njit
def own_relu_slope(x, y):
    return 1.0 if x > 0 else 0.0


@numba.njit
def own_swish(x):
    return x / (1.0 + np.exp(-x))


@numba.njit
def own_swish_slope(x, y):
    s = 1.0 / (1.0 + np.exp(-x))
    return s + y * (1.0 - s)


@numba.njit
def own_mse(y, p):
    return (p - y) * (p - y)


@numba.njit
def own_mse_slope(y, p):
    return 2.0 * (p - y)


@numba.njit
def own_momentum(w, g, m, rate, t):
    m = 0.9 * m - rate * g
    return w + m, m


@numba.njit
def own_sgd(w, g, rate, t):
    return w - rate * g


@numba.njit
def own_adam(w, g, m, v, rate, t):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return w - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-7), m, v


RELU = activations.Compiled(own_relu, own_relu_slope)
SWISH = activations.Compiled(own_swish, own_swish_slope)
MSE = losses.Compiled(own_mse, own_mse_slope)
MOMENTUM = optimizers.Compiled(own_momentum, 1, learning_rate=0.05)
X, Y = rng(1).normal(size=(100, 6)), rng(2).normal(size=(100, 2))


def trained(activation, loss, optimizer, dtype="float64", **options):
    layers = [fastnn.Input(6), fastnn.Dense(9, activation), fastnn.Dense(7, activation), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=optimizer, metrics=["mae"])
    trainer.fit(X, Y, **{"epochs": 4, "batch_size": 24, **options})
    return trainer


@pytest.mark.parametrize("n_threads", [1, 2])
def test_they_train_to_the_same_numbers_as_the_built_in_ones(n_threads, dtype):
    """In the kernel, with threads and with whole epochs in one call."""
    own = trained(RELU, MSE, MOMENTUM, dtype, n_threads=n_threads, batch_size=70)
    # "auto" draws for relu as He has it; an activation of somebody's own is not known to be a rectifier.
    layers = [
        fastnn.Input(6),
        *(fastnn.Dense(u, "relu", kernel_initializer="glorot_uniform") for u in (9, 7)),
        fastnn.Dense(2),
    ]
    trainer = fastnn.Trainer(
        fastnn.Network(layers, dtype=dtype, seed=0),
        loss="mse",
        optimizer=fastnn.SGD(0.05, momentum=0.9),
        metrics=["mae"],
    )
    trainer.fit(X, Y, epochs=4, batch_size=70, n_threads=n_threads)
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(own.network.parameters, trainer.network.parameters, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(own.history.history["loss"], trainer.history.history["loss"], rtol=10 * tolerance)
    np.testing.assert_allclose(own.evaluate(X, Y)["loss"], trainer.evaluate(X, Y)["loss"], rtol=10 * tolerance)
    np.testing.assert_allclose(
        own.network.predict(X[:1]), trainer.network.predict(X[:1]), rtol=10 * tolerance, atol=1e-6
    )


def test_optimizers_without_moments_and_with_two():
    plain = trained("tanh", "mse", optimizers.Compiled(own_sgd, 0, learning_rate=0.1))
    np.testing.assert_allclose(
        plain.network.parameters, trained("tanh", "mse", fastnn.SGD(0.1)).network.parameters, rtol=1e-10
    )
    adam = trained("tanh", "mse", optimizers.Compiled(own_adam, 2, learning_rate=0.01))
    expected = trained("tanh", "mse", fastnn.Adam(0.01))
    np.testing.assert_allclose(adam.network.parameters, expected.network.parameters, rtol=1e-8, atol=1e-10)


def test_gradients_are_central_differences():
    network = fastnn.Network([fastnn.Input(6), fastnn.Dense(5, SWISH), fastnn.Dense(2, SWISH)], dtype="float64", seed=0)
    _, gradient = network.loss_and_gradient(X, Y, loss=MSE)
    start, h = network.parameters.copy(), 1e-6
    for i in range(0, start.size, 5):
        values = []
        for sign in (1, -1):
            network.parameters[:] = start
            network.parameters[i] += sign * h
            values.append(network.loss_and_gradient(X, Y, loss=MSE)[0])
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(gradient[i], rel=1e-5, abs=1e-7)
    assert fastnn.check_gradient(MSE, Y[:3], X[:3, :2]) < 1e-8


def test_a_frozen_layer_stays_as_it_is():
    """Though this step moves parameters without a gradient."""

    def shrink(w, g, rate, t):
        return 0.9 * w - rate * g

    layers = [fastnn.Input(6), fastnn.Dense(5, trainable=False), fastnn.Dense(2)]
    network = fastnn.Network(layers, seed=0)
    before = [w.copy() for w in network.get_weights()]
    fastnn.Trainer(network, loss="mse", optimizer=optimizers.Compiled(shrink, 0)).fit(X, Y)
    changed = [not np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
    assert changed == [False, False, True, True]


def test_rows_rates_schedules_and_explanations_know_them():
    network = fastnn.Network([fastnn.Input(6), fastnn.Dense(5, SWISH), fastnn.Dense(2)], seed=0)
    batch = network.predict(X.astype("float32"))
    np.testing.assert_allclose(network.predict(X[:1].astype("float32")), batch[:1], rtol=1e-5)
    predict, out = network.compile_predictor(), np.empty(2, "float32")
    predict(X[0], out)
    np.testing.assert_allclose(out, batch[0], rtol=1e-5)
    assert "own_swish" in str(network.explain(X[0], Y[0], loss="mse"))
    schedule = fastnn.schedules.ExponentialDecay(0.1, 10, 0.5)
    trainer = fastnn.Trainer(network, loss=MSE, optimizer=optimizers.Compiled(own_momentum, 1, learning_rate=schedule))
    trainer.fit(X, Y, epochs=2)
    assert trainer.learning_rate < 0.1


@pytest.mark.parametrize("part", [RELU, MSE, MOMENTUM], ids=repr)
def test_they_are_values_that_pickle_by_import_path(part):
    again = pickle.loads(pickle.dumps(part))
    assert again == part
    assert hash(again) == hash(part)
    assert copy.deepcopy(part) is part
    assert len(pickle.dumps(part)) < 1000  # names, no code


def test_what_cannot_be_imported_is_not_pickled():
    part = activations.Compiled(lambda x: x, lambda x, y: 1.0, name="local")
    with pytest.raises(TypeError, match="define them at the top of a module"):
        pickle.dumps(part)


def test_files_name_them_and_load_when_they_are_passed_in(tmp_path):
    trainer = trained(SWISH, MSE, MOMENTUM, epochs=1)
    trainer.save(tmp_path / "checkpoint")
    with pytest.raises(fastnn.FileFormatError, match="'own_swish' is a part of somebody's own: pass it as parts="):
        fastnn.Network.load(tmp_path / "checkpoint")
    network = fastnn.Network.load(tmp_path / "checkpoint", parts=[SWISH])
    np.testing.assert_array_equal(network.predict(X), trainer.network.predict(X))
    again = fastnn.Trainer.load(tmp_path / "checkpoint", parts=[SWISH, MSE, MOMENTUM])
    for each in (trainer, again):
        each.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(again.network.parameters, trainer.network.parameters)
    with pytest.raises(TypeError, match=r"parts\[0\] must be a part of your own"):
        fastnn.Network.load(tmp_path / "checkpoint", parts=[3])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: activations.Compiled(own_mse, own_relu_slope),
            TypeError,
            r"own_mse\(x\) must .* for 1 number of float64",
        ),
        (lambda: losses.Compiled(own_relu, own_mse_slope, name="a"), TypeError, r"for 2 numbers of float64 [^\x1b]*$"),
        (lambda: activations.Compiled(lambda x: x * 1j, own_relu_slope, "own"), TypeError, "it returns complex128"),
        (lambda: activations.Compiled(3, own_relu_slope), TypeError, "must be a function, got 3"),
        (lambda: activations.Compiled(own_relu, own_relu_slope, name="relu"), ValueError, "not be that of another"),
        (lambda: activations.Compiled(lambda x: x.nothing, own_relu_slope, name="a"), TypeError, "must compile"),
        (lambda: losses.Compiled(own_mse, own_mse_slope, name="a b"), TypeError, "could be a variable's name"),
        (lambda: optimizers.Compiled(own_sgd, 1), TypeError, r"own_sgd\(w, g, m, rate, t\) .* return w, m"),
        (lambda: optimizers.Compiled(lambda w, g, m, rate, t: w, 1, name="a"), TypeError, "it returns float64"),
        (lambda: optimizers.Compiled(own_sgd, 4), ValueError, "n_slots must be an integer from 0 to 3"),
        (lambda: optimizers.Compiled(own_sgd, 0, name="adam"), ValueError, "not be that of another"),
    ],
)
def test_errors_are_one_clear_sentence(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert len(str(caught.value)) < 400
