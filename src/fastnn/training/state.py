"""What training has to remember when it is cut in two, as arrays and JSON types, and how it comes back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import callbacks as own_callbacks
from fastnn.common.validation import check_integer, check_real
from fastnn.training.history import History

if TYPE_CHECKING:
    from fastnn.callbacks import Callback
    from fastnn.model.network import Network
    from fastnn.training.trainer import Trainer


class CallbackStates:
    """The states of the callbacks: live ones while fit runs, then those it ended with.

    Callbacks start afresh with each fit, except the first after a state was loaded: then each gets the state of the
    callback of the same class, the first that is left.
    """

    def __init__(self) -> None:
        self._live: Sequence[Callback] = ()
        self._saved: list[dict[str, Any]] = []
        self._is_loaded = False

    def begin(self, callbacks: "Sequence[Callback]") -> None:
        """Hand out a loaded state, and look at these callbacks from now on."""
        left = list(self._saved) if self._is_loaded else []
        for callback in callbacks:
            name = _name_of(callback)
            match = next((entry for entry in left if entry["name"] == name), None)
            if match is not None:
                left = [entry for entry in left if entry is not match]
                try:
                    callback.load_state_dict(match["state"])
                except Exception as error:  # of a callback of the user's, whose state nothing could check before
                    raise ValueError(
                        f"the state that was loaded does not suit the callback {name}: {error!r}"
                    ) from error
        self._is_loaded = False
        self._live = callbacks

    def end(self) -> None:
        """Keep the states and let go of the callbacks."""
        self._saved = self.get()
        self._live = ()

    def get(self) -> list[dict[str, Any]]:
        """Return the states, each with the name of its class."""
        if not self._live:
            return list(self._saved)
        return [{"name": _name_of(callback), "state": callback.state_dict()} for callback in self._live]

    def load(self, states: list[dict[str, Any]]) -> None:
        """Take states for the next fit."""
        self._saved = list(states)
        self._is_loaded = True


def _own_class(name: str) -> "type[Callback] | None":
    """Return fastnn's own callback of a name."""
    return getattr(own_callbacks, name) if name in own_callbacks.__all__ else None


def _name_of(callback: "Callback") -> str:
    """Return what a callback's state is filed under: its class's name, with the module where fastnn's own has it."""
    cls = type(callback)
    own = _own_class(cls.__name__)
    return cls.__name__ if own is None or own is cls else f"{cls.__module__}.{cls.__qualname__}"


def _check_callback_states(states: Any, network: "Network") -> None:
    """Raise ValueError or TypeError unless these are names and states; those of fastnn's callbacks are looked into."""
    is_sound = isinstance(states, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("state"), dict)
        for entry in states
    )  # fmt: skip
    if not is_sound:
        raise ValueError("state['callbacks'] must be a list of names and states")
    for i, entry in enumerate(states):
        own = _own_class(entry["name"])
        if own is not None:
            try:
                own.check_state(entry["state"], network)
            except (ValueError, TypeError) as error:
                raise ValueError(f"state['callbacks'][{i}], of {entry['name']}: {error}") from None


def get_state(trainer: "Trainer") -> dict[str, Any]:
    """Return a trainer's state; `Trainer.state_dict` documents it."""
    history = trainer.history
    return {
        "optimizer": trainer.optimizer.config,
        "moments": _moments(trainer).copy(),
        "learning_rate": trainer.rate_that_was_set,
        "step": trainer.step,
        "epochs_done": trainer.epochs_done,
        "seed": trainer.seed,
        "history": {
            "epoch": np.array(history.epoch, np.int64),
            "seconds": np.array(history.seconds),
            "learning_rate": np.array(history.learning_rate),
            "columns": {name: np.array(column) for name, column in history.history.items()},
            "stop_reason": history.stop_reason,
        },
        "callbacks": trainer.callback_states.get(),
    }


def set_state(trainer: "Trainer", state: dict[str, Any]) -> None:
    """Bring a trainer to a state; `Trainer.load_state_dict` documents it."""
    if not isinstance(state, dict):
        raise TypeError(f"state must be a dict as state_dict returns it, got {type(state).__name__}")
    missing = [name for name in ("optimizer", "moments", "step", "epochs_done", "seed") if name not in state]
    if missing:
        raise ValueError(f"state must be a dict as state_dict returns it; {missing[0]!r} is missing")
    own, given = trainer.optimizer.config["name"], state["optimizer"]["name"]
    if own != given:
        raise ValueError(f"state must be of a trainer with optimizer {own!r}, got one with {given!r}")
    target, moments = _moments(trainer), np.asarray(state["moments"])
    if moments.shape != target.shape:
        raise ValueError(f"state['moments'] must have shape {target.shape} for this network, got {moments.shape}")
    rate = state["learning_rate"]  # None: the optimizer's own
    if rate is not None:
        check_real("state['learning_rate']", rate, 0.0)
    step, epochs_done, seed = (
        check_integer(f"state[{name!r}]", state[name], 0, 2**63 - 1) for name in ("step", "epochs_done", "seed")
    )
    history = _history(state["history"])
    _check_callback_states(state["callbacks"], trainer.network)
    target[...] = moments
    trainer.learning_rate, trainer.step, trainer.epochs_done = rate, step, epochs_done
    # Outside fit a network holds the average, if there is one.
    trainer.holds_average = trainer.optimizer.use_ema and step > 0
    trainer.set_seed(seed)
    trainer.history = history
    trainer.callback_states.load(state["callbacks"])


def _moments(trainer: "Trainer") -> np.ndarray:
    """The optimizer's vectors as rows of shape (n_slots, n_parameters), without padding: a view."""
    stride = trainer.network.plan.parameter_stride
    return trainer.moments.reshape(-1, stride)[:, : trainer.network.n_parameters]


def _history(state: dict[str, Any]) -> History:
    columns = {name: [float(value) for value in column] for name, column in state["columns"].items()}
    return History(
        columns,
        [int(epoch) for epoch in state["epoch"]],
        [float(seconds) for seconds in state["seconds"]],
        [float(rate) for rate in state["learning_rate"]],
        state["stop_reason"],
    )
