"""What a pickle of a trainer holds: plain terms beside the network; and how pickles of before are read."""

from typing import Any

from fastnn import losses, optimizers
from fastnn.common.plain import as_plain, from_plain
from fastnn.metrics import check_metrics, saved_names
from fastnn.training.history import History
from fastnn.training.state import TrainingState
from fastnn.training.task import Task

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
