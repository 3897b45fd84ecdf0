"""A good citizen over time: 1,000 fits leave no thread, file handle or memory behind."""

import sys

import pytest

from citizen import python


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_thousand_fits_leave_nothing_behind():
    done = python("""
        import gc, os, threading
        from citizen import make_data, make_trainer

        def resident():  # bytes
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        X, y = make_data(256)

        def fits(n):
            for seed in range(n):
                trainer = make_trainer(seed)
                trainer.fit(X, y, epochs=2, batch_size=128, n_threads=2, validation_split=0.25)
                trainer.network.predict(X)
            gc.collect()

        fits(100)  # whatever is allocated once
        before = resident(), len(os.listdir("/proc/self/fd")), threading.active_count()
        fits(1000)
        after = resident(), len(os.listdir("/proc/self/fd")), threading.active_count()
        print(after[0] - before[0], after[1] - before[1], after[2] - before[2], len(os.listdir("/proc/self/task")))
    """)
    assert done.returncode == 0, done.stderr
    growth, files, threads, tasks = map(int, done.stdout.split())
    assert (files, threads) == (0, 0)
    assert tasks <= 4  # the main one, and those that BLAS may have started at import
    assert growth < 2_000_000  # a workspace left behind by each fit would be 40 MB
