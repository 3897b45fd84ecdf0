"""Pictures of training. Matplotlib comes with the extra: pip install "fastnn[plot]"."""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The two hues that stay apart for every kind of colour vision (Okabe and Ito's palette).
TRAINING_COLOUR = "#0072B2"
VALIDATION_COLOUR = "#D55E00"


def check_matplotlib() -> None:
    """Raise ImportError that names the extra, if matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError('plotting needs matplotlib: pip install "fastnn[plot]"')


def picture_formats() -> tuple[str, ...]:
    """Return the file name endings that can be saved."""
    from matplotlib.figure import Figure

    return tuple(sorted(Figure().canvas.get_supported_filetypes()))


def curve_names(history: History) -> list[str]:
    """Return "loss" and the metrics: a panel each."""
    return [name for name in history.history if not name.startswith("val_")]


def new_figure(history: History) -> "Figure":
    """Return a figure with empty axes for `plot_history`, one beside the other, that belongs to no window."""
    from matplotlib.figure import Figure

    n = len(curve_names(history))
    figure = Figure(figsize=(1 + 4 * n, 3.6), layout="constrained")
    figure.subplots(1, n, squeeze=False)
    return figure


def plot_history(history: History, *, axes: "Sequence[Axes] | None" = None) -> "list[Axes]":
    """Draw the learning curves: the loss and each metric over epochs, training beside validation.

    Parameters
    ----------
    history : History
        What `Trainer.fit` returned.
    axes : sequence of matplotlib Axes or None, default None
        One for the loss and one for each metric; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on. The picture is ``axes[0].figure``.

    Raises
    ------
    ValueError
        If there is no epoch to draw, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from fastnn.plotting import new_figure, plot_history
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [4], 1, seed=0), loss="mse", metrics=["mae"])
    >>> history = trainer.fit(np.linspace(0, 1, 32)[:, None], np.linspace(0, 1, 32), epochs=3)
    >>> [ax.get_ylabel() for ax in plot_history(history, axes=new_figure(history).axes)]
    ['loss', 'mae']
    """
    names = curve_names(history)
    if not history.epoch:
        raise ValueError("history must hold at least one epoch, got an empty one")
    check_matplotlib()
    if axes is None:
        from matplotlib import pyplot

        n = len(names)
        axes = list(pyplot.subplots(1, n, figsize=(1 + 4 * n, 3.6), layout="constrained", squeeze=False)[1].flat)
    if len(axes) < len(names):
        raise ValueError(f"axes must hold {len(names)} axes, for {', '.join(names)}; got {len(axes)}")
    # A single epoch is a point, which a line alone would not show.
    marker = "o" if len(history.epoch) == 1 else ""
    epochs = [epoch + 1 for epoch in history.epoch]
    for ax, name in zip(axes, names, strict=False):
        ax.plot(epochs, history.history[name], color=TRAINING_COLOUR, marker=marker, label="training")
        validation = history.history.get(f"val_{name}")
        if validation is not None:
            # Where only later calls of fit had validation data, the curve belongs to the last epochs.
            ax.plot(epochs[-len(validation) :], validation, color=VALIDATION_COLOUR, marker=marker, label="validation")
            ax.legend(frameon=False)
        ax.set(xlabel="epoch", ylabel=name)
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
    return list(axes[: len(names)])
