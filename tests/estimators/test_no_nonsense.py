"""What would be wrong without a word: numbers too large to predict, sizes that are no integers, parameters that a
continued fit cannot follow, divergence under early stopping."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

import fastnn
from support import rng

ESTIMATORS = (fastnn.MLPClassifier, fastnn.MLPRegressor)
X = rng(0).normal(size=(60, 4)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)


def fitted(kind=fastnn.MLPClassifier, **options):
    options = {"hidden_layer_sizes": (5,), "max_iter": 3, "tol": 10.0, "n_iter_no_change": 1, **options}
    return kind(random_state=0, **options).fit(X, y)


# -- numbers too large -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("options", [{}, {"n_estimators": 2}], ids=["one", "ensemble"])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
def test_what_float32_cannot_hold_is_refused(kind, options, form):
    model = fitted(kind, **options)
    large = np.zeros((3, 4))
    large[1, 2] = 1e39
    methods = [model.predict] + ([model.predict_proba] if kind is fastnn.MLPClassifier else [])
    for method in methods:
        with pytest.raises(ValueError, match=r"X must be finite in float32, got 1e\+39 in row 1, column 2"):
            method(form(large))
    with pytest.raises(ValueError, match="must be finite in float32"):
        model.score(form(large), [0, 1, 0])


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_what_overflows_inside_is_refused(kind):
    model = fitted(kind)
    model.coefs_[0][:] = [[1e30], [-1e30], [0.0], [0.0]]
    model.coefs_[1][:] = 1e30
    model.coefs_[1][1:] = -1e30
    model.intercepts_[0][:] = 0.0
    for large in (np.full((1, 4), 1e18, np.float32), np.ones((9, 4)) * [[1e18, 1.0, 0.0, 0.0]]):
        large[-1, 0] = 2e18
        with pytest.raises(ValueError, match=r"outputs are not a number, first in row \d; scale the features"):
            model.predict(large)


def test_one_row_that_overflows_inside_a_softmax_is_refused():
    """Of one row the first probability alone is looked at: a softmax is NaN in a whole row or nowhere."""
    X = rng(0).normal(size=(60, 4)).astype(np.float32)
    model = fastnn.MLPClassifier((3,), max_iter=3, tol=10.0, n_iter_no_change=1, random_state=0).fit(
        X, np.arange(60) % 3
    )
    for output in range(3):
        model.coefs_[1][:] = 0.0
        model.coefs_[0][:] = [[1e30], [-1e30], [0.0], [0.0]]
        model.coefs_[1][:, output] = [1e30, -1e30, 0.0]
        with pytest.raises(ValueError, match="outputs are not a number, first in row 0; scale the features"):
            model.predict(np.full((1, 4), 1e18, np.float32))


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(16.9,), (16.0,), (True,), [8, 3.5], np.array([3.0]), ("8",), (None,)])
def test_sizes_of_layers_are_integers(sizes):
    with pytest.raises(TypeError, match="hidden_layer_sizes must hold integers"):
        fitted(hidden_layer_sizes=sizes)


@pytest.mark.parametrize("sizes", [(np.int32(5),), np.array([5]), [5], 5])
def test_integers_of_every_kind_are(sizes):
    assert fitted(hidden_layer_sizes=sizes).coefs_[0].shape == (4, 5)


# -- a fit that goes on ------------------------------------------------------------------------------------------------

CHANGES = [
    ({"hidden_layer_sizes": (6,)}, r"hidden_layer_sizes must stay \(5,\) .*got \(6,\)"),
    ({"hidden_layer_sizes": ()}, "hidden_layer_sizes must stay"),
    ({"n_estimators": 2}, "n_estimators must stay 1 .*got 2"),
    ({"bootstrap": True}, "or bootstrap was changed"),
    ({"normalization": "layer"}, "normalization must stay None .*got 'layer'"),
    ({"dtype": "float64"}, "dtype must stay 'float32'"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_warm_start_names_what_it_cannot_follow(kind, change, message):
    model = fitted(kind, warm_start=True)
    before, n_epochs = model.network_.parameters.copy(), len(model.loss_curve_)
    model.set_params(**change)
    with pytest.raises(ValueError, match=f"{message}.*warm_start=False"):
        model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(model.network_.parameters, before)
    assert len(model.loss_curve_) == n_epochs
    model.set_params(warm_start=False).fit(X, y)


def test_an_ensemble_has_its_size():
    model = fitted(n_estimators=3, warm_start=True)
    for change in ({"n_estimators": 2}, {"n_estimators": 1}):
        model.set_params(**change)
        with pytest.raises(ValueError, match="n_estimators must stay 3"):
            model.fit(X, y)


def test_members_of_an_ensemble_follow_its_parameters():
    model = fitted(n_estimators=2, warm_start=True)
    model.set_params(max_iter=7, tol=0.0, n_iter_no_change=100)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert [member.n_iter_ for member in model.estimators_] == [7, 7]


@pytest.mark.parametrize(
    ("solver", "change"),
    [
        ("adam", {"alpha": 10.0}), ("adam", {"activation": "tanh"}), ("adam", {"dropout": 0.5}),
        ("lbfgs", {"alpha": 10.0}), ("lbfgs", {"activation": "tanh"}),
    ],
)  # fmt: skip
def test_warm_start_follows_what_it_can(solver, change):
    """As scikit-learn does: they were ignored."""
    results = []
    for changed in ({}, change):
        model = fitted(warm_start=True, solver=solver)
        start = model.network_.parameters.copy()
        model.set_params(**changed, max_iter=30, tol=1e-8, n_iter_no_change=100)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        results.append(model.network_.parameters.copy())
        assert not np.array_equal(start, results[-1])
    assert np.abs(results[0] - results[1]).max() > 1e-3


# -- early stopping ----------------------------------------------------------------------------------------------------


def test_early_stopping_names_the_class_with_too_few_members():
    """scikit-learn's test_early_stopping_stratified, with labels of the user's."""
    with pytest.raises(ValueError, match=r"least populated class.*too few.*\['rare'\]"):
        fastnn.MLPClassifier(early_stopping=True).fit(np.zeros((4, 2)), ["often", "often", "often", "rare"])


def test_divergence_under_early_stopping_keeps_the_best_weights(tmp_path):
    """scikit-learn's test_mlp_diverging_loss; and the weights are finite, and it is said."""
    model = fastnn.MLPRegressor(
        hidden_layer_sizes=100, activation="identity", solver="sgd", learning_rate_init=1, max_iter=20,
        early_stopping=True, random_state=0,
    )  # fmt: skip
    data = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="non-finite.*The weights are those"):
        model.fit(*data)
    assert str(model.validation_scores_[-1]) == "nan"
    assert len(model.validation_scores_) == len(model.loss_curve_) == len(model.validation_loss_curve_) == model.n_iter_
    assert np.isfinite(model.network_.parameters).all()
    assert np.isfinite(model.predict(data[0])).all()
    model.save(tmp_path / "file")
    np.testing.assert_array_equal(fastnn.MLPRegressor.load(tmp_path / "file").predict(data[0]), model.predict(data[0]))


def test_divergence_without_early_stopping_is_an_error():
    model = fastnn.MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1, max_iter=20, random_state=0)
    with pytest.raises(ValueError, match="non-finite"):
        model.fit(*load_iris(return_X_y=True))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_joblib_s_hash_stays_after_pickling(kind):
    """Caches that are keyed by it, such as those of joblib.Memory, find a model again."""
    model = fitted(kind)
    expected = joblib.hash(model)
    copied = pickle.loads(pickle.dumps(model))
    assert joblib.hash(copied) == expected
    copied.predict(X)
    assert joblib.hash(copied) == expected
