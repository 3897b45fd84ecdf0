"""ONNX export: ONNX Runtime gives what predict gives, for every layer and activation."""

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.onnx import _ACTIVATIONS, _LAYERS, OPSET

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

X = np.random.default_rng(0).normal(scale=2, size=(50, 6)).astype(np.float32)


def run(model, X):
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


def assert_same(network, X=X):
    model = fastnn.to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    (outputs,) = run(model, X)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, network.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*NAMES, LeakyReLU(0.3), ELU(0.5)], ids=str)
def test_every_activation(activation, dtype):
    assert_same(fastnn.Network([fastnn.Input(6), fastnn.Dense(5, activation), fastnn.Dense(3)], dtype=dtype, seed=1))
    assert_same(fastnn.Network([fastnn.Input(6), fastnn.Activation(activation)], dtype=dtype))


def test_every_activation_and_layer_has_its_function():
    assert set(NAMES) <= set(_ACTIVATIONS)
    assert set(layers.Layer.__subclasses__()) == set(_LAYERS)


@pytest.mark.parametrize("middle", [
    [fastnn.Dense(4, use_bias=False)], [fastnn.Dropout(0.5)], [fastnn.Dense(7, "relu"), fastnn.Dropout(0.2)],
], ids=str)  # fmt: skip
def test_every_layer(middle):
    assert_same(fastnn.Network([fastnn.Input(6), *middle, fastnn.Dense(2)], seed=1))
    assert_same(fastnn.Network([fastnn.Input(6), *middle], seed=1))


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
