"""Callbacks that end training: no more progress, no more numbers, no more time."""

import math
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn.callbacks.base import Callback
from fastnn.callbacks.monitor import Monitor, PatientCallback, copy_measured
from fastnn.callbacks.saved import saved_count, saved_epoch, saved_number, saved_parameters
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.model.network import Network

_RESULT = "it is what the callback found"


class EarlyStopping(PatientCallback):
    """Ends training when a number has not improved for a while [1]_.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the logs.
    min_delta : float, default 0.0
        An improvement by no more than this does not count against patience; >= 0.
    patience : int, default 0
        Epochs without improvement after which training ends; >= 0. As in Keras, 0 and 1 both end it after the first.
    mode : "auto", "min" or "max", default "auto"
        Whether less or more is better; "auto" knows for the loss and for metrics that fastnn has a name for.
    baseline : float or None, default None
        Patience is only reset by values better than this.
    start_from_epoch : int, default 0
        Epochs before this one (counted from 0) are not looked at; >= 0.
    restore_best_weights : bool, default False
        Whether the network gets back, however training ends, the parameters of the epoch with the best value of all
        that were looked at: the very best, whatever `min_delta` is. A training loss of full batches is that of the
        parameters before the epoch's step, and these come back; one of several steps is a mean over them, for which
        the epoch's last parameters stand.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int or None
        Its epoch.
    stopped_epoch : int or None
        The epoch after which this callback ended training.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; when training begins, if the logs will not hold `monitor`.

    References
    ----------
    .. [1] L. Prechelt, "Early Stopping - But When?", Neural Networks: Tricks of the Trade, 1998.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", optimizer=fastnn.SGD(0.1))
    >>> stopping = fastnn.callbacks.EarlyStopping(monitor="loss", min_delta=1e-3, patience=3)
    >>> history = trainer.fit(X, X, epochs=1000, callbacks=[stopping])
    >>> len(history.epoch) < 1000, history.stop_reason
    (True, 'EarlyStopping: loss did not improve for 3 epochs')
    """

    _is_strict: ClassVar[bool] = True
    _refused: ClassVar[Mapping[str, str]] = dict.fromkeys(("best", "best_epoch", "stopped_epoch"), _RESULT)

    best: float | None
    best_epoch: int | None
    stopped_epoch: int | None
    patience = Checked(lambda name, value: check_integer(name, value, 0))
    baseline = Checked(lambda name, value: None if value is None else check_real(name, value, -math.inf))
    start_from_epoch = Checked(lambda name, value: check_integer(name, value, 0))
    restore_best_weights = Checked(check_bool)

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        start_from_epoch: int = 0,
        restore_best_weights: bool = False,
    ):
        self._monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.baseline = baseline
        self.start_from_epoch = start_from_epoch
        self.restore_best_weights = restore_best_weights
        self._reset()

    def _reset(self) -> None:
        self._set(None, None, None)
        self._to_beat: float | None = None  # the best value that counted as an improvement
        self._wait = 0
        self._best_parameters: np.ndarray | None = None

    def _set(self, best: float | None, best_epoch: int | None, stopped_epoch: int | None) -> None:
        self.__dict__.update(best=best, best_epoch=best_epoch, stopped_epoch=stopped_epoch)

    def on_train_begin(self) -> None:
        self.monitor.check(self.trainer)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        monitor, state = self._monitor, self.__dict__  # Python's own attribute checks cost more than the work here
        if epoch < self.start_from_epoch or monitor.name not in logs:  # epochs without validation
            return
        value = logs[monitor.name]
        if monitor.is_better(value, state["best"]):
            state["best"], state["best_epoch"] = value, epoch
            if self.restore_best_weights:
                if state["_best_parameters"] is None:
                    state["_best_parameters"] = np.empty_like(self.trainer.network.parameter_buffer)
                copy_measured(self.trainer, monitor, state["_best_parameters"])
        wait = state["_wait"] + 1
        if monitor.is_better(value, state["_to_beat"], monitor.min_delta):
            state["_to_beat"] = value
            if self.baseline is None or monitor.is_better(value, self.baseline):
                wait = 0
        state["_wait"] = wait
        if wait >= max(self.patience, 1):
            state["stopped_epoch"] = epoch
            self.trainer.stop(f"EarlyStopping: {monitor.name} did not improve for {wait} epochs")

    def on_train_end(self) -> None:
        if self._best_parameters is not None:
            self.trainer.network.parameter_buffer[:] = self._best_parameters

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "best": self.best, "best_epoch": self.best_epoch, "to_beat": self._to_beat, "wait": self._wait,
        }  # fmt: skip
        if self._best_parameters is not None:
            state["best_parameters"] = self._best_parameters.copy()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._read(state, self.trainer.network)

    def _read(self, state: dict[str, Any], network: Network) -> None:
        best, best_epoch = saved_number(state, "best"), saved_epoch(state, "best_epoch")
        to_beat, wait = saved_number(state, "to_beat"), saved_count(state, "wait")
        self._best_parameters = saved_parameters(state, "best_parameters", network)
        self._set(best, best_epoch, self.stopped_epoch)
        self._to_beat, self._wait = to_beat, wait

    @classmethod
    def check_state(cls, state: dict[str, Any], network: Network) -> None:
        EarlyStopping()._read(state, network)


class TerminateOnNaN(Callback):
    """Ends training quietly when the loss stops being finite, instead of with FloatingPointError.

    The network keeps the parameters of its last good epoch. A validation loss that is not finite ends training
    too, with the parameters as they are.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", optimizer=fastnn.SGD(1e9))
    >>> history = trainer.fit(X, X, epochs=1000, callbacks=[fastnn.callbacks.TerminateOnNaN()])
    >>> history.stop_reason
    'TerminateOnNaN: the loss stopped being finite in epoch 1, step 3'
    """

    _is_strict: ClassVar[bool] = True

    def on_divergence(self, epoch: int, message: str) -> bool:
        self.trainer.stop(f"TerminateOnNaN: {message}")
        return True

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name in ("loss", "val_loss"):
            if not math.isfinite(logs.get(name, 0.0)):
                self.trainer.stop(f"TerminateOnNaN: {name} is {logs[name]} in epoch {epoch}")


class TimeLimit(Callback):
    """Ends training after some time, within an epoch if need be.

    Training stops within about 0.1 s. An epoch that is cut short counts as an epoch: it is evaluated and recorded,
    its loss being the mean over the rows that it saw.

    Parameters
    ----------
    seconds : float
        How long one call of fit may take; > 0.

    Raises
    ------
    ValueError
        If seconds is not positive.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse")
    >>> history = trainer.fit(X, X, epochs=10**9, callbacks=[fastnn.callbacks.TimeLimit(0.1)])
    >>> history.stop_reason
    'TimeLimit: 0.1 s are over'
    """

    _is_strict: ClassVar[bool] = True
    seconds = Checked(lambda name, value: check_real(name, value, 0.0, closed="neither"))

    def __init__(self, seconds: float):
        self.seconds = seconds

    def on_train_begin(self) -> None:
        self._ends_at = time.perf_counter() + self.seconds

    def on_progress(self, rows_done: int, n_rows: int) -> None:
        if time.perf_counter() >= self._ends_at:
            self.trainer.stop(f"TimeLimit: {self.seconds:g} s are over")
