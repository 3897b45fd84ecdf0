"""In place of scikit-learn's estimators: the same numbers, attributes, warnings and errors.

With `shuffle=False` nothing random is left after the initial weights, which are the same: in float64 both then follow
one path to rounding.
"""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network as peer
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss

import fastnn

DATA = ["digits", "breast_cancer", "multilabel", "diabetes", "two_targets"]
PAIRS = {
    "classifier": (peer.MLPClassifier, fastnn.MLPClassifier),
    "regressor": (peer.MLPRegressor, fastnn.MLPRegressor),
}
SOLVERS = {
    "adam": {"solver": "adam"},
    "adam, early stopping": {"solver": "adam", "early_stopping": True, "beta_1": 0.8, "epsilon": 1e-4},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "plain sgd": {"solver": "sgd", "momentum": 0.0, "alpha": 1.0},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False, "batch_size": 64},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "batch_size": 32, "power_t": 0.3},
    "early stopping": {"solver": "sgd", "early_stopping": True, "n_iter_no_change": 3},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.01},
    "logistic": {"solver": "sgd", "activation": "logistic", "hidden_layer_sizes": (20, 10)},
    "identity": {"solver": "lbfgs", "activation": "identity", "hidden_layer_sizes": 7},
    "tanh": {"solver": "lbfgs", "activation": "tanh", "hidden_layer_sizes": [5, 4, 3]},
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def pair_for(name):
    return PAIRS["regressor" if name in ("diabetes", "two_targets") else "classifier"]


def fit_both(name, data, sample_weight=None, **parameters):
    X, y = data
    options = {"shuffle": False, "max_iter": 12, "random_state": 3, **parameters}
    return [cls(**options).fit(X, y, sample_weight=sample_weight) for cls in pair_for(name)]


def assert_same_weights(expected, actual, atol=1e-10):
    for a, b in zip(expected.coefs_ + expected.intercepts_, actual.coefs_ + actual.intercepts_, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", DATA)
def test_the_same_path_to_rounding(name, solver, request):
    if name == "two_targets" and SOLVERS[solver]["solver"] == "lbfgs":
        pytest.skip("scikit-learn's line search takes the mean over outputs, with the gradient of their sum")
    data = request.getfixturevalue(name)
    expected, actual = fit_both(name, data, **SOLVERS[solver])
    assert_same_weights(expected, actual)
    assert actual.n_iter_ == expected.n_iter_
    assert actual.t_ == expected.t_
    np.testing.assert_allclose(actual.loss_, expected.loss_, rtol=1e-10)
    if hasattr(expected, "loss_curve_"):
        np.testing.assert_allclose(actual.loss_curve_, expected.loss_curve_, rtol=1e-10)
        for attribute in ("best_loss_", "validation_scores_", "best_validation_score_"):
            np.testing.assert_allclose(
                np.array(getattr(actual, attribute), float), np.array(getattr(expected, attribute), float), rtol=1e-10
            )
    np.testing.assert_allclose(actual.predict(data[0]), expected.predict(data[0]), rtol=1e-9, atol=1e-9)
    assert actual.score(*data) == pytest.approx(expected.score(*data), abs=1e-9)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "diabetes"])
def test_sample_weights_count_as_there(name, solver, request):
    data = request.getfixturevalue(name)
    weights = np.random.default_rng(0).uniform(size=len(data[0]))
    assert_same_weights(*fit_both(name, data, sample_weight=weights, **SOLVERS[solver]))


def test_the_loss_with_sample_weights(iris):
    """scikit-learn's with one batch an epoch; with several ours is the mean over samples, not over batches."""
    X, y = iris
    weights = np.random.default_rng(0).uniform(0.1, 3.0, len(y))
    expected, actual = fit_both("iris", iris, sample_weight=weights, batch_size=len(y))
    np.testing.assert_allclose(actual.loss_curve_, expected.loss_curve_, rtol=1e-10)
    # At a rate that moves nothing every batch has the same weights, so the epoch's mean is that of all samples.
    options = {
        "shuffle": False,
        "max_iter": 1,
        "random_state": 0,
        "solver": "sgd",
        "learning_rate_init": 1e-12,
        "alpha": 0,
    }
    clf = fastnn.MLPClassifier(batch_size=40, **options).fit(X, y, sample_weight=weights)
    assert clf.loss_ == pytest.approx(log_loss(y, clf.predict_proba(X), sample_weight=weights), rel=1e-9)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.parametrize("name", ["diabetes", "two_targets"])
def test_poisson_loss(name, solver, request):
    data = request.getfixturevalue(name)
    expected, actual = fit_both(name, data, solver=solver, loss="poisson")
    assert_same_weights(expected, actual)
    assert actual.loss_ == pytest.approx(expected.loss_, rel=1e-10)
    assert actual.out_activation_ == expected.out_activation_ == "exp"


def test_lbfgs_reports_the_mean_over_targets(two_targets):
    X, Y = two_targets
    ours = fastnn.MLPRegressor(solver="lbfgs", alpha=0.0, max_iter=30, random_state=0).fit(X, Y)
    assert ours.loss_ == pytest.approx(0.5 * np.mean((ours.predict(X) - Y) ** 2), rel=1e-10)


@pytest.mark.parametrize("name", DATA)
def test_public_attributes_are_those_of_scikit_learn(name, request):
    data = request.getfixturevalue(name)
    expected, actual = fit_both(name, data)
    public = {attribute for attribute in vars(expected) if attribute.endswith("_") and attribute[0] != "_"}
    for attribute in public:
        assert hasattr(actual, attribute), attribute
    assert (actual.n_layers_, actual.n_outputs_) == (expected.n_layers_, expected.n_outputs_)
    assert actual.out_activation_ == expected.out_activation_
    if hasattr(expected, "classes_"):
        np.testing.assert_array_equal(actual.classes_, expected.classes_)
    assert actual.coefs_[0].dtype == expected.coefs_[0].dtype


@pytest.mark.parametrize("kind", PAIRS)
def test_parameters_have_the_same_names_order_and_defaults(kind):
    theirs, ours = (cls() for cls in PAIRS[kind])
    for name, value in theirs.get_params().items():
        assert ours.get_params()[name] == value, name
    assert ours.loss == theirs.loss


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", PAIRS)
def test_dtypes_are_kept_as_there(kind, solver, iris):
    X, y = iris
    for fitted_in in (np.float32, np.float64, np.int64):
        theirs, ours = (
            cls(solver=solver, max_iter=3, random_state=0).fit(X.astype(fitted_in), y) for cls in PAIRS[kind]
        )
        assert ours.coefs_[0].dtype == theirs.coefs_[0].dtype
        for dtype in (np.float32, np.float64, np.int64):
            method = "predict_proba" if kind == "classifier" else "predict"
            given = X.astype(dtype)
            assert getattr(ours, method)(given).dtype == getattr(theirs, method)(given).dtype, (fitted_in, dtype)


@pytest.mark.parametrize("make_sparse", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
def test_sparse_features(make_sparse, digits, diabetes):
    X, y = digits
    dense = fastnn.MLPClassifier(max_iter=3, random_state=0).fit(X, y)
    sparse = fastnn.MLPClassifier(max_iter=3, random_state=0).fit(make_sparse(X), y)
    np.testing.assert_array_equal(sparse.coefs_[0], dense.coefs_[0])
    many = np.tile(X, (4, 1))  # more rows than are made dense at once
    np.testing.assert_array_equal(sparse.predict_proba(make_sparse(many)), dense.predict_proba(many))


@pytest.mark.parametrize("labels", [["b", "a"], ["c", "a", "b"], [False, True], [2, -1], [10.0, 3.0, 7.0]])
def test_labels_of_any_sortable_kind(labels, iris):
    X, _ = iris
    y = np.array(labels)[np.arange(len(X)) % len(labels)]
    theirs, ours = (cls(solver="lbfgs", max_iter=20, random_state=0).fit(X, y) for cls in PAIRS["classifier"])
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.predict_log_proba(X), np.log(ours.predict_proba(X)))


def test_one_class_only():
    X = np.arange(6.0).reshape(-1, 1)
    theirs, ours = (cls(max_iter=2, random_state=0).fit(X, np.full(6, "only")) for cls in PAIRS["classifier"])
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.predict_proba(X).shape == theirs.predict_proba(X).shape


def test_sparse_multilabel_targets(multilabel):
    X, Y = multilabel
    dense, sparse = (
        fastnn.MLPClassifier(max_iter=5, random_state=0).fit(X, y) for y in (Y, scipy.sparse.csr_matrix(Y))
    )
    np.testing.assert_array_equal(sparse.predict(X), dense.predict(X))


WRONG = [
    ({"hidden_layer_sizes": -1}, ValueError),
    ({"hidden_layer_sizes": [5, 0]}, ValueError),
    ({"activation": "ghost"}, ValueError),
    ({"solver": "ghost"}, ValueError),
    ({"learning_rate": "ghost"}, ValueError),
    ({"alpha": -1.0}, ValueError),
    ({"learning_rate_init": 0.0}, ValueError),
    ({"momentum": 2.0}, ValueError),
    ({"max_iter": -1}, ValueError),
    ({"batch_size": 0}, ValueError),
    ({"beta_1": 1.0}, ValueError),
    ({"epsilon": 0.0}, ValueError),
    ({"shuffle": "yes"}, ValueError),
    ({"n_iter_no_change": 0}, ValueError),
    ({"early_stopping": True, "validation_fraction": 1e-6}, ValueError),
]


@pytest.mark.parametrize(("parameters", "error"), WRONG)
@pytest.mark.parametrize("kind", PAIRS)
def test_the_same_errors_for_wrong_parameters(kind, parameters, error, iris):
    for cls in PAIRS[kind]:
        estimator = cls(**parameters)
        with pytest.raises(error) as caught:
            estimator.fit(*iris)
        assert next(iter(parameters)) in str(caught.value) or "validation" in str(caught.value)
    with pytest.raises(NotFittedError):  # of ours; scikit-learn's has weights after the last of these errors
        estimator.predict(iris[0])


@pytest.mark.parametrize("kind", PAIRS)
def test_the_same_errors_for_wrong_data(kind, iris):
    X, y = iris
    broken = X.copy()
    broken[3, 2] = np.nan
    for cls in PAIRS[kind]:
        for arguments, words in [
            ((broken, y), "NaN"),
            ((X, y[:-1]), "inconsistent"),
            ((X[:0], y[:0]), "0 sample"),
            ((X[0], y), "2D array"),
            ((X, None), "requires y"),
        ]:
            with pytest.raises(ValueError, match=words):
                cls().fit(*arguments)
        fitted = cls(max_iter=1).fit(X, y)
        for wrong, words in [(broken, "NaN"), (X[:, :2], "features"), (X[:0], "0 sample"), (X[0], "2D array")]:
            with pytest.raises(ValueError, match=words):
                fitted.predict(wrong)


def test_continuous_labels_are_refused(diabetes):
    with pytest.raises(ValueError, match="continuous"):
        fastnn.MLPClassifier().fit(*diabetes)


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_the_same_warnings(kind, solver, iris):
    for cls in PAIRS[kind]:
        with pytest.warns(ConvergenceWarning, match="iteration"):
            cls(solver=solver, max_iter=2, random_state=0).fit(*iris)
    for cls in PAIRS[kind]:
        with pytest.warns(UserWarning, match="clipped"):
            cls(batch_size=1000, max_iter=1).fit(*iris)


@pytest.mark.parametrize("kind", PAIRS)
def test_max_fun_ends_lbfgs_as_there(kind, iris):
    theirs, ours = (cls(solver="lbfgs", max_fun=7, random_state=0) for cls in PAIRS[kind])
    for estimator in (theirs, ours):
        with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
            estimator.fit(*iris)
    assert ours.n_iter_ == theirs.n_iter_ < 10
    assert_same_weights(theirs, ours)


@pytest.mark.parametrize("kind", PAIRS)
def test_divergence_is_an_error(kind, iris):
    X, y = iris
    for cls in PAIRS[kind]:
        with pytest.raises(ValueError, match="non-finite"), np.errstate(all="ignore"):
            cls(solver="sgd", activation="identity", learning_rate_init=1e20, max_iter=50).fit(X * 1e3, y)


def test_verbose_prints_what_scikit_learn_prints(iris, capsys):
    printed = []
    for cls in PAIRS["classifier"]:
        for options in ({"early_stopping": True}, {"learning_rate": "adaptive", "tol": 0.1}):
            cls(solver="sgd", shuffle=False, verbose=True, random_state=0, n_iter_no_change=2, max_iter=200, **options
                ).fit(*iris)  # fmt: skip
        printed.append(capsys.readouterr().out)
    assert printed[1] == printed[0]


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("copy", [deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_predict_the_same_and_go_on_training(kind, copy, iris):
    X, y = iris
    original = PAIRS[kind][1](random_state=0, max_iter=5).fit(X, y)
    other = copy(original)
    np.testing.assert_array_equal(other.predict(X), original.predict(X))
    for estimator in (original, other):
        estimator.partial_fit(X, y)
    np.testing.assert_array_equal(other.coefs_[0], original.coefs_[0])
    original.coefs_[0][:] = 0
    assert other.coefs_[0].any()


def test_clone_is_unfitted_and_equal_in_parameters():
    estimator = fastnn.MLPClassifier([3, 2], alpha=0.5, dropout=0.1)
    assert clone(estimator).get_params() == estimator.get_params()
    assert repr(estimator) == "MLPClassifier(alpha=0.5, dropout=0.1, hidden_layer_sizes=[3, 2])"


def test_same_seed_same_bits_and_no_global_random_state(digits):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (fastnn.MLPClassifier(max_iter=3, random_state=5).fit(*digits) for _ in range(2))
    np.testing.assert_array_equal(first.coefs_[0], second.coefs_[0])
    other = fastnn.MLPClassifier(max_iter=3, random_state=6).fit(*digits)
    assert not np.array_equal(first.coefs_[0], other.coefs_[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
