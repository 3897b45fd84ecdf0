"""Callbacks: what each does, in which order, and that nothing is lost when one fails."""

import csv
import math
import time

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TimeLimit,
)

X = np.random.default_rng(0).normal(size=(50, 3))
Y = np.sin(X[:, :1])


def make_trainer(dtype="float64", dropout=0.0, **options):
    network = fastnn.Network.mlp(3, [8], 1, activation="tanh", dropout=dropout, dtype=dtype, seed=0)
    return fastnn.Trainer(network, loss="mse", **options)


class Scripted(Callback):
    """Puts given numbers into the logs, before callbacks that come after it see them."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch]


def scripted_stop(values, name="loss", **options):
    trainer = make_trainer()
    stopping = EarlyStopping(name, **options)
    history = trainer.fit(X, Y, epochs=len(values), callbacks=[Scripted(name, values), stopping])
    return len(history.epoch), stopping


# --- hooks ----------------------------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self):
        self.calls.append("train begin")

    def on_train_end(self):
        self.calls.append("train end")

    def on_epoch_begin(self, epoch):
        self.calls.append(f"epoch {epoch} begin")

    def on_epoch_end(self, epoch, logs):
        self.calls.append(f"epoch {epoch} end {sorted(logs)}")


class BatchRecorder(Recorder):
    def on_train_batch_begin(self, batch):
        self.calls.append(f"batch {batch} begin")

    def on_train_batch_end(self, batch, logs):
        self.calls.append(f"batch {batch} end {sorted(logs)}")


def test_hooks_run_in_order():
    recorder = BatchRecorder()
    make_trainer(metrics=["mae"]).fit(X, Y, epochs=2, batch_size=30, callbacks=recorder, validation_data=(X, Y))
    names = ["loss", "mae", "val_loss", "val_mae"]
    batches = ["batch 0 begin", "batch 0 end ['loss']", "batch 1 begin", "batch 1 end ['loss']"]
    assert recorder.calls == [
        "train begin",
        "epoch 0 begin", *batches, f"epoch 0 end {names}",
        "epoch 1 begin", *batches, f"epoch 1 end {names}",
        "train end",
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_step_by_step_gives_the_same_bits(dtype):
    fast, slow = (make_trainer(dtype, dropout=0.3, metrics=["mae"]) for _ in range(2))
    losses = []
    listener = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    weights = np.linspace(0.1, 2, 50)
    a = fast.fit(X, Y, epochs=3, batch_size=16, sample_weight=weights).history
    b = slow.fit(X, Y, epochs=3, batch_size=16, sample_weight=weights, callbacks=[listener]).history
    assert a == b
    np.testing.assert_array_equal(fast.network.parameters, slow.network.parameters)
    assert len(losses) == 3 * 4


def test_batch_losses_are_those_before_the_update():
    trainer = make_trainer()
    losses = []
    listener = LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    before = trainer.evaluate(X, Y)["loss"]
    trainer.fit(X, Y, epochs=1, batch_size=None, callbacks=[listener])
    assert losses == [pytest.approx(before, rel=1e-12)]


def test_a_callback_stops_training():
    trainer = make_trainer()
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: epoch == 2 and trainer.stop("enough"))
    history = trainer.fit(X, Y, epochs=10, callbacks=[stop])
    assert history.epoch == [0, 1, 2]
    assert history.stop_reason == "enough"
    assert trainer.fit(X, Y, epochs=2).epoch == [0, 1, 2, 3, 4]
    assert trainer.history.stop_reason is None


def test_setting_stop_training_within_an_epoch_ends_it_after_that_batch():
    trainer = make_trainer()

    def stop(batch, logs):
        trainer.stop_training = batch == 1

    history = trainer.fit(X, Y, epochs=10, batch_size=10, callbacks=[LambdaCallback(on_train_batch_end=stop)])
    assert history.epoch == [0]
    assert trainer.step == 2


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin"])
def test_an_epoch_stopped_before_its_first_batch_is_not_recorded(hook):
    trainer = make_trainer()
    trainer.fit(X, Y)
    before = trainer.network.parameters.copy()
    history = trainer.fit(X, Y, callbacks=[LambdaCallback(**{hook: lambda number: trainer.stop("early")})])
    assert (history.epoch, history.stop_reason, trainer.epochs_done) == ([0], "early", 1)
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_a_callback_changes_learning_rate_and_weights():
    trainer = make_trainer(optimizer=fastnn.SGD(0.1))

    class Freeze(Callback):
        def on_epoch_begin(self, epoch):
            if epoch == 1:
                self.trainer.learning_rate = 0.0
                self.trainer.network.parameters[:] = 0.5

    trainer.fit(X, Y, epochs=2, callbacks=[Freeze()])
    np.testing.assert_array_equal(trainer.network.parameters, 0.5)
    assert trainer.history.learning_rate == [0.1, 0.0]


def test_a_batch_hook_changes_the_learning_rate_of_the_next_step():
    trainer = make_trainer(optimizer=fastnn.SGD(0.1))
    seen = []

    class OneStep(Callback):
        def on_train_batch_begin(self, batch):
            seen.append(self.trainer.network.parameters.copy())
            self.trainer.learning_rate = 0.1 if batch == 0 else 0.0

    trainer.fit(X, Y, batch_size=10, callbacks=[OneStep()])
    assert (seen[0] != seen[1]).any()
    for later in seen[2:]:
        np.testing.assert_array_equal(later, seen[1])


@pytest.mark.parametrize(
    "hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end"]
)
def test_an_exception_loses_nothing(hook):
    recorder = Recorder()
    trainer, plain = make_trainer(), make_trainer()
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == (1 if hook == "on_train_begin" else 3):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        trainer.fit(X, Y, epochs=5, batch_size=None, callbacks=[recorder, LambdaCallback(**{hook: fail})])
    assert recorder.calls[-1] == "train end"
    steps = {"on_train_begin": 0, "on_epoch_begin": 2, "on_train_batch_begin": 2}.get(hook, 3)
    assert trainer.step == steps
    if steps:
        plain.fit(X, Y, epochs=steps, batch_size=None)
    np.testing.assert_array_equal(trainer.network.parameters, plain.network.parameters)
    n_epochs = 3 if hook == "on_epoch_end" else min(steps, 2)
    assert trainer.history.epoch == list(range(n_epochs))
    assert all(len(column) == n_epochs for column in trainer.history.history.values())
    trainer.fit(X, Y)  # goes on


def test_every_on_train_end_runs_and_the_first_error_is_chained():
    recorder = Recorder()

    def fail():
        raise RuntimeError("at the end")

    with pytest.raises(RuntimeError, match="at the end"):
        make_trainer().fit(X, Y, callbacks=[LambdaCallback(on_train_end=fail), recorder])
    assert recorder.calls[-1] == "train end"


def test_wrong_callbacks():
    with pytest.raises(TypeError, match=r"callbacks\[1\] must be a fastnn.callbacks.Callback, got 'x'"):
        make_trainer().fit(X, Y, callbacks=[Callback(), "x"])
    with pytest.raises(TypeError, match="on_epoch_end must be callable, got 3"):
        LambdaCallback(on_epoch_end=3)


# --- early stopping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, options, n_epochs",
    [
        ([5, 4, 3, 2, 1], {"patience": 1}, 5),
        ([5, 4, 4, 3, 2], {"patience": 1}, 3),
        ([5, 4, 4, 3, 2], {"patience": 0}, 3),
        ([5, 4, 4.5, 4.4, 3, 3, 3, 3], {"patience": 3}, 8),
        ([5, 4.9, 4.8, 4.7, 4.6], {"patience": 2, "min_delta": 0.15}, 5),
        ([5, 4.95, 4.9, 4.85, 4.8], {"patience": 2, "min_delta": 0.15}, 3),
        ([1, 2, 3, 3, 2, 9], {"patience": 2, "mode": "max"}, 5),
        ([9, 1, 2, 3, 4, 5], {"patience": 2, "start_from_epoch": 3}, 6),
        ([5, 4, 3, 2, 1], {"patience": 2, "baseline": 1.5}, 2),
        ([5, math.nan, math.nan, 1], {"patience": 2}, 3),
        ([math.nan, math.nan, 1, 2, 3], {"patience": 3}, 5),
    ],
)
def test_early_stopping_counts(values, options, n_epochs):
    assert scripted_stop(values, **options)[0] == n_epochs


@pytest.mark.parametrize("mode, best_epoch", [("min", 3), ("max", 1)])
def test_early_stopping_restores_the_very_best_epoch(mode, best_epoch):
    values = [5.0, 9.0, 4.2, 4.1, 6.0, 6.0, 6.0]
    trainer = make_trainer()
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(trainer.network.parameters.copy()))
    # min_delta: epoch 3 is the best, though not by enough to count against patience.
    stopping = EarlyStopping("loss", mode=mode, min_delta=0.5, patience=3, restore_best_weights=True)
    trainer.fit(X, Y, epochs=7, callbacks=[Scripted("loss", values), keep, stopping])
    assert (stopping.best, stopping.best_epoch) == (values[best_epoch], best_epoch)
    np.testing.assert_array_equal(trainer.network.parameters, kept[best_epoch])
    assert (kept[-1] != kept[best_epoch]).any()


def test_early_stopping_restores_after_an_exception():
    trainer = make_trainer(optimizer=fastnn.SGD(0.01))
    kept = []

    def end(epoch, logs):
        kept.append(trainer.network.parameters.copy())
        if epoch == 3:
            raise RuntimeError

    stopping = EarlyStopping("loss", mode="max", patience=99, restore_best_weights=True)
    with pytest.raises(RuntimeError):
        trainer.fit(X, Y, epochs=9, callbacks=[stopping, LambdaCallback(on_epoch_end=end)])
    np.testing.assert_array_equal(trainer.network.parameters, kept[stopping.best_epoch])


def test_early_stopping_on_real_validation_loss():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 1))
    trainer = make_trainer(optimizer=fastnn.Adam(0.05))
    stopping = EarlyStopping(patience=5, restore_best_weights=True)
    history = trainer.fit(x, y, epochs=500, validation_data=(X, Y), callbacks=[stopping])
    losses = history.history["val_loss"]
    assert len(losses) < 500
    assert stopping.best_epoch == int(np.argmin(losses)) == len(losses) - 6
    assert trainer.evaluate(X, Y)["loss"] == min(losses)
    assert history.stop_reason == "EarlyStopping: val_loss did not improve for 5 epochs"


def test_auto_mode_knows_metrics():
    network = fastnn.Network.mlp(3, [4], 1, output="sigmoid", seed=0)
    trainer = fastnn.Trainer(network, loss="log_loss", metrics=["accuracy"])
    stopping = EarlyStopping("accuracy", patience=99)
    history = trainer.fit(X, Y > 0, epochs=30, callbacks=[stopping])
    assert stopping.best == max(history.history["accuracy"])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"patience": -1}, "patience must be an integer >= 0, got -1"),
        ({"min_delta": -0.5}, r"min_delta must be a number in \[0, inf\), got -0.5"),
        ({"mode": "best"}, "mode must be one of 'auto', 'min', 'max', got 'best'"),
        ({"start_from_epoch": -1}, "start_from_epoch must be an integer >= 0, got -1"),
        ({"baseline": math.nan}, "baseline must be a number in .*, got nan"),
    ],
)
def test_early_stopping_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**options)


@pytest.mark.parametrize(
    "callback", [EarlyStopping(), ReduceLROnPlateau(), ModelCheckpoint("x.fastnn", save_best_only=True)]
)
def test_a_monitor_that_logs_will_not_hold(callback, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer()
    before = trainer.network.parameters.copy()
    with pytest.raises(ValueError, match="monitor must be one of 'loss', got 'val_loss'; give fit validation_data or"):
        trainer.fit(X, Y, callbacks=[callback])
    np.testing.assert_array_equal(trainer.network.parameters, before)
    assert trainer.history.epoch == []


# --- other ends -----------------------------------------------------------------------------------------------------


def diverging(**options):
    return make_trainer(optimizer=fastnn.SGD(1e12), **options)


def test_divergence_raises_and_keeps_the_last_finished_epoch():
    trainer = diverging()
    before = trainer.network.parameters.copy()
    with pytest.raises(FloatingPointError, match="the loss stopped being finite in epoch 0"):
        trainer.fit(X, Y, epochs=50, batch_size=1)
    np.testing.assert_array_equal(trainer.network.parameters, before)
    assert trainer.history.epoch == []
    assert trainer.history.stop_reason.startswith("the loss stopped being finite in epoch 0, step ")


def test_training_goes_on_after_divergence():
    trainer = make_trainer(optimizer=fastnn.SGD(1e12, momentum=0.9))
    with pytest.raises(FloatingPointError):
        trainer.fit(X, Y, epochs=50, batch_size=1)
    trainer.learning_rate = 0.01
    losses = trainer.fit(X, Y, epochs=20).history["loss"]
    assert losses[-1] < losses[0]


def test_terminate_on_nan():
    trainer = diverging()
    before = trainer.network.parameters.copy()
    history = trainer.fit(X, Y, epochs=50, batch_size=1, callbacks=[TerminateOnNaN()])
    assert history.stop_reason.startswith("TerminateOnNaN: the loss stopped being finite in epoch 0, step ")
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_terminate_on_nan_sees_the_validation_loss():
    trainer = make_trainer()
    history = trainer.fit(
        X, Y, epochs=9, validation_data=(X, Y),
        callbacks=[Scripted("val_loss", [1.0, math.inf, 1.0]), TerminateOnNaN()],
    )  # fmt: skip
    assert history.epoch == [0, 1]
    assert history.stop_reason == "TerminateOnNaN: val_loss is inf in epoch 1"


def test_time_limit_ends_within_an_epoch():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200_000, 3)).astype(np.float32)
    trainer = make_trainer("float32")
    trainer.fit(X, Y)
    started = time.perf_counter()
    history = trainer.fit(x, x[:, :1], epochs=100, batch_size=1, callbacks=[TimeLimit(0.2)])
    assert time.perf_counter() - started < 2  # generous: the machine may be busy
    assert history.stop_reason == "TimeLimit: 0.2 s are over"
    assert 0 < trainer.step < 100 * x.shape[0]
    assert len(history.epoch) < 101


def test_time_limit_arguments():
    with pytest.raises(ValueError, match=r"seconds must be a number in \(0, inf\), got 0"):
        TimeLimit(0)


# --- learning rates -------------------------------------------------------------------------------------------------


def test_learning_rate_scheduler_with_the_current_rate():
    trainer = make_trainer(optimizer=fastnn.SGD(0.8))
    scheduler = LearningRateScheduler(lambda epoch, rate: rate if epoch < 2 else rate / 2)
    assert trainer.fit(X, Y, epochs=4, callbacks=[scheduler]).learning_rate == [0.8, 0.8, 0.4, 0.2]


def test_learning_rate_scheduler_leaves_second_defaults_alone():
    scheduler = LearningRateScheduler(lambda epoch, base=0.5: base / (1 + epoch))
    assert make_trainer().fit(X, Y, epochs=2, callbacks=[scheduler]).learning_rate == [0.5, 0.25]


@pytest.mark.parametrize("rate, error", [(-0.1, ValueError), (math.nan, ValueError), ("x", TypeError)])
def test_learning_rate_scheduler_checks_what_it_gets(rate, error):
    with pytest.raises(error, match=r"the learning rate of epoch 0 must be a number in \[0, inf\), got"):
        make_trainer().fit(X, Y, callbacks=[LearningRateScheduler(lambda epoch: rate)])


@pytest.mark.parametrize("schedule", [3, lambda: 0.1, lambda a, b, c: 0.1])
def test_learning_rate_scheduler_arguments(schedule):
    with pytest.raises(TypeError, match="schedule must"):
        LearningRateScheduler(schedule)


@pytest.mark.parametrize(
    "values, options, rates",
    [
        ([1, 1, 1, 1, 1], {"patience": 2}, [1, 1, 1, 0.5, 0.5]),
        ([1, 1, 1, 1, 1, 1], {"patience": 1, "cooldown": 2}, [1, 1, 0.5, 0.5, 0.5, 0.25]),
        ([1, 1, 1, 1, 1], {"patience": 1, "min_lr": 0.3}, [1, 1, 0.5, 0.3, 0.3]),
        ([5, 4, 3, 2, 1], {"patience": 1}, [1, 1, 1, 1, 1]),
        ([5, 4, 3, 2, 1], {"patience": 1, "mode": "max"}, [1, 1, 0.5, 0.25, 0.125]),
        ([5, 4.95, 4.9], {"patience": 1, "min_delta": 0.08}, [1, 1, 0.5]),
    ],
)
def test_reduce_on_plateau(values, options, rates):
    trainer = make_trainer(optimizer=fastnn.SGD(1.0))
    callbacks = [Scripted("loss", values), ReduceLROnPlateau("loss", factor=0.5, **options)]
    trainer.network.parameters[:] = 0
    history = trainer.fit(X, np.zeros(50), epochs=len(values), callbacks=callbacks)
    assert history.learning_rate == pytest.approx(rates)


@pytest.mark.parametrize("factor", [0.0, 1.0, 1.5])
def test_reduce_on_plateau_arguments(factor):
    with pytest.raises(ValueError, match=r"factor must be a number in \(0, 1\), got"):
        ReduceLROnPlateau(factor=factor)


# --- files ----------------------------------------------------------------------------------------------------------


def test_checkpoint_holds_the_very_best_epoch(tmp_path):
    trainer = make_trainer(optimizer=fastnn.SGD(0.5))
    kept = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: kept.append(trainer.network.parameters.copy()))
    checkpoint = ModelCheckpoint(tmp_path / "best.fastnn", "loss", save_best_only=True)
    trainer.fit(X, Y, epochs=5, callbacks=[Scripted("loss", [5, 3, 4, 2.5, 9]), keep, checkpoint])
    np.testing.assert_array_equal(fastnn.Network.load(tmp_path / "best.fastnn").parameters, kept[3])
    assert checkpoint.best == 2.5


def test_checkpoint_every_n_epochs_with_names(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.2f}.fastnn", every=2)
    history = make_trainer().fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[checkpoint])
    losses = history.history["val_loss"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"02-{losses[1]:.2f}.fastnn", f"04-{losses[3]:.2f}.fastnn"
    ]  # fmt: skip
    assert checkpoint.last_path.name.startswith("04-")


def test_checkpoint_sees_what_later_callbacks_changed(tmp_path):
    trainer = make_trainer()
    change = LambdaCallback(on_epoch_end=lambda epoch, logs: trainer.network.parameters.fill(0.25))
    trainer.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "x.fastnn"), change])
    np.testing.assert_array_equal(fastnn.Network.load(tmp_path / "x.fastnn").parameters, 0.25)


def test_checkpoint_path_is_checked_before_training(tmp_path):
    trainer = make_trainer()
    with pytest.raises(ValueError, match=r"path may hold \{epoch\}, \{loss\}, got .*val_loss"):
        trainer.fit(X, Y, callbacks=[ModelCheckpoint(tmp_path / "{val_loss}.fastnn")])
    with pytest.raises(ValueError, match="every must be an integer >= 1, got 0"):
        ModelCheckpoint("x", every=0)
    assert trainer.step == 0


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_logger_holds_each_epoch_at_once(tmp_path):
    path = tmp_path / "log.csv"
    n_lines = []
    trainer = make_trainer(metrics=["mae"])
    count = LambdaCallback(on_epoch_begin=lambda epoch: n_lines.append(len(path.read_text().splitlines())))
    history = trainer.fit(X, Y, epochs=3, validation_data=(X, Y), callbacks=[CSVLogger(path), count])
    assert n_lines == [1, 2, 3]
    rows = read_csv(path)
    assert list(rows[0]) == ["epoch", "loss", "mae", "val_loss", "val_mae", "learning_rate", "seconds"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    for name, column in history.history.items():
        assert [float(row[name]) for row in rows] == column
    assert [float(row["seconds"]) for row in rows] == history.seconds


def test_csv_logger_appends_only_the_same_columns(tmp_path):
    path = tmp_path / "log.csv"
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2, callbacks=[CSVLogger(path, append=True)])
    trainer.fit(X, Y, epochs=1, callbacks=[CSVLogger(path, append=True)])
    assert [int(row["epoch"]) for row in read_csv(path)] == [0, 1, 2]
    with pytest.raises(ValueError, match="path must be a file with the columns"):
        trainer.fit(X, Y, validation_data=(X, Y), callbacks=[CSVLogger(path, append=True)])
    assert trainer.epochs_done == 3
    trainer.fit(X, Y, callbacks=[CSVLogger(path)])
    assert [int(row["epoch"]) for row in read_csv(path)] == [3]


def test_csv_logger_separator(tmp_path):
    make_trainer().fit(X, Y, callbacks=[CSVLogger(tmp_path / "log.csv", separator=";")])
    assert (tmp_path / "log.csv").read_text().startswith("epoch;loss;learning_rate;seconds\n0;")
    with pytest.raises(TypeError, match="separator must be one character, got ', '"):
        CSVLogger("x", separator=", ")


# --- history --------------------------------------------------------------------------------------------------------


def test_history_columns_stay_aligned_over_several_fits():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2)
    trainer.fit(X, Y, epochs=1, validation_data=(X, Y))
    history = trainer.fit(X, Y, epochs=1)
    assert history.epoch == [0, 1, 2, 3]
    assert [math.isnan(value) for value in history.history["val_loss"]] == [True, True, False, True]
    assert len(history.history["loss"]) == len(history.seconds) == len(history.learning_rate) == 4
