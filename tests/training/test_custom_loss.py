"""Losses written in Python: the same numbers as the kernels' own, weighted, split, resumed and threaded alike."""

import numpy as np
import pytest

import fastnn
from fastnn.losses import PythonLoss, Scaled

N = 70
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
CLASSES = RNG.integers(0, 3, N)
WEIGHTS = RNG.uniform(0.2, 3, N)


def mse(y, predictions):
    error = predictions - y
    return (error**2).mean(axis=1), 2 * error / error.shape[1]


def crossentropy(y, predictions):
    """Of class numbers."""
    p = predictions.astype(np.float64)
    rows = np.arange(len(y))
    gradient = np.zeros_like(p)
    gradient[rows, y] = -1 / p[rows, y]
    return -np.log(p[rows, y]), gradient


TASKS = {
    "regression": (mse, "mse", "linear", RNG.normal(size=(N, 3)), ["mse", "mae", "r2"]),
    "classes": (crossentropy, "categorical_crossentropy", "softmax", CLASSES, ["accuracy", "mse", "f1"]),
}
mse.__name__, crossentropy.__name__ = "my_mse", "my_crossentropy"


def pair(task, dtype="float64", **options):
    """The same trainer with the loss in Python and in the kernels."""
    own, fast, output, y, metrics = TASKS[task]
    trainers = []
    for loss in (own, fast):
        network = fastnn.Network(
            [
                fastnn.Input(4), fastnn.Dense(9, "gelu", kernel_regularizer=fastnn.L2(1e-3)), fastnn.Dropout(0.3),
                fastnn.Dense(3, output),
            ],
            dtype=dtype, seed=0,
        )  # fmt: skip
        trainers.append(fastnn.Trainer(network, loss=loss, metrics=metrics, **options))
    return *trainers, y


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": None, "shuffle": False},
        {"sample_weight": WEIGHTS},
        {"validation_split": 0.3, "class_weight": None},
        {"batch_size": 1},
        {"n_threads": 2, "batch_size": 64},
    ],
    ids=str,
)
def test_the_slow_and_the_fast_path_give_the_same_numbers(task, options):
    slow, fast, y = pair(task)
    a = slow.fit(X, y, epochs=3, **options).history
    b = fast.fit(X, y, epochs=3, **options).history
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(slow.network.parameters, fast.network.parameters, rtol=1e-9, atol=1e-12)
    assert slow.evaluate(X, y) == pytest.approx(fast.evaluate(X, y), rel=1e-9)
    assert slow.step == fast.step


@pytest.mark.parametrize("task", TASKS)
def test_float32(task):
    slow, fast, y = pair(task, "float32")
    a, b = (trainer.fit(X, y, epochs=3).history for trainer in (slow, fast))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("as_view", [False, True])
@pytest.mark.parametrize("n_rows", [5, N, 300])
def test_loss_and_gradient(n_rows, as_view):
    x = np.resize(X, (n_rows, 4))
    y = RNG.normal(size=(n_rows, 3))
    weight = RNG.uniform(0.5, 2, n_rows)
    if as_view:
        x = np.asfortranarray(x)
    slow, fast, _ = pair("regression")
    value, gradient = slow.network.loss_and_gradient(x, y, loss=mse, sample_weight=weight)
    expected, expected_gradient = fast.network.loss_and_gradient(x, y, loss="mse", sample_weight=weight)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-9, atol=1e-14)


def test_class_weights_reach_it():
    slow, fast, y = pair("classes")
    options = {"epochs": 2, "class_weight": {0: 0.5, 2: 3.0}, "validation_split": 0.2}
    a, b = (trainer.fit(X, y, **options).history for trainer in (slow, fast))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-9, err_msg=name)


def test_a_run_cut_in_two():
    uncut, _, y = pair("regression")
    first, other, _ = pair("regression")
    uncut.fit(X, y, epochs=5)
    first.fit(X, y, epochs=2)
    other = fastnn.Trainer(first.network, loss=mse, metrics=["mse", "mae", "r2"])
    other.load_state_dict(first.state_dict())
    other.fit(X, y, epochs=3)
    np.testing.assert_array_equal(other.network.parameters, uncut.network.parameters)
    assert other.history.history == uncut.history.history


def test_batch_hooks():
    slow, fast, y = pair("regression")
    losses = [], []
    for trainer, kept in zip((slow, fast), losses, strict=True):
        hook = fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, k=kept: k.append(logs["loss"]))
        trainer.fit(X, y, epochs=2, callbacks=[hook])
    np.testing.assert_allclose(*losses, rtol=1e-9)


def test_targets_are_the_functions_own_business():
    """A pinball loss with two quantiles of one target, and a column that says which rows count."""

    def pinball(y, predictions):
        error = y[:, :1] - predictions
        quantile = np.array([0.1, 0.9])
        counts = y[:, 1:]
        values = np.maximum(quantile * error, (quantile - 1) * error)
        return (values * counts).sum(axis=1), np.where(error > 0, -quantile, 1 - quantile) * counts

    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 1))
    y = np.column_stack([rng.normal(size=2000), np.ones(2000)])
    y[::5] = [1e6, 0]
    fastnn.check_gradient(pinball, y[:6], rng.normal(size=(6, 2)))
    network = fastnn.Network.mlp(1, [], 2, seed=0)
    fastnn.Trainer(network, loss=pinball, optimizer=fastnn.Adam(0.02)).fit(x, y, epochs=30, seed=0)
    low, high = network.predict(np.zeros((1, 1)))[0]
    assert low == pytest.approx(-1.28, abs=0.15)
    assert high == pytest.approx(1.28, abs=0.15)


def test_divergence_ends_training_and_keeps_the_last_good_epoch():
    calls = []

    def breaks(y, predictions):
        calls.append(1)
        values, gradient = mse(y, predictions)
        return (values, gradient) if len(calls) < 5 else (values, gradient * np.inf)

    trainer = fastnn.Trainer(fastnn.Network.mlp(4, [], 3, seed=0), loss=breaks)
    kept = []
    keep = fastnn.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(trainer.network.parameters.copy())
    )
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(FloatingPointError, match="the loss stopped being finite in epoch 1, step 4"),
    ):
        trainer.fit(X, TASKS["regression"][3], epochs=9, callbacks=[keep])
    np.testing.assert_array_equal(trainer.network.parameters, kept[0])


def test_an_error_in_the_function_loses_nothing():
    calls = []

    def fails(y, predictions):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("mine")
        return mse(y, predictions)

    slow, _, y = pair("regression")
    trainer = fastnn.Trainer(slow.network, loss=fails, metrics=["mse", "mae", "r2"])
    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(X, y, epochs=9)
    assert (trainer.step, trainer.history.epoch) == (4, [0])
    same, _, _ = pair("regression")
    same.fit(X, y, epochs=1)
    trainer.fit(X, y)


# --- what is wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda y, p: p, TypeError, r"loss '<lambda>' must return \(values, gradient\), got ndarray"),
        (lambda y, p: (p, p), ValueError, r"must return values of shape \(32,\), got \(32, 3\)"),
        (lambda y, p: (p[:, 0], p[:, 0]), ValueError, r"must return a gradient of shape \(32, 3\), got \(32,\)"),
    ],
)
def test_wrong_functions(function, error, message):
    trainer = fastnn.Trainer(fastnn.Network.mlp(4, [], 3, seed=0), loss=function)
    with pytest.raises(error, match=message):
        trainer.fit(X, TASKS["regression"][3])


def test_wrong_arguments():
    with pytest.raises(TypeError, match="function must be callable, got 3"):
        PythonLoss(3)
    mae = lambda y, p: p  # noqa: E731
    mae.__name__ = "mae"
    assert PythonLoss(mae).name == "own_mae"
    with pytest.raises(ValueError, match="name must not be that of another loss, got 'mse'"):
        PythonLoss(mse, "mse")
    with pytest.raises(TypeError, match="loss must not be a function of yours"):
        Scaled(mse, 2.0)
    with pytest.raises(ValueError, match="loss must have a name that fastnn knows to be saved, got 'my_mse'"):
        fastnn.Trainer(fastnn.Network.mlp(4, [], 3), loss=mse).save("x")
    with pytest.raises(ValueError, match="loss must be one of fastnn's own to be explained"):
        fastnn.Network.mlp(4, [], 3).explain(X[0], [1, 2, 3], loss=mse)
    wide = PythonLoss(lambda y, p: (p[:, 0], np.ones_like(p)))
    trainer = fastnn.Trainer(fastnn.Network.mlp(4, [], 1), loss=wide, metrics=["mae"])
    with pytest.raises(ValueError, match=r"metrics of running sums need targets of shape \(n, 1\), got \(32, 3\)"):
        trainer.fit(X, TASKS["regression"][3])


# --- check_gradient -------------------------------------------------------------------------------------------------


def test_check_gradient_of_right_ones():
    assert fastnn.check_gradient(mse, RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))) < 1e-8
    assert fastnn.check_gradient(crossentropy, CLASSES[:5], RNG.dirichlet([1, 1, 1], 5)) < 1e-5


@pytest.mark.parametrize("factor, offset", [(1.01, 0), (1, 1e-3), (-1, 0), (np.nan, 0)])
def test_check_gradient_finds_wrong_ones(factor, offset):
    def wrong(y, predictions):
        values, gradient = mse(y, predictions)
        gradient = gradient.copy()
        gradient[2, 1] = gradient[2, 1] * factor + offset
        return values, gradient

    with pytest.raises(
        ValueError, match="the gradient of loss 'wrong' at sample 2, output 1 must be 2 by central differences, got"
    ):
        fastnn.check_gradient(wrong, np.zeros((3, 3)), np.full((3, 3), 3.0))


def test_check_gradient_arguments():
    with pytest.raises(TypeError, match="loss must be a function of yours, got 'mse'"):
        fastnn.check_gradient("mse", [1], [[1.0]])
    with pytest.raises(ValueError, match=r"predictions must have shape \(n, n_outputs\), got \(3,\)"):
        fastnn.check_gradient(mse, [1], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"step must be a number in \(0, inf\), got 0"):
        fastnn.check_gradient(mse, [[1]], [[1.0]], step=0)
