"""A good citizen among threads: fits at once, in threads of any origin, and in joblib's and Dask's."""

import _thread
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from citizen import make_data, make_trainer, train


def test_fits_in_several_threads_at_once_have_the_bits_of_fits_alone():
    expected = [train(seed) for seed in range(6)]
    before = threading.active_count()
    barrier = threading.Barrier(6)

    def at_once(seed):
        barrier.wait()
        return train(seed)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(at_once, range(6))) == expected
    assert threading.active_count() == before


def test_one_network_predicts_in_several_threads_at_once():
    X, _ = make_data(9000)
    network = make_trainer().network
    expected = network.predict(X)
    with ThreadPoolExecutor(4) as pool:
        for outputs in pool.map(lambda _: network.predict(X), range(12)):
            assert (outputs == expected).all()


def test_in_a_thread_that_python_did_not_start_as_a_thread_object():
    """As in workers that C or Rust started (Ray, uvloop): threading knows such a thread only as a dummy."""
    done, results = threading.Event(), []

    def work():
        results.append(train(1))
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(60)
    assert results == [train(1)]


def test_in_joblib_threads():
    joblib = pytest.importorskip("joblib")
    results = joblib.Parallel(n_jobs=3, backend="threading")(joblib.delayed(train)(seed) for seed in range(6))
    assert results == [train(seed) for seed in range(6)]


def test_in_a_dask_scheduler_of_threads():
    dask = pytest.importorskip("dask")
    tasks = [dask.delayed(train)(seed) for seed in range(4)]
    assert list(dask.compute(*tasks, scheduler="threads", num_workers=2)) == [train(seed) for seed in range(4)]


def test_in_a_dask_worker():
    distributed = pytest.importorskip("distributed")
    # One worker in this process: its tasks run in threads of its own executor.
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert client.gather(client.map(train, range(4))) == [train(seed) for seed in range(4)]
