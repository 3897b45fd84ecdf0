"""scikit-learn estimators for tables: data frames in, nothing to tune."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from fastnn.callbacks import Callback
from fastnn.tabular.base import BaseTabular
from fastnn.tabular.recipes import Recipe
from fastnn.tabular.values import as_texts

_SKEWED = 1.5  # skewness of a target from which on its logarithm is tried


class TabularClassifier(ClassifierMixin, BaseTabular):
    """Classes from the columns of a table, with nothing to tune.

    Columns are typed as by `fastnn train`: numbers, booleans, categories, dates; where a value is missing, that is
    information. Constants, row numbers and identifiers are left out. Networks of three layers learn from them [1]_
    [2]_; which of a few recipes they follow is chosen on held-out rows, where their probabilities are calibrated too.

    Parameters
    ----------
    preset : "best" or "fast", default "best"
        "fast" trains one network by the first recipe and does not compare.
    n_estimators : int or None, default None
        Networks whose mean is the prediction. None: 1, which may be an ensemble in itself.
    time_limit : float or None, default None
        Seconds that a fit should take at most; then it depends on the machine's speed, and not on the seed alone.
    categorical, drop, keep : sequence of str, default ()
        Columns whose numbers are names; columns to leave out; columns to use although they look like identifiers.
    missing : sequence of str, default ()
        Texts that stand for no value, and numbers that do, such as "-999".
    dayfirst : bool or None, default None
        Which of day and month comes first in dates such as 1/2/2020; None: as a column's own values say.
    recipe : Recipe or None, default None
        The only one that is followed, such as `fastnn.tune` found; None compares those of the preset.
    random_state : int, RandomState or None, default None
        The same seed and data give the same bits, with the same number of threads.
    n_threads : int or None, default None
        Threads that train; None: as many as there are CPUs.
    class_weight : dict, "balanced" or None, default None
        A factor for the rows of each class.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    columns_ : dict of str to str
        What became of each column of X: its kind, or "left out: " and the reason.
    permutation_importance_ : ndarray of shape (n_features_in_,)
        How much the log loss on held-out rows grows when a column is shuffled; 0 for those that are left out.
    recipe_ : Recipe
        The recipe that was chosen.
    loss_curve_ : list of float
        The training loss by epoch, of the first network.
    recipe_losses_ : dict of str to float
        The log loss of each recipe that was compared, on held-out rows.
    model_ : TableModel
        The networks and the preprocessing.
    n_features_in_, feature_names_in_
        As in all of scikit-learn.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
       Tabular Data", NeurIPS 2024, arXiv 2407.04491.
    .. [2] Y. Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022,
       arXiv 2203.05556.

    Examples
    --------
    >>> import polars
    >>> from fastnn import TabularClassifier
    >>> X = polars.DataFrame({"size": [1.0, 2.0, None, 4.0] * 10, "colour": ["red", "blue", "red", "blue"] * 10})
    >>> clf = TabularClassifier(preset="fast", random_state=0).fit(X, ["ripe", "raw", "ripe", "raw"] * 10)
    >>> clf.predict(X[:2]).tolist()
    ['ripe', 'raw']
    >>> clf.columns_
    {'size': 'quantile', 'colour': 'one-hot'}
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {}

    def __init__(
        self, *, preset: str = "best", n_estimators: int | None = None, time_limit: float | None = None,
        categorical: Sequence[str] = (), drop: Sequence[str] = (), keep: Sequence[str] = (),
        missing: Sequence[str] = (), dayfirst: bool | None = None, recipe: Recipe | None = None,
        random_state: Any = None, n_threads: int | None = None, class_weight: Any = None,
    ):  # fmt: skip
        super().__init__(
            preset=preset, n_estimators=n_estimators, time_limit=time_limit, categorical=categorical, drop=drop,
            keep=keep, missing=missing, dayfirst=dayfirst, recipe=recipe, random_state=random_state,
            n_threads=n_threads,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: tuple | None = None,
        callbacks: Callback | Iterable[Callback] = (),
    ) -> Self:  # fmt: skip
        """Fit to a table.

        Parameters
        ----------
        X : data frame (pandas, polars, pyarrow) or array-like of shape (n, n_features)
        y : array-like of shape (n,)
            The class of each row.
        sample_weight : array-like of shape (n,) or None, default None
        eval_set : tuple (X, y) or None, default None
            Rows on which recipes are compared, in place of some that are held out.
        callbacks : Callback or iterable of Callback, default ()
            Each network that is trained, several side by side, has a copy of each, such as of a
            `fastnn.callbacks.LiveView`. Ctrl-C ends the fit with the best network there is.

        Returns
        -------
        TabularClassifier

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong.
        """
        return self._fit(X, y, sample_weight, eval_set, callbacks)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class, of shape (n, n_classes).

        Parameters
        ----------
        X : data frame or array-like of shape (n, n_features)
        """
        return self._outputs(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : data frame or array-like of shape (n, n_features)
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]

    def _learn_targets(self, y: Any, n_rows: int) -> tuple[np.ndarray, int]:
        y = _as_column(y, n_rows)
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if self.classes_.size < 2:
            raise ValueError(f"y must have at least two classes, got 1 class: {self.classes_.tolist()[0]!r}")
        return numbers.astype(np.int64), self.classes_.size

    def _encode_targets(self, y: Any) -> np.ndarray:
        y = _as_column(y, len(y))
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"eval_set must have classes that y has, got {unknown.tolist()[0]!r}")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _recipes(self, recipes: list[Recipe], y: np.ndarray) -> list[Recipe]:
        return recipes

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        return compute_sample_weight(self.class_weight, self.classes_[y])

    def _class_texts(self) -> list[str]:
        import polars

        return as_texts(polars.Series("y", self.classes_.tolist())).to_list()


class TabularRegressor(RegressorMixin, BaseTabular):
    """Numbers from the columns of a table, with nothing to tune.

    As `TabularClassifier`, whose parameters it has but for `class_weight`. Where a target is skewed, its logarithm is
    tried, and taken if held-out rows say so.

    Parameters
    ----------
    preset, n_estimators, time_limit, categorical, drop, keep, missing, dayfirst, random_state, n_threads
        As for `TabularClassifier`.

    Attributes
    ----------
    columns_, permutation_importance_, recipe_, recipe_losses_, loss_curve_, model_, n_features_in_, feature_names_in_
        As of `TabularClassifier`; losses are mean squared errors, divided by the target's variance.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import TabularRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> reg = TabularRegressor(preset="fast", random_state=0).fit(X, X[:, 0] + X[:, 1])
    >>> bool(reg.score(X, X[:, 0] + X[:, 1]) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {}

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: tuple | None = None,
        callbacks: Callback | Iterable[Callback] = (),
    ) -> Self:  # fmt: skip
        """Fit to a table.

        Parameters
        ----------
        X : data frame (pandas, polars, pyarrow) or array-like of shape (n, n_features)
        y : array-like of shape (n,)
            The number to predict for each row.
        sample_weight : array-like of shape (n,) or None, default None
        eval_set : tuple (X, y) or None, default None
            Rows on which recipes are compared, in place of some that are held out.
        callbacks : Callback or iterable of Callback, default ()
            As for `TabularClassifier`.

        Returns
        -------
        TabularRegressor

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong.
        """
        return self._fit(X, y, sample_weight, eval_set, callbacks)

    def predict(self, X: Any) -> np.ndarray:
        """Return the predicted number of each row.

        Parameters
        ----------
        X : data frame or array-like of shape (n, n_features)
        """
        outputs = self._outputs(X)
        return self.model_.preprocessing.numbers(outputs)

    def _learn_targets(self, y: Any, n_rows: int) -> tuple[np.ndarray, int]:
        return self._encode_targets(_as_column(y, n_rows)), 0

    def _encode_targets(self, y: Any) -> np.ndarray:
        numbers = _as_column(y, len(y))
        if numbers.dtype.kind not in "biuf":
            numbers = np.array(numbers.tolist(), dtype=np.float64)
        numbers = numbers.astype(np.float64)
        if not np.isfinite(numbers).all():
            raise ValueError("Input y contains NaN or infinity; a target must be finite")
        if np.abs(numbers).max() > 1e150:
            raise ValueError(f"y must have numbers whose squares float64 holds, got {np.abs(numbers).max():g}")
        return numbers

    def _recipes(self, recipes: list[Recipe], y: np.ndarray) -> list[Recipe]:
        recipes = [replace(recipe, dropout=0.0) for recipe in recipes]
        deviation = y.std()
        if self.preset == "best" and y.min() >= 0 and deviation > 0:
            skewness = float((((y - y.mean()) / deviation) ** 3).mean())
            if skewness > _SKEWED:
                first = next((recipe for recipe in recipes if recipe.encodes), recipes[0])
                recipes.append(replace(first, name=f"{first.name}, logarithm", logs=True))
        return recipes


def _as_column(y: Any, n_rows: int) -> np.ndarray:
    """Return targets as one axis, of as many rows as X has."""
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    column = column_or_1d(y, warn=True)
    if column.dtype.kind == "c":
        raise ValueError("Complex data not supported: y must hold real numbers or classes")
    if len(column) != n_rows:
        raise ValueError(
            f"X and y must have the same number of rows, got inconsistent numbers {n_rows} and {len(column)}"
        )
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        raise ValueError("Input y contains NaN or infinity; a target must be known and finite")
    if column.dtype.kind == "O" and any(value is None or value != value for value in column):
        raise ValueError("Input y contains NaN or None; a target must be known")
    return column
