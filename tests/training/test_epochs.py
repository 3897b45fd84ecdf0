"""A kernel call that goes on with the next epochs by itself does what calls of one epoch each do."""

import math

import numpy as np
import pytest
import scipy.sparse

import fastnn
from fastnn.engine import workspace as engine
from fastnn.training import loop

N, EPOCHS = 150, 7
generator = np.random.default_rng(3)
X = generator.standard_normal((N, 6)).astype(np.float32)
Y = generator.integers(0, 3, N)
WEIGHTS = generator.uniform(0, 2, N)
LOOK = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)  # then each epoch has a call of its own


def make_trainer(*, optimizer="adam", dtype="float32", mixup=0.0, layers=(), metrics=("accuracy",), seed=1):
    network = fastnn.Network(
        [fastnn.Input(6), fastnn.Dense(40, activation="relu"), *layers, fastnn.Dense(3, activation="softmax")],
        dtype=dtype, seed=seed,
    )  # fmt: skip
    trainer = fastnn.Trainer(
        network, loss="categorical_crossentropy", optimizer=optimizer, metrics=metrics, mixup=mixup
    )
    trainer.set_seed(5)
    return trainer


def count_calls(monkeypatch):
    """A list that gets the steps asked for by each kernel call."""
    calls = []
    original = engine.Workspace.run

    def run(self, n_steps, *arguments):
        calls.append(n_steps)
        original(self, n_steps, *arguments)

    monkeypatch.setattr(engine.Workspace, "run", run)
    return calls


def assert_same(one, other):
    np.testing.assert_array_equal(one.network.parameter_buffer, other.network.parameter_buffer)
    np.testing.assert_array_equal(one.moments, other.moments)
    assert one.history.history == other.history.history
    assert one.history.epoch == other.history.epoch
    assert one.history.learning_rate == other.history.learning_rate
    assert (one.step, one.epochs_done) == (other.step, other.epochs_done)


@pytest.mark.parametrize(
    ("made", "options"),
    [
        ({}, {}),
        ({"metrics": ()}, {"batch_size": 1}),
        ({"dtype": "float64"}, {"n_threads": 2, "batch_size": 64}),
        ({}, {"shuffle": False, "n_threads": 3, "batch_size": 100}),
        ({}, {"batch_size": None}),
        ({"mixup": 0.3}, {"batch_size": None}),
        ({"layers": (fastnn.Dropout(0.3), fastnn.BatchNormalization())}, {"n_threads": 2, "batch_size": 70}),
        ({"optimizer": fastnn.SGD(fastnn.schedules.CosineDecay(0.1, 20), momentum=0.9)}, {"sample_weight": WEIGHTS}),
        ({"optimizer": fastnn.Adam(0.01, global_clipnorm=0.1)}, {"class_weight": {0: 2.0}}),
        (
            {"layers": (fastnn.Dense(8, kernel_regularizer=0.01, kernel_constraint=fastnn.constraints.MaxNorm(1.0)),)},
            {"n_threads": 2},
        ),
    ],
    ids=lambda value: "-".join(value) or "plain",
)
def test_the_bits_are_those_of_single_epochs(monkeypatch, made, options):
    trainer, single = make_trainer(**made), make_trainer(**made)
    calls = count_calls(monkeypatch)
    trainer._state.steps_a_call = 10_000
    trainer.fit(X, Y, epochs=EPOCHS, **options)
    assert len(calls) == 1
    single.fit(X, Y, epochs=EPOCHS, callbacks=[LOOK], **options)
    assert len(calls) > EPOCHS
    assert_same(trainer, single)
    # Both go on alike, and so they do with calls that end within epochs.
    trainer._state.steps_a_call = 3
    monkeypatch.setattr(loop, "CALL_SECONDS", 0.0)
    trainer.fit(X, Y, epochs=3, **options)
    single.fit(X, Y, epochs=3, callbacks=[LOOK], **options)
    assert_same(trainer, single)


def test_sparse_rows():
    trainer, single = make_trainer(), make_trainer()
    rows = scipy.sparse.csr_matrix(X * (X > 0))
    trainer.fit(rows, Y, epochs=EPOCHS)
    single.fit(rows, Y, epochs=EPOCHS, callbacks=[LOOK])
    assert_same(trainer, single)


def test_more_epochs_than_a_call_may_end(monkeypatch):
    monkeypatch.setattr(loop, "_MOST_FUSED", 2)
    calls = count_calls(monkeypatch)
    trainer, single = make_trainer(), make_trainer()
    trainer._state.steps_a_call = 10_000
    trainer.fit(X, Y, epochs=EPOCHS)
    assert len(calls) == 3
    single.fit(X, Y, epochs=EPOCHS, callbacks=[LOOK])
    assert_same(trainer, single)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_data": (X, Y)},
        {"validation_split": 0.2},
        {"callbacks": [fastnn.callbacks.LambdaCallback(on_epoch_begin=lambda epoch: None)]},
        {"callbacks": [fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)]},
        {"callbacks": [fastnn.callbacks.EarlyStopping(monitor="loss")]},
        {"verbose": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_who_looks_at_single_epochs_gets_them(monkeypatch, options):
    calls = count_calls(monkeypatch)
    trainer = make_trainer()
    trainer._state.steps_a_call = 10_000
    trainer.fit(X, Y, epochs=3, **options)
    assert len(calls) >= 3


def test_a_hook_that_is_added_when_training_begins_is_called_each_epoch():
    class Late(fastnn.Callback):
        def on_train_begin(self):
            self.epochs = []
            self.on_epoch_end = lambda epoch, logs: self.epochs.append(epoch)

    late, trainer = Late(), make_trainer()
    trainer._state.steps_a_call = 10_000
    trainer.fit(X, Y, epochs=3, callbacks=[late])
    assert late.epochs == [0, 1, 2]


@pytest.mark.parametrize("made", [{"optimizer": fastnn.SGD(0.1, use_ema=True)}, {"metrics": ["f1"]}])
def test_what_python_does_between_epochs_is_done(monkeypatch, made):
    calls = count_calls(monkeypatch)
    trainer = make_trainer(**made)
    trainer._state.steps_a_call = 10_000
    trainer.fit(X, Y, epochs=3)
    assert len(calls) >= 3


def test_seconds_and_rates_of_epochs_in_one_call():
    schedule = fastnn.schedules.StepDecay(0.1, drop=0.5, every=10)
    trainer = make_trainer(optimizer=fastnn.SGD(schedule))
    trainer._state.steps_a_call = 10_000
    history = trainer.fit(X, Y, epochs=EPOCHS)
    steps = math.ceil(N / 32)
    assert history.learning_rate == [schedule((epoch + 1) * steps) for epoch in range(EPOCHS)]
    assert len(history.seconds) == EPOCHS
    assert min(history.seconds) > 0


def assert_same_divergence(make, x, y, match, **options):
    def run(**more):
        trainer = make()
        trainer._state.steps_a_call = 10_000
        with pytest.raises(FloatingPointError, match=match) as caught:
            trainer.fit(x, y, epochs=200, seed=4, **options, **more)
        return trainer, str(caught.value)

    (trainer, message), (single, expected) = run(), run(callbacks=[LOOK])
    assert message == expected
    assert trainer.history.stop_reason == single.history.stop_reason
    assert np.isfinite(trainer.network.parameters).all()
    assert_same(trainer, single)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    ("rate", "batch_size", "epoch"), [(1.0, 50, 1), (3.0, None, 3), (1e4, None, 2), (1e12, 50, 0), (1e12, None, 1)]
)
def test_a_loss_that_is_not_finite_ends_the_same_epoch(rate, batch_size, epoch, n_threads):
    def make():
        network = fastnn.Network.mlp(6, [12], 1, activation="linear", seed=2)
        return fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(rate))

    match = f"the loss stopped being finite in epoch {epoch}, "
    assert_same_divergence(make, X, Y[:, None], match, batch_size=batch_size, n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_parameters_that_overflow_end_the_same_epoch(n_threads):
    """The best weight, 1e39, is no float32, but all losses on the way to it are."""

    def make():
        network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)], seed=2)
        return fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(3e38))

    x, y = np.full((N, 1), 3e-21, np.float32), np.full((N, 1), 3e18, np.float32)
    match = "the parameters stopped being finite in epoch 7[0-9], "
    assert_same_divergence(make, x, y, match, batch_size=None, n_threads=n_threads)


def test_an_interrupt_after_a_call_keeps_the_epochs_that_it_ended(monkeypatch):
    original = engine.Workspace.run
    calls = []

    def run(self, *arguments):
        original(self, *arguments)
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt

    trainer, single = make_trainer(), make_trainer()
    trainer._state.steps_a_call = 12  # of 5 an epoch
    monkeypatch.setattr(engine.Workspace, "run", run)
    with pytest.warns(UserWarning, match="interrupted"):
        trainer.fit(X, Y, epochs=20)
    assert trainer.step == 12 + 24
    assert trainer.history.epoch == list(range(36 // 5))
    assert trainer.epochs_done == len(trainer.history.epoch)
    single.fit(X, Y, epochs=trainer.epochs_done, callbacks=[LOOK])
    assert trainer.history.history == single.history.history


def test_a_stop_from_elsewhere_ends_after_the_call(monkeypatch):
    trainer = make_trainer()
    trainer._state.steps_a_call = 11
    monkeypatch.setattr(loop, "CALL_SECONDS", 1e-9)
    original = engine.Workspace.run

    def run(self, *arguments):
        original(self, *arguments)
        trainer.stop("enough")

    monkeypatch.setattr(engine.Workspace, "run", run)
    history = trainer.fit(X, Y, epochs=EPOCHS)
    assert (history.stop_reason, history.epoch, trainer.step) == ("enough", [0, 1, 2], 11)
