"""`fit_many` and `tune` on a cluster: a task a network, the data once on each worker."""

import copy
import itertools
import pickle
import threading
import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any

from fastnn.callbacks import Callback
from fastnn.distributed import blocks, carrier, session, work
from fastnn.distributed.rounds import check_workers
from fastnn.training.arguments import FitOptions
from fastnn.training.trainer import Trainer

_FIT_OPTIONS = (
    "epochs", "batch_size", "validation_data", "validation_split", "validation_freq", "sample_weight", "class_weight",
    "shuffle", "initial_epoch", "seed",
)  # fmt: skip


def fit_on_workers(
    client: Any, members: Sequence[Trainer], X: Any, y: Any, options: FitOptions, callbacks: list[Callback]
) -> dict[int, FloatingPointError]:
    """Fit every member in a task of its own, and give it what it became; return the errors of those that diverged.

    Parameters
    ----------
    client : distributed.Client
    members : sequence of Trainer
    X, y : array-like
        As for `fastnn.fit_many`, checked.
    options : FitOptions
        Checked.
    callbacks : list of Callback
        Copied for each member; they run on the workers, so what they keep stays there.
    """
    client = blocks.get_client(client)
    check_workers(client)
    name = f"fastnn-{uuid.uuid4().hex[:12]}"
    given = {key: getattr(options, key) for key in _FIT_OPTIONS}
    # The largest first, so that nobody is left with a large one when the others are done.
    order = sorted(range(len(members)), key=lambda index: -members[index].network.n_parameters)
    futures: list[Any] = []
    diverged: dict[int, FloatingPointError] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        data = client.submit(work.open_start, session.dumps((X, y, given, callbacks)), key=f"{name}-data", pure=False)
    try:
        for index in order:
            blob = session.dumps((carrier.start_of(members[index]), carrier.taken(members[index])))
            futures.append(client.submit(_fit_one, blob, data, name, key=f"{name}-{index}", pure=False))
        for index, (trained, error) in zip(order, client.gather(futures), strict=True):
            carrier.put(members[index], trained)
            if error is not None:
                diverged[index] = error
    except BaseException as error:
        client.run(work.stop_here, name, on_error="ignore")
        client.cancel([*futures, data])
        if not isinstance(error, KeyboardInterrupt):
            raise
        for member in members:
            member.history.stop_reason = "interrupted"
        warnings.warn("Training was interrupted; the networks are as they were.", stacklevel=3)
    finally:
        for future in (*futures, data):
            future.release()
    return diverged


def _fit_one(blob: bytes, data: Any, name: str) -> tuple[dict[str, Any], FloatingPointError | None]:
    """Train one network, as in a thread of `fit_many`."""
    start, before = pickle.loads(blob)
    X, y, options, callbacks = data
    work.check_version(start.version)
    trainer = carrier.trainer_of(start)
    carrier.put(trainer, before)
    found = None
    try:
        trainer.fit(X, y, callbacks=[*copy.deepcopy(callbacks), work.Watch(name)], n_threads=1, **options)
    except FloatingPointError as error:
        found = error
    trained = carrier.taken(trainer)
    entries = trained["state"]["callbacks"]
    trained["state"]["callbacks"] = entries[: len(callbacks)]  # without the watch
    return trained, found


class ScoringOnWorkers:
    """Has workers score the configurations of `fastnn.tune`; a context in which the table lies on the cluster.

    Parameters
    ----------
    client : distributed.Client
    scorer : callable
        As `fastnn.tabular.scorer.Scorer`; it travels to each worker once.

    Attributes
    ----------
    n_threads : int
        Of all workers together.
    """

    def __init__(self, client: Any, scorer: Callable[..., float | None]):
        self._client = blocks.get_client(client)
        check_workers(self._client)
        self.n_threads = sum(blocks.threads_of(self._client).values())
        if not self.n_threads:
            raise ValueError("client must have a cluster with at least one worker, got none")
        self._name = f"fastnn-{uuid.uuid4().hex[:12]}"
        self._scorer, self._count, self._is_stopped = scorer, itertools.count(), False

    def __enter__(self) -> "ScoringOnWorkers":
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            self._there = self._client.submit(
                work.open_start, session.dumps(self._scorer), key=f"{self._name}-data", pure=False
            )
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if kind is not None:
            self.stop()
        self._there.release()

    def score(
        self, recipe: Any, rung: int, seconds: float | None, is_over: Callable[[], bool], register: Any, key: int
    ) -> float | None:
        """Return what the scorer does, computed on a worker."""
        from fastnn import __version__

        future = self._client.submit(
            _score_one, __version__, self._name, self._there, recipe, rung, seconds,
            key=f"{self._name}-{key}-{rung}-{next(self._count)}", pure=False,
        )  # fmt: skip
        try:
            return None if self._is_stopped else future.result()
        except CancelledError:
            if self._is_stopped:
                return None
            raise
        finally:
            future.release()

    def stop(self) -> None:
        """End the trainings that run, and have those that wait not begin."""
        self._is_stopped = True
        self._client.run(_stop_scoring, self._name, on_error="ignore")


_scoring: dict[Any, Trainer] = {}  # what trains in this process, by search and thread


def _score_one(
    version: str, name: str, scorer: Callable[..., float | None], recipe: Any, rung: int, seconds: float | None
) -> float | None:
    work.check_version(version)
    if name in work.STOPPED:
        return None
    key = (name, threading.get_ident())
    return scorer(recipe, rung, seconds, lambda: name in work.STOPPED, _scoring, key)


def _stop_scoring(name: str) -> None:
    work.stop_here(name)
    for (search, _), trainer in list(_scoring.items()):
        if search == name:
            trainer.stop("interrupted")
