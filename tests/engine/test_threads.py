"""One network trained by several threads: the same numbers, whatever their number; and no thread stays behind."""

import os
import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import fastnn
from fastnn.common.cpus import available_cpus, cpu_quota
from fastnn.engine.team import Team, share_out
from fastnn.engine.workspace import threads_to_infer, threads_to_train


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1003, 20)).astype(np.float32)
    return X, generator.integers(0, 5, 1003)


def fitted(data, n_threads, *, dtype="float32", dropout=0.3, optimizer="adam", batch_size=300, **options):
    network = fastnn.Network.mlp(20, [33], 5, dropout=dropout, output="softmax", seed=3, dtype=dtype)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"], optimizer=optimizer)
    trainer.fit(*data, epochs=3, batch_size=batch_size, n_threads=n_threads, **options)
    return trainer


@pytest.mark.parametrize("n_threads", [2, 3, 5, 64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_change_results_by_rounding_only(data, n_threads, dtype):
    # Dropout is on: other masks would give other parameters altogether.
    alone = fitted(data, 1, dtype=dtype, validation_split=0.2)
    shared = fitted(data, n_threads, dtype=dtype, validation_split=0.2)
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(shared.network.parameters, alone.network.parameters, rtol=tolerance, atol=tolerance)
    for name, curve in alone.history.history.items():
        np.testing.assert_allclose(shared.history.history[name], curve, rtol=tolerance)


def test_same_seed_and_threads_give_the_same_bits(data):
    first, second = fitted(data, 3), fitted(data, 3)
    assert np.array_equal(first.network.parameters, second.network.parameters)
    assert first.history.history == second.history.history


def test_how_calls_are_cut_does_not_change_the_bits(data):
    plain = fitted(data, 2, batch_size=64)
    network = fastnn.Network.mlp(20, [33], 5, dropout=0.3, output="softmax", seed=3)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy")
    trainer._state.steps_a_call = 10_000
    trainer.fit(*data, epochs=3, batch_size=64, n_threads=2)
    assert np.array_equal(trainer.network.parameters, plain.network.parameters)


@pytest.mark.parametrize("batch_size", [None, 1, 31, 32, 33, 64, 65, 1002])
def test_batches_that_do_not_divide_by_threads_or_panels(data, batch_size):
    alone = fitted(data, 1, dtype="float64", batch_size=batch_size)
    shared = fitted(data, 3, dtype="float64", batch_size=batch_size)
    np.testing.assert_allclose(shared.network.parameters, alone.network.parameters, rtol=1e-11, atol=1e-13)


def test_sample_weights_are_shared_out_with_their_rows(data):
    weights = np.random.default_rng(1).random(1003)
    alone = fitted(data, 1, dtype="float64", sample_weight=weights)
    shared = fitted(data, 4, dtype="float64", sample_weight=weights)
    np.testing.assert_allclose(shared.network.parameters, alone.network.parameters, rtol=1e-11, atol=1e-13)


def test_divergence_stops_every_thread(data):
    X, y = data
    network = fastnn.Network.mlp(20, [33], 1, seed=3)
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e30))
    n_before = threading.active_count()
    with pytest.raises(FloatingPointError, match="stopped being finite"):
        trainer.fit(X, y, epochs=5, batch_size=128, n_threads=3)
    assert threading.active_count() == n_before
    assert np.array_equal(network.parameters, before)
    trainer = fastnn.Trainer(network, loss="mse")  # and the next fit works
    assert np.isfinite(trainer.fit(X, y, n_threads=3, batch_size=128).history["loss"][0])


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "two", True])
def test_wrong_n_threads(data, n_threads):
    with pytest.raises((ValueError, TypeError), match="n_threads"):
        fitted(data, n_threads)


def test_blas_pools_are_left_alone(data):
    """No BLAS is called while training, so there is nothing to hold back and nothing to restore."""
    before = threadpool_info()
    seen = []

    class Look(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(threadpool_info())

    fitted(data, 2, callbacks=[Look()])
    assert seen == [before] * 3
    assert threadpool_info() == before


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-helper")]


def test_helpers_end_with_the_fit(data):
    seen = []

    class Look(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append(len(helpers()))

    fitted(data, 4, callbacks=[Look()])
    assert seen == [3, 3, 3]
    assert not helpers()


def test_helpers_wait_through_a_slow_callback_and_a_change_of_kernel(data):
    """Long enough for them to nap; and evaluation calls the same kernel with other arguments, in turn with training."""

    class Dawdle(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            time.sleep(0.05)

    slow = fitted(data, 2, validation_split=0.3, callbacks=[Dawdle()])
    quick = fitted(data, 2, validation_split=0.3)
    assert slow.history.history == quick.history.history
    assert np.array_equal(slow.network.parameters, quick.network.parameters)


def test_a_lost_team_dismisses_its_helpers():
    team = Team(3)
    threads = list(team._threads)
    del team
    for helper in threads:
        helper.join(timeout=10)
        assert not helper.is_alive()


def test_an_error_in_a_helper_reaches_the_caller():
    def fails_in_one(jobs, thread, n_steps):
        if thread == 1:
            jobs.set()
            raise ArithmeticError("in a helper")
        jobs.wait(10)

    with Team(3) as team, pytest.raises(ArithmeticError, match="in a helper"):
        while True:  # the helper's error may come in just after the caller's part is done
            team.run(fails_in_one, threading.Event(), 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", None), ("150000 100000", 1.5), ("20000 100000", 0.2)],
)
def test_cpu_quota_of_a_control_group(tmp_path, text, expected):
    (tmp_path / "cgroup").write_text("0::/outer/inner\n")
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "cpu.max").write_text(text + "\n")  # the limit is on the group above
    (tmp_path / "outer" / "inner" / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path / "cgroup", tmp_path) == expected


def test_cpu_quota_of_an_old_control_group(tmp_path):
    (tmp_path / "cgroup").write_text("4:cpu,cpuacct:/docker/1\n0::/docker/1\n")
    folder = tmp_path / "cpu" / "docker" / "1"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("300000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path / "cgroup", tmp_path) == 3.0
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpu_quota(tmp_path / "cgroup", tmp_path) is None


def test_omp_num_threads_is_respected(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1,4")
    assert available_cpus() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert available_cpus() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert available_cpus() >= 1


def test_a_quota_below_the_affinity_counts(monkeypatch):
    monkeypatch.setattr("fastnn.common.cpus._QUOTA_SECONDS", 0.0)
    monkeypatch.setattr("fastnn.common.cpus.cpu_quota", lambda: 0.5)
    assert available_cpus() == 1
    monkeypatch.setattr("fastnn.common.cpus.cpu_quota", lambda: 1.9)
    assert available_cpus() == 1
    monkeypatch.setattr("fastnn.common.cpus.cpu_quota", lambda: None)
    assert available_cpus() >= 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_do_not_depend_on_the_cut(monkeypatch, dtype):
    X = np.random.default_rng(0).standard_normal((20_001, 7))
    network = fastnn.Network.mlp(7, [19], 3, activation="tanh", output="softmax", seed=0, dtype=dtype)
    whole = np.concatenate([network.predict(X[i : i + 97]) for i in range(0, len(X), 97)])
    for n_threads in (1, 2, 7):
        monkeypatch.setattr("fastnn.model.network.threads_to_infer", lambda *arguments, n=n_threads: n)
        before = threading.active_count()
        assert np.array_equal(network.predict(X), whole)
        assert threading.active_count() == before
        out = np.full((len(X), 6), np.nan, dtype)[:, ::2]
        assert network.predict(X[::-1], out=out) is out
        assert np.array_equal(out[::-1], whole)


def test_evaluation_is_shared_out(monkeypatch, data):
    trainer = fitted(data, 1)
    alone = trainer.evaluate(*data)
    monkeypatch.setattr("fastnn.training.trainer.threads_to_infer", lambda *arguments: 3)
    shared = trainer.evaluate(*data)
    assert shared["accuracy"] == alone["accuracy"]
    np.testing.assert_allclose(shared["loss"], alone["loss"], rtol=1e-6)
    assert trainer.evaluate(*data) == shared


def test_a_quota_is_read_once_a_second(monkeypatch):
    reads = []
    monkeypatch.setattr("fastnn.common.cpus.cpu_quota", lambda: reads.append(1))
    monkeypatch.setattr("fastnn.common.cpus._known_quota", (time.monotonic() - 2.0, 0.5))
    assert available_cpus() == available_cpus() >= 1
    assert len(reads) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity can be set on Linux only")
@pytest.mark.skipif(available_cpus() < 2, reason="this process may use one CPU only")
def test_helpers_keep_off_the_callers_cpu():
    """For as long as they work, and nobody else is moved; with more threads than CPUs they may go anywhere."""
    before = os.sched_getaffinity(0)
    masks = []
    meeting = threading.Barrier(2, timeout=60)

    def work(item):
        masks.append((threading.get_ident(), os.sched_getaffinity(0)))
        meeting.wait()

    share_out(work, range(2), n_threads=2)
    of = dict(masks)
    assert of.pop(threading.get_ident()) == before
    (helpers,) = of.values()
    assert helpers < before and len(helpers) == len(before) - 1
    assert os.sched_getaffinity(0) == before

    seen = []
    with Team(2) as team:
        team.run(lambda jobs, thread, n_steps: seen.append((thread, os.sched_getaffinity(0))), None, 1)
    assert dict(seen)[0] == before == os.sched_getaffinity(0)
    assert len(dict(seen)[1]) == len(before) - 1

    seen.clear()
    with Team(len(before) + 1) as team:
        team.run(lambda jobs, thread, n_steps: seen.append((thread, os.sched_getaffinity(0))), None, 1)
    assert all(mask == before for _, mask in seen)


def test_share_out_stops_at_the_first_error():
    begun = []

    def work(item):
        begun.append(item)
        if item == 2:
            raise ArithmeticError("no more")

    with pytest.raises(ArithmeticError, match="no more"):
        share_out(work, range(1000), n_threads=2)
    assert len(begun) < 1000


def test_none_takes_one_thread_for_small_steps_and_all_cpus_for_large(monkeypatch):
    monkeypatch.setattr("fastnn.common.cpus.available_cpus", lambda: 4)
    small, large = fastnn.Network.mlp(64, [64], 10).plan, fastnn.Network.mlp(784, [512, 512], 10).plan
    float32 = np.dtype(np.float32)
    assert threads_to_train(small, float32, 32, None) == 1
    assert threads_to_train(large, float32, 256, None) == 4
    assert threads_to_train(large, float32, 128, None) == 2
    assert threads_to_train(large, float32, 64, None) == 1  # two panels a thread
    assert threads_to_train(large, float32, 128, 3) == 3
    assert threads_to_train(large, float32, 64, 100) == 2
    assert threads_to_infer(small, float32, 1000) == 1
    assert threads_to_infer(large, float32, 10_000) == 4


@pytest.mark.parametrize(
    ("optimizer", "layer"),
    [
        (fastnn.optimizers.SGD(0.1, momentum=0.9), {}),
        (fastnn.optimizers.Adam(clipnorm=0.01), {}),
        (fastnn.optimizers.Adam(global_clipnorm=0.01), {}),
        (fastnn.optimizers.SGD(0.1, clipvalue=1e-3), {"kernel_regularizer": 0.01}),
        (fastnn.optimizers.SGD(0.1), {"kernel_regularizer": 0.01, "bias_regularizer": 0.1}),
        (fastnn.optimizers.SGD(1.0), {"kernel_constraint": fastnn.constraints.MaxNorm(0.5)}),
        (fastnn.optimizers.AdamW(0.01, weight_decay=0.1), {}),
    ],
    ids=["momentum", "clipnorm", "global_clipnorm", "clipvalue", "penalties", "max_norm", "weight_decay"],
)
def test_what_comes_between_gradient_and_update(data, optimizer, layer):
    """Clipping, penalties and constraints look at more than a thread's range; the network spans many pieces of it."""
    found = []
    for n_threads in (1, 3):
        hidden = [fastnn.Dense(200, "tanh", **layer), fastnn.Dense(150, "tanh")]
        network = fastnn.Network([fastnn.Input(20), *hidden, fastnn.Dense(5, "softmax")], seed=3, dtype="float64")
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=optimizer)
        history = trainer.fit(*data, epochs=2, batch_size=300, n_threads=n_threads, seed=0)
        found.append((network.parameters, history.history["loss"]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-11)
