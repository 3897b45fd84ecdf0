"""Estimators as files: what is saved comes back, a continued fit does not notice, and nothing in a file is trusted."""

import contextlib
import pathlib
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastnn
from fastnn import FileFormatError, MLPClassifier, MLPRegressor
from fastnn.activations import LeakyReLU
from fastnn.files import container
from fuzzing import FUZZ, VALUES, join, places, split

DATA = pathlib.Path(__file__).parents[1] / "files" / "data"
X = np.random.default_rng(0).normal(size=(60, 4))
Y = X[:, 0] + X[:, 1] ** 2 / 4
THREE = np.digitize(Y, [-0.3, 0.6])
CLASSES = {
    "two numbers": np.where(Y > 0, 7, -3),
    "three small numbers": THREE.astype(np.int8),
    "large numbers": THREE.astype(np.uint64) + np.uint64(2**63),
    "floats": THREE.astype(np.float64),
    "two texts": np.where(Y > 0, "yes", "no"),
    "three texts": np.array(["low", "middle", "h\u00f6ch"])[THREE],
    "texts as objects": np.array(["a", "b", "c"], object)[THREE],
    "truth": Y > 0,
    "one class": np.full(len(Y), 5),
    "many labels": np.stack([Y > 0, X[:, 2] > 0, Y > 1], axis=1).astype(int),
}


@pytest.fixture(autouse=True)
def no_convergence_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few epochs are enough here
        yield


def small(cls=MLPClassifier, **options):
    return cls(**{"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, **options})


def through_a_file(model, path):
    model.save(path)
    return type(model).load(path)


def assert_same(ours, theirs, skip=()):
    assert type(ours) is type(theirs)
    for name, value in vars(theirs).items():
        if name in {"_random_state", "_labels", "_trainer", "network_", *skip}:
            continue
        np.testing.assert_equal(getattr(ours, name), value, err_msg=name)
        assert type(getattr(ours, name)) is type(value), name
    assert ours.network_.layers == theirs.network_.layers
    assert ours.network_.parameters.tobytes() == theirs.network_.parameters.tobytes()


@pytest.mark.parametrize("kind", CLASSES)
def test_classifiers(tmp_path, kind):
    model = small().fit(X, CLASSES[kind])
    loaded = through_a_file(model, tmp_path / "file")
    assert_same(loaded, model)
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("options", [
    {}, {"solver": "lbfgs"}, {"early_stopping": True}, {"loss": "poisson"}, {"loss": fastnn.losses.Huber(0.5)},
    {"activation": LeakyReLU(0.3)}, {"activation": ["tanh", "relu"], "hidden_layer_sizes": [4, 3]},
    {"solver": fastnn.SGD(0.01, momentum=0.5)}, {"solver": "rmsprop", "dtype": "float32"}, {"hidden_layer_sizes": 3},
    {"hidden_layer_sizes": (4, 3), "dropout": (0.1, 0.0)}, {"n_iter_no_change": np.inf, "alpha": np.float64(0.01)},
    {"hidden_layer_sizes": (), "batch_size": 7, "learning_rate": "adaptive", "solver": "sgd", "n_threads": None},
], ids=str)  # fmt: skip
def test_regressors_with_every_kind_of_parameter(tmp_path, options):
    model = small(MLPRegressor, **options).fit(X, np.abs(Y))
    loaded = through_a_file(model, tmp_path / "file")
    assert_same(loaded, model, skip=["alpha"])
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_class_weights_with_texts_and_numbers_as_keys(tmp_path):
    for labels, weights in [(CLASSES["two texts"], {"yes": 2.0, "no": 1}), (CLASSES["two numbers"], {7: 3, -3: 0.5}),
                            (THREE, "balanced")]:  # fmt: skip
        model = small(class_weight=weights).fit(X, labels)
        assert through_a_file(model, tmp_path / "file").class_weight == weights


def test_what_is_code_or_somebody_elses_state_comes_back_as_none(tmp_path):
    model = small(
        callbacks=[fastnn.callbacks.LambdaCallback()], random_state=np.random.RandomState(0),
        scoring=lambda estimator, X, y: 0.5, early_stopping=True,
    ).fit(X, THREE)  # fmt: skip
    loaded = through_a_file(model, tmp_path / "file")
    assert (loaded.callbacks, loaded.random_state, loaded.scoring) == (None, None, None)
    assert through_a_file(small(scoring="accuracy").fit(X, THREE), tmp_path / "file").scoring == "accuracy"


@pytest.mark.parametrize("options", [{}, {"solver": "sgd", "learning_rate": "invscaling"}], ids=str)
def test_partial_fit_goes_on_as_if_nothing_had_been(tmp_path, options):
    uncut, first = small(**options), small(**options)
    for _ in range(4):
        uncut.partial_fit(X, THREE, classes=[0, 1, 2])
    for _ in range(2):
        first.partial_fit(X, THREE, classes=[0, 1, 2])
    second = through_a_file(first, tmp_path / "file")
    for _ in range(2):
        second.partial_fit(X, THREE)
    assert_same(second, uncut)


def test_warm_start_goes_on(tmp_path):
    first = small(MLPRegressor, warm_start=True).fit(X, Y)
    second = through_a_file(first, tmp_path / "file")
    first.fit(X, Y)
    second.fit(X, Y)
    assert_same(second, first)


def test_an_assigned_network_goes_on_after_a_file(tmp_path):
    """No parameter describes it, and the file knows that."""
    model = small().fit(X, THREE)
    assert "_has_assigned_network" not in vars(through_a_file(model, tmp_path / "own"))
    model.network_ = fastnn.Network.mlp(4, [7], 3, output="softmax", dtype="float64", seed=1)
    again = through_a_file(model, tmp_path / "assigned")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    model.partial_fit(X, THREE)
    again.partial_fit(X, THREE)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    again.fit(X, THREE)  # anew, as the parameters say
    assert "_has_assigned_network" not in vars(again) and again.network_.layers[1].units == 5


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("n_estimators", [1, 3])
def test_averages_of_networks(tmp_path, cls, n_estimators):
    targets = CLASSES["three texts"] if cls is MLPClassifier else Y
    model = small(cls, n_estimators=n_estimators, bootstrap=True).fit(X, targets)
    loaded = through_a_file(model, tmp_path / "file")
    assert_same(loaded, model, skip=["estimators_"])
    assert len(loaded.estimators_) == n_estimators
    for ours, theirs in zip(loaded.estimators_, model.estimators_, strict=True):
        assert_same(ours, theirs)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.network_ is loaded.estimators_[0].network_


def test_an_average_of_networks_goes_on(tmp_path):
    uncut, first = (small(MLPRegressor, n_estimators=2) for _ in range(2))
    uncut.partial_fit(X, Y).partial_fit(X, Y)
    second = through_a_file(first.partial_fit(X, Y), tmp_path / "file").partial_fit(X, Y)
    np.testing.assert_array_equal(second.predict(X), uncut.predict(X))


@pytest.mark.parametrize("change, message", [
    (lambda members: members.clear(), r"estimator\.members must be a list of estimators, got \[\]"),
    (lambda members: members.append(3), r"estimator\.members must be a list of estimators"),
    (lambda members: members.append(members[0]), r"'estimator/members/2/network/1/kernel' is missing"),
    (lambda members: members[1].update({"class": "x"}), r"of class 'x', not MLPClassifier"),
], ids=["none", "number", "twice", "class"])  # fmt: skip
def test_hostile_averages(tmp_path, change, message):
    small(n_estimators=2).fit(X, THREE).save(tmp_path / "file")
    header, document, arrays = split((tmp_path / "file").read_bytes())
    change(document["estimator"]["members"])
    (tmp_path / "file").write_bytes(join(header, document, arrays))
    with pytest.raises(FileFormatError, match=message):
        MLPClassifier.load(tmp_path / "file")


def test_feature_names_are_kept(tmp_path):
    model = small().fit(X, THREE)
    model.feature_names_in_ = np.array(["a", "b", "c", "\u00fc"], object)
    loaded = through_a_file(model, tmp_path / "file")
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c", "\u00fc"]
    assert loaded.feature_names_in_.dtype == object
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        loaded.predict(X)


def test_a_network_comes_out_and_the_wrong_kind_does_not(tmp_path):
    model = small().fit(X, THREE)
    model.save(tmp_path / "file")
    assert fastnn.Network.load(tmp_path / "file").parameters.tobytes() == model.network_.parameters.tobytes()
    with pytest.raises(FileFormatError, match="an estimator of class 'MLPClassifier', not MLPRegressor"):
        MLPRegressor.load(tmp_path / "file")
    with pytest.raises(FileFormatError, match="holds no trainer but a 'estimator'"):
        fastnn.Trainer.load(tmp_path / "file")
    model.network_.save(tmp_path / "file")
    with pytest.raises(FileFormatError, match="holds no estimator but a 'network'"):
        MLPClassifier.load(tmp_path / "file")


def test_what_cannot_be_saved_leaves_no_file(tmp_path):
    with pytest.raises(NotFittedError):
        small().save(tmp_path / "file")
    model = small().fit(X, THREE)
    model.class_weight = {0: object()}
    with pytest.raises(ValueError, match=r"class_weight must be a number, a text, or made of such to be saved, got"):
        model.save(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


# --- hostile files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    path = tmp_path_factory.mktemp("valid") / "file"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = small(activation=LeakyReLU(0.1), class_weight={"low": 1.0, "middle": 2.0, "h\u00f6ch": 1.0})
        model.fit(X, CLASSES["three texts"]).save(path)
    return path.read_bytes()


@settings(FUZZ, max_examples=600)
@given(data=st.data())
def test_estimators_replaced_removed_and_added(tmp_path, valid, data):
    header, document, arrays = split(valid)
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = data.draw(st.sampled_from(list(places(document["estimator"]))))
        if data.draw(st.booleans()):
            holder[key] = data.draw(VALUES)
        else:
            del holder[key]
    path = tmp_path / "file"
    path.write_bytes(join(header, document, arrays))
    with contextlib.suppress(FileFormatError):
        model = MLPClassifier.load(path)
        assert set(model.predict(X)) <= set(model.classes_)


@pytest.mark.parametrize("change, message", [
    (lambda part: part["parameters"].update(hidden=3), r"estimator\.parameters: .*unexpected keyword argument"),
    (lambda part: part["parameters"].update(alpha=-1.0), r"estimator\.parameters: The 'alpha' parameter"),
    (lambda part: part["parameters"].update(activation={"exec": "x"}), r"estimator\.parameters: not a parameter"),
    (lambda part: part["fitted"].update(__class__="x"), r"estimator\.fitted: '__class__' does not exist"),
    (lambda part: part["fitted"].update(network_=1), r"estimator\.fitted: 'network_' does not exist"),
    (lambda part: part["fitted"].update(_has_assigned_network=1), r"'_has_assigned_network' .* cannot be 1"),
    (lambda part: part["fitted"].update(n_iter_=-1), r"estimator\.fitted: 'n_iter_' does not exist or cannot be -1"),
    (lambda part: part["fitted"].update(n_features_in_=5), r"n_features_in_ must be 4, as in the network, got 5"),
    (lambda part: part["classes"].update(values=["a", "b"]), r"2 of kind 'multiclass' do not go with 3 outputs"),
    (lambda part: part["classes"].update(values=["b", "a", "c"]), "must be sorted, and differ"),
    (lambda part: part["classes"].update(dtype="float128"), "labels of a known dtype"),
    (lambda part: part["classes"].update(dtype="int8", values=[1, 2, 300]), r"estimator\.classes: "),
    (lambda part: part.pop("classes"), "must hold labels of a known dtype, got None"),
    (lambda part: part.update({"class": "BaseMLP"}), "of class 'BaseMLP', not MLPClassifier"),
    (lambda part: part["trainer"].update(loss={"name": "scaled"}), r"estimator/trainer\.loss: "),
])  # fmt: skip
def test_messages(tmp_path, valid, change, message):
    header, document, arrays = split(valid)
    change(document["estimator"])
    (tmp_path / "file").write_bytes(join(header, document, arrays))
    with pytest.raises(FileFormatError, match=message):
        MLPClassifier.load(tmp_path / "file")


def test_more_parts_stand_beside_an_estimator(tmp_path):
    from fastnn.estimators.files import save_estimator
    from fastnn.files.persistence import unpack

    model = small().fit(X, THREE)
    save_estimator(model, tmp_path / "file", preprocessing={"mean": X.mean(axis=0), "columns": ["a", "b", "c", "d"]})
    with container.reading(tmp_path / "file") as file:
        preprocessing = unpack(file, file.document["preprocessing"])
    assert preprocessing["columns"] == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(preprocessing["mean"], X.mean(axis=0))
    assert_same(MLPClassifier.load(tmp_path / "file"), model)


def test_an_estimator_of_format_1_loads():
    """Written by fastnn 0.1.0, and never written again."""
    model = MLPClassifier.load(DATA / "classifier-format-1.safetensors")
    assert model.get_params()["class_weight"] == {"high": 2.0, "low": 1.0}
    assert model.hidden_layer_sizes == (4,)
    assert model.activation == LeakyReLU(0.1)
    assert model.classes_.tolist() == ["high", "low"]
    assert model.feature_names_in_.tolist() == ["height", "weight"]
    del model.feature_names_in_  # or arrays without names would be warned about
    assert (model.n_iter_, model.t_) == (2, 80)
    np.testing.assert_allclose(model.predict_proba(np.array([[1.0, 2.0], [-1.0, 0.5]]))[:, 0], PROBABILITIES, rtol=1e-6)
    expected = model.loss_curve_.copy()
    assert model.partial_fit(np.array([[1.0, 2.0], [-1.0, 0.5]]), ["high", "low"]).loss_curve_[:2] == expected


PROBABILITIES = [0.9051309311852463, 0.831135624275293]


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_features_in_", 9), ("n_iter_", "x"), ("t_", 3.7), ("loss_curve_", "x"), ("best_loss_", "x"),
     ("feature_names_in_", ["a"] * 9)],
)  # fmt: skip
def test_what_no_file_is_read_with_is_not_written(tmp_path, name, value):
    """Assigned by mistake: predictions do not look at it, but the file would be lost."""
    X = np.arange(12.0).reshape(6, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X, X[:, 0])
    setattr(model, name, value)
    with pytest.raises(ValueError, match=f"{name} must .*to be saved, got"):
        model.save(tmp_path / "file")
    assert not (tmp_path / "file").exists()
