"""Callbacks that change the learning rate between epochs."""

import inspect
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.callbacks.monitor import Monitor, PatientCallback
from fastnn.callbacks.saved import saved_count, saved_number
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_integer, check_real
from fastnn.model.network import Network


class LearningRateScheduler(Callback):
    """Sets the learning rate of each epoch by a function of yours.

    Parameters
    ----------
    schedule : callable of (epoch) or (epoch, learning_rate)
        Takes the epoch, counted from 0 over all calls of fit, and perhaps the current rate; returns the new rate, a
        finite number >= 0.

    Raises
    ------
    TypeError
        If `schedule` is not callable with one or two arguments, or returns something else than a number.
    ValueError
        If it returns a rate that is negative or not finite.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
    >>> halved = fastnn.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
    >>> history = trainer.fit(np.ones((4, 1)), np.ones(4), epochs=3, callbacks=[halved])
    >>> history.learning_rate
    [0.1, 0.05, 0.025]
    """

    _is_strict: ClassVar[bool] = True

    def __init__(self, schedule: Callable[..., float]):
        self.schedule = schedule

    @property
    def schedule(self) -> Callable[..., float]:
        return self._schedule

    @schedule.setter
    def schedule(self, value: Callable[..., float]) -> None:
        if not callable(value):
            raise TypeError(f"schedule must be a function of the epoch, got {value!r}")
        self._takes_rate = _takes_two(value)
        self._schedule = value

    def __setstate__(self, state: dict[str, Any]) -> None:
        names = {"schedule": "_schedule"}  # as it was called in fastnn 0.1
        self.__dict__.update({names.get(name, name): value for name, value in state.items()})

    def on_epoch_begin(self, epoch: int) -> None:
        arguments = (epoch, self.trainer.learning_rate) if self._takes_rate else (epoch,)
        rate = self._schedule(*arguments)
        if type(rate) is not float or not 0.0 <= rate < inf:
            rate = check_real(f"the learning rate of epoch {epoch}", rate, 0.0)
        self.trainer.learning_rate = rate


def _takes_two(function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    for arguments in ((0, 0.0), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        required = [p for p in signature.parameters.values() if p.default is p.empty]
        # A second parameter with a default is the function's own business.
        return len(arguments) == 2 and len(required) == 2
    raise TypeError(f"schedule must take (epoch) or (epoch, learning_rate), got {function!r}{signature}")


class ReduceLROnPlateau(PatientCallback):
    """Lowers the learning rate when a number has not improved for a while.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the logs.
    factor : float, default 0.1
        By what the rate is multiplied; in (0, 1).
    patience : int, default 10
        Epochs without improvement after which the rate is lowered; >= 0. As in Keras, 0 and 1 both mean the first.
    mode : "auto", "min" or "max", default "auto"
        Whether less or more is better; "auto" knows for the loss and for metrics that fastnn has a name for.
    min_delta : float, default 1e-4
        What counts as better has to be better by more than this; >= 0.
    cooldown : int, default 0
        Epochs after a change during which nothing is counted; >= 0. (All of them, as in PyTorch; Keras counts the
        last.)
    min_lr : float, default 0.0
        The rate is not lowered below this; >= 0.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; when training begins, if the logs will not hold `monitor`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", optimizer=fastnn.SGD(0.1))
    >>> plateau = fastnn.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=2, min_delta=1e9)
    >>> trainer.fit(np.ones((4, 1)), np.ones(4), epochs=6, callbacks=[plateau]).learning_rate
    [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    """

    _is_strict: ClassVar[bool] = True
    _refused: ClassVar[Mapping[str, str]] = {"best": "it is what the callback found"}

    best: float | None
    factor = Checked(lambda name, value: check_real(name, value, 0.0, 1.0, closed="neither"))
    patience = Checked(lambda name, value: check_integer(name, value, 0))
    cooldown = Checked(lambda name, value: check_integer(name, value, 0))
    min_lr = Checked(lambda name, value: check_real(name, value, 0.0))

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        self._monitor = Monitor(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.__dict__["best"] = None
        self._wait = 0
        self._cooling = 0

    def on_train_begin(self) -> None:
        self.monitor.check(self.trainer)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        monitor, state = self._monitor, self.__dict__  # Python's own attribute checks cost more than the work here
        if monitor.name not in logs:  # an epoch without validation
            return
        value = logs[monitor.name]
        is_better = monitor.is_better(value, state["best"], monitor.min_delta)
        if is_better:
            state["best"] = value
        if state["_cooling"]:
            state["_cooling"] -= 1
            state["_wait"] = 0
        elif is_better:
            state["_wait"] = 0
        else:
            state["_wait"] += 1
            if state["_wait"] >= self.patience:
                self._lower()

    def _lower(self) -> None:
        self._wait, self._cooling = 0, self.cooldown
        rate = self.trainer.learning_rate
        if rate > self.min_lr:
            self.trainer.learning_rate = max(rate * self.factor, self.min_lr)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "wait": self._wait, "cooling": self._cooling}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best, wait, cooling = (
            saved_number(state, "best"), saved_count(state, "wait"), saved_count(state, "cooling")
        )  # fmt: skip
        self.__dict__["best"] = best
        self._wait, self._cooling = wait, cooling

    @classmethod
    def check_state(cls, state: dict[str, Any], network: Network) -> None:
        ReduceLROnPlateau().load_state_dict(state)
