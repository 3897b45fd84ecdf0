"""Stores of some lanes, in the form that each kind of processor gets, and copies that are not a vector long."""

import numpy as np
import pytest
from numba import njit

from fastnn.engine.memory import address_of
from fastnn.kernels import memory
from fastnn.kernels.jit import FLAGS
from fastnn.kernels.simd import copy_eight, load, store_first


@pytest.mark.parametrize("has_masked_stores", [True, False])
def test_a_store_of_the_first_lanes_touches_no_other(monkeypatch, has_masked_stores, dtype):
    monkeypatch.setattr(memory, "_HAS_MASKED_STORES", has_masked_stores)

    @njit(**FLAGS)
    def store_some(source, target, count):
        store_first(target, 5, load(source, 1), count)

    lanes = 64 // np.dtype(dtype).itemsize
    source = np.arange(lanes + 1, dtype=dtype)
    for count in range(lanes + 1):
        target = np.full(lanes + 10, -1, dtype)
        store_some(source, target, count)
        expected = np.full(lanes + 10, -1, dtype)
        expected[5 : 5 + count] = source[1 : 1 + count]
        np.testing.assert_array_equal(target, expected, err_msg=f"{count} lanes")


def test_copy_eight(dtype):
    @njit(**FLAGS)
    def copy(source, target):
        copy_eight(source, 3, target, 2)

    source, target = np.arange(20, dtype=dtype), np.full(20, -1, dtype)
    copy(source, target)
    np.testing.assert_array_equal(target[2:10], source[3:11])
    assert (np.delete(target, range(2, 10)) == -1).all()


def test_address_of_any_array_is_where_its_first_element_lies():
    records = np.zeros(3, [("a", np.int64), ("b", np.float32)])
    frozen = np.arange(6.0)
    frozen.flags.writeable = False
    for array in (np.arange(6.0), np.arange(6.0)[::2], np.arange(6.0).reshape(2, 3).T, records, records[1:], frozen):
        assert address_of(array) == array.ctypes.data
