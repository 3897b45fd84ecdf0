"""Threads that cannot be had: limits of containers, gevent in the threads' place, forks while kernels compile."""

import os
import threading
import time

import numpy as np
import pytest

import fastnn
from citizen import make_data, make_trainer, python, train
from fastnn import engine
from fastnn.engine import team
from fastnn.engine.team import Team, share_out


@pytest.fixture
def starts(monkeypatch):
    """How many more threads the system lets this process start: 0 until a test says otherwise."""
    start, left = threading.Thread.start, [0]

    def start_or_refuse(thread):
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)

    def as_if_three_paid(plan, dtype, n_rows, wanted=None):
        return wanted or 3

    for function in (
        "fastnn.training.trainer.threads_to_train",
        "fastnn.training.trainer.threads_to_infer",
        "fastnn.model.network.threads_to_infer",
        "fastnn.estimators.solvers.threads_to_train",
    ):
        monkeypatch.setattr(function, as_if_three_paid)
    return left


@pytest.mark.parametrize("n_started", [0, 1])
def test_fit_evaluate_and_predict_work_alone(starts, n_started):
    X, y = make_data(5000)
    other = make_trainer()
    starts[0] = n_started
    other.fit(X, y, batch_size=128, epochs=2)
    starts[0] = n_started
    logs = other.evaluate(X, y)
    starts[0] = n_started
    outputs = other.network.predict(X)
    assert np.isfinite(logs["loss"])
    np.testing.assert_array_equal(outputs[:10], other.network.predict(X[:10]))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastnn")]


def test_threads_that_were_asked_for_are_an_error_that_changes_nothing(starts, monkeypatch):
    trainer = make_trainer()
    before = trainer.network.parameters.copy()
    with pytest.raises(RuntimeError, match=r"n_threads=3 .*can't start new thread.*n_threads=None"):
        trainer.fit(*make_data(), batch_size=128, n_threads=3)
    np.testing.assert_array_equal(trainer.network.parameters, before)
    assert trainer.history.epoch == []


def test_estimators_work_alone(starts):
    X, y = make_data()
    model = fastnn.MLPClassifier([8], solver="lbfgs", max_iter=3, tol=1.0, random_state=0).fit(X, y)
    assert model.predict(X).shape == (600,)
    ensemble = fastnn.MLPClassifier([8], n_estimators=2, max_iter=9, tol=10.0, n_iter_no_change=1, random_state=0)
    assert ensemble.fit(X, y).predict(X).shape == (600,)


def test_many_networks_are_trained_in_the_calling_thread(starts):
    X, y = make_data()
    trainers = [make_trainer(seed) for seed in range(3)]
    histories = fastnn.fit_many(trainers, X, y, epochs=2, batch_size=128)
    assert [history.epoch for history in histories] == [[0, 1]] * 3


def test_control_c_in_the_calling_thread_ends_all_of_them(starts):
    class Interrupt(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            raise KeyboardInterrupt

    trainers = [make_trainer(seed) for seed in range(3)]
    with pytest.warns(UserWarning, match="interrupted"):
        histories = fastnn.fit_many(trainers, *make_data(), epochs=2, callbacks=[Interrupt()])
    assert [history.stop_reason for history in histories] == ["interrupted"] * 3
    assert [history.epoch for history in histories] == [[0], [], []]


@pytest.mark.parametrize("n_started", [0, 1, 2])
def test_share_out_goes_on_with_those_that_started(starts, n_started):
    starts[0] = n_started
    done = []
    share_out(done.append, range(20), n_threads=4)
    assert sorted(done) == list(range(20))


# -- gevent ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def green(monkeypatch):
    """As if gevent had put its own function in the place of the system's."""

    def start_new_thread(function, args=(), kwargs=None):
        raise AssertionError("no thread of gevent's is started")

    start_new_thread.__module__ = "gevent.thread"
    monkeypatch.setattr(team._thread, "start_new_thread", start_new_thread)


def test_a_team_of_green_threads_is_the_caller_alone(green):
    assert Team(4).n_threads == 1
    with pytest.warns(RuntimeWarning, match=r"n_threads=4 becomes 1: gevent"):
        assert Team(4, is_wanted=True).n_threads == 1
    done = []
    share_out(done.append, range(4), n_threads=3)
    assert done == [0, 1, 2, 3]


def test_threads_that_a_debugger_follows_are_real(monkeypatch):
    start = team._thread.start_new_thread
    monkeypatch.setattr(team._thread, "start_new_thread", lambda *arguments: start(*arguments))
    assert team.are_real()


GEVENT = """
    import gevent.monkey
    gevent.monkey.patch_all()
    import warnings
    import numpy as np
    import fastnn
    from citizen import make_data, make_trainer, train
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(n_threads=2)
    assert "gevent" in str(caught[-1].message), caught
    trainer = make_trainer()
    trainer.fit(*make_data())
    trainer.network.predict(np.zeros((10_000, 16)))
    fastnn.fit_many([make_trainer(seed) for seed in range(2)], *make_data(), epochs=2)
    print("done")
"""


def test_under_gevent():
    pytest.importorskip("gevent")
    done = python(GEVENT, timeout=60)
    assert done.stdout.split() == ["done"], done.stderr


# -- forks -------------------------------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
FORKS = """
    import os, threading, warnings
    warnings.simplefilter("ignore")
    import numba
    import fastnn
    from fastnn.kernels.random import shuffle

    def compile_one():
        numba.njit(lambda x: [x + i for i in range(x)])(3)

    compile_one()
    is_over = threading.Event()

    def compile_many():
        while not is_over.is_set():
            compile_one()

    thread = threading.Thread(target=compile_many)
    thread.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            compile_one()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    is_over.set()
    thread.join()
    print("done")
"""


@needs_fork
def test_fork_while_another_thread_compiles():
    """The child compiles, too: numba's lock is not held by a thread that it has not."""
    done = python(FORKS, timeout=120)
    assert done.stdout.split() == ["done"], done.stderr


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(engine, "_SECONDS", 0.05)
    is_held, may_end = threading.Event(), threading.Event()

    def hold():
        with engine.global_compiler_lock:
            is_held.set()
            may_end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait(30)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert time.monotonic() - began < 20
    may_end.set()
    thread.join()
    assert not engine.global_compiler_lock.is_locked()
    assert train() == train()
