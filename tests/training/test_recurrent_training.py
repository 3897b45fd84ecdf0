"""Training recurrent layers: clipped by norm, cut in two, truncated at the ends of blocks, and without allocations."""

import pickle

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastnn
import reference as ref
from fastnn.callbacks import ModelCheckpoint
from fastnn.engine.rows import Rows
from fastnn.engine.workspace import Workspace
from fastnn.kernels import losses, optimizers, tables
from reference.recurrent import lstm
from support import rng

X, Y = rng(1).normal(size=(37, 5, 3)), rng(2).normal(size=(37, 1))


def make_network(dtype="float64", seed=0):
    layers = [fastnn.Input((5, 3)), fastnn.LSTM(6, return_sequences=True), fastnn.LSTM(4), fastnn.Dense(1)]
    return fastnn.Network(layers, dtype=dtype, seed=seed)


def loss_of(weights):
    """The mean squared error of the network above, in plain NumPy."""
    first, second, (kernel, bias) = weights[:3], weights[3:6], weights[6:]
    return np.mean((lstm(lstm(X, *first), *second)[:, -1] @ kernel + bias - Y) ** 2)


def central_differences(loss, weights, h=1e-6):
    """The gradient of loss(weights) by each array; what is changed for it is put back."""
    gradients = []
    for w in weights:
        g = np.empty_like(w)
        for at in np.ndindex(w.shape):
            kept = w[at]
            w[at] = kept + h
            above = loss(weights)
            w[at] = kept - h
            g[at] = (above - loss(weights)) / (2 * h)
            w[at] = kept
        gradients.append(g)
    return gradients


@pytest.mark.parametrize("n_threads", [1, 2])
def test_a_step_clipped_by_the_norm_of_all_weights_is_the_gradient_scaled(n_threads):
    network = make_network()
    weights = [w.copy() for w in network.get_weights()]
    gradients = central_differences(loss_of, weights)
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    for limit in (norm / 5, norm * 5):  # which is clipped, and which is not
        network.set_weights(weights)
        trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0, global_clipnorm=limit))
        trainer.fit(X, Y, batch_size=37, n_threads=n_threads)
        for w, before, g in zip(network.get_weights(), weights, ref.clip_by_global_norm(gradients, limit), strict=True):
            np.testing.assert_allclose(before - w, g, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, rng(3).integers(1, 6, 37)], ids=["whole", "lengths"])
def test_a_run_cut_in_two_equals_the_uncut_run(tmp_path, dtype, lengths):
    def trainer():
        optimizer = fastnn.Adam(0.01, global_clipnorm=0.5)
        return fastnn.Trainer(make_network(dtype), loss="mse", optimizer=optimizer, metrics=["mae"])

    options = {"batch_size": 8, "lengths": lengths}
    uncut, first = trainer(), trainer()
    uncut.fit(X, Y, epochs=5, **options)
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.fastnn", every=2, save_trainer=True)
    first.fit(X, Y, epochs=2, callbacks=[checkpoint], **options)
    (path,) = tmp_path.iterdir()
    second = fastnn.Trainer.load(path)
    assert not np.array_equal(second.network.parameters, uncut.network.parameters)
    second.fit(X, Y, epochs=3, **options)
    assert np.array_equal(second.network.parameters, uncut.network.parameters)
    assert np.array_equal(second.moments, uncut.moments)
    assert second.history.history == uncut.history.history


@pytest.mark.parametrize("cell", [fastnn.LSTM, fastnn.GRU])
@pytest.mark.parametrize("n", [3, 37])  # sequences
def test_a_checkpoint_has_the_states_that_go_on(tmp_path, cell, n):
    x, y = rng(1).normal(size=(4 * n, 3, 2)), rng(2).normal(size=(4 * n, 1))

    def trainer():
        layers = [cell(16, return_sequences=True, stateful=True), cell(16, stateful=True), fastnn.Dense(1)]
        return fastnn.Trainer(fastnn.Network([fastnn.Input((3, 2)), *layers], dtype="float64", seed=0), loss="mse")

    options = {"batch_size": n, "shuffle": False}
    uncut, first = trainer(), trainer()
    uncut.fit(x, y, epochs=3, **options)
    first.fit(x, y, epochs=2, **options)
    states = first.state_dict()["carried"]
    assert states.shape[0] == n
    assert np.abs(states).min() > 0
    first.save(tmp_path / "cut")
    for again in (fastnn.Trainer.load(tmp_path / "cut"), pickle.loads(pickle.dumps(first))):
        assert np.array_equal(again.network.carried, states)
        again.fit(x, y, epochs=1, **options)
        assert np.array_equal(again.network.parameters, uncut.network.parameters)
    again.network.reset_state()
    assert "carried" not in again.state_dict()
    again.load_state_dict(first.state_dict())
    assert np.array_equal(again.network.carried, states)
    for wrong, message in (
        (states[:, 1:], r"state\['carried'\] must be floats of shape \(sequences, "),
        (states[:0], "must be floats of shape"),
        (states * np.nan, r"state\['carried'\] must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            again.load_state_dict(first.state_dict() | {"carried": wrong})
    assert np.array_equal(again.network.carried, states)
    again.load_state_dict(trainer().state_dict())
    assert again.network.carried is None


def test_gradients_of_blocks_stop_where_a_block_begins():
    """A step on the second block has the gradient of its loss with the states of the first as constants."""
    layers = [fastnn.Input((3, 2)), fastnn.LSTM(4, stateful=True)]
    network = fastnn.Network(layers, dtype="float64", seed=0)
    x, y = rng(4).normal(size=(2, 9, 3, 2)), rng(5).normal(size=(2, 9, 4))
    weights = [w.copy() for w in network.get_weights()]
    state = states_of(x[0], weights, np.zeros((2, 9, 4)))

    def loss(weights):
        return np.mean((states_of(x[1], weights, state)[0] - y[1]) ** 2)

    def loss_of_both(weights):  # as if nothing was truncated
        return np.mean((states_of(x[1], weights, states_of(x[0], weights, np.zeros((2, 9, 4))))[0] - y[1]) ** 2)

    expected, untruncated = central_differences(loss, weights), central_differences(loss_of_both, weights)
    network.predict(x[0])  # the layer now holds the states of the first block
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0))
    trainer.fit(x[1], y[1], batch_size=9, shuffle=False)
    for w, before, g, other in zip(network.get_weights(), weights, expected, untruncated, strict=True):
        np.testing.assert_allclose(before - w, g, rtol=1e-5, atol=1e-8)
        assert np.abs(g - other).max() > 1e-4  # so that the line above can fail


def states_of(x, weights, state):
    """Return output and cell of an LSTM after all steps, beginning with those given."""
    kernel, recurrent, bias = weights
    h, c = state
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
    return np.stack([h, c])


@pytest.fixture
def numba_statistics():
    """Counts of what compiled code allocates."""
    _nrt_python.memsys_enable_stats()
    yield rtsys.get_allocation_stats
    _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_allocates_nothing(dtype, numba_statistics):
    """Numba counts one record for each array that is handed over; two hundred steps add none to those of one."""
    counts = []
    for n_steps in (1, 200):
        network = make_network(dtype)
        n = 33 * n_steps
        x, y = Rows.of(rng(1).normal(size=(n, 15))), Rows.of(rng(2).normal(size=(n, 1)))
        workspace = Workspace(network.plan, network.dtype, n_rows=33)
        workspace.set_data(x, y)
        workspace.set(
            mode=tables.Mode.TRAIN, n_rows=n, batch_size=33, seed=1, loss=losses.mse, update=optimizers.adam,
            learning_rate=1e-3, hyperparameters=[0.9, 0.999, 1e-7] + 5 * [0.0],
        )  # fmt: skip
        moments = np.zeros(2 * network.parameter_buffer.size, dtype)
        order, weights = rng(3).permutation(n), np.ones(n)
        arguments = (network.parameter_buffer, moments, order, weights)
        workspace.run(1, *arguments)
        before, parameters = numba_statistics(), network.parameters.copy()
        workspace.set(position=0)
        workspace.run(10**6, *arguments)
        counts.append([b - a for a, b in zip(before, numba_statistics(), strict=True)])
        assert not np.array_equal(network.parameters, parameters)  # steps were taken
    assert counts[0] == counts[1]
    assert counts[0][0] == counts[0][1]  # as many freed as allocated


def adding(n, seed, steps=100):
    """Sequences of numbers, two of them marked, one in each half; wanted is the sum of the two."""
    random, rows, half = np.random.default_rng(seed), np.arange(n), steps // 2
    numbers, marks = random.uniform(size=(n, steps)), np.zeros((n, steps))
    marks[rows, random.integers(half, size=n)] = 1
    marks[rows, random.integers(half, steps, size=n)] = 1
    return np.stack([numbers, marks], axis=2), (numbers * marks).sum(axis=1)


@pytest.mark.parametrize(
    ("cell", "epochs", "learns"), [(fastnn.LSTM, 30, True), (fastnn.GRU, 12, True), (fastnn.SimpleRNN, 12, False)]
)
def test_gates_remember_for_a_hundred_steps_what_a_plain_network_forgets(cell, epochs, learns):
    """All of six seeds did with these figures: 0.001 or less, and 0.18 or more, which is that of the mean."""
    network = fastnn.Network([fastnn.Input((100, 2)), cell(12), fastnn.Dense(1)], seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.02, clipnorm=1.0))
    trainer.fit(*adding(2000, 0), epochs=epochs)
    pairs, sums = adding(500, 1)
    error = trainer.evaluate(pairs, sums)["loss"]
    assert error < 0.01 if learns else error > 0.9 * sums.var()
