"""Checks of what users pass in: each raises before any work starts, and says what was given and what is accepted."""

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return `value` as an int in [low, high], or raise TypeError or ValueError."""
    wanted = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return number


def check_real(name: str, value: Any, low: float, high: float = math.inf, closed: str = "both") -> float:
    """Return `value` as a finite float in the interval; `closed` ends: "both", "left", "right" or "neither"."""
    opening = "[" if closed in ("both", "left") else "("
    closing = "]" if closed in ("both", "right") and high != math.inf else ")"
    wanted = f"a number in {opening}{low:g}, {high:g}{closing}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    number = float(value)
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


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`, or raise ValueError that suggests the nearest."""
    known = list(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if value in known:
        return value
    near = difflib.get_close_matches(value.lower(), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
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


def as_array(name: str, values: Any) -> np.ndarray:
    """Return `values` as a NumPy array of real numbers, without a copy where it is one."""
    if hasattr(values, "toarray"):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # rows of different lengths, for one
        raise type(error)(f"{name} must be an array of real numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got an array of dtype {array.dtype}")
    return array


def as_gatherable(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the array itself if kernels can read its memory, else converted to `dtype`."""
    if array.dtype in FLOAT_DTYPES or array.dtype == np.uint8:
        return array if array.flags.aligned else array.copy()
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    with np.errstate(over="ignore"):  # what becomes infinite is found with the rest that is not finite
        return array.astype(dtype)


def check_finite(name: str, array: np.ndarray, dtype: np.dtype | None = None) -> None:
    """Raise ValueError at the first number that is not finite, or not once it is of `dtype`."""
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(array if dtype is None else array.astype(dtype, copy=False))
    if not wrong.any():
        return
    at = tuple(np.argwhere(wrong)[0].tolist())
    place = "".join(f", {axis} {i}" for axis, i in zip(("row", "column"), at, strict=False))
    limit = "" if not np.isfinite(array[at]) else f" in {dtype}"
    raise ValueError(f"{name} must be finite{limit}, got {array[at]}{place.replace(',', ' in', 1)}")


def as_features(name: str, X: Any, n_features: int, dtype: np.dtype) -> np.ndarray:
    """Return X as a 2-D array of shape (n, n_features) that kernels can read."""
    array = as_array(name, X)
    if array.ndim != 2:
        hint = "; one sample is X.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(f"{name} must be 2-D (samples, features), got shape {array.shape}{hint}")
    if array.shape[1] != n_features:
        raise ValueError(f"{name} must have {n_features} features (the network's inputs), got shape {array.shape}")
    return as_gatherable(array, dtype)


def check_not_empty(name: str, array: np.ndarray) -> None:
    """Raise ValueError if the array has no rows."""
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one sample, got shape {array.shape}")


def as_sample_weight(sample_weight: Any, n_samples: int, name: str = "sample_weight") -> np.ndarray:
    """Return weights as (n_samples,) float64, or an empty array for None."""
    if sample_weight is None:
        return np.empty(0)
    weights = np.ascontiguousarray(as_array(name, sample_weight), dtype=np.float64)
    if weights.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), one weight a sample, got {weights.shape}")
    check_finite(name, weights)
    if (weights < 0).any():
        raise ValueError(f"{name} must not be negative, got {weights[weights < 0][0]}")
    if not weights.any():
        raise ValueError(f"{name} must not be all zero")
    return weights
