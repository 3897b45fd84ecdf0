"""Many networks at once: one fit a core, all on the same data."""

import contextlib
import copy
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastnn.common.cpus import available_cpus
from fastnn.common.later import later
from fastnn.common.validation import as_array, as_csr, as_gatherable, check_integer, is_sparse
from fastnn.engine.team import share_out
from fastnn.inputs.data import DataSpec
from fastnn.training.arguments import CheckedFit, FitOptions, check_callbacks, check_fit
from fastnn.training.history import History
from fastnn.training.trainer import Trainer

_REFRESH_SECONDS = 0.1


def fit_many(
    trainers: Iterable[Trainer], X: Any, y: Any, *, n_jobs: int | None = None, client: Any = None, **fit_options: Any
) -> list[History]:
    """Fit any number of networks to the same data, several at a time, each in one thread.

    Every member comes out with the bits that ``trainer.fit(X, y, **fit_options, n_threads=1)`` gives. X and y are
    shared: memory grows by the members' parameters, and by the workspaces of those in training.

    Parameters
    ----------
    trainers : iterable of Trainer
        Each with a network, loss and optimizer of its own; they may differ in everything.
    X : array-like of shape (n, n_inputs)
        Features of all members.
    y : array-like of shape (n,) or (n, n_outputs)
        Targets of all members.
    n_jobs : int or None, default None
        How many train at once; None: the CPUs that this process may use.
    client : distributed.Client or None, default None
        Spreads the networks over the workers of a Dask cluster; `n_jobs` is theirs then, callbacks run there, and
        Ctrl-C leaves the networks as they were.
    **fit_options
        As for `Trainer.fit`. `callbacks` are copied, so that each member has its own; with `verbose` there is one
        progress display for all. `n_threads` is not among them.

    Returns
    -------
    list of History
        The members' ``trainer.history``, in order. Ctrl-C ends all and keeps what was reached: the `stop_reason` of
        those that did not finish is "interrupted". A member whose loss stops being finite keeps its last finished
        epoch and says so in its `stop_reason`; a RuntimeWarning at the end names all such members.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong; no member is changed then.
    Exception
        What a callback raised; the other members are stopped then.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> networks = [fastnn.Network.mlp(1, [8], 1, activation="tanh", seed=seed) for seed in range(4)]
    >>> trainers = [fastnn.Trainer(network, loss="mse") for network in networks]
    >>> histories = fastnn.fit_many(trainers, X, X**2, epochs=3)
    >>> [len(history.history["loss"]) for history in histories]
    [3, 3, 3, 3]
    """
    members = _check_trainers(trainers)
    n_jobs_given = n_jobs is not None
    n_jobs = available_cpus() if n_jobs is None else check_integer("n_jobs", n_jobs, 1)
    if fit_options.pop("n_threads", None) not in (1, None):
        raise ValueError("n_threads must not be given: each network trains in one thread, n_jobs of them at once")
    callbacks = check_callbacks(fit_options.pop("callbacks", ()))
    try:
        options = FitOptions(**fit_options, n_threads=1)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise TypeError(str(error).replace("FitOptions.__init__()", "fit_many()")) from None
    if client is not None and n_jobs_given:
        raise ValueError(f"n_jobs must be None with a client, whose workers have threads of their own, got {n_jobs}")
    checked = _check_fits(members, X, y, replace(options, verbose=0))
    if client is not None:
        diverged = later("fit_on_workers")(client, members, X, y, options, callbacks)
        _tell_of_diverged(diverged)
        return [trainer.history for trainer in members]
    run = Run([0] * len(members), len(members) * options.n_epochs)

    def fit(index: int) -> None:
        trainer = members[index]
        if run.is_stopped:
            trainer.history.stop_reason = "interrupted"
            return

        def watch(epochs_done: int) -> bool:
            run.epochs_done[index] = epochs_done
            return run.is_stopped

        try:
            trainer._run_fit(checked[index], copy.deepcopy(callbacks), watch)
            if trainer.history.stop_reason == "interrupted":  # in the main thread, Ctrl-C comes here
                run.is_stopped = True
        except FloatingPointError as error:
            run.diverged[index] = error
        except BaseException:
            run.is_stopped = True
            raise

    # The largest first, so that no core is left with a large one when the others are done.
    order = sorted(range(len(members)), key=lambda index: -members[index].network.n_parameters)
    in_background(lambda: share_out(fit, order, n_jobs), run, shows=options.verbose > 0)
    _tell_of_diverged(run.diverged)
    return [trainer.history for trainer in members]


def _tell_of_diverged(diverged: dict[int, FloatingPointError]) -> None:
    if diverged:
        names = ", ".join(map(str, sorted(diverged)))
        first = diverged[min(diverged)]
        warnings.warn(f"members {names} of fit_many diverged; the first: {first}", RuntimeWarning, stacklevel=3)


@dataclass
class Run:
    """What the threads of one call share."""

    epochs_done: list[int] = field(default_factory=list)  # of each member
    n_epochs: int = 0  # of all together
    is_stopped: bool = False
    diverged: dict[int, FloatingPointError] = field(default_factory=dict)


def _check_trainers(trainers: Iterable[Trainer]) -> list[Trainer]:
    members = list(trainers)
    if not members:
        raise ValueError("trainers must hold at least one Trainer, got none")
    for index, trainer in enumerate(members):
        if not isinstance(trainer, Trainer):
            raise TypeError(f"trainers[{index}] must be a fastnn.Trainer, got {trainer!r}")
        if trainer.is_training:
            raise RuntimeError(f"trainers[{index}] is already training: wait for the end of that fit")
    for what, owners in (("trainers", members), ("networks", [trainer.network for trainer in members])):
        if len({id(owner) for owner in owners}) < len(members):
            raise ValueError(f"trainers must not share {what}: each trains a network of its own")
    return members


def _check_fits(members: Sequence[Trainer], X: Any, y: Any, options: FitOptions) -> list[CheckedFit]:
    """Check the arguments of every member's fit before any begins.

    Members that want data in the same form share it, also where it had to be converted.
    """
    widest = max((trainer.network.dtype for trainer in members), key=lambda dtype: dtype.itemsize)
    if not isinstance(X, (list, tuple)):  # sequences of different lengths stay a list
        takes_integers = any(trainer.network.plan.n_categories for trainer in members)
        X = as_csr("X", X, widest) if is_sparse(X) else as_array("X", X)
        X = X if is_sparse(X) or takes_integers else as_gatherable(X, widest)
    if not isinstance(y, (list, tuple)):
        y = as_array("y", y)
    known: dict[DataSpec, CheckedFit] = {}
    for trainer in members:
        spec = trainer._task.data_spec
        if spec not in known:
            known[spec] = check_fit(spec, X, y, options)
    return [known[trainer._task.data_spec] for trainer in members]


def in_background(
    work: Callable[[], None], run: Run, *, shows: bool = False, stop: Callable[[], None] = lambda: None
) -> None:
    """Do the work in another thread, so that this one can listen to Ctrl-C and show how far it is.

    After Ctrl-C `run.is_stopped` is set, and `stop` is called again and again until the work is done.
    """
    errors: list[BaseException] = []
    is_done = threading.Event()  # Thread.join takes a thread for dead once Ctrl-C has interrupted it (Python 3.11)

    def conduct() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            is_done.set()

    conductor = threading.Thread(target=conduct, name="fastnn-many", daemon=True)
    try:
        with _display(run) if shows else contextlib.nullcontext(lambda: None) as refresh:
            try:
                conductor.start()
            except RuntimeError:  # the system refuses another thread: this one does the work, and shows nothing
                conduct()
            while not is_done.wait(_REFRESH_SECONDS):
                refresh()
            refresh()
    except KeyboardInterrupt:
        run.is_stopped = True
        while not is_done.wait(_REFRESH_SECONDS):
            stop()
        warnings.warn("Training was interrupted; every network keeps the parameters it reached.", stacklevel=4)
    except BaseException:
        run.is_stopped = True
        raise
    if conductor.ident is not None:
        conductor.join()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _display(run: Run) -> Iterator[Callable[[], None]]:
    """A bar over the epochs of all members."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("epochs"), TimeElapsedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as progress:
        task = progress.add_task(f"{len(run.epochs_done)} networks", total=run.n_epochs)
        yield lambda: progress.update(task, completed=sum(run.epochs_done))
