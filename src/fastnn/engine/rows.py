"""Features and targets where they lie in the user's memory: how kernels read them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastnn.engine.entries import finite_test
from fastnn.kernels import sources, tables
from fastnn.kernels.units import Unit

IN_PIECES = -1  # in place of a Source: the array is converted piece by piece
SOURCES = {
    np.dtype(np.float32): tables.Source.FLOAT32,
    np.dtype(np.float64): tables.Source.FLOAT64,
    np.dtype(np.uint8): tables.Source.UINT8,
    np.dtype(np.int64): tables.Source.LABELS,
}
_INDEX_SOURCES = {
    np.dtype(name): tables.Source[name.upper()]
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
}
_FEATURE_INDICES = frozenset(map(int, _INDEX_SOURCES.values())) - {int(tables.Source.UINT8)}
_CSR_SOURCES = {
    np.dtype(np.float32): tables.Source.CSR_FLOAT32,
    np.dtype(np.float64): tables.Source.CSR_FLOAT64,
}


@dataclass(frozen=True)
class Rows:
    """Features or targets where they lie in the user's memory. Holding the array keeps the address valid."""

    array: Any  # an ndarray, or a SciPy CSR matrix
    address: int
    row_stride: int
    column_stride: int
    source: int
    record: np.ndarray | None = None  # what `address` leads to, if it is not the array's memory
    keeps_dtype: bool = False  # in pieces: whether these are class numbers

    @classmethod
    def of(cls, array: Any) -> "Rows":
        """Wrap a 2-D array of float32, float64 or uint8, int64 class numbers (1-D, or 2-D), or a CSR matrix."""
        if hasattr(array, "indptr"):
            return cls.of_csr(array)
        source = SOURCES[array.dtype]
        strides = array.strides if array.ndim == 2 else (array.strides[0], 0)
        return cls(array, array.ctypes.data, strides[0], strides[1], int(source))

    @classmethod
    def of_indices(cls, array: np.ndarray) -> "Rows":
        """Wrap a 2-D array of integers that are features."""
        return cls(array, array.ctypes.data, array.strides[0], array.strides[1], index_source_of(array.dtype))

    @classmethod
    def of_csr(cls, matrix: Any, first: int = 0) -> "Rows":
        """Wrap the rows of a SciPy CSR matrix of float32 or float64, from number `first` on."""
        values, indices, indptr = matrix.data, matrix.indices, matrix.indptr
        record = np.zeros(1, tables.CSR)
        record["values"], record["indices"] = values.ctypes.data, indices.ctypes.data
        record["indptr"] = indptr.ctypes.data + first * indptr.itemsize
        record["index_size"] = indptr.itemsize
        return cls(matrix, record.ctypes.data, 0, 0, int(_CSR_SOURCES[values.dtype]), record)

    @classmethod
    def in_pieces(cls, array: Any, *, are_labels: bool = False) -> "Rows":
        """Wrap a 2-D array that kernels cannot read: `Workspace.run` converts the rows of a few batches at a time."""
        return cls(array, 0, 0, 0, IN_PIECES, keeps_dtype=are_labels)

    @property
    def n_rows(self) -> int:
        return self.array.shape[0]

    def take(self, rows: "np.ndarray | slice", dtype: np.dtype) -> "Rows":
        """Return some of the rows as a copy that kernels can read."""
        part = self.array[rows]
        if self.source == IN_PIECES:
            is_labels = self.array.dtype == np.int64 and self.keeps_dtype
            return Rows.of(part if is_labels else part.astype(dtype))
        return Rows.of_indices(part) if self.source in _FEATURE_INDICES else Rows.of(part)

    def is_finite(self, dtype: np.dtype) -> bool:
        """Whether there is neither NaN nor infinity once every number is of the network's dtype."""
        if self.source in _CSR_SOURCES.values():
            return Rows.of(self.array.data.reshape(1, -1)).is_finite(dtype)
        if self.source not in (tables.Source.FLOAT32, tables.Source.FLOAT64):
            return True
        return self.finite_test(dtype)()

    def finite_test(self, dtype: np.dtype) -> Callable[[], bool]:
        """Return a function that says, whenever it is called, whether the floats of a plain array are finite.

        It does not hold the array: its caller does.
        """
        n, width = self.array.shape
        test = finite_test(tables.Source(self.source), dtype.itemsize == 8)
        return partial(test, self.address, self.row_stride, self.column_stride, n, width)

    def gather_unit(self, dtype: np.dtype) -> Unit:
        """Return the unit that brings such rows into panels of a dtype."""
        is_own = self.source == SOURCES.get(dtype) and self.column_stride == dtype.itemsize
        return sources.gather_in_place if is_own else sources.GATHERS[tables.Source(self.source)]


def index_source_of(dtype: np.dtype) -> int:
    """Return how kernels read a dtype of integers that are features."""
    return int(_INDEX_SOURCES[dtype])


def source_of(dtype: np.dtype) -> int:
    """Return how kernels read a dtype."""
    return int(SOURCES[dtype])
