"""Lanes of a panel that hold no sample: products leave them out, and must not leave in them what was there before."""

import numpy as np
import pytest

from fastnn.kernels.gemm import PANEL
from products import DenseOp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("product", "written"), [("forward", 5), ("input_gradient", 3)])
def test_vectors_without_a_sample_become_zero(product, written, dtype):
    n_samples, lanes = 5, 64 // np.dtype(dtype).itemsize
    op = DenseOp(3, 5, n_samples, dtype, has_bias=False)
    op.parameters[:] = op.buffer[:] = 1.0
    target = op.z if product == "forward" else op.dx
    op.buffer[op.region(target, written)] = np.inf
    op.buffer[op.region(target, written).stop :][:64] = np.inf
    getattr(op, product)()
    result = op.buffer[op.region(target, written)].reshape(written, PANEL)
    np.testing.assert_array_equal(result[:, :n_samples], 8 - written)
    np.testing.assert_array_equal(result[:, lanes:], 0.0)
    assert np.isinf(op.buffer[op.region(target, written).stop :][:64]).all()
