"""The estimators inside scikit-learn's other tools, and with data frames."""

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score, learning_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastnn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def classifier(**parameters):
    return MLPClassifier(**{"solver": "lbfgs", "max_iter": 50, "random_state": 0, **parameters})


def regressor(**parameters):
    return MLPRegressor(**{"solver": "lbfgs", "max_iter": 50, "random_state": 0, **parameters})


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_pipeline(StandardScaler(), classifier()),
        lambda: GridSearchCV(classifier(), {"alpha": [1e-4, 1.0]}, cv=2),
        lambda: CalibratedClassifierCV(classifier(), cv=2),
        lambda: BaggingClassifier(classifier(), n_estimators=2, random_state=0),
        lambda: StackingClassifier([("mlp", classifier()), ("lr", LogisticRegression())], cv=2),
        lambda: VotingClassifier([("a", classifier()), ("b", classifier(random_state=1))], voting="soft"),
        lambda: AdaBoostClassifier(classifier(), n_estimators=2),
        lambda: OneVsRestClassifier(classifier()),
    ],
)
def test_classifiers_made_of_ours(make, iris):
    assert make().fit(*iris).score(*iris) > 0.95


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_pipeline(StandardScaler(), regressor()),
        lambda: GridSearchCV(regressor(), {"hidden_layer_sizes": [(5,), (10, 5)]}, cv=2),
        lambda: BaggingRegressor(regressor(), n_estimators=2, random_state=0),
        lambda: StackingRegressor([("mlp", regressor()), ("ridge", Ridge())], cv=2),
        lambda: TransformedTargetRegressor(regressor(), transformer=StandardScaler()),
        lambda: MultiOutputRegressor(regressor()),
    ],
)
def test_regressors_made_of_ours(make, diabetes):
    X, y = diabetes
    model = make()
    y = y[:, None] if isinstance(model, MultiOutputRegressor) else y
    assert model.fit(X, y).score(X, y) > 0.5


def test_tools_that_ask_a_fitted_model(iris, tmp_path):
    import matplotlib as mpl

    mpl.use("Agg")
    X, y = iris
    fitted = classifier().fit(X, y)
    importance = permutation_importance(fitted, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance[2:].sum() > importance[:2].sum()  # petals tell more than sepals
    display = PartialDependenceDisplay.from_estimator(fitted, X, [2], target=0, grid_resolution=5)
    assert np.ptp(display.pd_results[0]["average"]) > 0.1
    sizes, _, scores = learning_curve(classifier(), X, y, train_sizes=[0.5, 1.0], cv=2, shuffle=True, random_state=0)
    assert scores.shape == (len(sizes), 2)
    selected = SequentialFeatureSelector(classifier(max_iter=10), n_features_to_select=1, cv=2).fit(X, y)
    assert selected.get_support()[2:].any()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_cross_validation_gives_the_serial_scores(backend, iris):
    X, y = iris
    model = MLPClassifier(max_iter=30, random_state=0)
    expected = cross_val_score(model, X, y, cv=4)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        np.testing.assert_array_equal(cross_val_score(model, X, y, cv=4), expected)


def test_metadata_routing(iris):
    X, y = iris
    weights = (y != 2).astype(float)
    with sklearn.config_context(enable_metadata_routing=True):
        routed = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, routed).fit(X, y, sample_weight=weights)
        assert 2 not in pipeline.predict(X)  # samples that weigh nothing teach nothing
        search = GridSearchCV(routed, {"alpha": [1e-4]}, cv=2).fit(X, y, sample_weight=weights)
        assert search.best_score_ > 0.95
        unasked = make_pipeline(scaler, MLPClassifier(max_iter=1))
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            unasked.fit(X, y, sample_weight=weights)


def test_validation_set_as_metadata(iris):
    X, y = iris
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=5, random_state=0).set_fit_request(X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler(), model, transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X[:30], y_val=y[:30])
    assert len(pipeline[-1].validation_scores_) == 5


def test_html_repr_and_tags(iris):
    model = classifier()
    html = model._repr_html_()
    assert "MLPClassifier" in html
    assert "Not fitted" in html
    assert "Fitted" in model.fit(*iris)._repr_html_()
    tags = sklearn.utils.get_tags(model)
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_label


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(library, iris):
    frames = pytest.importorskip(library)
    X, y = iris
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    frame = frames.DataFrame({name: X[:, i] for i, name in enumerate(names)})
    target = frames.Series("species", y) if library == "polars" else frames.Series(y, name="species")
    model = classifier().fit(frame, target)
    np.testing.assert_array_equal(model.feature_names_in_, names)
    np.testing.assert_array_equal(model.predict(frame), classifier().fit(X, y).predict(X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_many_kinds_and_set_output(library):
    frames = pytest.importorskip(library)
    generator = np.random.default_rng(0)
    colour, size = np.array(["red", "blue"])[generator.integers(2, size=80)], generator.normal(size=80)
    y = (colour == "red") ^ (size > 0)
    frame = frames.DataFrame({"colour": colour, "size": size})
    columns = ColumnTransformer([
        ("colour", OneHotEncoder(sparse_output=False), ["colour"]), ("size", StandardScaler(), ["size"]),
    ])  # fmt: skip
    model = make_pipeline(columns, classifier(max_iter=200)).set_output(transform=library).fit(frame, y)
    assert model.score(frame, y) > 0.95
    assert list(model[-1].feature_names_in_) == ["colour__colour_blue", "colour__colour_red", "size__size"]


def test_joblib_files_and_memory_maps(iris, tmp_path):
    X, y = iris
    fitted = MLPClassifier(max_iter=5, random_state=0).fit(X, y)
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(mapped.predict_proba(X), fitted.predict_proba(X))


def test_halving_search_on_threads(digits):
    X, y = digits
    search = HalvingRandomSearchCV(
        MLPClassifier(random_state=0, n_iter_no_change=100),
        {"learning_rate_init": [1e-4, 1e-3, 1e-2], "hidden_layer_sizes": [(20,), (50,)]},
        resource="max_iter", min_resources=8, max_resources=72, n_candidates=6, cv=2, random_state=0,
    )  # fmt: skip
    with joblib.parallel_config(backend="threading", n_jobs=2):
        search.fit(X, y)
    assert search.best_params_["learning_rate_init"] == 1e-2
    assert search.best_score_ > 0.8
