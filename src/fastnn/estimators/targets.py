"""What estimators of classes share, and what those of numbers: targets, predictions, scores."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import unique_labels

from fastnn.estimators.base import BaseNetworkEstimator
from fastnn.estimators.labels import LabelEncoding
from fastnn.estimators.solvers import Samples


def as_probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return outputs with a column for each class, also where a network has one output for two."""
    return outputs if outputs.shape[1] > 1 else np.column_stack((1 - outputs, outputs))


class BaseClassifier(ClassifierMixin, BaseNetworkEstimator):
    """A network whose outputs are probabilities of classes; it has a parameter `class_weight`."""

    class_weight: Any
    classes_: np.ndarray
    _labels: LabelEncoding

    def predict(self, X):
        """Return the likeliest label of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        outputs = self._outputs(X)
        return self._labels.decode(outputs)

    def predict_proba(self, X):
        """Return the probability of each label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return as_probabilities(self._outputs(X))

    def predict_log_proba(self, X):
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    # --- what the base class asks for -------------------------------------------------------------------------------

    def _declare_classes(self, classes: Any, y: Any) -> None:
        """Take the classes from the first call of partial_fit, and hold later calls to them."""
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit; pass a dict of weights, such as those of "
                "sklearn.utils.class_weight.compute_class_weight"
            )
        if getattr(self, "classes_", None) is None:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            labels = LabelEncoding(y)
            self._labels = labels if labels.kind == "multilabel-indicator" else LabelEncoding(classes)
            self.__dict__["classes_"] = self._labels.classes
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )

    def _learn_targets(self, y: Any, is_first: bool, is_incremental: bool) -> None:
        if not is_incremental and (not self.warm_start or not hasattr(self, "classes_")):
            self._labels = LabelEncoding(y)
            self.__dict__["classes_"] = self._labels.classes
            self.__dict__["n_outputs_"] = self._labels.n_outputs
            return
        if is_first:
            self.__dict__["n_outputs_"] = self._labels.n_outputs
        classes = unique_labels(y)
        if self.warm_start and not is_incremental and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {classes}"
            )
        if np.setdiff1d(classes, self.classes_, assume_unique=True).size:
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _make_samples(self, X: Any, y: Any, sample_weight: Any, lengths: np.ndarray | None) -> Samples:
        samples = super()._make_samples(X, y, sample_weight, lengths)
        if self.class_weight is None:
            return samples
        factors = compute_sample_weight(self.class_weight, y)
        return replace(samples, weights=factors if samples.weights is None else factors * samples.weights)

    def _encode(self, y: Any) -> np.ndarray:
        return self._labels.encode(y)

    def _score_outputs(self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        is_right = self._labels.decide(outputs) == y
        if is_right.ndim == 2:
            is_right = is_right.all(axis=1)
        return float(np.average(is_right, weights=weights))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class BaseRegressor(RegressorMixin, BaseNetworkEstimator):
    """A network whose outputs are numbers."""

    def predict(self, X):
        """Return the predicted numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    # --- what the base class asks for -------------------------------------------------------------------------------

    def _learn_targets(self, y: Any, is_first: bool, is_incremental: bool) -> None:
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if is_first:
            self.__dict__["n_outputs_"] = n_outputs
        elif n_outputs != self.n_outputs_:
            raise ValueError(f"y has {n_outputs} outputs, but {type(self).__name__} was fitted to {self.n_outputs_}")

    def _encode(self, y: Any) -> np.ndarray:
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _score_outputs(self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return float(r2_score(y, outputs, sample_weight=weights))
