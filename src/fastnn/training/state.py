"""What training changes beside the network's parameters. The trainer, its loop, files and callbacks share one of it."""

import secrets
from typing import Any

import numpy as np

from fastnn.common.validation import check_bool, check_integer
from fastnn.engine.workspace import aligned_zeros
from fastnn.model.core import NetworkCore
from fastnn.optimizers import Optimizer
from fastnn.schedules import Constant, Schedule
from fastnn.training.callback_states import CallbackStates
from fastnn.training.history import History


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
    steps_a_call : int
        How many steps fit the time of a kernel call; 0 until that was found out while training.
    """

    network: NetworkCore
    optimizer: Optimizer
    moments: np.ndarray
    step: int
    holds_average: bool

    def __init__(self, network: NetworkCore, optimizer: Optimizer):
        self.network = network
        self.history = History()
        self.epochs_done = 0
        self.log_names: tuple[str, ...] = ()
        self.callback_states = CallbackStates()
        self._stop_training = False
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

    @property
    def stop_training(self) -> bool:
        """Whether training ends: after the current epoch, or within it where a hook within it said so."""
        return self._stop_training

    @stop_training.setter
    def stop_training(self, value: Any) -> None:
        self._stop_training = check_bool("stop_training", value)

    def stop(self, reason: str) -> None:
        """End training, and keep the reason in the history."""
        self._stop_training = True
        self.history.stop_reason = reason
