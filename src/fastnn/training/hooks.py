"""What every training does around its epochs: callbacks, interrupts, and an end that always comes."""

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from fastnn.callbacks import Callback
from fastnn.common.interrupts import InterruptGate
from fastnn.training.state import TrainingState


class HookedTraining:
    """Base of the loops of `Trainer.fit` and `GAN.fit`."""

    _state: TrainingState  # with the history and the callbacks' states
    _callbacks: list[Callback]
    _gate: InterruptGate | None = None
    _keepers = "the network keeps the parameters of its"

    def _run_epochs(self) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        """Make counters and history agree: an interrupt may have come between any two of the lines that change them."""
        raise NotImplementedError

    def _keep_workspace(self) -> None:
        """Run where no exception ends training."""

    def run(self, gate: InterruptGate) -> None:
        """Train; `on_train_end` of every callback that began runs in any case.

        The gate is closed when this is called and when it returns; only what training consists of is interrupted.
        """
        state, callbacks = self._state, self._callbacks
        state.stop_training = False
        state.history.stop_reason = None
        begun: list[Callback] = []
        self._gate = gate
        try:
            gate.open()
            for callback in callbacks:
                begun.append(callback)
                callback.on_train_begin()
            state.callback_states.begin(callbacks)
            self._run_epochs()
            if state.stop_training and state.history.stop_reason is None:
                state.history.stop_reason = "stopped by a callback"
        except KeyboardInterrupt:
            state.history.stop_reason = "interrupted"
            warnings.warn(f"Training was interrupted; {self._keepers} last step.", stacklevel=4)
        finally:
            gate.is_closed = True
            self._settle()
            with ExitStack() as endings:  # runs all of them, whichever raises
                endings.callback(state.callback_states.end)
                for callback in reversed(begun):
                    endings.callback(self._end, callback)
        self._keep_workspace()

    def _end(self, callback: Callback) -> None:
        """Run a callback's last hook; Ctrl-C may end a user's, which may take any time."""
        if self._gate is not None:
            self._gate.is_closed = type(callback).__module__.startswith("fastnn.")
        try:
            callback.on_train_end()
        finally:
            if self._gate is not None:
                self._gate.is_closed = True

    def _listeners(self, hook: str) -> list[Callable[..., Any]]:
        """The callbacks' methods for a hook, so that one that nobody overrides costs nothing."""
        return [getattr(callback, hook) for callback in self._callbacks if callback.overrides(hook)]
