"""Embedding: rows of a table in place of integers, of any dtype, without a copy; updates; indices out of range."""

import tracemalloc

import numpy as np
import pytest

import fastnn
from support import rng

STEPS, ROWS, UNITS = 5, 11, 6
INDICES = rng(1).integers(0, ROWS, (45, STEPS))


def network_of(*layers, dtype="float64", **options):
    body = layers or (fastnn.GlobalAveragePooling1D(), fastnn.Dense(2))
    return fastnn.Network([fastnn.Input(STEPS), fastnn.Embedding(ROWS, UNITS, **options), *body], dtype=dtype, seed=0)


@pytest.mark.parametrize("units", [1, 3, 16, 37])
def test_outputs_are_rows_of_the_table(units):
    for dtype in ("float32", "float64"):
        network = fastnn.Network([fastnn.Input(STEPS), fastnn.Embedding(ROWS, units)], dtype=dtype, seed=0)
        assert np.array_equal(network.predict(INDICES), network.get_weights()[0][INDICES])
        assert np.array_equal(network.predict(INDICES[:1]), network.get_weights()[0][INDICES[:1]])
    assert np.abs(network.parameters).max() <= 0.05


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i4", "?"])
def test_integers_of_every_dtype_and_order_are_taken(kind):
    network = network_of()
    indices = INDICES % 2 if kind == "?" else INDICES
    expected = network.predict(indices)
    for array in (indices.astype(kind), np.asfortranarray(indices.astype(kind)), indices.astype(kind)[::-1][::-1]):
        assert np.array_equal(network.predict(array), expected)
    wide = np.zeros((45, 2 * STEPS), kind)
    wide[:, ::2] = indices
    assert np.array_equal(network.predict(wide[:, ::2]), expected)


def test_samples_of_several_axes():
    layers = [fastnn.Input((4, 3)), fastnn.Embedding(ROWS, 2), fastnn.Flatten(), fastnn.Dense(1)]
    network = fastnn.Network(layers, dtype="float64", seed=0)
    x = rng(2).integers(0, ROWS, (7, 4, 3))
    table, kernel, bias = network.get_weights()
    np.testing.assert_allclose(network.predict(x), table[x].reshape(7, -1) @ kernel + bias, rtol=1e-12)


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        [fastnn.GlobalMaxPooling1D(), fastnn.Dense(2)],
        [fastnn.LSTM(3), fastnn.Dense(2)],
        [fastnn.Dense(3, "tanh"), fastnn.GlobalAveragePooling1D(), fastnn.Dense(2)],
    ],
)
def test_gradients_are_central_differences(body, with_lengths):
    network = network_of(*body)
    network.parameters[:] = rng(3).normal(size=network.n_parameters) * 0.5
    y, lengths = rng(4).normal(size=(45, 2)), rng(5).integers(1, STEPS + 1, 45) if with_lengths else None
    start = network.parameters.copy()

    def at(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(INDICES, y, loss="mse", lengths=lengths)

    _, gradient = at(start)
    for direction in rng(6).choice([-1.0, 1.0], size=(4, network.n_parameters)):
        slope = (at(start + 1e-6 * direction)[0] - at(start - 1e-6 * direction)[0]) / 2e-6
        np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [ROWS, 20_000])  # large tables are updated layer by layer
@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_that_no_batch_names_are_updated_as_the_optimizer_says(rows, n_threads):
    """The mean of rows is a dense layer of how often each is named, whose weights have the same gradients."""
    layers = [fastnn.Input(STEPS), fastnn.Embedding(rows, UNITS), fastnn.GlobalAveragePooling1D(), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype="float64", seed=0)
    dense = [fastnn.Input(rows), fastnn.Dense(UNITS, use_bias=False), fastnn.Dense(2)]
    counted = fastnn.Network(dense, dtype="float64", seed=0)
    counted.parameters[:] = network.parameters
    y = rng(4).normal(size=(64, 2))
    trainers = [fastnn.Trainer(one, loss="mse", optimizer=fastnn.Adam(0.01)) for one in (network, counted)]
    for batch in (rng(5).integers(0, 5, (64, STEPS)), rng(6).integers(5, ROWS, (64, STEPS))):
        counts = np.stack([np.bincount(row, minlength=rows) for row in batch]) / STEPS
        for trainer, x in zip(trainers, (batch, counts), strict=True):
            trainer.fit(x, y, batch_size=64, n_threads=n_threads)
        np.testing.assert_allclose(network.parameters, counted.parameters, rtol=1e-6, atol=1e-9)


def test_options_regularize_constrain_and_freeze():
    y = rng(4).normal(size=(45, 2))
    network = network_of(embeddings_regularizer=0.5)
    table = network.get_weights()[0]
    bare = network.loss_and_gradient(INDICES, y, loss="mse", penalties=False)[0]
    assert network.loss_and_gradient(INDICES, y, loss="mse")[0] == pytest.approx(bare + 0.5 * (table**2).sum())
    network = network_of(embeddings_constraint=fastnn.MaxNorm(0.01), embeddings_initializer="glorot_normal")
    fastnn.Trainer(network, loss="mse").fit(INDICES, y)
    assert (np.linalg.norm(network.get_weights()[0], axis=0) <= 0.01 * 1.001).all()
    network = network_of(trainable=False)
    before = network.get_weights()[0].copy()
    fastnn.Trainer(network, loss="mse").fit(INDICES, y)
    assert np.array_equal(network.get_weights()[0], before)


def wrong(value, dtype="i8"):
    indices = INDICES.astype(dtype)
    indices[7, 3] = value
    return indices


@pytest.mark.parametrize(("value", "dtype"), [(ROWS, "i8"), (-1, "i2"), (255, "u1"), (0.5, "f8"), (2**40, "i8")])
def test_an_index_out_of_range_is_named_before_training(value, dtype):
    network = network_of()
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse")
    y = np.ones((45, 2))
    message = rf"must hold integers from 0 to 10 \(the Embedding's input_dim is 11\), got {value} in row 7, column 3"
    for call in (
        lambda x: network.predict(x),
        lambda x: trainer.fit(x, y),
        lambda x: trainer.evaluate(x, y),
        lambda x: trainer.fit(INDICES, y, validation_data=(x, y)),
        lambda x: network.loss_and_gradient(x, y, loss="mse"),
        lambda x: network.vjp(x, y),
    ):
        with pytest.raises(ValueError, match=message):
            call(wrong(value, dtype))
    assert np.array_equal(network.parameters, before)


def test_what_is_behind_a_sequence_may_be_no_index():
    network = network_of()
    lengths = np.full(45, 3)
    padded = INDICES.copy()
    padded[:, 3:] = -1
    y = np.ones((45, 2))
    assert np.array_equal(network.predict(padded, lengths=lengths), network.predict(INDICES, lengths=lengths))
    assert np.array_equal(network.predict([row[:3] for row in INDICES]), network.predict(INDICES, lengths=lengths))
    assert np.array_equal(
        network.predict([[1, 2], [3]]), network.predict([[1, 2, 0, 0, 0], [3, 0, 0, 0, 0]], lengths=[2, 1])
    )
    fastnn.Trainer(network, loss="mse").fit(padded, y, lengths=lengths)
    padded[:, 2] = -1
    with pytest.raises(ValueError, match="got -1 in row 0, column 2"):
        network.predict(padded, lengths=lengths)


def test_integers_are_read_without_a_copy_of_the_whole():
    indices = np.zeros((200_000, 20), np.int16)
    layers = [fastnn.Input(20), fastnn.Embedding(10, 2), fastnn.GlobalAveragePooling1D(), fastnn.Dense(1)]
    network = fastnn.Network(layers, seed=0)
    trainer = fastnn.Trainer(network, loss="mse")
    y = np.zeros((200_000, 1), np.float32)
    trainer.fit(indices[:64], y[:64])
    tracemalloc.start()
    trainer.fit(indices, y, batch_size=1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < indices.nbytes / 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.Embedding(0, 3), "input_dim must be"),
        (lambda: fastnn.Embedding(2**24 + 1, 3), "input_dim must be"),
        (lambda: fastnn.Embedding(5, 0), "output_dim must be"),
        (lambda: fastnn.Embedding(5, 2, embeddings_initializer="auto"), "embeddings_initializer must be"),
        (lambda: fastnn.Network([fastnn.Input(3), fastnn.Dense(2), fastnn.Embedding(5, 2)]), r"layers\[2\]"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_sparse_matrices_are_refused_and_files_keep_the_layer(tmp_path):
    import scipy.sparse

    network = network_of(embeddings_constraint=fastnn.MaxNorm(1.0))
    with pytest.raises(TypeError, match="X must be dense where an Embedding takes it"):
        network.predict(scipy.sparse.csr_matrix(INDICES))
    network.save(tmp_path / "network.safetensors")
    again = fastnn.Network.load(tmp_path / "network.safetensors")
    assert again.layers == network.layers
    assert np.array_equal(again.predict(INDICES), network.predict(INDICES))


def test_explain_and_saliency_say_what_they_cannot_show():
    """An index out of range was taken for the last row of the table, and a picture of zeros was no answer."""
    network = fastnn.Network([fastnn.Input(3), fastnn.Embedding(5, 2), fastnn.Flatten(), fastnn.Dense(1)], seed=0)
    for wrong in (5, -1, 0.5):
        with pytest.raises(ValueError, match=rf"x must hold integers from 0 to 4 .*, got {wrong}.* in row 0, column 2"):
            network.explain([0, 1, wrong], 1.0, loss="mse")
    assert network.explain([0, 1, 4], 1.0, loss="mse").steps
    with pytest.raises(ValueError, match="network must not begin with an Embedding"):
        fastnn.saliency(network, [[0, 1, 4]])
