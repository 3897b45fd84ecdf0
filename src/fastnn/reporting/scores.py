"""The numbers of a report: scores beside the trivial answer, importances, dependences, and the worst rows.

Everywhere here y holds class numbers in a classification, as `Subject.targets` returns them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.reporting.subject import Rows, Subject

_MOST_ROWS = 1000  # that importances and dependences are measured on
_REPEATS, _WIDE = 5, 50  # a table of more columns is shuffled once a column
_GRID = 20
_MOST_CATEGORIES = 10


def columns_of_scores(subject: Subject, y: np.ndarray, outputs: np.ndarray) -> list[tuple[str, str, str]]:
    """Return (name, the model's score, that of the trivial answer): the most frequent class, or the mean."""
    from sklearn import metrics

    if subject.classes is None:
        predicted, trivial = outputs[:, 0], np.full(y.size, y.mean())
        functions = {
            "R²": metrics.r2_score, "mean absolute error": metrics.mean_absolute_error,
            "root mean squared error": metrics.root_mean_squared_error,
        }  # fmt: skip
        if y.size < 2:
            del functions["R²"]
        return [(name, f"{score(y, predicted):.4g}", f"{score(y, trivial):.4g}") for name, score in functions.items()]
    counts = np.bincount(y, minlength=subject.classes.size)
    found = [("accuracy", f"{np.mean(outputs.argmax(axis=1) == y):.1%}", f"{counts.max() / y.size:.1%}")]
    if subject.has_probabilities:
        shares = np.tile(counts / counts.sum(), (y.size, 1))
        places = np.arange(subject.classes.size)
        losses = [metrics.log_loss(y, values, labels=places) for values in (outputs, shares)]
        found.append(("log loss", f"{losses[0]:.4g}", f"{losses[1]:.4g}"))
        each = [metrics.roc_auc_score(y == i, outputs[:, i]) for i in np.flatnonzero(counts) if counts[i] < y.size]
        if each:
            found.append(("ROC AUC" + (", mean of classes" if len(each) > 2 else ""), f"{np.mean(each):.4f}", "0.5"))
    return found


def of_classes(subject: Subject, y: np.ndarray, outputs: np.ndarray) -> list[dict[str, Any]]:
    """Return precision, recall and F1 of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    assert subject.classes is not None
    predicted = outputs.argmax(axis=1)
    places = np.arange(subject.classes.size)
    found = precision_recall_fscore_support(y, predicted, labels=places, zero_division=0)
    names = ("precision", "recall", "f1", "rows")
    return [
        {"class": str(subject.classes[i]), **{name: values[i] for name, values in zip(names, found, strict=True)}}
        for i in places
    ]


def errors_of_rows(subject: Subject, y: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return each row's loss: minus the logarithm of its class's probability, or the squared error."""
    if subject.classes is None:
        return (outputs[:, 0] - y) ** 2
    chosen = outputs[np.arange(y.size), y]
    return -np.log(np.maximum(chosen, 1e-15))


@dataclass(frozen=True)
class Importance:
    """How much worse a model gets when a column's values change places.

    Attributes
    ----------
    name : str
    place : int
        The column's.
    mean, deviation : float
        Of the rise of the mean loss over the shuffles.
    """

    name: str
    place: int
    mean: float
    deviation: float


def some_rows(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the places of the rows to measure on, all of them if they are few."""
    return np.sort(rng.permutation(n)[:_MOST_ROWS])


def importances(subject: Subject, rows: Rows, y: np.ndarray, rng: np.random.Generator) -> list[Importance]:
    """Return permutation importances, the largest first."""
    before = errors_of_rows(subject, y, subject.outputs(rows.X)).mean()
    repeats = _REPEATS if len(rows.names) <= _WIDE else 1
    found = []
    for place, name in enumerate(rows.names):
        rises = []
        for _ in range(repeats):
            outputs = subject.outputs(rows.shuffled(place, rng.permutation(len(rows))))
            rises.append(errors_of_rows(subject, y, outputs).mean() - before)
        found.append(Importance(name, place, float(np.mean(rises)), float(np.std(rises))))
    return sorted(found, key=lambda item: -item.mean)


@dataclass(frozen=True)
class Dependence:
    """The mean output with one column set to each of some values.

    Attributes
    ----------
    name : str
    values : ndarray
        Numbers or times in ascending order, or texts, the most frequent first.
    outputs : ndarray of shape (n_values, n_outputs)
    is_number : bool
    """

    name: str
    values: np.ndarray
    outputs: np.ndarray
    is_number: bool


def dependence(subject: Subject, rows: Rows, place: int) -> Dependence | None:
    """Return the partial dependence on a column; None if its values are all one or cannot be told apart."""
    column = rows.column(place)
    is_number = column.dtype.kind in "iufM"  # a time is drawn as one, too
    if is_number:
        known = np.flatnonzero(np.isfinite(column))  # numpy's infinity of times is NaT
        order = known[np.argsort(column[known], kind="stable")]
        ends = np.linspace(0.02, 0.98, _GRID) * max(order.size - 1, 0)
        sources = order[np.unique(ends.round().astype(int))] if order.size else order
        _, first = np.unique(column[sources], return_index=True)
        sources = sources[first]
        values = column[sources]
    else:
        texts = np.array([str(value) for value in column])
        names, first, counts = np.unique(texts, return_index=True, return_counts=True)
        if len(names) > max(_MOST_CATEGORIES, len(texts) / 2):
            return None  # texts of their own, of which a few say nothing
        most = np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]
        sources, values = first[most], names[most]
    if len(values) < 2:
        return None
    outputs = [subject.outputs(rows.filled(place, int(source))).mean(axis=0) for source in sources]
    return Dependence(rows.names[place], values, np.array(outputs), is_number)
