"""The epoch loop of one call of `GAN.fit`: kernel calls, callbacks, and what happens when something goes wrong.

`Signs` are the signs of that.
"""

import math
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fastnn.callbacks import Callback
from fastnn.engine.adversaries import Adversaries
from fastnn.engine.entries import shuffle_of
from fastnn.engine.rows import Rows
from fastnn.engine.team import Team
from fastnn.schedules import Schedule
from fastnn.training.adversarial.task import GanTask
from fastnn.training.hooks import HookedTraining
from fastnn.training.loop import GOLDEN
from fastnn.training.state import EpochStart, TrainingState

_LEAST_EPOCHS = 3
_LEAST_STEPS = 300  # before which a generator has had no time to learn
_ALWAYS_RIGHT = 0.995
_HARDLY_ANY = 0.02  # of the variance of real samples

_MESSAGES = {
    "discriminator always right": (
        "it has told real samples from made ones in {share:.1%} of cases for {steps} steps, so that the generator "
        "learns little. label_smoothing=0.1, a lower learning rate of the discriminator, dropout in it, or a smaller "
        "one usually help"
    ),
    "collapse": (
        "made samples have had {share:.2%} of the variance of real ones for {steps} steps: the generator makes nearly "
        "the same sample of all noise. A lower learning rate, beta_1=0.5 in Adam, normalization in the generator, or "
        "loss='wasserstein' with gradient_penalty=10 usually help"
    ),
}


class Signs:
    """What the epochs of one fit have shown so far."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, int]] = {}  # epochs and steps for which a sign has been there
        self._told: set[str] = set()

    def look(self, logs: dict[str, float], steps: int) -> None:
        """Look at the logs of an epoch of so many steps."""
        diversity = logs.get("diversity", math.nan)
        right = min(logs.get("real_accuracy", 0.0), logs.get("made_accuracy", 0.0))
        self._note("discriminator always right", right >= _ALWAYS_RIGHT, right, steps)
        self._note("collapse", diversity < _HARDLY_ANY, diversity, steps)

    def _note(self, name: str, is_there: bool, share: float, steps: int) -> None:
        epochs, before = self._since.get(name, (0, 0))
        epochs, steps = (epochs + 1, before + steps) if is_there else (0, 0)
        self._since[name] = epochs, steps
        if epochs >= _LEAST_EPOCHS and steps >= _LEAST_STEPS and name not in self._told:
            self._told.add(name)
            message = _MESSAGES[name].format(share=share, steps=steps)
            warnings.warn(f"{name}: {message}", UserWarning, stacklevel=6)


CALL_SECONDS = 0.05  # about as long as a kernel call lasts: Ctrl-C and progress wait for its end
_MOST_LOOKED_AT = 1024  # real samples whose variance stands for that of all
_N_PROBES = 128  # samples that are made after each epoch to compare with them


@dataclass(frozen=True)
class GanData:
    """What `fit` was given, checked; of a stream its first block, and all of them."""

    x: Rows
    conditions: Rows | None
    epochs: int
    batch_size: int
    blocks: Iterable[tuple[Rows, Rows | None]] | None = None


class AdversarialLoop(HookedTraining):
    """One call of fit. It changes both networks and both training states.

    Parameters
    ----------
    task : GanTask
    maker, judge : TrainingState
        Of the generator, whose history and callbacks are those of the training, and of the discriminator.
    data : GanData
    callbacks : list of Callback
        They know their trainer.
    team : Team
    """

    _keepers = "the networks keep the parameters of their"

    def __init__(
        self, task: GanTask, maker: TrainingState, judge: TrainingState, data: GanData, callbacks: list[Callback],
        team: Team,
    ):  # fmt: skip
        self._task, self._state, self._judge, self._data = task, maker, judge, data
        self._states = (maker, judge)
        self._callbacks = sorted(callbacks, key=lambda callback: callback.runs_last)
        self._blocks = data.blocks or ((data.x, data.conditions),)
        self._x: Rows | None = None
        self._rows_before = 0  # of the blocks before this one
        self._adversaries = Adversaries(
            task.generator.plan, task.discriminator.plan, task.dtype, batch_size=data.batch_size, team=team,
            noise=task.noise, loss=task.loss, settings=task.settings,
        )  # fmt: skip
        self._adversaries.set(seed=maker.seed)
        self._workspaces = (self._adversaries.maker, self._adversaries.judge)
        for state, workspace in zip(self._states, self._workspaces, strict=True):
            workspace.set(step=state.step, **state.optimizer.job_fields)
        self._schedules: list[Schedule | None] = [None, None]
        self._shuffle = shuffle_of()
        # The starts of this epoch and of the one before, whose last update may be what ruined a network.
        memories = [np.empty((2, state.network.parameter_buffer.size), task.dtype) for state in self._states]
        pairs = zip(self._states, memories, strict=True)
        starts = [[EpochStart(state, memory, number) for number in (0, 1)] for state, memory in pairs]
        self._latest, self._earlier = ([start[number] for start in starts] for number in (0, 1))
        buffers = (Rows.of(state.network.parameter_buffer.reshape(1, -1)) for state in self._states)
        self._finite_tests = [rows.finite_test(task.dtype) for rows in buffers]
        self._first_epoch = maker.epochs_done
        self._n_recorded_before = len(maker.history.epoch)
        self._signs = Signs()
        self._real_spread = self._spread_of_real()
        maker.log_names = task.log_names

    def _spread_of_real(self) -> float:
        """Return the variance of some real samples, summed over their numbers."""
        some = self._data.x.array[:: -(-self._data.x.n_rows // _MOST_LOOKED_AT)]
        some = (some.toarray() if hasattr(some, "toarray") else some).astype(np.float64)
        some -= some.mean(axis=0)
        return float(np.einsum("ij,ij->", some, some)) / len(some)  # `var` takes three times as long

    def _settle(self) -> None:
        self._count_steps()
        self._state.history.drop_unfinished()
        n_epochs = len(self._state.history.epoch) - self._n_recorded_before
        for state in self._states:
            state.epochs_done = self._first_epoch + n_epochs
            state.hold_average(True)
            state.epoch_start = None

    def _count_steps(self) -> None:
        for state, workspace in zip(self._states, self._workspaces, strict=True):
            state.step = workspace.step[0]

    def _run_epochs(self) -> None:
        state, clock = self._state, time.perf_counter
        begin_hooks, end_hooks = self._listeners("on_epoch_begin"), self._listeners("on_epoch_end")
        self._progress_hooks = self._listeners("on_progress")
        self._batch_hooks = self._listeners("on_train_batch_begin"), self._listeners("on_train_batch_end")
        last = self._first_epoch + self._data.epochs
        for epoch in range(self._first_epoch, last):
            began = clock()
            for hook in begin_hooks:
                hook(epoch)
            if state.stop_training:
                return
            for each in self._states:
                each.hold_average(False)
            self._latest, self._earlier = self._earlier, self._latest
            for start in self._latest:
                start.take()
            steps_before = self._judge.step
            self._adversaries.begin()
            self._rows_before = self._batches_before = 0
            for block, (x, conditions) in enumerate(self._blocks):
                self._begin_block(epoch, block, x, conditions)
                self._run_steps()
                if self._has_failed or state.stop_training:
                    break
                self._rows_before += self._n_rows
                self._batches_before -= -self._n_rows // self._batch_size
            if not self._is_sound(epoch):
                return
            if not self._rows_before + self._adversaries.position[0]:
                return  # stopped before its first batch: nothing to record
            for each in self._states:
                each.hold_average(True)
            logs = self._logs()
            state.history.append(epoch, logs, clock() - began, state.learning_rate)
            for each in self._states:
                each.epochs_done = epoch + 1
            self._signs.look(logs, self._judge.step - steps_before)
            for hook in end_hooks:
                hook(epoch, logs)
            if end_hooks:
                state.history.take(logs)
            if state.stop_training:
                return

    def _begin_block(self, epoch: int, block: int, x: Rows, conditions: Rows | None) -> None:
        """Make a block's samples ready for their steps, each in an order of its own."""
        self._n_rows = x.n_rows
        self._batch_size = min(self._data.batch_size, x.n_rows)
        if x is not self._x:
            self._x = x
            self._adversaries.set_data(x, conditions, self._batch_size)
        self._adversaries.judge.rewind()
        self._order = np.arange(x.n_rows)
        if self._batch_size < x.n_rows:
            self._shuffle(self._order, (self._state.seed + block * GOLDEN) % 2**64, epoch)

    def _logs(self) -> dict[str, float]:
        totals = self._adversaries.totals()
        totals["diversity"] = self._diversity()
        return {name: totals[name] for name in self._task.log_names}

    def _diversity(self) -> float:
        """The variance of made samples over that of real ones."""
        n = _N_PROBES if self._data.conditions is None else min(_N_PROBES, self._n_rows)
        return self._adversaries.spread(n) / (self._real_spread or math.nan)

    # --- steps ------------------------------------------------------------------------------------------------------

    def _run_steps(self) -> None:
        """Run all batches of one epoch, in calls of about CALL_SECONDS, or one by one where callbacks want it."""
        state, position, clock = self._state, self._adversaries.position, time.perf_counter
        begin_hooks, end_hooks = self._batch_hooks
        one_by_one = bool(begin_hooks or end_hooks)
        n_steps = 1 if one_by_one else state.steps_a_call or self._adversaries.first_steps
        while position[0] < self._n_rows and not self._has_failed:
            batch = self._batches_before + position[0] // self._batch_size
            for hook in begin_hooks:
                hook(batch)
            if state.stop_training:
                return
            started, before = clock(), self._judge.step
            self._call_kernel(n_steps)
            seconds, steps_done = clock() - started, self._judge.step - before
            if not one_by_one and (steps_done == n_steps or n_steps * seconds > steps_done * CALL_SECONDS):
                n_steps = max(1, min(2 * n_steps, int(steps_done * CALL_SECONDS / max(seconds, 1e-9))))
                state.steps_a_call = n_steps
            if end_hooks and not self._has_failed:
                logs = self._adversaries.totals()
                for hook in end_hooks:
                    hook(batch, {name: logs[name] for name in self._task.log_names if name in logs})
            for hook in self._progress_hooks:
                hook(self._rows_before + position[0], self._rows_before + self._n_rows)
            if state.stop_training:
                return

    def _call_kernel(self, n_steps: int) -> None:
        if self._gate is not None and self._gate.is_closed:  # a hook has caught the last KeyboardInterrupt
            self._gate.open()
        for i, (state, workspace) in enumerate(zip(self._states, self._workspaces, strict=True)):
            if state.schedule is not self._schedules[i]:
                self._schedules[i] = state.schedule
                workspace.set(**state.schedule.job_fields)
        maker, judge = ((state.network.parameter_buffer, state.moments) for state in self._states)
        self._adversaries.run(n_steps, maker, judge, self._order)
        self._count_steps()

    # --- when something goes wrong ----------------------------------------------------------------------------------

    @property
    def _has_failed(self) -> bool:
        return bool(self._adversaries.failed[0]) or self._adversaries.generator_failed

    def _is_sound(self, epoch: int) -> bool:
        """Whether losses and parameters are finite; otherwise go back to the last good epoch and raise, or tell."""
        if self._has_failed:
            name = "generator" if self._adversaries.generator_failed else "discriminator"
            what = f"the {name}'s loss"
        else:
            are_finite = [test() for test in self._finite_tests]
            if all(are_finite):
                return True
            what = f"the {'discriminator' if are_finite[0] else 'generator'}'s parameters"
        message = f"divergence: {what} stopped being finite in epoch {epoch}, step {self._judge.step}"
        self._state.history.stop_reason = message
        was_first_batch = self._rows_before + self._adversaries.position[0] == 0
        for start in self._earlier if was_first_batch else self._latest:
            start.restore()
        for state, workspace in zip(self._states, self._workspaces, strict=True):
            workspace.set(step=state.step)
            state.hold_average(True)
        if not any([hook(epoch, message) for hook in self._listeners("on_divergence")]):
            raise FloatingPointError(
                f"{message}; the networks keep the parameters of their last good epoch. Lower learning rates, "
                "beta_1=0.5 in Adam or scaled samples usually help."
            )
        return False
