"""What a training run recorded, epoch by epoch."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass
class History:
    """The curves of one or several calls of `Trainer.fit`.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", each metric, and with validation data "val_loss" and "val_<metric>", a number an epoch; NaN for the
        epochs of a fit that did not compute it.
    epoch : list of int
        The epochs' numbers, counted from 0 over all calls of fit of one trainer.
    seconds : list of float
        Time that each epoch took, validation included; where one kernel call did several, each has their mean.
    learning_rate : list of float
        The rate at the end of each epoch, NaN where it is not known.
    stop_reason : str or None
        Why training ended before its last epoch; None if it did not.

    Examples
    --------
    >>> from fastnn import History
    >>> history = History()
    >>> history.append(0, {"loss": 0.5}, 0.01)
    >>> history.history
    {'loss': [0.5]}
    """

    history: dict[str, list[float]] = field(default_factory=dict)
    epoch: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    stop_reason: str | None = None

    def append(self, epoch: int, logs: dict[str, float], seconds: float, learning_rate: float = math.nan) -> None:
        """Add one epoch."""
        n_before, columns = len(self.epoch), self.history
        for name, value in logs.items():
            if name not in columns:
                columns[name] = [math.nan] * n_before
            columns[name].append(value)
        if len(columns) > len(logs):
            for column in columns.values():
                if len(column) == n_before:
                    column.append(math.nan)
        self.seconds.append(seconds)
        self.learning_rate.append(learning_rate)
        self.epoch.append(epoch)  # the last: an epoch counts once it is here

    def drop_unfinished(self) -> None:
        """Undo an `append` that an interrupt cut short."""
        n = len(self.epoch)
        for column in (self.seconds, self.learning_rate, *self.history.values()):
            del column[n:]
        for name in [name for name, column in self.history.items() if not column]:
            del self.history[name]

    def plot(self, **options: Any) -> "list[Axes]":
        """Draw the learning curves; takes and returns what `fastnn.plotting.plot_history` does.

        Raises
        ------
        ImportError
            If matplotlib is missing, which comes with the extra "plot".

        Examples
        --------
        >>> from fastnn import History
        >>> from fastnn.plotting import new_figure
        >>> history = History(history={"loss": [0.5, 0.4]}, epoch=[0, 1])
        >>> [ax.get_xlabel() for ax in history.plot(axes=new_figure(history).axes)]
        ['epoch']
        """
        from fastnn.plotting import plot_history

        return plot_history(self, **options)
