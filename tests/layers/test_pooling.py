"""Pooling: what it computes, for every way in which windows can lie, and what it refuses."""

import numpy as np
import pytest

import fastnn
import reference as ref
from support import assert_close, rng

KINDS = {"max": (fastnn.MaxPooling2D, fastnn.MaxPooling1D), "mean": (fastnn.AveragePooling2D, fastnn.AveragePooling1D)}


def random_case(seed):
    r = rng(seed)
    size, strides = (tuple(map(int, r.integers(1, 5, 2))) for _ in range(2))
    padding = str(r.choice(["valid", "same"]))
    least = size if padding == "valid" else (1, 1)
    shape = (*(n + int(r.integers(0, 5)) for n in least), int(r.choice([1, 3])))
    return size, strides, padding, shape, int(r.choice([1, 32, 45]))


def check(layer, oracle, shape, n, dtype, X=None):
    network = fastnn.Network([fastnn.Input(shape), layer], dtype=dtype)
    X = rng(3).normal(size=(n, *shape)).astype(dtype) if X is None else X
    expected = oracle.forward(X.astype(float))
    outputs = network.predict(X)
    assert outputs.shape == expected.shape
    assert_close(outputs, expected, 20)
    v = rng(4).normal(size=expected.shape).astype(dtype)
    assert_close(network.vjp(X, v)[0], oracle.backward(X.astype(float), v)[0], 20)
    flat = fastnn.Network([fastnn.Input(shape), layer, fastnn.Flatten()], dtype=dtype)
    rows = np.ascontiguousarray(X.reshape(n, -1)[:2])
    assert_close(flat.predict(rows), expected.reshape(n, -1)[:2], 20)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_outputs_and_gradients_are_the_oracles(seed, kind, dtype):
    size, strides, padding, shape, n = random_case(seed)
    check(KINDS[kind][0](size, strides, padding), ref.Pooling(kind, size, strides, padding), shape, n, dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(6, 4, 3), (7, 5, 2)])
def test_two_by_two_side_by_side(kind, shape, dtype):
    check(KINDS[kind][0](), ref.Pooling(kind, (2, 2), (2, 2)), shape, 40, dtype)


@pytest.mark.parametrize("strides", [(2, 2), (1, 1)])
def test_of_equal_numbers_the_first_gets_the_gradient(strides, dtype):
    X = rng(0).integers(0, 2, (40, 6, 6, 2)).astype(dtype)
    check(fastnn.MaxPooling2D(2, strides), ref.Pooling("max", (2, 2), strides), (6, 6, 2), 40, dtype, X)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_is_an_image_of_one_row(kind, dtype):
    image, sequence = (cls for cls in KINDS[kind])
    X = rng(0).normal(size=(9, 11, 4)).astype(dtype)
    one = fastnn.Network([fastnn.Input((11, 4)), sequence(3, 2, "same")], dtype=dtype)
    two = fastnn.Network([fastnn.Input((1, 11, 4)), image((1, 3), (1, 2), "same")], dtype=dtype)
    np.testing.assert_array_equal(one.predict(X), two.predict(X[:, np.newaxis])[:, 0])


def test_global_pooling(dtype):
    X = rng(0).normal(size=(40, 5, 4, 3)).astype(dtype)
    images, sequences = fastnn.Input((5, 4, 3)), fastnn.Input((20, 3))
    for shape, largest, mean in (
        (images, fastnn.GlobalMaxPooling2D(), fastnn.GlobalAveragePooling2D()),
        (sequences, fastnn.GlobalMaxPooling1D(), fastnn.GlobalAveragePooling1D()),
    ):
        given = X.reshape(40, *shape.shape)
        np.testing.assert_array_equal(fastnn.Network([shape, largest], dtype=dtype).predict(given), X.max(axis=(1, 2)))
        assert_close(fastnn.Network([shape, mean], dtype=dtype).predict(given), X.mean(axis=(1, 2), dtype=float), 20)


def test_not_a_number_shows(dtype):
    X = np.zeros((3, 2, 2, 1), dtype)
    X[1, 1, 0, 0] = np.nan
    out = fastnn.Network([fastnn.Input((2, 2, 1)), fastnn.MaxPooling2D()], dtype=dtype).predict(X).ravel()
    np.testing.assert_array_equal(np.isnan(out), [False, True, False])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastnn.MaxPooling2D(0), ValueError, "pool_size must be"),
        (lambda: fastnn.MaxPooling2D(2, (1, 0)), ValueError, "strides must be"),
        (lambda: fastnn.AveragePooling1D((2, 2)), ValueError, "pool_size must be an integer >= 1, got"),
        (lambda: fastnn.MaxPooling2D(2, padding="some"), ValueError, "padding must be one of"),
        (lambda: fastnn.MaxPooling1D("2"), TypeError, "pool_size must be"),
        (
            lambda: fastnn.Network([fastnn.Input((4, 2, 1)), fastnn.MaxPooling2D(3)]), ValueError,
            r"MaxPooling2D at layers\[1\] looks at windows 3 long, but the width of its input is 2",
        ),
        (
            lambda: fastnn.Network([fastnn.Input(8), fastnn.GlobalMaxPooling2D()]), ValueError,
            r"GlobalMaxPooling2D takes images of shape \(height, width, channels\)",
        ),
    ],
)  # fmt: skip
def test_hostile_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()
