"""Which recipe suits a table: what is trained to find out, and what comes of it."""

from dataclasses import replace

import numpy as np
import pytest

from fastnn.tabular import fitting, screening
from fastnn.tabular.fitting import Deadline
from fastnn.tabular.problem import Problem
from fastnn.tabular.recipes import PLAIN, Recipe, narrowed, with_members

SMALL = Recipe("small", encodes=False, hidden=(16,), epochs=4)
WIDE = replace(SMALL, name="wide", hidden=(144,))


def make_problem(n: int = 120) -> Problem:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    return Problem(X, (X[:, 0] + X[:, 1] > 0).astype(np.int64), 2, None, np.ones(3, bool))


@pytest.fixture
def trained(monkeypatch):
    """The recipes that were trained, with how many rows, in order."""
    found, train_all = [], fitting.train_all

    def record(problem, trainings, *arguments, **keywords):
        found.extend((training.recipe, training.rows.size) for training in trainings)
        return train_all(problem, trainings, *arguments, **keywords)

    monkeypatch.setattr(fitting, "train_all", record)
    return found


def test_networks_of_half_the_width_stand_for_the_wide_ones(trained):
    choice = screening.choose(make_problem(), [WIDE, SMALL], 0, 1, Deadline(None))
    assert [recipe.hidden for recipe, _ in trained[:6]] == [(128,)] * 3 + [(16,)] * 3
    assert choice.recipe.hidden in ((144,), (16,), (128,))
    assert set(choice.losses) == {"wide", "small", f"{choice.recipe.name.split()[0]} ensemble"}


def test_the_ensemble_is_tried_on_the_first_part_alone(trained):
    problem = make_problem()
    choice = screening.choose(problem, [WIDE, SMALL], 0, 1, Deadline(None))
    of_members = [rows for recipe, rows in trained if recipe.members > 1]
    assert of_members == [80]
    assert choice.rows.size + choice.trained_rows.size == 120


@pytest.mark.parametrize("factor, epochs", [(0.5, 4), (1.1, 4), (2.0, 8)], ids=["better", "worse", "far behind"])
def test_the_ensemble_is_taken_where_it_is_better_there(monkeypatch, factor, epochs):
    """Where it is far behind much is left to learn: the single network is trained for twice the epochs."""
    judged, deadline, speeds = screening._Screening.judge, Deadline(None), []

    def judge(self, outputs, parts):
        loss, temperature = judged(self, outputs, parts)
        is_ensemble = len(parts) == 1 and outputs[0] is not self.first
        return (self.loss * factor, 3.0) if is_ensemble else (loss, temperature)

    def try_out(self, recipes, parts, kept=screening._Screening.try_out):
        found = kept(self, recipes, parts)
        speeds.append(self.deadline.speed)
        if len(parts) > 1:
            outputs = found[0][0]
            object.__setattr__(self, "first", outputs[0])
            object.__setattr__(self, "loss", judged(self, outputs[:1], parts[:1])[0])
        return found

    monkeypatch.setattr(screening._Screening, "judge", judge)
    monkeypatch.setattr(screening._Screening, "try_out", try_out)
    choice = screening.choose(make_problem(), [SMALL, replace(SMALL, name="worse", learning_rate=1e-6)], 0, 1, deadline)
    assert (choice.recipe.members, choice.recipe.epochs) == (8 if factor < 1 else 1, epochs)
    assert (choice.temperature == 3.0) == (factor < 1)
    assert deadline.speed == speeds[1 if factor < 1 else 0]  # that of what is trained at last
    assert choice.losses["small ensemble"] == pytest.approx(factor * choice.losses["small"])


def test_a_recipe_that_is_given_is_trained_as_it_is_and_compared_with_none(trained):
    choice = screening.choose(make_problem(), [WIDE], 0, 1, Deadline(None), is_given=True)
    assert choice.recipe is WIDE
    assert {recipe.hidden for recipe, _ in trained} == {(144,)}
    assert list(choice.losses) == ["wide"]


def test_speed_counts_products_so_that_it_says_how_long_wider_networks_take():
    problem, deadline = make_problem(), Deadline(60.0)
    screening.choose(problem, [WIDE, SMALL], 0, 1, deadline)
    assert deadline.speed > 1e5
    assert problem.products_of(WIDE) == 3 * 144 + 144 * 2
    assert problem.products_of(with_members(WIDE)) == 8 * (3 * 128 + 128 * 2)


@pytest.mark.parametrize("n_jobs, n_trainings, n_threads", [(1, 1, 1), (2, 1, 2), (2, 3, 1), (8, 3, 2)])
def test_threads_that_no_training_of_its_own_has_share_batches(monkeypatch, n_jobs, n_trainings, n_threads):
    seen = []

    def train_one(problem, training, seconds, n_threads, **keywords):
        seen.append(n_threads)
        return "network"

    monkeypatch.setattr(fitting, "train_one", train_one)
    trainings = [fitting.Training(SMALL, np.arange(9), seed) for seed in range(n_trainings)]
    assert fitting.train_all(make_problem(), trainings, n_jobs) == (["network"] * n_trainings, False)
    assert seen == [n_threads] * n_trainings


def test_narrow_recipes_keep_what_is_narrow():
    assert narrowed(SMALL) == SMALL
    assert narrowed(PLAIN).hidden == (128, 128, 128)
    assert with_members(PLAIN).epochs == 40
    assert with_members(replace(PLAIN, epochs=7)).epochs == 7
