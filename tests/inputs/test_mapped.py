"""Mapped files of dtypes that kernels do not read: converted piece by piece, with the bits of a whole copy."""

import numpy as np
import pytest

import fastnn
from fastnn.engine import workspace as engine
from support import rng

N, WIDTH = 700, 6
DTYPES = ["int8", "int16", "uint16", "int32", "int64", "float16", ">f4", ">i2", "bool", "longdouble"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(engine, "_PIECE_BYTES", 3000)  # a few batches


def mapped(path, values, dtype):
    """The values in a file of a dtype, mapped for reading."""
    file = np.memmap(path, dtype, "w+", shape=values.shape)
    file[:] = values
    file.flush()
    return np.memmap(path, dtype, "r", shape=values.shape)


def numbers(dtype):
    return rng(3).integers(
        0 if dtype == "bool" else -100 * (dtype[0] != "u"), 2 if dtype == "bool" else 100, (N, WIDTH)
    )


def whole(X):
    """The same values in memory, of a dtype that kernels read."""
    return np.array(X).astype("float64" if X.dtype.itemsize > 4 else "float32")


def new_trainer(dtype="float32", n_outputs=1, **options):
    network = fastnn.Network.mlp(WIDTH, [8], n_outputs, dtype=dtype, dropout=0.2, seed=0)
    return fastnn.Trainer(network, loss="mse", metrics=["mae"], **options)


def assert_same_fit(one, other, X, y, **options):
    """Fits of mapped X and y, and of copies of them, give the same bits."""
    one.fit(X, y, **options)
    other.fit(whole(X), whole(y) if y.dtype.kind != "i" or y.ndim == 2 else np.array(y), **options)
    np.testing.assert_array_equal(one.network.parameters, other.network.parameters)
    assert one.history.history == other.history.history


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_the_bits_of_a_whole_copy(tmp_path, dtype):
    X = mapped(tmp_path / "X", numbers(dtype), dtype)
    y = whole(X)[:, 0] / 50
    options = {"epochs": 2, "validation_split": 0.2, "sample_weight": rng(4).uniform(0.5, 2, N)}
    one, other = new_trainer("float64"), new_trainer("float64")
    assert_same_fit(one, other, X, y, **options)
    np.testing.assert_array_equal(one.network.predict(X), other.network.predict(whole(X)))
    assert one.evaluate(X, y) == other.evaluate(whole(X), y)


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False},
        {"batch_size": None},
        {"batch_size": 1},
        {"batch_size": 130, "n_threads": 2},
        {"batch_size": 33},
    ],
)
def test_every_way_to_cut_has_the_bits_of_a_whole_copy(tmp_path, options):
    X = mapped(tmp_path / "X", numbers("int16"), "int16")
    for dtype in ("float32", "float64"):
        assert_same_fit(new_trainer(dtype), new_trainer(dtype), X, whole(X)[:, 0] / 50, epochs=2, **options)


def test_mapped_targets(tmp_path):
    X = mapped(tmp_path / "X", numbers("float16"), "float16")
    y = mapped(tmp_path / "y", numbers("int16"), "int16")
    one, other = (new_trainer(n_outputs=WIDTH) for _ in range(2))
    assert_same_fit(one, other, X, y, epochs=2)
    both = np.array(X, np.float32)
    one, other = (new_trainer(n_outputs=WIDTH) for _ in range(2))
    assert_same_fit(one, other, both, y, epochs=2, validation_data=(both[:90], y[:90]))


def test_classes_and_step_by_step_training(tmp_path):
    X = mapped(tmp_path / "X", numbers("int16"), "int16")
    y = mapped(tmp_path / "y", numbers("uint16")[:, 0] % 3, "int8")
    losses = []
    callback = fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    results = []
    for data in (X, whole(X)):
        network = fastnn.Network.mlp(WIDTH, [8], 3, output="softmax", seed=0)
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy", "f1"], mixup=0.3)
        trainer.fit(data, y, validation_split=0.25, class_weight="balanced", callbacks=[callback])
        results.append((network.parameters.tobytes(), trainer.history.history))
    assert results[0] == results[1]
    assert losses[: len(losses) // 2] == losses[len(losses) // 2 :]


def test_rows_that_are_not_aligned(tmp_path):
    content = numbers("int16").astype(np.float32)
    (tmp_path / "X").write_bytes(b"\0" + content.tobytes())
    X = np.memmap(tmp_path / "X", np.float32, "r", offset=1, shape=content.shape)
    assert not X.flags.aligned
    assert_same_fit(new_trainer(), new_trainer(), X, content[:, 0])
    network = new_trainer().network
    np.testing.assert_array_equal(network.predict(X), network.predict(content))


def test_a_loss_in_python_and_blocks(tmp_path):
    def squared(y, outputs):
        return ((outputs - y) ** 2).mean(axis=1), 2 * (outputs - y) / y.shape[1]

    X = mapped(tmp_path / "X", numbers("int16"), "int16")
    y = whole(X)[:, :1] / 50
    for source in ((X, y), ([(X[:300], y[:300]), (X[300:], y[300:])],)):
        results = []
        for loss in (squared, "mse"):
            network = fastnn.Network.mlp(WIDTH, [8], 1, dtype="float64", seed=0)
            fastnn.Trainer(network, loss=loss).fit(*source)
            results.append(network.parameters)
        np.testing.assert_allclose(*results, rtol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found(tmp_path, value):
    values = numbers("float16").astype(np.float16)
    values[N - 2, 3] = value
    X = mapped(tmp_path / "X", values, "float16")
    with pytest.raises(ValueError, match=f"X must be finite, got {value} in row {N - 2}, column 3"):
        new_trainer().fit(X, np.zeros(N))
