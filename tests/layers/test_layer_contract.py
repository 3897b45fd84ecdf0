"""What every layer, activation, loss and optimizer keeps to: one table, one set of tests.

Whoever adds a part adds one line to PARTS (a test fails until then) and has it tested in every respect below; what
only that part does is tested in a file of its own.
"""

import copy
import json
import pickle

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import activations, layers, losses, optimizers
from fastnn.kernels.layerwise import LEAST_PARAMETERS
from support import assert_close, public_names, rng

PARTS = [
    # Layers, each between two dense ones.
    fastnn.Dense(7, "tanh"),
    fastnn.Dense(33, "relu", use_bias=False, kernel_initializer="orthogonal"),
    fastnn.Activation("softplus"),
    fastnn.Dropout(0.3),
    fastnn.GaussianNoise(0.1),
    fastnn.LayerNormalization(),
    fastnn.LayerNormalization(scale=False),
    fastnn.BatchNormalization(),
    fastnn.BatchNormalization(scale=False),
    fastnn.Normalization((0.1, -0.2, 0.0, 0.3, 1.0), (0.5, 1.0, 2.0, 0.1, 4.0)),
    fastnn.Flatten(),
    fastnn.Reshape((-1,)),
    fastnn.Residual([fastnn.LayerNormalization(center=False), fastnn.Dense(5, "tanh"), fastnn.Dense(5)]),
    fastnn.Scale(),
    fastnn.PiecewiseLinear(3, [(-0.3, -0.02, 0.1, 0.4)] * 5, kernel_regularizer=0.01),
    fastnn.Periodic(3, 2, frequency_scale=1.0, kernel_regularizer=0.01),
    fastnn.Periodic(2, 3, use_phase=False, keep_feature=False),
    fastnn.CategoryEmbedding({1: 3, 4: 2}, 3, embeddings_regularizer=0.01),
    fastnn.Ensemble([fastnn.Dense(4, "tanh"), fastnn.Dropout(0.1), fastnn.Dense(9, "mish"), fastnn.Dense(5)], 3),
    fastnn.Ensemble([fastnn.Scale(), fastnn.Dense(5, use_bias=False), fastnn.Activation("tanh")], 2, average=False),
    # Layers over images and sequences.
    fastnn.Conv2D(4, (3, 2), activation="tanh", padding="same", kernel_regularizer=fastnn.L2(0.1)),
    fastnn.Conv2D(6, 2, strides=2, groups=2, use_bias=False),
    fastnn.Conv1D(4, 3, dilation=2, activation="relu"),
    fastnn.Conv2DTranspose(3, 3, strides=(2, 1), activation="silu"),
    fastnn.MaxPooling2D(2),
    fastnn.AveragePooling2D((2, 1), strides=1, padding="same"),
    fastnn.MaxPooling1D(3, 2),
    fastnn.AveragePooling1D(2),
    fastnn.GlobalMaxPooling2D(),
    fastnn.GlobalAveragePooling2D(),
    fastnn.GlobalMaxPooling1D(),
    fastnn.GlobalAveragePooling1D(),
    fastnn.UpSampling2D((1, 2)),
    fastnn.SpatialDropout2D(0.2),
    fastnn.SpatialDropout1D(0.2),
    fastnn.RandomFlip("horizontal_and_vertical"),
    fastnn.RandomTranslation(0.3, 0.3),
    fastnn.SimpleRNN(4),
    fastnn.LSTM(3, return_sequences=True),
    fastnn.GRU(4, go_backwards=True, kernel_regularizer=0.01),
    fastnn.Bidirectional(fastnn.GRU(2, return_sequences=True), "sum"),
    # Activations, as hidden and as output layer.
    *map(activations.get, activations.NAMES),
    activations.LeakyReLU(0.3),
    activations.ELU(0.5),
    # Losses.
    *map(losses.get, losses.NAMES),
    losses.Huber(0.4),
    losses.Scaled("mse", 0.5),
    losses.LogLoss(label_smoothing=0.1),
    losses.CategoricalCrossentropy(label_smoothing=0.1),
    # Optimizers.
    *map(optimizers.get, optimizers.NAMES),
    fastnn.SGD(0.05, momentum=0.9, nesterov=True),
    fastnn.Adam(0.01, amsgrad=True),
]
N_INPUTS, N_OUTPUTS, N = 6, 3, 45
X = rng(1).normal(size=(N, N_INPUTS))

each_part = pytest.mark.parametrize("part", PARTS, ids=repr)


def kind_of(part):
    kinds = (layers.Layer, activations.ActivationFunction, losses.LossFunction, optimizers.Optimizer)
    return next(kind for kind in kinds if isinstance(part, kind))


def surrounded(layer):
    """A layer for samples of a shape gets that from a row of numbers, and gives a row."""
    module = type(layer).__module__
    if isinstance(layer, fastnn.Ensemble) and not layer.average:
        return [layer, fastnn.Flatten()]
    if not module.endswith(("convolution", "pooling", "images", "recurrent")):
        return [layer]
    shape = (8, 2) if "1D" in type(layer).__name__ or module.endswith("recurrent") else (4, 3, 2)
    return [fastnn.Dense(int(np.prod(shape)), "tanh"), fastnn.Reshape(shape), layer, fastnn.Flatten()]


def make_trainer(part, dtype="float64", seed=0):
    """A trainer in which the part has its place."""
    kind = kind_of(part)
    middle = (
        surrounded(part)
        if kind is layers.Layer
        else [fastnn.Dense(5, part if kind is activations.ActivationFunction else "tanh")]
    )
    output = part if kind is activations.ActivationFunction else "linear"
    if kind is losses.LossFunction:
        output = "softmax" if part.name == "categorical_crossentropy" else "sigmoid"
    network = fastnn.Network(
        [fastnn.Input(N_INPUTS), fastnn.Dense(5, "silu"), *middle, fastnn.Dense(N_OUTPUTS, output)],
        dtype=dtype, seed=seed,
    )  # fmt: skip
    return fastnn.Trainer(
        network,
        loss=part if kind is losses.LossFunction else "mse",
        optimizer=part if kind is optimizers.Optimizer else fastnn.Adam(0.01),
    )


def make_targets(n=N):
    """In (0, 1), where every loss and every activation has a meaning for them."""
    return rng(2).uniform(0.1, 0.9, (n, N_OUTPUTS))


def descendants(cls):
    """The class and all that derive from it, but for those that other tests define."""
    ours = (c for c in cls.__subclasses__() if c.__module__.startswith("fastnn"))
    return {cls}.union(*map(descendants, ours))


def test_the_table_is_complete():
    abstract = {layers.Layer, layers.Input, layers.recurrent.Recurrent, optimizers.Optimizer}
    abstract.add(fastnn.Embedding)  # takes integers, so nothing stands before it: test_embedding.py
    abstract |= {activations.Compiled, losses.Compiled, optimizers.Compiled}  # of functions: test_own_parts.py
    abstract.add(losses.PythonLoss)  # holds a function, which is neither written down nor saved: test_custom_loss.py
    for base in (layers.Layer, activations.ActivationFunction, losses.LossFunction, optimizers.Optimizer):
        wanted = {cls for cls in descendants(base) - abstract if not cls.__name__.startswith("_")}
        missing = wanted - {type(part) for part in PARTS}
        assert not missing, f"add a line to PARTS for {missing}"


@each_part
def test_it_prints_as_it_is_written(part):
    kind = kind_of(part)
    written = eval(repr(part), {**public_names(), **vars(activations), **vars(losses)})
    assert (activations.get(written) if kind is activations.ActivationFunction else written) == part


@each_part
def test_its_config_is_json_and_makes_it_again(part):
    get = {
        layers.Layer: layers.from_config,
        activations.ActivationFunction: activations.get,
        losses.LossFunction: losses.get,
        optimizers.Optimizer: optimizers.get,
    }[kind_of(part)]
    assert get(json.loads(json.dumps(part.config))) == part


@each_part
def test_it_is_a_value(part):
    """Immutable, hashable, and equal to its copies."""
    for same in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert same == part
        assert hash(same) == hash(part)
    assert part != object()
    for name in part.__dataclass_fields__:
        with pytest.raises(AttributeError):
            setattr(part, name, None)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("part", [part for part in PARTS if isinstance(part, layers.Layer)], ids=repr)
def test_an_update_layer_by_layer_is_the_update_of_the_whole(part, n_threads):
    """A limit that no gradient reaches has the whole gradient made first, and changes nothing else."""
    X_wide, y = rng(3).normal(size=(70, 400)), rng(4).normal(size=(70, N_OUTPUTS))
    steps = []
    for limit in (None, 1e9):
        middle = [fastnn.Dense(5), *surrounded(part)]
        shape = [fastnn.Input(400), fastnn.Dense(300, "tanh"), *middle, fastnn.Dense(N_OUTPUTS)]
        network = fastnn.Network(shape, dtype="float64", seed=0)
        assert network.n_parameters >= LEAST_PARAMETERS
        trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.1, global_clipnorm=limit))
        trainer.fit(X_wide, y, batch_size=None, n_threads=n_threads)
        steps.append(network.parameters.copy())
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-12, atol=1e-14)


@each_part
def test_its_gradient_is_the_central_difference(part):
    trainer = make_trainer(part)
    network, loss, y = trainer.network, trainer.loss, make_targets()
    _, gradient = network.loss_and_gradient(X, y, loss=loss)

    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss=loss)[0]

    expected = ref.central_difference(value, network.parameters.copy(), eps=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-7 * max(1.0, np.abs(expected).max()))


@each_part
def test_the_gradient_of_a_batch_is_the_weighted_mean_over_its_samples(part, dtype):
    trainer = make_trainer(part, dtype)
    y, weight = make_targets(), rng(3).uniform(0.5, 2.0, N)
    loss, gradient = trainer.network.loss_and_gradient(X, y, loss=trainer.loss, sample_weight=weight)
    singles = [
        trainer.network.loss_and_gradient(X[i : i + 1], y[i : i + 1], loss=trainer.loss) for i in range(N)
    ]  # fmt: skip
    share = weight / weight.sum()
    units = 200
    assert_close(np.dtype(dtype).type(loss), share @ [value for value, _ in singles], units)
    largest = max(np.abs(g).max() for _, g in singles)
    error = np.abs(gradient - share @ np.array([g for _, g in singles], float)).max()
    assert error <= units * np.finfo(dtype).eps * largest


@each_part
def test_float32_is_float64_to_its_precision(part):
    single, double = make_trainer(part, "float32").network, make_trainer(part, "float64").network
    double.parameters[:] = single.parameters
    assert_close(single.predict(X.astype("float32")), double.predict(X.astype("float32")), 100)


@each_part
def test_it_learns_and_the_same_seed_gives_the_same_bits(part, dtype):
    results = []
    for _ in range(2):
        trainer = make_trainer(part, dtype)
        before = trainer.evaluate(X, make_targets())["loss"]
        trainer.fit(X, make_targets(), epochs=40, batch_size=16)
        results.append(trainer.network.parameters)
    assert trainer.evaluate(X, make_targets())["loss"] < before
    np.testing.assert_array_equal(*results)
    np.testing.assert_array_equal(trainer.network.predict(X), trainer.network.predict(X))


@each_part
def test_it_is_saved_and_loaded(part, tmp_path):
    trainer = make_trainer(part)
    trainer.fit(X, make_targets())
    trainer.save(tmp_path / "trainer.fastnn")
    again = fastnn.Trainer.load(tmp_path / "trainer.fastnn")
    assert (again.network.layers, again.loss, again.optimizer) == (
        trainer.network.layers,
        trainer.loss,
        trainer.optimizer,
    )
    for one in (trainer, again):
        one.fit(X, make_targets(), epochs=2)
    np.testing.assert_array_equal(again.network.parameters, trainer.network.parameters)


@each_part
def test_it_shows_in_the_summary(part):
    network = make_trainer(part).network
    rows = network.summary().splitlines()
    assert len(rows) == len(network.layers) + 2
    for row, layer in zip(rows[1:], network.layers, strict=False):
        assert row.startswith(type(layer).__name__)
