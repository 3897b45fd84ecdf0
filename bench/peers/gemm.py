"""The limit: the matrix products of one training step and nothing else, through the BLAS that numba's ``np.dot`` calls.

Forward ``A W``, then ``A' D`` and (but for the first layer, whose inputs need no gradient) ``D W'``, in a compiled
loop, on buffers that start on cache lines. No bias, no activation, no loss, no optimizer, no gathering of rows.
"""

import time
from functools import cache

import numba
import numpy as np

from bench.peers.numpy_baseline import aligned_empty


@numba.njit(nogil=True)
def _products(A, W, D, dW, n_steps):
    """A, D: the (rows, units) buffers of every layer, inputs first; W, dW: the weights between them."""
    for _ in range(n_steps):
        for k in range(len(W)):
            np.dot(A[k], W[k], A[k + 1])
        for k in range(len(W) - 1, -1, -1):
            np.dot(A[k].T, D[k + 1], dW[k])
            if k > 0:
                np.dot(D[k + 1], W[k].T, D[k])


def _blas() -> str:
    """Which BLAS is loaded, and with how many threads."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown"
    keys = ("internal_api", "version", "architecture", "num_threads")
    pools = {" ".join(str(pool.get(key) or "") for key in keys) for pool in threadpool_info()}
    return ", ".join(sorted(pool for pool in pools if not pool.startswith("openmp")))


class Products:
    def __init__(self, workload):
        rng = np.random.default_rng(0)
        self.steps_per_epoch = workload.steps_per_epoch

        def filled(*shapes):  # scaled so that products neither overflow nor become denormal
            arrays = tuple(aligned_empty(shape, workload.dtype) for shape in shapes)
            for a in arrays:
                a[...] = rng.standard_normal(a.shape) / np.sqrt(a.shape[0])
            return arrays

        layers = [(workload.step_rows, units) for units in workload.sizes]
        weights = list(zip(workload.sizes, workload.sizes[1:], strict=False))
        self.extra = {"peak_gflops": peak_gflops(workload.dtype), "blas": _blas()}
        self.arrays = filled(*layers), filled(*weights), filled(*layers), filled(*weights)

    def train(self, n_epochs):
        _products(*self.arrays, n_epochs * self.steps_per_epoch)
        return float("nan")

    def gradient(self):
        self.train(1)

    def gradients(self, n):
        """n times in one call: the limit is not charged for Python's way into compiled code."""
        _products(*self.arrays, n)

    def reset(self, weights):
        pass


def build(workload, data, threads):
    return Products(workload)


@numba.njit(nogil=True)
def _repeat(a, b, c, n):
    for _ in range(n):
        np.dot(a, b, c)


SIZES = (128, 256, 384, 512, 768)


@cache
def _square(size: int, dtype: str):
    a, b, c = (aligned_empty((size, size), dtype) for _ in range(3))
    a[...], b[...] = 0.5, 0.25
    return a, b, c


def rate(size: int, dtype: str, seconds: float) -> float:
    """GFLOP/s of square products of that size, repeated for about so long; the best of several tries."""
    arrays, best, spent = _square(size, dtype), 0.0, 0.0
    n = max(1, int(2e8 / size**3))
    while spent < seconds or best == 0.0:
        start = time.perf_counter()
        _repeat(*arrays, n)
        elapsed = time.perf_counter() - start
        best, spent = max(best, 2e-9 * size**3 * n / elapsed), spent + elapsed
    return best


@cache
def best_size(dtype: str) -> int:
    for size in SIZES:
        rate(size, dtype, 0.0)  # compiled, and in the caches
    return max(SIZES, key=lambda size: rate(size, dtype, 0.03))


@cache
def peak_gflops(dtype: str) -> float:
    """The best rate of a square product, of several sizes and tries: what 100 % means in the tables."""
    best_size(dtype)
    return max(rate(size, dtype, 0.03) for size in SIZES)
