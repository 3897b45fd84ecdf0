"""Real data sets that scikit-learn carries with it: no download.

Their files are read here, because importing scikit-learn takes longer than training on them.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fastnn.common.validation import check_choice

NAMES = ("digits", "iris", "wine", "breast_cancer", "diabetes")

_NUCLEUS = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip
_FEATURE_NAMES = {
    "digits": tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
    "iris": ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
    "wine": (
        "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
        "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
    ),
    "breast_cancer": tuple(
        form.format(measure) for form in ("mean {}", "{} error", "worst {}") for measure in _NUCLEUS
    ),
    "diabetes": ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
}  # fmt: skip
_FILES = {"digits": "digits.csv.gz", "iris": "iris.csv", "wine": "wine_data.csv", "breast_cancer": "breast_cancer.csv"}


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
    try:
        X, y, class_names = _read(name)
    except OSError:  # another version of scikit-learn may keep its files elsewhere
        X, y, class_names = _ask_sklearn(name)
    is_regression = name == "diabetes"
    return Dataset(
        name=name,
        task="regression" if is_regression else "classification",
        X=np.ascontiguousarray(X, dtype=np.float64),
        y=np.ascontiguousarray(y, dtype=np.float64 if is_regression else np.int64),
        feature_names=_FEATURE_NAMES[name],
        class_names=class_names,
    )


def _read(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return features, targets and class names out of the files that lie in scikit-learn's folder."""
    spec = importlib.util.find_spec("sklearn")  # finds the folder without importing anything
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("scikit-learn's folder was not found")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    if name == "diabetes":
        y = np.loadtxt(folder / "diabetes_target.csv.gz")
        return np.loadtxt(folder / "diabetes_data_raw.csv.gz"), y, ()
    has_header = name != "digits"  # the number of samples and of features, and the names of the classes
    rows = np.loadtxt(folder / _FILES[name], delimiter=",", skiprows=int(has_header))
    if has_header:
        with (folder / _FILES[name]).open(encoding="utf-8") as file:
            class_names = tuple(file.readline().strip().split(",")[2:])
    else:
        class_names = tuple(map(str, range(10)))
    return rows[:, :-1], rows[:, -1], class_names


def _ask_sklearn(name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return features, targets and class names as scikit-learn's loaders give them."""
    from sklearn import datasets

    if name == "diabetes":  # not scaled: its features would otherwise come centred and of unit norm
        bunch = datasets.load_diabetes(scaled=False)
        return bunch.data, bunch.target, ()
    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data, bunch.target, tuple(map(str, bunch.target_names))
