"""A good citizen among processes: after os.fork, in multiprocessing's three ways of starting, and in joblib's loky."""

import multiprocessing
import os
import sys
import warnings

import pytest

import fastnn
from citizen import make_data, make_trainer, train

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def in_a_fork(work) -> bytes:
    """What `work` returns in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, work())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return answer


@needs_fork
def test_after_fork_child_and_parent_train_alike():
    expected = train()
    assert in_a_fork(train) == expected
    assert train() == expected


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_callback_that_forks_can_even_go_on_training_in_the_child():
    """A fork takes the calling thread along, not the helpers: the child's team finds new ones."""
    expected = train()

    class Forks(fastnn.Callback):
        answer = None

        def on_epoch_end(self, epoch, logs):
            if epoch == 0:
                self.answer = in_a_fork(lambda: self._finish() or train())

        def _finish(self):
            """Do two more epochs in the child with the very team of this fit."""
            self.loop._run_epochs()

    forks = Forks()
    trainer = make_trainer()
    # The loop itself, whose team the fork copies.
    original = fastnn.training.trainer.TrainingLoop

    class Loop(original):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            forks.loop = self

    fastnn.training.trainer.TrainingLoop = Loop
    try:
        trainer.fit(*make_data(), epochs=3, batch_size=128, n_threads=2, callbacks=[forks])
    finally:
        fastnn.training.trainer.TrainingLoop = original
    assert forks.answer == expected
    assert trainer.network.parameters.tobytes() == expected


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing(method):
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings():
        if sys.version_info >= (3, 12):  # pytest-xdist has threads of its own
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        with context.Pool(2) as pool:
            results = pool.map_async(train, range(3)).get(timeout=120)
            pool.close()
            pool.join()
    assert results == [train(seed) for seed in range(3)]


@needs_fork
def test_fork_while_another_thread_trains():
    import threading

    stop = threading.Event()

    class Stops(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            if stop.is_set():
                self.trainer.stop_training = True

    trainer = make_trainer()
    thread = threading.Thread(
        target=lambda: trainer.fit(
            *make_data(), epochs=10**9, batch_size=128, n_threads=2, callbacks=[Stops()]
        )
    )  # fmt: skip
    expected = train(1)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            for _ in range(5):
                assert in_a_fork(lambda: train(1)) == expected
    finally:
        stop.set()
        thread.join()


def test_joblib_loky():
    joblib = pytest.importorskip("joblib")
    results = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(train)(seed) for seed in range(4))
    assert results == [train(seed) for seed in range(4)]
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
