"""The epoch loop of one call of `Trainer.fit`: kernel calls, callbacks, and what happens when something goes wrong."""

import time
import warnings
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastnn.callbacks import Callback
from fastnn.data import Data
from fastnn.engine import Workspace
from fastnn.evaluation import Evaluation, logs_from_sums
from fastnn.kernels import tables
from fastnn.kernels.random import shuffle as fill_permutation
from fastnn.progress import ProgressBar
from fastnn.team import Team

if TYPE_CHECKING:
    from fastnn.trainer import Trainer

# A kernel call ends after about this long, so that Ctrl-C, progress bars and time limits work on any data size.
CALL_SECONDS = 0.05


@dataclass(frozen=True)
class FitOptions:
    """Checked arguments of `fit`."""

    epochs: int
    batch_size: int | None
    shuffle: bool
    n_threads: int | None
    verbose: int


def check_callbacks(callbacks: "Callback | Iterable[Callback]") -> list[Callback]:
    """Return the argument `callbacks` of `fit` as a list, or raise TypeError."""
    checked = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    for i, callback in enumerate(checked):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{i}] must be a fastnn.callbacks.Callback, got {callback!r}")
    return checked


class _Snapshot:
    """What training changes: parameters, moments and the number of updates."""

    def __init__(self, trainer: "Trainer"):
        self._parameters = trainer.network.parameter_buffer.copy()
        self._moments = trainer.moments.copy()
        self._step = trainer.step

    def take(self, trainer: "Trainer") -> None:
        np.copyto(self._parameters, trainer.network.parameter_buffer)
        np.copyto(self._moments, trainer.moments)
        self._step = trainer.step

    def restore(self, trainer: "Trainer") -> None:
        np.copyto(trainer.network.parameter_buffer, self._parameters)
        np.copyto(trainer.moments, self._moments)
        trainer.step = self._step


class TrainingLoop:
    """One call of fit. It writes to the trainer's network, moments, counters and history.

    Parameters
    ----------
    trainer : Trainer
    data : Data
        What is trained on.
    validation : Data or None
        Evaluated after each epoch.
    options : FitOptions
    callbacks : list of Callback
        Called in order.
    team : Team
        The threads that share the batches.
    """

    def __init__(
        self,
        trainer: "Trainer",
        data: Data,
        validation: Data | None,
        options: FitOptions,
        callbacks: list[Callback],
        team: Team,
    ):
        network = trainer.network
        self._trainer = trainer
        self._data = data
        self._options = options
        self._callbacks = callbacks
        self._progress = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
        self._validation = (
            None
            if validation is None
            else Evaluation(network, trainer.loss, trainer.metrics, validation, team, CALL_SECONDS)
        )
        n_rows = data.n_rows
        self._batch_size = n_rows if options.batch_size is None else min(options.batch_size, n_rows)
        self._order = np.arange(n_rows) if data.rows is None else data.rows.copy()
        # The starts of this epoch and of the one before. The second is kept because an epoch's last update may be what
        # ruins the network: the first loss of the next epoch shows it.
        self._latest, self._earlier = _Snapshot(trainer), _Snapshot(trainer)
        self._workspace = self._make_workspace(team)
        jobs = self._workspace.jobs
        # Views of what changes with every call: setting a field by name costs more than a small kernel call.
        self._position, self._step, self._rate = jobs["position"], jobs["step"], jobs["learning_rate"]
        self._step.fill(trainer.step)

    def _make_workspace(self, team: Team) -> Workspace:
        trainer, network = self._trainer, self._trainer.network
        workspace = Workspace(network.plan, network.dtype, n_rows=self._batch_size, team=team)
        workspace.set_data(self._data.x, self._data.y)
        hyperparameters = np.zeros(tables.N_HYPERPARAMETERS)
        values = trainer.optimizer.hyperparameters
        hyperparameters[: len(values)] = values
        workspace.set(
            mode=tables.Mode.TRAIN, n_rows=self._data.n_rows, batch_size=self._batch_size, seed=trainer.seed,
            wants_metrics=bool(trainer.metrics), optimizer=trainer.optimizer.code, hyperparameters=hyperparameters,
            **trainer.loss.job_fields(network.plan.output_activation),
        )  # fmt: skip
        return workspace

    def run(self) -> None:
        """Train; on_train_end of every callback that began runs in any case."""
        trainer = self._trainer
        trainer.stop_training = False
        trainer.history.stop_reason = None
        for callback in self._callbacks:
            callback.set_trainer(trainer)
        begun: list[Callback] = []
        try:
            for callback in self._callbacks:
                begun.append(callback)
                callback.on_train_begin()
            self._run_epochs()
        except KeyboardInterrupt:
            trainer.step = int(self._step[0])
            trainer.history.stop_reason = "interrupted"
            warnings.warn("Training was interrupted; the network keeps the parameters of its last step.", stacklevel=4)
        finally:
            with ExitStack() as endings:  # runs all of them, whichever raises
                for callback in reversed(begun):
                    endings.callback(callback.on_train_end)

    def _run_epochs(self) -> None:
        trainer, parameters = self._trainer, self._trainer.network.parameter_buffer
        first = trainer.epochs_done
        for epoch in range(first, first + self._options.epochs):
            started = time.perf_counter()
            for callback in self._callbacks:
                callback.on_epoch_begin(epoch)
            self._latest, self._earlier = self._earlier, self._latest
            self._latest.take(trainer)
            if self._options.shuffle:
                self._shuffle(epoch)
            self._run_steps(epoch)
            if not np.isfinite(parameters).all():
                self._fail("the parameters", epoch)
            logs = logs_from_sums(self._workspace.totals(), trainer.network, trainer.metrics, self._data)
            if self._validation is not None:
                logs.update(self._validation.run("val_"))
            trainer.epochs_done = epoch + 1
            trainer.history.append(epoch, logs, time.perf_counter() - started)
            for callback in self._callbacks:
                callback.on_epoch_end(epoch, logs)
            if trainer.stop_training:
                trainer.history.stop_reason = trainer.history.stop_reason or "stopped by a callback"
                return

    def _shuffle(self, epoch: int) -> None:
        order, rows = self._order, self._data.rows
        fill_permutation(order, np.uint64(self._trainer.seed), epoch)
        if rows is not None:
            np.take(rows, order, out=order)

    def _run_steps(self, epoch: int) -> None:
        """Run all batches of one epoch, in kernel calls of about CALL_SECONDS."""
        trainer, workspace, position = self._trainer, self._workspace, self._position
        parameters, n_rows = trainer.network.parameter_buffer, self._data.n_rows
        workspace.sums.fill(0.0)
        position.fill(0)
        self._step.fill(trainer.step)
        self._rate.fill(trainer.learning_rate)
        n_steps = trainer.steps_a_call
        while position[0] < n_rows:
            started = time.perf_counter()
            workspace.run(n_steps, parameters, trainer.moments, self._order, self._data.weights)
            seconds = max(time.perf_counter() - started, 1e-9)
            steps_done = int(self._step[0]) - trainer.step
            trainer.step += steps_done
            if workspace.jobs[0]["failed"]:
                self._fail("the loss", epoch)
            for bar in self._progress:
                bar.on_progress(int(position[0]), n_rows)
            if steps_done:
                # At most doubled: the first calls are short, and a machine may become slower.
                n_steps = max(1, min(2 * n_steps, int(steps_done * CALL_SECONDS / seconds)))
                trainer.steps_a_call = n_steps

    def _fail(self, what: str, epoch: int) -> None:
        trainer = self._trainer
        step = trainer.step
        was_first_batch = self._position[0] == 0
        (self._earlier if was_first_batch else self._latest).restore(trainer)
        raise FloatingPointError(
            f"{what} stopped being finite in epoch {epoch}, step {step}; the network keeps the parameters of its last "
            "good epoch. A smaller learning_rate or scaled features usually help."
        )
