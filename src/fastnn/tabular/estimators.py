"""scikit-learn estimators for tables: data frames in, nothing to tune.

A fit types the columns, compares a few recipes on rows that it holds out, and trains the best one on all rows, several
networks side by side. `fitting` has the course of it, `recipes` what is compared.
"""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, _check_n_features, _check_sample_weight, check_is_fitted

from fastnn.common.validation import check_choice, check_integer, check_real
from fastnn.files import container
from fastnn.tabular import fitting
from fastnn.tabular.columns import Column, as_texts
from fastnn.tabular.fitting import Choice, Deadline, Problem
from fastnn.tabular.frames import as_frame
from fastnn.tabular.model import TableModel
from fastnn.tabular.preprocessing import Preprocessing, encode, learn_columns, without_values
from fastnn.tabular.quantiles import QuantileColumn
from fastnn.tabular.recipes import Recipe, candidates

if TYPE_CHECKING:
    from polars import DataFrame

PRESETS = ("best", "fast")
MOST_ENCODED_COLUMNS = 100  # more columns are not encoded: the network would be nothing but its first layer
_ROWS_OF_ONE_MEMBER = 15_000  # larger tables have one network by default
_TARGET = "target"
_SKEWED = 1.5  # skewness of a target from which on its logarithm is tried


class BaseTabular(BaseEstimator, ABC):
    """What the classifier and the regressor share."""

    classes_: np.ndarray
    columns_: dict[str, str]
    feature_names_: list[str]
    model_: TableModel
    n_features_in_: int
    permutation_importance_: np.ndarray
    recipe_: Recipe
    recipe_losses_: dict[str, float]

    def __init__(
        self, *, preset: str = "best", n_estimators: int | None = None, time_limit: float | None = None,
        categorical: Sequence[str] = (), drop: Sequence[str] = (), keep: Sequence[str] = (),
        missing: Sequence[str] = (), dayfirst: bool | None = None, recipe: Recipe | None = None,
        random_state: Any = None, n_threads: int | None = None,
    ):  # fmt: skip
        self.preset = preset
        self.n_estimators = n_estimators
        self.time_limit = time_limit
        self.categorical = categorical
        self.drop = drop
        self.keep = keep
        self.missing = missing
        self.dayfirst = dayfirst
        self.recipe = recipe
        self.random_state = random_state
        self.n_threads = n_threads

    # --- what subclasses provide ------------------------------------------------------------------------------------

    @abstractmethod
    def _learn_targets(self, y: Any, n_rows: int) -> tuple[np.ndarray, int]:
        """Return targets as `Problem` has them, and the number of classes (0: regression)."""

    @abstractmethod
    def _encode_targets(self, y: Any) -> np.ndarray:
        """Return further targets in that form."""

    @abstractmethod
    def _recipes(self, recipes: list[Recipe], y: np.ndarray) -> list[Recipe]:
        """Return the recipes to compare, given those of the preset."""

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        return None

    # --- the fit ----------------------------------------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any) -> Self:
        self._check_parameters()
        deadline = Deadline(self.time_limit)
        n_jobs = fitting.n_threads_of(self.n_threads)
        problem = self._learn_problem(X, y, sample_weight)
        columns, targets, _n_classes = self._columns, problem.y, problem.n_classes
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        is_encoded = not problem.is_plain.all()
        if self.recipe is None:
            recipes = self._recipes(candidates(self.preset, len(targets), is_encoded), targets)
        else:
            recipes = [self.recipe]
        choice = Choice(recipes[0], problem=problem)
        if len(targets) >= 10:
            held_out = None if eval_set is None else self._held_out(columns, problem, eval_set)
            choice = fitting.choose(problem, recipes, seed, n_jobs, deadline, held_out)
        n_members = self.n_estimators or (2 if self.preset == "best" and len(targets) <= _ROWS_OF_ONE_MEMBER else 1)
        networks = fitting.fit_networks(problem, choice.recipe, seed, n_members, n_jobs, deadline)
        self.recipe_, self.recipe_losses_ = choice.recipe, choice.losses
        self.model_ = self._make_model(problem, choice, networks, columns)
        self._learn_importances(choice, columns, seed)
        return self

    def _learn_problem(self, X: Any, y: Any, sample_weight: Any) -> Problem:
        """Return what is learnt, and remember what was learnt of columns and classes."""
        frame, categories = self._check_frame(X, reset=True)
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None")
        name = getattr(y, "name", None)
        self._target_name = name if isinstance(name, str) and name else _TARGET
        targets, n_classes = self._learn_targets(y, frame.height)
        weights = self._weights(sample_weight, targets, frame)
        self._columns = self._learn_columns(frame, categories, weights)
        return self._make_problem(self._columns, frame, targets, n_classes, weights)

    def _check_parameters(self) -> None:
        check_choice("preset", self.preset, PRESETS)
        if self.n_estimators is not None:
            check_integer("n_estimators", self.n_estimators, 1)
        if self.n_threads is not None:
            check_integer("n_threads", self.n_threads, 1)
        if self.time_limit is not None:
            check_real("time_limit", self.time_limit, 0.0, closed="neither")
        if self.recipe is not None and not isinstance(self.recipe, Recipe):
            raise TypeError(f"recipe must be a fastnn.tabular.Recipe or None, got {self.recipe!r}")
        for name in ("categorical", "drop", "keep", "missing"):
            names = getattr(self, name)
            if isinstance(names, str) or not all(isinstance(text, str) for text in names):
                raise TypeError(f"{name} must be a sequence of texts, got {names!r}")

    def _check_frame(self, X: Any, *, reset: bool) -> "tuple[DataFrame, tuple[str, ...]]":
        frame, categories = as_frame(X)
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        if reset:
            self.feature_names_ = list(frame.columns)
        elif not hasattr(self, "feature_names_in_"):
            frame.columns = self.feature_names_
        return frame, categories

    def _learn_columns(
        self, frame: "DataFrame", categories: Sequence[str], weights: np.ndarray | None
    ) -> tuple[Column, ...]:
        for name in (*self.categorical, *self.drop, *self.keep):
            if name not in frame.columns:
                raise ValueError(f"there is no column {name!r} in X, which has {', '.join(frame.columns[:20])}")
        frame = without_values(frame, self.missing)
        rows = None if weights is None or weights.all() else np.flatnonzero(weights)
        try:
            columns, left_out = learn_columns(
                frame, None, categorical=[*self.categorical, *categories], drop=self.drop, keep=self.keep,
                dayfirst=self.dayfirst, rows=rows,
                numbers="encoded" if frame.width <= MOST_ENCODED_COLUMNS else "quantile",
            )  # fmt: skip
        except ValueError as error:
            if "no column to predict" not in str(error):
                raise
            # Nothing tells rows apart: a feature that is always 0 leaves the bias to learn.
            columns, left_out = (QuantileColumn(frame.columns[0], 0.0, 1e-300, (), False),), {}
        self.columns_ = {column.name: column.kind for column in columns}
        self.columns_.update({name: f"left out: {reason}" for name, reason in left_out.items()})
        self._left_out = left_out
        return columns

    def _weights(self, sample_weight: Any, targets: np.ndarray, frame: "DataFrame") -> np.ndarray | None:
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, np.empty((frame.height, 1)), ensure_non_negative=True)
            if not weights.any():
                raise ValueError("sample_weight must leave some row a weight, got only 0")
        of_classes = self._class_weights(targets)
        if of_classes is None:
            return weights
        return of_classes if weights is None else weights * of_classes

    def _make_problem(
        self, columns: Sequence[Column], frame: "DataFrame", y: np.ndarray, n_classes: int, weights: np.ndarray | None
    ) -> Problem:
        plain = [
            (np.arange(column.n_features) == 0) | (np.arange(column.n_features) > column.n_bins)
            if isinstance(column, QuantileColumn) else np.ones(column.n_features, bool)
            for column in columns
        ]  # fmt: skip
        X = encode(columns, without_values(frame, self.missing))
        return Problem(X, y, n_classes, weights, np.concatenate(plain))

    def _held_out(self, columns: Sequence[Column], problem: Problem, eval_set: Any) -> Problem:
        if not isinstance(eval_set, tuple) or len(eval_set) != 2:
            raise TypeError(f"eval_set must be a tuple (X, y), got {type(eval_set).__name__}")
        frame, _ = self._check_frame(eval_set[0], reset=False)
        targets = self._encode_targets(eval_set[1])
        if len(targets) != frame.height:
            raise ValueError(f"eval_set must have a target for each row, got {frame.height} rows and {len(targets)}")
        weights = None if problem.weights is None else np.ones(len(targets))
        return self._make_problem(columns, frame, targets, problem.n_classes, weights)

    def _make_model(self, problem: Problem, choice: Choice, networks: list, columns: Sequence[Column]) -> TableModel:
        if not choice.recipe.encodes:
            columns = [
                replace(column, edges=()) if isinstance(column, QuantileColumn) else column for column in columns
            ]
        _, mean, deviation = fitting.scale_targets(problem, choice.recipe, problem.y, problem.weights)
        classes = tuple(self._class_texts()) if problem.n_classes else ()
        target = self._target_name
        while target in self.feature_names_:
            target += "_"
        preprocessing = Preprocessing(
            target, "classification" if problem.n_classes else "regression", tuple(columns), self._left_out, classes,
            mean, deviation, tuple(self.missing), choice.recipe.logs,
        )  # fmt: skip
        return TableModel(networks[0], preprocessing, others=tuple(networks[1:]), temperature=choice.temperature)

    def _class_texts(self) -> list[str]:
        return []

    def _learn_importances(self, choice: Choice, columns: Sequence[Column], seed: int) -> None:
        """Set the importance of each column of X; those that are left out have none."""
        self.permutation_importance_ = np.zeros(len(self.feature_names_))
        if choice.network is None:
            return
        starts = np.cumsum([0, *(column.n_features for column in columns)])
        blocks = [np.arange(first, last) for first, last in itertools.pairwise(starts)]
        places = [self.feature_names_.index(column.name) for column in columns]
        self.permutation_importance_[places] = fitting.importances(choice, blocks, seed)

    # --- after it ---------------------------------------------------------------------------------------------------

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self.model_.outputs(self._check_frame(X, reset=False)[0])

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to one file, whole or not at all, without pickle.

        `fastnn predict` and `TableModel.load` read it too.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        OSError
            If the file cannot be written; an existing file stays as it was.
        """
        check_is_fitted(self)
        parameters = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        part = {
            "class": type(self).__name__, "parameters": parameters, "columns": self.columns_,
            "features": self.feature_names_, "has_names": hasattr(self, "feature_names_in_"),
            "importance": self.permutation_importance_.tolist(), "losses": self.recipe_losses_,
            "labels": _labels_part(getattr(self, "classes_", None)), "recipe": asdict(self.recipe_),
        }  # fmt: skip
        self.model_.save(path, estimator=part)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Return the estimator in a file that `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds something else.
        OSError
            If it cannot be read.
        """
        with container.reading(path) as file:
            model = TableModel.read(file)
            part = file.document.get("estimator")
            if not isinstance(part, dict) or part.get("class") != cls.__name__:
                raise file.error(f"it holds no {cls.__name__}; TableModel.load reads any model of a table")
            try:
                return cls._from_part(part, model)
            except (TypeError, ValueError, KeyError, AttributeError) as error:
                raise file.error(f"estimator: {container.printable(str(error))}") from None

    @classmethod
    def _from_part(cls, part: dict[str, Any], model: TableModel) -> Self:
        parameters: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in part["parameters"].items()
        }
        if parameters.get("recipe") is not None:
            parameters["recipe"] = Recipe(**parameters["recipe"])
        estimator = cls(**parameters)
        estimator._check_parameters()
        names = part["features"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("features must be texts")
        importance = np.array(part["importance"], np.float64)
        columns, losses = part["columns"], part["losses"]
        if importance.shape != (len(names),) or not isinstance(columns, dict) or not isinstance(losses, dict):
            raise ValueError("importance, columns and losses must suit the features")
        estimator.model_, estimator.feature_names_, estimator.n_features_in_ = model, names, len(names)
        estimator.recipe_ = Recipe(**part["recipe"])
        estimator.columns_, estimator.recipe_losses_, estimator.permutation_importance_ = columns, losses, importance
        if part["has_names"]:
            estimator.feature_names_in_ = np.array(names, dtype=object)
        estimator._left_out = model.preprocessing.left_out
        if model.preprocessing.classes:
            estimator.classes_ = _read_labels(part["labels"], len(model.preprocessing.classes))
        return estimator

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, Recipe):
        return asdict(value)
    return list(value) if isinstance(value, tuple | list | np.ndarray) else value


_LABEL_KINDS: dict[str, Any] = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64", "U": "text", "O": "object"}


def _labels_part(labels: np.ndarray | None) -> dict[str, Any] | None:
    return None if labels is None else {"kind": _LABEL_KINDS[labels.dtype.kind], "values": labels.tolist()}


def _read_labels(part: Any, n_classes: int) -> np.ndarray:
    kind, values = part["kind"], part["values"]
    if kind not in _LABEL_KINDS.values() or not isinstance(values, list) or len(values) != n_classes:
        raise ValueError("labels must be one for each class")
    if not all(isinstance(value, bool | int | float | str) for value in values):
        raise ValueError("labels must be numbers or texts")
    return np.array(values, dtype={"text": str, "object": object}.get(kind, kind))


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
        Networks whose mean is the prediction. None: 2 with the preset "best" up to 15,000 rows, else 1.
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: tuple | None = None) -> Self:
        """Fit to a table.

        Parameters
        ----------
        X : data frame (pandas, polars, pyarrow) or array-like of shape (n, n_features)
        y : array-like of shape (n,)
            The class of each row.
        sample_weight : array-like of shape (n,) or None, default None
        eval_set : tuple (X, y) or None, default None
            Rows on which recipes are compared, in place of some that are held out.

        Returns
        -------
        TabularClassifier

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong.
        """
        return self._fit(X, y, sample_weight, eval_set)

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
    columns_, permutation_importance_, recipe_, recipe_losses_, model_, n_features_in_, feature_names_in_
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, eval_set: tuple | None = None) -> Self:
        """Fit to a table.

        Parameters
        ----------
        X : data frame (pandas, polars, pyarrow) or array-like of shape (n, n_features)
        y : array-like of shape (n,)
            The number to predict for each row.
        sample_weight : array-like of shape (n,) or None, default None
        eval_set : tuple (X, y) or None, default None
            Rows on which recipes are compared, in place of some that are held out.

        Returns
        -------
        TabularRegressor

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong.
        """
        return self._fit(X, y, sample_weight, eval_set)

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
                recipes.append(replace(recipes[0], name=f"{recipes[0].name}, logarithm", logs=True))
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
