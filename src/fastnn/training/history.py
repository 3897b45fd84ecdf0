"""What a training run recorded, epoch by epoch."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastnn.common.later import later

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LISTS = ("epoch", "seconds", "learning_rate")

# What `fastnn.distributed.fit` adds for each round: how it went, not what was learnt.
ROUND_LOGS = ("rows_per_second", "bytes_moved", "waiting")


@dataclass
class History:
    """The curves of one or several calls of `Trainer.fit`.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", each metric, and with validation data "val_loss" and "val_<metric>", a number an epoch; NaN for the
        epochs that did not compute it. Numbers that a callback's `on_epoch_end` puts into the logs are there too.
    epoch : list of int
        The epochs' numbers, counted from 0 over all calls of fit of one trainer.
    seconds : list of float
        Time that each epoch took, validation included; where one kernel call did several, each has their mean.
    learning_rate : list of float
        The rate at the end of each epoch, NaN where it is not known.
    stop_reason : str or None
        Why training ended before its last epoch; None if it did not.

    All lists have one length. They may be changed in place, but not be assigned: ``History(...)`` makes another one.

    Raises
    ------
    ValueError, TypeError
        If the lists are no lists, or differ in length. Seconds and rates may be left out: they are NaN then.

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

    def __post_init__(self):
        if not isinstance(self.history, dict) or not all(isinstance(column, list) for column in self.history.values()):
            raise TypeError(f"history must be a dict of lists, got {self.history!r}")
        for name in _LISTS:
            if not isinstance(getattr(self, name), list):
                raise TypeError(f"{name} must be a list, got {getattr(self, name)!r}")
        n_epochs = len(self.epoch)
        for name in ("seconds", "learning_rate"):
            if not getattr(self, name):
                self.__dict__[name] = [math.nan] * n_epochs
        lengths = {name: len(getattr(self, name)) for name in _LISTS}
        lengths.update({f"history[{name!r}]": len(column) for name, column in self.history.items()})
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the lists of a History must have one length, got {lengths}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("history", *_LISTS) and name in self.__dict__:
            raise AttributeError(
                f"History.{name} cannot be assigned: the lists belong together; change them in place, or make another "
                "History(history, epoch, seconds, learning_rate) and assign it to trainer.history"
            )
        if name == "stop_reason" and not (value is None or isinstance(value, str)):
            raise TypeError(f"stop_reason must be a str or None, got {value!r}")
        super().__setattr__(name, value)

    def append(self, epoch: int, logs: dict[str, float], seconds: float, learning_rate: float = math.nan) -> None:
        """Add one epoch."""
        n_before, columns = len(self.epoch), self.history
        for name, value in logs.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = [math.nan] * n_before
            column.append(value)
        if len(columns) > len(logs):
            for column in columns.values():
                if len(column) == n_before:
                    column.append(math.nan)
        self.seconds.append(seconds)
        self.learning_rate.append(learning_rate)
        self.epoch.append(epoch)  # the last: an epoch counts once it is here

    def take(self, logs: dict[str, Any]) -> None:
        """Give the last epoch the numbers that callbacks put into its logs, or raise TypeError where one is none."""
        columns = self.history
        for name, value in logs.items():
            column = columns.get(name)
            if column is None or column[-1] is not value:
                try:
                    if not isinstance(name, str) or isinstance(value, str | bytes):
                        raise TypeError
                    number = float(value)
                except (TypeError, ValueError, OverflowError):
                    raise TypeError(
                        f"logs must hold numbers by name, but a callback put {name!r}: {value!r} in"
                    ) from None
                columns.setdefault(name, [math.nan] * len(self.epoch))[-1] = number

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
        return later("plot_history")(self, **options)
