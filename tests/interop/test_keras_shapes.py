"""Images and sequences from Keras and to it: the same outputs, the same words."""

import os

import numpy as np
import pytest

import fastnn
from fastnn.activations import ELU, NAMES, LeakyReLU
from fastnn.layers import layer_classes
from interop_support import disturbed, samples

F = fastnn


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    keras.utils.set_random_seed(0)
    return keras


def make(shape, *inside, dtype="float32"):
    return disturbed(fastnn.Network([F.Input(shape), *inside], dtype=dtype, seed=1))


def assert_same(network, model):
    X = samples(network)
    tolerance = 1e-5 if network.dtype == np.float32 else 1e-12
    theirs = np.asarray(model(X, training=False))
    assert theirs.dtype == network.dtype
    np.testing.assert_allclose(network.predict(X), theirs, rtol=tolerance, atol=tolerance)


def goes_and_comes_back(network):
    model = network.to_keras()
    assert_same(network, model)
    back = fastnn.Network.from_keras(model)
    assert back.layers == network.layers and back.dtype == network.dtype
    assert back.parameters.tobytes() == network.parameters.tobytes()
    assert back.state.tobytes() == network.state.tobytes()
    return model


IMAGES = [
    F.Conv2D(3, 3), F.Conv2D(3, (2, 3), strides=(2, 1), padding="same", activation="relu"),
    F.Conv2D(3, 4, padding="same", use_bias=False), F.Conv2D(4, 3, dilation=2, groups=2, activation="softmax"),
    F.Conv2DTranspose(3, 3, strides=2, padding="same"), F.Conv2DTranspose(3, (2, 4), strides=(3, 2)),
    F.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", use_bias=False),
    F.MaxPooling2D(2), F.MaxPooling2D((3, 2), strides=(2, 3), padding="same"),
    F.AveragePooling2D(2), F.AveragePooling2D(3, strides=2, padding="same"),
    F.GlobalAveragePooling2D(), F.GlobalMaxPooling2D(), F.UpSampling2D((2, 3)), F.SpatialDropout2D(0.5),
    F.RandomFlip("horizontal_and_vertical"), F.RandomTranslation(0.1, 0.2),
]  # fmt: skip
SEQUENCES = [
    F.Conv1D(3, 3), F.Conv1D(4, 3, strides=2, padding="same", groups=2, activation="silu"), F.Conv1D(2, 2, dilation=3),
    F.MaxPooling1D(3, strides=2, padding="same"), F.AveragePooling1D(2), F.GlobalMaxPooling1D(),
    F.GlobalAveragePooling1D(), F.SpatialDropout1D(0.5),
]  # fmt: skip
RECURRENT = [
    layer
    for cls in (F.SimpleRNN, F.LSTM, F.GRU)
    for layer in (
        cls(4, dropout=0.2), cls(4, "relu", return_sequences=True, go_backwards=True), cls(4, use_bias=False),
        F.Bidirectional(cls(4, return_sequences=True)), F.Bidirectional(cls(4), "sum"),
    )
] + [F.LSTM(3, recurrent_activation="tanh", unit_forget_bias=False)]  # fmt: skip
ROWS = [
    F.Dense(3, use_bias=False),
    F.Dropout(0.2),
    F.GaussianNoise(0.3),
    F.Reshape((4, -1)),
    F.LayerNormalization(1e-4),
]


@pytest.mark.parametrize("layer", IMAGES, ids=str)
def test_layers_of_images(keras, layer):
    goes_and_comes_back(make((7, 6, 4), layer))


@pytest.mark.parametrize("layer", [*SEQUENCES, *RECURRENT], ids=str)
def test_layers_of_sequences(keras, layer):
    goes_and_comes_back(make((9, 4), layer))


@pytest.mark.parametrize("layer", ROWS, ids=str)
def test_layers_of_rows(keras, layer):
    goes_and_comes_back(make(12, layer))


def test_a_whole_network_in_float64(keras):
    network = make(
        (8, 6, 3), F.Conv2D(4, 3, padding="same", activation="relu"), F.BatchNormalization(0.9, 1e-4),
        F.MaxPooling2D(2), F.Flatten(), F.Dense(5, trainable=False), F.LayerNormalization(center=False),
        F.Dense(3, "softmax"), dtype="float64",
    )  # fmt: skip
    model = goes_and_comes_back(network)
    assert isinstance(model, keras.Sequential)
    assert [layer.trainable for layer in model.layers if type(layer).__name__ == "Dense"] == [False, True]


def test_ways_around_other_layers(keras):
    block = F.Residual([F.Conv2D(3, 3, padding="same"), F.BatchNormalization(), F.Activation("relu"),
                        F.Conv2D(3, 3, padding="same")])  # fmt: skip
    model = goes_and_comes_back(
        make((6, 5, 3), block, F.Residual([F.Activation("tanh"), block]), F.Flatten(), F.Dense(2))
    )
    assert [type(layer).__name__ for layer in model.layers].count("Add") == 3


@pytest.mark.parametrize("activation", [*NAMES, LeakyReLU(0.3), ELU(0.5)], ids=str)
def test_every_activation(keras, activation):
    network = make(6, F.Dense(5, activation), F.Activation(activation))
    model = network.to_keras()
    assert_same(network, model)
    assert_same(network, keras.models.clone_model(model) if not network.n_parameters else model)
    np.testing.assert_array_equal(
        fastnn.Network.from_keras(model).predict(samples(network)), network.predict(samples(network))
    )


def test_depthwise_convolutions_come(keras):
    L = keras.layers
    model = keras.Sequential([
        keras.Input((6, 5, 3)), L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu"),
        L.Reshape((30, 6)), L.DepthwiseConv1D(3),
    ])  # fmt: skip
    network = fastnn.Network.from_keras(model)
    assert network.layers[1] == F.Conv2D(6, 3, padding="same", groups=3, activation="relu")
    assert_same(network, model)


def test_what_keras_has_and_we_have_not(keras):
    L = keras.layers
    image, sequence = (6, 5, 3), (6, 3)
    cases = [
        (image, L.Conv2D(2, 3, data_format="channels_first"), "data_format='channels_first'"),
        (sequence, L.Conv1D(2, 3, padding="causal"), "padding='causal'"),
        (image, L.UpSampling2D(2, interpolation="bilinear"), "interpolation='bilinear'"),
        (image, L.GlobalMaxPooling2D(keepdims=True), "with keepdims"),
        (image, L.Conv2DTranspose(2, 3, strides=2, output_padding=1), "with output_padding or dilation_rate"),
        (image, L.SeparableConv2D(2, 3), "a layer of type SeparableConv2D"),
        (image, L.RandomTranslation(0.1, 0.1), "moves images by whole places"),
        (sequence, L.GRU(2, reset_after=False), "a GRU with reset_after=False, has no equal"),
        (sequence, L.LSTM(2, recurrent_dropout=0.1), r"recurrent_dropout=0\.1"),
        (sequence, L.LSTM(2, activation="elu"), "activation='elu', has no equal in fastnn; known are linear"),
        (sequence, L.Bidirectional(L.LSTM(2), merge_mode="mul"), "merge_mode='mul'"),
        (sequence, L.Bidirectional(L.LSTM(2), backward_layer=L.LSTM(2, activation="relu", go_backwards=True)),
         "must differ in their direction only"),
    ]  # fmt: skip
    for shape, layer, message in cases:
        with pytest.raises(ValueError, match=message):
            fastnn.Network.from_keras(keras.Sequential([keras.Input(shape), layer]))


def test_normalization_by_numbers_of_the_data(keras):
    rows = np.random.default_rng(3).normal(5, 20, (30, 6))
    rows[:, 2] = 7  # Keras keeps a variance of 0, and divides by something else
    theirs = keras.layers.Normalization()
    theirs.adapt(rows.astype(np.float32))
    model = keras.Sequential([keras.Input((6,)), theirs, keras.layers.Dense(2)])
    assert_same(fastnn.Network.from_keras(model), model)
    for dtype in ("float32", "float64"):
        layer = F.Normalization().adapt(rows)
        assert_same(make(6, layer, F.Dense(2), dtype=dtype), make(6, layer, F.Dense(2), dtype=dtype).to_keras())
    model = fastnn.Network([F.Input((2, 3)), F.Normalization(2.0, 4.0)]).to_keras()
    assert_same(fastnn.Network.from_keras(model), model)
    model = keras.Sequential(
        [keras.Input((2, 3)), keras.layers.Normalization(axis=1, mean=[1.0, 2], variance=[1.0, 2])]
    )
    with pytest.raises(ValueError, match=r"over axis \(1,\), has no equal"):
        fastnn.Network.from_keras(model)


def test_embeddings(keras):
    network = make(5, F.Embedding(9, 4), F.GlobalMaxPooling1D(), F.Dense(2))
    X = np.random.default_rng(0).integers(0, 9, (7, 5))
    model = network.to_keras()
    np.testing.assert_allclose(network.predict(X), np.asarray(model(X)), rtol=1e-5, atol=1e-5)
    back = fastnn.Network.from_keras(model)
    assert back.layers == network.layers and back.parameters.tobytes() == network.parameters.tobytes()
    masked = keras.Sequential([keras.Input((5,)), keras.layers.Embedding(9, 4, mask_zero=True)])
    with pytest.raises(ValueError, match="with mask_zero"):
        fastnn.Network.from_keras(masked)


def test_what_has_no_layer_in_keras(keras):
    with pytest.raises(ValueError, match=r"Scale\(.* has no equal in Keras: .*one factor a feature"):
        fastnn.Network([F.Input(2), F.Scale()]).to_keras()
    with pytest.raises(ValueError, match=r"Ensemble\(.* has no equal in Keras: .*share a kernel"):
        fastnn.Network([F.Input(2), F.Ensemble([F.Dense(1)])], seed=0).to_keras()
    with pytest.raises(ValueError, match=r"PiecewiseLinear\(.* has no equal in Keras: .*functions of a feature"):
        fastnn.Network([F.Input(1), F.PiecewiseLinear(2, [(0.0, 1.0)])], seed=0).to_keras()
    with pytest.raises(ValueError, match=r"Periodic\(.* has no equal in Keras: .*waves of a feature"):
        fastnn.Network([F.Input(1), F.Periodic()], seed=0).to_keras()
    with pytest.raises(ValueError, match=r"CategoryEmbedding\(.* has no equal in Keras: .*among other features"):
        fastnn.Network([F.Input(1), F.CategoryEmbedding({0: 3}, 2)], seed=0).to_keras()


def test_an_activation_of_a_user_does_not_go(keras):
    own = fastnn.activations.Compiled(lambda x: x, lambda x, y: 1.0, name="own")
    with pytest.raises(ValueError, match="the activation 'own' has no equal in Keras"):
        fastnn.Network([F.Input(2), F.Dense(1, own)], seed=0).to_keras()


# --- without Keras --------------------------------------------------------------------------------------------------


def test_every_layer_goes_to_keras_or_is_refused_with_a_reason():
    from fastnn.interop.keras.writing import NO_EQUAL, WRITE

    assert not set(WRITE) & set(NO_EQUAL)
    # The last two are no layers of Keras's, but how they meet.
    assert set(layer_classes()) == {*WRITE, *NO_EQUAL, F.Input, F.Residual}


def test_every_layer_comes_from_keras_or_has_none_there():
    from fastnn.interop.keras.reading import READ
    from fastnn.interop.keras.writing import NO_EQUAL

    without = {cls.__name__ for cls in (*NO_EQUAL, F.Input, F.Residual)}
    assert {cls.__name__ for cls in layer_classes()} <= {*READ, *without}
