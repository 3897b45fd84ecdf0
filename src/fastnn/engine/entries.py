"""The kernels as plain compiled functions, for calls that come thousands of times a second.

Numba's dispatcher looks at the type of every argument of every call, to find the code that was compiled for such. The
callers of these make all arguments themselves and know the types, so the look is taken once.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import typeof

from fastnn.kernels import tables
from fastnn.kernels.cache import compile_once
from fastnn.kernels.random import shuffle
from fastnn.kernels.sources import FINITE_TESTS
from fastnn.kernels.train import predict, run


def _compiled(kernel: Any, *examples: Any) -> Callable[..., Any]:
    """Return the code for arguments of the types of these examples, compiled or from the disk cache."""
    return compile_once(kernel, tuple(typeof(example) for example in examples))


@cache
def run_of(dtype: np.dtype) -> Callable[..., None]:
    """Return `kernels.train.run` for networks of a dtype."""
    return _compiled(run, np.empty(0, tables.JOBS[dtype]), 0, 0)


@cache
def predict_of(dtype: np.dtype) -> Callable[..., None]:
    """Return `kernels.train.predict` for networks of a dtype."""
    return _compiled(predict, np.empty(0, tables.JOBS[dtype]), 0, 0, 0, 0, 0, 0, 0)


@cache
def train_adversaries_of(dtype: np.dtype) -> Callable[..., None]:
    """Return `kernels.adversarial.train_adversaries` for two networks of a dtype."""
    from fastnn.kernels.adversarial import SETTINGS, train_adversaries  # 4 ms for those who have no use for it

    jobs = np.empty(0, tables.JOBS[dtype])
    return _compiled(train_adversaries, jobs, 0, 0, jobs, jobs, jobs, np.empty(0, SETTINGS))


@cache
def spread_of(dtype: np.dtype) -> Callable[..., float]:
    """Return `kernels.adversarial.spread_of_samples` for a generator of a dtype."""
    from fastnn.kernels.adversarial import SETTINGS, spread_of_samples

    return _compiled(spread_of_samples, np.empty(0, tables.JOBS[dtype]), np.empty(0, SETTINGS), 0, np.empty((3, 0)))


@cache
def finite_test(source: tables.Source, is_double: bool) -> Callable[..., bool]:
    """Return the test of `kernels.sources` for memory of a dtype, in float64 or float32."""
    return _compiled(FINITE_TESTS[source, is_double], 0, 0, 0, 0, 0)


@cache
def shuffle_of() -> Callable[..., None]:
    """Return `kernels.random.shuffle`; its seed may be any int from 0 to 2^64 - 1."""
    return _compiled(shuffle, np.empty(0, np.int64), np.uint64(0), 0)
