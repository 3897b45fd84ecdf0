"""Lanes of a panel that hold no sample: products leave them out, and must not leave in them what was there before."""

import numpy as np
import pytest
from numba import njit

from fastnn.kernels.gemm import PANEL, multiply_forward, multiply_input_gradient
from fastnn.kernels.jit import FLAGS


@njit(**FLAGS)
def _forward(parameters, fan_in, units, buffer, source, target, n_samples):
    area = target + units * PANEL + 64
    multiply_forward(parameters, 0, -1, fan_in, units, buffer, source, target, n_samples, area, False)


@njit(**FLAGS)
def _input_gradient(parameters, fan_in, units, buffer, source, target, n_samples):
    multiply_input_gradient(parameters, 0, fan_in, units, buffer, source, target, n_samples)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("product", "read", "written"), [(_forward, 3, 5), (_input_gradient, 5, 3)])
def test_vectors_without_a_sample_become_zero(product, read, written, dtype):
    n_samples, lanes = 5, 64 // np.dtype(dtype).itemsize
    buffer = np.full((read + written) * PANEL + 64 + 32 * PANEL, np.inf, dtype)
    buffer[: read * PANEL] = 1.0
    product(np.ones(15 + 32, dtype), 3, 5, buffer, 0, read * PANEL, n_samples)
    result = buffer[read * PANEL : (read + written) * PANEL].reshape(written, PANEL)
    np.testing.assert_array_equal(result[:, :n_samples], read)
    np.testing.assert_array_equal(result[:, lanes:], 0.0)
    assert np.isinf(buffer[(read + written) * PANEL :][:64]).all()
