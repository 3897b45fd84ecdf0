"""Many networks at once give the bits that each gives alone."""

import _thread
import threading
import tracemalloc

import numpy as np
import pytest

import fastnn


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((300, 12)).astype(np.float32)
    return X, generator.integers(0, 4, 300)


def members(n=6):
    """Networks that differ in size, activation, dropout, dtype and optimizer."""
    made = []
    for i in range(n):
        network = fastnn.Network.mlp(
            12, [8 + 5 * i] * (1 + i % 2), 4, activation=("relu", "tanh")[i % 2], output="softmax",
            dropout=0.1 * (i % 3), dtype=("float32", "float64")[i // 3 % 2], seed=i,
        )  # fmt: skip
        optimizer = (fastnn.Adam(0.01), fastnn.SGD(0.1, momentum=0.9))[i % 2]
        made.append(fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"]))
    return made


@pytest.mark.parametrize("n_jobs", [1, 2, 5, None])
def test_every_member_has_the_bits_of_training_alone(data, n_jobs):
    options = {"epochs": 4, "batch_size": 32, "validation_split": 0.25, "seed": 7}
    together = members()
    histories = fastnn.fit_many(together, *data, n_jobs=n_jobs, **options)
    for trainer, history, alone in zip(together, histories, members(), strict=True):
        expected = alone.fit(*data, n_threads=1, **options)
        assert history is trainer.history
        assert history.history == expected.history
        assert np.array_equal(trainer.network.parameters, alone.network.parameters)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastnn")]


def test_integers_and_lists_are_converted_once_for_all(data):
    X = (10 * data[0]).astype(np.int16)
    together, alone = members(4), members(4)
    fastnn.fit_many(together, X.tolist(), data[1].tolist(), epochs=2)
    for one, other in zip(together, alone, strict=True):
        other.fit(X, data[1], epochs=2)
        assert np.array_equal(one.network.parameters, other.network.parameters)


def test_data_is_not_copied():
    X = np.zeros((200_000, 20), np.float32)
    y = np.zeros(200_000, np.int64)
    trainers = [
        fastnn.Trainer(fastnn.Network.mlp(20, [4], 3, output="softmax", seed=seed), loss="categorical_crossentropy")
        for seed in range(4)
    ]
    fastnn.fit_many(trainers, X[:100], y[:100])
    tracemalloc.start()
    fastnn.fit_many(trainers, X, y, n_jobs=2, batch_size=1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Each member in training has the order of its rows, 8 bytes a row; one copy of X would be 16 MB.
    assert peak < 2 * X.shape[0] * 8 * 2.5


def test_one_that_diverges_is_reported_and_the_others_go_on(data):
    X = data[0]
    targets = X[:, :1] + 1

    def trainer(optimizer):
        return fastnn.Trainer(fastnn.Network.mlp(12, [8], 1, seed=0), loss="mse", optimizer=optimizer)

    trainers = [trainer("adam"), trainer(fastnn.SGD(1e30)), trainer("adam")]
    with pytest.warns(RuntimeWarning, match=r"members 1 of fit_many diverged.*stopped being finite"):
        histories = fastnn.fit_many(trainers, X, targets, epochs=5, n_jobs=2)
    assert [len(history.epoch) for history in histories] == [5, 0, 5]
    assert "stopped being finite" in histories[1].stop_reason
    assert histories[0].stop_reason is None
    assert np.isfinite(trainers[1].network.parameters).all()


def interrupts():
    """A callback that presses Ctrl-C in the main thread, once: when the first member has done some epochs."""
    once = threading.Lock()

    class Interrupts(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 3 and once.acquire(blocking=False):
                _thread.interrupt_main()

    return Interrupts()


def test_ctrl_c_stops_all_and_keeps_what_was_reached(data):
    trainers = members(5)
    with pytest.warns(UserWarning, match="interrupted"):
        histories = fastnn.fit_many(trainers, *data, epochs=1_000_000, n_jobs=2, callbacks=[interrupts()])
    assert [history.stop_reason for history in histories] == ["interrupted"] * 5
    assert max(len(history.epoch) for history in histories) >= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastnn")]
    again = fastnn.fit_many(trainers, *data, epochs=1)  # and all can go on
    assert [history.stop_reason for history in again] == [None] * 5


def test_an_error_in_a_callback_stops_all_and_is_raised(data):
    class Breaks(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            if self.trainer.network.seed == 1:
                raise ArithmeticError("from a callback")

    with pytest.raises(ArithmeticError, match="from a callback"):
        fastnn.fit_many(members(4), *data, epochs=1_000_000, n_jobs=2, callbacks=[Breaks()])


def test_each_member_has_a_callback_of_its_own(data):
    owners = []

    class Counts(fastnn.Callback):
        def __init__(self):
            self.n = 0

        def on_epoch_end(self, epoch, logs):
            self.n += 1

        def on_train_end(self):
            owners.append((self.trainer, self.n))

    trainers = members(4)
    fastnn.fit_many(trainers, *data, epochs=3, callbacks=[Counts()])
    assert {id(trainer) for trainer, _ in owners} == {id(trainer) for trainer in trainers}
    assert [n for _, n in owners] == [3] * 4


def test_progress_over_all(data, capsys):
    fastnn.fit_many(members(3), *data, epochs=2, verbose=1)
    shown = capsys.readouterr().out
    assert "3 networks" in shown
    assert "6/6 epochs" in shown


def test_wrong_arguments(data):
    one = members(1)
    before, seed = one[0].network.parameters.copy(), one[0].seed
    with pytest.raises(ValueError, match="at least one"):
        fastnn.fit_many([], *data)
    with pytest.raises(TypeError, match=r"trainers\[1\]"):
        fastnn.fit_many([*one, "trainer"], *data)
    with pytest.raises(ValueError, match="must not share"):
        fastnn.fit_many(one * 2, *data)
    with pytest.raises(ValueError, match="n_jobs"):
        fastnn.fit_many(one, *data, n_jobs=0)
    with pytest.raises(ValueError, match="n_threads"):
        fastnn.fit_many(one, *data, n_threads=2)
    with pytest.raises(ValueError, match="features"):
        fastnn.fit_many(one, data[0][:, :3], data[1])
    with pytest.raises(ValueError, match="class numbers"):
        fastnn.fit_many(one, data[0], data[1] + 1)
    with pytest.raises(ValueError, match="batch_size"):
        fastnn.fit_many(one, *data, batch_size=0)
    with pytest.raises(TypeError, match="epohcs"):
        fastnn.fit_many(one, *data, epohcs=2)
    other = fastnn.Trainer(fastnn.Network.mlp(13, [2], 4, output="softmax"), loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="13 features"):
        fastnn.fit_many([*one, other], *data, seed=seed + 1)
    assert np.array_equal(one[0].network.parameters, before)
    assert one[0].seed == seed
