"""Which recipe suits a table: networks are trained on a part of its rows, and compared on those that were held out.

Networks of half the width stand for the single ones, in a third of the time: their differences are nearly the same. The
best of them is then compared with an ensemble of its kind, on the first part alone.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from fastnn.callbacks import Callback
from fastnn.inputs.splits import split_off
from fastnn.model.network import Network
from fastnn.tabular import fitting
from fastnn.tabular.fitting import Deadline, Training
from fastnn.tabular.judging import find_temperature, held_out_loss, soften
from fastnn.tabular.problem import Choice, Problem
from fastnn.tabular.recipes import MOST_ROWS_OF_MEMBERS, Recipe, narrowed, with_members

_EPOCHS = 32
_MOST_ROWS = 8_000
_N_FOLDS, _MOST_ROWS_TO_FOLD = 3, 2_000
_HELD_OUT = 0.25
_SHARE_OF_TIME = 0.4
_TIMES_OF_MEMBERS = 4.0  # how much longer than the comparison of single networks that of members takes at most
_LEAST_GAIN = 0.01  # that another recipe than the first has to show: less is chance
_FAR_BEHIND = 1.15  # ensembles learn more slowly: where one is this far behind, much is left to learn

_Parts = list[tuple[np.ndarray, np.ndarray]]  # rows to train on, rows held out


def choose(
    problem: Problem, recipes: Sequence[Recipe], seed: int, n_jobs: int, deadline: Deadline,
    held_out: Problem | None = None, callbacks: Sequence[Callback] = (), is_given: bool = False,
) -> Choice:  # fmt: skip
    """Return the recipe that is best on rows that it was not trained on, and the temperature that suits it there.

    Each training has copies of the callbacks. A recipe that is given is trained as it is, and compared with none.
    """
    whole, parts = _cut(problem, seed, held_out)
    screening = _Screening(whole, seed, n_jobs, deadline, callbacks)
    tried = screening.try_out([recipe if is_given else narrowed(recipe) for recipe in recipes], parts)
    if isinstance(tried, Choice):
        return tried
    judged = [screening.judge(outputs, parts) for outputs, _ in tried]
    best = 0
    for i in range(1, len(recipes)):
        if judged[i][0] < (1 - _LEAST_GAIN) * judged[best][0]:
            best = i
    (outputs, network), (loss, temperature), (train, test) = tried[best], judged[best], parts[0]
    losses = {recipe.name: loss for recipe, (loss, _) in zip(recipes, judged, strict=True)}
    choice = Choice(recipes[best], temperature, losses, whole, test, cast(Network, network), train)

    left = deadline.left(_SHARE_OF_TIME)
    has_time = left is None or deadline.spent * _TIMES_OF_MEMBERS <= left
    if is_given or len(recipes) == 1 or len(problem.X) > MOST_ROWS_OF_MEMBERS or not has_time:
        return choice
    ensemble, speed = with_members(choice.recipe), deadline.speed
    of_ensemble = screening.try_out([ensemble], parts[:1])
    if isinstance(of_ensemble, Choice):
        return replace(choice, recipe=narrowed(choice.recipe), was_interrupted=True)
    single_loss, _ = screening.judge(outputs[:1], parts[:1])
    ensemble_loss, temperature = screening.judge(of_ensemble[0][0], parts[:1])
    losses[ensemble.name] = loss * ensemble_loss / (single_loss or 1.0)  # as if it had been tried on all parts
    if ensemble_loss >= single_loss:
        deadline.speed = speed
        epochs = choice.recipe.epochs * (2 if ensemble_loss > _FAR_BEHIND * single_loss else 1)
        return replace(choice, recipe=replace(choice.recipe, epochs=epochs))
    return replace(choice, recipe=ensemble, temperature=temperature, network=of_ensemble[0][1])


def _cut(problem: Problem, seed: int, held_out: Problem | None) -> tuple[Problem, _Parts]:
    """Return all rows that there are, and the parts on which recipes are tried."""
    n = len(problem.X)
    classes = problem.y if problem.n_classes else None
    if held_out is not None:
        has_weights = problem.weights is not None and held_out.weights is not None
        whole = replace(
            problem, X=np.concatenate([problem.X, held_out.X]), y=np.concatenate([problem.y, held_out.y]),
            weights=np.concatenate([problem.weights, held_out.weights]) if has_weights else None,
        )  # fmt: skip
        return whole, [(np.arange(n), np.arange(n, n + len(held_out.X)))]
    rng = np.random.default_rng([seed, 1])
    if n <= _MOST_ROWS_TO_FOLD:
        return problem, fitting.folds(n, _N_FOLDS, classes, rng)
    stay, off = split_off(n, round(_HELD_OUT * min(n, _MOST_ROWS)), classes, [seed, 1])
    most = round((1 - _HELD_OUT) * _MOST_ROWS)
    if stay.size > most:
        stay = np.sort(rng.permutation(stay)[:most])
    return problem, [(stay, off)]


@dataclass(frozen=True)
class _Screening:
    whole: Problem
    seed: int
    n_jobs: int
    deadline: Deadline
    callbacks: Sequence[Callback]

    def try_out(
        self, recipes: Sequence[Recipe], parts: _Parts
    ) -> "list[tuple[list[np.ndarray], Network | None]] | Choice":
        """Train every recipe on every part.

        Returns
        -------
        list of (outputs for the rows held out of each part, network of the first part), one a recipe; or, where Ctrl-C
        ended it, a choice with what there is.
        """
        whole, deadline = self.whole, self.deadline
        screened = [fitting.with_epochs(recipe, len(parts[0][0]), _EPOCHS) for recipe in recipes]
        trainings = [
            Training(recipe, train, fitting.seed_of(self.seed, 2, place),
                     fitting.copies(self.callbacks, recipe, "part", place))
            for recipe in screened for place, (train, _) in enumerate(parts)
        ]  # fmt: skip
        seconds = deadline.left(_SHARE_OF_TIME)
        rounds = -(-len(trainings) // self.n_jobs)
        started = time.monotonic()
        networks, was_interrupted = fitting.train_all(
            whole, trainings, self.n_jobs, None if seconds is None else seconds / rounds
        )
        if was_interrupted:
            i = next(i for i, network in enumerate(networks) if network is not None)
            train, test = parts[i % len(parts)]
            return Choice(recipes[i // len(parts)], 1.0, {}, whole, test, networks[i], train, was_interrupted=True)
        deadline.spent = max(time.monotonic() - started, 1e-3)
        n_products = sum(
            training.rows.size * training.recipe.epochs * whole.products_of(training.recipe) for training in trainings
        )
        deadline.speed = n_products / min(self.n_jobs, len(trainings)) / deadline.spent
        found = []
        for i, recipe in enumerate(recipes):
            of_recipe = networks[i * len(parts) : (i + 1) * len(parts)]
            outputs = [
                fitting.outputs_of(whole, recipe, cast(Network, network), train, test)
                for (train, test), network in zip(parts, of_recipe, strict=True)
            ]
            found.append((outputs, of_recipe[0]))
        return found

    def judge(self, outputs: Sequence[np.ndarray], parts: _Parts) -> tuple[float, float]:
        """Return the loss of outputs on the rows held out of parts, and the temperature at which it is that."""
        whole, rows, joined = self.whole, np.concatenate([test for _, test in parts]), np.concatenate(outputs)
        weights = None if whole.weights is None else whole.weights[rows]
        temperature = find_temperature(joined, whole.y[rows], weights) if whole.n_classes else 1.0
        return held_out_loss(whole, soften(joined, temperature), whole.y[rows], weights), temperature
