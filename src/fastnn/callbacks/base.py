"""The base of all callbacks, and the one that is made of functions."""

import copy
import os
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from fastnn.common.attributes import Guarded
from fastnn.metrics import Metric
from fastnn.model.network import Network


class HistoryOfTrainer(Protocol):
    """What callbacks read of a `fastnn.History`."""

    history: dict[str, list[float]]
    epoch: list[int]
    seconds: list[float]
    learning_rate: list[float]
    stop_reason: str | None


class StartOfEpoch(Protocol):
    """What callbacks read of how an epoch began."""

    step: int

    def copy_to(self, out: np.ndarray) -> None: ...


class TrainerOfCallback(Protocol):
    """What callbacks have to do with a `fastnn.Trainer`, which is built on them."""

    learning_rate: Any
    stop_training: bool

    @property
    def network(self) -> Network: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def history(self) -> HistoryOfTrainer: ...
    @property
    def log_names(self) -> tuple[str, ...]: ...
    @property
    def step(self) -> int: ...
    @property
    def epochs_done(self) -> int: ...
    @property
    def is_training(self) -> bool: ...
    @property
    def _epoch_start(self) -> StartOfEpoch | None: ...
    def stop(self, reason: str = ...) -> None: ...
    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None, verbose: int = 0) -> dict[str, float]: ...
    def predict(self, X: Any, out: np.ndarray | None = None, *, verbose: int = 0) -> np.ndarray: ...
    def save(self, path: str | os.PathLike) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...


class Callback(Guarded):
    """Base of all callbacks; override what you need.

    A hook may stop training (``self.trainer.stop("why")``), read and set ``self.trainer.learning_rate``, and read and
    write ``self.trainer.network.parameters``. Epochs are counted from 0 over all calls of fit of one trainer. An
    exception in a hook ends training; `on_train_end` of every callback still runs, the network keeps the parameters
    of its last finished step and the history all finished epochs.

    The two batch hooks make training run step by step, with Python between any two steps; only callbacks that
    override them cost that. The numbers are the same either way.

    Attributes
    ----------
    trainer : Trainer
        Set when training begins; None before.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> class Printer(fastnn.Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
    >>> history = trainer.fit(np.ones((4, 1)), np.ones(4), epochs=2, callbacks=[Printer()])
    0 ['loss']
    1 ['loss']
    """

    trainer: TrainerOfCallback = None  # type: ignore[assignment]

    # Whether its hooks run after those of the others, as for one that saves what they changed.
    runs_last: ClassVar[bool] = False

    def copy_for(self, name: str, epochs: int) -> "Callback":
        """Return a copy for one of the fits of an estimator for tables, of a name and at most so many epochs."""
        return copy.deepcopy(self)

    def set_trainer(self, trainer: TrainerOfCallback) -> None:
        """Remember the trainer; called before `on_train_begin`."""
        self.trainer = trainer

    def on_train_begin(self) -> None:
        """Run before the first epoch; a wrong argument is best reported here."""

    def on_train_end(self) -> None:
        """Run after the last epoch, also when training was stopped, interrupted or failed."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Run before each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Run after each epoch; `logs` holds its loss and metrics, and where it was validated "val_loss" and so on.

        Numbers that a hook adds to `logs` reach the hooks after it and the history.
        """

    def on_train_batch_begin(self, batch: int) -> None:
        """Run before each batch of an epoch, counted from 0."""

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Run after each batch; `logs` holds its "loss", as it was before the update."""

    def on_progress(self, rows_done: int, n_rows: int) -> None:
        """Run within an epoch after each kernel call, so about every 50 ms: with the rows done so far, and all."""

    def on_divergence(self, epoch: int, message: str) -> bool:
        """Run when the loss stopped being finite; the network has the parameters of its last good epoch again.

        `message` says what happened, in which step. Return True to end training quietly; where no callback does, fit
        raises FloatingPointError.
        """
        return False

    def identity(self) -> dict[str, Any]:
        """Return what tells this callback from others of its class: what it watches, where it writes; JSON types.

        A state that was saved is given back to a callback of the same class and identity.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what the callback has to remember when training is cut in two: arrays and JSON types."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; called after `on_train_begin`."""

    @classmethod
    def check_state(cls, state: dict[str, Any], network: Network) -> None:
        """Raise ValueError or TypeError if `state` is not what `state_dict` returns in a training of `network`.

        fastnn's own callbacks are asked when a state is loaded, which may come from a damaged file.
        """

    def overrides(self, hook: str) -> bool:
        """Whether this callback does anything at a hook."""
        return hook in vars(self) or getattr(type(self), hook) is not getattr(Callback, hook)


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_train_begin, on_train_end : callable of no argument, default None
    on_epoch_begin : callable of (epoch), default None
    on_epoch_end : callable of (epoch, logs), default None
    on_train_batch_begin : callable of (batch), default None
    on_train_batch_end : callable of (batch, logs), default None
        What to run; see `Callback`. Assigning another function later is the same.

    Raises
    ------
    TypeError
        If something given is not callable.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from fastnn.callbacks import LambdaCallback
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
    >>> show = LambdaCallback(on_epoch_begin=lambda epoch: print("epoch", epoch))
    >>> history = trainer.fit(np.ones((4, 1)), np.ones(4), epochs=2, callbacks=[show])
    epoch 0
    epoch 1
    """

    _is_strict: ClassVar[bool] = True

    def __init__(
        self,
        *,
        on_train_begin: Callable[[], Any] | None = None,
        on_train_end: Callable[[], Any] | None = None,
        on_epoch_begin: Callable[[int], Any] | None = None,
        on_epoch_end: Callable[[int, dict[str, float]], Any] | None = None,
        on_train_batch_begin: Callable[[int], Any] | None = None,
        on_train_batch_end: Callable[[int, dict[str, float]], Any] | None = None,
    ):
        given = {
            "on_train_begin": on_train_begin, "on_train_end": on_train_end, "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end, "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
        }  # fmt: skip
        for name, function in given.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be callable, got {function!r}")
            setattr(self, name, function)
