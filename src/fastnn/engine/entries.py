"""The kernels as plain compiled functions, for calls that come thousands of times a second.

Numba's dispatcher looks at the type of every argument of every call, to find the code that was compiled for such:
0.6 us for the 13 of `kernels.train.run`, as much as a small layer takes. The callers of these make all arguments
themselves and know the types, so the look is taken once. (It also spares them another compilation for an array that
differs in nothing but that it must not be written to, such as a user's weights.)
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import typeof

from fastnn.kernels import tables
from fastnn.kernels.data import has_only_finite
from fastnn.kernels.random import shuffle
from fastnn.kernels.team import SHARED_SIZE
from fastnn.kernels.train import run


def _compiled(kernel: Any, *examples: Any) -> Callable[..., Any]:
    """Return the code for arguments of the types of these examples, compiled or from the disk cache."""
    return kernel.compile(tuple(typeof(example) for example in examples))


@cache
def run_of(dtype: np.dtype) -> Callable[..., None]:
    """Return `kernels.train.run` for networks of a dtype."""
    vector, whole = np.empty(0, dtype), np.empty(0, np.int64)
    return _compiled(
        run, np.empty(0, tables.JOB), 0, 0, np.empty(0, tables.OP), np.empty(0, tables.VARIABLE), whole, vector, vector,
        vector, vector, np.empty(0), np.empty((0, tables.N_SUMS)), np.empty(SHARED_SIZE, np.int64),
        np.empty((0, 0), dtype), np.empty((0, tables.N_SUMS)),
    )  # fmt: skip


@cache
def finite_test() -> Callable[..., bool]:
    """Return `kernels.data.has_only_finite`."""
    return _compiled(has_only_finite, 0, 0, 0, 0, 0, 0, True)


@cache
def shuffle_of() -> Callable[..., None]:
    """Return `kernels.random.shuffle`; its seed may be any int from 0 to 2^64 - 1."""
    return _compiled(shuffle, np.empty(0, np.int64), np.uint64(0), 0)
