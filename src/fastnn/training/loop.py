"""The epoch loop of one call of `Trainer.fit`: kernel calls, callbacks, and what happens when something goes wrong."""

import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.engine.entries import shuffle_of
from fastnn.engine.python_loss import make_workspace
from fastnn.engine.team import Team
from fastnn.engine.workspace import Rows, Workspace
from fastnn.inputs.data import Data
from fastnn.kernels import tables
from fastnn.schedules import Schedule
from fastnn.training.arguments import FitOptions
from fastnn.training.evaluation import Evaluation, logs_from_sums
from fastnn.training.snapshot import Snapshot

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer

# A kernel call ends after about this long, so that Ctrl-C, progress bars and time limits work on any data size.
CALL_SECONDS = 0.05

_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: multiples of it are far apart
_MOST_TURNED = 256  # epochs that kernels end by themselves before Python begins one again


def _batch_size(data: Data, options: FitOptions) -> int:
    return data.n_rows if options.batch_size is None else min(options.batch_size, data.n_rows)


def _all_rows(data: Data) -> np.ndarray:
    return np.arange(data.n_rows) if data.rows is None else data.rows.copy()


class TrainingLoop:
    """One call of fit. It writes to the trainer's network, moments, counters and history.

    Parameters
    ----------
    trainer : Trainer
    data : Data
        What is trained on; of a stream, its first block.
    validation : Data or None
        Evaluated after each epoch.
    options : FitOptions
    callbacks : list of Callback
        Called in order, those that run last after the others.
    team : Team
        The threads that share the batches.
    blocks : iterable of Data or None, default None
        What an epoch trains on, block by block, and anew in each epoch; None: `data`.
    watch : callable of (epochs done), or None, default None
        Told after each kernel call how many epochs of this fit are done; True from it ends training.
    """

    def __init__(
        self,
        trainer: "Trainer",
        data: Data,
        validation: Data | None,
        options: FitOptions,
        callbacks: list[Callback],
        team: Team,
        blocks: Iterable[Data] | None = None,
        watch: Callable[[int], bool] | None = None,
    ):
        network = trainer.network
        self._trainer = trainer
        self._data = data
        self._blocks: Iterable[Data] = (data,) if blocks is None else blocks
        self._block = 0
        self._batches_done = 0
        self._rows_before, self._rows_of_epoch = 0, 0  # of the blocks before this one; of a whole epoch, once known
        self._options = options
        self._team = team
        self._callbacks = sorted(callbacks, key=lambda callback: callback.runs_last)
        self._validation = (
            None
            if validation is None
            else Evaluation(network, trainer.loss, trainer.metrics, validation, team, CALL_SECONDS)
        )
        self._n_rows = data.n_rows
        self._batch_size = _batch_size(data, options)
        self._order = _all_rows(data)
        self._shuffle = shuffle_of()
        self._progress_hooks: list[Callable[..., Any]] = []
        # The starts of this epoch and of the one before. The second is kept because an epoch's last update may be what
        # ruins the network: the first loss of the next epoch shows it.
        self._snapshots = np.empty((2, network.parameter_buffer.size), network.dtype)
        self._latest, self._earlier = (Snapshot(trainer, self._snapshots, number) for number in (0, 1))
        self._watch = watch
        self._first_epoch = self._epoch = trainer.epochs_done  # of this fit; of the kernel calls that end some
        self._use(self._make_workspace())
        self._most_turned = 0

    def _use(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._position, self._step, self._failed = workspace.position, workspace.step, workspace.failed
        self._epochs_left, self._epochs_turned = workspace.epochs_left, workspace.epochs_turned
        self._schedule: Schedule | None = None  # what the jobs' learning rate follows
        workspace.set(step=self._trainer.step)

    def _make_workspace(self) -> Workspace:
        trainer, network = self._trainer, self._trainer.network
        plan = network.plan
        workspace = make_workspace(
            trainer.loss, plan, network.dtype, n_rows=self._batch_size, team=self._team,
            holds_batch=plan.has_batch_statistics,
        )  # fmt: skip
        workspace.set_data(self._data.x, self._data.y)
        workspace.set(
            mode=tables.Mode.TRAIN, n_rows=self._data.n_rows, batch_size=self._batch_size, seed=trainer.seed,
            wants_metrics=bool(trainer.metrics), **trainer.loss.job_fields(network.plan.output_activation),
            mixup=trainer.mixup, **trainer.optimizer.job_fields,
        )  # fmt: skip
        return workspace

    def run(self) -> None:
        """Train; on_train_end of every callback that began runs in any case."""
        trainer, callbacks = self._trainer, self._callbacks
        trainer.stop_training = False
        trainer.history.stop_reason = None
        trainer.log_names = self._log_names()
        for callback in callbacks:
            callback.set_trainer(trainer)
        begun: list[Callback] = []
        try:
            for callback in callbacks:
                begun.append(callback)
                callback.on_train_begin()
            trainer.callback_states.begin(callbacks)
            self._run_epochs()
            if trainer.stop_training and trainer.history.stop_reason is None:
                trainer.history.stop_reason = "stopped by a callback"
        except KeyboardInterrupt:
            trainer.history.stop_reason = "interrupted"
            warnings.warn("Training was interrupted; the network keeps the parameters of its last step.", stacklevel=4)
        finally:
            # An interrupt may have come between a kernel's return and what follows it.
            trainer.step = self._step[0]
            trainer.history.drop_unfinished()
            self._record_turned()
            trainer.hold_average(True)
            with ExitStack() as endings:  # runs all of them, whichever raises
                endings.callback(trainer.callback_states.end)
                for callback in reversed(begun):
                    endings.callback(callback.on_train_end)

    def _log_names(self) -> tuple[str, ...]:
        names = ("loss", *(metric.name for metric in self._trainer.metrics))
        return names if self._validation is None else (*names, *(f"val_{name}" for name in names))

    def _listeners(self, hook: str) -> list[Callable[..., Any]]:
        """The callbacks' methods for a hook, so that one that nobody overrides costs nothing."""
        return [getattr(callback, hook) for callback in self._callbacks if callback.overrides(hook)]

    def _run_epochs(self) -> None:
        trainer, clock = self._trainer, time.perf_counter
        network, loss, metrics = trainer.network, trainer.loss, trainer.metrics
        uses_average = trainer.optimizer.use_ema
        parameters_are_finite = Rows.of(network.parameter_buffer.reshape(1, -1)).finite_test(network.dtype)
        self._progress_hooks = self._listeners("on_progress")
        begin_hooks, end_hooks = self._listeners("on_epoch_begin"), self._listeners("on_epoch_end")
        hooks_by_batch = self._listeners("on_train_batch_begin") + self._listeners("on_train_batch_end")
        run_steps = self._run_single_steps if hooks_by_batch else self._run_steps
        self._most_turned = self._find_most_turned()
        if self._most_turned:
            self._workspace.set_records(self._most_turned, self._snapshots)
        last = self._first_epoch + self._options.epochs
        self._look()
        while (epoch := trainer.epochs_done) < last:
            self._began = clock()
            for hook in begin_hooks:
                hook(epoch)
            if trainer.stop_training:
                return
            if uses_average:
                trainer.hold_average(False)
            self._latest, self._earlier = self._earlier, self._latest
            self._latest.take()
            self._workspace.clear()
            self._rows_before = 0
            for block, data in enumerate(self._blocks):
                self._begin_block(epoch, block, data)
                if self._most_turned:
                    self._let_turn(epoch, last)
                run_steps()
                if self._failed[0] or trainer.stop_training:
                    break
                self._rows_before += self._n_rows
            self._rows_of_epoch = self._rows_before
            epoch = trainer.epochs_done  # kernels may have ended some
            if self._failed[0] or not parameters_are_finite():
                self._give_up("the loss" if self._failed[0] == tables.Failure.LOSS else "the parameters", epoch)
                return
            if not self._position[0]:
                return  # stopped before its first batch: nothing to record
            if uses_average:
                trainer.hold_average(True)
            logs = logs_from_sums(self._workspace.totals(), network, loss, metrics, self._data)
            if self._validation is not None:
                logs.update(self._validation.run("val_"))
            trainer.epochs_done = epoch + 1
            trainer.history.append(epoch, logs, clock() - self._began, trainer.learning_rate)
            for hook in end_hooks:
                hook(epoch, logs)
            self._look()
            if trainer.stop_training:
                return

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
                self._workspace.set_data(data.x, data.y)
                self._workspace.set(n_rows=data.n_rows, batch_size=batch_size)
        if (seed := self._order_seed()) is not None:
            self._shuffle(self._order, seed, epoch)
            if data.rows is not None:
                np.take(data.rows, self._order, out=self._order)
        self._workspace.rewind()

    def _order_seed(self) -> int | None:
        """What the order of this block's rows is drawn from; None: they stay as they are."""
        # One batch of all rows keeps their order: another would change rounding only, unless mixup blends neighbours.
        if not self._options.shuffle or (self._batch_size == self._n_rows and self._trainer.mixup == 0.0):
            return None
        # Each block has an order of its own, and the first that of an epoch which is one block.
        return (self._trainer.seed + self._block * _GOLDEN) % 2**64

    def _find_most_turned(self) -> int:
        """How many epochs kernels may end by themselves at a time: none where anybody looks at single ones."""
        trainer = self._trainer
        hooks = ("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_progress")
        looks = (
            any(self._listeners(hook) for hook in hooks)
            or self._validation is not None
            or self._data.rows is not None  # kernels shuffle all rows
            or any(metric.from_sums is None for metric in trainer.metrics)
            or trainer.optimizer.use_ema  # the network holds the average between epochs
            or not isinstance(self._blocks, tuple)  # a stream
            or not self._workspace.can_turn_epochs
        )
        return 0 if looks else min(_MOST_TURNED, self._options.epochs - 1)

    def _let_turn(self, epoch: int, last: int) -> None:
        """Let kernel calls go on after this epoch."""
        self._epoch = epoch
        n_epochs = min(self._most_turned, last - epoch - 1)
        self._workspace.turn_epochs(n_epochs, epoch, self._order_seed(), self._latest.number)

    def _record_turned(self) -> None:
        """Put the epochs that kernels ended since this was called last into the history."""
        trainer = self._trainer
        before, turned = trainer.epochs_done - self._epoch, self._epochs_turned[0]
        if turned <= before:
            return
        # They took the same time each, and the current one a part of it.
        now, n_epochs = time.perf_counter(), turned - before
        seconds = (now - self._began) / (n_epochs + self._position[0] / self._n_rows)
        self._began += n_epochs * seconds
        steps_an_epoch = -(-self._n_rows // self._batch_size)
        if n_epochs % 2:
            self._latest, self._earlier = self._earlier, self._latest
        for record in self._workspace.records[before:turned].tolist():
            logs = logs_from_sums(record, trainer.network, trainer.loss, trainer.metrics, self._data)
            self._earlier.step, self._latest.step = self._latest.step, self._latest.step + steps_an_epoch
            rate = trainer.schedule.rate_at(self._latest.step)
            trainer.epochs_done += 1
            trainer.history.append(trainer.epochs_done - 1, logs, seconds, rate)

    def _look(self) -> None:
        if self._watch is not None and self._watch(self._trainer.epochs_done - self._first_epoch):
            self._trainer.stop("interrupted")

    def _run_steps(self) -> None:
        """Run all batches of one epoch, and of those that kernels go on with, in calls of about CALL_SECONDS."""
        trainer, position, n_rows, clock = self._trainer, self._position, self._n_rows, time.perf_counter
        epochs_left = self._epochs_left
        n_steps = trainer.steps_a_call or self._workspace.first_steps(self._batch_size)
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
                trainer.steps_a_call = n_steps
            for hook in self._progress_hooks:
                self._tell_progress(hook)
            if trainer.stop_training:
                return

    def _run_single_steps(self) -> None:
        """Run all batches of one epoch one by one, with callbacks before and after each."""
        trainer, workspace, n_rows = self._trainer, self._workspace, self._n_rows
        begin_hooks, end_hooks = self._listeners("on_train_batch_begin"), self._listeners("on_train_batch_end")
        sums_before = workspace.totals()
        self._batches_done = self._batches_done if self._block else 0
        first = self._batches_done
        for batch in range(first, first - (-n_rows // self._batch_size)):
            for hook in begin_hooks:
                hook(batch)
            if trainer.stop_training:
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
            if trainer.stop_training:
                return

    def _tell_progress(self, hook: Callable[[int, int], Any]) -> None:
        """Call on_progress with rows done and all rows; of a stream's first epoch, all are those that have come."""
        done = self._rows_before + self._position[0]
        hook(done, max(self._rows_of_epoch, self._rows_before + self._n_rows))

    def _call_kernel(self, n_steps: int) -> int:
        """Do up to `n_steps` steps of the epoch; return how many were done."""
        trainer = self._trainer
        if trainer.schedule is not self._schedule:
            self._schedule = trainer.schedule
            self._workspace.set(**self._schedule.job_fields)
        self._workspace.run(
            n_steps, trainer.network.parameter_buffer, trainer.moments, self._order, self._data.weights
        )  # fmt: skip
        before, trainer.step = trainer.step, self._step[0]
        if self._epochs_turned[0]:
            self._record_turned()
        self._look()
        return trainer.step - before

    def _give_up(self, what: str, epoch: int) -> None:
        """Go back to the last good epoch, and raise FloatingPointError unless a callback takes it upon itself."""
        trainer = self._trainer
        message = f"{what} stopped being finite in epoch {epoch}, step {trainer.step}"
        trainer.history.stop_reason = message
        was_first_batch = self._position[0] == 0 and self._block == 0
        (self._earlier if was_first_batch else self._latest).restore()
        self._workspace.set(step=trainer.step)
        trainer.hold_average(True)
        if not any([hook(epoch, message) for hook in self._listeners("on_divergence")]):
            raise FloatingPointError(
                f"{message}; the network keeps the parameters of its last good epoch. "
                "A smaller learning_rate or scaled features usually help."
            )
