"""Data in any dtype, memory order and container give what a plain array gives."""

import ctypes
import mmap
import sys
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from support import assert_close, rng

DTYPES = [
    "float16",
    "float32",
    "float64",
    "longdouble",
    "uint8",
    "int8",
    "int64",
    "uint32",
    "bool",
    ">f4",
    ">f8",
    ">i2",
]


def strided_rows(a):
    wide = np.zeros((2 * a.shape[0], a.shape[1]), a.dtype)
    wide[::2] = a
    return wide[::2]


def strided_columns(a):
    wide = np.zeros((a.shape[0], 3 * a.shape[1]), a.dtype)
    wide[:, 1::3] = a
    return wide[:, 1::3]


def backwards(a):
    return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


def memory_mapped(a):
    if not a.size:
        return a  # an empty file cannot be mapped
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype=a.dtype, mode="w+", shape=a.shape)
    mapped[...] = a
    return mapped


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, np.uint8)
    view = memory[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def field_of_records(a):
    records = np.zeros(a.shape, [("flag", "u1"), ("value", a.dtype)])
    records["value"] = a
    return records["value"]


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed twice": lambda a: np.ascontiguousarray(a.T).T,
    "strided rows": strided_rows,
    "strided columns": strided_columns,
    "backwards": backwards,
    "read-only": read_only,
    "memmap": memory_mapped,
    "unaligned": unaligned,
    "field of records": field_of_records,
    "subclass": lambda a: a.view(type("Subclass", (np.ndarray,), {})),
    "list": lambda a: a.tolist() if a.size else a,
}

examples = settings(max_examples=120)


def numbers(seed, n, width, dtype):
    """Small whole numbers, which every dtype holds exactly; bools are bools."""
    return rng(seed).integers(0, 2 if dtype == "bool" else 8, (n, width)).astype(dtype)


@examples
@given(
    n=st.integers(0, 140),
    n_inputs=st.integers(1, 40),
    x_dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(sorted(LAYOUTS)),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_predict(n, n_inputs, x_dtype, layout, dtype):
    network = fastnn.Network.mlp(n_inputs, [5], 3, activation="tanh", dtype=dtype, seed=0)
    X = numbers(1, n, n_inputs, x_dtype)
    given = LAYOUTS[layout](X)
    result = network.predict(given)
    assert result.shape == (n, 3)
    assert result.dtype == dtype
    # A few rows are computed one by one, many in panels: sums in another order.
    assert_close(result, network.predict(X.astype(dtype)), 8)
    np.testing.assert_array_equal(np.asarray(given), X)


@examples
@given(
    n=st.integers(1, 100),
    n_inputs=st.integers(1, 40),
    x_dtype=st.sampled_from(DTYPES),
    y_dtype=st.sampled_from(DTYPES),
    layouts=st.tuples(st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS))),
    n_outputs=st.integers(1, 5),
    dtype=st.sampled_from(["float32", "float64"]),
    batch_size=st.one_of(st.none(), st.integers(1, 130)),
)
def test_fit_and_evaluate(n, n_inputs, x_dtype, y_dtype, layouts, n_outputs, dtype, batch_size):
    X, y = numbers(1, n, n_inputs, x_dtype), numbers(2, n, n_outputs, y_dtype)
    plain = X.astype(dtype), y.astype(dtype)
    results = []
    for data in ((LAYOUTS[layouts[0]](X), LAYOUTS[layouts[1]](y)), plain):
        network = fastnn.Network.mlp(n_inputs, [6], n_outputs, dtype=dtype, seed=0)
        trainer = fastnn.Trainer(network, loss="huber", metrics=["mae"])
        history = trainer.fit(*data, epochs=2, batch_size=batch_size).history
        results.append((network.parameters, history, trainer.evaluate(*data)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1:] == results[1][1:]


@examples
@given(
    n=st.integers(1, 100),
    y_dtype=st.sampled_from([d for d in DTYPES if d != "bool"]),
    layout=st.sampled_from(sorted(LAYOUTS)),
    as_column=st.booleans(),
)
def test_class_numbers(n, y_dtype, layout, as_column):
    X, labels = rng(1).normal(size=(n, 4)), rng(2).integers(0, 3, n)
    given = LAYOUTS[layout](labels.astype(y_dtype)[:, np.newaxis])
    given = given if as_column else np.ravel(given)
    network = fastnn.Network.mlp(4, [5], 3, output="softmax", seed=0)
    loss, gradient = network.loss_and_gradient(X, given, loss="categorical_crossentropy")
    same_loss, same = network.loss_and_gradient(X, np.eye(3)[labels], loss="categorical_crossentropy")
    assert loss == same_loss
    np.testing.assert_array_equal(gradient, same)


@examples
@given(
    n=st.integers(0, 140),
    layout=st.sampled_from(["C", "Fortran", "strided rows", "strided columns", "backwards", "memmap"]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_predict_into_an_array(n, layout, dtype):
    network = fastnn.Network.mlp(4, [5], 3, dtype=dtype, seed=0)
    X = rng(1).normal(size=(n, 4)).astype(dtype)
    out = LAYOUTS[layout](np.full((n, 3), np.nan, dtype))
    assert network.predict(X, out=out) is out
    assert_close(np.asarray(out), network.predict(X), 8)


def test_what_lies_around_out_is_left_alone(dtype):
    network = fastnn.Network.mlp(4, [5], 3, dtype=dtype, seed=0)
    for n in (1, 5, 33, 200):
        around = np.full((n + 2, 5), 7.0, dtype)
        network.predict(rng(1).normal(size=(n, 4)).astype(dtype), out=around[1:-1, 1:-1])
        around[1:-1, 1:-1] = 7.0
        np.testing.assert_array_equal(around, 7.0)


def test_one_row_is_as_among_many(dtype):
    network = fastnn.Network.mlp(4, [9, 8], 3, activation="gelu", output="softmax", dtype=dtype, seed=0)
    X = rng(1).normal(size=(50, 4)).astype(dtype)
    alone = np.concatenate([network.predict(row[np.newaxis]) for row in X])
    assert_close(alone, network.predict(X), 16)


def test_a_broadcast_row_is_read_where_it_lies(dtype):
    network = fastnn.Network.mlp(4, [5], 3, dtype=dtype, seed=0)
    row = rng(1).normal(size=(1, 4)).astype(dtype)
    assert_close(network.predict(np.broadcast_to(row, (100, 4))), network.predict(row.repeat(100, axis=0)), 0)


def test_data_at_the_end_of_the_memory_that_may_be_read():
    """Behind the last element lies a page that must not be touched: a read past it would end the process."""
    if sys.platform == "win32":
        pytest.skip("mprotect is POSIX's")
    libc = ctypes.CDLL(None)
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(address + 3 * page, page, 0) == 0  # PROT_NONE
    try:
        usable = np.frombuffer(memory, np.uint8, 3 * page)
        for dtype in ("float32", "float64", "uint8"):
            for n, width in ((1, 1), (1, 7), (5, 3), (33, 17), (40, 16)):
                X = usable[3 * page - n * width * np.dtype(dtype).itemsize :].view(dtype).reshape(n, width)
                X[...] = rng(1).integers(0, 5, (n, width))
                for network_dtype in ("float32", "float64"):
                    network = fastnn.Network.mlp(width, [4], width, dtype=network_dtype, seed=0)
                    fastnn.Trainer(network, loss="mse").fit(X, X, batch_size=16)
                    assert_close(network.predict(X), network.predict(X.astype(network_dtype)), 8)
                    if dtype == network_dtype:
                        network.predict(X.copy(), out=X)
    finally:
        assert libc.mprotect(address + 3 * page, page, 3) == 0  # PROT_READ | PROT_WRITE


def test_pandas():
    pandas = pytest.importorskip("pandas")
    X = rng(1).normal(size=(60, 3))
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    frame["b"] = frame["b"].round().astype("int32")
    labels = pandas.Series(rng(2).integers(0, 2, 60))
    network = fastnn.Network.mlp(3, [5], 2, output="softmax", seed=0)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy")
    trainer.fit(frame, labels, sample_weight=pandas.Series(np.ones(60)))
    same = fastnn.Network.mlp(3, [5], 2, output="softmax", seed=0)
    fastnn.Trainer(same, loss="categorical_crossentropy").fit(
        frame.to_numpy(), labels.to_numpy(), sample_weight=np.ones(60)
    )
    np.testing.assert_array_equal(network.parameters, same.parameters)
    np.testing.assert_array_equal(network.predict(frame), network.predict(frame.to_numpy()))


@pytest.mark.parametrize(
    ("shape", "at", "place"),
    [
        ((4, 3), (7, 2, 1), "row 7, step 2, feature 1"),
        ((3, 4, 2), (5, 1, 3, 1), r"row 5, position \(1, 3\), channel 1"),
    ],
)
def test_what_is_not_finite_in_samples_of_several_axes_is_named_by_its_place(shape, at, place):
    network = fastnn.Network([fastnn.Input(shape), fastnn.Flatten(), fastnn.Dense(1)], seed=0)
    X, trainer = np.zeros((9, *shape)), fastnn.Trainer(network, loss="mse")
    for value, message in ((np.nan, "finite, got nan"), (1e39, r"finite in float32, got 1e\+39")):
        X[at] = value
        for held in (X, X.reshape(9, -1)):
            with pytest.raises(ValueError, match=f"X must be {message} in {place}"):
                trainer.fit(held, np.zeros(9))


def test_pandas_numbers_that_know_missing_values_and_booleans_beside_numbers():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"a": [0.5, 1.5, 2.5], "b": [True, False, True]})
    nullable = pandas.DataFrame(
        {"a": pandas.array([0.5, 1.5, 2.5], "Float64"), "b": pandas.array([1, 0, 1], "Int64")}
    )  # fmt: skip
    y = pandas.Series([1, 2, 3], dtype="Int64")
    fitted = []
    for held, targets in ((X, y), (nullable, y), (X.astype(float).to_numpy(), [1, 2, 3])):
        network = fastnn.Network.mlp(2, [4], 1, seed=0)
        fastnn.Trainer(network, loss="mse").fit(held, targets, seed=0)
        fitted.append(network.predict(held))
    np.testing.assert_array_equal(fitted[0], fitted[2])
    np.testing.assert_array_equal(fitted[1], fitted[2])
    nullable.loc[1, "b"] = pandas.NA
    with pytest.raises(ValueError, match="X must be finite, got nan in row 1, column 1"):
        fastnn.Trainer(network, loss="mse").fit(nullable, y)
    with pytest.raises(TypeError, match="real numbers, got an array of dtype object"):
        network.predict(pandas.DataFrame({"a": ["1", "2"], "b": [1, 2]}, dtype=object))
