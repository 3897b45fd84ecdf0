"""The epoch loop of one call of `Trainer.fit`: kernel calls, callbacks, and what happens when something goes wrong.

Where nobody looks at single epochs, a kernel call goes on with the next epoch by itself; such epochs are called fused.
The kernel leaves a record of sums for each, from which the loop writes the history afterwards.
"""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.engine.entries import shuffle_of
from fastnn.engine.python_loss import make_workspace
from fastnn.engine.rows import Rows
from fastnn.engine.team import Team
from fastnn.engine.workspace import Workspace
from fastnn.inputs.data import Data
from fastnn.kernels import tables
from fastnn.schedules import Schedule
from fastnn.training.arguments import FitOptions
from fastnn.training.evaluation import Evaluation, Task, logs_from_sums
from fastnn.training.hooks import HookedTraining
from fastnn.training.state import EpochStart, KeptWorkspace, TrainingState

# A kernel call ends after about this long, so that Ctrl-C, progress bars and time limits work on any data size.
CALL_SECONDS = 0.05

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it are far apart
_MOST_KEPT_BYTES = 2**18
_MOST_FUSED = 256  # epochs that a kernel call goes on with before Python begins one again


def _batch_size(data: Data, options: FitOptions) -> int:
    return data.n_rows if options.batch_size is None else min(options.batch_size, data.n_rows)


def _all_rows(data: Data) -> np.ndarray:
    return np.arange(data.n_rows) if data.rows is None else data.rows.copy()


class TrainingLoop(HookedTraining):
    """One call of fit. It changes the task's network and the training state.

    Parameters
    ----------
    task : Task
    state : TrainingState
    data : Data
        What is trained on; of a stream, its first block.
    validation : Data or None
        Evaluated after epochs.
    options : FitOptions
    callbacks : list of Callback
        Called in order, those that run last after the others. They know their trainer.
    team : Team
        The threads that share the batches.
    blocks : iterable of Data or None, default None
        What an epoch trains on, block by block, and anew in each epoch; None: `data`.
    watch : callable of (epochs done), or None, default None
        Told after each kernel call how many epochs of this fit are done; training ends where it returns True.
    """

    def __init__(
        self,
        task: Task,
        state: TrainingState,
        data: Data,
        validation: Data | None,
        options: FitOptions,
        callbacks: list[Callback],
        team: Team,
        blocks: Iterable[Data] | None = None,
        watch: Callable[[int], bool] | None = None,
    ):
        network = task.network
        self._task, self._state = task, state
        self._data = data
        self._blocks: Iterable[Data] = (data,) if blocks is None else blocks
        self._block = 0
        self._batches_done = 0
        self._rows_before, self._rows_of_epoch = 0, 0  # of the blocks before this one; of a whole epoch, once known
        self._options = options
        self._team = team
        self._callbacks = sorted(callbacks, key=lambda callback: callback.runs_last)
        self._validation = None if validation is None else Evaluation(task, validation, team, CALL_SECONDS)
        self._n_rows = data.n_rows
        self._batch_size = _batch_size(data, options)
        self._order = _all_rows(data)
        self._shuffle = shuffle_of()
        self._progress_hooks: list[Callable[..., Any]] = []
        # The starts of this epoch and of the one before. The second is kept because an epoch's last update may be what
        # ruins the network: the first loss of the next epoch shows it.
        self._epoch_starts = np.empty((2, network.parameter_buffer.size), network.dtype)
        self._latest, self._earlier = (EpochStart(state, self._epoch_starts, number) for number in (0, 1))
        self._watch = watch
        self._first_epoch = state.epochs_done
        self._n_recorded_before = len(state.history.epoch)
        self._epoch = state.epochs_done  # the one with which the current kernel calls began; others are fused to it
        self._most_fused = 0
        self._has_failed = False
        self._use(self._make_workspace())
        names = ("loss", *(metric.name for metric in task.metrics))
        state.log_names = names if validation is None else (*names, *(f"val_{name}" for name in names))

    def _use(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._position, self._step, self._failed = workspace.position, workspace.step, workspace.failed
        self._epochs_left, self._epochs_fused = workspace.epochs_left, workspace.epochs_fused
        self._schedule: Schedule | None = None  # what the jobs' learning rate follows
        workspace.set(step=self._state.step)

    def _make_workspace(self) -> Workspace:
        task, state, network, plan = self._task, self._state, self._task.network, self._task.network.plan
        kept, state.kept_workspace = state.kept_workspace, None
        if (
            kept is not None and kept.task is task and kept.optimizer is state.optimizer
            and kept.workspace.n_rows == self._batch_size and self._team.n_threads == 1
        ):  # fmt: skip
            workspace = kept.workspace
        else:
            workspace = make_workspace(
                task.loss, plan, network.dtype, n_rows=self._batch_size, team=self._team,
                holds_batch=plan.has_batch_statistics,
            )  # fmt: skip
            workspace.set(
                mode=tables.Mode.TRAIN, wants_metrics=bool(task.metrics), mixup=task.mixup,
                **task.loss.job_fields(plan.output_activation), **state.optimizer.job_fields,
            )  # fmt: skip
            workspace.mark(parameters=network.parameter_buffer, moments=state.moments)
        workspace.set_data(self._data.x, self._data.y, self._data.lengths)
        workspace.set(n_rows=self._data.n_rows, batch_size=self._batch_size, seed=state.seed)
        if plan.carried_units:
            workspace.carry(network.carried_for(self._batch_size))
        return workspace

    def _keep_workspace(self) -> None:
        """Leave the memory to the trainer's next fit where it is little: to make it is a third of a short fit."""
        workspace = self._workspace
        if (
            type(workspace) is Workspace and self._team.n_threads == 1 and workspace.n_bytes <= _MOST_KEPT_BYTES
            and not self._has_failed
        ):  # fmt: skip
            workspace.renew()  # it holds nobody's data
            self._state.kept_workspace = KeptWorkspace(workspace, self._task, self._state.optimizer)

    def _settle(self) -> None:
        state = self._state
        state.step, state.epoch_start = self._step[0], None
        state.history.drop_unfinished()
        self._count_epochs()
        self._record_fused()
        state.hold_average(True)

    def _count_epochs(self) -> None:
        """Take those epochs for done that the history has."""
        state = self._state
        state.epochs_done = self._first_epoch + len(state.history.epoch) - self._n_recorded_before

    def _run_epochs(self) -> None:
        task, state, clock = self._task, self._state, time.perf_counter
        network = task.network
        uses_average = state.optimizer.use_ema
        parameters_are_finite = Rows.of(network.parameter_buffer.reshape(1, -1)).finite_test(network.dtype)
        self._progress_hooks = self._listeners("on_progress")
        begin_hooks, end_hooks = self._listeners("on_epoch_begin"), self._listeners("on_epoch_end")
        hooks_by_batch = self._listeners("on_train_batch_begin") + self._listeners("on_train_batch_end")
        run_steps = self._run_single_steps if hooks_by_batch else self._run_steps
        self._most_fused = self._find_most_fused()
        if self._most_fused:
            self._workspace.set_records(self._most_fused, self._epoch_starts)
        last = self._first_epoch + self._options.n_epochs
        self._poll_watch()
        while (epoch := state.epochs_done) < last:
            self._began = clock()
            for hook in begin_hooks:
                hook(epoch)
            if state.stop_training:
                return
            if uses_average:
                state.hold_average(False)
            self._latest, self._earlier = self._earlier, self._latest
            self._latest.take()
            self._workspace.clear()
            self._rows_before = 0
            for block, data in enumerate(self._blocks):
                self._begin_block(epoch, block, data)
                if self._most_fused:
                    self._let_fuse(epoch, last)
                run_steps()
                if self._failed[0] or state.stop_training:
                    break
                self._rows_before += self._n_rows
            self._rows_of_epoch = self._rows_before
            epoch = state.epochs_done  # fused epochs are done by now
            if self._failed[0] or not parameters_are_finite():
                self._give_up("the loss" if self._failed[0] == tables.Failure.LOSS else "the parameters", epoch)
                return
            if not self._position[0]:
                return  # stopped before its first batch: nothing to record
            if uses_average:
                state.hold_average(True)
            self._end_epoch(epoch, end_hooks)
            if self._watch is not None:
                self._poll_watch()
            if state.stop_training:
                return

    def _end_epoch(self, epoch: int, hooks: list[Callable[..., Any]]) -> None:
        """Evaluate an epoch, record it, and tell callbacks."""
        state = self._state
        logs = logs_from_sums(self._workspace.totals(), self._task, self._data)
        if self._validation is not None and (epoch + 1) % self._options.validation_freq == 0:
            logs.update(self._validation.run("val_"))
        state.history.append(epoch, logs, time.perf_counter() - self._began, state.learning_rate)
        state.epochs_done = epoch + 1
        if hooks:
            before = logs.copy()
            for hook in hooks:
                hook(epoch, logs)
            if logs != before:
                state.history.take(logs)

    def _begin_block(self, epoch: int, block: int, data: Data) -> None:
        """Make a block ready for its steps."""
        self._block = block
        if data is not self._data:
            batch_size = _batch_size(data, self._options)
            is_larger = batch_size > self._batch_size
            self._data, self._batch_size, self._order = data, batch_size, _all_rows(data)
            self._n_rows = data.n_rows
            if is_larger:
                sums = self._workspace.sums
                self._use(self._make_workspace())
                np.copyto(self._workspace.sums, sums)
            else:
                self._workspace.set_data(data.x, data.y, data.lengths)
                self._workspace.set(n_rows=data.n_rows, batch_size=batch_size)
        if (seed := self._order_seed()) is not None:
            self._shuffle(self._order, seed, epoch)
            if data.rows is not None:
                np.take(data.rows, self._order, out=self._order)
        self._workspace.rewind()

    def _order_seed(self) -> int | None:
        """What the order of this block's rows is drawn from; None: they stay as they are."""
        # One batch of all rows keeps their order: another would change rounding only, unless mixup blends neighbours.
        if not self._options.shuffle or (self._batch_size == self._n_rows and self._task.mixup == 0.0):
            return None
        # Each block has an order of its own, and the first that of an epoch which is one block.
        return (self._state.seed + self._block * GOLDEN) % 2**64

    # --- fused epochs -----------------------------------------------------------------------------------------------

    def _find_most_fused(self) -> int:
        """How many epochs a kernel call may go on with: none where anybody looks at single ones."""
        hooks = ("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_progress")
        looks_at_epochs = (
            any(self._listeners(hook) for hook in hooks)
            or self._validation is not None
            or self._data.rows is not None  # kernels shuffle all rows
            or any(metric.from_sums is None for metric in self._task.metrics)
            or self._state.optimizer.use_ema  # the network holds the average between epochs
            or not isinstance(self._blocks, tuple)  # a stream
            or not self._workspace.can_fuse_epochs
        )
        return 0 if looks_at_epochs else min(_MOST_FUSED, self._options.n_epochs - 1)

    def _let_fuse(self, epoch: int, last: int) -> None:
        """Let kernel calls go on with the epochs after this one."""
        self._epoch = epoch
        n_epochs = min(self._most_fused, last - epoch - 1)
        self._workspace.fuse_epochs(n_epochs, epoch, self._order_seed(), self._latest.number)

    def _record_fused(self) -> None:
        """Put the fused epochs that were done since this was called last into the history."""
        task, state = self._task, self._state
        before, done = state.epochs_done - self._epoch, self._epochs_fused[0]
        if done <= before:
            return
        # They took the same time each, and the current one a part of it.
        now, n_epochs = time.perf_counter(), done - before
        seconds = (now - self._began) / (n_epochs + self._position[0] / self._n_rows)
        self._began += n_epochs * seconds
        steps_an_epoch = -(-self._n_rows // self._batch_size)
        if n_epochs % 2:
            self._latest, self._earlier = self._earlier, self._latest
        for record in self._workspace.records[before:done].tolist():
            logs = logs_from_sums(record, task, self._data)
            self._earlier.step, self._latest.step = self._latest.step, self._latest.step + steps_an_epoch
            rate = state.schedule.rate_at(self._latest.step)
            state.history.append(state.epochs_done, logs, seconds, rate)
            state.epochs_done += 1

    # --- steps ------------------------------------------------------------------------------------------------------

    def _poll_watch(self) -> None:
        """Tell whoever watches how far this fit is, and stop where it says so."""
        if self._watch is not None and self._watch(self._state.epochs_done - self._first_epoch):
            self._state.stop("interrupted")

    def _run_steps(self) -> None:
        """Run all batches of one epoch, and of those fused to it, in calls of about CALL_SECONDS."""
        state, position, n_rows, clock = self._state, self._position, self._n_rows, time.perf_counter
        epochs_left = self._epochs_left
        n_steps = state.steps_a_call or self._workspace.first_steps(self._batch_size)
        while position[0] < n_rows or epochs_left[0]:
            started = clock()
            steps_done = self._call_kernel(n_steps)
            if self._failed[0]:
                return
            seconds = clock() - started
            # Where a call did fewer steps than it was allowed, and all would fit the time, there is nothing to correct.
            if steps_done == n_steps or n_steps * seconds > steps_done * CALL_SECONDS:
                # At most doubled: the first calls are short, and a machine may become slower.
                n_steps = max(1, min(2 * n_steps, int(steps_done * CALL_SECONDS / max(seconds, 1e-9))))
                state.steps_a_call = n_steps
            for hook in self._progress_hooks:
                self._tell_progress(hook)
            if state.stop_training:
                return

    def _run_single_steps(self) -> None:
        """Run all batches of one epoch one by one, with callbacks before and after each."""
        state, workspace, n_rows = self._state, self._workspace, self._n_rows
        begin_hooks, end_hooks = self._listeners("on_train_batch_begin"), self._listeners("on_train_batch_end")
        sums_before = workspace.totals()
        self._batches_done = self._batches_done if self._block else 0
        first = self._batches_done
        for batch in range(first, first - (-n_rows // self._batch_size)):
            for hook in begin_hooks:
                hook(batch)
            if state.stop_training:
                return
            self._call_kernel(1)
            if self._failed[0]:
                return
            sums = workspace.totals()
            loss, weight = (sums[i] - sums_before[i] for i in (tables.Sum.LOSS, tables.Sum.WEIGHT))
            sums_before = sums
            self._batches_done = batch + 1
            logs = {"loss": loss / weight if weight else 0.0}
            for hook in end_hooks:
                hook(batch, logs)
            for hook in self._progress_hooks:
                self._tell_progress(hook)
            if state.stop_training:
                return

    def _tell_progress(self, hook: Callable[[int, int], Any]) -> None:
        """Call on_progress with rows done and all rows; of a stream's first epoch, all are those that have come."""
        done = self._rows_before + self._position[0]
        hook(done, max(self._rows_of_epoch, self._rows_before + self._n_rows))

    def _call_kernel(self, n_steps: int) -> int:
        """Do up to `n_steps` steps of the epoch; return how many were done."""
        state, gate = self._state, self._gate
        if gate is not None and gate.is_closed:  # a hook has caught the last KeyboardInterrupt
            gate.open()
        if state.schedule is not self._schedule:
            self._schedule = state.schedule
            self._workspace.set(**self._schedule.job_fields)
        self._workspace.run(
            n_steps, self._task.network.parameter_buffer, state.moments, self._order, self._data.weights
        )  # fmt: skip
        before, state.step = state.step, self._step[0]
        if self._epochs_fused[0]:
            self._record_fused()
        if self._watch is not None:
            self._poll_watch()
        return state.step - before

    def _give_up(self, what: str, epoch: int) -> None:
        """Go back to the last good epoch, and raise FloatingPointError unless a callback takes it upon itself."""
        state = self._state
        self._has_failed = True  # so there may be NaN anywhere in the workspace
        message = f"{what} stopped being finite in epoch {epoch}, step {state.step}"
        state.history.stop_reason = message
        self._task.network.reset_state()
        was_first_batch = self._position[0] == 0 and self._block == 0
        (self._earlier if was_first_batch else self._latest).restore()
        self._workspace.set(step=state.step)
        state.hold_average(True)
        if not any([hook(epoch, message) for hook in self._listeners("on_divergence")]):
            raise FloatingPointError(
                f"{message}; the network keeps the parameters of its last good epoch. "
                "A smaller learning_rate or scaled features usually help."
            )
