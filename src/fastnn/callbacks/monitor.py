"""One number of the logs, which of two of its values is the better, and the parameters that it belongs to."""

from math import isfinite
from typing import Any

import numpy as np

from fastnn.callbacks.base import Callback, TrainerOfCallback
from fastnn.common.validation import check_choice, check_real
from fastnn.model.core import NetworkCore


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

    def check(self, trainer: TrainerOfCallback) -> None:
        """Raise ValueError if the logs of this fit will not hold the number."""
        if self.name not in trainer.log_names:
            is_missing = self.name.startswith("val_") and "loss" in trainer.log_names  # a GAN has no validation
            hint = "; give fit validation_data or validation_split" if is_missing else ""
            known = ", ".join(map(repr, trainer.log_names))
            raise ValueError(f"monitor must be one of {known}, got {self.name!r}{hint}")
        if self.mode == "auto":
            directions = {metric.name: metric.greater_is_better for metric in trainer.metrics}
            more = directions.get(self.name.removeprefix("val_"), False)
            if more is None:
                raise ValueError(f"mode must be 'min' or 'max' for {self.name!r}, a metric of your own; got 'auto'")
            self.sign = -1.0 if more else 1.0

    @property
    def is_of_training(self) -> bool:
        """Whether the number is measured while the epoch trains, rather than after it."""
        return not self.name.startswith("val_")

    def is_better(self, value: float, than: float | None, min_delta: float = 0.0) -> bool:
        """Whether a value improves on another by more than `min_delta`; every finite one does on None, NaN never."""
        return (than is None or self.sign * (than - value) > min_delta) and isfinite(value)


class WatchingCallback(Callback):
    """Base of callbacks that watch one number; assigning `monitor`, `mode` or `min_delta` counts from then on."""

    _monitor: Monitor

    @property
    def monitor(self) -> Monitor:
        return self._monitor

    @monitor.setter
    def monitor(self, value: "str | Monitor") -> None:
        name = value.name if isinstance(value, Monitor) else value
        self._watch(Monitor(name, self.mode, self._monitor.min_delta))

    @property
    def mode(self) -> str:
        return self._monitor.mode

    @mode.setter
    def mode(self, value: str) -> None:
        self._watch(Monitor(self._monitor.name, value, self._monitor.min_delta))

    def _watch(self, monitor: Monitor) -> None:
        if self.trainer is not None and self.trainer.is_training:
            monitor.check(self.trainer)
        self._monitor = monitor

    def identity(self) -> dict[str, Any]:
        return {"monitor": self._monitor.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "monitor" in state:  # a pickle of fastnn 0.1
            state["_monitor"] = state.pop("monitor")
        self.__dict__.update(state)


class PatientCallback(WatchingCallback):
    """Base of those that wait for an improvement by more than `min_delta`."""

    @property
    def min_delta(self) -> float:
        return self._monitor.min_delta

    @min_delta.setter
    def min_delta(self, value: float) -> None:
        self._watch(Monitor(self._monitor.name, self.mode, value))


def copy_measured(trainer: TrainerOfCallback, monitor: Monitor, out: np.ndarray) -> None:
    """Write the parameters and running statistics that a number of the epoch that has ended belongs to.

    A training loss is measured before the update that it leads to. Where an epoch has one step, as with full batches,
    it therefore belongs to the parameters that the epoch began with; where it has several it is a mean over them, and
    the epoch's last parameters stand for it, as they do for numbers of validation.
    """
    start = trainer._epoch_start
    if start is not None and monitor.is_of_training and trainer.step == start.step + 1:
        start.copy_to(out)
    else:
        np.copyto(out, trainer.network.parameter_buffer)


def measured_network(trainer: TrainerOfCallback, monitor: Monitor) -> NetworkCore:
    """Return a network with these parameters."""
    network = trainer.network
    copy = type(network)._blank(network.layers, dtype=network.dtype, seed=network.seed)
    copy_measured(trainer, monitor, copy.parameter_buffer)
    return copy
