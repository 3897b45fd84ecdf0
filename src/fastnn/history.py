"""What a training run recorded, epoch by epoch."""

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
        "loss", each metric, and with validation data "val_loss" and "val_<metric>", a number an epoch.
    epoch : list of int
        The epochs' numbers, counted from 0 over all calls of fit of one trainer.
    seconds : list of float
        Time that each epoch took, validation included.
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
    stop_reason: str | None = None

    def append(self, epoch: int, logs: dict[str, float], seconds: float) -> None:
        """Add one epoch."""
        self.epoch.append(epoch)
        self.seconds.append(seconds)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

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
