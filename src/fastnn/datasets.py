"""Real data sets that scikit-learn carries with it: no download."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fastnn.common.validation import check_choice

NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes")


@dataclass(frozen=True)
class Dataset:
    """Features and targets of a task.

    Attributes
    ----------
    name : str
    task : "classification" or "regression"
    X : ndarray of shape (n, n_features), float64
        As measured, not scaled.
    y : ndarray of shape (n,)
        Class numbers from 0 (int64), or the values to predict (float64).
    feature_names : tuple of str
        A name for each column of X.
    class_names : tuple of str
        A name for each class; empty for regression.

    Examples
    --------
    >>> from fastnn import datasets
    >>> datasets.load("iris").class_names
    ('setosa', 'versicolor', 'virginica')
    """

    name: str
    task: Literal["classification", "regression"]
    X: np.ndarray
    y: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        """How many outputs a network for this task has: one a class, or one."""
        return len(self.class_names) or 1


def load(name: str) -> Dataset:
    """Return one of scikit-learn's bundled data sets.

    Parameters
    ----------
    name : str
        "digits" (1,797 images of 8x8), "iris" (150 flowers), "wine" (178 wines), "breast_cancer" (569 tumours), or
        "diabetes" (442 patients; regression).

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.

    Examples
    --------
    >>> from fastnn import datasets
    >>> digits = datasets.load("digits")
    >>> digits.X.shape, digits.task, digits.n_outputs
    ((1797, 64), 'classification', 10)
    """
    check_choice("name", name, NAMES)
    from sklearn import datasets

    # Not scaled: scikit-learn would otherwise hand out diabetes' features centred and of unit norm.
    bunch = datasets.load_diabetes(scaled=False) if name == "diabetes" else getattr(datasets, f"load_{name}")()
    is_regression = name == "diabetes"
    return Dataset(
        name=name,
        task="regression" if is_regression else "classification",
        X=np.ascontiguousarray(bunch.data, dtype=np.float64),
        y=np.ascontiguousarray(bunch.target, dtype=np.float64 if is_regression else np.int64),
        feature_names=tuple(map(str, bunch.feature_names)),
        class_names=() if is_regression else tuple(map(str, bunch.target_names)),
    )
