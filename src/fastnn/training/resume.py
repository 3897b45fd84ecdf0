"""A training state as arrays and JSON types, and back: what `Trainer.state_dict` and `load_state_dict` do.

Pickles hold a trainer in such plain terms as well.
"""

from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn.common.records import as_plain, from_plain
from fastnn.common.validation import check_integer, check_real
from fastnn.metrics import check_metrics, saved_names
from fastnn.model.network import Network
from fastnn.training.evaluation import Task
from fastnn.training.history import History
from fastnn.training.state import TrainingState, check_callback_states

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
        **({} if (carried := state.network.carried) is None else {"carried": carried}),
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
    network.check_carried(given.get("carried"), "state['carried']")
    target[...] = moments
    network.carry(given.get("carried"))
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


_HISTORY = ("history", "epoch", "seconds", "learning_rate", "stop_reason")


def plain_trainer(task: Task, state: TrainingState) -> dict[str, Any]:
    """Return a task and a training state as JSON types, arrays and the network; parts of the user's stay as they are.

    How many steps fit a kernel call is left out: it depends on the machine, and would show in hashes of models.
    """
    return {
        "network": task.network,
        "loss": as_plain(task.loss, losses.get),
        "metrics": [_plain_metric(metric) for metric in task.metrics],
        "mixup": task.mixup,
        "optimizer": as_plain(state.optimizer, optimizers.get),
        "moments": state.moments,
        "step": state.step,
        "epochs_done": state.epochs_done,
        "assigned_rate": state.assigned_rate,
        "holds_average": state.holds_average,
        "stop_training": state.stop_training,
        "log_names": list(state.log_names),
        "callbacks": state.callback_states.get(),
        "callbacks_are_loaded": state.callback_states.are_loaded,
        "seed": state.own_seed,
        "history": {name: getattr(state.history, name) for name in _HISTORY},
    }


def trainer_from_plain(plain: dict[str, Any]) -> tuple[Task, TrainingState]:
    """Return what `plain_trainer` was given."""
    loss, metrics = from_plain(plain["loss"], losses.get), check_metrics(plain["metrics"])
    task = Task(plain["network"], loss, metrics, plain["mixup"])
    state = TrainingState(task.network, from_plain(plain["optimizer"], optimizers.get))
    state.moments[:] = plain["moments"]
    state.step, state.epochs_done = plain["step"], plain["epochs_done"]
    state.assign_rate(plain["assigned_rate"])
    state.holds_average, state.stop_training = plain["holds_average"], plain["stop_training"]
    state.log_names = tuple(plain["log_names"])
    state.callback_states.restore(plain["callbacks"], are_loaded=plain["callbacks_are_loaded"])
    if plain["seed"] is not None:
        state.seed = plain["seed"]
    state.history = History(**plain["history"])
    return task, state


def _plain_metric(metric: Any) -> Any:
    try:
        (name,) = saved_names([metric])
    except ValueError:  # a function of the user's
        return metric
    return name


def state_of_0_1(old: dict[str, Any]) -> dict[str, Any]:
    """Return what a Trainer holds now, for what one of fastnn 0.1 had as attributes."""
    old = dict(old)
    task = Task(old.pop("network"), old.pop("loss"), old.pop("metrics"), old.pop("mixup"))
    state = TrainingState(task.network, old.pop("optimizer"))
    names = ("history", "step", "holds_average", "epochs_done", "moments", "log_names", "callback_states", "_seed")
    state.__dict__.update({name: old.pop(name) for name in names})
    state._assigned_schedule = old.pop("_set_schedule")
    return {"_task": task, "_state": state}
