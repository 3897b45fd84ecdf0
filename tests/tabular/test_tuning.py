"""The search for a recipe: same seed, same result; what is best goes on; time limits and Ctrl-C give what there is."""

import _thread
import threading
import time

import numpy as np
import pytest

import fastnn
from support import rng

pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from fastnn.tabular import Recipe, tuning

X = rng().normal(size=(300, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SPACE = {"hidden": [(16,), (32, 32)], "learning_rate": (1e-3, 1e-2), "encodes": [True, False]}


def search(**options):
    return fastnn.tune(
        X, Y, **{"n_trials": 9, "time_limit": None, "n_jobs": 1, "random_state": 0, "space": SPACE, **options}
    )


def test_the_same_seed_gives_the_same_search_and_the_best_goes_on():
    result, again = search(), search()
    assert [trial.scores for trial in result.trials] == [trial.scores for trial in again.trials]
    assert [trial.recipe for trial in result.trials] == [trial.recipe for trial in again.trials]
    np.testing.assert_array_equal(result.estimator.predict_proba(X), again.estimator.predict_proba(X))
    assert [len(trial.scores) for trial in result.trials] == [4, 2, 2, 1, 1, 1, 1, 1, 1]
    assert result.best_score == result.trials[0].scores[-1]
    firsts = sorted(trial.scores[0] for trial in result.trials)
    assert sorted(trial.scores[0] for trial in result.trials[:3]) == firsts[:3]  # a third went on, the best


def test_recipes_come_from_the_space():
    result = search()
    assert {trial.recipe.hidden for trial in result.trials} == {(16,), (32, 32)}
    assert all(1e-3 <= trial.recipe.learning_rate <= 1e-2 for trial in result.trials)
    assert result.estimator.recipe == result.estimator.recipe_ == result.trials[0].recipe
    table = result.table()
    assert table.height == 9 and table.columns[:3] == ["log_loss", "rungs", "seconds"]
    assert repr(result).startswith(f"<TuneResult: best log_loss {result.best_score:.4g} of 9 trials;")


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_metrics_that_are_better_when_greater(metric):
    result = search(metric=metric, cv=2)
    highest = [trial.scores[0] for trial in result.trials]
    assert max(highest) in highest[:3]


@pytest.mark.parametrize("metric", ["mse", "rmse", "mae", "r2"])
def test_numbers_are_searched_for_too(metric):
    y = X[:, 0] ** 2 + 0.1
    result = fastnn.tune(X, y, n_trials=3, time_limit=None, n_jobs=2, random_state=0, space=SPACE, metric=metric)
    assert isinstance(result.estimator, fastnn.TabularRegressor)
    assert np.isfinite(result.best_score)
    if metric == "r2":
        assert result.best_score > 0.5


def test_a_time_limit_is_kept_and_all_are_scored():
    search(n_trials=1)  # compiles
    started = time.monotonic()
    result = search(n_trials=None, time_limit=2.0, n_jobs=2)
    assert time.monotonic() - started < 6.0
    assert all(trial.scores for trial in result.trials)


def test_ctrl_c_gives_the_best_so_far():
    search(n_trials=1)
    threading.Timer(1.0, _thread.interrupt_main).start()
    result = search(n_trials=None, time_limit=60.0, n_jobs=1)
    assert result.was_interrupted and result.trials
    assert result.estimator.predict(X[:2]).shape == (2,)


def test_the_picture_shows_every_trial():
    pytest.importorskip("matplotlib")
    result = search(n_trials=3)
    assert len(result.plot().axes[0].lines) == 3


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"n_trials": None}, ValueError, "time_limit or n_trials must be given"),
        ({"time_limit": -1.0}, ValueError, "time_limit must be a number"),
        ({"metric": "acuracy"}, ValueError, "metric must be one of.*did you mean 'accuracy'"),
        ({"task": "clustering"}, ValueError, "task must be one of"),
        ({"cv": 1}, ValueError, "cv must be an integer >= 2, got 1"),
        ({"space": {"hiden": [(8,)]}}, ValueError, "did you mean 'hidden'"),
        ({"space": {"dropout": []}}, ValueError, r"space\['dropout'\] must be a list of values or a tuple"),
        ({"space": {"dropout": [1.5]}}, ValueError, "dropout must be a number in"),
        ({"space": {"learning_rate": (1.0, 0.1)}}, ValueError, "must have 0 < low < high"),
        ({"preset": "bst"}, ValueError, "preset must be one of"),
    ],
)
def test_wrong_arguments_are_told_before_the_search(options, error, message):
    with pytest.raises(error, match=message):
        search(**options)


def test_a_recipe_is_checked_and_travels_with_the_estimator(tmp_path):
    for wrong in ({"hidden": "64"}, {"hidden": (0,)}, {"epochs": 0}, {"encodes": 1}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            Recipe("wrong", **wrong)
    clf = fastnn.TabularClassifier(recipe=tuning.replace(tuning.PLAIN, hidden=(16,), epochs=3), random_state=0)
    clf.fit(X, Y).save(tmp_path / "m")
    assert fastnn.TabularClassifier.load(tmp_path / "m").recipe == clf.recipe
    assert clf.model_.network.layers[1].units == 16
