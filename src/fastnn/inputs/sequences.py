"""Features of all kinds as rows that kernels can read: numbers, integers for embeddings, unequal sequences."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastnn.common.validation import as_array, as_features, is_sparse

NO_LENGTHS = np.empty(0, np.int64)  # as kernels are told "all steps count"
_PIECE = 2**20  # integers that are looked at at once


class TakesSequences(Protocol):
    """What has to be known of a network: its plan has it, and so has a `DataSpec`."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def ignores_lengths(self) -> str: ...
    @property
    def n_categories(self) -> int: ...


class Ragged:
    """Sequences of different lengths as rows of equal length: what is taken of it is padded with 0, piece by piece.

    Parameters
    ----------
    arrays : list of ndarray of shape (length, *step_shape)
    n_steps : int
        To which they are padded.
    step_shape : tuple of int
    dtype : numpy.dtype
        Of what is taken.
    """

    ndim = 2

    def __init__(self, arrays: list[np.ndarray], n_steps: int, step_shape: tuple[int, ...], dtype: np.dtype):
        self._arrays, self._n_steps, self._step_shape = arrays, n_steps, step_shape
        self.dtype = dtype
        self.shape = len(arrays), n_steps * math.prod(step_shape)
        self.lengths = np.array([len(array) for array in arrays], np.int64)

    def __len__(self) -> int:
        return len(self._arrays)

    def __getitem__(self, rows: Any) -> np.ndarray:
        numbers = range(len(self._arrays))[rows] if isinstance(rows, slice) else rows
        padded = np.zeros((len(numbers), self._n_steps, *self._step_shape), self.dtype)
        with np.errstate(over="ignore"):  # what becomes infinite is found where finite numbers are asked for
            for i, number in enumerate(numbers):
                padded[i, : self.lengths[number]] = self._arrays[number]
        return padded.reshape(len(numbers), -1)


def as_ragged(
    name: str, values: Any, shape: tuple[int, ...], dtype: np.dtype, lengths: np.ndarray | None = None
) -> Ragged | None:
    """Return a list of sequences as `Ragged`, or None if it is something else: all as long as `shape` says, say.

    `shape` is that of one padded sample. `lengths` are those which the sequences must have, if they are known.
    """
    if not isinstance(values, (list, tuple)) or not values:
        return None
    if not all(isinstance(one, (list, tuple, np.ndarray)) or hasattr(one, "__array__") for one in values):
        return None
    n_steps, *rest = shape
    if all(_length(one) == n_steps for one in values):
        return None
    arrays = []
    for i, one in enumerate(values):
        array = as_array(f"{name}[{i}]", one)
        if array.ndim == 1 and rest == [1]:
            array = array[:, np.newaxis]
        if array.ndim != len(shape) or list(array.shape[1:]) != rest:
            if i == 0 and not isinstance(one, np.ndarray):
                return None  # rows of numbers, which are no sequences
            wanted = ", ".join(["length", *map(str, rest)])
            raise ValueError(f"{name}[{i}] must have shape ({wanted}), got {array.shape}")
        if not 1 <= array.shape[0] <= n_steps:
            raise ValueError(
                f"{name}[{i}] must have 1 to {n_steps} steps (the Input's), got a sequence of {array.shape[0]}"
            )
        if lengths is not None and lengths.size and len(array) != lengths[i]:
            raise ValueError(f"{name}[{i}] must have as many steps as its sequence ({lengths[i]}), got {len(array)}")
        arrays.append(array)
    return Ragged(arrays, n_steps, tuple(rest), dtype)


def _length(one: Any) -> int:
    try:
        return len(one)
    except TypeError:  # an array without axes
        return -1


def take_sequences(
    names: Sequence[str], X: Any, spec: TakesSequences, dtype: np.dtype, lengths: Any = None, *, lazily: bool = False
) -> tuple[Any, np.ndarray]:
    """Return features as rows that kernels can read, and the lengths of sequences (empty: all steps count).

    Parameters
    ----------
    names : (str, str)
        What to call X and lengths in a message.
    X : array-like, sparse matrix, or list of sequences of different lengths
    spec : TakesSequences
        What the network takes.
    dtype : numpy.dtype
        The network's.
    lengths : array-like of shape (n,) or None
    lazily : bool, default False
        Whether a mapped file and sequences of different lengths are left as they are, to be converted piece by piece.

    Raises
    ------
    ValueError, TypeError
        If a shape, value or length is wrong, or the network has layers that cannot leave steps out.
    """
    name, lengths_name = names
    numbers = np.dtype(np.int64) if spec.n_categories else dtype
    ragged = X if isinstance(X, Ragged) else None
    if ragged is None and (len(spec.input_shape) > 1 or spec.n_categories):  # else samples are rows, not sequences
        ragged = as_ragged(name, X, spec.input_shape, numbers)
    array: Any
    if spec.ignores_lengths and (ragged is not None or lengths is not None):
        what = f"{name} must hold sequences of one length" if ragged is not None else f"{lengths_name} must be None"
        raise ValueError(f"{what} because {spec.ignores_lengths}")
    if ragged is not None:
        if lengths is not None:
            raise ValueError(f"{lengths_name} must be None where {name} is a list of sequences, which have their own")
        array, taken = ragged, ragged.lengths
    else:
        if spec.n_categories and not is_sparse(X):
            array = _as_indices(as_features(name, X, spec.input_shape, dtype, as_is=True), dtype)
        elif spec.n_categories:
            raise TypeError(f"{name} must be dense where an Embedding takes it, got a sparse matrix")
        else:
            array = as_features(name, X, spec.input_shape, dtype, lazily=lazily)
        taken = _check_lengths(lengths_name, lengths, array.shape[0], spec)
    if spec.n_categories:
        _check_indices(name, array, spec, taken)
    if ragged is not None and not lazily:
        array = ragged[:]
    return array, taken if taken.size and (taken < spec.input_shape[0]).any() else NO_LENGTHS


def _check_lengths(name: str, lengths: Any, n_rows: int, spec: TakesSequences) -> np.ndarray:
    if lengths is None:
        return NO_LENGTHS
    array = as_array(name, lengths)
    if array.shape != (n_rows,):
        raise ValueError(f"{name} must have shape ({n_rows},), one length a sample, got {array.shape}")
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise ValueError(f"{name} must hold integers, got {array[array != np.floor(array)][0]}")
    n_steps = spec.input_shape[0]
    wrong = (array < 1) | (array > n_steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{name} must hold integers from 1 to {n_steps} (the Input's steps), got {array[row]} in row {row}"
        )
    return np.array(array, np.int64)  # a copy: kernels trust it, and a callback may change the caller's


def _as_indices(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return integers in memory that kernels can read: themselves, but for unusual ones."""
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    if not array.dtype.isnative or not array.flags.aligned:
        return array.astype(array.dtype.newbyteorder("="))
    return array.astype(dtype) if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8) else array


def _check_indices(name: str, array: Any, spec: TakesSequences, lengths: np.ndarray) -> None:
    """Raise ValueError at the first number that names no row of the table; behind a sequence it may be anything."""
    last, width = spec.n_categories - 1, array.shape[1]
    steps = np.arange(width) // (width // spec.input_shape[0])
    piece = max(1, _PIECE // max(1, width))
    for first in range(0, array.shape[0], piece):
        part = array[first : first + piece]
        if part.size and part.dtype.kind in "iu" and part.min() >= 0 and part.max() <= last:
            continue
        wrong = ~((part >= 0) & (part <= last))
        if part.dtype.kind == "f":
            wrong |= part != np.floor(part)
        if lengths.size:
            wrong &= steps < lengths[first : first + piece, np.newaxis]
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise ValueError(
                f"{name} must hold integers from 0 to {last} (the Embedding's input_dim is {last + 1}), got "
                f"{part[row, column]} in row {first + row}, column {column}"
            )


__all__ = ["NO_LENGTHS", "Ragged", "TakesSequences", "as_ragged", "take_sequences"]
