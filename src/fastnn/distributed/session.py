"""One call of `fit` on a cluster: shards, rounds, and what happens when something goes wrong.

A round is one small graph. Its first task holds what every shard starts from; one task a worker's thread trains that
worker's shards and averages them; the averages meet in a tree; the root comes back, and only then the trainer changes.
Tasks are pure functions of that first task and the shards, so Dask may run any of them again when a worker dies.
"""

import contextlib
import time
import uuid
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.common.interrupts import InterruptGate
from fastnn.distributed import blocks, carrier, tree, work
from fastnn.distributed.outer import OuterStep
from fastnn.inputs.data import DataSpec
from fastnn.training.history import ROUND_LOGS
from fastnn.training.state import EpochStart
from fastnn.training.trainer import Trainer

_POLL_SECONDS = 0.2  # how often a waiting client looks at what is done
_MOST_SHARDS_A_TASK = 8  # so that little is lost with a worker
_MOST_ATTEMPTS = 5  # at a round whose futures Dask has lost


class _StrandedError(Exception):
    """All workers were gone, and tasks wait for those that will not come back."""


class Session:
    """One call of `fit`. Leaving it lets go of everything on the cluster."""

    def __init__(self, client: Any, trainer: Trainer, options: dict[str, Any], hooks: list[Callback]):
        self._client, self._trainer, self._options, self._hooks = client, trainer, options, hooks
        self._name = f"fastnn-{uuid.uuid4().hex[:12]}"
        self._outer = next((hook for hook in hooks if isinstance(hook, OuterStep)), None)
        self._received: dict[str, int] = {}  # bytes that each worker has got from others so far
        self._attempts = 0
        self._threads: dict[str, int] = {}
        self._done: Sequence[Any] = ()  # futures of the round before, which is over
        self._start: Any = None
        self._shards: list[Any] = []
        self._validation: tuple | None = None
        self._validation_shards: list[Any] = []

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._running:  # something may still train
            with contextlib.suppress(Exception):
                self._client.run(work.stop_here, self._name, on_error="ignore")
        self._let_go()

    def _let_go(self) -> None:
        """Have the cluster forget all that this fit holds there."""
        futures = [*self._shards, *self._validation_shards, *self._running, *self._done]
        if self._start is not None:
            futures.append(self._start)
        if self._running:
            self._client.cancel(futures)
        for future in futures:
            future.release()
        self._shards, self._validation_shards, self._running, self._done, self._start = [], [], (), (), None

    # --- data

    _running: Sequence[Any] = ()

    def load(self, data: tuple, cuts: list[range], validation: tuple | None) -> None:
        """Have the workers make the shards, and wait for what their chunks turn out to be."""
        self._data, self._cuts, self._validation = data, cuts, validation
        for attempt in range(_MOST_ATTEMPTS):
            try:
                self._load(f"-load-{attempt}")
                return
            except _StrandedError:
                self._let_go()
        raise RuntimeError("all workers died again and again while X and y were loaded")

    def _load(self, again: str) -> None:
        client, name = self._client, f"{self._name}{again}"
        spec = DataSpec.of(self._trainer.network, self._trainer.loss)
        self._shards, self._owners = blocks.make_shards(client, spec, self._data, self._cuts, name)
        self._placed = set(self._owners) - {""}
        self._start = self._submit(work.open_start, dumps(carrier.start_of(self._trainer)))
        validation = self._validation
        if validation is not None and validation[0] == "there":
            own = blocks.cut(len(validation[1][0]), None)
            self._validation_shards, _ = blocks.make_shards(
                client, spec, validation[1], own, f"{name}-val", "validation "
            )
        notes = client.map(work.describe, [*self._shards, *self._validation_shards], pure=False)
        self._running = notes
        while not self._are_over(notes):
            self._check_stranded()
        try:
            found = client.gather(notes)
        except BaseException as error:
            if isinstance(error, Exception):
                self._explain(error)
            raise
        for note in notes:  # at once, not when the garbage collector comes to it
            note.release()
        self._running = ()
        own = found[: len(self._shards)]
        self._rows, self._owners = [rows for rows, _, _ in own], [worker for _, worker, _ in own]
        for _, worker, received in found:
            self._received[worker] = max(received, self._received.get(worker, 0))
        if not sum(self._rows):
            raise ValueError("X must have at least one sample that weighs something, got none")
        # A single shard has all bits of the plain fit.
        self._decays = carrier.decays_of(self._trainer.optimizer) if sum(map(bool, self._rows)) > 1 else ()
        if self._validation_shards and not sum(rows for rows, _, _ in found[len(self._shards) :]):
            raise ValueError("validation_data must have at least one sample that weighs something, got none")

    # --- rounds

    def run(self, rounds: int) -> None:
        """Train; on_train_end of every callback that began runs in any case."""
        with InterruptGate() as self._gate:
            self._run(rounds)

    def _run(self, rounds: int) -> None:
        trainer, hooks = self._trainer, self._hooks
        state = carrier.state_of(trainer)
        trainer.stop_training = False
        trainer.history.stop_reason = None
        names = ("loss", *(metric.name for metric in trainer.metrics))
        validated = tuple(f"val_{name}" for name in names) if self._validation else ()
        state.log_names = (*names, *validated, *ROUND_LOGS)
        buffer = trainer.network.parameter_buffer
        self._round_start = EpochStart(state, np.empty((1, buffer.size), buffer.dtype), 0)
        for hook in hooks:
            hook.set_trainer(trainer)
        begun: list[Callback] = []
        try:
            self._gate.open()
            for hook in hooks:
                begun.append(hook)
                hook.on_train_begin()
            state.callback_states.begin(hooks)
            for _ in range(rounds):
                self._round()
                if trainer.stop_training:
                    break
            if trainer.stop_training and trainer.history.stop_reason is None:
                trainer.history.stop_reason = "stopped by a callback"
        except KeyboardInterrupt:
            trainer.history.stop_reason = "interrupted"
            warnings.warn("Training was interrupted; the network keeps its last finished round.", stacklevel=3)
        finally:
            self._gate.is_closed = True
            state.epoch_start = None
            trainer.history.drop_unfinished()
            with ExitStack() as endings:  # runs all of them, whichever raises
                endings.callback(state.callback_states.end)
                for hook in reversed(begun):
                    endings.callback(hook.on_train_end)

    def _round(self) -> None:
        trainer, epochs = self._trainer, self._options["epochs"]
        began = time.perf_counter()
        for hook in self._hooks:
            hook.on_epoch_begin(trainer.epochs_done + epochs - 1)
        if trainer.stop_training:
            return
        self._round_start.take()
        part = self._train(dumps(carrier.now_of(trainer, self._decays)))
        problem = next(((r.shard, r.problem) for r in part.reports if r.problem), None)
        if problem is None:
            assert part.vector is not None
            made = carrier.total_of(trainer, part.vector)
            if not all(np.isfinite(array).all() for array in made):
                problem = (-1, "the averaged parameters or moments are not finite")
        if problem is not None:
            self._give_up(*problem)
            return
        if self._outer is not None:
            made[0] = self._outer.step(trainer.network.parameters, made[0])
        reports = [report for report in part.reports if report.shard >= 0]
        logs = work.means(trainer.metrics, [(report.weight, report.logs) for report in reports])
        steps = max(report.steps for report in reports)
        self._gate.is_closed = True  # Ctrl-C finds all of a round or nothing
        carrier.take(trainer, made, trainer.step + steps, trainer.epochs_done + epochs)
        epoch = trainer.epochs_done - 1
        try:
            self._gate.open()
            logs.update(self._validate())
        finally:  # the round is done, whatever becomes of its validation
            seconds = time.perf_counter() - began
            logs.update(self._measures(part.reports, seconds))
            trainer.history.append(epoch, logs, seconds, trainer.learning_rate)
        for hook in self._hooks:
            hook.on_epoch_end(epoch, logs)
        trainer.history.take(logs)

    def _give_up(self, shard: int, problem: str) -> None:
        where = "" if shard < 0 else f"shard {shard} ({self._chunks(shard)}): "
        message = f"{where}{problem}"
        trainer = self._trainer
        trainer.history.stop_reason = message
        trainer.stop_training = True
        if not any([hook.on_divergence(trainer.epochs_done, message) for hook in self._hooks]):
            raise FloatingPointError(f"{message}; the trainer keeps the last finished round.")

    def _train(self, now: bytes) -> work.Part:
        """Have the cluster do one round, again where Dask has lost it."""
        for attempt in range(_MOST_ATTEMPTS):
            self._attempts += 1
            try:
                return self._try(now, f"{self._name}-{self._attempts}")
            except _StrandedError:
                self._let_go()
                self._load(f"-again-{self._attempts}")
            except Exception as error:
                self._explain(error)
                if not _is_cancelled(error) or attempt == _MOST_ATTEMPTS - 1:
                    raise
        raise AssertionError

    def _submit(self, function: Any, *arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self._client.submit(function, *arguments, pure=False)

    def _try(self, now: bytes, name: str) -> work.Part:
        from dask import delayed

        self._threads = threads = blocks.threads_of(self._client)
        mine = {owner: self._owners.count(owner) for owner in set(self._owners)}

        def most(owner: str) -> int:
            return min(_MOST_SHARDS_A_TASK, -(-mine[owner] // threads.get(owner, 1)))

        opened = delayed(work.open_start, pure=False)(now, dask_key_name=f"{name}-start")
        train, merge = delayed(work.train, pure=False), delayed(work.merge_here, pure=False)
        leaves: dict[tuple[int, int], Any] = {}
        for first, last in tree.groups(self._owners, most):
            owner = self._owners[first]
            with blocks.near(owner if owner in threads else ""):
                leaves[first, last] = train(
                    self._start, opened, self._name, first, self._options, self._shards[first:last],
                    dask_key_name=f"{name}-train-{first}",
                )  # fmt: skip

        def meet(first: int, last: int) -> Any:
            if (first, last) in leaves:
                return leaves[first, last]
            at = tree.middle(first, last)
            return merge(meet(first, at), meet(at, last), dask_key_name=f"{name}-merge-{first}-{last}")

        # One message. What the client waits for are the root and, to show what is done, the leaves.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            self._running = self._client.compute([meet(0, len(self._shards)), *leaves.values()], optimize_graph=False)
        for future in self._done:  # not before: a client's messages wait 10 ms after each other
            future.release()
        root, *trained = self._running
        self._done = ()
        rows = [sum(self._rows[first:last]) for first, last in leaves]
        self._wait(root, list(zip(rows, trained, strict=True)))
        part = root.result()
        self._running, self._done = (), self._running
        return part

    def _wait(self, root: Any, trained: list[tuple[int, Any]]) -> None:
        """Wait for the round's end, and show what is done meanwhile."""
        listeners = [hook.on_progress for hook in self._hooks if hook.overrides("on_progress")]
        while not self._are_over(root):
            done = sum(rows for rows, future in trained if future.status == "finished")
            for hook in listeners:
                hook(done, sum(self._rows))
            if any(future.status in ("cancelled", "lost") for _, future in trained):
                return
            self._check_stranded()

    def _are_over(self, futures: Any) -> bool:
        """Wait a moment for futures to be done, or lost, of which `gather` and `result` tell more."""
        from distributed import CancelledError, wait

        try:
            with self._client.as_current():  # `wait` takes no client
                wait(futures, timeout=_POLL_SECONDS)
        except TimeoutError:
            return False
        except CancelledError:
            return True
        return True

    def _check_stranded(self) -> None:
        """Raise where all workers that shards were meant for are gone, and others are there.

        Where a task's worker is gone, Dask takes another, but not one that comes when there was none at all.
        """
        workers = blocks.threads_of(self._client)
        if workers and self._placed and self._placed.isdisjoint(workers):
            raise _StrandedError

    def _validate(self) -> dict[str, float]:
        trainer = self._trainer
        if self._validation is None:
            return {}
        if self._validation[0] == "here":
            X, y, *weights = self._validation[1]
            logs = trainer.evaluate(X, y, sample_weight=weights[0] if weights else None)
            return {f"val_{name}": value for name, value in logs.items()}
        opened = self._submit(work.open_start, dumps(carrier.without_moments(carrier.now_of(trainer, ()))))
        parts = [self._submit(work.evaluate_shard, self._start, opened, shard) for shard in self._validation_shards]
        root = self._submit(work.total_up, self._start, parts, "val_")
        self._running = [opened, *parts, root]
        try:
            logs = root.result()
        except Exception as error:
            self._explain(error)
            raise
        for future in self._running:
            future.release()
        self._running = ()
        return logs

    def _measures(self, reports: Sequence[work.Report], seconds: float) -> dict[str, float]:
        """Return how fast the round was, how many bytes went between workers, and how long threads waited."""
        received: dict[str, int] = {}
        for report in reports:
            received[report.worker] = max(received.get(report.worker, 0), report.received)
            if report.shard >= 0:
                self._owners[report.shard] = report.worker
        known = self._received
        moved = sum(total - known[worker] for worker, total in received.items() if worker in known)
        self._received = {**known, **received}
        n_threads = sum(self._threads.get(worker, 1) for worker in received)
        busy = sum(report.seconds for report in reports)
        return {
            "rows_per_second": sum(report.rows for report in reports) * self._options["epochs"] / seconds,
            "bytes_moved": float(moved),
            "waiting": max(0.0, 1.0 - busy / (seconds * min(n_threads, len(self._shards)))),
        }

    # --- when something goes wrong

    def _chunks(self, shard: int) -> str:
        cut = self._cuts[shard]
        return f"chunk {cut.start}" if len(cut) == 1 else f"chunks {cut.start} to {cut.stop - 1}"

    def _explain(self, error: Exception) -> None:
        """Raise RuntimeError where shards are what was lost; else return."""
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            raise RuntimeError(
                f"workers died again and again at {error.task!r}; their memory may not hold their chunks. "
                "The trainer keeps the last finished round."
            ) from error
        lost = [i for i, shard in enumerate(self._shards) if shard.status in ("cancelled", "lost")]
        if lost:
            names = ", ".join(self._chunks(i) for i in lost)
            raise RuntimeError(
                f"{names} of X, y or sample_weight died with a worker, and Dask knows no way to make that again. "
                "The trainer keeps the last finished round. Data that were scattered are lost with their worker: "
                "load them from files, or scatter several copies."
            ) from error


def _is_cancelled(error: Exception) -> bool:
    from concurrent.futures import CancelledError

    from distributed.client import FutureCancelledError

    return isinstance(error, (CancelledError, FutureCancelledError))


def dumps(start: Any) -> bytes:
    import cloudpickle  # losses and metrics may be functions of the user's

    return cloudpickle.dumps(start, protocol=5)
