"""Rows to train on, to validate on and to test on; classes, and what each of them weighs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.common.validation import check_integer, check_real
from fastnn.engine.rows import Rows
from fastnn.losses import LossFunction


def class_numbers(y: Rows, loss: LossFunction, n_positions: int = 1) -> np.ndarray | None:
    """Return the class of each sample, or None where targets are no classes.

    They are classes if they are class numbers, one-hot or probability rows of categorical_crossentropy, or if all are
    0 or 1: in one column, or with exactly one 1 a row (unless the loss is log_loss, for which they are labels).
    With several positions a sample has no class.
    """
    target = y.array
    if n_positions > 1 or not isinstance(target, np.ndarray):  # each step is of a class of its own
        return None
    if target.ndim == 1:
        return target
    if target.shape[1] > 1 and loss.name == "categorical_crossentropy":
        return target.argmax(axis=1)
    if not ((target == 0) | (target == 1)).all():
        return None
    if target.shape[1] == 1:
        return target[:, 0].astype(np.int64)
    if loss.name == "log_loss" or (target.sum(axis=1) != 1).any():
        return None
    return target.argmax(axis=1)


def split_off(n_rows: int, n_off: int, classes: np.ndarray | None, seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (row numbers that stay, row numbers split off), each ascending, drawn at random from the seed.

    Parameters
    ----------
    n_rows : int
        How many there are.
    n_off : int
        How many to split off.
    classes : ndarray of shape (n_rows,) or None
        Where given, each class gives its share, to within one row, and keeps at least one row if it can: then other
        classes give more.
    seed : int or sequence of int
        Of the draw.

    Returns
    -------
    tuple of two int64 arrays
    """
    drawn = np.random.default_rng(seed).permutation(n_rows)
    if classes is not None:
        drawn = _by_quota(drawn, classes, n_off)
    return np.sort(drawn[n_off:]), np.sort(drawn[:n_off])


def _by_quota(drawn: np.ndarray, classes: np.ndarray, n_off: int) -> np.ndarray:
    """Reorder drawn rows so that the first n_off hold each class in proportion, by the largest remainders."""
    _, of_row, counts = np.unique(classes[drawn], return_inverse=True, return_counts=True)
    exact = counts * (n_off / drawn.size)
    quota = np.floor(exact).astype(np.int64)
    for _ in range(n_off - quota.sum()):
        # A class gives its last row only if there is no other way.
        spare = np.where(quota + 1 < counts, exact - quota, exact - quota - drawn.size)
        quota[np.argmax(np.where(quota < counts, spare, -np.inf))] += 1
    grouped = np.argsort(of_row, kind="stable")
    rank = np.empty(drawn.size, np.int64)
    rank[grouped] = np.arange(drawn.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return drawn[np.argsort(rank >= quota[of_row], kind="stable")]


def class_weights(class_weight: Any, classes: np.ndarray | None, n_outputs: int) -> dict[int, float] | None:
    """Return the argument `class_weight` of `fit` as a dict, with "balanced" worked out.

    "balanced" is n_samples / (n_classes * count), as scikit-learn has it: every class weighs the same in sum.
    """
    if class_weight is None:
        return None
    is_balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if not is_balanced and not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be a dict of class number to weight or 'balanced', got {class_weight!r}")
    weights = (
        {}
        if is_balanced
        else {
            check_integer("a key of class_weight", label, 0, max(n_outputs, 2) - 1): check_real(
                f"class_weight[{label}]", weight, 0.0
            )
            for label, weight in class_weight.items()
        }
    )
    if classes is None:
        raise ValueError(f"class_weight must be None where targets are no classes, got {class_weight!r}")
    if is_balanced:
        labels, counts = np.unique(classes, return_counts=True)
        weights = dict(zip(labels.tolist(), (classes.size / (labels.size * counts)).tolist(), strict=True))
    return weights


def apply_class_weights(
    weight_of: dict[int, float] | None, classes: np.ndarray | None, weights: np.ndarray
) -> np.ndarray:
    """Return sample weights (empty: all 1) multiplied by the weight of each sample's class; unnamed classes have 1."""
    if weight_of is None or classes is None:
        return weights
    factors = np.ones(classes.size)
    for label, weight in weight_of.items():
        factors[classes == label] = weight
    product = factors * weights if weights.size else factors
    if not product.any():
        raise ValueError(f"class_weight must leave some sample a weight, got {weight_of}")
    return product


def train_validation_test_split(
    *arrays: Any,
    validation_size: float = 0.2,
    test_size: float = 0.2,
    stratify: Any = None,
    seed: int | None = None,
) -> list[Any]:
    """Split arrays at random into three parts, rows that belong together staying together.

    Parameters
    ----------
    *arrays : array-like of n rows each
        X, y, weights, ...: NumPy arrays, lists, or data frames with ``iloc``.
    validation_size, test_size : float, default 0.2
        Shares of the rows, each rounded up; in [0, 1), together less than 1.
    stratify : array-like of shape (n,) or None, default None
        Classes, often y, of which each part shall hold its share.
    seed : int or None, default None
        Of the draw; None draws afresh each time.

    Returns
    -------
    list
        train, validation and test part of the first array, then of the second, and so on. Rows keep their order.

    Raises
    ------
    ValueError, TypeError
        If a share is out of range, lengths differ, or no row is left to train on.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X, y = np.arange(20).reshape(10, 2), np.arange(10) % 2
    >>> X_train, X_validation, X_test, y_train, y_validation, y_test = fastnn.train_validation_test_split(
    ...     X, y, stratify=y, seed=0)
    >>> X_train.shape, X_validation.shape, X_test.shape
    ((6, 2), (2, 2), (2, 2))
    >>> sorted(y_test.tolist())
    [0, 1]
    """
    validation_size = check_real("validation_size", validation_size, 0.0, 1.0, closed="left")
    test_size = check_real("test_size", test_size, 0.0, 1.0, closed="left")
    if not arrays:
        raise ValueError("arrays must be given: at least one")
    if seed is not None:
        check_integer("seed", seed, 0)
    parts = [array if hasattr(array, "iloc") else np.asarray(array) for array in arrays]
    lengths = [len(part) for part in parts]
    classes = None if stratify is None else np.asarray(stratify)
    if classes is not None and classes.ndim != 1:
        raise ValueError(f"stratify must be 1-D, got shape {classes.shape}")
    if len({*lengths, *([] if classes is None else [classes.size])}) > 1:
        raise ValueError(f"arrays (and stratify) must have the same length, got {lengths}")
    n = lengths[0]
    n_test, n_validation = math.ceil(n * test_size), math.ceil(n * validation_size)
    if n_test + n_validation >= n:
        raise ValueError(f"validation_size={validation_size} and test_size={test_size} leave no row of {n} to train on")
    rest, test_rows = split_off(n, n_test, classes, seed if seed is None else [seed, 0])
    left = None if classes is None else classes[rest]
    stay, off = split_off(rest.size, n_validation, left, seed if seed is None else [seed, 1])
    chosen = (rest[stay], rest[off], test_rows)
    return [part.iloc[rows] if hasattr(part, "iloc") else part[rows] for part in parts for rows in chosen]
