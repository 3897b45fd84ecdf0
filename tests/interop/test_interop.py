"""Networks from PyTorch and Keras, and to PyTorch: the same outputs on both sides."""

import itertools
import os
import sys

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.activations import ELU, NAMES, LeakyReLU

X = np.random.default_rng(0).normal(scale=2, size=(40, 6)).astype(np.float32)


def assert_close(ours, theirs):
    tolerance = 1e-5 if ours.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


# --- PyTorch --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    return torch


def torch_outputs(torch, module, X=X):
    with torch.no_grad():
        return module(torch.tensor(X)).numpy()


def torch_activations(nn):
    return [nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(0.3), nn.LeakyReLU(), nn.ELU(0.7), nn.SELU(),
            nn.Softplus(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softmax(dim=1), nn.Softmax(dim=-1)]  # fmt: skip


def test_every_activation_comes_from_torch(torch):
    nn = torch.nn
    for activation in torch_activations(nn):
        module = nn.Sequential(nn.Linear(6, 5), activation, nn.Linear(5, 3, bias=False), activation)
        network = fastnn.Network.from_torch(module)
        assert_close(network.predict(X), torch_outputs(torch, module))
        assert len(network.layers) == 3


def test_a_nested_module_with_dropout_comes_from_torch(torch):
    nn = torch.nn
    block = nn.Sequential(nn.Linear(6, 4), nn.Identity(), nn.Tanh(), nn.ReLU(), nn.Dropout(0.25))
    module = nn.Sequential(block, nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1)))
    network = fastnn.Network.from_torch(module)
    assert network.layers == (
        fastnn.Input(6), fastnn.Dense(4, "tanh"), fastnn.Activation("relu"), fastnn.Dropout(0.25),
        fastnn.Dense(2, "softmax"),
    )  # fmt: skip
    assert_close(network.predict(X), torch_outputs(torch, module.eval()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_of_torch_is_kept(torch, dtype):
    module = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh()).to(getattr(torch, dtype))
    network = fastnn.Network.from_torch(module)
    assert network.dtype == dtype
    assert_close(network.predict(X.astype(dtype)), torch_outputs(torch, module, X.astype(dtype)))


def test_half_precision_becomes_single(torch):
    module = torch.nn.Sequential(torch.nn.Linear(6, 5)).half()
    network = fastnn.Network.from_torch(module)
    assert network.dtype == np.float32
    np.testing.assert_array_equal(network.get_weights()[0], module[0].weight.detach().numpy().T)


def test_the_parameters_from_torch_are_copies(torch):
    module = torch.nn.Sequential(torch.nn.Linear(6, 5))
    network = fastnn.Network.from_torch(module)
    before = torch_outputs(torch, module).copy()
    network.parameters[:] = 0
    np.testing.assert_array_equal(torch_outputs(torch, module), before)


@pytest.mark.parametrize("make, message", [
    (lambda nn: nn.Sequential(nn.Conv3d(1, 1, 1)), r"Conv3d\(.* has no equal in fastnn; known are .*Linear"),
    (lambda nn: nn.Sequential(nn.Conv1d(1, 1, 1)), r"Conv1d\(.*: give from_torch input_shape=\(time, channels\)"),
    (lambda nn: nn.Sequential(nn.Linear(2, 2), nn.GELU(approximate="tanh")), "whose gelu is exact"),
    (lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta=2)), "whose softplus has beta=1"),
    (lambda nn: nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=0)), r"runs over the outputs"),
    (lambda nn: nn.Sequential(nn.ReLU()), "no layer that tells the number of features"),
    (lambda nn: nn.Sequential(), "at least one layer"),
])  # fmt: skip
def test_what_torch_has_and_we_have_not(torch, make, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network.from_torch(make(torch.nn))


def test_shapes_go_to_torch_and_come_back(torch):
    network = fastnn.Network(
        [fastnn.Input((2, 3)), fastnn.Dense(4, "softmax"), fastnn.LayerNormalization(), fastnn.Flatten(),
         fastnn.Dense(6), fastnn.Reshape((3, 2)), fastnn.Reshape((2, 3)), fastnn.Dense(2)], seed=0,
    )  # fmt: skip
    samples = X.reshape(-1, 2, 3)
    assert_close(network.predict(samples), torch_outputs(torch, network.to_torch(), samples))
    nn = torch.nn
    module = nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3)), nn.Linear(3, 4), nn.Softmax(dim=-1), nn.Flatten())
    back = fastnn.Network.from_torch(module)
    assert back.plan.shapes == ((6,), (6,), (2, 3), (2, 4), (8,))
    assert_close(back.predict(X), torch_outputs(torch, module))


@pytest.mark.parametrize("make", [
    lambda nn: nn.Softmax(dim=1), lambda nn: nn.Unflatten(1, (2, 1)),
    lambda nn: nn.Flatten(0),
])  # fmt: skip
def test_other_axes_of_torch_are_refused(torch, make):
    nn = torch.nn
    with pytest.raises(ValueError, match="has no equal in fastnn"):
        fastnn.Network.from_torch(nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, 3)), make(nn)))


def test_only_a_sequential_comes_from_torch(torch):
    class Linear(torch.nn.Linear):
        """A user's class that happens to have a known name."""

    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Sequential, got Linear"):
        fastnn.Network.from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="has no equal in fastnn"):
        fastnn.Network.from_torch(torch.nn.Sequential(Linear(2, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [*(n for n in NAMES if n != "exponential"), LeakyReLU(0.3), ELU(0.5)], ids=str)
def test_to_torch_and_back(torch, activation, dtype):
    network = fastnn.Network(
        [fastnn.Input(6), fastnn.Dense(5, activation), fastnn.Dropout(0.5), fastnn.Dense(3, use_bias=False),
         fastnn.Dropout(0.1), fastnn.Activation(activation)], dtype=dtype, seed=0,
    )  # fmt: skip
    module = network.to_torch()
    assert not module.training
    assert_close(network.predict(X.astype(dtype)), torch_outputs(torch, module, X.astype(dtype)))
    back = fastnn.Network.from_torch(module)
    assert back.dtype == dtype
    assert back.parameters.tobytes() == network.parameters.tobytes()
    module[0].weight.data.zero_()
    assert network.parameters.any()


def test_an_activation_that_torch_has_no_module_for(torch):
    with pytest.raises(ValueError, match="'exponential' has no equal"):
        fastnn.Network.mlp(2, [], 1, output="exponential").to_torch()


def disturbed(network):
    """Every parameter and statistic moved away from where it starts, as training would."""
    rng = np.random.default_rng(2)
    network.parameters[:] += rng.uniform(0.1, 0.5, network.n_parameters)
    network.state[:] += rng.uniform(0.1, 0.5, network.state.size)
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("center, scale", list(itertools.product([True, False], repeat=2)))
def test_normalizations_to_torch_and_back(torch, center, scale, dtype):
    options = {"epsilon": 1e-4, "center": center, "scale": scale}
    network = disturbed(fastnn.Network(
        [fastnn.Input(6), fastnn.BatchNormalization(0.75, **options), fastnn.Dense(5),
         fastnn.LayerNormalization(**options), fastnn.Activation("relu"), fastnn.Dense(2)], dtype=dtype, seed=0,
    ))  # fmt: skip
    module = network.to_torch()
    assert module[0].momentum == 0.25
    expected = network.predict(X.astype(dtype))
    assert_close(expected, torch_outputs(torch, module, X.astype(dtype)))
    back = fastnn.Network.from_torch(module)
    assert_close(back.predict(X.astype(dtype)), expected)
    assert back.layers[1].momentum == 0.75
    assert back.state.tobytes() == network.state.tobytes()


def test_a_normalization_tells_the_number_of_features(torch):
    nn = torch.nn
    for module in (nn.Sequential(nn.BatchNorm1d(6)), nn.Sequential(nn.LayerNorm(6), nn.Tanh())):
        network = fastnn.Network.from_torch(module)
        assert_close(network.predict(X), torch_outputs(torch, module.eval()))
    for wrong, message in [
        (nn.BatchNorm1d(6, track_running_stats=False), "must track running statistics"),
        (nn.BatchNorm1d(6, momentum=None), "with a momentum"),
        (nn.LayerNorm((2, 3)), "runs over one dimension"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fastnn.Network.from_torch(nn.Sequential(wrong))


def test_every_layer_goes_to_torch_or_is_refused_with_a_reason(torch):
    from fastnn.interop.torch.writing import NO_EQUAL, WRITE

    assert not set(WRITE) & set(NO_EQUAL)
    assert set(layers.layer_classes()) == set(WRITE) | set(NO_EQUAL)
    network = fastnn.Network([fastnn.Input(2), fastnn.GaussianNoise(0.1)])
    with pytest.raises(ValueError, match=r"GaussianNoise\(.* has no equal in .*: PyTorch has no module that"):
        network.to_torch()


# --- Keras ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    keras.utils.set_random_seed(0)
    return keras


def keras_outputs(model, X=X):
    return np.asarray(model(X, training=False))


def test_every_activation_comes_from_keras(keras):
    L = keras.layers
    ours = [name for name in NAMES if name != "exponential"]
    for activation in [*ours, "exponential", "swish", L.LeakyReLU(negative_slope=0.3), L.ELU(alpha=0.7)]:
        model = keras.Sequential([keras.Input((6,)), L.Dense(5, activation=activation), L.Dense(3)])
        network = fastnn.Network.from_keras(model)
        assert_close(network.predict(X), keras_outputs(model))
        if isinstance(activation, str):
            model = keras.Sequential([keras.Input((6,)), L.Dense(5), L.Activation(activation)])
            assert_close(fastnn.Network.from_keras(model).predict(X), keras_outputs(model))


def test_layers_and_nested_models_come_from_keras(keras):
    L = keras.layers
    inner = keras.Sequential([keras.Input((6,)), L.Dense(5, use_bias=False), L.ReLU(), L.Dropout(0.2)])
    inputs = keras.Input((6,))
    hidden = L.LeakyReLU(negative_slope=0.1)(L.Dense(4)(inner(inputs)))
    hidden = L.ReLU(negative_slope=0.2)(L.Dense(4)(L.ELU(alpha=0.5)(hidden)))
    model = keras.Model(inputs, L.Softmax()(L.Dense(3)(hidden)))
    network = fastnn.Network.from_keras(model)
    assert network.layers == (
        fastnn.Input(6), fastnn.Dense(5, "relu", use_bias=False), fastnn.Dropout(0.2),
        fastnn.Dense(4, LeakyReLU(0.1)), fastnn.Activation(ELU(0.5)), fastnn.Dense(4, LeakyReLU(0.2)),
        fastnn.Dense(3, "softmax"),
    )  # fmt: skip
    assert_close(network.predict(X), keras_outputs(model))


@pytest.mark.parametrize("center, scale", list(itertools.product([True, False], repeat=2)))
def test_normalizations_and_noise_come_from_keras(keras, center, scale):
    L = keras.layers
    options = {"epsilon": 1e-4, "center": center, "scale": scale}
    model = keras.Sequential([
        keras.Input((6,)), L.BatchNormalization(momentum=0.75, **options), L.GaussianNoise(0.2), L.Dense(5),
        L.LayerNormalization(**options), L.Dense(2),
    ])  # fmt: skip
    rng = np.random.default_rng(3)
    for layer in model.layers:
        layer.set_weights([array + rng.uniform(0.1, 0.5, array.shape) for array in layer.get_weights()])
    network = fastnn.Network.from_keras(model)
    assert network.layers[1:5] == (
        fastnn.BatchNormalization(0.75, **options), fastnn.GaussianNoise(0.2), fastnn.Dense(5),
        fastnn.LayerNormalization(**options),
    )  # fmt: skip
    assert_close(network.predict(X), keras_outputs(model))


@pytest.mark.parametrize("shape", [(6,), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"axis": None}, {"mean": 2.0, "variance": 5.0}], ids=str)
def test_adapted_features_come_from_keras(keras, shape, options):
    L = keras.layers
    layer, data = L.Normalization(**options), X.reshape(-1, *shape)
    if "mean" not in options:
        layer.adapt(data)
    model = keras.Sequential([keras.Input(shape), layer, L.BatchNormalization(), L.Dense(2)])
    assert_close(fastnn.Network.from_keras(model).predict(data), keras_outputs(model, data))


def test_the_dtype_of_keras_is_kept(keras):
    model = keras.Sequential([keras.Input((6,), dtype="float64"), keras.layers.Dense(3, dtype="float64")])
    network = fastnn.Network.from_keras(model)
    assert network.dtype == np.float64
    assert_close(network.predict(X), keras_outputs(model, X.astype(np.float64)))


def test_what_keras_has_and_we_have_not(keras):
    L = keras.layers

    def model(*inner):
        return keras.Sequential([keras.Input((6,)), *inner])

    inputs = keras.Input((6,))
    a = L.Dense(3)(inputs)
    cases = [
        (model(L.PReLU()), "a layer of type PReLU, has no equal in fastnn; known are InputLayer, Identity, Dense"),
        (model(L.Dense(2, activation="hard_sigmoid")), "the activation 'hard_sigmoid' has no equal"),
        (model(L.ReLU(max_value=6)), "max_value or threshold"),
        (keras.Model(inputs, L.Concatenate()([a, L.Dense(3)(a)])), "a chain of layers, but 'concat.*' has 2 inputs"),
        (keras.Model(inputs, L.Add()([a, L.Dense(3)(inputs)])), r"but 'add.*' adds two that are no x and f\(x\)"),
        (keras.Model(inputs, [a, L.Dense(2)(a)]), "with one output"),
        (keras.Sequential([L.Dense(2)]), "model must be built"),
        (keras.Sequential([keras.Input((None, 6)), L.Dense(2)]), r"\(None, \*shape\), got \(None, None, 6\)"),
        (model(L.Normalization(mean=0.0, variance=1.0, invert=True)), "with invert=True, has no equal"),
        (
            keras.Sequential([keras.Input((4, 6)), L.Normalization(axis=1, mean=[0.0] * 4, variance=[1.0] * 4)]),
            "normalizes over axis .*, has no equal",
        ),
        (keras.Sequential([keras.Input((4, 6)), L.Softmax(axis=1)]), "a Softmax over axis 1, has no equal"),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            fastnn.Network.from_keras(wrong)
    with pytest.raises(TypeError, match=r"model must be a keras\.Model, got Dense"):
        fastnn.Network.from_keras(L.Dense(2))


def test_shapes_come_from_keras(keras):
    L = keras.layers
    model = keras.Sequential([
        keras.Input((2, 3)), L.Dense(4, activation="softmax"), L.LayerNormalization(), L.BatchNormalization(),
        L.Flatten(), L.Dense(6), L.Reshape((3, -1)), L.Softmax(axis=-1),
    ])  # fmt: skip
    network = fastnn.Network.from_keras(model)
    assert network.plan.shapes[0] == (2, 3) and network.plan.output_shape == (3, 2)
    assert_close(network.predict(X.reshape(-1, 2, 3)), keras_outputs(model, X.reshape(-1, 2, 3)))


# --- without them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package, call", [
    ("torch", lambda: fastnn.Network.from_torch(None)), ("torch", lambda: fastnn.Network.mlp(1, [], 1).to_torch()),
    ("keras", lambda: fastnn.Network.from_keras(None)), ("onnx", lambda: fastnn.to_onnx(fastnn.Network.mlp(1, [], 1))),
])  # fmt: skip
def test_a_missing_package_is_named(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install .*{package}"):
        call()
