"""What training allocates: everything before the first step, nothing in one, and never a copy of the data."""

import pathlib
import tracemalloc

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

import fastnn
from citizen import python
from fastnn.engine.rows import Rows
from fastnn.engine.workspace import Workspace
from fastnn.kernels import losses, optimizers, tables
from support import rng


@pytest.fixture
def numba_statistics():
    """Counts of what compiled code allocates."""
    _nrt_python.memsys_enable_stats()
    yield rtsys.get_allocation_stats
    _nrt_python.memsys_disable_stats()


def make_step(dtype, optimizer=optimizers.adam, n=70, batch_size=33):
    """A function that trains for some number of steps on rows in a given order, with nothing of `fit` around it."""
    layers = [
        fastnn.Input(5), fastnn.Dense(20, "gelu"), fastnn.Dropout(0.5), fastnn.Dense(9, "elu"),
        fastnn.Dense(3, "softmax"),
    ]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    x, y = Rows.of(rng(1).normal(size=(n, 5))), Rows.of(rng(2).integers(0, 3, n))
    workspace = Workspace(network.plan, network.dtype, n_rows=batch_size)
    workspace.set_data(x, y)
    workspace.set(
        mode=tables.Mode.TRAIN, n_rows=n, batch_size=batch_size, seed=1, loss=losses.softmax_crossentropy,
        takes_logits=1, update=optimizer, wants_metrics=True, learning_rate=1e-3,
        hyperparameters=[0.9, 0.999, 1e-7] + 5
        * [0.0],
    )  # fmt: skip
    moments = np.zeros(2 * network.parameter_buffer.size, dtype)
    order, weights = rng(3).permutation(n), rng(4).uniform(size=n)

    def step(n_steps):
        workspace.set(position=0)
        workspace.run(n_steps, network.parameter_buffer, moments, order, weights)

    step.keep = x, y  # the kernels hold addresses only
    return step


def test_compiled_code_allocates_nothing(dtype, numba_statistics):
    """Numba counts one record for each array that is handed over; a thousand steps add none to those of one."""
    counts = []
    for n in (33, 33 * 1000):
        step = make_step(dtype, n=n)
        step(1)
        before = numba_statistics()
        step(10**6)
        after = numba_statistics()
        counts.append([b - a for a, b in zip(before, after, strict=True)])
    assert counts[0] == counts[1]
    assert counts[0][0] == counts[0][1]  # as many freed as allocated


def test_a_call_of_the_kernel_keeps_nothing_and_takes_as_much_for_many_steps_as_for_one(dtype):
    """In a process of its own: threads that other tests have left behind allocate while a long call runs."""
    done = python(f"""
        import sys, tracemalloc
        sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
        from test_allocation import make_step

        for n in (33, 33 * 500):
            step = make_step({dtype!r}, n=n)
            step(1)
            tracemalloc.start()
            step(10**6)
            print(*tracemalloc.get_traced_memory())
            tracemalloc.stop()
    """)
    assert done.returncode == 0, done.stderr
    (kept_of_one, peak_of_one), (kept, peak) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert max(kept_of_one, kept) < 2000  # bytes
    assert abs(peak - peak_of_one) < 500


@pytest.mark.parametrize(
    ("x_dtype", "change"),
    [("float32", None), ("float64", None), ("uint8", None), ("float64", np.asfortranarray), ("bool", None)],
)
def test_fit_evaluate_and_predict_copy_no_data(x_dtype, change, dtype):
    X = rng(1).integers(0, 2, (50_000, 200), np.uint8).astype(x_dtype)
    X = X if change is None else change(X)
    y = np.zeros((50_000, 1), "float32")
    network = fastnn.Network.mlp(200, [4], 1, dtype=dtype, seed=0)
    trainer = fastnn.Trainer(network, loss="mse")
    out = np.empty((50_000, 1), dtype)
    trainer.fit(X[:64], y[:64], validation_split=0.5)
    network.predict(X[:1])
    tracemalloc.start()
    trainer.fit(X, y, batch_size=100, validation_split=0.1)
    trainer.evaluate(X, y)
    network.predict(X, out=out)
    network.loss_and_gradient(X, y, loss="mse")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * X.size  # half a byte an element: row numbers, buffers of the network


def test_epochs_leave_nothing_behind():
    network = fastnn.Network.mlp(5, [8], 1, seed=0)
    trainer = fastnn.Trainer(network, loss="mse", metrics=["mae"])
    X, y = rng(1).normal(size=(64, 5)), np.zeros(64)
    trainer.fit(X, y, epochs=10)
    tracemalloc.start()
    trainer.fit(X, y, epochs=2000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < 2000 * 400  # what History holds of an epoch
