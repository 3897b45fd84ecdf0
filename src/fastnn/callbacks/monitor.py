"""One number of the logs, and which of two of its values is the better."""

import math
from typing import TYPE_CHECKING, Any

from fastnn.common.validation import check_choice, check_real

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer


class Monitor:
    """What a callback watches.

    Parameters
    ----------
    name : str
        "loss", a metric, or either with "val_" before it.
    mode : "auto", "min" or "max"
        Whether less or more is better; "auto" knows for the loss and for metrics that fastnn has a name for.
    min_delta : float
        What counts as better has to be better by more than this; >= 0.
    """

    def __init__(self, name: Any, mode: Any, min_delta: Any = 0.0):
        if not isinstance(name, str):
            raise TypeError(f"monitor must be a str such as 'val_loss', got {name!r}")
        self.name = name
        self.mode = check_choice("mode", mode, ("auto", "min", "max"))
        self.min_delta = check_real("min_delta", min_delta, 0.0)
        self.sign = -1.0 if mode == "max" else 1.0

    def check(self, trainer: "Trainer") -> None:
        """Raise ValueError if the logs of this fit will not hold the number."""
        if self.name not in trainer.log_names:
            hint = "; give fit validation_data or validation_split" if self.name.startswith("val_") else ""
            known = ", ".join(map(repr, trainer.log_names))
            raise ValueError(f"monitor must be one of {known}, got {self.name!r}{hint}")
        if self.mode == "auto":
            directions = {metric.name: metric.greater_is_better for metric in trainer.metrics}
            more = directions.get(self.name.removeprefix("val_"), False)
            if more is None:
                raise ValueError(f"mode must be 'min' or 'max' for {self.name!r}, a metric of your own; got 'auto'")
            self.sign = -1.0 if more else 1.0

    def is_better(self, value: float, than: float | None, min_delta: float = 0.0) -> bool:
        """Whether a value improves on another by more than `min_delta`; every finite one does on None, NaN never."""
        if not math.isfinite(value):
            return False
        return than is None or self.sign * (than - value) > min_delta
