"""Test rows and scaling for the bundled data sets, with scikit-learn's results but without its import.

Importing scikit-learn's splitters takes longer than `fastnn train digits` trains. The draws below follow those of
`sklearn.model_selection.train_test_split`, so that a seed holds back the same rows as it did there.
"""

import math

import numpy as np


def test_rows(y: np.ndarray, test_size: float, seed: int, *, by_class: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows to train on, rows to test on), as scikit-learn's train_test_split draws them.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Classes, of which each part gets its share if `by_class`.
    test_size : float
        Share of the rows to test on, in (0, 1); rounded up.
    seed : int
    by_class : bool

    Raises
    ------
    ValueError
        If a part would be empty or, with `by_class`, have fewer rows than there are classes.
    """
    n_test = math.ceil(test_size * y.size)
    n_train = y.size - n_test
    random = np.random.RandomState(seed)
    if not by_class:
        if n_train < 1:
            raise ValueError(f"test_size {test_size:g} leaves none of {y.size} rows to train on")
        drawn = random.permutation(y.size)
        return drawn[n_test:], drawn[:n_test]
    _, of_row, counts = np.unique(y, return_inverse=True, return_counts=True)
    if min(n_train, n_test) < counts.size:
        raise ValueError(
            f"test_size {test_size:g} must leave at least a row for each of {counts.size} classes in both parts, got "
            f"{n_train} rows to train on and {n_test} to test on"
        )
    train_counts = _shares(counts, n_train, random)
    test_counts = _shares(counts - train_counts, n_test, random)
    train, test = [], []
    rows_of_class = np.split(np.argsort(of_row, kind="stable"), np.cumsum(counts)[:-1])
    for rows, n_first, n_second in zip(rows_of_class, train_counts, test_counts, strict=True):
        drawn = rows[random.permutation(rows.size)]
        train.append(drawn[:n_first])
        test.append(drawn[n_first : n_first + n_second])
    return random.permutation(np.concatenate(train)), random.permutation(np.concatenate(test))


def _shares(counts: np.ndarray, n_draws: int, random: np.random.RandomState) -> np.ndarray:
    """Return how many of n_draws rows each class gives: in proportion, the largest remainders rounded up.

    Equal remainders take turns at random, as in scikit-learn.
    """
    exact = counts / counts.sum() * n_draws
    shares = np.floor(exact)
    remainders = exact - shares
    n_missing = int(n_draws - shares.sum())
    for value in np.unique(remainders)[::-1]:
        if n_missing == 0:
            break
        (equal,) = np.nonzero(remainders == value)
        chosen = random.choice(equal, size=min(equal.size, n_missing), replace=False)
        shares[chosen] += 1
        n_missing -= chosen.size
    return shares.astype(int)


def scale(kind: str, X: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return arrays whose features are scaled by what the rows of X are like.

    Parameters
    ----------
    kind : "minmax", "standard" or "none"
        To 0..1, to mean 0 and deviation 1, or not at all. A constant feature is only shifted.
    X : ndarray of shape (n, n_features)
    *others : ndarray of shape (m, n_features)
    """
    if kind == "none":
        return [X, *others]
    low, spread = (X.min(axis=0), np.ptp(X, axis=0)) if kind == "minmax" else (X.mean(axis=0), X.std(axis=0))
    # A spread below some roundings of the mean is that of a constant, which has no scale.
    is_constant = spread <= 10 * np.finfo(X.dtype).eps * np.abs(low)
    factor = 1.0 / np.where(is_constant, 1.0, spread)
    return [array * factor - low * factor for array in (X, *others)]
