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
