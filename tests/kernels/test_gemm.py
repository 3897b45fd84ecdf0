"""Matrix products on panels against NumPy's, with every vector that must not be read or written watched."""

import numpy as np
import pytest

from fastnn.kernels.narrow import group_of
from fastnn.kernels.tile import ADD, ZERO
from products import DenseOp, NarrowDenseOp

SIZES = (1, 3, 8, 9, 15, 16, 17, 24, 31, 32, 33, 50, 64, 65, 100)  # samples


def assert_product(actual, A, B, plus, what):
    """actual = A B + plus, to within the rounding of a sum of that many terms."""
    A, B = A.astype(float), B.astype(float)
    bound = 4 * np.finfo(actual.dtype).eps * (np.abs(A) @ np.abs(B) + np.abs(plus))
    error = np.abs(actual - (A @ B + plus))
    assert (error <= bound).all(), f"{what}: {np.max(error / bound):.2f} times the bound"


def check(layer, start):
    kernel, has_bias, n = layer.kernel, layer.bias >= 0, layer.n
    what = (layer.fan_in, layer.units, n, layer.dtype.name, "bias" if has_bias else "no bias", start)
    gradient = layer.nans(layer.parameters.size)
    bias = slice(layer.bias, layer.bias + layer.units)
    before_W, before_b = (0.0, 0.0) if start == ZERO else (layer.W, layer.b)
    if start == ADD:
        gradient[kernel] = layer.W.ravel()
        if has_bias:
            gradient[bias] = layer.b
    parameters, buffer = layer.parameters.copy(), layer.buffer.copy()
    layer.run(gradient, start)

    assert_product(layer.get(layer.z, layer.units)[:n], layer.X[:n], layer.W, layer.b if has_bias else 0.0, what)
    dx = layer.get(layer.dx, layer.fan_in)
    assert_product(dx[:n], layer.D[:n], layer.W.T, 0.0, what)
    dW = gradient[kernel].reshape(layer.W.shape)
    assert_product(dW, layer.X[:n].T, layer.D[:n], before_W, what)
    written = np.zeros(gradient.size, bool)
    written[kernel] = True
    if has_bias:
        assert_product(gradient[bias][None], np.ones((1, n)), layer.D[:n], before_b, what)
        written[bias] = True

    assert np.isnan(gradient[~written]).all(), f"{what}: the gradient was written outside its tensors"
    np.testing.assert_array_equal(layer.parameters, parameters, err_msg=str(what))
    may_change = np.zeros(buffer.size, bool)
    for start_at, width in ((layer.z, layer.units), (layer.dx, layer.fan_in)):
        may_change[layer.region(start_at, width)] = True
    may_change[layer.strips : layer.strips_end] = True
    np.testing.assert_array_equal(layer.buffer[~may_change], buffer[~may_change], err_msg=str(what))


@pytest.mark.parametrize("part", range(4))
def test_every_shape_up_to_40_by_40(part, dtype):
    """All numbers of rows and columns that a tile can be left with, over batch sizes in turn."""
    i = 0
    for fan_in in range(1 + part, 41, 4):
        for units in range(1, 41):
            layer = DenseOp(fan_in, units, SIZES[i % len(SIZES)], dtype, has_bias=i % 3 > 0)
            check(layer, ADD if i % 2 else ZERO)
            i += 1


@pytest.mark.parametrize("n", SIZES)
def test_every_batch_size_at_awkward_widths(n, dtype):
    for fan_in, units in ((1, 1), (1, 33), (33, 1), (15, 17), (64, 64), (100, 10), (257, 129)):
        for start in (ZERO, ADD):
            check(DenseOp(fan_in, units, n, dtype, has_bias=True), start)


@pytest.mark.parametrize("n", [33, 40, 64, 65, 100, 130])
def test_kernels_whose_rows_evict_each_other_from_the_cache(n, dtype):
    """Rows a power of two apart, which the forward product copies together where its tiles are narrow."""
    for fan_in, units in ((600, 32), (300, 64), (257, 192), (130, 256), (70, 512), (600, 128)):
        check(DenseOp(fan_in, units, n, dtype, has_bias=True), ZERO)


@pytest.mark.parametrize("n", [*SIZES, 34, 63, 127, 200])
def test_narrow_layers(n, dtype):
    """Groups of two and of four, with every number of units, of rows of a tile and of samples left over."""
    for units in range(1, 9 if dtype == "float32" else 5):
        for fan_in in (1, 2, 13, 14, 15, 29, 24 + units):
            check(NarrowDenseOp(fan_in, units, n, dtype, has_bias=fan_in % 3 > 0), ADD if fan_in % 2 else ZERO)


def test_groups(dtype):
    width = 16 if dtype == "float32" else 8
    groups = [group_of.py_func(units, width) for units in (1, 2, 3, 4, 5, 8, 9, 16, 64)]
    assert groups == ([4, 4, 4, 4, 2, 2, 1, 1, 1] if dtype == "float32" else [2, 2, 2, 2, 1, 1, 1, 1, 1])


def test_nothing_depends_on_what_lay_in_the_target(dtype):
    layer = DenseOp(7, 19, 21, dtype, has_bias=True)
    gradient = layer.nans(layer.parameters.size)
    layer.run(gradient, ZERO)
    first = layer.get(layer.z, 19)[:21].copy(), layer.get(layer.dx, 7)[:21].copy(), gradient.copy()
    layer.buffer[layer.region(layer.z, 19)] = 1e30
    layer.buffer[layer.region(layer.dx, 7)] = 1e30
    layer.run(gradient, ZERO)
    np.testing.assert_array_equal(layer.get(layer.z, 19)[:21], first[0])
    np.testing.assert_array_equal(layer.get(layer.dx, 7)[:21], first[1])
    np.testing.assert_array_equal(gradient, first[2])
