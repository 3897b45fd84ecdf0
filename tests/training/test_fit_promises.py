"""What `fit` promises beside learning: the same bits again, and nothing lost when something goes wrong."""

import _thread
import signal
import threading
import weakref

import numpy as np
import pytest

import fastnn
from support import rng

N = 70


def make_trainer(seed=0, dropout=0.3, dtype="float32", optimizer="adam", loss="mse", **options):
    network = fastnn.Network.mlp(4, [9, 8], 2, activation="tanh", dropout=dropout, dtype=dtype, seed=seed)
    return fastnn.Trainer(network, loss=loss, optimizer=optimizer, **options)


X, Y = rng(1).normal(size=(N, 4)), rng(2).normal(size=(N, 2))


# -- one fit after the other -------------------------------------------------------------------------------------------


def test_short_fits_after_each_other_share_memory_and_change_no_bit(dtype):
    """The memory of a short fit serves the next one: batches and data of other sizes, evaluations and vjp between."""
    weights = rng(3).uniform(0.5, 1.5, N)
    networks = []
    for keeps in (True, False):
        trainer = make_trainer(dtype=dtype, metrics=["mae"])
        workspaces = []
        for rows, options in (
            (N, {"batch_size": 16, "sample_weight": weights}), (N, {"batch_size": 16}), (40, {"batch_size": 16}),
            (N, {"batch_size": 32}), (5, {"batch_size": 32}), (N, {"batch_size": None, "validation_split": 0.2}),
            (N, {"batch_size": None, "validation_split": 0.2}),
        ):  # fmt: skip
            trainer.fit(X[:rows], Y[:rows], epochs=2, seed=rows, **options)
            trainer.evaluate(X[:7], Y[:7])
            workspaces.append(trainer._state.kept_workspace.workspace)
            if not keeps:
                trainer._state.kept_workspace = None
        if keeps:
            assert workspaces[0] is workspaces[1] is workspaces[2] is not workspaces[3]
        networks.append((trainer.network.parameters, trainer.history.history))
    np.testing.assert_array_equal(networks[0][0], networks[1][0])
    assert networks[0][1] == networks[1][1]


def test_kept_memory_is_of_use_to_the_same_task_alone(dtype):
    """Loss, optimizer, metrics and rate may be assigned between two fits; moments may be loaded."""
    results = []
    for keeps in (True, False):
        trainer = make_trainer(dtype=dtype)
        for change in (
            {}, {"loss": "mae"}, {"optimizer": fastnn.SGD(0.01, momentum=0.9)}, {"optimizer": trainer.optimizer},
            {"metrics": ["mse"]}, {"learning_rate": 0.003}, {"loss": "mse", "optimizer": fastnn.Adam(clipnorm=0.5)},
        ):  # fmt: skip
            for name, value in change.items():
                setattr(trainer, name, value)
            for _ in range(2):
                trainer.fit(X, Y, epochs=2, batch_size=16, seed=1)
                if not keeps:
                    trainer._state.kept_workspace = None
            trainer.load_state_dict(trainer.state_dict())
        results.append((trainer.network.parameters, trainer.history.history))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_equal(results[0][1], results[1][1])  # with NaN where a metric was not asked for


def test_kept_memory_holds_no_data_and_nothing_of_a_failed_or_large_fit():
    trainer = make_trainer()
    x = X.astype(np.float32)
    is_gone = weakref.ref(x)
    trainer.fit(x, Y, epochs=2)
    assert trainer._state.kept_workspace is not None
    del x
    assert is_gone() is None
    trainer.learning_rate = 1e30
    with pytest.raises(FloatingPointError):
        trainer.fit(X, Y, epochs=9)
    assert trainer._state.kept_workspace is None
    large = fastnn.Trainer(fastnn.Network.mlp(4, [300, 300], 2, seed=0), loss="mse")
    large.fit(X, Y, epochs=1)
    assert large._state.kept_workspace is None


# -- reproducible ------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits(dtype):
    first, second = make_trainer(dtype=dtype), make_trainer(dtype=dtype)
    assert first.fit(X, Y, epochs=5).history == second.fit(X, Y, epochs=5).history
    np.testing.assert_array_equal(first.network.parameters, second.network.parameters)


def test_the_seed_of_fit_decides_over_shuffling_and_dropout():
    results = []
    for network_seed, fit_seed in ((0, 7), (0, 7), (0, 8)):
        trainer = make_trainer(network_seed)
        trainer.fit(X, Y, epochs=2, seed=fit_seed)
        results.append(trainer.network.parameters)
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_without_a_seed_each_network_and_each_training_is_its_own():
    first, second = make_trainer(None), make_trainer(None)
    assert not np.array_equal(first.network.parameters, second.network.parameters)
    second.network.parameters[:] = first.network.parameters
    first.fit(X, Y)
    second.fit(X, Y)
    assert not np.array_equal(first.network.parameters, second.network.parameters)


@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.05, momentum=0.9, nesterov=True), "adam"])
def test_two_calls_of_fit_are_one(optimizer, dtype):
    once, twice = (make_trainer(dtype=dtype, optimizer=optimizer) for _ in range(2))
    once.fit(X, Y, epochs=7, validation_split=0.2)
    twice.fit(X, Y, epochs=3, validation_split=0.2)
    twice.fit(X, Y, epochs=4, validation_split=0.2)
    np.testing.assert_array_equal(once.network.parameters, twice.network.parameters)
    assert once.history.history == twice.history.history
    assert twice.history.epoch == list(range(7))
    assert len(twice.history.seconds) == 7


def test_shuffling_gives_every_epoch_its_own_order():
    shuffled, straight = make_trainer(dropout=0.0), make_trainer(dropout=0.0)
    shuffled.fit(X, Y, epochs=1)
    straight.fit(X, Y, epochs=1, shuffle=False)
    assert not np.array_equal(shuffled.network.parameters, straight.network.parameters)


def test_numpy_s_global_random_state_is_untouched():
    before = np.random.get_state()  # noqa: NPY002 - the legacy state is what is promised
    trainer = make_trainer(None)
    trainer.fit(X, Y, epochs=2, validation_split=0.1)
    trainer.network.predict(X)
    after = np.random.get_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])


def test_the_data_are_not_changed():
    x, y, weight = X.copy(), np.eye(2)[Y.argmax(axis=1)], rng(3).uniform(size=N)
    kept_y, kept_weight = y.copy(), weight.copy()
    make_trainer().fit(x, y, epochs=2, sample_weight=weight, validation_split=0.2, class_weight={0: 2.0})
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, kept_y)
    np.testing.assert_array_equal(weight, kept_weight)


# -- callbacks, interrupts ---------------------------------------------------------------------------------------------


class Recorder(fastnn.Callback):
    """Every hook that was called; does something of the test's choice at the end of one epoch."""

    def __init__(self, at_epoch=None, action=None):
        self.calls, self.parameters = [], []
        self.at_epoch, self.action = at_epoch, action

    def on_train_begin(self):
        self.calls.append("train begin")

    def on_train_end(self):
        self.calls.append("train end")

    def on_epoch_begin(self, epoch):
        self.calls.append(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs):
        self.calls.append(f"end {epoch}")
        self.parameters.append(self.trainer.network.parameters.copy())
        if epoch == self.at_epoch:
            self.action(self)


def test_hooks_run_in_order_and_see_the_logs():
    recorder = Recorder(1, lambda self: setattr(self.trainer, "stop_training", True))
    history = make_trainer().fit(X, Y, epochs=5, callbacks=recorder)
    assert recorder.calls == ["train begin", "begin 0", "end 0", "begin 1", "end 1", "train end"]
    assert len(history.history["loss"]) == 2
    assert history.stop_reason == "stopped by a callback"


def raise_keyboard_interrupt(recorder):
    raise KeyboardInterrupt


def send_sigint(recorder):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("action", [raise_keyboard_interrupt, send_sigint])
def test_an_interrupt_keeps_the_last_step_and_the_history(action):
    trainer, recorder = make_trainer(), Recorder(2, action)
    with pytest.warns(UserWarning, match="interrupted; the network keeps the parameters of its last step"):
        history = trainer.fit(X, Y, epochs=10, callbacks=[recorder])
    assert history.stop_reason == "interrupted"
    assert history.epoch == [0, 1, 2]
    assert recorder.calls[-1] == "train end"
    np.testing.assert_array_equal(trainer.network.parameters, recorder.parameters[-1])
    # Going on is as if nothing had happened.
    trainer.fit(X, Y, epochs=7)
    undisturbed = make_trainer()
    undisturbed.fit(X, Y, epochs=10)
    np.testing.assert_array_equal(trainer.network.parameters, undisturbed.network.parameters)
    assert trainer.history.stop_reason is None


def test_an_interrupt_before_the_first_step_of_a_later_fit_forgets_no_steps():
    class InterruptAtOnce(fastnn.Callback):
        def on_epoch_begin(self, epoch):
            raise KeyboardInterrupt

    trainer = make_trainer()
    trainer.fit(X, Y, epochs=3)
    step = trainer.step
    with pytest.warns(UserWarning, match="interrupted"):
        trainer.fit(X, Y, callbacks=[InterruptAtOnce()])
    assert trainer.step == step > 0


def test_ctrl_c_in_the_middle_of_training_ends_it_within_a_step():
    trainer = make_trainer(dropout=0.0)
    timer = threading.Timer(0.1, _thread.interrupt_main)
    timer.start()
    with pytest.warns(UserWarning, match="interrupted"):
        trainer.fit(X, Y, epochs=10**9, batch_size=None, shuffle=False)
    timer.join()
    assert trainer.step > 0
    same = make_trainer(dropout=0.0)
    same.fit(X, Y, epochs=trainer.step, batch_size=None, shuffle=False)
    np.testing.assert_array_equal(trainer.network.parameters, same.network.parameters)


def test_an_exception_in_a_callback_comes_out_and_loses_nothing():
    def fail(recorder):
        raise RuntimeError("disk full")

    trainer, recorder, other = make_trainer(), Recorder(1, fail), Recorder()
    with pytest.raises(RuntimeError, match="disk full"):
        trainer.fit(X, Y, epochs=10, callbacks=[other, recorder])
    assert trainer.history.epoch == [0, 1]
    assert recorder.calls[-1] == other.calls[-1] == "train end"
    np.testing.assert_array_equal(trainer.network.parameters, recorder.parameters[-1])


# -- losses that stop being finite -------------------------------------------------------------------------------------


class Poison(fastnn.Callback):
    """Sets the learning rate to something absurd at one epoch."""

    def __init__(self, at_epoch, rate=1e30):
        self.at_epoch, self.rate = at_epoch, rate

    def on_epoch_begin(self, epoch):
        if epoch == self.at_epoch:
            self.trainer.learning_rate = self.rate


@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("optimizer", [fastnn.SGD(0.01, momentum=0.9), fastnn.Adam(0.01)])
def test_a_loss_that_stops_being_finite_ends_training_and_keeps_the_last_good_epoch(batch_size, optimizer):
    trainer = make_trainer(optimizer=optimizer, loss="mse", dropout=0.0)
    recorder = Recorder()
    with pytest.raises(FloatingPointError, match=r"stopped being finite in epoch [34], step \d+;.*learning_rate"):
        trainer.fit(X, Y, epochs=20, batch_size=batch_size, callbacks=[recorder, Poison(3)])
    np.testing.assert_array_equal(trainer.network.parameters, recorder.parameters[2])
    assert recorder.calls[-1] == "train end"
    assert np.isfinite(trainer.history.history["loss"]).all()
    # The moments went back too: with a sane rate it goes on.
    trainer.learning_rate = 0.01
    history = trainer.fit(X, Y, epochs=5, batch_size=batch_size).history
    assert np.isfinite(trainer.network.parameters).all()
    assert history["loss"][-1] < 2 * history["loss"][2]


def test_parameters_that_overflow_in_the_last_update_are_not_kept():
    trainer = make_trainer(optimizer=fastnn.SGD(3e38), dropout=0.0)
    trainer.network.parameters[:] *= 10
    before = trainer.network.parameters.copy()
    with pytest.raises(FloatingPointError, match="the parameters stopped being finite in epoch 0, step 1"):
        trainer.fit(100 * X, 100 * Y, epochs=1, batch_size=None)
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_a_first_loss_that_is_not_finite_changes_nothing(dtype):
    network = fastnn.Network.mlp(4, [], 1, dtype=dtype, seed=0)
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="poisson")  # the logarithm of an output that may be negative
    with pytest.raises(FloatingPointError, match="the loss stopped being finite in epoch 0, step 0"):
        trainer.fit(10 * X, np.ones(N), epochs=3, batch_size=None)
    np.testing.assert_array_equal(network.parameters, before)
    assert trainer.history.epoch == []
    assert trainer.step == 0
