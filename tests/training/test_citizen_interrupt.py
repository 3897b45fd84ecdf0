"""A good citizen under Ctrl-C: every thread ends, and what was reached is kept."""

import _thread
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastnn
from citizen import make_data, make_trainer, python, train


def interrupter(seconds: float) -> threading.Thread:
    """A thread that presses Ctrl-C some time after its start."""

    def strike():
        time.sleep(seconds)
        _thread.interrupt_main()

    return threading.Thread(target=strike)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_ctrl_c_ends_fit_and_all_helpers(n_threads):
    X, y = make_data(4096)
    trainer = make_trainer(units=256)
    trainer.fit(X, y, batch_size=256, n_threads=n_threads)
    before = threading.active_count()
    with pytest.warns(UserWarning, match="interrupted"):
        thread = interrupter(0.1)
        thread.start()
        trainer.fit(X, y, epochs=10**9, batch_size=256, n_threads=n_threads)
    thread.join()
    assert trainer.history.stop_reason == "interrupted"
    assert threading.active_count() == before
    assert np.isfinite(trainer.network.parameters).all()
    trainer.fit(X, y, batch_size=256, n_threads=n_threads)  # goes on
    assert trainer.history.stop_reason is None


def test_ctrl_c_at_any_moment_leaves_no_thread():
    """Epochs of microseconds, so that the interrupt strikes between kernel calls as often as within."""
    X, y = make_data(64)
    before = threading.active_count()
    for i in range(40):
        trainer = make_trainer()
        thread = interrupter(0.002 + 0.0001 * i)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            try:
                thread.start()
                trainer.fit(X, y, epochs=10**9, batch_size=64, n_threads=2)
            except KeyboardInterrupt:  # it struck before or after the training loop
                pass
        thread.join()
        assert np.isfinite(trainer.network.parameters).all()
        deadline = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.001)  # the rest of a helper's last call
        assert threading.active_count() == before
    assert train() == train()


def test_an_exception_in_a_callback_ends_the_helpers():
    class Breaks(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            raise ArithmeticError("from a callback")

    before = threading.active_count()
    with pytest.raises(ArithmeticError, match="from a callback"):
        make_trainer().fit(*make_data(), batch_size=128, n_threads=3, callbacks=[Breaks()])
    assert threading.active_count() == before


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process")
def test_a_process_that_trains_ends_at_sigint():
    done = python("""
        import os, signal, threading, time
        from citizen import make_data, make_trainer

        X, y = make_data(4096)
        trainer = make_trainer(units=256)
        trainer.fit(X, y, batch_size=256, n_threads=2)
        started = time.perf_counter()
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        history = trainer.fit(X, y, epochs=10**9, batch_size=256, n_threads=2)
        print(history.stop_reason, time.perf_counter() - started < 10)
    """)
    assert done.stdout.split() == ["interrupted", "True"], done.stderr
    assert "interrupted" in done.stderr  # the warning


def test_a_signal_handler_that_raises_is_an_exception_like_any_other():
    class Timeout(Exception):
        pass

    def raise_timeout(*_):
        raise Timeout

    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers here")
    old = signal.signal(signal.SIGALRM, raise_timeout)
    before = threading.active_count()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Timeout):
            make_trainer(units=256).fit(*make_data(4096), epochs=10**9, batch_size=256, n_threads=2)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert threading.active_count() == before


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to the own process")
@pytest.mark.parametrize("makes", ["make_trainer()", "fastnn.GAN(mlp(2, [8], X.shape[1]), mlp(X.shape[1], [8], 1))"])
def test_a_storm_of_ctrl_c_leaves_no_thread_behind_and_no_epoch_out(makes):
    done = python(
        """
        import os, signal, threading, time, warnings
        import fastnn
        from citizen import make_data, make_trainer, train

        warnings.simplefilter("ignore")
        X, y = make_data(64)
        mlp = fastnn.Network.mlp

        def fit(trainer, **options):
            is_gan = isinstance(trainer, fastnn.GAN)
            trainer.fit(*((X,) if is_gan else (X, y)), batch_size=64, n_threads=2, **options)

        fit(MAKES)
        before, handler = threading.active_count(), signal.getsignal(signal.SIGINT)

        def storm(seconds, may_begin, is_over):
            may_begin.wait()
            time.sleep(seconds)
            while not is_over.is_set():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.0001)

        n_interrupted = 0
        for i in range(30):
            trainer = MAKES
            may_begin, is_over = threading.Event(), threading.Event()
            thread = threading.Thread(target=storm, args=(0.001 * i, may_begin, is_over))
            thread.start()
            while True:
                try:
                    may_begin.set()  # not before: an interrupt outside of this block is nobody's to catch
                    fit(trainer, epochs=10**9)
                    n_interrupted += 1
                    break
                except KeyboardInterrupt:
                    if trainer.step:
                        break
            while thread.is_alive():
                try:
                    is_over.set()
                    thread.join()
                except KeyboardInterrupt:
                    pass
            assert not trainer.is_training
            assert trainer.epochs_done == len(trainer.history.epoch), (trainer.epochs_done, trainer.history.epoch)
            assert trainer.step in (trainer.epochs_done, trainer.epochs_done + 1)  # one step an epoch
            assert all(len(column) == trainer.epochs_done for column in trainer.history.history.values())
            deadline = time.monotonic() + 10
            while threading.active_count() > before and time.monotonic() < deadline:
                time.sleep(0.001)
            assert threading.active_count() == before, threading.enumerate()
            assert signal.getsignal(signal.SIGINT) is handler
        assert train() == train()
        print("sound")
    """.replace("MAKES", makes)
    )
    assert done.stdout.split() == ["sound"], done.stderr


def test_an_interrupt_between_any_two_lines_leaves_no_epoch_out(monkeypatch):
    """The history is what counts: an epoch that it has is done, one that it has not is not."""
    from fastnn.training.history import History

    X, y = make_data(64)
    for name, own in (("append", History.append), ("take", History.take)):
        for before in (True, False):
            trainer = make_trainer()
            hook = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=1.0))
            trainer.fit(X, y, epochs=2, batch_size=64, callbacks=[hook])

            def interrupted(self, *arguments, _own=own, _before=before):
                if not _before:
                    _own(self, *arguments)
                raise KeyboardInterrupt

            with monkeypatch.context() as patch, pytest.warns(UserWarning, match="interrupted"):
                patch.setattr(History, name, interrupted)
                trainer.fit(X, y, epochs=2, batch_size=64, callbacks=[hook])
            n_done = 2 if name == "append" and before else 3
            assert trainer.epochs_done == len(trainer.history.epoch) == n_done
            assert trainer.fit(X, y, batch_size=64).epoch == list(range(n_done + 1))


def test_a_hook_that_catches_ctrl_c_does_not_make_training_deaf():
    trainer, caught = make_trainer(), []

    def on_epoch_end(epoch, logs):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            caught.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        trainer.fit(*make_data(), epochs=9, callbacks=[fastnn.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)])
    assert caught == [0, 1, 2] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_ends_the_last_hook_of_a_user_s_callback():
    trainer, other = make_trainer(), []

    class Slow(fastnn.Callback):
        def on_train_end(self):
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("it was not interrupted")

    class Other(fastnn.Callback):
        def on_train_end(self):
            other.append(True)

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(*make_data(), callbacks=[Other(), Slow()])
    assert other == [True] and trainer.history.epoch == [0] and not trainer.is_training


def test_interrupts_wait_while_the_gate_is_closed():
    from fastnn.common.interrupts import InterruptGate

    reached = []
    with pytest.raises(KeyboardInterrupt), InterruptGate() as gate:
        gate.open()
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            reached.append("first")
        signal.raise_signal(signal.SIGINT)  # waits for the end of the block
        reached.append("cleaned up")
    assert reached == ["first", "cleaned up"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
