"""How commands train a network: shown as it runs, timed, ended early by Ctrl-C, its curves drawn if that was asked."""

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from fastnn.callbacks import Callback, LiveView
from fastnn.callbacks.curves import TerminalCurves
from fastnn.cli.output import INTERRUPTED, say
from fastnn.training.trainer import Trainer


def shown_by(arguments: argparse.Namespace, view: LiveView | None, epochs: int) -> list[Callback]:
    """Return the callbacks that show training as the options ask, and say where the live page is."""
    callbacks: list[Callback] = []
    if view is not None:
        say(f"live: {view.url}")
        callbacks.append(view)
    if arguments.live:
        callbacks.append(TerminalCurves(epochs))
    return callbacks


def fit(trainer: Trainer, *data: Any, **options: Any) -> tuple[float, int]:
    """Train, and return the seconds that took and the exit code of the command.

    Ctrl-C ends training and not the command: what the network has learnt until then is tested and saved.
    """
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training was interrupted")  # said below, without a line of source code
        history = trainer.fit(*data, **options)
    seconds = time.perf_counter() - started
    if history.stop_reason != "interrupted":
        return seconds, 0
    say("fastnn train: interrupted; what follows is of the last step", to=sys.stderr)
    return seconds, INTERRUPTED


def save_curves(trainer: Trainer, name: str, path: Path | None) -> None:
    """Draw the learning curves into a file, if there is to be one, without a window."""
    if path is None:
        return
    from fastnn.plotting import new_figure, plot_history

    figure = new_figure(trainer.history)
    plot_history(trainer.history, axes=figure.axes)
    figure.suptitle(f"{name}, {len(trainer.history.epoch)} epochs")
    figure.savefig(path, dpi=150)
    say(f"learning curves: {path}")


__all__ = ["fit", "save_curves", "shown_by"]
