"""ONNX export: ONNX Runtime gives what predict gives, for every layer and activation."""

import itertools
import warnings

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.interop.onnx import _ACTIVATIONS, _LAYERS, OPSET

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
    assert set(NAMES) <= set(_ACTIVATIONS)
    modules = ("convolution", "pooling", "images", "recurrent")
    waiting = {cls for cls in layers.LAYERS if cls.__module__.endswith(modules)}
