"""A training state as arrays and JSON types, and back: what `Trainer.state_dict` and `load_state_dict` do."""

from typing import Any

import numpy as np

from fastnn.common.validation import check_integer, check_real
from fastnn.model.network import Network
from fastnn.training.callback_states import check_callback_states
from fastnn.training.history import History
from fastnn.training.state import TrainingState

_MEMBERS = ("optimizer", "moments", "learning_rate", "step", "epochs_done", "seed", "history", "callbacks")


def as_dict(state: TrainingState) -> dict[str, Any]:
    """Return a training state as arrays and JSON types; `Trainer.state_dict` documents it."""
    history = state.history
    return {
        "optimizer": state.optimizer.config,
        "moments": _moments(state).copy(),
        "learning_rate": state.assigned_rate,
        "step": state.step,
        "epochs_done": state.epochs_done,
        "seed": state.seed,
        "history": {
            "epoch": np.array(history.epoch, np.int64),
            "seconds": np.array(history.seconds),
            "learning_rate": np.array(history.learning_rate),
            "columns": {name: np.array(column) for name, column in history.history.items()},
            "stop_reason": history.stop_reason,
        },
        "callbacks": state.callback_states.get(),
    }


def load_dict(state: TrainingState, network: Network, given: dict[str, Any]) -> None:
    """Bring a training state to what `as_dict` returned; `Trainer.load_state_dict` documents it."""
    if not isinstance(given, dict):
        raise TypeError(f"state must be a dict as state_dict returns it, got {type(given).__name__}")
    missing = [name for name in _MEMBERS if name not in given]
    if missing:
        raise ValueError(f"state must be a dict as state_dict returns it; {missing[0]!r} is missing")
    own, other = state.optimizer.config["name"], given["optimizer"]["name"]
    if own != other:
        raise ValueError(f"state must be of a trainer with optimizer {own!r}, got one with {other!r}")
    target, moments = _moments(state), np.asarray(given["moments"])
    if moments.shape != target.shape:
        raise ValueError(f"state['moments'] must have shape {target.shape} for this network, got {moments.shape}")
    rate = given["learning_rate"]  # None: the optimizer's own
    if rate is not None:
        check_real("state['learning_rate']", rate, 0.0)
    step, epochs_done, seed = (
        check_integer(f"state[{name!r}]", given[name], 0, 2**63 - 1) for name in ("step", "epochs_done", "seed")
    )
    history = _history(given["history"])
    check_callback_states(given["callbacks"], network)
    target[...] = moments
    state.step, state.epochs_done, state.seed, state.history = step, epochs_done, seed, history
    state.assign_rate(rate)
    # Outside fit a network holds the average, if there is one.
    state.holds_average = state.optimizer.use_ema and step > 0
    state.callback_states.load(given["callbacks"])


def _moments(state: TrainingState) -> np.ndarray:
    """The optimizer's vectors as rows of shape (n_slots, n_parameters), without padding: a view."""
    stride = state.network.plan.parameter_stride
    return state.moments.reshape(-1, stride)[:, : state.network.n_parameters]


def _history(given: dict[str, Any]) -> History:
    columns = {name: [float(value) for value in column] for name, column in given["columns"].items()}
    return History(
        columns,
        [int(epoch) for epoch in given["epoch"]],
        [float(seconds) for seconds in given["seconds"]],
        [float(rate) for rate in given["learning_rate"]],
        given["stop_reason"],
    )
