"""The model that a report is about, and its rows: pandas, polars or NumPy, estimator or model of a table."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.validation import check_is_fitted


class Rows:
    """A table whose columns can be replaced one at a time, in the form in which the model takes it.

    Parameters
    ----------
    X : pandas or polars DataFrame, or array-like of shape (n, n_columns)
    """

    def __init__(self, X: Any):
        self.is_frame = hasattr(X, "columns") and hasattr(X, "shape")
        self.X: Any = X if self.is_frame else np.asarray(X)
        if len(self.X.shape) != 2:
            raise ValueError(f"X must have rows and columns, got shape {self.X.shape}")
        self.names = [str(name) for name in X.columns] if self.is_frame else [f"x{i}" for i in range(self.X.shape[1])]

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def take(self, rows: np.ndarray) -> "Rows":
        """Return some of the rows."""
        return Rows(self.X.iloc[rows] if hasattr(self.X, "iloc") else self.X[rows])

    def column(self, place: int) -> np.ndarray:
        """Return the values of a column."""
        if not self.is_frame:
            return self.X[:, place]
        return np.asarray((self.X.iloc[:, place] if hasattr(self.X, "iloc") else self.X[:, place]).to_numpy())

    def shuffled(self, place: int, order: np.ndarray) -> Any:
        """Return the table with the values of a column in another order."""
        if not self.is_frame:
            X = self.X.copy()
            X[:, place] = X[order, place]
            return X
        name = self.X.columns[place]
        if hasattr(self.X, "iloc"):
            return self.X.assign(**{name: self.X[name].to_numpy()[order]}) if isinstance(name, str) else self._set(
                place, self.X.iloc[order, place].to_numpy()
            )  # fmt: skip
        return self.X.with_columns(self.X[name][order].alias(name))

    def filled(self, place: int, source: int) -> Any:
        """Return the table with the value of one row in all rows of a column."""
        return self.shuffled(place, np.full(len(self), source))

    def _set(self, place: int, values: np.ndarray) -> Any:
        X = self.X.copy()
        X.isetitem(place, values)
        return X


class Subject:
    """A fitted classifier or regressor, or a `TableModel`: what it predicts, and how sure it is.

    Attributes
    ----------
    classes : ndarray or None
        None: a regressor.
    """

    def __init__(self, model: Any):
        self.model = model
        self.is_table_model = type(model).__name__ == "TableModel" and hasattr(model, "preprocessing")
        if self.is_table_model:
            classes = model.preprocessing.classes
            self.classes = np.array(classes) if classes else None
        elif is_classifier(model) or is_regressor(model):
            check_is_fitted(model)
            self.classes = np.asarray(model.classes_) if is_classifier(model) else None
        else:
            raise TypeError(f"estimator must be a fitted classifier or regressor, got {type(model).__name__}")

    def targets(self, y: Any) -> np.ndarray:
        """Return y as numbers: those of the classes, or the values themselves."""
        values = np.asarray(y).reshape(-1)
        if self.classes is None:
            numbers = values.astype(np.float64)
            if not np.isfinite(numbers).all():
                raise ValueError("y must be finite, got NaN or infinity")
            return numbers
        known = {label: i for i, label in enumerate(self.classes.tolist())}
        unknown = [value for value in values.tolist() if value not in known]
        if unknown:
            raise ValueError(f"y must hold classes that the estimator knows, got {unknown[0]!r}")
        return np.array([known[value] for value in values.tolist()], np.int64)

    @property
    def preprocessing(self) -> Any:
        """What became of a table's columns; None where the model takes features as they are."""
        return getattr(
            self.model if self.is_table_model else getattr(self.model, "model_", None), "preprocessing", None
        )

    @property
    def networks(self) -> list[Any]:
        """The networks inside, where there are any that can be listed."""
        model = self.model if self.is_table_model else getattr(self.model, "model_", None)
        if model is not None and hasattr(model, "network"):
            return [model.network, *model.others]
        found = getattr(self.model, "network_", None)
        return [] if found is None else [found]

    def outputs(self, X: Any) -> np.ndarray:
        """Return what is judged: probabilities of shape (n, n_classes), or predicted numbers of shape (n, 1).

        A classifier without probabilities gives 1 to the class that it predicts.
        """
        if self.is_table_model:
            raw = np.asarray(self.model.outputs(X), np.float64)
            if self.classes is None:
                return self.model.preprocessing.numbers(raw)[:, np.newaxis]
            return raw / raw.sum(axis=1, keepdims=True)
        if self.classes is None:
            return np.asarray(self.model.predict(X), np.float64).reshape(-1, 1)
        if not self.has_probabilities:
            return (np.asarray(self.model.predict(X))[:, np.newaxis] == self.classes).astype(np.float64)
        probabilities = np.asarray(self.model.predict_proba(X), np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    @property
    def has_probabilities(self) -> bool:
        return self.is_table_model or hasattr(self.model, "predict_proba")
