"""Targets in the form that a loss takes: class numbers, or rows of numbers."""

import math
from typing import Any

import numpy as np

from fastnn.common.validation import as_array, as_gatherable, check_finite, is_gatherable, read_only
from fastnn.engine.workspace import Rows
from fastnn.losses import LossFunction, PythonLoss


def as_targets(
    name: str, y: Any, n_samples: int, n_outputs: int, loss: LossFunction, dtype: np.dtype, *, lazily: bool = False
) -> Rows:
    """Return targets that kernels can read, or raise ValueError.

    Parameters
    ----------
    name : str
        What to call them in a message.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Numbers; for categorical_crossentropy also integer class numbers from 0 to n_outputs - 1.
    n_samples, n_outputs : int
        What X and the network say.
    loss : LossFunction
        What the targets are for.
    dtype : numpy.dtype
        The network's.
    lazily : bool, default False
        Whether a mapped file of another dtype is left as it is; see `Rows.in_pieces`.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        If shape or values do not suit network and loss.
    """
    array = as_array(name, y)
    if array.ndim == 0 or array.shape[0] != n_samples:
        raise ValueError(f"{name} must have as many samples as its X ({n_samples}), got shape {array.shape}")
    if array.ndim > 2 and math.prod(array.shape[1:]) == n_outputs:  # outputs of several axes, sample by sample
        array = array.reshape(n_samples, n_outputs)
    takes_any = isinstance(loss, PythonLoss)  # its targets are its own business
    if array.ndim == 2 and array.shape[1] == 1 and n_outputs > 1 and not takes_any:
        array = array[:, 0]
    if array.ndim == 1 and n_outputs > 1:
        if loss.name != "categorical_crossentropy" and not takes_any:
            raise ValueError(
                f"{name} must have shape ({n_samples}, {n_outputs}) for loss {loss.name!r} and {n_outputs} outputs, "
                f"got {array.shape}; class numbers go with categorical_crossentropy"
            )
        return Rows.of(read_only(_as_labels(name, array, n_outputs)))
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or (array.shape[1] != n_outputs and not takes_any):
        raise ValueError(f"{name} must have shape ({n_samples}, {n_outputs}), got {array.shape}")
    rows = finite_rows(name, read_only(as_gatherable(array, dtype, lazily=lazily)), dtype)
    _check_range(name, rows.array, loss)
    return rows


def finite_rows(name: str, array: Any, dtype: np.dtype) -> Rows:
    """Return the array as `Rows`, or raise ValueError if it is not finite in the network's dtype."""
    if not is_gatherable(array):
        if array.dtype.kind == "f":
            check_finite(name, array, dtype)
        return Rows.in_pieces(array)
    rows = Rows.of(array)
    if not rows.is_finite(dtype):
        check_finite(name, array, dtype)
    return rows


def _as_labels(name: str, array: np.ndarray, n_classes: int) -> np.ndarray:
    if array.dtype.kind == "f":
        check_finite(name, array)
        if (array != np.floor(array)).any():
            wrong = array[array != np.floor(array)][0]
            raise ValueError(f"{name} must hold integral class numbers, got {wrong}")
    if array.min() < 0 or array.max() >= n_classes:
        wrong = array[(array < 0) | (array >= n_classes)][0]
        raise ValueError(f"{name} must hold class numbers from 0 to {n_classes - 1}, got {wrong}")
    return np.ascontiguousarray(array, dtype=np.int64)


def _check_range(name: str, array: np.ndarray, loss: LossFunction) -> None:
    if not array.size:
        return
    low, high = array.min(), array.max()
    if loss.name in ("log_loss", "categorical_crossentropy") and (low < 0 or high > 1):
        wrong = low if low < 0 else high
        raise ValueError(f"{name} must lie in [0, 1] for loss {loss.name!r}, got {wrong}")
    if loss.name == "poisson" and low < 0:
        raise ValueError(f"{name} must not be negative for loss 'poisson', got {low}")
