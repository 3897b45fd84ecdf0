"""Learning curves."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastnn.plotting.style import TRAINING_COLOUR, VALIDATION_COLOUR, check_matplotlib, tidy
from fastnn.training.history import ROUND_LOGS, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEARNING_RATE = "learning rate"
_LOGARITHMIC_FROM = 30  # ratio of the highest to the lowest rate


def curve_names(history: History) -> list[str]:
    """Return "loss", the metrics, and "learning rate" where it changed: a panel each.

    What `fastnn.distributed.fit` says of its rounds (rows a second, bytes, waiting) is no curve of learning.
    """
    names = [name for name in history.history if not name.startswith("val_") and name not in ROUND_LOGS]
    rates = [rate for rate in history.learning_rate if not math.isnan(rate)]
    return [*names, LEARNING_RATE] if len(set(rates)) > 1 else names


def new_figure(history: History) -> "Figure":
    """Return a figure with empty axes for `plot_history`, one beside the other, that belongs to no window."""
    from matplotlib.figure import Figure

    n = len(curve_names(history))
    figure = Figure(figsize=(1 + 4 * n, 3.6), layout="constrained")
    figure.subplots(1, n, squeeze=False)
    return figure


def plot_history(history: History, *, axes: "Sequence[Axes] | None" = None) -> "list[Axes]":
    """Draw the learning curves: the loss and each metric over epochs, training beside validation.

    The learning rate has a panel too, where it changed.

    Parameters
    ----------
    history : History
        What `Trainer.fit` returned.
    axes : sequence of matplotlib Axes or None, default None
        One for the loss, one for each metric, and one for the learning rate if it changed; None makes a pyplot figure
        with them.

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
    for ax, name in zip(axes, names, strict=False):
        values = history.learning_rate if name == LEARNING_RATE else history.history[name]
        _draw_curve(ax, history.epoch, values, TRAINING_COLOUR, "training")
        validation = history.history.get(f"val_{name}")
        if validation is not None:
            _draw_curve(ax, history.epoch, validation, VALIDATION_COLOUR, "validation")
            ax.legend(frameon=False)
        ax.set(xlabel="epoch", ylabel=name)
        ax.locator_params(axis="x", integer=True)
        if name == LEARNING_RATE and min(values) > 0 and max(values) >= _LOGARITHMIC_FROM * min(values):
            ax.set_yscale("log")
        tidy(ax)
    return list(axes[: len(names)])


def _draw_curve(ax: "Axes", epochs: list[int], values: list[float], colour: str, label: str) -> None:
    """Draw a value over the epochs that have it: a line breaks at NaN, and a point between two breaks is not drawn."""
    points = [(epoch + 1, value) for epoch, value in zip(epochs, values, strict=True) if not math.isnan(value)]
    # A single epoch is a point, which a line alone would not show.
    marker = "o" if len(points) == 1 else "None"
    ax.plot([epoch for epoch, _ in points], [value for _, value in points], color=colour, marker=marker, label=label)
