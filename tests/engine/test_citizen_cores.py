"""A good citizen on few cores: far more threads than cores, and fewer cores than there seem to be."""

import os
import time

import pytest

from citizen import make_data, make_trainer, python


def test_far_more_threads_than_cores_come_to_an_end():
    X, y = make_data(64 * 32 * 2)
    few, many = make_trainer(), make_trainer()
    few.fit(X, y, epochs=2, batch_size=64 * 32, n_threads=1)
    started = time.perf_counter()
    many.fit(X, y, epochs=2, batch_size=64 * 32, n_threads=64)
    assert time.perf_counter() - started < 20  # some milliseconds of work; a livelock would last for ever
    assert abs(few.network.parameters - many.network.parameters).max() < 1e-5


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_with_one_core_taken_away():
    done = python("""
        import os, time
        from citizen import make_data, make_trainer, train
        from fastnn.common.cpus import available_cpus
        import fastnn.engine.workspace as engine, numpy as np

        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        assert available_cpus() == 1
        plan = make_trainer(units=2000).network.plan
        assert engine.threads_to_train(plan, np.dtype(np.float32), 4096, None) == 1
        X, y = make_data(4096)
        trainer = make_trainer()
        trainer.fit(X, y, epochs=1, batch_size=128, n_threads=2)
        started = time.perf_counter()
        trainer.fit(X, y, epochs=20, batch_size=128, n_threads=2)
        print((time.perf_counter() - started) / 20 / 32)
    """)
    assert done.returncode == 0, done.stderr
    # A step lasts tens of microseconds, with some for changing threads. Had a waiting thread to use up its time slice
    # (milliseconds) before the other may run, it would be far above this.
    assert float(done.stdout) < 2e-3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_affinity_taken_away_in_the_middle_of_a_fit():
    done = python("""
        import os
        import fastnn
        from citizen import make_data, make_trainer, train

        class Confine(fastnn.Callback):
            def on_epoch_end(self, epoch, logs):
                for task in os.listdir("/proc/self/task"):  # helpers too
                    os.sched_setaffinity(int(task), {min(os.sched_getaffinity(0))})

        trainer = make_trainer()
        trainer.fit(*make_data(), epochs=3, batch_size=128, n_threads=2, callbacks=[Confine()])
        print(trainer.network.parameters.tobytes() == train())
    """)
    assert done.stdout.strip() == "True", done.stderr
