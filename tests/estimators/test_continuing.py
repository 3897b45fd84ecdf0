"""A fit that is stopped and continued: warm_start and partial_fit, as in scikit-learn."""

import numpy as np
import pytest
import sklearn.neural_network as peer

import fastnn

BOTH = [(peer.MLPClassifier, fastnn.MLPClassifier), (peer.MLPRegressor, fastnn.MLPRegressor)]
OPTIONS = {
    "solver": "sgd",
    "shuffle": False,
    "random_state": 1,
    "hidden_layer_sizes": (10,),
    "learning_rate_init": 0.01,
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def assert_same(theirs, ours):
    for a, b in zip(theirs.coefs_ + theirs.intercepts_, ours.coefs_ + ours.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    for name in ("n_iter_", "t_", "_no_improvement_count"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-10)


@pytest.mark.parametrize("pair", BOTH)
@pytest.mark.parametrize("options", [{}, {"learning_rate": "invscaling"}])
def test_warm_start(pair, options, iris):
    fitted = [cls(**OPTIONS, **options, warm_start=True, max_iter=4) for cls in pair]
    for _ in range(3):
        for estimator in fitted:
            estimator.fit(*iris)
        assert_same(*fitted)
    assert len(fitted[1].loss_curve_) == len(fitted[0].loss_curve_) == 12


@pytest.mark.parametrize("pair", BOTH)
@pytest.mark.parametrize("options", [{}, {"learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 2}])
def test_partial_fit(pair, options, iris):
    X, y = iris
    fitted = [cls(**OPTIONS, **options) for cls in pair]
    for part in (slice(0, 150, 2), slice(1, 150, 2), slice(0, 60), slice(0, 150)) * 3:
        for estimator in fitted:
            classes = {"classes": np.unique(y)} if hasattr(estimator, "predict_proba") else {}
            estimator.partial_fit(X[part], y[part], **classes)
    assert_same(*fitted)


@pytest.mark.parametrize("cls", [pair[1] for pair in BOTH])
def test_fit_after_partial_fit_starts_anew(cls, iris):
    X, y = iris
    went_on = cls(max_iter=3, random_state=0)
    classes = {"classes": np.unique(y)} if hasattr(went_on, "predict_proba") else {}
    went_on.partial_fit(X, y, **classes).fit(X, y)
    fresh = cls(max_iter=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(went_on.coefs_[0], fresh.coefs_[0])
    assert went_on.t_ == fresh.t_ == 450


def test_partial_fit_needs_classes_and_holds_on_to_them(iris):
    X, y = iris
    for cls in BOTH[0]:
        with pytest.raises(ValueError, match="classes must be passed on the first call"):
            cls().partial_fit(X, y)
        estimator = cls().partial_fit(X, y, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="not the same as on last call"):
            estimator.partial_fit(X, y, classes=[0, 1])
        with pytest.raises(ValueError, match="classes not in"):
            estimator.partial_fit(X, y + 1)


def test_partial_fit_of_several_labels(multilabel):
    X, Y = multilabel
    theirs, ours = (cls(**OPTIONS) for cls in BOTH[0])
    for _ in range(3):
        for estimator in (theirs, ours):
            estimator.partial_fit(X, Y, classes=np.arange(Y.shape[1]))
    assert_same(theirs, ours)


def test_warm_start_needs_the_same_classes_and_features(iris):
    X, y = iris
    for cls in BOTH[0]:
        estimator = cls(warm_start=True, max_iter=1).fit(X, y)
        with pytest.raises(ValueError, match="same classes"):
            estimator.fit(X, np.minimum(y, 1))
        with pytest.raises(ValueError, match="features"):
            estimator.fit(X[:, :2], y)


def test_warm_start_keeps_the_number_of_targets(diabetes, two_targets):
    estimator = fastnn.MLPRegressor(warm_start=True, max_iter=1).fit(*diabetes)
    with pytest.raises(ValueError, match="2 outputs"):
        estimator.fit(*two_targets)


@pytest.mark.parametrize("cls", [pair[1] for pair in BOTH])
def test_warm_start_keeps_the_best_of_all_fits(cls, iris):
    # scikit-learn overwrites the best weights while it goes on from them.
    X, y = iris
    held_out = {"X_val": X[::5], "y_val": y[::5]}
    estimator = cls(**OPTIONS, early_stopping=True, warm_start=True, max_iter=5)
    for rate in (0.1, 2.0, 1e-4):
        estimator.set_params(learning_rate_init=rate).fit(X, y, **held_out)
        assert estimator.score(X[::5], y[::5]) == pytest.approx(estimator.best_validation_score_)
        assert estimator.best_validation_score_ == max(estimator.validation_scores_)


@pytest.mark.parametrize("cls", [pair[1] for pair in BOTH])
def test_no_partial_fit_with_lbfgs(cls, iris):
    assert not hasattr(cls(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        cls(solver="lbfgs").partial_fit(*iris)


def test_partial_fit_with_early_stopping_needs_validation_data(iris):
    for cls in BOTH[1]:
        with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
            cls(early_stopping=True).partial_fit(*iris)


def test_stopped_and_continued_equals_uncut_but_for_the_moments(iris):
    whole = fastnn.MLPClassifier(**OPTIONS, momentum=0.0, max_iter=8).fit(*iris)
    cut = fastnn.MLPClassifier(**OPTIONS, momentum=0.0, max_iter=4, warm_start=True).fit(*iris).fit(*iris)
    np.testing.assert_array_equal(cut.coefs_[0], whole.coefs_[0])


def test_partial_fit_follows_parameters_that_change(iris):
    """The penalty and the activation as in scikit-learn, and the optimizer, which there keeps its first settings."""
    X, y = iris
    model = fastnn.MLPClassifier((5,), random_state=0, solver="adam")
    for _ in range(3):
        model.partial_fit(X, y, classes=np.unique(y))
    step, moments = model._trainer.step, model._trainer.moments.copy()
    parameters = model.network_.parameters.copy()
    model.set_params(alpha=100.0, activation="tanh")
    model.partial_fit(X, y)
    assert model.network_.layers[1].activation.name == "tanh"
    assert model.network_.layers[1].kernel_regularizer.l2 > 1 / len(X)
    assert model._trainer.network is model.network_ and model._trainer.step > step and moments.any()
    assert not np.array_equal(model.network_.parameters, parameters)
    assert len(model.loss_curve_) == 4
    model.set_params(solver="sgd", learning_rate_init=1e-9, momentum=0.0, alpha=0.0)
    before = model.network_.parameters.copy()
    model.partial_fit(X, y)
    np.testing.assert_allclose(model.network_.parameters, before, rtol=1e-4, atol=1e-6)
    assert type(model._trainer.optimizer).__name__ == "SGD"
    unchanged = model._trainer
    model.partial_fit(X, y)
    assert model._trainer is unchanged
