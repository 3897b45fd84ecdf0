"""Workers that die, come and go, data that are wrong or lost, and what is left on a cluster afterwards.

A worker is killed by code that a test puts in the place of a function of `fastnn.distributed.work`: in all worker
processes, and the first that gets there removes a token. Workers that start afterwards have the original.
"""

import os
import signal
import threading
import time

import dask
import dask.array as da
import dask.bag
import numpy as np
import pytest

import fastnn
from distributed import Client, LocalCluster
from distributed_support import assert_same_bits, make_data, make_trainer
from fastnn import distributed as fd

# bench/distributed.py has all of them twenty times.
TIMES = int(os.environ.get("FASTNN_KILLS", "1"))
PHASES = {"load": "check_chunk", "start": "open_start", "train": "_train_shard", "average": "merge"}


def chunked(X, y, size):
    return da.from_array(X, chunks=(size, X.shape[1])), da.from_array(y, chunks=size)


def kill_in(name, token):
    """Replace a function by one that kills its process if it can remove the token. Runs on a worker."""
    import os
    import pathlib
    import signal

    from fastnn.distributed import work

    original = getattr(work, name)

    def killing(*arguments):
        try:
            pathlib.Path(token).unlink()
        except FileNotFoundError:
            return original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    killing.__name__ = name
    setattr(work, name, killing)


def wait_for_two(client):
    """Wait for the place of a worker that died to be taken; on a busy machine its nanny may have failed to do so."""
    for n_workers in (3, 4, 5):
        try:
            client.wait_for_workers(2, timeout=20)
            return
        except TimeoutError:
            client.cluster.scale(n_workers)
    client.wait_for_workers(2, timeout=60)


@pytest.fixture
def restored(victims):
    """Two workers; where one has died, another has taken its place."""
    wait_for_two(victims)
    return victims


@pytest.fixture(scope="module")
def expected():
    X, y = make_data()
    trainer = make_trainer()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        fd.fit(trainer, *chunked(X, y, 75), rounds=3, client=client)
    return trainer


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_killed_in_any_phase_of_a_round_changes_no_bit(restored, expected, tmp_path, phase):
    X, y = make_data()
    for i in range(TIMES):
        token = tmp_path / f"token-{i}"
        token.touch()
        # A task finds its own function by name when it arrives; one that the task calls is found in the module.
        # One that has died may still be on the scheduler's list.
        restored.run(kill_in, PHASES[phase], str(token), on_error="ignore")
        trainer = make_trainer()
        fd.fit(trainer, *chunked(X, y, 75), rounds=3, client=restored)
        assert not token.exists(), "no worker was killed"
        assert_same_bits(trainer, expected)
        wait_for_two(restored)


def test_a_cluster_that_shrinks_to_nothing_and_comes_back(expected):
    X, y = make_data()
    trainer = make_trainer()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        returned = []

        def shrink(epoch):
            if epoch == 1:
                for worker in list(cluster.workers.values()):
                    cluster.sync(worker.close)
                assert not client.nthreads()
                returned.append(threading.Timer(0.3, cluster.scale, [2]))
                returned[0].start()

        hook = fastnn.callbacks.LambdaCallback(on_epoch_begin=shrink)
        fd.fit(trainer, *chunked(X, y, 75), rounds=3, client=client, callbacks=[hook])
        returned[0].join()
    assert_same_bits(trainer, expected)


def test_all_workers_gone_while_data_are_loaded(expected):
    X, y = make_data()
    trainer = make_trainer()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):

        def slow(block):
            time.sleep(0.2)
            return block

        def replace():
            while not any(client.processing().values()):
                time.sleep(0.01)
            for worker in list(cluster.workers.values()):
                cluster.sync(worker.close)
            time.sleep(0.3)
            cluster.scale(2)

        a, b = chunked(X, y, 75)
        thread = threading.Thread(target=replace)
        thread.start()
        fd.fit(trainer, a.map_blocks(slow, meta=np.empty((0, 4), np.float32)), b, rounds=3, client=client)
        thread.join()
    assert_same_bits(trainer, expected)


def test_data_that_cannot_come_back_are_named_and_the_last_round_stays(restored):
    X, y = make_data()
    workers = sorted(restored.nthreads())
    xs = [restored.scatter(X[:300], workers=workers[:1]), restored.scatter(X[300:], workers=workers[1:])]
    ys = [restored.scatter(y[:300], workers=workers[:1]), restored.scatter(y[300:], workers=workers[1:])]
    trainer, one = make_trainer(), make_trainer()
    fd.fit(one, xs, ys, rounds=1, client=restored)

    def kill(epoch):
        if epoch == 1:
            # Whoever has the chunk or its shard: on a busy machine Dask may have moved them.
            where = restored.who_has()
            keys = [key for key in where if key in (xs[1].key, ys[1].key) or str(key).endswith("shard-1")]
            for worker in sorted({worker for key in keys for worker in where[key]}):
                pid = restored.submit(os.getpid, workers=[worker], pure=False).result()
                killing = restored.submit(os.kill, pid, signal.SIGKILL, workers=[worker], pure=False)
                while worker in restored.nthreads():
                    time.sleep(0.01)
                killing.release()

    hook = fastnn.callbacks.LambdaCallback(on_epoch_begin=kill)
    with pytest.raises(RuntimeError, match=r"chunk 1 of X, y or sample_weight died with a worker"):
        fd.fit(trainer, xs, ys, rounds=3, client=restored, callbacks=[hook])
    assert_same_bits(trainer, one)


def nothing_is_left(client):
    """Whether scheduler and workers soon know of no task."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        tasks = client.run_on_scheduler(lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks)))
        if not tasks:
            return True
        time.sleep(0.02)
    raise AssertionError(tasks)


def test_nothing_is_left_on_the_cluster(client):
    X, y = make_data()
    a, b = chunked(X, y, 100)
    nothing_is_left(client)

    def threads():
        return client.run(lambda: threading.active_count())

    fd.fit(make_trainer(), a, b, rounds=1, validation_data=(a, b), client=client)
    before = threads()
    for _ in range(3):
        fd.fit(make_trainer(), a, b, rounds=2, validation_data=(a, b), client=client)
        fd.evaluate(make_trainer(), a, b, client=client)
    assert nothing_is_left(client)
    assert max(threads().values()) <= max(before.values())

    def fail(epoch, logs):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        hook = fastnn.callbacks.LambdaCallback(on_epoch_end=fail)
        fd.fit(make_trainer(), a, b, rounds=2, client=client, callbacks=[hook])
    assert nothing_is_left(client)


def test_control_c_ends_training_with_the_last_finished_round(client):
    X, y = make_data(40000)
    a, b = chunked(X, y, 10000)
    trainer, one = make_trainer(), make_trainer()
    fd.fit(one, a, b, rounds=1, epochs_per_round=1, client=client)

    def interrupt(epoch):
        if epoch == 1:
            threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
            # Many epochs: the round would take a minute if nobody stopped it.
            hook_session["epochs"] = 2000

    hook_session = None
    from fastnn.distributed.session import Session

    class Watched(fastnn.Callback):
        def on_epoch_begin(self, epoch):
            interrupt(epoch)

    original = Session.__enter__

    def enter(self):
        nonlocal hook_session
        hook_session = self._options
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "__enter__", enter)
        began = time.monotonic()
        with pytest.warns(UserWarning, match="Training was interrupted"):
            history = fd.fit(trainer, a, b, rounds=3, client=client, callbacks=[Watched()])
        assert time.monotonic() - began < 30
    assert history.stop_reason == "interrupted"
    assert len(history.epoch) == 1
    assert_same_bits(trainer, one)
    assert nothing_is_left(client)
    end = time.monotonic() + 10  # the workers' threads stop training within a kernel call or two
    while client.run(lambda dask_worker: len(dask_worker.state.executing)) and time.monotonic() < end:
        if not any(client.run(lambda dask_worker: len(dask_worker.active_threads)).values()):
            break
        time.sleep(0.02)
    assert not any(client.run(lambda dask_worker: len(dask_worker.active_threads)).values())


def test_a_loss_that_stops_being_finite_on_one_shard_names_it(client):
    X, _ = make_data()
    network = fastnn.Network.mlp(4, [16], 1, seed=0)
    targets = X[:, :1].copy()
    targets[250:] *= 1e19
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e19))
    before = network.parameters.copy()
    a, b = da.from_array(X, chunks=(100, 4)), da.from_array(targets, chunks=(100, 1))
    with pytest.raises(FloatingPointError, match=r"shard \d \(chunk \d\): .* stopped being finite"):
        fd.fit(trainer, a, b, rounds=2, client=client)
    np.testing.assert_array_equal(network.parameters, before)
    assert trainer.step == 0
    assert "stopped being finite" in trainer.history.stop_reason
    assert nothing_is_left(client)


def test_wrong_chunks_are_named(client):
    X, y = make_data()
    wrong = X.copy()
    wrong[450, 2] = np.nan
    a, b = chunked(X, y, 150)
    blocks = [dask.delayed(part) for part in np.split(X, 4)]
    classes = [dask.delayed(part) for part in np.split(y, 4)]

    def fit(X, y):
        fd.fit(make_trainer(), X, y, rounds=1, client=client)

    with pytest.raises(ValueError, match=r"X \(chunk 3\) must be finite, got nan in row 0, column 2"):
        fit(chunked(wrong, y, 150)[0], b)
    with pytest.raises(ValueError, match=r"y \(chunk 1\) must hold class numbers from 0 to 2, got 7"):
        fit(a, da.concatenate([b[:200], b[200:201] * 0 + 7, b[201:]]).rechunk(150))
    with pytest.raises(TypeError, match=r"X \(chunk 2\) must hold real numbers, got an array of dtype <U"):
        fit([*blocks[:2], dask.delayed(np.full((150, 4), "a")), blocks[3]], classes)
    with pytest.raises(ValueError, match=r"X \(chunk 0\) must have 4 features"):
        fit([dask.delayed(X[:150, :3]), *blocks[1:]], classes)
    with pytest.raises(ValueError, match=r"y \(chunk 0\) must have as many samples as its X \(150\)"):
        fit(blocks, [dask.delayed(y[:149]), *classes[1:]])
    assert nothing_is_left(client)


def test_another_dtype_in_one_chunk_is_converted(client):
    X, y = make_data()
    X = np.round(X * 8)
    plain, mixed = make_trainer(), make_trainer()
    parts = np.split(X, 4)
    classes = [dask.delayed(part) for part in np.split(y, 4)]
    fd.fit(plain, [dask.delayed(part) for part in parts], classes, rounds=1, client=client)
    dtypes = [np.float32, np.float64, np.int16, np.float32]
    fd.fit(mixed, [dask.delayed(p.astype(d)) for p, d in zip(parts, dtypes, strict=True)], classes, rounds=1,
           client=client)  # fmt: skip
    assert_same_bits(mixed, plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones((4, 4))}, "X must be a Dask array.*got a NumPy array; dask.array.from_array"),
        ({"y": da.ones(500, chunks=100)}, r"y must have as many rows as X \(600\), got 500"),
        ({"y": dask.delayed(np.ones)(600)}, "y must be a Dask array.*got Delayed"),
        ({"X": dask.bag.from_sequence(range(6))}, "X must be a Dask array.*got Bag"),
        ({"rounds": 0}, "rounds must be an integer >= 1, got 0"),
        ({"shards": 7}, "shards must be an integer from 1 to 6, got 7"),
        ({"outer": fastnn.Adam()}, "outer must be a fastnn.SGD"),
        ({"client": 3}, "client must be a distributed.Client"),
        ({"validation_data": 3}, "validation_data must be a tuple"),
        ({"validation_data": (np.ones((4, 3)), np.ones(4))}, "validation X must have 4 features"),
        ({"validation_data": (da.ones((4, 3)), da.ones(4))}, r"validation X \(chunk 0\) must have 4 features"),
        (
            {"callbacks": [fastnn.callbacks.LambdaCallback(on_train_batch_end=print)]},
            "must not have on_train_batch_end",
        ),
    ],
)
def test_wrong_arguments_change_nothing(client, arguments, message):
    X, y = make_data()
    a, b = chunked(X, y, 100)
    trainer = make_trainer()
    before = trainer.network.parameters.copy()
    with pytest.raises((ValueError, TypeError), match=message):
        fd.fit(trainer, **{"X": a, "y": b, "client": client, **arguments})
    np.testing.assert_array_equal(trainer.network.parameters, before)
    assert trainer.history.epoch == []
    all_rows = make_trainer(["roc_auc"])
    with pytest.raises(ValueError, match="metrics must not hold 'roc_auc' while shards train"):
        fd.fit(all_rows, a, b, client=client)


def test_clients_and_clusters_that_are_not_there(client):
    X, y = make_data()
    a, b = chunked(X, y, 100)
    # Other data than `other` trains on: a scheduler knows the keys of those for a moment after they are let go.
    persisted, there = client.persist(chunked(X + 1, y, 100)[0]), client.scatter(np.split(X, 6))
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as other,
    ):
        came = threading.Timer(0.3, cluster.scale, [1])
        came.start()
        with pytest.warns(UserWarning, match="The cluster has no worker; waiting until one comes"):
            fd.fit(make_trainer(), a, b, rounds=1, client=other)
        came.join()
        for elsewhere in (persisted, there):
            with pytest.raises(ValueError, match="X, y and sample_weight must lie on the client's cluster"):
                fd.fit(make_trainer(), elsewhere, b, client=other)
        with Client(client.cluster, set_as_default=False) as second:  # of the same cluster
            fd.fit(make_trainer(), persisted, b, rounds=1, client=second)
    for call in (fd.fit, fd.evaluate):
        with pytest.raises(ValueError, match="client must be connected to a cluster, got one that is closed"):
            call(make_trainer(), a, b, client=other)


def test_without_a_client_it_says_how_to_make_one(monkeypatch):
    import distributed

    def none():
        raise ValueError("No clients found")

    monkeypatch.setattr(distributed, "default_client", none)
    with pytest.raises(ValueError, match=r"distributed.Client\(\) makes one"):
        fd.evaluate(make_trainer(), da.ones((4, 4)), da.ones(4))


def test_workers_of_another_version_are_refused_with_both_versions_named(restored):
    X, y = make_data()

    def pretend(version):
        import fastnn

        fastnn.__version__ = version

    workers = sorted(restored.nthreads())[:1]
    restored.run(pretend, "0.0.7", workers=workers)
    message = rf"has 0\.0\.7, the client {fastnn.__version__}"
    with pytest.raises(RuntimeError, match=message):
        fd.fit(make_trainer(), *chunked(X, y, 100), client=restored)
    restored.run(pretend, fastnn.__version__, workers=workers)

    # One that comes later is found out by its first task.
    def pretend_in_tasks():
        from fastnn.distributed import work

        return work.check_version("0.0.8")

    with pytest.raises(RuntimeError, match=r"the client 0\.0\.8"):
        restored.submit(pretend_in_tasks).result()
