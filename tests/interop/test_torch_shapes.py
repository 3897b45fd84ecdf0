"""Images and sequences to PyTorch and back: the same outputs, with channels first on its side."""

import numpy as np
import pytest

import fastnn
from fastnn.interop.parts import to_first
from fastnn.interop.torch.shared import places_of, to_last
from interop_support import disturbed, samples

F = fastnn


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    return torch


def make(shape, *inside, dtype="float32"):
    return disturbed(fastnn.Network([F.Input(shape), *inside], dtype=dtype, seed=1))


def outputs_of(torch, module, X, *, is_first, ends_first=None):
    """What a module gives, with channels moved to the end."""
    ends_first = is_first if ends_first is None else ends_first
    with torch.no_grad():
        outputs = module(torch.tensor(np.moveaxis(X, -1, 1) if is_first else X)).numpy()
    return np.moveaxis(outputs, 1, -1) if ends_first and outputs.ndim > 2 else outputs


def assert_same(torch, network, module, **first):
    X = samples(network)
    tolerance = 1e-5 if network.dtype == np.float32 else 1e-12
    theirs = outputs_of(torch, module, X, **first)
    np.testing.assert_allclose(network.predict(X), theirs, rtol=tolerance, atol=tolerance)


def goes_and_comes_back(torch, network, **first):
    """Check that both sides give the same, and that what comes back does."""
    module = network.to_torch()
    assert_same(torch, network, module, **first)
    back = fastnn.Network.from_torch(module, input_shape=network.plan.input_shape)
    assert back.dtype == network.dtype
    X = samples(network)
    np.testing.assert_allclose(back.predict(X), network.predict(X), rtol=1e-5, atol=1e-6)
    return module, back


WINDOWS = [
    F.Conv2D(3, 3), F.Conv2D(3, (2, 3), strides=(2, 1), padding="same", activation="relu"),
    F.Conv2D(3, 4, padding="same", use_bias=False), F.Conv2D(4, 3, dilation=2, groups=2, activation="softmax"),
    F.Conv2D(4, 2, strides=3, padding="same", groups=2), F.Conv2D(2, 1),
    F.Conv2DTranspose(3, 3, strides=2, padding="same"), F.Conv2DTranspose(3, (2, 4), strides=(3, 2)),
    F.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", use_bias=False),
    F.Conv2DTranspose(2, 1, strides=2, padding="same"),
    F.MaxPooling2D(2), F.MaxPooling2D((3, 2), strides=(2, 3), padding="same"), F.MaxPooling2D(3, strides=1),
    F.AveragePooling2D(2), F.AveragePooling2D(3, strides=1, padding="same"),
    F.GlobalAveragePooling2D(), F.GlobalMaxPooling2D(), F.UpSampling2D((2, 3)), F.SpatialDropout2D(0.5),
]  # fmt: skip


@pytest.mark.parametrize("layer", WINDOWS, ids=str)
def test_layers_of_images(torch, layer):
    _, back = goes_and_comes_back(torch, make((7, 6, 4), F.Conv2D(4, 2), layer), is_first=True)
    assert back.plan.shapes == make((7, 6, 4), F.Conv2D(4, 2), layer).plan.shapes


@pytest.mark.parametrize("layer", [
    F.Conv1D(3, 3), F.Conv1D(4, 3, strides=2, padding="same", groups=2, activation="elu"), F.Conv1D(2, 2, dilation=3),
    F.Conv1D(2, 4, padding="same"), F.MaxPooling1D(2), F.MaxPooling1D(2, strides=1, padding="same"),
    F.AveragePooling1D(3, padding="same"), F.GlobalMaxPooling1D(), F.GlobalAveragePooling1D(), F.SpatialDropout1D(0.5),
], ids=str)  # fmt: skip
def test_layers_of_sequences(torch, layer):
    goes_and_comes_back(torch, make((9, 4), layer), is_first=True)


def test_a_whole_network_of_images_in_float64(torch):
    network = make(
        (8, 6, 3), F.Conv2D(4, 3, padding="same", activation="relu"), F.BatchNormalization(), F.MaxPooling2D(2),
        F.Residual([F.Conv2D(4, 3, padding="same"), F.BatchNormalization(), F.Activation("tanh")]), F.Flatten(),
        F.BatchNormalization(), F.LayerNormalization(), F.Dropout(0.2), F.Dense(3, "softmax"), dtype="float64",
    )  # fmt: skip
    module, back = goes_and_comes_back(torch, network, is_first=True)
    assert "Permute" not in repr(module)  # the dense layer's kernel is permuted instead
    assert back.layers == network.layers
    assert back.parameters.tobytes() == network.parameters.tobytes()
    assert back.state.tobytes() == network.state.tobytes()


def test_axes_move_where_layers_want_them_elsewhere(torch):
    network = make((9, 4), F.Conv1D(3, 3, activation="softmax"), F.GRU(3, return_sequences=True), F.Conv1D(2, 2))
    module, back = goes_and_comes_back(torch, network, is_first=True)
    assert repr(module).count("Permute") == 2
    assert back.layers == network.layers
    goes_and_comes_back(torch, make(24, F.Dense(24), F.Reshape((4, 6)), F.Conv1D(2, 2), F.Flatten()), is_first=False)
    network = make((4, 3, 2), F.Conv2D(2, 2), F.LayerNormalization(), F.Dense(2))
    goes_and_comes_back(torch, network, is_first=True, ends_first=False)
    network = make((4, 3), F.BatchNormalization(), F.Dense(2), F.Residual([F.Conv1D(2, 3, padding="same")]))
    goes_and_comes_back(torch, network, is_first=False)


def test_convolutions_of_theirs(torch):
    nn = torch.nn
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout2d(0.1),
        nn.Conv2d(4, 6, 3, padding="same", groups=2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(6 * 2 * 3, 5),
        nn.Softmax(dim=1),
    ).eval()  # fmt: skip
    network = fastnn.Network.from_torch(module, input_shape=(8, 12, 1))
    assert network.layers[1:3] == (F.Conv2D(4, 3, padding="same"), F.BatchNormalization(0.9, 1e-5))
    assert network.layers[-1] == F.Dense(5, "softmax")
    assert_same(torch, network, module, is_first=True)
    module = nn.Sequential(
        nn.Conv1d(3, 4, 5, stride=2), nn.GELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert_same(torch, fastnn.Network.from_torch(module, input_shape=(20, 3)), module, is_first=True)
    module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.AdaptiveMaxPool2d(1))
    assert_same(torch, fastnn.Network.from_torch(module, input_shape=(5, 4, 3)), module, is_first=True)


def test_a_generator_of_theirs(torch):
    nn = torch.nn
    module = nn.Sequential(
        nn.Linear(5, 24), nn.BatchNorm1d(24), nn.LeakyReLU(0.2), nn.Unflatten(1, (4, -1, 3)),
        nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(3, 1, 3), nn.Tanh(),
    ).eval()  # fmt: skip
    for name, buffer in module.named_buffers():
        if name.endswith(("mean", "var")):
            buffer.uniform_(0.5, 1.5)
    network = fastnn.Network.from_torch(module)
    assert network.plan.input_shape == (5,) and network.plan.output_shape == (10, 14, 1)
    X = samples(network)
    with torch.no_grad():
        theirs = np.moveaxis(module(torch.tensor(X)).numpy(), 1, -1)
    np.testing.assert_allclose(network.predict(X), theirs, rtol=1e-5, atol=1e-5)
    module = nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(2)).eval()
    assert fastnn.Network.from_torch(module).plan.output_shape == (3, 2)


@pytest.mark.parametrize("cls", [F.SimpleRNN, F.LSTM, F.GRU])
@pytest.mark.parametrize("options", [
    {}, {"return_sequences": True}, {"go_backwards": True, "return_sequences": True},
    {"go_backwards": True, "use_bias": False}, {"dropout": 0.2, "return_sequences": True},
], ids=str)  # fmt: skip
def test_recurrent_layers(torch, cls, options):
    network = make((5, 3), cls(4, **options), F.Activation("tanh"))
    module, back = goes_and_comes_back(torch, network, is_first=False)
    if "dropout" in options:
        assert isinstance(module[1], torch.nn.Dropout1d)
        assert back.layers[1] == F.SpatialDropout1D(0.2)
    else:
        assert back.layers[1].return_sequences == network.layers[1].return_sequences
        assert back.layers[1].go_backwards == network.layers[1].go_backwards
        assert back.parameters.tobytes() == network.parameters.tobytes()


@pytest.mark.parametrize("cls", [F.SimpleRNN, F.LSTM, F.GRU])
@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions(torch, cls, merge_mode, sequences):
    network = make((5, 3), F.Bidirectional(cls(4, return_sequences=sequences), merge_mode), F.Dense(2))
    _, back = goes_and_comes_back(torch, network, is_first=False)
    assert back.layers[1].merge_mode == merge_mode
    assert back.parameters.tobytes() == network.parameters.tobytes()


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_stacked_recurrent_modules_of_theirs_with_two_biases(torch, name, bidirectional):
    from fastnn.interop.torch.modules import RecurrentOutput

    nn = torch.nn
    own = {"nonlinearity": "relu"} if name == "RNN" else {}
    recurrent = getattr(nn, name)(
        3, 4, num_layers=2, dropout=0.3, batch_first=True, bidirectional=bidirectional, dtype=torch.float64, **own
    )
    head = nn.Linear(8 if bidirectional else 4, 2, dtype=torch.float64)
    module = nn.Sequential(recurrent, RecurrentOutput(bidirectional=bidirectional), head).eval()
    network = fastnn.Network.from_torch(module, input_shape=(6, 3))
    assert [type(layer).__name__ for layer in network.layers[2:]] == [
        "Dropout", "Bidirectional" if bidirectional else type(network.layers[1]).__name__, "Dense",
    ]  # fmt: skip
    assert_same(torch, network, module, is_first=False)
    # As the last module it gives all steps.
    network = fastnn.Network.from_torch(nn.Sequential(recurrent), input_shape=(6, 3))
    X = samples(network)
    with torch.no_grad():
        np.testing.assert_allclose(network.predict(X), recurrent(torch.tensor(X))[0].numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make_layers, message", [
    (lambda: [F.LSTM(3, "relu")], r"LSTM\(.* where activation must be tanh"),
    (lambda: [F.SimpleRNN(3, "sigmoid")], "where activation must be tanh or relu"),
    (lambda: [F.GRU(3, recurrent_activation="tanh")], "where recurrent_activation must be sigmoid"),
    (lambda: [F.AveragePooling1D(2, strides=1, padding="same")], "which pads both ends alike"),
    (lambda: [F.Conv1D(2, 2), F.GaussianNoise(0.1)], r"GaussianNoise\(.*no module that adds noise"),
    (lambda: [F.CategoryEmbedding({0: 3}, 2)], r"CategoryEmbedding\(.*nn.Embedding integers"),
    (lambda: [F.Periodic()], r"Periodic\(.*waves of a feature; it goes to ONNX"),
    (lambda: [F.PiecewiseLinear(2, [(0.0, 1.0)] * 3)], r"PiecewiseLinear\(.*piecewise-linear functions of a feature"),
    (lambda: [F.Reshape((5, 3, 1)), F.RandomFlip()], r"RandomFlip\(.*keeps changes of images in torchvision"),
    (lambda: [F.Reshape((5, 3, 1)), F.RandomTranslation(0.1, 0.1)], r"RandomTranslation\(.*torchvision; make a"),
    (lambda: [F.Reshape((5, 1, 1, 1, 3)), F.BatchNormalization()], "at most four axes"),
])  # fmt: skip
def test_what_does_not_go(torch, make_layers, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network([F.Input((5, 3)), *make_layers()], seed=0).to_torch()


SEQUENCE, IMAGE = (6, 3), (8, 8, 3)


@pytest.mark.parametrize("shape, make_modules, message", [
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3, stride=2, padding=1)], r"Conv2d\(.*on samples of shape \(8, 8, 3\) has"),
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3, padding=2)], 'lays them with padding="same"'),
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect")], "which pads with zeros"),
    (IMAGE, lambda nn: [nn.Conv2d(4, 2, 3)], "must be given 4 features or channels, but a sample has the shape"),
    (IMAGE, lambda nn: [nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1)], "keeps all of the output"),
    (IMAGE, lambda nn: [nn.ConvTranspose2d(3, 3, 3, groups=3)], "no groups and no dilation"),
    (IMAGE, lambda nn: [nn.MaxPool2d(3, ceil_mode=True)], "no ceil_mode"),
    (IMAGE, lambda nn: [nn.MaxPool2d(3, dilation=2)], "neither dilation nor indices"),
    (IMAGE, lambda nn: [nn.AvgPool2d(3, stride=1, padding=1)], "counts what lies in the image"),
    (IMAGE, lambda nn: [nn.AdaptiveAvgPool2d(2)], "into one place"),
    (IMAGE, lambda nn: [nn.Upsample(scale_factor=2, mode="bilinear")], "a whole number of times"),
    (IMAGE, lambda nn: [nn.ZeroPad2d(1), nn.MaxPool2d(2)], "but as the padding of a convolution"),
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3), nn.Linear(6, 2)], r"Linear\(.*behind channels that come first"),
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3), nn.Softmax(dim=-1)], r"\(dim=1\)"),
    (IMAGE, lambda nn: [nn.Conv2d(3, 2, 3), nn.Flatten()], "ends in flattened channels"),
    (IMAGE, lambda nn: [nn.Conv1d(3, 2, 3)], r"takes samples of shape \(time, channels\) here"),
    (SEQUENCE, lambda nn: [nn.Linear(3, 2), nn.Conv1d(2, 2, 1)], r"Conv1d\(.*works on the last axis"),
    (SEQUENCE, lambda nn: [nn.LSTM(3, 2)], "must have batch_first=True"),
    (SEQUENCE, lambda nn: [nn.LSTM(3, 2, proj_size=1, batch_first=True)], "has no proj_size"),
    (SEQUENCE, lambda nn: [nn.LSTM(3, 2, batch_first=True), nn.Linear(2, 1)], "returns a tuple: put fastnn"),
    (SEQUENCE, lambda nn: [nn.Conv1d(3, 2, 1), nn.GRU(6, 2, batch_first=True)], "behind channels that come first"),
    (None, lambda nn: [nn.GRU(6, 2, batch_first=True)], r"give from_torch input_shape=\(time, features\)"),
    (None, lambda nn: [nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3, bias=False), nn.Identity(),
                       nn.Flatten(), nn.Unflatten(1, (3, 1)), nn.Conv1d(3, 1, 1)], "only behind a Linear"),
])  # fmt: skip
def test_what_does_not_come(torch, shape, make_modules, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network.from_torch(torch.nn.Sequential(*make_modules(torch.nn)), input_shape=shape)


def test_input_shape_is_checked(torch):
    module = torch.nn.Sequential(torch.nn.Linear(4, 2))
    assert fastnn.Network.from_torch(module, input_shape=4).plan.input_shape == (4,)
    assert fastnn.Network.from_torch(module, input_shape=(5, 4)).plan.output_shape == (5, 2)
    with pytest.raises(ValueError, match="input_shape must be a tuple of integers >= 1"):
        fastnn.Network.from_torch(module, input_shape=(0, 4))
    with pytest.raises(TypeError, match="input_shape must be"):
        fastnn.Network.from_torch(module, input_shape=4.5)


# --- without PyTorch ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_axes", [1, 2, 3])
def test_channels_move_to_the_front_and_back(n_axes):
    X = np.arange(24).reshape(1, *(1, 2, 12, 1)[: n_axes - 1], -1)
    moved = X.transpose(to_first(n_axes))
    assert moved.shape[1] == X.shape[-1]
    np.testing.assert_array_equal(moved.transpose(to_last(n_axes)), X)


def test_places_of_flattened_channels():
    X = np.arange(24.0).reshape(2, 3, 4)  # (height, width, channels)
    theirs = np.moveaxis(X, -1, 0).ravel()
    np.testing.assert_array_equal(X.ravel()[places_of((2, 3, 4))], theirs)
