"""One row at a time: the short way of predict, and the function for compiled code."""

import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import tracemalloc

import numba
import numpy as np
import pytest

import fastnn
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.engine.linking import link

RNG = np.random.default_rng(0)


def network_with(activation, dtype="float32", widths=(7, 40, 150, 3)):
    n_inputs, *units = widths
    layers = [fastnn.Input(n_inputs), *(fastnn.Dense(u, activation) for u in units)]
    network = fastnn.Network(layers, dtype=dtype, seed=1)
    network.parameters[:] += RNG.normal(scale=0.1, size=network.n_parameters)
    return network


ACTIVATIONS = [*NAMES, LeakyReLU(0.3), ELU(0.7)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_a_row_alone_gives_the_bits_it_gives_in_a_batch(activation, dtype):
    network = network_with(activation, dtype)
    X = RNG.normal(scale=3, size=(40, 7)).astype(dtype)
    batch = network.predict(X)
    for n in range(1, 9):
        np.testing.assert_array_equal(network.predict(X[:n].copy()), batch[:n])


@pytest.mark.parametrize("widths", [(1, 1), (1, 100), (100, 1), (16, 64), (65, 63, 17), (5, 16, 128, 15)], ids=str)
def test_every_width(widths):
    network = network_with("tanh", widths=widths)
    X = RNG.normal(size=(40, widths[0])).astype(np.float32)
    np.testing.assert_array_equal(network.predict(X[:1]), network.predict(X)[:1])


def test_layers_without_arithmetic():
    layers = [fastnn.Input(3), fastnn.Dropout(0.5), fastnn.Activation("linear"), fastnn.Dense(4, use_bias=False)]
    network = fastnn.Network(layers, seed=0)
    X = RNG.normal(size=(40, 3)).astype(np.float32)
    np.testing.assert_array_equal(network.predict(X[:1]), network.predict(X)[:1])
    only = fastnn.Network([fastnn.Input(3), fastnn.Dropout(0.5)])
    np.testing.assert_array_equal(only.predict(X[:1]), X[:1])


def test_normalizations_give_the_bits_they_give_in_a_batch():
    layers = [fastnn.Input(7), fastnn.BatchNormalization(), fastnn.Dense(40), fastnn.LayerNormalization(),
              fastnn.GaussianNoise(0.1), fastnn.Dense(3), fastnn.BatchNormalization(scale=False)]  # fmt: skip
    network = fastnn.Network(layers, seed=0)
    network.state[:] = RNG.uniform(0.5, 2, network.state.size)
    X = RNG.normal(size=(40, 7)).astype(np.float32)
    batch = network.predict(X)
    np.testing.assert_array_equal(network.predict(X[:3].copy()), batch[:3])
    predict, out = network.compile_predictor(), np.empty(3, np.float32)
    predict(X[0], out)
    np.testing.assert_array_equal(out, batch[0])


def test_every_layer_has_its_inference_on_rows():
    """A layer that lacks it would fall back to panels in silence, and have no compiled predictor."""
    needed = {fastnn.Dense: [2], fastnn.Dropout: [0.5], fastnn.GaussianNoise: [0.5], fastnn.Activation: ["tanh"],
              fastnn.Reshape: [(3,)], fastnn.Residual: [[fastnn.Dense(3)]], fastnn.Conv1D: [2, 3],
              fastnn.Ensemble: [[fastnn.Dense(3)]],
              fastnn.Conv2D: [2, 3], fastnn.Conv2DTranspose: [2, 3], fastnn.SpatialDropout1D: [0.5],
              fastnn.SpatialDropout2D: [0.5], fastnn.RandomTranslation: [0.1, 0.1], fastnn.SimpleRNN: [2],
              fastnn.LSTM: [2], fastnn.GRU: [2], fastnn.Bidirectional: [fastnn.GRU(2)],
              fastnn.Normalization: [1.0, 2.0],
              fastnn.PiecewiseLinear: [4, [(-1.0, 0.0, 1.0)] * 3], fastnn.Embedding: [5, 2],
              fastnn.CategoryEmbedding: [{1: 4}, 2]}  # fmt: skip
    for cls in fastnn.layers.layer_classes():
        if cls is not fastnn.Input:
            is_image = "2D" in cls.__name__ or "Random" in cls.__name__
            is_recurrent = issubclass(cls, fastnn.layers.Recurrent) or cls is fastnn.Bidirectional
            is_sequence = is_recurrent or "1D" in cls.__name__
            shape = (4, 4, 1) if is_image else (4, 1) if is_sequence else (3,)
            layers = [fastnn.Input(shape), cls(*needed.get(cls, [])), fastnn.Flatten(), fastnn.Dense(1)]
            network = fastnn.Network(layers)
            ops = link(network.plan, np.dtype("float32"), for_rows=True)
            assert ops.table["row"].all(), cls


def test_every_layout_and_dtype_of_a_few_rows_gives_the_same():
    network = network_with("gelu")
    X = RNG.integers(0, 5, size=(3, 7)).astype(np.float32)
    expected = network.predict(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(3, 7)
    swapped = X.astype(X.dtype.newbyteorder())
    for same in (np.asfortranarray(X), read_only, X.astype(np.float64), X.astype(np.uint8), X.tolist(), unaligned,
                 np.repeat(X, 2, axis=0)[::2], X.astype(np.int16), swapped):  # fmt: skip
        np.testing.assert_array_equal(network.predict(same), expected)
    wide = np.zeros((3, 6), np.float32)
    assert network.predict(X, out=wide[:, ::2]).base is wide
    np.testing.assert_array_equal(wide[:, ::2], expected)
    assert not wide[:, 1::2].any()
    assert network.predict(X[:0]).shape == (0, 3)


@pytest.mark.parametrize("out", [
    np.zeros((1, 4), np.float32), np.zeros((2, 3), np.float32), np.zeros(3, np.float32), np.zeros((1, 3)),
])  # fmt: skip
def test_a_wrong_out_is_refused(out):
    with pytest.raises(ValueError, match="out must be a writable float32 array of shape"):
        network_with("relu").predict(np.zeros((1, 7), np.float32), out=out)


def test_an_out_that_is_no_array_or_cannot_be_written_is_refused():
    network, x = network_with("relu"), np.zeros((1, 7), np.float32)
    with pytest.raises(TypeError, match="out must be a NumPy array or None"):
        network.predict(x, out=[[0, 0, 0]])
    out = np.zeros((1, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be a writable"):
        network.predict(x, out=out)


def test_nan_in_one_row_stays_there():
    network = network_with("softmax")
    X = np.zeros((2, 7), np.float32)
    X[0, 3] = np.nan
    outputs = network.predict(X)
    assert np.isnan(outputs[0]).all()
    assert np.isfinite(outputs[1]).all()


def test_one_row_with_out_allocates_nothing():
    network = network_with("relu")
    x, out = np.zeros((1, 7), np.float32), np.zeros((1, 3), np.float32)
    network.predict(x, out=out)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            network.predict(x, out=out)
        assert tracemalloc.get_traced_memory()[0] - before < 5_000
    finally:
        tracemalloc.stop()


def test_threads_may_predict_rows_at_once():
    network = network_with("gelu", widths=(7, 300, 300, 3))
    X = RNG.normal(size=(64, 7)).astype(np.float32)
    expected = network.predict(X)
    wrong = []

    def work(row):
        alone = [network.predict(X[row : row + 1])[0] for _ in range(300)]
        wrong.extend(outputs for outputs in alone if not np.array_equal(outputs, expected[row]))

    threads = [threading.Thread(target=work, args=(row,)) for row in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- compile_predictor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_predictor_gives_the_bits_of_predict(dtype):
    network = network_with("gelu", dtype)
    predict = network.compile_predictor()
    X = RNG.normal(size=(5, 7)).astype(dtype)

    @numba.njit
    def over_rows(X, outputs):
        for i in range(X.shape[0]):
            predict(X[i], outputs[i])

    outputs = np.empty((5, 3), dtype)
    over_rows(X, outputs)
    np.testing.assert_array_equal(outputs, network.predict(X))


def test_the_predictor_takes_any_numbers_and_strides():
    network = network_with("tanh")
    predict = network.compile_predictor()
    x = np.arange(7)
    expected = network.predict(x[np.newaxis])[0]
    for same in (x, x.astype(np.float64), np.repeat(x, 2)[::2], tuple(x.tolist()), tuple(x.astype(float).tolist())):
        out = np.zeros(3)
        predict(same, out)
        np.testing.assert_array_equal(out.astype(np.float32), expected)


def test_the_predictor_sees_the_parameters_of_today():
    network = network_with("tanh")
    predict = network.compile_predictor()
    assert network.compile_predictor() is predict
    x, out = np.ones(7, np.float32), np.zeros(3, np.float32)
    predict(x, out)
    before = out.copy()
    network.parameters[:] *= 0.5
    predict(x, out)
    assert not np.array_equal(out, before)
    np.testing.assert_array_equal(out, network.predict(x[np.newaxis])[0])


def test_compiled_code_outlives_the_network_object():
    @numba.njit
    def unrelated(n):
        return np.ones(n).sum()

    def make():
        network = network_with("relu")
        return network.compile_predictor(), network.predict(np.ones((1, 7), np.float32))[0]

    predict, expected = make()
    unrelated(10_000)
    out = np.zeros(3, np.float32)
    predict(np.ones(7, np.float32), out)
    np.testing.assert_array_equal(out, expected)


def test_the_predictor_in_parallel_loops():
    network = network_with("relu")
    predict = network.compile_predictor()

    @numba.njit(nogil=True)
    def many(X, outputs):
        for _ in range(100):
            for i in range(X.shape[0]):
                predict(X[i], outputs[i])

    X = RNG.normal(size=(64, 7)).astype(np.float32)
    results = [np.empty((64, 3), np.float32) for _ in range(4)]
    threads = [threading.Thread(target=many, args=(X, result)) for result in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, network.predict(X))


def test_code_that_holds_addresses_is_never_cached_on_disk(tmp_path):
    """A cached function that calls the predictor would crash in the next process; Numba must refuse, aloud."""
    (tmp_path / "module.py").write_text(
        textwrap.dedent("""
        import warnings, numba, numpy as np, fastnn
        predict = fastnn.Network.mlp(2, [4], 1, seed=0).compile_predictor()
        @numba.njit(cache=True)
        def use(x, out):
            predict(x, out)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            use(np.ones(2), np.zeros(1))
        assert any("dynamic globals" in str(w.message) for w in caught), caught
        assert use.stats.cache_hits == {}
    """)
    )
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(fastnn.__file__).parents[1])}
    command = [sys.executable, str(tmp_path / "module.py")]
    for _ in range(2):
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert finished.returncode == 0, finished.stderr


def test_a_copy_has_a_predictor_of_its_own():
    import pickle

    network = network_with("relu")
    predict = network.compile_predictor()
    copy = pickle.loads(pickle.dumps(network))
    copy.parameters[:] = 0
    assert copy.compile_predictor() is not predict
    out = np.ones(3, np.float32)
    copy.compile_predictor()(np.ones(7), out)
    assert not out.any()
