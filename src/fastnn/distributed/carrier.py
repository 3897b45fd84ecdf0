"""The one place that knows what a Trainer consists of: what travels to workers, what comes back, where it goes.

What goes to a shard and comes back is one flat vector: parameters, running statistics and moments, one after the other.
Adam's moments have twice the size of the parameters: where a round is long, a summary stands in for them.
"""

import pickle
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.team import Team
from fastnn.inputs.data import check_data
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.model.network import Network
from fastnn.optimizers import Adam, Optimizer
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


def has_long_rounds(optimizer: Optimizer, steps: int) -> bool:
    """Return whether a summary of the moments will do: Adam's, where a round is ten times as long as the first lasts.

    Then the first begins with 0, and of the second, the mean squares of gradients, each kernel's means by rows and by
    columns travel and are multiplied again, as Adafactor keeps them (arXiv 1804.04235).
    """
    return isinstance(optimizer, Adam) and optimizer.slots == 2 and steps * (1 - optimizer.beta_1) >= _LONG


_LONG = 9.99  # 10, as rounded numbers say it


def vector_of(trainer: Trainer, is_short: bool = False) -> np.ndarray:
    """Return parameters, running statistics and moments, or a summary of them, as one vector: a copy."""
    network, moments = trainer.network, trainer.state_dict()["moments"]
    parts = [moments.ravel()]
    if is_short:
        tables = _tables(network, moments[1])
        parts = [table.mean(axis, np.float64).astype(moments.dtype) for table in tables for axis in (1, 0)]
    return np.concatenate([network.parameters, network.state, *parts])


def _unpack(network: Network, vector: np.ndarray, is_short: bool) -> np.ndarray:
    """Put a vector of `vector_of` into a network; return the moments, a row each."""
    n, n_states = network.parameters.size, network.state.size
    network.parameters[:], network.state[:], rest = np.split(vector, [n, n + n_states])
    if not is_short:
        return rest.reshape(-1, n)
    moments = np.zeros((2, n), rest.dtype)
    for table in _tables(network, moments[1]):
        rows, columns, rest = np.split(rest, [len(table), sum(table.shape)])
        mean = rows.mean(dtype=np.float64)
        if mean > 0:
            table[...] = np.outer(rows / mean, columns)
    return moments


def _tables(network: Network, vector: np.ndarray) -> list[np.ndarray]:
    """Return a vector's variables as views of rows and columns."""
    return [array.reshape(-1, (array.shape or (1,))[-1]) for array in network.unflatten(vector)]


def take(trainer: Trainer, vector: np.ndarray, is_short: bool, step: int, epochs_done: int) -> None:
    """Give a trainer what a round has made; its history and callbacks stay."""
    network, state = trainer.network, trainer._state
    moments = state.moments.reshape(-1, network.plan.parameter_stride)[:, : network.parameters.size]  # without padding
    moments[...] = _unpack(network, vector, is_short)
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


class Now(NamedTuple):
    """Where a trainer stands at the start of a round: `vector_of` it, and numbers of its state."""

    vector: np.ndarray
    state: dict[str, Any]
    is_short: bool


def now_of(trainer: Trainer, is_short: bool) -> Now:
    """Return what `begin` gives to a copy of a trainer."""
    state = {**trainer.state_dict(), "history": _NO_HISTORY, "callbacks": [], "moments": None}
    return Now(vector_of(trainer, is_short), state, is_short)


def begin(trainer: Trainer, now: Now, **changes: Any) -> None:
    """Bring a trainer to the start of a round."""
    moments = _unpack(trainer.network, now.vector, now.is_short)
    trainer.load_state_dict({**now.state, "moments": moments, **changes})


def put(trainer: Trainer, trained: dict[str, Any]) -> None:
    """Give a trainer all that a copy of it became elsewhere; see `taken`."""
    trainer.network.parameters[:] = trained["parameters"]
    trainer.network.state[:] = trained["statistics"]
    trainer.load_state_dict(trained["state"])


def taken(trainer: Trainer) -> dict[str, Any]:
    """Return all that `put` gives to the original of a copy."""
    network = trainer.network
    return {"parameters": network.parameters.copy(), "statistics": network.state.copy(), "state": trainer.state_dict()}


__all__ = [
    "Now", "Start", "alone", "begin", "evaluate_alone", "has_long_rounds", "now_of", "put", "start_of", "state_of",
    "take", "taken", "trainer_of", "vector_of",
]  # fmt: skip
