"""What training changes beside the network's parameters. The trainer, its loop, files and callbacks share one of it.

`CallbackStates` is what callbacks know when training is cut in two, and to which callback it is given back;
`EpochStart` the parameters that an epoch began with.
"""

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn import callbacks as own_callbacks
from fastnn.callbacks import Callback
from fastnn.common.validation import check_integer
from fastnn.engine.memory import aligned_zeros
from fastnn.engine.workspace import Workspace
from fastnn.model.core import NetworkCore
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.schedules import Constant, Schedule
from fastnn.training.history import History


class CallbackStates:
    """The states of the callbacks: live ones while fit runs, then those it ended with.

    The first fit after a state was loaded gives each callback the state of the one that it stands for: of the same
    class and the same `identity` (what it watches, where it writes), the first such that is left. States without an
    identity, as fastnn 0.1 saved them, go by class alone.
    """

    def __init__(self) -> None:
        self._live: Sequence[Callback] = ()
        self._saved: list[dict[str, Any]] = []
        self._is_loaded = False

    def begin(self, callbacks: Sequence[Callback]) -> None:
        """Hand out a loaded state, and look at these callbacks from now on."""
        left = list(self._saved) if self._is_loaded else []
        for callback in callbacks:
            name, identity = _name_of(callback), callback.identity()
            match = next(
                (entry for entry in left if entry["name"] == name and entry.get("identity", identity) == identity), None
            )
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
        """Return the states, each with the name of its class and what tells its callback from others of the class."""
        if not self._live:
            return list(self._saved)
        return [_entry(callback) for callback in self._live]

    @property
    def are_loaded(self) -> bool:
        """Whether the next fit hands them out."""
        return self._is_loaded

    def restore(self, states: list[dict[str, Any]], *, are_loaded: bool) -> None:
        """Take what `get` and `are_loaded` said."""
        self._saved, self._is_loaded = list(states), are_loaded

    def load(self, states: list[dict[str, Any]]) -> None:
        """Take states for the next fit."""
        self._saved = list(states)
        self._is_loaded = True


def _entry(callback: Callback) -> dict[str, Any]:
    identity = callback.identity()
    own = {"identity": identity} if identity else {}
    return {"name": _name_of(callback), **own, "state": callback.state_dict()}


def _own_class(name: str) -> type[Callback] | None:
    """Return fastnn's own callback of a name."""
    return getattr(own_callbacks, name) if name in own_callbacks.__all__ else None


def _name_of(callback: Callback) -> str:
    """Return what a callback's state is filed under: its class's name, with the module where fastnn's own has it."""
    cls = type(callback)
    own = _own_class(cls.__name__)
    return cls.__name__ if own is None or own is cls else f"{cls.__module__}.{cls.__qualname__}"


def check_callback_states(states: Any, network: Network) -> None:
    """Raise ValueError or TypeError unless these are names and states; those of fastnn's callbacks are looked into."""
    is_sound = isinstance(states, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("state"), dict)
        and isinstance(entry.get("identity", {}), dict)
        for entry in states
    )
    if not is_sound:
        raise ValueError("state['callbacks'] must be a list of names and states")
    for i, entry in enumerate(states):
        own = _own_class(entry["name"])
        if own is not None:
            try:
                own.check_state(entry["state"], network)
            except (ValueError, TypeError) as error:
                raise ValueError(f"state['callbacks'][{i}], of {entry['name']}: {error}") from None


class TrainingState:
    """Moments, counters, rate, seed, averages and history of the training of one network.

    Parameters
    ----------
    network : NetworkCore
        What is trained.
    optimizer : Optimizer
        Its hyperparameters.

    Attributes
    ----------
    moments : ndarray of shape (slots * parameter_stride,)
        The optimizer's running vectors, one after the other.
    step, epochs_done : int
        Updates by this optimizer, and finished epochs.
    history : History
    log_names : tuple of str
        What the logs of the current fit hold.
    holds_average : bool
        With `use_ema`, whether the network holds the average of its parameters; see `hold_average`.
    stop_training : bool
        Whether training ends: after the current epoch, or within it where a hook within it said so.
    steps_a_call : int
        How many steps fit the time of a kernel call; 0 until that was found out while training.
    """

    network: NetworkCore
    optimizer: Optimizer
    moments: np.ndarray
    step: int
    holds_average: bool
    kept_workspace: "KeptWorkspace | None" = None  # of the last short fit, for the next; no part of files and pickles
    epoch_start: "EpochStart | None" = None  # of the epoch that is trained, while one is

    def __init__(self, network: NetworkCore, optimizer: Optimizer):
        self.network = network
        self.history = History()
        self.epochs_done = 0
        self.log_names: tuple[str, ...] = ()
        self.callback_states = CallbackStates()
        self.stop_training = False
        self._seed: int | None = None
        self.use_optimizer(optimizer)

    def use_optimizer(self, optimizer: Optimizer) -> None:
        """Begin with an optimizer: moments of zero, step 0, its own learning rate. Epochs and history go on."""
        self.moments = aligned_zeros(optimizer.slots * self.network.plan.parameter_stride, self.network.dtype)
        self.optimizer = optimizer
        rate = optimizer.learning_rate
        self._optimizer_schedule: Schedule = rate if isinstance(rate, Schedule) else Constant(rate)
        self._assigned_schedule: Constant | None = None
        self.step = 0
        self.holds_average = False
        self.steps_a_call = 0

    # --- the learning rate ------------------------------------------------------------------------------------------

    @property
    def schedule(self) -> Schedule:
        """What the learning rate follows: a number that was assigned, or the optimizer's."""
        return self._assigned_schedule or self._optimizer_schedule

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self.schedule.rate_at(self.step)

    @property
    def assigned_rate(self) -> float | None:
        """The number that stands in for the optimizer's rate or schedule; None if none does."""
        return None if self._assigned_schedule is None else self._assigned_schedule.learning_rate

    def assign_rate(self, value: float | None) -> None:
        """Let a number stand in for the optimizer's rate; None gives that back."""
        if value is None:
            self._assigned_schedule = None
        elif type(value) is not float or value != self.assigned_rate:  # a callback may assign the same each epoch
            self._assigned_schedule = Constant(value)

    # --- averages ---------------------------------------------------------------------------------------------------

    @property
    def average(self) -> np.ndarray:
        """With `use_ema` the last slot of the moments; empty without."""
        size = self.network.plan.parameter_stride if self.optimizer.use_ema else 0
        return self.moments[self.moments.size - size :]

    def hold_average(self, wanted: bool) -> None:
        """With `use_ema`, have the network hold the average of its parameters, or the parameters that are trained.

        The other of the two lies in the last slot of the moments meanwhile. `fit` ends with the average in place.
        """
        if not self.optimizer.use_ema or self.step == 0 or wanted == self.holds_average:
            return
        kept = self.average
        held = self.network.parameter_buffer[: kept.size]
        held[:], kept[:] = kept.copy(), held.copy()
        self.holds_average = wanted

    # --- random numbers ---------------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """Key of all random numbers of training: the one set, else the network's, else a fresh one that stays."""
        if self._seed is None:
            self._seed = secrets.randbits(63) if self.network.seed is None else self.network.seed
        return self._seed

    @seed.setter
    def seed(self, value: Any) -> None:
        self._seed = check_integer("seed", value, 0, 2**63 - 1)

    @property
    def own_seed(self) -> int | None:
        """The seed, None where none was set or needed yet."""
        return self._seed

    # --- the end of training ----------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End training, and keep the reason in the history."""
        self.stop_training = True
        self.history.stop_reason = reason


class KeptWorkspace(NamedTuple):
    """The memory of a fit, and what its jobs are set up for."""

    workspace: Workspace
    task: object
    optimizer: Optimizer


class EpochStart:
    """Parameters, and the number of updates that made them, to go back to where training fails.

    Moments are not kept, to save memory: where training returns to an epoch's start they begin again from zero, but
    for an average of the parameters. Copies go through views of the memory, the quickest way for small vectors.

    Parameters
    ----------
    state : TrainingState
    memory : ndarray of shape (n, parameter_buffer.size)
        Room for the parameters of some epochs' starts. Kernels that fuse epochs write to it too.
    number : int
        The row that belongs to this one.
    """

    def __init__(self, state: TrainingState, memory: np.ndarray, number: int):
        self._state = state
        parameters, average = state.network.parameter_buffer, state.average
        self.number = number
        self._of_network, self._of_average = parameters.data, average.data
        self._parameters, self._average = memory[number].data, average.copy().data
        self.step, self._holds_average = state.step, state.holds_average
        self._parameters[:] = self._of_network

    def take(self) -> None:
        """Keep what the network and the state have now."""
        state = self._state
        self._parameters[:] = self._of_network
        self.step, state.epoch_start = state.step, self
        if state.optimizer.use_ema:
            self._average[:] = self._of_average
            self._holds_average = state.holds_average

    def copy_to(self, out: np.ndarray) -> None:
        """Write the network's buffer as it was between epochs: with the average, where there is one."""
        out[:] = self._parameters
        if self._state.optimizer.use_ema and self.step:
            out[: len(self._average)] = self._average

    def restore(self) -> None:
        """Give it back."""
        state = self._state
        self._of_network[:] = self._parameters
        state.moments.fill(0.0)
        self._of_average[:] = self._average
        state.step, state.holds_average = self.step, self._holds_average
