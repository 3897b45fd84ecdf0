"""A dense op in memory of its own, for tests of products: every element that holds no operand is NaN."""

import numpy as np

from fastnn.engine.memory import aligned_zeros
from fastnn.kernels import tables
from fastnn.kernels.gemm import (
    PANEL,
    multiply_forward,
    multiply_input_gradient,
    multiply_weight_gradient,
    transpose_deltas,
)
from fastnn.kernels.narrow import group_of, multiply_narrow, transpose_narrow
from fastnn.kernels.simd import lanes
from fastnn.kernels.tile import reading_tile, writing_tile
from fastnn.kernels.views import buffer_of, gradient_of
from support import rng, test_kernel

GUARD = 96  # elements around what a product may write


@test_kernel
def _forward(jobs, ops):
    multiply_forward(jobs[0], ops[0], jobs[0].n_samples)


@test_kernel
def _input_gradient(jobs, ops):
    multiply_input_gradient(jobs[0], ops[0], jobs[0].n_samples)


@test_kernel
def _weight_gradient(jobs, ops):
    """In two blocks of rows, the second of which fetches the kernel meanwhile."""
    job, op = jobs[0], ops[0]
    n, buffer = job.n_samples, buffer_of(job)
    item_size = 64 // lanes(buffer)
    transpose_deltas(buffer, job.delta * PANEL, op.units, n, job.strips * PANEL)
    half = op.fan_in // 2
    weights = job.gradient + op.weights * item_size
    bias = job.gradient + op.bias * item_size if op.bias >= 0 else 0
    if half > 0:
        multiply_weight_gradient(job, op, weights, 0, 0, half, job.buffer, n, job.start, 0, 0)
    multiply_weight_gradient(job, op, weights + half * op.units * item_size, bias, half, op.fan_in - half, job.buffer,
    n,
                             job.start, job.parameters, job.parameters + op.fan_in * op.units * item_size)  # fmt: skip


@test_kernel
def _narrow_weight_gradient(jobs, ops):
    """With several samples to a vector; False if the layer is too wide for it."""
    job, op = jobs[0], ops[0]
    buffer = buffer_of(job)
    group = group_of(op.units, lanes(buffer))
    if group == 1:
        return False
    strips = job.strips * PANEL
    transpose_narrow(buffer, job.delta * PANEL, op.units, job.n_samples, strips, group)
    multiply_narrow(gradient_of(job), op.weights, op.bias, op.fan_in, op.units, buffer, op.source * PANEL, strips,
                    job.n_samples, job.start, group)  # fmt: skip
    return True


class DenseOp:
    """Operands of the three products, and the records through which units find them."""

    is_narrow = False

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
        if self.is_narrow:  # this product needs finite inputs there, as a network has them: they repeat the last sample
            self.X[n:] = self.X[n - 1]

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

        self.ops = np.zeros(1, tables.OP)
        for name, value in {
            "fan_in": fan_in, "units": units, "positions": 1, "weights": self.weights, "bias": self.bias,
            "source": self.x // PANEL, "target": self.z // PANEL, "n_parameters": 1,
        }.items():  # fmt: skip
            self.ops[name] = value
        self.jobs = np.zeros(1, tables.JOBS[self.dtype])
        for name, value in {
            "n_threads": 1 + n % 2, "capacity": 1, "n_samples": n, "parameters": self.parameters.ctypes.data,
            "n_values": self.parameters.size, "parameter_stride": self.parameters.size,
            "buffer": self.buffer.ctypes.data, "buffer_size": self.buffer.size, "delta": self.delta // PANEL,
            "other_delta": self.dx // PANEL, "strips": self.strips // PANEL,
            "reading_tile": reading_tile.address(self.dtype), "writing_tile": writing_tile.address(self.dtype),
        }.items():  # fmt: skip
            self.jobs[name] = value

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

    def forward(self):
        _forward(self.jobs, self.ops)

    def input_gradient(self):
        _input_gradient(self.jobs, self.ops)

    def run(self, gradient, start):
        """All three products."""
        self.forward()
        self.input_gradient()
        self.jobs["gradient"], self.jobs["start"] = gradient.ctypes.data, start
        if self.is_narrow:
            assert _narrow_weight_gradient(self.jobs, self.ops)
        else:
            _weight_gradient(self.jobs, self.ops)


class NarrowDenseOp(DenseOp):
    """One of few units, whose weight gradient takes several samples a vector."""

    is_narrow = True
