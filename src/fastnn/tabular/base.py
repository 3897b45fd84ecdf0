"""What the estimators for tables share: the course of a fit, and files.

A fit types the columns, compares a few recipes on rows that it holds out, and trains the best one on all rows, several
networks side by side. `fitting` has the stages of it, `recipes` what is compared.
"""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names, _check_n_features, _check_sample_weight, check_is_fitted

from fastnn.callbacks import Callback
from fastnn.common.attributes import KnowsKeywords, fitted_alone, is_fitted_now
from fastnn.common.validation import check_choice, check_integer, check_real
from fastnn.files import container
from fastnn.tabular import fitting, screening
from fastnn.tabular.columns import Column
from fastnn.tabular.fitting import Deadline
from fastnn.tabular.frames import as_frame
from fastnn.tabular.judging import importances
from fastnn.tabular.model import TableModel
from fastnn.tabular.preprocessing import Preprocessing, categories_of, encode, learn_columns, without_values
from fastnn.tabular.problem import Choice, Problem, scale_targets
from fastnn.tabular.quantiles import QuantileColumn
from fastnn.tabular.recipes import Recipe, candidates
from fastnn.training.arguments import check_callbacks

if TYPE_CHECKING:
    from polars import DataFrame

PRESETS = ("best", "fast")
MOST_ENCODED_COLUMNS = 100  # more columns are not encoded: the network would be nothing but its first layer
_TARGET = "target"


# Attributes that fit learns, and what to do instead of assigning them.
_LEARNED = {
    "columns_": "set categorical, drop and keep, and fit again",
    "model_": "fit makes it; a TableModel of your own predicts, and is saved, without an estimator",
    "recipe_": "give a Recipe as recipe, and fit again",
}


class BaseTabular(KnowsKeywords, BaseEstimator, ABC):
    """What the classifier and the regressor share."""

    classes_: np.ndarray
    columns_: dict[str, str]
    feature_names_: list[str]
    model_: TableModel
    n_features_in_: int
    permutation_importance_: np.ndarray
    recipe_: Recipe
    recipe_losses_: dict[str, float]
    loss_curve_: list[float]
    _was_interrupted: bool = False

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

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _LEARNED and name in self.__dict__ and not is_fitted_now(self):
            raise AttributeError(f"{type(self).__name__}.{name} cannot be assigned: {_LEARNED[name]}")
        super().__setattr__(name, value)

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

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any, callbacks: Callback | Iterable[Callback]) -> Self:
        with fitted_alone(self):
            return self._fit_alone(X, y, sample_weight, eval_set, callbacks)

    def _fit_alone(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, callbacks: Callback | Iterable[Callback]
    ) -> Self:
        self._check_parameters()
        callbacks = check_callbacks(callbacks)
        deadline = Deadline(self.time_limit)
        n_jobs = fitting.n_threads_of(self.n_threads)
        problem = self._learn_problem(X, y, sample_weight)
        columns, targets, _n_classes = self._columns, problem.y, problem.n_classes
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        is_encoded = not problem.is_plain.all()
        of_preset = self._recipes(candidates(self.preset, is_encoded), targets)
        recipes = of_preset if self.recipe is None else [self.recipe]
        choice = Choice(recipes[0], problem=problem)
        if len(targets) >= 10:
            held_out = None if eval_set is None else self._held_out(columns, problem, eval_set)
            choice = screening.choose(
                problem, recipes, seed, n_jobs, deadline, held_out, callbacks, is_given=self.recipe is not None
            )
        n_members = self.n_estimators or 1
        self._was_interrupted = choice.was_interrupted
        if choice.was_interrupted:  # then the network of the comparison is what there is
            assert choice.problem is not None and choice.network is not None
            networks, self.loss_curve_ = [choice.network], []
            problem = choice.problem.of_rows(choice.trained_rows)
        else:
            networks, self.loss_curve_, self._was_interrupted = fitting.fit_networks(
                problem, choice.recipe, seed, n_members, n_jobs, deadline, callbacks
            )
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
        return Problem(X, y, n_classes, weights, np.concatenate(plain), categories_of(columns))

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
        _, mean, deviation = scale_targets(problem, choice.recipe, problem.y, problem.weights)
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
        self.permutation_importance_[places] = importances(choice, blocks, seed)

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
            "loss_curve": self.loss_curve_, "labels": _labels_part(getattr(self, "classes_", None)),
            "recipe": asdict(self.recipe_),
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
        estimator.loss_curve_ = [float(loss) for loss in part.get("loss_curve", [])]
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
