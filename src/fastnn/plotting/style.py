"""What all pictures share: colours, axes, and the check that matplotlib is there."""

import importlib.util
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: eight hues that stay apart for every kind of colour vision.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
TRAINING_COLOUR, VALIDATION_COLOUR = PALETTE[:2]


def check_matplotlib() -> None:
    """Raise ImportError that names the extra, if matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('plotting needs matplotlib: pip install "fastnn[plot]"')


def picture_formats() -> tuple[str, ...]:
    """Return the file name endings that can be saved."""
    from matplotlib.figure import Figure

    return tuple(sorted(Figure().canvas.get_supported_filetypes()))


def new_axes(n_columns: int, width: float, height: float, n_rows: int = 1) -> "list[Axes]":
    """Return the axes of a new pyplot figure, row by row; width and height are those of one, in inches."""
    from matplotlib import pyplot

    size = (n_columns * width, n_rows * height)
    return list(pyplot.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)[1].flat)


def grid_axes(n: int) -> "list[Axes]":
    """Return at least n small axes of a new pyplot figure, about as many rows as columns."""
    n_columns = math.ceil(math.sqrt(n))
    return new_axes(n_columns, 1.5, 1.4, n_rows=math.ceil(n / n_columns))


def tidy(ax: "Axes") -> None:
    """Give axes a faint grid and no frame."""
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
