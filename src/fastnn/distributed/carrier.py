"""The one place that knows what a Trainer consists of: what travels to workers, what comes back, where it goes.

What comes back of a shard is one flat vector: parameters, running statistics and moments, one after the other.
"""

import pickle
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn.engine.team import Team
from fastnn.inputs.data import check_data
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training.evaluation import Evaluation
from fastnn.training.state import TrainingState
from fastnn.training.trainer import Trainer


@dataclass(frozen=True)
class Start:
    """What a fit starts from, and what its rounds have in common.

    Attributes
    ----------
    version : str
        The client's fastnn.
    network : Network
    loss, optimizer, metrics, mixup
        As for `Trainer`.
    idle : list of Trainer
        Those of this process that train nothing; they stay where they are when this travels.
    """

    version: str
    network: Network
    loss: LossFunction
    optimizer: Optimizer
    metrics: tuple[Metric, ...]
    mixup: float
    idle: list[Trainer] = field(default_factory=list)

    def __sizeof__(self) -> int:  # what Dask asks for before it decides to spill
        return 1000 + self.network.parameters.nbytes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "idle": []}


def start_of(trainer: Trainer, metrics: tuple[Metric, ...] | None = None) -> Start:
    """Return a trainer's network and settings as a `Start`."""
    from fastnn import __version__

    return Start(
        __version__, trainer.network, trainer.loss, trainer.optimizer,
        trainer.metrics if metrics is None else metrics, trainer.mixup,
    )  # fmt: skip


_NO_HISTORY: dict[str, Any] = {"epoch": (), "seconds": (), "learning_rate": (), "columns": {}, "stop_reason": None}


def trainer_of(start: Start, metrics: tuple[Metric, ...] | None = None) -> Trainer:
    """Return a trainer with the start's settings and a network of its own; `put` gives it the state."""
    network = pickle.loads(pickle.dumps(start.network, protocol=5))
    return Trainer(
        network, loss=start.loss, optimizer=start.optimizer, metrics=start.metrics if metrics is None else metrics,
        mixup=start.mixup,
    )  # fmt: skip


def vector_of(trainer: Trainer) -> np.ndarray:
    """Return parameters, running statistics and moments as one vector: a copy."""
    network = trainer.network
    return np.concatenate([network.parameters, network.state, trainer.state_dict()["moments"].ravel()])


def take(trainer: Trainer, vector: np.ndarray, step: int, epochs_done: int) -> None:
    """Give a trainer what a round has made; its history and callbacks stay."""
    network, state = trainer.network, trainer._state
    n_parameters, n_states = network.parameters.size, network.state.size
    network.parameters[:] = vector[:n_parameters]
    network.state[:] = vector[n_parameters : n_parameters + n_states]
    moments = state.moments.reshape(-1, network.plan.parameter_stride)[:, :n_parameters]  # without padding
    moments[...] = vector[n_parameters + n_states :].reshape(moments.shape)
    state.step, state.epochs_done = step, epochs_done
    state.holds_average = state.optimizer.use_ema and step > 0


def state_of(trainer: Trainer) -> TrainingState:
    """Return what training changes beside the network, for who conducts it in place of `Trainer.fit`."""
    return trainer._state


def alone(trainer: Trainer) -> AbstractContextManager[None]:
    """Let nobody else train with this trainer meanwhile."""
    return trainer._alone()


def evaluate_alone(trainer: Trainer, X: Any, y: Any, sample_weight: np.ndarray | None) -> dict[str, float]:
    """Return what ``trainer.evaluate`` does, in one thread: Dask has given its task no more."""
    data = check_data(trainer._task.data_spec, X, y, sample_weight)
    with Team(1) as team:
        return Evaluation(trainer._task, data, team).run()


def put(trainer: Trainer, taken: dict[str, Any], **changes: Any) -> None:
    """Give a trainer all that another of the same kind was; see `taken`."""
    trainer.network.parameters[:] = taken["parameters"]
    trainer.network.state[:] = taken["statistics"]
    trainer.load_state_dict({**taken["state"], **changes})


def taken(trainer: Trainer, *, with_history: bool = True) -> dict[str, Any]:
    """Return all that `put` gives to another trainer."""
    network, state = trainer.network, trainer.state_dict()
    if not with_history:
        state["history"], state["callbacks"] = _NO_HISTORY, []
    return {"parameters": network.parameters.copy(), "statistics": network.state.copy(), "state": state}


__all__ = [
    "Start", "alone", "evaluate_alone", "put", "start_of", "state_of", "take", "taken", "trainer_of",
    "vector_of",
]  # fmt: skip
