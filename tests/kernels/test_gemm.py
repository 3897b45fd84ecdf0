"""Matrix products on panels against NumPy's, with every vector that must not be read or written watched."""

import numpy as np
import pytest

from fastnn.engine.workspace import aligned_zeros
from fastnn.kernels.gemm import (
    ADD,
    PANEL,
    ZERO,
    multiply_forward,
    multiply_input_gradient,
    multiply_weight_gradient,
    transpose_deltas,
)
from fastnn.kernels.narrow import group_of, multiply_narrow, transpose_narrow
from fastnn.kernels.simd import lanes
from support import rng, test_kernel

SIZES = (1, 3, 8, 9, 15, 16, 17, 24, 31, 32, 33, 50, 64, 65, 100)  # samples
GUARD = 96  # elements around what a product may write


@test_kernel
def products(parameters, weights, bias, fan_in, units, buffer, x, z, delta, dx, strips, n, gradient, start):
    """All three products of a dense layer; the gradient of its kernel in two blocks of rows."""
    multiply_forward(parameters, weights, bias, fan_in, units, buffer, x, z, n, strips, n % 2 == 0)
    multiply_input_gradient(parameters, weights, fan_in, units, buffer, delta, dx, n)
    transpose_deltas(buffer, delta, units, n, strips)
    half = fan_in // 2
    if half > 0:
        multiply_weight_gradient(gradient, weights, -1, 0, half, fan_in, units, buffer, x, strips, n, start, None, 0, 0)
    multiply_weight_gradient(gradient, weights + half * units, bias, half, fan_in - half, fan_in, units, buffer, x,
                             strips, n, start, parameters, weights, weights + fan_in * units)  # fmt: skip


@test_kernel
def narrow_products(parameters, weights, bias, fan_in, units, buffer, x, z, delta, dx, strips, n, gradient, start):
    """As `products`, with several samples to a vector in the weight gradient; False if the layer is too wide for it."""
    multiply_forward(parameters, weights, bias, fan_in, units, buffer, x, z, n, strips, n % 2 == 0)
    multiply_input_gradient(parameters, weights, fan_in, units, buffer, delta, dx, n)
    group = group_of(units, lanes(buffer))
    if group == 1:
        return False
    transpose_narrow(buffer, delta, units, n, strips, group)
    multiply_narrow(gradient, weights, bias, fan_in, units, buffer, x, strips, n, start, group)
    return True


class Layer:
    """A dense layer in a buffer of its own: every element that holds no operand is NaN."""

    def __init__(self, fan_in, units, n, dtype, has_bias):
        self.fan_in, self.units, self.n = fan_in, units, n
        self.n_panels = -(-n // PANEL)
        n_rows = self.n_panels * PANEL
        self.dtype = np.dtype(dtype)
        generator = rng(1000 * fan_in + 10 * units + n)
        self.X = generator.normal(size=(n_rows, fan_in)).astype(dtype)
        self.W = generator.normal(size=(fan_in, units)).astype(dtype)
        self.b = generator.normal(size=units).astype(dtype)
        self.D = generator.normal(size=(n_rows, units)).astype(dtype)
        self.X[n:] = self.D[n:] = np.nan  # samples that only fill up the last panel

        # The bias lies before the kernel and neither on a cache line, so that a mix-up would show.
        self.bias = GUARD + 3 if has_bias else -1
        self.weights = GUARD + 3 + units
        self.parameters = self.nans(2 * GUARD + 3 + units + fan_in * units)
        self.parameters[GUARD + 3 : self.weights] = self.b
        self.kernel = slice(self.weights, self.weights + fan_in * units)
        self.parameters[self.kernel] = self.W.ravel()

        strip_units = -(-units // 32) * 32
        sizes = [n_rows * fan_in, n_rows * units, n_rows * units, n_rows * fan_in, n_rows * strip_units]
        ends = np.cumsum(np.array(sizes) + GUARD)
        self.x, self.z, self.delta, self.dx, self.strips = (ends - sizes).tolist()
        self.strips_end = int(ends[-1])
        self.buffer = self.nans(self.strips_end + 16 * PANEL)  # whole blocks of 16 units are read past the deltas
        self.put(self.x, self.X)
        self.put(self.delta, self.D)

    def nans(self, size):
        array = aligned_zeros(size, self.dtype)
        array[:] = np.nan
        return array

    def region(self, start, width):
        return slice(start, start + self.n_panels * PANEL * width)

    def put(self, start, rows):
        panels = rows.reshape(self.n_panels, PANEL, -1).transpose(0, 2, 1)
        self.buffer[self.region(start, rows.shape[1])] = panels.ravel()

    def get(self, start, width):
        panels = self.buffer[self.region(start, width)].reshape(self.n_panels, width, PANEL)
        return panels.transpose(0, 2, 1).reshape(-1, width)

    def run(self, gradient, start):
        products(self.parameters, self.weights, self.bias, self.fan_in, self.units, self.buffer, self.x, self.z,
                 self.delta, self.dx, self.strips, self.n, gradient, start)  # fmt: skip


class NarrowLayer(Layer):
    """One whose padding of inputs is finite, as it is in a network: it repeats the last sample."""

    def __init__(self, fan_in, units, n, dtype, has_bias):
        super().__init__(fan_in, units, n, dtype, has_bias)
        self.X[n:] = self.X[n - 1]
        self.put(self.x, self.X)

    def run(self, gradient, start):
        assert narrow_products(self.parameters, self.weights, self.bias, self.fan_in, self.units, self.buffer, self.x,
                               self.z, self.delta, self.dx, self.strips, self.n, gradient, start)  # fmt: skip


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
            layer = Layer(fan_in, units, SIZES[i % len(SIZES)], dtype, has_bias=i % 3 > 0)
            check(layer, ADD if i % 2 else ZERO)
            i += 1


@pytest.mark.parametrize("n", SIZES)
def test_every_batch_size_at_awkward_widths(n, dtype):
    for fan_in, units in ((1, 1), (1, 33), (33, 1), (15, 17), (64, 64), (100, 10), (257, 129)):
        for start in (ZERO, ADD):
            check(Layer(fan_in, units, n, dtype, has_bias=True), start)


@pytest.mark.parametrize("n", [33, 40, 64, 65, 100, 130])
def test_kernels_whose_rows_evict_each_other_from_the_cache(n, dtype):
    """Rows a power of two apart, which the forward product copies together where its tiles are narrow."""
    for fan_in, units in ((600, 32), (300, 64), (257, 192), (130, 256), (70, 512), (600, 128)):
        check(Layer(fan_in, units, n, dtype, has_bias=True), ZERO)


@pytest.mark.parametrize("n", [*SIZES, 34, 63, 127, 200])
def test_narrow_layers(n, dtype):
    """Groups of two and of four, with every number of units, of rows of a tile and of samples left over."""
    for units in range(1, 9 if dtype == "float32" else 5):
        for fan_in in (1, 2, 13, 14, 15, 29, 24 + units):
            check(NarrowLayer(fan_in, units, n, dtype, has_bias=fan_in % 3 > 0), ADD if fan_in % 2 else ZERO)


def test_groups(dtype):
    width = 16 if dtype == "float32" else 8
    groups = [group_of.py_func(units, width) for units in (1, 2, 3, 4, 5, 8, 9, 16, 64)]
    assert groups == ([4, 4, 4, 4, 2, 2, 1, 1, 1] if dtype == "float32" else [2, 2, 2, 2, 1, 1, 1, 1, 1])


def test_nothing_depends_on_what_lay_in_the_target(dtype):
    layer = Layer(7, 19, 21, dtype, has_bias=True)
    gradient = layer.nans(layer.parameters.size)
    layer.run(gradient, ZERO)
    first = layer.get(layer.z, 19)[:21].copy(), layer.get(layer.dx, 7)[:21].copy(), gradient.copy()
    layer.buffer[layer.region(layer.z, 19)] = 1e30
    layer.buffer[layer.region(layer.dx, 7)] = 1e30
    layer.run(gradient, ZERO)
    np.testing.assert_array_equal(layer.get(layer.z, 19)[:21], first[0])
    np.testing.assert_array_equal(layer.get(layer.dx, 7)[:21], first[1])
    np.testing.assert_array_equal(gradient, first[2])
