"""Many networks over a cluster, scikit-learn's searches through joblib's Dask backend, and dask-ml's wrappers."""

import _thread
import importlib.util

import dask.array as da
import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

import fastnn
from distributed_support import assert_same_bits, make_data, make_trainer
from fastnn.distributed.many import ScoringOnWorkers


def test_every_member_has_the_bits_of_training_alone(client):
    X, y = make_data()
    members = [make_trainer(seed=seed) for seed in range(5)]
    alone = [make_trainer(seed=seed) for seed in range(5)]
    for _ in range(2):  # the second call goes on where the first stopped
        stop = fastnn.callbacks.EarlyStopping("loss", patience=2)
        options = {"epochs": 3, "validation_split": 0.2}
        histories = fastnn.fit_many(members, X, y, client=client, callbacks=[stop], **options)
        for trainer in alone:
            trainer.fit(X, y, n_threads=1, callbacks=[fastnn.callbacks.EarlyStopping("loss", patience=2)], **options)
    for member, other, history in zip(members, alone, histories, strict=True):
        assert_same_bits(member, other)
        assert history.history == other.history.history
        assert history is member.history


def test_members_that_diverge_are_named(client):
    X, y = make_data()
    members = [make_trainer(optimizer=fastnn.SGD(rate)) for rate in (0.01, 1e38)]
    with pytest.warns(RuntimeWarning, match="members 1 of fit_many diverged"):
        fastnn.fit_many(members, X, y, client=client, epochs=3)
    with pytest.raises(ValueError, match="n_jobs must be None with a client"):
        fastnn.fit_many(members, X, y, client=client, n_jobs=2)


def test_a_search_for_a_recipe_is_that_of_one_machine(client, processes):
    pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
    X, y = make_data(200)
    space = {"hidden": [(16,)], "encodes": [False], "dropout": [0.0], "label_smoothing": [0.0]}
    options = {"n_trials": 6, "time_limit": None, "random_state": 0, "space": space}
    here = fastnn.tune(X, y, n_jobs=1, **options)
    there = fastnn.tune(X, y, client=processes, **options)
    # Who is done first decides who goes on, but a configuration has the same score anywhere.
    scores = {trial.recipe.name: trial.scores for trial in here.trials}
    assert {trial.recipe.name for trial in there.trials} == set(scores)
    for trial in there.trials:
        n = min(len(trial.scores), len(scores[trial.recipe.name]))
        assert n and trial.scores[:n] == scores[trial.recipe.name][:n]
    assert there.estimator.predict(X[:3]).shape == (3,)
    with pytest.raises(ValueError, match="n_jobs must be None with a client"):
        fastnn.tune(X, y, client=client, n_jobs=2, **options)
    with pytest.raises(TypeError, match=r"client must be a distributed.Client or None, got 3"):
        fastnn.tune(X, y, client=3, **options)


def test_control_c_ends_a_search_on_the_cluster(client, monkeypatch):
    pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
    score, found = ScoringOnWorkers.score, []

    def interrupting(*arguments):
        found.append(score(*arguments))
        if len(found) == 2:
            _thread.interrupt_main()
        return found[-1]

    monkeypatch.setattr(ScoringOnWorkers, "score", interrupting)
    X, y = make_data(200)
    result = fastnn.tune(X, y, client=client, time_limit=60.0, random_state=0, space={"hidden": [(16,)]})
    assert result.was_interrupted
    assert result.trials


def test_a_search_of_scikit_learn_through_joblib(client):
    X, y = make_data()
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(8,), (16,)]}
    model = fastnn.MLPClassifier(max_iter=5, random_state=0, solver="sgd", learning_rate_init=0.1)
    here = GridSearchCV(model, grid, cv=2, error_score="raise")
    there = GridSearchCV(model, grid, cv=2, error_score="raise")
    with pytest.warns(UserWarning), joblib.parallel_backend("threading", n_jobs=1):  # not converged in 5 epochs
        here.fit(X, y)
    with pytest.warns(UserWarning), joblib.parallel_backend("dask", client=client):
        there.fit(X, y)
    np.testing.assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])


@pytest.mark.skipif(importlib.util.find_spec("dask_ml") is None, reason="dask-ml is not installed")
@pytest.mark.filterwarnings("ignore")  # of dask-ml's own, which differ by version
def test_dask_ml_s_wrappers(client):
    from dask_ml.wrappers import Incremental, ParallelPostFit

    X, y = make_data()
    a, b = da.from_array(X, chunks=(150, 4)), da.from_array(y, chunks=150)
    model = fastnn.MLPClassifier((16,), random_state=0, learning_rate_init=0.01)
    incremental = Incremental(model, random_state=0, shuffle_blocks=False)
    for _ in range(5):
        incremental.partial_fit(a, b, classes=[0, 1, 2])
    assert incremental.score(a, b) > 0.6
    lazy = ParallelPostFit(incremental.estimator_).predict(a)
    np.testing.assert_array_equal(lazy.compute(), incremental.estimator_.predict(X))
    fitted = ParallelPostFit(fastnn.MLPClassifier((16,), max_iter=2, random_state=0)).fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(a).compute(), fitted.estimator.predict_proba(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_estimators", [1, 2])
def test_an_estimator_takes_its_own_attributes(n_estimators):
    X, y = make_data(100)
    model = fastnn.MLPClassifier((16,), max_iter=2, random_state=0, n_estimators=n_estimators).fit(X, y)
    before = model.predict_proba(X)
    for name, value in list(vars(model).items()):  # as ParallelPostFit.fit does
        setattr(model, name, value)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    model.partial_fit(X, y)
