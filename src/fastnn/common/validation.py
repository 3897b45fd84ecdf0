"""Checks of what users pass in: each raises before any work starts, and says what was given and what is accepted."""

import copy
import difflib
import math
import mmap
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
LARGEST = 2**48  # of sizes: above any memory, and far enough below 2**63 to be multiplied and added up
_PIECE = 2**20  # numbers that are looked at at once


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int in [low, high], or raise TypeError or ValueError."""
    wanted = ""
    if high is None:
        high, wanted = LARGEST, f"an integer >= {low}"
    if type(value) is int and low <= value <= high:
        return value  # the usual case, without a look into the register of number types
    if not wanted or (isinstance(value, numbers.Integral) and int(value) > high):
        wanted = f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    number = int(value)
    if not low <= number <= high:
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return number


def check_shape(name: str, value: Any, *, with_unknown: bool = False) -> tuple[int, ...]:
    """Return `value` as a tuple of integers >= 1, at least one; `with_unknown` allows one of them to be -1."""
    kind = "a tuple of integers >= 1" + (", one of which may be -1" if with_unknown else "")
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be {kind}, got {value!r}")
    if any(isinstance(n, bool) or not isinstance(n, numbers.Integral) for n in value):
        raise TypeError(f"{name} must be {kind}, got {value!r}")
    shape = tuple(int(n) for n in value)
    unknown = shape.count(-1) if with_unknown else 0
    if not shape or unknown > 1 or sum(1 <= n <= LARGEST for n in shape) + unknown != len(shape):
        raise ValueError(f"{name} must be {kind}, got {value!r}")
    return shape


def check_real(name: str, value: Any, low: float, high: float = math.inf, closed: str = "both") -> float:
    """Return `value` as a finite float in the interval; `closed` ends: "both", "left", "right" or "neither"."""
    opening = "[" if closed in ("both", "left") else "("
    closing = "]" if closed in ("both", "right") and high != math.inf else ")"
    wanted = f"a number in {opening}{low:g}, {high:g}{closing}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond float64
        number = math.inf
    above = number >= low if opening == "[" else number > low
    below = number <= high if closing == "]" else number < high
    if not (math.isfinite(number) and above and below):
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return number


def check_bool(name: str, value: Any) -> bool:
    """Return `value` if it is a bool, or raise TypeError."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[str], meant: Mapping[str, str] | None = None) -> str:
    """Return `value` if it is one of `choices`, or raise ValueError that suggests one.

    `meant` has the choice for words of other libraries; for all others the nearest is suggested.
    """
    known = list(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if value in known:
        return value
    near = difflib.get_close_matches(value.lower(), known, n=1)
    suggested = (meant or {}).get(value, near[0] if near else None)
    hint = f"; did you mean {suggested!r}?" if suggested else ""
    raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}{hint}")


def check_dtype(value: Any) -> np.dtype:
    """Return float32 or float64 as a dtype, or raise ValueError."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        raise TypeError(f"dtype must be 'float32' or 'float64', got {value!r}") from None
    if value is None or dtype not in FLOAT_DTYPES:
        raise ValueError(f"dtype must be 'float32' or 'float64', got {value!r}")
    return dtype


def is_sparse(values: Any) -> bool:
    """Whether this is a sparse matrix or array of SciPy, which need not be imported to say so."""
    return hasattr(values, "tocsr") and hasattr(values, "nnz")


def as_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as a NumPy array of real numbers, without a copy where it is one."""
    if is_sparse(values):
        raise TypeError(f"{name} must be dense, got a sparse matrix; pass {name}.toarray()")
    try:
        array = _of_pandas(values) if hasattr(values, "dtypes") else np.asarray(values)
    except (TypeError, ValueError) as error:  # rows of different lengths, for one
        raise type(error)(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got an array of dtype {array.dtype}")
    return array


def _of_pandas(values: Any) -> np.ndarray:
    """Return a data frame or series as an array; numbers that know missing values, or stand by booleans, as float64."""
    array = np.asarray(values)
    if array.dtype.kind != "O":
        return array
    dtypes = values.dtypes if np.iterable(values.dtypes) else [values.dtypes]
    if all(getattr(dtype, "kind", "O") in "biuf" for dtype in dtypes):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def is_gatherable(array: Any) -> bool:
    """Whether kernels can read the memory of an array (or CSR matrix) as it is."""
    return is_sparse(array) or (
        isinstance(array, np.ndarray)
        and array.flags.aligned
        and (array.dtype in FLOAT_DTYPES or array.dtype == np.uint8)
    )


def read_only(array: Any) -> Any:
    """Return a view of an array that cannot be written to; whoever reshapes the array leaves the view as it is."""
    if not isinstance(array, np.ndarray):
        return array
    view = array.view()
    view.flags.writeable = False
    return view


def overlaps(array: Any, out: np.ndarray) -> bool:
    """Whether writing to `out` may change an array or a CSR matrix."""
    parts = (array.data, array.indices, array.indptr) if is_sparse(array) else (array,)
    return any(np.may_share_memory(part, out) for part in parts)


def is_mapped(array: Any) -> bool:
    """Whether an array's memory is a mapped file, which may be larger than memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def as_gatherable(array: np.ndarray, dtype: np.dtype, *, lazily: bool = False) -> np.ndarray:
    """Return the array itself if kernels can read its memory, else converted to `dtype`.

    With `lazily` a mapped file is left as it is, for the caller to convert piece by piece.
    """
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if is_gatherable(array) or (lazily and is_mapped(array)):
        return array
    with np.errstate(over="ignore"):  # what becomes infinite is found with the rest that is not finite
        return array.astype(dtype)


def check_finite(name: str, array: Any, dtype: np.dtype | None = None, shape: tuple[int, ...] = ()) -> None:
    """Raise ValueError at the first number that is not finite, or not once it is of `dtype`.

    `shape` is that of a sample where rows of the array are samples of several axes, laid flat.
    """
    values = array.data if is_sparse(array) else array
    piece = max(1, _PIECE // max(1, math.prod(values.shape[1:])))  # rows: a file may be larger than memory
    for first in range(0, values.shape[0], piece):
        part = values[first : first + piece]
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(part if dtype is None else part.astype(dtype, copy=False))
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0].tolist())
            value = part[at]
            at = (first + at[0], *at[1:])
            if is_sparse(array):
                at = int(np.searchsorted(array.indptr, at[0], side="right")) - 1, int(array.indices[at[0]])
            axes: tuple[str, ...] = ("row", "column")
            if len(shape) > 1 and len(at) == 2:
                *position, last = map(int, np.unravel_index(at[1], shape))
                axes = ("row", "step", "feature") if len(shape) == 2 else ("row", "position", "channel")
                at = (at[0], position[0] if len(shape) == 2 else tuple(position), last)
            place = "".join(f", {axis} {i}" for axis, i in zip(axes, at, strict=False))
            limit = "" if not np.isfinite(value) else f" in {dtype}"
            raise ValueError(f"{name} must be finite{limit}, got {value}{place.replace(',', ' in', 1)}")


def as_csr(name: str, matrix: Any, dtype: np.dtype) -> Any:
    """Return a sparse matrix as CSR that kernels can read without leaving its memory, without a copy where it is so."""
    if matrix.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got a sparse matrix of dtype {matrix.dtype}")
    csr = matrix.tocsr()
    if csr.dtype not in FLOAT_DTYPES:
        with np.errstate(over="ignore"):
            csr = csr.astype(dtype)
    values, indices, indptr = csr.data, csr.indices, csr.indptr
    n_entries = min(values.size, indices.size)
    is_sound = (
        all(array.ndim == 1 and array.flags.c_contiguous for array in (values, indices, indptr))
        and indices.dtype == indptr.dtype
        and indices.dtype in (np.int32, np.int64)
        and indptr.size == csr.shape[0] + 1
        and 0 <= indptr[0] <= indptr[-1] <= n_entries
        and bool((indptr[:-1] <= indptr[1:]).all())
        and (n_entries == 0 or 0 <= indices.min() <= indices.max() < csr.shape[1])
    )
    if not is_sound:
        raise ValueError(f"{name} is a sparse matrix whose indices do not fit its shape {csr.shape}")
    # A matrix of our own with the same arrays: kernels read them after their owner has put others in their place.
    return copy.copy(csr)


def as_features(
    name: str, X: Any, shape: int | tuple[int, ...], dtype: np.dtype, *, lazily: bool = False, as_is: bool = False
) -> Any:
    """Return X as a 2-D array or CSR matrix that kernels can read: see `as_gatherable`; `as_is` leaves the numbers.

    `shape` is the number of features, or the shape of one sample: then X may be (n, *shape), and comes back as rows in
    C order, which is a copy only where its memory is in another order.
    """
    array = X if is_sparse(X) else as_array(name, X)
    n_features = shape
    if isinstance(shape, tuple):
        n_features = math.prod(shape)
        if len(shape) > 1 and array.ndim != 2:
            rows = as_rows(name, array, shape)
            return rows if as_is else as_gatherable(rows, dtype, lazily=lazily)
    if array.ndim != 2:
        hint = "; one sample is X.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} must be 2-D (samples, features), got shape {array.shape}{hint}")
    if array.shape[1] != n_features:
        raise ValueError(f"{name} must have {n_features} features (the network's inputs), got shape {array.shape}")
    if as_is:
        return array
    return as_csr(name, array, dtype) if is_sparse(array) else as_gatherable(array, dtype, lazily=lazily)


def as_rows(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return samples of a shape as rows, or raise ValueError that says what was given."""
    if array.shape[1:] == shape:
        return array.reshape(array.shape[0], math.prod(shape))
    wanted = f"(n, {', '.join(map(str, shape))})"
    hint = ""
    if array.shape == shape:
        hint = f"; one sample is {name}[numpy.newaxis]"
    elif array.ndim == len(shape) + 1 and array.shape[1:] == (shape[-1], *shape[:-1]):
        axes = ", ".join(map(str, (0, *range(2, array.ndim), 1)))
        hint = f"; channels come last here: {name}.transpose({axes})"
    elif array.ndim == len(shape) and shape[-1] == 1 and array.shape[1:] == shape[:-1]:
        hint = f"; a single channel is {name}[..., numpy.newaxis]"
    raise ValueError(f"{name} must have shape {wanted} or (n, {math.prod(shape)}), got {array.shape}{hint}")


def check_not_empty(name: str, array: Any) -> None:
    """Raise ValueError if the array has no rows."""
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one sample, got shape {array.shape}")


def as_sample_weight(
    sample_weight: Any, n_samples: int, name: str = "sample_weight", steps: tuple[int, ...] = ()
) -> np.ndarray:
    """Return weights as (n_samples,) float64, or an empty array for None.

    Where outputs have several positions, of the shape `steps`, a weight for each is taken too, and comes back as
    (n_samples, positions).
    """
    if sample_weight is None:
        return np.empty(0)
    weights = np.ascontiguousarray(as_array(name, sample_weight), dtype=np.float64)
    if steps and weights.shape == (n_samples, *steps):
        weights = weights.reshape(n_samples, -1)
    elif weights.shape != (n_samples,):
        if steps:
            wanted = f"({n_samples},) or ({', '.join(map(str, (n_samples, *steps)))})"
            raise ValueError(f"{name} must have shape {wanted}, got {weights.shape}")
        raise ValueError(f"{name} must have shape ({n_samples},), one weight a sample, got {weights.shape}")
    check_finite(name, weights)
    if (weights < 0).any():
        raise ValueError(f"{name} must not be negative, got {weights[weights < 0][0]}")
    if not weights.any():
        raise ValueError(f"{name} must not be all zero")
    return weights
