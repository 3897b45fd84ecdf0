"""ONNX export of images and sequences: ONNX Runtime gives what predict gives, with few transposes."""

import numpy as np
import pytest

import fastnn
from interop_support import disturbed, samples

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

F = fastnn


def exported(network, n=7):
    """The model, after a check that it gives what the network gives."""
    model = fastnn.to_onnx(network)
    onnx.checker.check_model(model, full_check=True)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    X = samples(network, n)
    (outputs,) = session.run(None, {"X": X})
    expected = network.predict(X)
    assert outputs.dtype == network.dtype and outputs.shape == expected.shape
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    return model


def operators(model):
    return [node.op_type for node in model.graph.node]


def make(shape, *inside, dtype="float32"):
    return disturbed(fastnn.Network([F.Input(shape), *inside], dtype=dtype, seed=1))


WINDOWS = [
    F.Conv2D(3, 3), F.Conv2D(3, (2, 3), strides=(2, 1), padding="same", activation="relu"),
    F.Conv2D(3, 4, padding="same", use_bias=False), F.Conv2D(4, 3, dilation=2, groups=2, activation="softmax"),
    F.Conv2D(4, 2, strides=3, padding="same", groups=2), F.Conv2D(2, 1),
    F.Conv2DTranspose(3, 3, strides=2, padding="same"), F.Conv2DTranspose(3, (2, 4), strides=(3, 2)),
    F.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", use_bias=False),
    F.Conv2DTranspose(2, 1, strides=2, padding="same"),
    F.MaxPooling2D(2), F.MaxPooling2D((3, 2), strides=(2, 3), padding="same"), F.MaxPooling2D(3, strides=1),
    F.AveragePooling2D(2), F.AveragePooling2D(3, strides=2, padding="same"),
    F.GlobalAveragePooling2D(), F.GlobalMaxPooling2D(), F.UpSampling2D((2, 3)),
    F.SpatialDropout2D(0.5), F.RandomFlip(), F.RandomTranslation(0.1, 0.2),
]  # fmt: skip


@pytest.mark.parametrize("layer", WINDOWS, ids=str)
def test_layers_of_images(layer):
    exported(make((7, 6, 4), layer))
    exported(make((7, 6, 4), F.Conv2D(4, 2), layer))


@pytest.mark.parametrize("layer", [
    F.Conv1D(3, 3), F.Conv1D(4, 3, strides=2, padding="same", groups=2, activation="elu"), F.Conv1D(2, 2, dilation=3),
    F.MaxPooling1D(2), F.MaxPooling1D(3, strides=2, padding="same"), F.AveragePooling1D(3, padding="same"),
    F.GlobalMaxPooling1D(), F.GlobalAveragePooling1D(), F.SpatialDropout1D(0.5),
], ids=str)  # fmt: skip
def test_layers_of_sequences(layer):
    exported(make((9, 4), layer))


def test_layers_of_images_in_float64():
    layers = [F.Conv2D(4, 3, padding="same", activation="tanh"), F.AveragePooling2D(2), F.BatchNormalization(),
              F.UpSampling2D(2), F.Conv2DTranspose(4, 3), F.MaxPooling2D(2), F.Flatten(), F.Dense(2)]  # fmt: skip
    exported(make((7, 6, 4), *layers, dtype="float64"))


def test_a_chain_of_convolutions_is_transposed_at_its_ends_only():
    block = [F.Conv2D(4, 3, padding="same", activation="relu"), F.BatchNormalization(), F.Dropout(0.1),
             F.LayerNormalization(), F.Activation("softmax")]  # fmt: skip
    model = exported(make((8, 6, 3), *block, F.MaxPooling2D(2), F.UpSampling2D(2), *block))
    assert operators(model).count("Transpose") == 2
    assert operators(model)[0] == "Transpose" and operators(model)[-2:] == ["Transpose", "Identity"]
    assert operators(model).count("BatchNormalization") == 2


@pytest.mark.parametrize("between", [
    [], [F.Dropout(0.5), F.Activation("relu")], [F.BatchNormalization()], [F.LayerNormalization()],
    [F.Activation("softmax")], [F.Residual([F.Activation("tanh")])], [F.Residual([F.Dense(24)])], [F.Flatten()],
], ids=str)  # fmt: skip
def test_what_is_flattened_keeps_its_meaning(between):
    conv = [F.Conv2D(4, 2), F.Flatten()]
    model = exported(make((4, 3, 2), *conv, *between, F.Dense(3)))
    assert operators(model).count("Transpose") == 1  # none before the dense layer, whose kernel is permuted
    exported(make((4, 3, 2), *conv, *between))
    exported(make((4, 3, 2), *conv, *between, F.Reshape((4, 6)), F.Conv1D(2, 2)))


def test_dense_layers_between_convolutions():
    exported(make((6, 5, 3), F.Conv2D(4, 2), F.Dense(3, "softmax"), F.LayerNormalization(), F.Conv2D(2, 2)))
    exported(make(60, F.Reshape((5, 4, 3)), F.Conv2D(2, 2), F.Reshape((12, 2)), F.Conv1D(2, 2)))


def test_residual_blocks_of_convolutions():
    block = F.Residual([F.Conv2D(3, 3, padding="same"), F.BatchNormalization(), F.Activation("relu"),
                        F.Conv2D(3, 3, padding="same")])  # fmt: skip
    model = exported(make((6, 5, 3), block, F.Residual([block]), F.GlobalAveragePooling2D(), F.Dense(2)))
    assert operators(model).count("Transpose") == 1
    exported(make((6, 3), F.Residual([F.LSTM(3, return_sequences=True)]), F.Residual([F.Dense(3)])))


OPTIONS = [{}, {"return_sequences": True}, {"go_backwards": True, "return_sequences": True},
           {"go_backwards": True, "use_bias": False}]  # fmt: skip


@pytest.mark.parametrize("cls", [F.SimpleRNN, F.LSTM, F.GRU])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_recurrent_layers(cls, options):
    exported(make((5, 3), cls(4, dropout=0.2, **options)))


@pytest.mark.parametrize("cls", [F.SimpleRNN, F.LSTM, F.GRU])
def test_recurrent_layers_in_float64(cls):
    exported(make((5, 3), F.Bidirectional(cls(4, return_sequences=True)), cls(2), dtype="float64"))


@pytest.mark.parametrize("name", ["linear", "relu", "sigmoid", "tanh"])
def test_activations_of_recurrent_layers(name):
    exported(make((5, 3), F.SimpleRNN(4, name)))
    for other in ("linear", "tanh", "sigmoid"):
        exported(make((3, 3), F.Bidirectional(F.LSTM(4, name, recurrent_activation=other))))
        exported(make((3, 3), F.GRU(4, name, recurrent_activation=other)))


@pytest.mark.parametrize("cls", [F.SimpleRNN, F.LSTM, F.GRU])
@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions(cls, merge_mode, sequences):
    exported(make((5, 3), F.Bidirectional(cls(4, return_sequences=sequences), merge_mode), F.Dense(2)))


def test_stacked_recurrent_layers_are_transposed_once():
    model = exported(make(
        (5, 3), F.Bidirectional(F.LSTM(4, return_sequences=True)), F.Dropout(0.1), F.GRU(4, return_sequences=True),
        F.Dense(4, "tanh"), F.LayerNormalization(), F.LSTM(3), F.Dense(1),
    ))  # fmt: skip
    # One before the first, and one that joins both directions.
    assert operators(model).count("Transpose") == 2
    model = exported(make((9, 3), F.Conv1D(4, 3), F.MaxPooling1D(2), F.GRU(4), F.Dense(1)))
    assert operators(model).count("Transpose") == 2
    exported(make((5, 3), F.GRU(4, return_sequences=True), F.BatchNormalization(), F.GlobalMaxPooling1D()))
    exported(make((5, 3), F.GRU(4, return_sequences=True), F.Flatten(), F.Dense(1)))


@pytest.mark.parametrize("n", [1, 100])
def test_any_number_of_samples(n):
    exported(make((5, 4, 2), F.Conv2D(3, 2), F.Flatten(), F.Dense(2)), n)
    exported(make((5, 3), F.GRU(4), F.Dense(2)), n)
