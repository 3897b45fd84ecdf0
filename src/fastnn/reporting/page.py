"""`report`: measures a model, draws what it found, and fills the page."""

import importlib.util
import os
import warnings
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.common.validation import check_integer
from fastnn.reporting import pictures, scores
from fastnn.reporting.subject import Rows, Subject

MOST_BARS, _MOST_DEPENDENCES = 15, 4
_WORST_ROWS, _COLUMNS_OF_ROWS = 10, 8


def check_extra() -> None:
    """Raise ImportError that names the extra, if something that a report is made with is missing."""
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f'a report needs {name}: pip install "fastnn[report]"')


class Report:
    """A report, which a notebook shows and `save` writes.

    Parameters
    ----------
    html : str
        One whole page, which loads nothing from elsewhere.
    """

    def __init__(self, html: str):
        self.html = html

    def save(self, path: str | os.PathLike) -> None:
        """Write the page.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        """Return the page in a frame: its style must not meet the notebook's."""
        return (
            f'<iframe title="report" srcdoc="{escape(self.html)}" sandbox '
            'style="width:100%;height:80vh;border:1px solid #8888"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Report, {len(self.html):,} characters of HTML; save(path) writes it>"


def report(
    estimator: Any, X: Any, y: Any, *, title: str | None = None, model_path: str | os.PathLike | None = None,
    history: Any = None, random_state: int = 0,
) -> Report:  # fmt: skip
    """Describe a fitted model by rows it was not trained on, in one self-contained HTML page.

    The page has scores beside those of the trivial answer, what became of each column, learning curves where the model
    kept them, a confusion matrix, ROC, precision-recall and calibration curves (or predicted against true values),
    permutation importances, partial dependences, the rows of the worst errors, and how to load the model. It is light
    or dark as its reader's system is.

    Parameters
    ----------
    estimator : classifier, regressor or TableModel
        Fitted; scikit-learn's own and pipelines too.
    X : array-like or data frame of shape (n, n_columns)
        Rows that the model was not trained on.
    y : array-like of shape (n,)
        Their classes or numbers.
    title : str or None, default None
        The page's heading; None: the model's class.
    model_path : str, path-like or None, default None
        Where the model was saved, for the lines that say how to load it.
    history : History or None, default None
        Learning curves to show, if the model has none itself.
    random_state : int, default 0
        Of the shuffles.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If the estimator is no classifier or regressor.
    ValueError
        If X and y have no or different numbers of rows, or y a class that the model does not know.
    ImportError
        If matplotlib or jinja2 is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> classifier = fastnn.MLPClassifier((8,), tol=0.1, random_state=0).fit(X[:60], X[:60, 0] > 0)
    >>> page = fastnn.report(classifier, X[60:], X[60:, 0] > 0, title="Signs")
    >>> "<h1>Signs</h1>" in page.html
    True
    """
    check_extra()
    check_integer("random_state", random_state, 0)
    subject, rows = Subject(estimator), Rows(X)
    targets = subject.targets(y)
    if not len(rows) or targets.size != len(rows):
        raise ValueError(f"X and y must have as many rows, at least one; got {len(rows)} and {targets.size}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of columns that the model leaves out: the page says so
        return Report(_fill(_measured(subject, rows, targets, title, model_path, history, random_state)))


def _measured(
    subject: Subject, rows: Rows, y: np.ndarray, title: str | None, model_path: Any, history: Any, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    outputs = subject.outputs(rows.X)
    few = scores.some_rows(len(rows), rng)
    some = rows.take(few)
    importances = scores.importances(subject, some, y[few], rng)
    drawn = _Drawn()
    is_classifier = subject.classes is not None
    training, validation = _curves(subject, history)
    if training:
        drawn.add("curves", "Loss over the epochs", (5.4, 3.2), pictures.losses, training, validation)
    if is_classifier:
        _draw_classes(drawn, subject, y, outputs)
    else:
        for kind, name in (
            ("actual_vs_predicted", "True values over predictions"),
            ("residual_vs_predicted", "Errors over predictions"),
        ):
            drawn.add("quality", name, (4.4, 4), pictures.predicted, y, outputs, kind)
    top = importances[:MOST_BARS]
    drawn.add("importance", "Importance of columns", (5.2, 1 + 0.26 * len(top)), pictures.bars, top)
    for item in [item for item in importances[:_MOST_DEPENDENCES] if item.mean > 0]:
        found = scores.dependence(subject, some, item.place)
        if found is not None:
            name = f"Partial dependence on {item.name}"
            drawn.add("dependence", name, (4, 3.4), pictures.dependence, subject, found)
    return {
        "title": title or type(subject.model).__name__, "n_rows": len(rows), "n_columns": len(rows.names),
        "classes": None if subject.classes is None else subject.classes.tolist(),
        "scores": scores.columns_of_scores(subject, y, outputs), "pictures": drawn.found,
        "of_classes": scores.of_classes(subject, y, outputs) if is_classifier else [],
        "columns": _columns(subject, rows), "importances": importances, "n_measured": few.size,
        "recipes": getattr(subject.model, "recipe_losses_", {}), "n_curves": pictures.MOST_CURVES,
        "worst": _worst(subject, rows, y, outputs, importances), "model": repr(subject.model)[:2000],
        "summaries": [network.summary() for network in subject.networks[:1]], "n_networks": len(subject.networks),
        "loading": _loading(subject, model_path),
    }  # fmt: skip


class _Drawn:
    """The pictures so far, by the part of the page that shows them."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, str]]] = {}
        self._n = 0

    def add(self, part: str, name: str, size: tuple[float, float], paint: Any, *values: Any) -> None:
        svg = pictures.draw(self._n, size, lambda ax: paint(ax, *values))
        self._n += 1
        self.found.setdefault(part, []).append({"name": name, "svg": svg})


def _draw_classes(drawn: _Drawn, subject: Subject, y: np.ndarray, outputs: np.ndarray) -> None:
    n = outputs.shape[1]
    side = 4.4 if n <= 12 else 7.5
    size = (3.8, 4.3 + 0.18 * (1 if n == 2 else min(n, pictures.MOST_CURVES)))  # the legend is below
    drawn.add("confusion", "Confusion matrix", (side, side), pictures.confusion, subject, y, outputs)
    if subject.has_probabilities and np.unique(y).size > 1:
        drawn.add("quality", "ROC", size, pictures.roc, subject, y, outputs)
        drawn.add("quality", "Precision and recall", size, pictures.precision_recall, subject, y, outputs)
    if subject.has_probabilities:
        drawn.add("quality", "Calibration", size, pictures.calibration, subject, y, outputs)


def _curves(subject: Subject, history: Any) -> tuple[list[float] | None, list[float] | None]:
    if history is not None:
        return history.history.get("loss"), history.history.get("val_loss")
    model = subject.model[-1] if hasattr(subject.model, "steps") else subject.model
    return getattr(model, "loss_curve_", None), getattr(model, "validation_loss_curve_", None) or None


def _columns(subject: Subject, rows: Rows) -> list[dict[str, str]]:
    """Return what became of each column; where no preprocessing is known, what kind of values it has."""
    preprocessing = subject.preprocessing
    if preprocessing is None:
        found = []
        for place, name in enumerate(rows.names):
            values = rows.column(place)
            found.append({"name": name, "became": f"given as {values.dtype}", "features": ""})
        return found
    names = {
        "number": "number, scaled to unit variance", "quantile": "number, scaled by quantiles",
        "one-hot": "categories, a feature each", "category": "categories, a learned vector each",
        "rank": "categories, by rank", "date": "date, in parts",
    }  # fmt: skip
    found = [
        {"name": column.name, "became": names.get(column.kind, column.kind), "features": str(column.n_features)}
        for column in preprocessing.columns
    ]
    left_out = preprocessing.left_out.items()
    return found + [{"name": name, "became": f"left out: {reason}", "features": "0"} for name, reason in left_out]


def _worst(
    subject: Subject, rows: Rows, y: np.ndarray, outputs: np.ndarray, importances: list[scores.Importance]
) -> dict[str, Any]:
    """Return the rows whose errors are the largest, with the values of the most important columns."""
    errors = scores.errors_of_rows(subject, y, outputs)
    chosen = np.argsort(-errors, kind="stable")[:_WORST_ROWS]
    shown = importances[:_COLUMNS_OF_ROWS]
    values = [rows.column(item.place) for item in shown]
    lines = []
    for row in chosen:
        if subject.classes is None:
            told = [_short(y[row]), _short(outputs[row, 0]), _short(y[row] - outputs[row, 0])]
        else:
            best = outputs[row].argmax()
            told = [str(subject.classes[y[row]]), str(subject.classes[best]), f"{outputs[row, y[row]]:.3f}"]
        lines.append([f"{row:,}", *told, *(_short(column[row]) for column in values)])
    third = "error" if subject.classes is None else "probability of the truth"
    return {"head": ["row", "true", "predicted", third, *(item.name for item in shown)], "rows": lines}


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float | np.floating) else str(value)[:60]


def _loading(subject: Subject, model_path: Any) -> str:
    name, path = type(subject.model).__name__, str(model_path or "model.safetensors")
    if subject.is_table_model or (model_path is not None and subject.preprocessing is not None):
        table = "new_rows.csv"
        return (
            f"# in a terminal: fastnn predict {path} {table}\nimport polars\nfrom fastnn.tabular import TableModel\n\n"
            f"model = TableModel.load({path!r})\npredictions = model.predict(polars.read_csv({table!r}))"
        )
    if hasattr(subject.model, "load") and hasattr(subject.model, "save"):
        saving = "" if model_path is not None else f"estimator.save({path!r})\n"
        return f"import fastnn\n\n{saving}estimator = fastnn.{name}.load({path!r})\nestimator.predict(X)"
    path = str(model_path or "model.joblib")
    saving = "" if model_path is not None else f"joblib.dump(estimator, {path!r})\n"
    return f"import joblib\n\n{saving}estimator = joblib.load({path!r})\nestimator.predict(X)"


def _fill(found: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fastnn.reporting", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html").render(found)
