"""Metrics by name, and as objects where one has a parameter.

The fast ones are running sums that the kernels keep while they train or evaluate. The others see all predictions of an
epoch at once, at its end, and most are scikit-learn's functions. To add one: a function of `Outputs` here, a line in
`_METRICS`.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.common.validation import check_choice, check_integer
from fastnn.kernels.tables import Sum

_EPSILON = 1e-7  # Keras's: what logarithms and divisors are at least


@dataclass(frozen=True)
class Outputs:
    """Targets and predictions of all rows of a data set, in the forms that metrics take.

    Attributes
    ----------
    y : ndarray of shape (n,) or (n, n_outputs)
        int64 class numbers, or rows.
    predictions : ndarray of shape (n, n_outputs)
    sample_weight : ndarray of shape (n,) or None
    is_multilabel : bool
        Whether several outputs are a yes or no each, rather than the probabilities of classes.
    """

    y: np.ndarray
    predictions: np.ndarray
    sample_weight: np.ndarray | None
    is_multilabel: bool

    @property
    def rows(self) -> np.ndarray:
        """The targets as (n, n_outputs), class numbers as one-hot rows."""
        return np.eye(self.predictions.shape[1])[self.y] if self.y.ndim == 1 else self.y

    def decisions(self) -> tuple[np.ndarray, np.ndarray]:
        """What is, and what is predicted: 0 or 1 for one output, a row of them for several labels, else classes."""
        n_outputs = self.predictions.shape[1]
        if self.is_multilabel:
            return (self.rows > 0.5).astype(np.int64), (self.predictions > 0.5).astype(np.int64)
        if n_outputs == 1:
            return (self.y.reshape(-1) > 0.5).astype(np.int64), (self.predictions[:, 0] > 0.5).astype(np.int64)
        classes = self.y if self.y.ndim == 1 else self.y.argmax(axis=1)
        return classes, self.predictions.argmax(axis=1)

    def binary_columns(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(whether, score) of one output, of each label, or of each class against the rest."""
        true, _ = self.decisions()
        n_outputs = self.predictions.shape[1]
        if true.ndim == 1:
            true = true[:, np.newaxis] if n_outputs == 1 else true[:, np.newaxis] == np.arange(n_outputs)
        return [(true[:, j], self.predictions[:, j]) for j in range(n_outputs)]


@dataclass(frozen=True)
class Metric:
    """A number of an epoch beside the loss.

    Attributes
    ----------
    name : str
        What it is called in logs and `History`.
    compute : callable of (Outputs), or None
        Its value from all predictions.
    from_sums : callable of (means), or None
        Its value from the kernels' running sums, each divided by the sum of weights.
    greater_is_better : bool or None
        None where fastnn cannot know.
    needs_classes : bool
        Whether it is only defined for several outputs that are the probabilities of classes.
    """

    name: str
    compute: Callable[[Outputs], float] | None = None
    from_sums: Callable[[list[float]], float] | None = None
    greater_is_better: bool | None = None
    needs_classes: bool = False

    def __reduce__(self) -> Any:
        # A pickle holds the name, since the functions of most metrics have none of their own.
        is_known = _BY_NAME.get(self.name) is self
        return (_known, (self.name,)) if is_known else super().__reduce__()


def _average(values: np.ndarray, sample_weight: np.ndarray | None) -> float:
    return float(np.average(values, weights=sample_weight))


def _binary_accuracy(outputs: Outputs) -> float:
    """Share of outputs, of all samples, on the right side of one half."""
    is_right = (outputs.predictions > 0.5) == (outputs.rows > 0.5)
    return _average(is_right.mean(axis=1), outputs.sample_weight)


def _of_decisions(name: str) -> Callable[[Outputs], float]:
    """scikit-learn's precision, recall or F1: of the yes for one output, the mean over classes or labels for more."""

    def compute(outputs: Outputs) -> float:
        from sklearn import metrics

        true, predicted = outputs.decisions()
        average = "binary" if outputs.predictions.shape[1] == 1 else "macro"
        return getattr(metrics, name)(
            true, predicted, average=average, sample_weight=outputs.sample_weight, zero_division=0
        )

    return compute


def _roc_auc(outputs: Outputs) -> float:
    """Area under the ROC curve: of one output, the mean over labels, or over classes each against the rest.

    NaN where a class or a label has no sample, or nothing but samples.
    """
    from sklearn.metrics import roc_auc_score

    columns = outputs.binary_columns()
    if any(true.min() == true.max() for true, _ in columns):
        return math.nan
    areas = [roc_auc_score(true, score, sample_weight=outputs.sample_weight) for true, score in columns]
    return float(np.mean(areas))


def _log_loss(outputs: Outputs) -> float:
    """scikit-learn's log loss of probabilities; the mean over labels for several of them."""
    from sklearn.metrics import log_loss

    true, _ = outputs.decisions()
    if true.ndim == 1 and outputs.predictions.shape[1] > 1:
        labels = np.arange(outputs.predictions.shape[1])
        return log_loss(true, outputs.predictions, labels=labels, sample_weight=outputs.sample_weight)
    losses = [
        log_loss(true, score, labels=[0, 1], sample_weight=outputs.sample_weight)
        for true, score in outputs.binary_columns()
    ]
    return float(np.mean(losses))


def _r2(outputs: Outputs) -> float:
    """scikit-learn's R2, without its import: the mean over outputs, where constant targets have 1 or 0."""
    if len(outputs.predictions) < 2:
        return math.nan
    true, weights = outputs.rows.astype(np.float64), outputs.sample_weight
    squared_error = np.average((true - outputs.predictions) ** 2, axis=0, weights=weights)
    variance = np.average((true - np.average(true, axis=0, weights=weights)) ** 2, axis=0, weights=weights)
    ratio = squared_error / np.where(variance > 0, variance, 1.0)
    return float(np.where(variance > 0, 1.0 - ratio, squared_error == 0).mean())


def _mape(outputs: Outputs) -> float:
    """Percent of the truth, whose size counts as 1e-7 at least, as in Keras; the mean over outputs."""
    true = outputs.rows.astype(np.float64)
    shares = np.abs(true - outputs.predictions) / np.maximum(np.abs(true), _EPSILON)
    return _average(100.0 * shares.mean(axis=1), outputs.sample_weight)


def _msle(outputs: Outputs) -> float:
    """Squared difference of the logarithms of 1 + x, where x is 1e-7 at least, as in Keras; the mean over outputs."""
    true, predicted = (
        np.log1p(np.maximum(x.astype(np.float64), _EPSILON)) for x in (outputs.rows, outputs.predictions)
    )
    return _average(((true - predicted) ** 2).mean(axis=1), outputs.sample_weight)


_METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", from_sums=lambda means: means[Sum.CORRECT], greater_is_better=True),
        Metric("mse", from_sums=lambda means: means[Sum.SQUARED_ERROR], greater_is_better=False),
        Metric("rmse", from_sums=lambda means: means[Sum.SQUARED_ERROR] ** 0.5, greater_is_better=False),
        Metric("mae", from_sums=lambda means: means[Sum.ABSOLUTE_ERROR], greater_is_better=False),
        Metric("r2", _r2, greater_is_better=True),
        Metric("mape", _mape, greater_is_better=False),
        Metric("msle", _msle, greater_is_better=False),
        Metric("binary_accuracy", _binary_accuracy, greater_is_better=True),
        Metric("precision", _of_decisions("precision_score"), greater_is_better=True),
        Metric("recall", _of_decisions("recall_score"), greater_is_better=True),
        Metric("f1", _of_decisions("f1_score"), greater_is_better=True),
        Metric("roc_auc", _roc_auc, greater_is_better=True),
        Metric("log_loss", _log_loss, greater_is_better=False),
    )
}
NAMES = tuple(_METRICS)

# Keras's names for the same numbers. In logs and `History` a metric has the name by which it was asked for.
_ALIASES = {
    "acc": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "auc": "roc_auc",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "mean_squared_logarithmic_error": "msle",
    "binary_crossentropy": "log_loss",
    "categorical_crossentropy": "log_loss",
    "sparse_categorical_crossentropy": "log_loss",
    "r2_score": "r2",
}
# Names of Keras's classes.
_CLASSES = {
    "AUC": "auc", "MSE": "mse", "MAE": "mae", "MAPE": "mape", "MSLE": "msle", "MeanSquaredError": "mean_squared_error",
    "MeanAbsoluteError": "mean_absolute_error", "RootMeanSquaredError": "root_mean_squared_error",
    "BinaryAccuracy": "binary_accuracy", "CategoricalAccuracy": "categorical_accuracy",
    "SparseCategoricalAccuracy": "sparse_categorical_accuracy", "R2Score": "r2_score",
    "MeanAbsolutePercentageError": "mean_absolute_percentage_error",
    "MeanSquaredLogarithmicError": "mean_squared_logarithmic_error",
}  # fmt: skip
# What may be meant, but is not the same: Keras averages over classes otherwise.
_MEANT = {
    **dict.fromkeys(("Precision", "precision_score"), "precision"),
    **dict.fromkeys(("Recall", "recall_score"), "recall"),
    **dict.fromkeys(("F1Score", "f1_score", "f1score"), "f1"),
    **dict.fromkeys(("roc_auc_score", "ROC_AUC"), "roc_auc"),
    **dict.fromkeys(("accuracy_score", "Accuracy"), "accuracy"),
    **dict.fromkeys(("top_k_categorical_accuracy", "TopKCategoricalAccuracy"), "top_5_accuracy"),
}
_BY_NAME = {**_METRICS, **{alias: replace(_METRICS[name], name=alias) for alias, name in _ALIASES.items()}}


def _known(name: str) -> Metric:
    return _BY_NAME[name]


def count_sums(y: np.ndarray, predictions: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
    """Add a batch to the running sums of right answers and errors, as kernels do where they see the targets."""
    outputs = Outputs(y, predictions, weights, is_multilabel=False)
    if outputs.rows.shape != predictions.shape:
        raise ValueError(
            f"metrics of running sums need targets of shape (n, {predictions.shape[1]}), got {y.shape}; pass functions"
        )
    classes, predicted = outputs.decisions()
    errors = predictions.astype(np.float64) - outputs.rows
    sums[Sum.CORRECT] += weights @ (classes == predicted)
    sums[Sum.SQUARED_ERROR] += weights @ (errors**2).mean(axis=1)
    sums[Sum.ABSOLUTE_ERROR] += weights @ np.abs(errors).mean(axis=1)


class TopKAccuracy(Metric):
    """Share of samples whose class is among the k outputs with the highest values; ties count for the class.

    Its name is "top_3_accuracy" for k = 3, which `Trainer` takes for it as well.

    Parameters
    ----------
    k : int, default 5
        How many outputs; >= 1.

    Raises
    ------
    ValueError
        If k < 1.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network.mlp(4, [], 10, output="softmax", seed=0)
    >>> top = fastnn.metrics.TopKAccuracy(10)
    >>> trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=[top])
    >>> trainer.evaluate(np.ones((3, 4)), [1, 2, 3])["top_10_accuracy"]
    1.0
    """

    k: int

    def __init__(self, k: int = 5):
        k = check_integer("k", k, 1)

        def compute(outputs: Outputs) -> float:
            classes, predictions = outputs.decisions()[0], outputs.predictions
            of_class = np.take_along_axis(predictions, classes[:, np.newaxis], axis=1)
            is_right = (predictions > of_class).sum(axis=1) < k
            return _average(is_right, outputs.sample_weight)

        super().__init__(f"top_{k}_accuracy", compute, greater_is_better=True, needs_classes=True)
        object.__setattr__(self, "k", k)

    def __reduce__(self) -> Any:
        return TopKAccuracy, (self.k,)


class FunctionMetric(Metric):
    """A function of the user's as a metric.

    Parameters
    ----------
    function : callable of (y, predictions) or (y, predictions, sample_weight=...)
        Gets NumPy arrays, returns a number.
    """

    function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]):
        name = getattr(function, "__name__", type(function).__name__)
        takes_weights = _takes_weights(function)

        def compute(outputs: Outputs) -> float:
            arguments = {"sample_weight": outputs.sample_weight} if takes_weights else {}
            value = function(outputs.y, outputs.predictions, **arguments)
            try:
                return float(value)
            except (TypeError, ValueError):
                raise TypeError(f"metric {name!r} must return a number, got {value!r}") from None

        super().__init__(name, compute)
        object.__setattr__(self, "function", function)

    def __reduce__(self) -> Any:
        return FunctionMetric, (self.function,)


def _takes_weights(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # a builtin
        return False
    return "sample_weight" in parameters


def check_metrics(metrics: Any) -> tuple[Metric, ...]:
    """Return metrics given as names, objects or functions, or raise ValueError or TypeError."""
    if isinstance(metrics, (str, Metric)) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable) or isinstance(metrics, Mapping):  # whose values would be ignored
        raise TypeError(f"metrics must be a sequence of names, metrics or functions, got {metrics!r}")
    checked: list[Metric] = []
    for metric in metrics:
        if isinstance(metric, Metric):
            checked.append(metric)
        elif isinstance(metric, str) and (top_k := re.fullmatch(r"top_([1-9]\d{0,8})_accuracy", metric)):
            checked.append(TopKAccuracy(int(top_k[1])))
        elif isinstance(metric, str) or not callable(metric):
            checked.append(_named(metric))
        else:
            checked.append(FunctionMetric(metric))
    names = ["loss", *(metric.name for metric in checked)]
    for name in names:
        if names.count(name) > 1 or name.startswith("val_"):
            raise ValueError(f"metrics must have names of their own that do not start with 'val_', got {name!r}")
    return tuple(checked)


def _named(name: Any) -> Metric:
    if isinstance(name, str):
        name = _CLASSES.get(name, name)
        if name in _BY_NAME:
            return _BY_NAME[name]
    return _METRICS[check_choice("metrics", name, NAMES, _MEANT)]


def check_suited(metrics: Iterable[Metric], n_outputs: int, is_multilabel: bool) -> None:
    """Raise ValueError if a metric needs classes where outputs are none."""
    for metric in metrics:
        if metric.needs_classes and (n_outputs == 1 or is_multilabel):
            what = "one output" if n_outputs == 1 else "outputs that are labels, each for itself (log_loss)"
            raise ValueError(f"metrics must suit the network: {metric.name!r} needs an output a class, got {what}")


def saved_names(metrics: Iterable[Metric]) -> list[str]:
    """Return the form in which files keep metrics: names that `check_metrics` takes back.

    Raises
    ------
    ValueError
        If one is a function of the user's, which no file can hold.
    """
    names = []
    for metric in metrics:
        if metric is not _BY_NAME.get(metric.name) and not isinstance(metric, TopKAccuracy):
            raise ValueError(
                f"metrics must have names that fastnn knows to be saved, got {metric.name!r}, a function of yours; "
                "keep trainer.state_dict() instead"
            )
        names.append(metric.name)
    return names
