"""One step of time at a time: `Network.stepper`, and `stateful` layers that go on from batch to batch."""

import pickle

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastnn
from support import rng

CELLS = {"SimpleRNN": fastnn.SimpleRNN, "LSTM": fastnn.LSTM, "GRU": fastnn.GRU}
each_cell = pytest.mark.parametrize("cell", CELLS)
STEPS = 7
X = rng(1).normal(size=(9, STEPS, 3))


def network_of(cell, *, dtype="float64", stateful=False, steps=STEPS):
    layers = [fastnn.Input((steps, 3)), fastnn.Dense(5, "tanh"), cell(17, return_sequences=True, stateful=stateful),
              cell(4, use_bias=False, stateful=stateful), fastnn.Dense(2)]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    network.parameters[:] = rng(2).normal(size=network.n_parameters) * 0.4
    return network


@each_cell
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_and_single_rows_have_the_bits_of_predict(cell, dtype):
    network, x = network_of(CELLS[cell], dtype=dtype), X.astype(dtype)
    expected = network.predict(x)
    assert np.array_equal(network.predict(x[:4].reshape(4, -1)), expected[:4])  # few rows take another way
    one, three = network.stepper(), network.stepper(3)
    for t in range(STEPS):
        alone, together = one(x[0, t]), three(x[:3, t])
    assert np.array_equal(alone, expected[0])
    assert np.array_equal(together, expected[:3])
    one.reset()
    for t in range(STEPS):
        again = one(x[1:2, t])
    assert np.array_equal(again, expected[1:2])


def test_both_directions_of_single_rows():
    layers = [fastnn.Bidirectional(fastnn.LSTM(5, return_sequences=True), "sum"), fastnn.Bidirectional(fastnn.GRU(4))]
    network = fastnn.Network([fastnn.Input((STEPS, 3)), *layers], dtype="float64", seed=0)
    assert np.array_equal(network.predict(X[:2].reshape(2, -1)), network.predict(X)[:2])


def test_a_stepper_is_called_in_compiled_code_and_allocates_nothing():
    network = network_of(fastnn.LSTM, dtype="float32")
    stepper, x = network.stepper(), X.astype("float32")

    @numba.njit
    def run(x, out):
        for t in range(x.shape[0]):
            stepper(x[t], out)

    out = np.empty(2, np.float32)
    run(x[0], out)
    assert np.array_equal(out, network.predict(x)[0])
    stepper.reset()
    _nrt_python.memsys_enable_stats()
    allocations = []
    for sequence in (x[0], np.concatenate(x)):  # arguments of a call from Python are counted, too
        before = rtsys.get_allocation_stats().alloc
        run(sequence, out)
        allocations.append(rtsys.get_allocation_stats().alloc - before)
    _nrt_python.memsys_disable_stats()
    assert allocations[0] == allocations[1]
    network.parameters[:] *= 0.5  # seen at once
    stepper.reset()
    run(x[0], out)
    assert np.array_equal(out, network.predict(x)[0])


def test_states_can_be_kept_put_back_and_reset_one_by_one():
    stepper = network_of(fastnn.GRU).stepper(3)
    first = stepper(X[:3, 0])
    state = stepper.state
    assert state.shape == (3, 21)
    second = stepper(X[:3, 1])
    stepper.state = state
    assert np.array_equal(stepper(X[:3, 1]), second)
    stepper.reset(1)
    assert np.array_equal(stepper(X[:3, 0])[1], first[1])
    with pytest.raises(TypeError, match="pickle the network"):
        pickle.dumps(stepper)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s(np.zeros(4)), r"x must have shape \(1, 3\), got \(4,\)"),
        (lambda s: s(np.zeros((2, 3))), r"got \(2, 3\)"),
        (lambda s: s(["a"]), "x must hold real numbers"),
        (lambda s: s(np.zeros(3), np.zeros(3)), "out must be a float64 array"),
        (lambda s: setattr(s, "state", np.zeros(2)), r"state must have shape \(1, 21\)"),
    ],
)
def test_a_stepper_refuses_what_makes_no_sense(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(network_of(fastnn.SimpleRNN).stepper())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([fastnn.Bidirectional(fastnn.GRU(2))], "needs all steps at once"),
        ([fastnn.GRU(2, go_backwards=True)], "goes backwards"),
        ([fastnn.GRU(2, return_sequences=True), fastnn.GlobalMaxPooling1D()], "needs all steps at once"),
        ([fastnn.Conv1D(2, 3), fastnn.GRU(2)], "looks at several steps"),
        ([fastnn.Flatten(), fastnn.Dense(1)], "puts all steps"),
    ],
)
def test_networks_that_need_all_steps_have_no_stepper(layers, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network([fastnn.Input((STEPS, 3)), *layers], seed=0).stepper()
    with pytest.raises(ValueError, match="n must be"):
        network_of(fastnn.GRU).stepper(0)


@each_cell
def test_predictions_of_stateful_layers_go_on_where_the_batch_before_ended(cell):
    network, whole = network_of(CELLS[cell], stateful=True, steps=3), network_of(CELLS[cell], steps=6)
    first = network.predict(X[:, :3])
    assert np.array_equal(network.predict(X[:, 3:6]), whole.predict(X[:, :6]))
    with pytest.raises(ValueError, match=r"holds the states of 9 sequences.* got 2"):
        network.predict(X[:2, :3])
    network.reset_state()
    assert np.array_equal(network.predict(X[:, :3]), first)


@each_cell
@pytest.mark.parametrize("n", [3, 9])  # few of them have their units across the lanes
def test_few_sequences_carry_the_same_states(cell, n):
    layers = [CELLS[cell](16, return_sequences=True, stateful=True), CELLS[cell](16, stateful=True)]
    network = fastnn.Network([fastnn.Input((4, 3)), *layers], dtype="float64", seed=0)
    whole = fastnn.Network(
        [fastnn.Input((8, 3)), CELLS[cell](16, return_sequences=True), CELLS[cell](16)], dtype="float64", seed=0
    )
    x = rng(4).normal(size=(n, 8, 3))
    network.predict(x[:, :4])
    assert np.array_equal(network.predict(x[:, 4:]), whole.predict(x))


@each_cell
@pytest.mark.parametrize("n_threads", [1, 2])
def test_training_of_blocks_is_truncated_backpropagation(cell, n_threads):
    """The second block begins with the state of the first, in the loss of training; evaluation begins with 0."""
    x, y = rng(1).normal(size=(2, 70, 3, 3)), rng(3).normal(size=(2, 70, 2))
    network = network_of(CELLS[cell], stateful=True, steps=3)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-9))
    trainer.fit(np.concatenate(x), np.concatenate(y), batch_size=70, shuffle=False, n_threads=n_threads)
    whole = network_of(CELLS[cell], steps=6)
    expected = [network_of(CELLS[cell], steps=3).predict(x[0]), whole.predict(np.concatenate(x, axis=1))]
    loss = np.mean([((p - t) ** 2).mean() for p, t in zip(expected, y, strict=True)])
    assert trainer.history.history["loss"][0] == pytest.approx(loss, rel=1e-6)
    # It is evaluated from states of 0, and that changes nothing.
    alone = ((expected[0] - y[0]) ** 2).mean()
    assert trainer.evaluate(x[0], y[0])["loss"] == pytest.approx(alone, rel=1e-6)


def test_stateful_layers_want_batches_in_order():
    trainer = fastnn.Trainer(network_of(fastnn.GRU, stateful=True), loss="mse")
    y = np.zeros((9, 2))
    for options, message in (
        ({}, "shuffle must be False"),
        ({"shuffle": False, "batch_size": 4}, r"batch_size must divide the number of samples \(9\), got 4"),
        ({"shuffle": False, "batch_size": 3, "validation_split": 0.3}, "validation_split must be 0"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer.fit(X, y, **options)
    trainer.fit(X, y, shuffle=False, batch_size=3)
    with pytest.raises(ValueError, match="holds the states of 3 sequences"):
        trainer.fit(X, y, shuffle=False, batch_size=9)
    with pytest.raises(ValueError, match="stateful must be False where go_backwards"):
        fastnn.GRU(2, stateful=True, go_backwards=True)
    with pytest.raises(ValueError, match="must not be stateful"):
        fastnn.Bidirectional(fastnn.GRU(2, stateful=True))
