"""The course of a fit to a table: recipes compared on rows that were held out, then the best one trained on all rows.

All trainings of a stage run side by side, each in one thread. Their random numbers come from seeds, and none of their
results depends on which of them ends first, so the same seed gives the same bits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fastnn.callbacks import Callback
from fastnn.callbacks.stopping import TimeLimit
from fastnn.common.cpus import available_cpus
from fastnn.engine.team import share_out
from fastnn.inputs.splits import split_off
from fastnn.model.network import Network
from fastnn.tabular.recipes import Recipe, batch_size, make_trainer
from fastnn.training.many import Run, in_background
from fastnn.training.trainer import Trainer

SCREEN_EPOCHS = 32
MOST_ROWS_TO_SCREEN = 8_000
N_FOLDS, MOST_ROWS_TO_FOLD = 3, 2_000
_HELD_OUT = 0.25
_FULL_EPOCHS_ROWS = 10_000  # larger tables take fewer epochs
_SHARE_OF_TIME_TO_SCREEN = 0.4
_LEAST_GAIN = 0.005  # that another recipe than the first has to show: less is chance


@dataclass
class Problem:
    """What is learnt: encoded rows, targets and weights, and which features each recipe sees.

    Attributes
    ----------
    X : ndarray of shape (n, n_features), float32
        With the encodings.
    y : ndarray of shape (n,)
        Class numbers (int64), or numbers as they are (float64).
    n_classes : int
        0 in a regression.
    weights : ndarray of shape (n,) or None
    is_plain : ndarray of bool, shape (n_features,)
        Features that are no encoding.
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    is_plain: np.ndarray

    @property
    def n_outputs(self) -> int:
        return self.n_classes or 1

    def features(self, recipe: Recipe, X: np.ndarray) -> np.ndarray:
        """Return the features that a recipe sees."""
        return X if recipe.encodes or self.is_plain.all() else np.ascontiguousarray(X[:, self.is_plain])


@dataclass
class Choice:
    """What screening found.

    Attributes
    ----------
    recipe : Recipe
    temperature : float
        By which log probabilities are divided.
    losses : dict of str to float
        The loss of each recipe on held-out rows: log loss, or mean squared error by the target's variance.
    problem : Problem or None
        What it was screened on.
    rows : ndarray of int
        Rows of it that `network` was not trained on.
    network : Network or None
        One that was trained with the recipe.
    """

    recipe: Recipe
    temperature: float = 1.0
    losses: dict[str, float] = field(default_factory=dict)
    problem: Problem | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    network: Network | None = None


@dataclass(frozen=True)
class Training:
    """One network to train."""

    recipe: Recipe
    rows: np.ndarray
    seed: int


class Deadline:
    """When a fit has to end, and how fast this machine was found to be.

    Attributes
    ----------
    speed : float or None
        Rows a second that one training goes through, learnt from those that have ended.
    """

    def __init__(self, seconds: float | None):
        self.speed: float | None = None
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self, share: float = 1.0) -> float | None:
        """Return a share of the seconds that are left; None without a limit."""
        return None if self._end is None else max(share * (self._end - time.monotonic()), 0.0)


def train_all(
    problem: Problem, trainings: Sequence[Training], n_jobs: int, seconds: float | None = None, n_threads: int = 1
) -> list[Network]:
    """Train networks side by side and return them, in order; Ctrl-C keeps what was reached if all have begun."""
    found: list[Network | None] = [None] * len(trainings)
    running: dict[int, Trainer] = {}
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
    networks = [network for network in found if network is not None]
    if len(networks) < len(trainings):
        raise KeyboardInterrupt
    return networks


def train_one(
    problem: Problem, training: Training, seconds: float | None, n_threads: int = 1, *, register: dict[int, Trainer],
    key: int,
) -> Network:  # fmt: skip
    """Train one network and return it; its trainer stands in `register` under `key`, so that others can stop it."""
    recipe, rows = training.recipe, training.rows
    X = problem.features(recipe, problem.X)
    X = X if rows.size == len(X) else X[rows]
    trainer = make_trainer(recipe, X.shape[1], problem.n_outputs, problem.n_classes > 0, rows.size, training.seed)
    register[key] = trainer
    weights = None if problem.weights is None else problem.weights[rows]
    callbacks: list[Callback] = [] if seconds is None else [TimeLimit(max(seconds, 1e-3))]
    y = scale_targets(problem, recipe, problem.y[rows], weights)[0]
    trainer.fit(
        X, y, epochs=recipe.epochs, batch_size=batch_size(rows.size), sample_weight=weights, callbacks=callbacks,
        n_threads=n_threads,
    )  # fmt: skip
    return trainer.network


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


def scale_targets(
    problem: Problem, recipe: Recipe, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, float, float]:
    """Return targets as a network learns them, and the mean and deviation that scale them; classes as they are."""
    if problem.n_classes:
        return y, 0.0, 1.0
    values = np.log1p(y) if recipe.logs else y
    mean = float(np.average(values, weights=weights))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    return (values - mean) / (deviation or 1.0), mean, deviation or 1.0


def unscale(recipe: Recipe, outputs: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Return a regression's outputs on the target's own scale."""
    values = outputs.astype(np.float64) * deviation + mean
    # Beyond the logarithms of training e^x would soon be beyond everything.
    return np.expm1(np.minimum(values, mean + 20.0 * deviation)) if recipe.logs else values


def with_epochs(recipe: Recipe, n_rows: int, most: int | None = None) -> Recipe:
    """Return a recipe with the epochs that a table of this size takes."""
    epochs = recipe.epochs * min(np.sqrt(_FULL_EPOCHS_ROWS / n_rows), 1.0)
    return replace(recipe, epochs=max(round(min(epochs, most or epochs)), 1))


def choose(
    problem: Problem, recipes: Sequence[Recipe], seed: int, n_jobs: int, deadline: Deadline,
    held_out: Problem | None = None,
) -> Choice:  # fmt: skip
    """Return the recipe that is best on rows that it was not trained on, and the temperature that suits it there."""
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
    screened = [with_epochs(recipe, len(parts[0][0]), SCREEN_EPOCHS) for recipe in recipes]
    trainings = [
        Training(recipe, train, _seed(seed, 2, place)) for recipe in screened for place, (train, _) in enumerate(parts)
    ]
    rounds = -(-len(trainings) // n_jobs)
    seconds = deadline.left(_SHARE_OF_TIME_TO_SCREEN)
    started = time.monotonic()
    networks = train_all(whole, trainings, n_jobs, None if seconds is None else seconds / rounds)
    n_seen = sum(training.rows.size * training.recipe.epochs for training in trainings)
    deadline.speed = n_seen / min(n_jobs, len(trainings)) / max(time.monotonic() - started, 1e-3)
    rows = np.concatenate([test for _, test in parts])
    best: Choice | None = None
    losses = {}
    for i, recipe in enumerate(recipes):
        outputs = [
            outputs_of(whole, recipe, network, train, test)
            for (train, test), network in zip(parts, networks[i * len(parts) : (i + 1) * len(parts)], strict=True)
        ]
        joined = np.concatenate(outputs)
        weights = None if whole.weights is None else whole.weights[rows]
        temperature = find_temperature(joined, whole.y[rows], weights) if problem.n_classes else 1.0
        loss = held_out_loss(problem, soften(joined, temperature), whole.y[rows], weights)
        losses[recipe.name] = loss
        if best is None or loss < (1 - _LEAST_GAIN) * losses[best.recipe.name]:
            best = Choice(recipe, temperature, losses, whole, parts[0][1], networks[i * len(parts)])
    assert best is not None
    return best


def fit_networks(
    problem: Problem, recipe: Recipe, seed: int, n_members: int, n_jobs: int, deadline: Deadline
) -> list[Network]:
    """Return networks trained on all rows; they differ in their random numbers."""
    recipe = with_epochs(recipe, len(problem.X))
    rows = np.arange(len(problem.X))
    rounds = -(-n_members // n_jobs)
    seconds = deadline.left(0.95)
    if seconds is not None and deadline.speed is not None:
        # Fewer epochs, with the learning rate's whole course, are better than an end in the middle of it.
        affordable = int(0.9 * seconds / rounds * deadline.speed / len(rows))
        recipe = replace(recipe, epochs=max(min(recipe.epochs, affordable), 1))
    trainings = [Training(recipe, rows, _seed(seed, 3, i)) for i in range(n_members)]
    return train_all(
        problem, trainings, n_jobs, None if seconds is None else seconds / rounds,
        n_threads=n_jobs if n_members == 1 else 1,
    )  # fmt: skip


def _seed(seed: int, stage: int, place: int) -> int:
    return int(np.random.SeedSequence([seed, stage, place]).generate_state(1)[0]) % 2**31


def n_threads_of(n_threads: int | None) -> int:
    """Return how many threads a fit uses."""
    return available_cpus() if n_threads is None else n_threads


# --- losses on held-out rows ------------------------------------------------------------------------------------------


def held_out_loss(problem: Problem, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return log loss, or the mean squared error by the target's variance."""
    if problem.n_classes:
        return _log_loss(outputs, y, weights)
    errors = np.average((outputs[:, 0] - y) ** 2, weights=weights)
    return float(errors / (np.average((y - np.average(y, weights=weights)) ** 2, weights=weights) or 1.0))


def _log_loss(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    of_class = np.take_along_axis(probabilities.astype(np.float64), y[:, None], axis=1)[:, 0]
    return float(np.average(-np.log(np.maximum(of_class, 1e-12)), weights=weights))


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities with their logarithms divided by a temperature."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def find_temperature(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the temperature of the least log loss on held-out rows [1]_, between 1/4 and 4.

    References
    ----------
    .. [1] C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    grid = np.linspace(-2.0, 2.0, 41)  # of base-2 logarithms
    losses = [_log_loss(soften(probabilities, 2.0**value), y, weights) for value in grid]
    return float(2.0 ** grid[int(np.argmin(losses))])


def importances(choice: Choice, blocks: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Return how much the loss on held-out rows grows when a column's values are shuffled among them.

    Parameters
    ----------
    choice : Choice
        Its network predicts the rows that it was not trained on.
    blocks : sequence of ndarray of int
        The features of each column.
    seed : int
    """
    problem, network = choice.problem, choice.network
    assert problem is not None and network is not None
    rng = np.random.default_rng([seed, 4])
    rows = choice.rows[: max(min(choice.rows.size, 200_000 // max(len(blocks), 1)), 1)]
    X, y = problem.X[rows], problem.y[rows]
    weights = None if problem.weights is None else problem.weights[rows]
    recipe = choice.recipe
    _, mean, deviation = scale_targets(problem, recipe, problem.y, problem.weights)

    def loss(features: np.ndarray) -> float:
        outputs = network.predict(problem.features(recipe, features))
        if not problem.n_classes:
            outputs = unscale(recipe, outputs, mean, deviation)
        return held_out_loss(problem, outputs, y, weights)

    base = loss(X)
    found = np.zeros(len(blocks))
    for i, block in enumerate(blocks):
        shuffled = X.copy()
        shuffled[:, block] = X[rng.permutation(len(X))][:, block]
        found[i] = loss(shuffled) - base
    return found
