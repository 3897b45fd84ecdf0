"""The course of a fit to a table: recipes compared on rows that were held out, then the best one trained on all rows.

All trainings of a stage run side by side, each in one thread. Their random numbers come from seeds, and none of their
results depends on which of them ends first, so the same seed gives the same bits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from fastnn.callbacks import Callback, LiveView
from fastnn.callbacks.stopping import TimeLimit
from fastnn.common.cpus import available_cpus
from fastnn.engine.team import share_out
from fastnn.inputs.splits import split_off
from fastnn.model.network import Network
from fastnn.tabular.judging import find_temperature, held_out_loss, soften
from fastnn.tabular.problem import Choice, Problem, scale_targets, unscale
from fastnn.tabular.recipes import (
    MOST_ROWS_OF_MEMBERS,
    Recipe,
    averaged,
    batch_size,
    make_trainer,
    targets_of_members,
    with_members,
)
from fastnn.training.many import Run, in_background
from fastnn.training.trainer import Trainer

SCREEN_EPOCHS = 32
MOST_ROWS_TO_SCREEN = 8_000
N_FOLDS, MOST_ROWS_TO_FOLD = 3, 2_000
_HELD_OUT = 0.25
_FULL_EPOCHS_ROWS = 10_000  # larger tables take fewer epochs
_SHARE_OF_TIME_TO_SCREEN = 0.4
_TIMES_OF_MEMBERS = 3.0  # how much longer than the comparison of single networks that of members takes at most
_ROWS_OF_GRADIENTS = 32  # of those whose norms a live page shows
_LEAST_GAIN = 0.005  # that another recipe than the first has to show: less is chance


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
        Rows a second that one training of the best recipe goes through, learnt from those that have ended.
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
    problem: Problem, trainings: Sequence[Training], n_jobs: int, seconds: float | None = None, n_threads: int = 1,
    trainers: dict[int, Trainer] | None = None,
) -> tuple[list[Network | None], bool]:  # fmt: skip
    """Train networks side by side; return them, in order, and whether Ctrl-C ended that: None are those to come.

    Their trainers go into `trainers`, by place.
    """
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
        X, y, epochs=recipe.epochs, batch_size=batch_size(rows.size),
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


def choose(
    problem: Problem, recipes: Sequence[Recipe], seed: int, n_jobs: int, deadline: Deadline,
    held_out: Problem | None = None, callbacks: Sequence[Callback] = (),
) -> Choice:  # fmt: skip
    """Return the recipe that is best on rows that it was not trained on, and the temperature that suits it there.

    Single networks are compared first, then the best of them with an ensemble of its kind. Each training has copies of
    the callbacks.
    """
    n = len(problem.X)
    classes = problem.y if problem.n_classes else None
    rng = np.random.default_rng([seed, 1])
    if held_out is not None:
        whole = replace(problem, X=np.concatenate([problem.X, held_out.X]), y=np.concatenate([problem.y, held_out.y]),
                        weights=None if problem.weights is None or held_out.weights is None
                        else np.concatenate([problem.weights, held_out.weights]))  # fmt: skip
        parts = [(np.arange(n), np.arange(n, n + len(held_out.X)))]
    elif n <= MOST_ROWS_TO_FOLD:
        whole = problem
        parts = folds(n, N_FOLDS, classes, rng)
    else:
        whole = problem
        stay, off = split_off(n, round(_HELD_OUT * min(n, MOST_ROWS_TO_SCREEN)), classes, [seed, 1])
        most = round((1 - _HELD_OUT) * MOST_ROWS_TO_SCREEN)
        if stay.size > most:
            stay = np.sort(rng.permutation(stay)[:most])
        parts = [(stay, off)]
    best = _screen(whole, parts, recipes, seed, n_jobs, deadline, None, callbacks)
    then = with_members(best.recipe)
    if best.was_interrupted or len(recipes) == 1 or n > MOST_ROWS_OF_MEMBERS or then.members == best.recipe.members:
        return best
    left = deadline.left(_SHARE_OF_TIME_TO_SCREEN)
    if left is not None and deadline.spent * _TIMES_OF_MEMBERS > left:
        return best
    return _screen(whole, parts, [then], seed, n_jobs, deadline, best, callbacks)


def _screen(
    whole: Problem, parts: list[tuple[np.ndarray, np.ndarray]], recipes: Sequence[Recipe], seed: int, n_jobs: int,
    deadline: Deadline, best: Choice | None, callbacks: Sequence[Callback],
) -> Choice:  # fmt: skip
    """Return the best of what was best so far and of recipes; each is trained on every part."""
    screened = [with_epochs(recipe, len(parts[0][0]), SCREEN_EPOCHS) for recipe in recipes]
    trainings = [
        Training(recipe, train, _seed(seed, 2, place), _copies(callbacks, recipe, "part", place))
        for recipe in screened for place, (train, _) in enumerate(parts)
    ]  # fmt: skip
    rounds = -(-len(trainings) // n_jobs)
    seconds = deadline.left(_SHARE_OF_TIME_TO_SCREEN)
    started = time.monotonic()
    networks, was_interrupted = train_all(whole, trainings, n_jobs, None if seconds is None else seconds / rounds)
    if was_interrupted:
        if best is None:
            i = next(i for i, network in enumerate(networks) if network is not None)
            train, test = parts[i % len(parts)]
            best = Choice(recipes[i // len(parts)], 1.0, {}, whole, test, networks[i], train)
        return replace(best, was_interrupted=True)
    n_seen = sum(training.rows.size * training.recipe.epochs for training in trainings)
    deadline.spent = max(time.monotonic() - started, 1e-3)
    speed = n_seen / min(n_jobs, len(trainings)) / deadline.spent
    if best is None:
        deadline.speed = speed
    rows = np.concatenate([test for _, test in parts])
    losses = {} if best is None else best.losses
    for i, recipe in enumerate(recipes):
        outputs = [
            outputs_of(whole, recipe, cast(Network, network), train, test)
            for (train, test), network in zip(parts, networks[i * len(parts) : (i + 1) * len(parts)], strict=True)
        ]
        joined = np.concatenate(outputs)
        weights = None if whole.weights is None else whole.weights[rows]
        temperature = find_temperature(joined, whole.y[rows], weights) if whole.n_classes else 1.0
        loss = held_out_loss(whole, soften(joined, temperature), whole.y[rows], weights)
        losses[recipe.name] = loss
        if best is None or loss < (1 - _LEAST_GAIN) * losses[best.recipe.name]:
            best = Choice(recipe, temperature, losses, whole, parts[0][1], networks[i * len(parts)], parts[0][0])
            deadline.speed = speed
    assert best is not None
    return best


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
        affordable = int(0.9 * seconds / rounds * deadline.speed / len(rows))
        recipe = replace(recipe, epochs=max(min(recipe.epochs, affordable), 1))
    trainings = [
        Training(recipe, rows, _seed(seed, 3, i), _copies(callbacks, recipe, "all rows", i)) for i in range(n_members)
    ]
    trainers: dict[int, Trainer] = {}
    found, was_interrupted = train_all(
        problem, trainings, n_jobs, None if seconds is None else seconds / rounds,
        n_threads=n_jobs if n_members == 1 else 1, trainers=trainers,
    )  # fmt: skip
    networks = [network for network in found if network is not None]
    return networks, trainers[min(trainers)].history.history.get("loss", []), was_interrupted


def _copies(callbacks: Sequence[Callback], recipe: Recipe, stage: str, place: int) -> list[Callback]:
    return [callback.copy_for(f"{recipe.name}, {stage} {place + 1}", recipe.epochs) for callback in callbacks]


def _seed(seed: int, stage: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, stage, place]).generate_state(1)[0]) % 2**31


def n_threads_of(n_threads: int | None) -> int:
    """Return how many threads a fit uses."""
    return available_cpus() if n_threads is None else n_threads
