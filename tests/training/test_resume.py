"""A run cut in two equals the uncut run, bit for bit; Ctrl-C loses nothing."""

import json
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau

X = np.random.default_rng(0).normal(size=(70, 3))
Y = np.sin(X[:, :1])
OPTIMIZERS = [fastnn.SGD(0.05), fastnn.SGD(0.05, momentum=0.9, nesterov=True), "adam"]


def make_trainer(optimizer="adam", dtype="float32", seed=0):
    network = fastnn.Network.mlp(3, [8, 8], 1, dropout=0.2, dtype=dtype, seed=seed)
    return fastnn.Trainer(network, loss="mse", optimizer=optimizer, metrics=["mae"])


def copy_of(trainer, optimizer="adam", dtype="float32"):
    """A trainer of a later process, given only what would be in a file."""
    state = through_json(trainer.state_dict())
    other = make_trainer(optimizer, dtype, seed=5)
    other.network.set_weights(trainer.network.get_weights())
    other.load_state_dict(state)
    return other


def through_json(value):
    """Arrays as they are, everything else as JSON keeps it: a tuple, a NumPy number or a NaN would not pass."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        return {name: through_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [through_json(item) for item in value]
    same = json.loads(json.dumps(value, allow_nan=False))
    assert same == value and type(same) is type(value)
    return same


def curves(history):
    return history.history, history.epoch, history.learning_rate


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("options", [{}, {"validation_split": 0.3}, {"batch_size": None, "seed": 7}], ids=str)
def test_a_run_cut_in_two_equals_the_uncut_run(optimizer, dtype, options):
    uncut, first = make_trainer(optimizer, dtype), make_trainer(optimizer, dtype)
    uncut.fit(X, Y, epochs=7, **options)
    first.fit(X, Y, epochs=3, **options)
    second = copy_of(first, optimizer, dtype)
    second.fit(X, Y, epochs=4, **options)
    np.testing.assert_array_equal(second.network.parameters, uncut.network.parameters)
    np.testing.assert_array_equal(second.moments, uncut.moments)
    assert curves(second.history) == curves(uncut.history)


def make_callbacks():
    return [
        EarlyStopping("val_loss", patience=4, restore_best_weights=True),
        ReduceLROnPlateau("val_loss", factor=0.5, patience=2, min_delta=0.01),
    ]


def test_callbacks_resume_too():
    options = {"validation_data": (X[:20], -Y[:20])}
    uncut = make_trainer(fastnn.Adam(0.02))
    stopping, plateau = make_callbacks()
    uncut.fit(X, Y, epochs=60, callbacks=[stopping, plateau], **options)
    n_epochs = len(uncut.history.epoch)
    assert 6 < n_epochs < 60 and uncut.learning_rate < 0.02  # or the test would say nothing

    cut_after = stopping.best_epoch + 2  # in the middle of the wait
    first = make_trainer(fastnn.Adam(0.02))
    saved = []

    def save(epoch, logs):
        if epoch == cut_after:
            saved.append((through_json(first.state_dict()), [w.copy() for w in first.network.get_weights()]))

    first.fit(X, Y, epochs=60, callbacks=[*make_callbacks(), LambdaCallback(on_epoch_end=save)], **options)
    ((state, weights),) = saved
    second = make_trainer(fastnn.Adam(0.02), seed=9)
    second.network.set_weights(weights)
    second.load_state_dict(state)
    again, _ = callbacks = make_callbacks()
    second.fit(X, Y, epochs=60, callbacks=callbacks, **options)
    assert curves(second.history) == curves(uncut.history)
    assert (again.best, again.best_epoch, again.stopped_epoch) == (stopping.best, stopping.best_epoch, n_epochs - 1)
    np.testing.assert_array_equal(second.network.parameters, uncut.network.parameters)


def test_resuming_from_the_file_of_a_checkpoint(tmp_path):
    options = {"validation_data": (X[:20], -Y[:20])}
    uncut, first = make_trainer(fastnn.Adam(0.02)), make_trainer(fastnn.Adam(0.02))
    uncut.fit(X, Y, epochs=60, callbacks=make_callbacks(), **options)
    n_epochs = len(uncut.history.epoch)
    # Listed before the others, it still writes what they know at the end of the epoch.
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.fastnn", every=n_epochs - 2, save_trainer=True)
    first.fit(X, Y, epochs=60, callbacks=[checkpoint, *make_callbacks()], **options)
    second = fastnn.Trainer.load(tmp_path / f"{n_epochs - 2}.fastnn")
    second.fit(X, Y, epochs=60, callbacks=make_callbacks(), **options)
    assert curves(second.history) == curves(uncut.history)
    np.testing.assert_array_equal(second.network.parameters, uncut.network.parameters)


def make_trainer_with_everything():
    """All that keeps a state: running statistics, moments and an average, a schedule, noise, dropout, callbacks."""
    layers = [
        fastnn.Input(3), fastnn.Dense(8), fastnn.BatchNormalization(), fastnn.Activation("relu"),
        fastnn.GaussianNoise(0.1), fastnn.Dropout(0.2), fastnn.LayerNormalization(), fastnn.Dense(1),
    ]  # fmt: skip
    optimizer = fastnn.Adam(fastnn.schedules.CosineDecay(0.02, 60), amsgrad=True, use_ema=True)
    return fastnn.Trainer(fastnn.Network(layers, seed=0), loss="huber", optimizer=optimizer, metrics=["mae", "r2"])


def test_everything_that_keeps_a_state_resumes_from_a_file(tmp_path):
    options = {"validation_data": (X[:20], -Y[:20]), "batch_size": 16}
    stopping = EarlyStopping("val_loss", patience=99, restore_best_weights=False)
    uncut, first = make_trainer_with_everything(), make_trainer_with_everything()
    uncut.fit(X, Y, epochs=7, callbacks=[stopping], **options)
    first.fit(X, Y, epochs=3, callbacks=[EarlyStopping("val_loss", patience=99)], **options)
    first.save(tmp_path / "trainer.safetensors")
    second = fastnn.Trainer.load(tmp_path / "trainer.safetensors")
    again = EarlyStopping("val_loss", patience=99)
    second.fit(X, Y, epochs=4, callbacks=[again], **options)
    assert curves(second.history) == curves(uncut.history)
    assert len(set(uncut.history.learning_rate)) == 7
    assert (again.best, again.best_epoch) == (stopping.best, stopping.best_epoch)
    np.testing.assert_array_equal(second.network.parameter_buffer, uncut.network.parameter_buffer)
    np.testing.assert_array_equal(second.moments, uncut.moments)


def test_the_best_epoch_comes_back_with_its_running_statistics():
    trainer = make_trainer_with_everything()
    stopping = EarlyStopping("val_loss", patience=4, restore_best_weights=True)
    history = trainer.fit(X, Y, epochs=99, validation_data=(X[:20], -Y[:20]), batch_size=16, callbacks=[stopping])
    assert stopping.best_epoch < len(history.epoch) - 1
    assert trainer.evaluate(X[:20], -Y[:20])["loss"] == stopping.best == min(history.history["val_loss"])


def test_callbacks_start_afresh_without_a_loaded_state():
    trainer = make_trainer()
    stopping = EarlyStopping("loss", mode="max", patience=2)
    assert len(trainer.fit(X, Y, epochs=10, callbacks=[stopping]).epoch) < 10
    before = len(trainer.history.epoch)
    trainer.fit(X, Y, epochs=2, callbacks=[stopping])
    assert stopping.best_epoch >= before


def test_the_state_is_a_copy():
    trainer = make_trainer()
    trainer.fit(X, Y)
    state = trainer.state_dict()
    moments = state["moments"].copy()
    trainer.fit(X, Y)
    np.testing.assert_array_equal(state["moments"], moments)
    assert state["history"]["epoch"].tolist() == [0]
    assert state["moments"].shape == (2, trainer.network.n_parameters)


def test_a_state_that_does_not_belong_changes_nothing():
    trainer = make_trainer()
    trainer.fit(X, Y)
    state = trainer.state_dict()
    other = make_trainer(fastnn.SGD(0.1))
    with pytest.raises(ValueError, match="state must be of a trainer with optimizer 'sgd', got one with 'adam'"):
        other.load_state_dict(state)
    small = fastnn.Trainer(fastnn.Network.mlp(3, [2], 1), loss="mse")
    with pytest.raises(ValueError, match=r"state\['moments'\] must have shape \(2, 11\) for this network, got"):
        small.load_state_dict(state)
    with pytest.raises(TypeError, match="state must be a dict"):
        other.load_state_dict([1])
    with pytest.raises(ValueError, match="state must be a dict as state_dict returns it; 'moments' is missing"):
        other.load_state_dict({name: value for name, value in state.items() if name != "moments"})
    assert (other.step, other.epochs_done, small.step) == (0, 0, 0)


# --- interrupts -----------------------------------------------------------------------------------------------------


def interrupt_after(seconds):
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("n_rows, hidden", [(300_000, [64]), (16, [4])], ids=["long epochs", "short epochs"])
def test_control_c_returns_soon_with_history_and_parameters(n_rows, hidden):
    x = np.random.default_rng(0).normal(size=(n_rows, 20)).astype(np.float32)
    network = fastnn.Network.mlp(20, hidden, 1, seed=0)
    trainer = fastnn.Trainer(network, loss="mse")
    trainer.fit(x[:16], x[:16, :1])
    ended = []
    timer = interrupt_after(0.3)
    sent = time.perf_counter() + 0.3
    with pytest.warns(UserWarning, match="Training was interrupted"):
        history = trainer.fit(
            x, x[:, :1], epochs=10**6, callbacks=[LambdaCallback(on_train_end=lambda: ended.append(1))]
        )
    timer.join()
    late = time.perf_counter() - sent
    assert late < 1.0  # about 0.05 s on a machine that does nothing else
    assert history is trainer.history and history.stop_reason == "interrupted" and ended == [1]
    assert all(len(column) == len(history.epoch) for column in history.history.values())
    assert np.isfinite(network.parameters).all()
    assert trainer.epochs_done == len(history.epoch)
    # Exactly the steps that the counter says were done.
    twin = fastnn.Trainer(fastnn.Network.mlp(20, hidden, 1, seed=0), loss="mse")
    twin.fit(x[:16], x[:16, :1])
    left = trainer.step - 1

    def count(batch, logs):
        nonlocal left
        left -= 1
        if not left:
            twin.stop()

    if left:
        twin.fit(x, x[:, :1], epochs=10**6, callbacks=[LambdaCallback(on_train_batch_end=count)])
    np.testing.assert_array_equal(network.parameters, twin.network.parameters)


def test_an_interrupt_in_a_callback_ends_training_too():
    trainer = make_trainer()

    def interrupt(epoch, logs):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted"):
        history = trainer.fit(X, Y, epochs=9, callbacks=[LambdaCallback(on_epoch_end=interrupt)])
    assert history.epoch == [0, 1, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trainer.fit(X, Y, epochs=1).epoch == [0, 1, 2, 3]


class Counting(fastnn.Callback):
    """A callback of the user's that keeps a state."""

    count = 0

    def on_epoch_end(self, epoch, logs):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_a_state_of_fastnn_s_callbacks_is_looked_into_and_a_wrong_one_changes_nothing():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2, callbacks=[EarlyStopping("loss")])
    state = trainer.state_dict()
    state["callbacks"][0]["state"]["wait"] = "long"
    other = make_trainer()
    with pytest.raises(ValueError, match=r"state\['callbacks'\]\[0\], of EarlyStopping: wait must be an integer"):
        other.load_state_dict(state)
    assert other.step == 0 and other.history.epoch == []


def test_a_state_that_does_not_suit_the_user_s_callback_is_a_clear_error_and_stays():
    trainer = make_trainer()
    trainer.fit(X, Y, callbacks=[Counting()])
    state = trainer.state_dict()
    assert state["callbacks"] == [{"name": "Counting", "state": {"count": 1}}]
    state["callbacks"][0]["state"] = {"number": 1}
    trainer.load_state_dict(state)
    with pytest.raises(ValueError, match=r"loaded does not suit the callback Counting: KeyError\('count'\)"):
        trainer.fit(X, Y, callbacks=[Counting()])
    assert trainer.step == state["step"] and trainer.state_dict()["callbacks"] == state["callbacks"]
    trainer.fit(X, Y)  # without it, training goes on
    assert trainer.history.epoch == [0, 1]


def test_a_callback_of_the_user_s_may_be_called_like_one_of_fastnn_s(tmp_path):
    own = type("EarlyStopping", (Counting,), {"__module__": "mine"})
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=3, callbacks=[own()])
    trainer.save(tmp_path / "file")
    again = own()
    fastnn.Trainer.load(tmp_path / "file").fit(X, Y, callbacks=[EarlyStopping("loss"), again])
    assert again.count == 4
