"""The drawings of a report: scikit-learn's displays on matplotlib's axes, as SVG that follows the page's colours.

Matplotlib writes fixed colours. The few that are used here are replaced by the page's variables, so that one drawing is
right on light and on dark.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.plotting.style import PALETTE
from fastnn.reporting.scores import Dependence, Importance
from fastnn.reporting.subject import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INK, _LINE = "#1f2328", "#d0d7de"
_COLOURS = [*PALETTE[:6], "#8c6d1f", "#6e7781"]  # yellow and black would be lost on light and on dark
_VARIABLES = {
    _INK: "var(--ink)", _LINE: "var(--line)", **{colour.lower(): f"var(--c{i})" for i, colour in enumerate(_COLOURS)},
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _INK, "axes.labelcolor": _INK, "axes.titlecolor": _INK, "text.color": _INK, "xtick.color": _INK,
    "ytick.color": _INK, "grid.color": _LINE, "figure.facecolor": "none", "axes.facecolor": "none", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.linewidth": 0.8, "axes.axisbelow":
    True, "legend.frameon": False, "savefig.facecolor": "none", "svg.fonttype": "none", "svg.hashsalt": "fastnn",
    "font.family": "sans-serif",
}  # fmt: skip
MOST_CURVES = 6
_MOST_NUMBERS = 12  # classes whose counts are written into the confusion matrix
_LONGEST = 24


def words(text: Any, longest: int = _LONGEST) -> str:
    """Return a name as matplotlib draws it unchanged, cut where it is long."""
    text = str(text)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.replace("$", r"\$")


@contextmanager
def style() -> Iterator[None]:
    """Draw as the report looks, whatever the user's own settings are."""
    from matplotlib import rc_context, rcParams, rcParamsDefault

    with rc_context({name: value for name, value in rcParamsDefault.items() if name != "backend"}):
        rcParams.update(_STYLE)
        yield


def draw(number: int, size: tuple[float, float], paint: Callable[["Axes"], Any]) -> str:
    """Return what a function paints on new axes, as an SVG element; its ids begin with the picture's number."""
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.subplots())
        return as_svg(figure, number)


def as_svg(figure: "Figure", number: int) -> str:
    """Return a figure as an element for an HTML page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>p{number}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    width, height = figure.get_size_inches() * 72
    drawn = figure.get_tightbbox()  # square axes leave room above and below
    top, height = round(height - drawn.y1 * 72) - 2, round(drawn.height * 72) + 4
    start = f'<svg viewBox="0 {top} {width:.0f} {height}" style="max-width:{round(width * 1.25)}px" aria-hidden="true"'
    return re.sub(r'<svg [^>]*?(?=>)', start + ' xmlns="http://www.w3.org/2000/svg" '
                  'xmlns:xlink="http://www.w3.org/1999/xlink"', text, count=1)  # fmt: skip


def confusion(ax: "Axes", subject: Subject, y: np.ndarray, outputs: np.ndarray) -> None:
    """Draw how often each class was taken for each; shares of the true class where there are many."""
    from matplotlib.colors import LinearSegmentedColormap
    from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

    assert subject.classes is not None
    n = subject.classes.size
    is_small = n <= _MOST_NUMBERS
    counts = confusion_matrix(y, outputs.argmax(axis=1), labels=np.arange(n))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [words(name, 12) for name in subject.classes]
    see_through = LinearSegmentedColormap.from_list("shares", [(0.0, 0.45, 0.7, 0.0), (0.0, 0.45, 0.7, 1.0)])
    display = ConfusionMatrixDisplay(shares, display_labels=names)
    display.plot(
        ax=ax,
        cmap=see_through,
        include_values=is_small,
        colorbar=False,
        im_kw={"vmin": 0, "vmax": max(shares.max(), 1e-9)},
    )
    ax.grid(False)
    ax.set(xlabel="predicted", ylabel="true")
    small = 10 if is_small else 7
    ax.tick_params(labelsize=small)
    if n > 4:
        ax.tick_params(axis="x", rotation=90)
    if is_small:
        for place, text in np.ndenumerate(display.text_):
            text.set(
                text=f"{counts[place]:,}",
                color="white" if shares[place] > 0.45 * shares.max() else _INK,
                fontsize=small,
            )
    else:
        ax.figure.colorbar(ax.images[0], ax=ax, shrink=0.6, label="share of the true class")


def _worst_classes(y: np.ndarray, outputs: np.ndarray) -> list[int]:
    """Return the classes to draw a curve of: all, or those that are told apart worst; of two the second."""
    from sklearn.metrics import roc_auc_score

    n = outputs.shape[1]
    present = [i for i in range(n) if 0 < np.sum(y == i) < y.size]
    if n == 2:
        return present[-1:]
    return sorted(present, key=lambda i: roc_auc_score(y == i, outputs[:, i]))[:MOST_CURVES]


def roc(ax: "Axes", subject: Subject, y: np.ndarray, outputs: np.ndarray) -> None:
    """Draw the receiver operating characteristic of each class against all others."""
    from sklearn.metrics import RocCurveDisplay

    assert subject.classes is not None
    for k, i in enumerate(_worst_classes(y, outputs)):
        RocCurveDisplay.from_predictions(y == i, outputs[:, i], ax=ax, name=words(subject.classes[i], 14))
        ax.lines[-1].set_color(_COLOURS[k])
    ax.plot([0, 1], [0, 1], ":", color=_INK, linewidth=1, label="chance")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    _legend_below(ax)


def precision_recall(ax: "Axes", subject: Subject, y: np.ndarray, outputs: np.ndarray) -> None:
    """Draw precision over recall of each class against all others."""
    from sklearn.metrics import PrecisionRecallDisplay

    assert subject.classes is not None
    for k, i in enumerate(_worst_classes(y, outputs)):
        PrecisionRecallDisplay.from_predictions(y == i, outputs[:, i], ax=ax, name=words(subject.classes[i], 14))
        ax.lines[-1].set_color(_COLOURS[k])
    ax.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05), aspect="equal")
    _legend_below(ax)


def calibration(ax: "Axes", subject: Subject, y: np.ndarray, outputs: np.ndarray) -> None:
    """Draw how often predictions of each sureness are right: of the second class, or of whatever was predicted."""
    from sklearn.calibration import CalibrationDisplay

    assert subject.classes is not None
    is_binary = outputs.shape[1] == 2
    sure = outputs[:, 1] if is_binary else outputs.max(axis=1)
    right = y == 1 if is_binary else outputs.argmax(axis=1) == y
    CalibrationDisplay.from_predictions(right, np.clip(sure, 0, 1), n_bins=10, ax=ax, pos_label=True, name="model")
    ax.lines[0].set_color(_INK)
    ax.lines[-1].set_color(_COLOURS[0])
    what = f"probability of {words(subject.classes[1], 14)}" if is_binary else "probability of the predicted class"
    ax.set(xlabel=what, ylabel="how often it was so", aspect="equal", xlim=(-0.02, 1.02), ylim=(-0.02, 1.05))
    _legend_below(ax)


def _legend_below(ax: "Axes") -> None:
    """Put the legend where it covers nothing."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8.5)


def predicted(ax: "Axes", y: np.ndarray, outputs: np.ndarray, kind: str) -> None:
    """Draw predictions against true values, or residuals over predictions."""
    from matplotlib.ticker import MaxNLocator
    from sklearn.metrics import PredictionErrorDisplay

    PredictionErrorDisplay.from_predictions(
        y, outputs[:, 0], kind=kind, ax=ax, subsample=1000, random_state=0,
        scatter_kwargs={"color": _COLOURS[0], "alpha": 0.5, "s": 14, "linewidths": 0},
    )  # fmt: skip
    names = {"actual_vs_predicted": ("predicted", "true"), "residual_vs_predicted": ("predicted", "true - predicted")}
    ax.lines[0].set(color=_INK, alpha=1.0, linewidth=1)
    ax.set(xlabel=names[kind][0], ylabel=names[kind][1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(6))


def bars(ax: "Axes", found: Sequence[Importance]) -> None:
    """Draw importances, the largest on top."""
    places = np.arange(len(found))[::-1]
    ax.barh(
        places, [item.mean for item in found], xerr=[item.deviation for item in found], height=0.7, color=_COLOURS[0],
        ecolor=_INK,
    )  # fmt: skip
    ax.set_yticks(places, [words(item.name) for item in found])
    ax.grid(axis="y", visible=False)
    ax.set(xlabel="rise of the loss when the column is shuffled")


def dependence(ax: "Axes", subject: Subject, found: Dependence) -> None:
    """Draw the mean output over a column's values."""
    outputs = found.outputs
    if subject.classes is None:
        curves = [("", outputs[:, 0])]
    elif outputs.shape[1] == 2:
        curves = [("", outputs[:, 1])]
    else:  # the classes that this column moves most
        most = np.argsort(-np.ptp(outputs, axis=0))[:4]
        curves = [(words(subject.classes[i], 14), outputs[:, i]) for i in most]
    places = found.values if found.is_number else np.arange(len(found.values))
    for k, (name, values) in enumerate(curves):
        ax.plot(places, values, "-" if found.is_number else "o", color=_COLOURS[k], label=name, markersize=7)
    if not found.is_number:
        ax.set_xticks(places, [words(value, 12) for value in found.values], rotation=90 if len(places) > 4 else 0)
        ax.margins(x=0.15)
    elif found.values.dtype.kind == "M":
        from matplotlib.dates import ConciseDateFormatter

        ax.xaxis.set_major_formatter(ConciseDateFormatter(ax.xaxis.get_major_locator()))
    if subject.classes is None:
        what = "mean prediction"
    else:
        what = (
            f"mean probability of {words(subject.classes[1], 12)}" if len(subject.classes) == 2 else "mean probability"
        )
    ax.set(xlabel=words(found.name), ylabel=what)
    if len(curves) > 1:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8.5)


def losses(ax: "Axes", training: Sequence[float], validation: Sequence[float] | None) -> None:
    """Draw the loss over the epochs."""
    for k, (name, values) in enumerate((("training", training), ("validation", validation))):
        if values is not None:
            known = np.flatnonzero(np.isfinite(values))
            ax.plot(known + 1, np.asarray(values)[known], color=_COLOURS[k], label=name,
                    marker="o" if known.size == 1 else "None")  # fmt: skip
    ax.set(xlabel="epoch", ylabel="loss")
    ax.legend()
