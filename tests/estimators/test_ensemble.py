"""n_estimators: members that differ in their random numbers, and the mean of what they say."""

import _thread
import pickle
import threading

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris

from fastnn import Callback, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)
OPTIONS = {"hidden_layer_sizes": (8,), "solver": "sgd", "learning_rate_init": 0.02, "n_iter_no_change": 1000}


def test_predictions_are_the_mean_of_the_members():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS, max_iter=20, n_estimators=3, random_state=0).fit(X, y)
    assert len(model.estimators_) == 3
    mean = sum(member.predict_proba(X) for member in model.estimators_) / 3
    np.testing.assert_allclose(model.predict_proba(X), mean, rtol=1e-14)
    assert (model.predict(X) == mean.argmax(axis=1)).all()
    first, second, _ = model.estimators_
    assert not np.array_equal(first.coefs_[0], second.coefs_[0])
    assert model.loss_ == pytest.approx(np.mean([member.loss_ for member in model.estimators_]))


def test_each_member_is_what_training_it_alone_gives():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS, max_iter=5, n_estimators=2, random_state=0).fit(X, y)
    for member in model.estimators_:
        alone = clone(member).fit(X, y)
        assert all(np.array_equal(a, b) for a, b in zip(alone.coefs_, member.coefs_, strict=True))


def test_bootstrap_members_see_drawn_rows_and_regressors_average_too():
    X, y = load_diabetes(return_X_y=True)
    y = (y - y.mean()) / y.std()
    plain = MLPRegressor(**OPTIONS, max_iter=10, n_estimators=2, random_state=0).fit(X, y)
    drawn = MLPRegressor(**OPTIONS, max_iter=10, n_estimators=2, bootstrap=True, random_state=0).fit(X, y)
    assert not np.array_equal(plain.predict(X), drawn.predict(X))
    assert drawn.predict(X).shape == y.shape
    # As if the rows that were drawn had been copied.
    seed = np.random.RandomState(0).randint(2**31 - 1, size=4).reshape(-1, 2)[0]
    rows = np.random.RandomState(seed[1]).randint(len(X), size=len(X))
    weights = np.bincount(rows, minlength=len(X)).astype(float)
    alone = clone(drawn.estimators_[0]).fit(X, y, sample_weight=weights)
    assert np.array_equal(alone.predict(X), drawn.estimators_[0].predict(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_labels_of_any_kind_and_every_solver(solver):
    X, y = IRIS
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = MLPClassifier((10,), solver=solver, max_iter=60, learning_rate_init=0.02, n_estimators=2, random_state=0)
    assert model.fit(X, names).score(X, names) > 0.9
    binary = model.fit(X[:100], names[:100])
    assert binary.predict_proba(X[:3]).shape == (3, 2)
    assert set(binary.predict(X[:100])) == {"setosa", "versicolor"}


def test_partial_fit_goes_on_with_the_same_members():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS, n_estimators=2, random_state=0)
    model.partial_fit(X[:50], y[:50], classes=[0, 1, 2])  # one label only: the members know of the others
    members = list(model.estimators_)
    for _ in range(60):
        model.partial_fit(X, y)
    assert model.estimators_ == members
    assert [len(member.loss_curve_) for member in members] == [61, 61]
    assert model.score(X, y) > 0.6


def test_ctrl_c_ends_all_members():
    once = threading.Lock()  # a second interrupt, of another member, could come after the fit

    class Interrupts(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 3 and once.acquire(blocking=False):
                _thread.interrupt_main()

    X, y = IRIS
    model = MLPClassifier(**OPTIONS, max_iter=10**9, tol=0.0, n_estimators=4, callbacks=[Interrupts()], random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert 1 <= len(model.estimators_) <= 4
    assert model.predict(X).shape == y.shape


def test_back_to_one_network():
    X, y = IRIS
    model = MLPClassifier(**OPTIONS, max_iter=3, n_estimators=2, random_state=0).fit(X, y)
    model.set_params(n_estimators=1).fit(X, y)
    assert not hasattr(model, "estimators_")
    assert np.array_equal(model.predict_proba(X), model.network_.predict(X))


def test_pickled_and_saved(tmp_path):
    X, y = IRIS
    model = MLPClassifier(**OPTIONS, max_iter=3, n_estimators=2, random_state=0).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    model.save(tmp_path / "model.safetensors")
    loaded = MLPClassifier.load(tmp_path / "model.safetensors")
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    model.estimators_[1].save(tmp_path / "member.safetensors")
    loaded = MLPClassifier.load(tmp_path / "member.safetensors")
    assert np.array_equal(loaded.predict(X), model.estimators_[1].predict(X))


def test_wrong_numbers():
    with pytest.raises(ValueError, match="n_estimators"):
        MLPClassifier(n_estimators=0).fit(*IRIS)
    with pytest.raises(ValueError, match="bootstrap"):
        MLPClassifier(bootstrap="yes").fit(*IRIS)
