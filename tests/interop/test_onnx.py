"""ONNX export: ONNX Runtime gives what predict gives, for every layer and activation."""

import itertools
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.interop.onnx.activations import FORMS as ACTIVATION_FORMS
from fastnn.interop.onnx.graph import OPSET
from fastnn.interop.onnx.network import FORMS

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

X = np.random.default_rng(0).normal(scale=2, size=(50, 6)).astype(np.float32)


def run(model, X):
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


def assert_same(network, X=X):
    model = fastnn.to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    X = X.astype(network.dtype)
    (outputs,) = run(model, X)
    assert outputs.dtype == network.dtype
    # The error function of gelu is float32's even in float64: ONNX Runtime has no other.
    tolerance = 1e-5 if network.dtype == np.float32 else 1e-6 if "gelu" in repr(network) else 1e-13
    np.testing.assert_allclose(outputs, network.predict(X), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*NAMES, LeakyReLU(0.3), ELU(0.5)], ids=str)
def test_every_activation(activation, dtype):
    assert_same(fastnn.Network([fastnn.Input(6), fastnn.Dense(5, activation), fastnn.Dense(3)], dtype=dtype, seed=1))
    assert_same(fastnn.Network([fastnn.Input(6), fastnn.Activation(activation)], dtype=dtype))


def test_every_activation_and_layer_has_its_function():
    assert {*ACTIVATION_FORMS, "softmax"} == set(NAMES)
    assert set(FORMS) == set(layers.layer_classes())


def disturbed(network):
    """Every parameter and statistic moved away from where it starts, as training would."""
    rng = np.random.default_rng(2)
    network.parameters[:] += rng.uniform(0.1, 0.5, network.n_parameters)
    network.state[:] += rng.uniform(0.1, 0.5, network.state.size)
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_embeddings(dtype):
    layers = [fastnn.Input(5), fastnn.Embedding(9, 4), fastnn.GlobalMaxPooling1D(), fastnn.Dense(2)]
    network = disturbed(fastnn.Network(layers, dtype=dtype, seed=1))
    assert_same(network, np.random.default_rng(1).integers(0, 9, (7, 5)))


CENTER_AND_SCALE = list(itertools.product([True, False], repeat=2))


@pytest.mark.parametrize("middle", [
    [fastnn.Dense(4, use_bias=False)], [fastnn.Dropout(0.5)], [fastnn.Dense(7, "relu"), fastnn.Dropout(0.2)],
    [fastnn.GaussianNoise(0.5)],
    *([fastnn.Dense(4), fastnn.LayerNormalization(1e-4, center=c, scale=s)] for c, s in CENTER_AND_SCALE),
    [fastnn.Normalization(np.arange(6.0), np.arange(1.0, 7.0)), fastnn.BatchNormalization()],
    *([fastnn.BatchNormalization(epsilon=1e-4, center=c, scale=s)] for c, s in CENTER_AND_SCALE),
], ids=str)  # fmt: skip
def test_every_layer(middle):
    assert_same(disturbed(fastnn.Network([fastnn.Input(6), *middle, fastnn.Dense(2)], seed=1)))
    assert_same(disturbed(fastnn.Network([fastnn.Input(6), *middle, fastnn.Dense(2)], seed=1, dtype="float64")))
    assert_same(disturbed(fastnn.Network([fastnn.Input(6), *middle], seed=1)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("middle", [
    [fastnn.Normalization([0.1, 0.2, -1.0], [0.5, 4.0, 1.0]), fastnn.Dense(4, "tanh")],
    [fastnn.Dense(4, "softmax"), fastnn.LayerNormalization(), fastnn.BatchNormalization(center=False)],
    [fastnn.Flatten(), fastnn.Dense(6), fastnn.Reshape((3, -1)), fastnn.Dense(2, use_bias=False)],
    [fastnn.Residual([fastnn.Dense(3, "tanh"), fastnn.Residual([fastnn.LayerNormalization()]), fastnn.Dense(3)])],
    [fastnn.Scale(), fastnn.Ensemble([fastnn.Scale(), fastnn.Dense(4, "mish"), fastnn.LayerNormalization(),
                                      fastnn.Dense(3, use_bias=False), fastnn.Dense(2, "softmax")], 3)],
    [fastnn.Ensemble([fastnn.Dropout(0.1), fastnn.Dense(3)], 4, average=False), fastnn.Dense(2)],
    [fastnn.PiecewiseLinear(4, [(-1.0, -0.2, 0.1, 0.9), (-2.0, 0.0, 0.5, 3.0), (0.0, 0.1, 0.2, 0.3)]), fastnn.Dense(2)],
    [fastnn.Periodic(4, 5, frequency_scale=1.0), fastnn.Dense(2)],
    [fastnn.Periodic(3, 5, use_phase=False, keep_feature=False), fastnn.Activation("relu")],
    [fastnn.CategoryEmbedding({2: 1, 0: 2}, 4), fastnn.Dense(2)],
], ids=["normalization", "last axis", "shapes", "residual", "ensemble", "members", "piecewise linear",
        "waves", "sines", "categories"])  # fmt: skip
def test_samples_of_several_axes(middle, dtype):
    network = disturbed(fastnn.Network([fastnn.Input((2, 3)), *middle], dtype=dtype, seed=1))
    assert_same(network, X.reshape(-1, 2, 3))
    assert_same(network, X[:0].reshape(0, 2, 3))


def test_a_normalization_without_weights_gets_them_at_full_width():
    # The definition lets one value stand for all; ONNX Runtime 1.19, for one, does not.
    network = fastnn.Network([fastnn.Input(6), fastnn.LayerNormalization(center=False, scale=False)])
    assert [list(constant.dims) for constant in fastnn.to_onnx(network).graph.initializer] == [[6], [6]]


def test_far_out_inputs_stay_finite():
    far = np.array([[-1e4, -100.0, -20.0, 20.0, 100.0, 1e4]], np.float32)
    for name in NAMES:
        if name != "exponential":
            assert_same(fastnn.Network([fastnn.Input(6), fastnn.Activation(name)]), far)


def test_plain_operators_and_an_old_opset():
    model = fastnn.to_onnx(fastnn.Network([fastnn.Input(6), *(fastnn.Dense(4, name) for name in NAMES)], seed=0))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert model.producer_name == "fastnn"


def test_the_file_holds_the_model(tmp_path):
    network = fastnn.Network.mlp(6, [5], 2, seed=0)
    model = fastnn.to_onnx(network, tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx") == model
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("rows", [0, 1, 100])
def test_any_number_of_rows(rows):
    assert_same(fastnn.Network.mlp(6, [5], 2, seed=0), np.ones((rows, 6), np.float32))


def test_what_cannot_be_exported_is_an_error():
    with pytest.raises(TypeError, match=r"model must be a fastnn\.Network, an estimator or a pipeline, got 3"):
        fastnn.to_onnx(3)


# --- estimators and pipelines ---------------------------------------------------------------------------------------

Y = X[:, 0] + X[:, 1] ** 2 / 4
CLASSES = {
    "two numbers": np.where(Y > 1, 7, -3),
    "three numbers": np.digitize(Y, [0, 1.5]) * 10,
    "two texts": np.where(Y > 1, "yes", "no"),
    "three texts": np.array(["low", "middle", "h\u00f6ch"])[np.digitize(Y, [0, 1.5])],
    "texts as objects": np.array(["a", "b", "c"], object)[np.digitize(Y, [0, 1.5])],
    "truth": Y > 1,
    "one class": np.full(len(Y), 5),
}


@pytest.fixture(scope="module")
def skl2onnx():
    return pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")


def classifier(**options):
    return fastnn.MLPClassifier(hidden_layer_sizes=(8,), max_iter=5, random_state=0, **options)


def fitted(model, *data):
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # five epochs are enough here
        return model.fit(*data)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_classifier(skl2onnx, kind):
    model = fitted(classifier(), X, CLASSES[kind])
    proto = fastnn.to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [output.name for output in proto.graph.output] == ["label", "probabilities"]
    assert {node.domain for node in proto.graph.node} == {""}
    label, probabilities = run(proto, X)
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_a_classifier_of_many_labels_a_sample(skl2onnx):
    targets = np.stack([Y > 1, Y > 0, X[:, 2] > 0], axis=1).astype(int)
    model = fitted(classifier(), X, targets)
    label, probabilities = run(fastnn.to_onnx(model), X)
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("targets", [Y, np.stack([Y, -Y], axis=1)], ids=["one", "two"])
def test_a_regressor(skl2onnx, targets):
    model = fitted(fastnn.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), X, targets)
    proto = fastnn.to_onnx(model)
    onnx.checker.check_model(proto, full_check=True)
    assert [output.name for output in proto.graph.output] == ["variable"]
    (outputs,) = run(proto, X)
    np.testing.assert_allclose(outputs, model.predict(X).reshape(len(X), -1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_an_average_of_networks(skl2onnx, n_estimators):
    model = fitted(classifier(n_estimators=n_estimators, bootstrap=True), X, CLASSES["three texts"])
    label, probabilities = run(fastnn.to_onnx(model), X)
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


def test_a_pipeline(skl2onnx, tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    wide = X * [1, 10, 100, 1, 1, 1] + 5
    model = fitted(make_pipeline(StandardScaler(), classifier()), wide, CLASSES["three texts"])
    fastnn.to_onnx(model, tmp_path / "pipeline.onnx")
    label, probabilities = run(onnx.load(tmp_path / "pipeline.onnx"), wide.astype(np.float32))
    assert label.tolist() == model.predict(wide).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(wide), atol=1e-5)

    regressor = fastnn.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    model = fitted(make_pipeline(StandardScaler(), MinMaxScaler(), regressor), wide, Y)
    (outputs,) = run(fastnn.to_onnx(model), wide.astype(np.float32))
    np.testing.assert_allclose(outputs[:, 0], model.predict(wide), rtol=1e-5, atol=1e-5)


def test_skl2onnx_itself_with_its_options_and_in_its_other_types(skl2onnx):
    from skl2onnx.common.data_types import DoubleTensorType

    fastnn.interop.onnx.register_converters()
    fastnn.interop.onnx.register_converters()
    model = fitted(classifier(), X, CLASSES["three texts"])
    label, rows = run(skl2onnx.to_onnx(model, X, target_opset=OPSET), X)
    assert label.tolist() == model.predict(X).tolist()
    probabilities = np.array([[row[name] for name in model.classes_] for row in rows])
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
    regressor = fitted(fastnn.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), X, Y)
    proto = skl2onnx.to_onnx(regressor, initial_types=[("X", DoubleTensorType([None, 6]))], target_opset=OPSET)
    (outputs,) = run(proto, X.astype(np.float64))
    np.testing.assert_allclose(outputs[:, 0], regressor.predict(X), rtol=1e-5, atol=1e-5)


def test_an_estimator_that_is_not_fitted(skl2onnx):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        fastnn.to_onnx(classifier())


def test_any_stack_of_layers_as_an_estimator(skl2onnx):
    layers = [fastnn.Input((3, 2)), fastnn.Conv1D(4, 2, activation="relu")]
    model = fastnn.NetworkClassifier(layers, epochs=2, random_state=0).fit(X, CLASSES["three texts"])
    label, probabilities = run(fastnn.to_onnx(model), X)
    assert label.tolist() == model.predict(X).tolist()
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)
    model = fastnn.NetworkRegressor([fastnn.Dense(8, "relu")], epochs=2, random_state=0).fit(X, Y)
    (outputs,) = run(fastnn.to_onnx(model), X)
    np.testing.assert_allclose(outputs[:, 0], model.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["TabularClassifier", "TabularRegressor"])
def test_tables_are_refused_with_what_to_export(name):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = getattr(fastnn, name)()
    for refused in (model, make_pipeline(StandardScaler(), model)):
        with pytest.raises(TypeError, match=rf"{name} cannot become.*Export model\.model_\.network, .*\.features"):
            fastnn.to_onnx(refused)


def test_what_the_refusal_of_tables_says_works():
    polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
    X = polars.DataFrame({"a": np.arange(80) % 7 * 1.5, "b": ["u", "v"] * 40})
    model = fastnn.TabularClassifier(preset="fast", random_state=0).fit(X, np.arange(80) % 7 > 3)
    parts = model.model_
    (outputs,) = run(fastnn.to_onnx(parts.network), parts.preprocessing.features(X))
    assert not parts.others and parts.temperature != 1
    sharp = outputs.astype(np.float64) ** (1 / parts.temperature)
    np.testing.assert_allclose(sharp / sharp.sum(axis=1, keepdims=True), model.predict_proba(X), atol=1e-5)


def test_a_step_without_a_converter_is_named(skl2onnx):
    class Mine(fastnn.MLPClassifier):
        pass

    model = fitted(Mine((8,), max_iter=1, random_state=0), X, CLASSES["two texts"])
    with pytest.raises(TypeError, match=r"no converter in skl2onnx: .*Mine.* Exchange it .*to_onnx\(model\.network_\)"):
        fastnn.to_onnx(model)


# --- columns by name --------------------------------------------------------------------------------------------------


def table(n=60):
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(3)
    return pandas.DataFrame(
        {
            "size": generator.normal(size=n).astype(np.float32),
            "colour": generator.choice(["red", "green", "blue"], n),
            "unused": np.arange(n, dtype=np.float32),
            "weight": generator.normal(size=n).astype(np.float32),
        }
    )


def by_name(numbers, texts, **options):
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer([("numbers", StandardScaler(), numbers), ("texts", OneHotEncoder(), texts)], **options)
    return make_pipeline(columns, classifier())


def feeds(frame):
    return {
        name: frame[[name]].to_numpy(dtype=object if frame[name].dtype.kind not in "f" else np.float32)
        for name in frame.columns
    }


def test_a_column_transformer_that_selects_by_name(skl2onnx):
    frame = table()
    pipeline = fitted(by_name(["weight", "size"], ["colour"]), frame, frame["size"] > 0)
    proto = fastnn.to_onnx(pipeline)
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert {given.name for given in session.get_inputs()} <= set(frame.columns)
    wanted = {given.name for given in session.get_inputs()}
    _, probabilities = session.run(None, {name: part for name, part in feeds(frame).items() if name in wanted})
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(frame), rtol=1e-5, atol=1e-5)


def test_initial_types_are_taken(skl2onnx):
    from skl2onnx.common.data_types import FloatTensorType

    pipeline = fitted(classifier(), X, np.arange(50) % 2)
    proto = fastnn.to_onnx(pipeline, initial_types=[("rows", FloatTensorType([None, 6]))])
    assert [given.name for given in proto.graph.input] == ["rows"]
    with pytest.raises(TypeError, match="initial_types must be None for a Network"):
        fastnn.to_onnx(pipeline.network_, initial_types=[("rows", FloatTensorType([None, 6]))])
