"""Targets in the form that a loss takes: class numbers, or rows of numbers."""

import math
from typing import Any

import numpy as np

from fastnn.common.validation import as_array, as_gatherable, check_finite, is_gatherable, read_only
from fastnn.engine.rows import Rows
from fastnn.inputs.sequences import NO_LENGTHS, as_ragged
from fastnn.kernels.losses import CLIP
from fastnn.losses import LossFunction, PythonLoss

_RAGGED_ROWS = 4096  # that are padded at once to be looked at


def as_targets(
    name: str, y: Any, n_samples: int, output_shape: tuple[int, ...], loss: LossFunction, dtype: np.dtype, *,
    lazily: bool = False, lengths: np.ndarray = NO_LENGTHS,
) -> Rows:  # fmt: skip
    """Return targets that kernels can read, or raise ValueError.

    Parameters
    ----------
    name : str
        What to call them in a message.
    y : array-like of shape (n_samples,) or (n_samples, *output_shape)
        Numbers; for categorical_crossentropy also integer class numbers from 0 to output_shape[-1] - 1, of the shape
        (n_samples, *output_shape[:-1]). With lengths also a list of sequences of such lengths.
    n_samples : int
    output_shape : tuple of int
        What X and the network say.
    loss : LossFunction
        What the targets are for.
    dtype : numpy.dtype
        The network's.
    lazily : bool, default False
        Whether a mapped file of another dtype is left as it is; see `Rows.in_pieces`.
    lengths : ndarray of shape (n_samples,)
        How many steps count; empty: all. What stands behind may be anything finite.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        If shape or values do not suit network and loss.
    """
    n_outputs, steps = math.prod(output_shape), output_shape[:-1]
    if steps and not isinstance(loss, PythonLoss):
        taken = _targets_of_steps(name, y, n_samples, output_shape, loss, dtype, lazily, lengths)
        if taken is not None:
            return taken
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
    _check_range(name, rows.array, loss, are_all_steps=not lengths.size)
    return rows


def _targets_of_steps(
    name: str, y: Any, n_samples: int, output_shape: tuple[int, ...], loss: LossFunction, dtype: np.dtype,
    lazily: bool, lengths: np.ndarray,
) -> Rows | None:  # fmt: skip
    """Return targets at every position of the outputs that are class numbers or lists of sequences; None for others."""
    n_classes, steps = output_shape[-1], output_shape[:-1]
    takes_classes = loss.name == "categorical_crossentropy"
    ragged = None
    if isinstance(y, (list, tuple)) and len(y):
        are_classes = takes_classes and np.ndim(y[0]) == len(steps)
        kind = np.dtype(np.int64) if are_classes else dtype
        ragged = as_ragged(name, y, steps if are_classes else output_shape, kind, lengths)
    if ragged is not None:
        if ragged.shape[0] != n_samples:
            raise ValueError(f"{name} must have as many samples as its X ({n_samples}), got {ragged.shape[0]}")
        if not lengths.size:
            raise ValueError(f"{name} must have {steps[0]} steps a sample, as X has, got sequences of other lengths")
        if ragged.dtype == np.int64:
            for first in range(0, n_samples, _RAGGED_ROWS):
                _as_labels(name, ragged[first : first + _RAGGED_ROWS], n_classes)
            return Rows.in_pieces(ragged, are_labels=True) if lazily else Rows.of(ragged[:])
        check_finite(name, ragged, dtype)
        return Rows.in_pieces(ragged) if lazily else Rows.of(ragged[:])
    array = as_array(name, y)
    if array.shape == (n_samples, *steps) and takes_classes and n_classes > 1:
        rows = array.reshape(n_samples, -1)
        if lengths.size:  # what stands behind a sequence may be no class
            is_step = np.arange(steps[0]) < lengths[:, np.newaxis]
            rows = np.where(np.repeat(is_step, rows.shape[1] // steps[0], axis=1), rows, 0)
        return Rows.of(read_only(_as_labels(name, rows, n_classes)))
    if array.shape == (n_samples, *steps) and n_classes == 1:
        return (
            None if array.ndim == 2 else as_targets(name, array[..., np.newaxis], n_samples, output_shape, loss, dtype)
        )
    if array.ndim > 0 and array.shape not in ((n_samples, *output_shape), (n_samples, math.prod(output_shape))):
        wanted = ", ".join(map(str, (n_samples, *output_shape)))
        classes = f" or class numbers of shape ({', '.join(map(str, (n_samples, *steps)))})" if takes_classes else ""
        hint = ""
        if array.shape in ((n_samples,), (n_samples, 1), (n_samples, n_classes)):
            hint = "; for one answer a sample put a Flatten or a pooling over all places before the last layer"
        raise ValueError(f"{name} must have shape ({wanted}){classes}, got {array.shape}{hint}")
    return None


def finite_rows(
    name: str, array: Any, dtype: np.dtype, *, are_indices: bool = False, shape: tuple[int, ...] = ()
) -> Rows:
    """Return the array as `Rows`, or raise ValueError if it is not finite in the network's dtype.

    `shape` is that of a sample, for the message.
    """
    if are_indices and isinstance(array, np.ndarray):  # which are checked by then
        return Rows.of_indices(array) if array.dtype.kind in "iu" else Rows.of(array)
    if not is_gatherable(array):
        if array.dtype.kind == "f":
            check_finite(name, array, dtype, shape)
        return Rows.in_pieces(array)
    rows = Rows.of(array)
    if not rows.is_finite(dtype):
        check_finite(name, array, dtype, shape)
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


def _check_range(name: str, array: np.ndarray, loss: LossFunction, *, are_all_steps: bool) -> None:
    if not array.size:
        return
    low, high = array.min(), array.max()
    if loss.name in ("log_loss", "categorical_crossentropy") and (low < 0 or high > 1):
        wrong = low if low < 0 else high
        raise ValueError(f"{name} must lie in [0, 1] for loss {loss.name!r}, got {wrong}")
    if loss.name in ("poisson", "msle") and low < 0:
        raise ValueError(f"{name} must not be negative for loss {loss.name!r}, got {low}")
    if loss.name == "mape" and are_all_steps and low < CLIP and high > -CLIP:
        is_zero = (array < CLIP) & (array > -CLIP)
        if is_zero.any():
            row = int(is_zero.any(axis=1).argmax())
            raise ValueError(f"{name} must not be 0 for loss 'mape', which divides by it, but is in row {row}")
