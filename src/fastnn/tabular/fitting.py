"""Networks that are trained on rows of a table: those that recipes are compared by, and the last ones, on all rows.

All trainings of a stage run side by side, each in one thread or more. Their random numbers come from seeds, and none of
their results depends on which ends first: the same seed and number of threads give the same bits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastnn.callbacks import Callback, LiveView
from fastnn.callbacks.stopping import TimeLimit
from fastnn.common.cpus import available_cpus
from fastnn.engine.team import share_out
from fastnn.model.network import Network
from fastnn.tabular.problem import Problem, scale_targets, unscale
from fastnn.tabular.recipes import Recipe, averaged, batch_size, make_trainer, targets_of_members
from fastnn.training.many import Run, in_background
from fastnn.training.trainer import Trainer

_FULL_EPOCHS_ROWS = 10_000  # larger tables take fewer epochs
_ROWS_OF_GRADIENTS = 32  # of those whose norms a live page shows


@dataclass(frozen=True)
class Training:
    """One network to train; the callbacks are its own."""

    recipe: Recipe
    rows: np.ndarray
    seed: int
    callbacks: Sequence[Callback] = ()


class Deadline:
    """When a fit has to end, and how fast this machine was found to be.

    Attributes
    ----------
    speed : float or None
        Multiplications a second of one training, learnt from those that have ended: rows times `products_of`.
    spent : float
        Seconds that the last comparison took.
    """

    def __init__(self, seconds: float | None):
        self.speed: float | None = None
        self.spent = 0.0
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self, share: float = 1.0) -> float | None:
        """Return a share of the seconds that are left; None without a limit."""
        return None if self._end is None else max(share * (self._end - time.monotonic()), 0.0)


def train_all(
    problem: Problem, trainings: Sequence[Training], n_jobs: int, seconds: float | None = None,
    trainers: dict[int, Trainer] | None = None,
) -> tuple[list[Network | None], bool]:  # fmt: skip
    """Train networks side by side; return them, in order, and whether Ctrl-C ended that: None are those to come.

    Their trainers go into `trainers`, by place. Where they are fewer than the threads, each has several.
    """
    n_threads = max(n_jobs // len(trainings), 1)
    found: list[Network | None] = [None] * len(trainings)
    running = {} if trainers is None else trainers
    run = Run()

    def fit(index: int) -> None:
        if not run.is_stopped:
            found[index] = train_one(problem, trainings[index], seconds, n_threads, register=running, key=index)

    def stop() -> None:
        for trainer in list(running.values()):
            trainer.stop("interrupted")

    # The longest first, so that no core waits for it at the end.
    order = sorted(
        range(len(trainings)), key=lambda index: -trainings[index].rows.size * sum(trainings[index].recipe.hidden)
    )
    in_background(lambda: share_out(fit, order, n_jobs), run, stop=stop)
    if all(network is None for network in found):
        raise KeyboardInterrupt
    return found, run.is_stopped


def train_one(
    problem: Problem, training: Training, seconds: float | None, n_threads: int = 1, *, register: dict[int, Trainer],
    key: int,
) -> Network:  # fmt: skip
    """Train one network and return it; its trainer stands in `register` under `key`, so that others can stop it."""
    recipe, rows = training.recipe, training.rows
    X = problem.features(recipe, problem.X if rows.size == len(problem.X) else problem.X[rows])
    trainer = make_trainer(
        recipe, X.shape[1], problem.categories_of(recipe), problem.n_outputs, problem.n_classes > 0, rows.size,
        training.seed,
    )  # fmt: skip
    register[key] = trainer
    weights = None if problem.weights is None else problem.weights[rows]
    callbacks: list[Callback] = [] if seconds is None else [TimeLimit(max(seconds, 1e-3))]
    callbacks += training.callbacks
    y = targets_of_members(recipe, scale_targets(problem, recipe, problem.y[rows], weights)[0], problem.n_classes)
    for callback in training.callbacks:
        if isinstance(callback, LiveView) and callback.sample is None:
            callback.sample = X[:_ROWS_OF_GRADIENTS], y[:_ROWS_OF_GRADIENTS]
    trainer.fit(
        X, y, epochs=recipe.epochs, batch_size=batch_size(rows.size, recipe.members),
        sample_weight=weights, callbacks=callbacks, n_threads=n_threads,
    )  # fmt: skip
    return averaged(trainer.network)


def outputs_of(
    problem: Problem, recipe: Recipe, network: Network, train_rows: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return what a network that was trained on some rows says about others: probabilities, or numbers as they are."""
    outputs = network.predict(problem.features(recipe, problem.X[rows]))
    if problem.n_classes:
        return outputs
    weights = None if problem.weights is None else problem.weights[train_rows]
    _, mean, deviation = scale_targets(problem, recipe, problem.y[train_rows], weights)
    return unscale(recipe, outputs, mean, deviation)


def folds(
    n_rows: int, n_folds: int, classes: np.ndarray | None, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (rows to train on, rows held out) for each fold, each with its share of each class."""
    order = rng.permutation(n_rows)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    held_out = [np.sort(order[i::n_folds]) for i in range(n_folds)]
    return [(np.setdiff1d(np.arange(n_rows), fold), fold) for fold in held_out]


def with_epochs(recipe: Recipe, n_rows: int, most: int | None = None) -> Recipe:
    """Return a recipe with the epochs that a table of this size takes."""
    epochs = recipe.epochs * min(np.sqrt(_FULL_EPOCHS_ROWS / n_rows), 1.0)
    return replace(recipe, epochs=max(round(min(epochs, most or epochs)), 1))


def fit_networks(
    problem: Problem, recipe: Recipe, seed: int, n_members: int, n_jobs: int, deadline: Deadline,
    callbacks: Sequence[Callback] = (),
) -> tuple[list[Network], list[float], bool]:  # fmt: skip
    """Return networks trained on all rows, which differ in their random numbers, and the first one's loss by epoch.

    The last that is returned says whether Ctrl-C ended it.
    """
    recipe = with_epochs(recipe, len(problem.X))
    rows = np.arange(len(problem.X))
    rounds = -(-n_members // n_jobs)
    seconds = deadline.left(0.95)
    if seconds is not None and deadline.speed is not None:
        # Fewer epochs, with the learning rate's whole course, are better than an end in the middle of it.
        affordable = int(0.9 * seconds / rounds * deadline.speed / (len(rows) * problem.products_of(recipe)))
        recipe = replace(recipe, epochs=max(min(recipe.epochs, affordable), 1))
    trainings = [
        Training(recipe, rows, seed_of(seed, 3, i), copies(callbacks, recipe, "all rows", i)) for i in range(n_members)
    ]
    trainers: dict[int, Trainer] = {}
    found, was_interrupted = train_all(
        problem, trainings, n_jobs, None if seconds is None else seconds / rounds, trainers=trainers
    )
    networks = [network for network in found if network is not None]
    return networks, trainers[min(trainers)].history.history.get("loss", []), was_interrupted


def copies(callbacks: Sequence[Callback], recipe: Recipe, stage: str, place: int) -> list[Callback]:
    """Return copies of callbacks for one of the trainings of a recipe."""
    return [callback.copy_for(f"{recipe.name}, {stage} {place + 1}", recipe.epochs) for callback in callbacks]


def seed_of(seed: int, stage: int, place: int) -> int:
    """Return the seed of a training: its stage's, and its place's in that."""
    return int(np.random.SeedSequence([seed, stage, place]).generate_state(1)[0]) % 2**31


def n_threads_of(n_threads: int | None) -> int:
    """Return how many threads a fit uses."""
    return available_cpus() if n_threads is None else n_threads
