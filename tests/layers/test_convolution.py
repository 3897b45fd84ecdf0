"""Convolutions: what they compute, for every way in which windows can lie, and what they refuse."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
import reference as ref
from fastnn.engine.workspace import Workspace
from fastnn.kernels.rows import predict_rows
from support import assert_close, rng

LAST = fastnn.Flatten()


def random_case(seed):
    """A convolution, an image size and a batch size; small, and everything may be odd."""
    r = rng(seed)
    taps, strides, dilation = (tuple(map(int, r.integers(1, high, 2))) for high in (5, 4, 3))
    padding = str(r.choice(["valid", "same"]))
    groups = int(r.choice([1, 1, 2, 3]))
    channels, filters = groups * int(r.integers(1, 5)), groups * int(r.choice([1, 2, 5, 8, 15]))
    least = [(k - 1) * d + 1 if padding == "valid" else 1 for k, d in zip(taps, dilation, strict=True)]
    shape = (*(size + int(r.integers(0, 6)) for size in least), channels)
    layer = fastnn.Conv2D(
        filters, taps, strides=strides, padding=padding, dilation=dilation, groups=groups, use_bias=bool(r.integers(2))
    )
    return layer, shape, int(r.choice([1, 5, 32, 45, 70]))


def oracle_layer(layer, weights):
    """The oracle's layer with these weights."""
    both = [getattr(layer, name) for name in ("strides", "dilation")]
    strides, dilation = (value if isinstance(value, tuple) else (value, value) for value in both)
    return ref.Convolution(weights[0], weights[1] if layer.use_bias else None, strides, dilation, layer.padding,
                           layer.groups)  # fmt: skip


def check(layer, shape, n, dtype, units=300):
    """Outputs and both gradients are the oracle's."""
    network = fastnn.Network([fastnn.Input(shape), layer], dtype=dtype, seed=1)
    network.parameters[:] = rng(2).normal(size=network.n_parameters)
    X = rng(3).normal(size=(n, *shape)).astype(dtype)
    oracle = oracle_layer(layer, [w.astype(float) for w in network.get_weights()])
    expected = oracle.forward(X.astype(float))
    outputs = network.predict(X)
    assert outputs.shape == expected.shape
    assert_close(outputs, expected, units)
    v = rng(4).normal(size=expected.shape)
    by_inputs, by_parameters = network.vjp(X, v)
    d_x, gradients = oracle.backward(X.astype(float), v)
    assert_close(by_inputs, d_x, units)
    assert_close(by_parameters, np.concatenate([g.ravel() for g in gradients]), units * n)


@pytest.mark.parametrize("seed", range(40))
def test_outputs_and_gradients_are_the_oracles(seed, dtype):
    check(*random_case(seed), dtype)


@st.composite
def convolutions(draw):
    """A convolution with an image that it fits."""

    def pair(high):
        return draw(st.tuples(st.integers(1, high), st.integers(1, high)))

    taps, strides, dilation, groups = pair(5), pair(4), pair(3), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same"]))
    layer = fastnn.Conv2D(
        groups * draw(st.integers(1, 17)), taps, strides=strides, padding=padding, dilation=dilation, groups=groups,
        use_bias=draw(st.booleans()),
    )  # fmt: skip
    spans = [(k - 1) * d + 1 if padding == "valid" else 1 for k, d in zip(taps, dilation, strict=True)]
    shape = (*(draw(st.integers(span, span + 6)) for span in spans), groups * draw(st.integers(1, 5)))
    return layer, shape, draw(st.integers(1, 70))


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_any_shapes(case):
    check(*case, "float64")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (fastnn.Conv2D(1, 1), (1, 1, 1)),
        (fastnn.Conv2D(33, 1), (3, 3, 17)),  # 1 x 1, more filters than a tile has rows
        (fastnn.Conv2D(16, (3, 3), padding="same"), (7, 5, 1)),
        (fastnn.Conv2D(4, 7, padding="same"), (3, 2, 2)),  # a kernel larger than the image
        (fastnn.Conv2D(3, 2, padding="same", dilation=5), (1, 1, 2)),  # windows that see nothing
        (fastnn.Conv2D(2, 2, strides=5), (13, 12, 3)),  # places that no window sees
        (fastnn.Conv2D(8, 3, padding="same", groups=8), (6, 6, 8)),  # depthwise
        (fastnn.Conv2D(27, (2, 3), padding="same", groups=27), (4, 9, 27)),  # more channels than a tile has rows
        (fastnn.Conv2D(3, 2, strides=(2, 1), dilation=(1, 2), groups=3, use_bias=False), (6, 5, 3)),
        (fastnn.Conv2D(16, 3, strides=2, padding="same", groups=8), (5, 6, 8)),
    ],
    ids=repr,
)
def test_extreme_shapes(layer, shape, dtype):
    check(layer, shape, 35, dtype)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_gradient_of_a_network_is_the_central_difference(activation):
    layers = [
        fastnn.Input((7, 6, 2)), fastnn.Conv2D(3, 3, padding="same", activation=activation),
        fastnn.Conv2D(4, 2, strides=2, activation="tanh"), fastnn.Flatten(), fastnn.Dense(2, "softmax"),
    ]  # fmt: skip
    network = fastnn.Network(layers, dtype="float64", seed=0)
    X, y = rng(0).normal(size=(37, 7, 6, 2)), rng(1).integers(0, 2, 37)
    _, gradient = network.loss_and_gradient(X, y, loss="categorical_crossentropy")

    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss="categorical_crossentropy")[0]

    expected = ref.central_difference(value, network.parameters.copy())
    np.testing.assert_allclose(gradient, expected, rtol=2e-6, atol=2e-8)


@pytest.mark.parametrize(
    ("strides", "padding", "dilation"), [(1, "valid", 1), (2, "same", 1), (1, "same", 3), (3, "valid", 2)]
)
def test_a_sequence_is_an_image_of_one_row(strides, padding, dilation, dtype):
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    sequence = fastnn.Network([fastnn.Input((11, 4)), fastnn.Conv1D(5, 3, **options)], dtype=dtype, seed=0)
    image_options = {name: (1, v) if isinstance(v, int) else v for name, v in options.items()}
    image = fastnn.Network([fastnn.Input((1, 11, 4)), fastnn.Conv2D(5, (1, 3), **image_options)], dtype=dtype, seed=0)
    assert [w.shape for w in sequence.get_weights()] == [(3, 4, 5), (5,)]
    image.parameters[:] = sequence.parameters
    X = rng(0).normal(size=(9, 11, 4)).astype(dtype)
    outputs = sequence.predict(X)
    np.testing.assert_array_equal(outputs, image.predict(X[:, np.newaxis])[:, 0])
    assert outputs.shape == (9, *sequence.plan.output_shape)


def cnn(dtype="float32", seed=0):
    layers = [
        fastnn.Input((8, 8, 1)), fastnn.Conv2D(6, 3, padding="same", activation="relu"), fastnn.MaxPooling2D(2),
        fastnn.Conv2D(8, 3, padding="same", activation="relu"), fastnn.MaxPooling2D(2), fastnn.Flatten(),
        fastnn.Dense(3, "softmax"),
    ]  # fmt: skip
    return fastnn.Network(layers, dtype=dtype, seed=seed)


def test_single_rows_are_those_of_a_batch(dtype):
    network = cnn(dtype)
    X = rng(0).normal(size=(40, 64)).astype(dtype)
    together = network.predict(X)
    for i in range(3):
        assert_close(network.predict(X[i : i + 1]), together[i : i + 1], 50)
    predict = network.compile_predictor()
    out = np.empty(3, dtype)
    predict(X[5], out)
    assert_close(out, together[5], 50)


def test_an_image_takes_the_way_of_a_row(monkeypatch):
    """One image, as an image or as a row, runs through the kernel for rows; more go through panels."""
    network = cnn()
    X = rng(0).normal(size=(9, 8, 8, 1)).astype("float32")
    expected = network.predict(X)
    ways = []
    real = predict_rows
    monkeypatch.setattr("fastnn.model.network.predict_rows", lambda *args: ways.append(len(args[0])) or real(*args))
    single = network.predict(X[:1])
    np.testing.assert_array_equal(single, network.predict(X[:1].reshape(1, -1)))
    assert_close(single, expected[:1], 100)
    network.predict(X[:3])
    assert ways == [1, 1]


def test_rows_of_grouped_and_strided_convolutions(dtype):
    layers = [
        fastnn.Input(90), fastnn.Reshape((5, 3, 6)), fastnn.Conv2D(10, 2, groups=2, strides=2, padding="same"),
        fastnn.Conv2D(70, (3, 1), dilation=(2, 1), padding="same"), fastnn.Flatten(),
    ]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    network.parameters[:] = rng(1).normal(size=network.n_parameters)
    X = rng(0).normal(size=(40, 90)).astype(dtype)
    assert_close(network.predict(X[:4]), network.predict(X)[:4], 100)


@pytest.mark.parametrize("batch_size", [16, 50, 300])
def test_it_learns_the_same_bits_again_and_threads_change_rounding_only(batch_size):
    X = rng(0).normal(size=(300, 8, 8, 1))
    y = (X[:, 2:6, 2:6].mean(axis=(1, 2, 3)) > 0).astype(int)
    losses, parameters = [], []
    for n_threads in (1, 1, 2):
        network = cnn("float64")
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.Adam(0.01))
        history = trainer.fit(X, y, epochs=5, batch_size=batch_size, n_threads=n_threads)
        losses.append(history.history["loss"])
        parameters.append(network.parameters)
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_array_equal(parameters[0], parameters[1])
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-9)


def test_what_a_batch_left_does_not_show_in_the_next():
    """The lanes of the last panel that hold no sample add nothing, whatever was computed there before."""
    network = cnn("float64")
    X, y = rng(0).normal(size=(64, 8, 8, 1)), rng(1).integers(0, 3, 64)
    objective = {"loss": "categorical_crossentropy"}
    network.loss_and_gradient(1e3 * X, y, **objective)
    _, few = network.loss_and_gradient(X[:3], y[:3], **objective)
    singles = [network.loss_and_gradient(X[i : i + 1], y[i : i + 1], **objective)[1] for i in range(3)]
    np.testing.assert_allclose(few, np.mean(singles, axis=0), rtol=1e-10, atol=1e-13)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(0.1))
    trainer.fit(X[:35], y[:35], batch_size=32, epochs=3)  # the last batch has three
    assert np.isfinite(network.parameters).all()


def test_a_step_allocates_nothing_and_holds_one_panel():
    """Images of a large batch go through one panel after the other, in memory that is there before the first step."""
    network = cnn()
    workspace = Workspace(network.plan, network.dtype, n_rows=4096)
    assert workspace.capacity == 1
    X, y = rng(0).normal(size=(640, 8, 8, 1)).astype("float32"), rng(1).integers(0, 3, 640)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy")
    trainer.fit(X, y, batch_size=64)
    peaks = {}
    for n in 5 * (64, 640):  # the least: caches that fill, and threads of other tests, only add to it
        tracemalloc.start()
        trainer.fit(X[:n], y[:n], batch_size=64)
        peaks[n] = min(tracemalloc.get_traced_memory()[1], peaks.get(n, 2**30))
        tracemalloc.stop()
    assert abs(peaks[640] - peaks[64]) < 20_000  # row numbers; a batch's activations are 640 kB


def test_images_of_bytes_are_numbers(dtype):
    network = cnn(dtype)
    X = rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(network.predict(X), network.predict(X.astype(dtype)))


def test_a_mapped_file_of_bytes_trains_as_arrays_in_memory_do(tmp_path):
    images = rng(0).integers(0, 256, (100, 8, 8, 1), np.uint8)
    y = rng(1).integers(0, 3, 100)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    parameters = []
    for X in (images, mapped):
        network = cnn()
        fastnn.Trainer(network, loss="categorical_crossentropy").fit(X, y, epochs=2, seed=0)
        parameters.append(network.parameters)
    np.testing.assert_array_equal(*parameters)


def test_channels_first_is_refused_with_the_way_out():
    X = np.zeros((5, 3, 8, 9))
    network = fastnn.Network([fastnn.Input((8, 9, 3)), fastnn.Conv2D(2, 3), LAST, fastnn.Dense(1)])
    message = r"X must have shape \(n, 8, 9, 3\) or .*; channels come last here: X.transpose\(0, 2, 3, 1\)"
    for refuse in (network.predict, lambda X: fastnn.Trainer(network, loss="mse").fit(X, np.zeros(5))):
        with pytest.raises(ValueError, match=message):
            refuse(X)
        with pytest.raises(ValueError, match=message):
            refuse(X.astype(np.uint8))
    assert network.predict(X.transpose(0, 2, 3, 1)).shape == (5, 1)


@pytest.mark.parametrize("y", [np.zeros(5, int), np.zeros((5, 1), int), np.eye(4)[np.zeros(5, int)]], ids=repr)
def test_a_flatten_that_is_missing_is_named(y):
    layers = [fastnn.Input((8, 8, 1)), fastnn.Conv2D(2, 3), fastnn.Dense(4, "softmax")]
    trainer = fastnn.Trainer(fastnn.Network(layers), loss="categorical_crossentropy")
    with pytest.raises(
        ValueError, match=r"y must have shape \(5, 6, 6, 4\) or class .*; for one answer .* put a Flatten"
    ):
        trainer.fit(np.zeros((5, 8, 8, 1)), y)


def test_a_kernel_constraint_limits_each_filter_and_penalties_count():
    layer = fastnn.Conv2D(3, 2, kernel_constraint=fastnn.MaxNorm(0.5), kernel_regularizer=fastnn.L2(0.1))
    network = fastnn.Network([fastnn.Input((4, 4, 2)), layer, LAST, fastnn.Dense(1)], seed=0)
    X, y = rng(0).normal(size=(50, 4, 4, 2)), 10 * rng(1).normal(size=50)
    with_penalty, without = (network.loss_and_gradient(X, y, loss="mse", penalties=p)[0] for p in (True, False))
    W = network.get_weights()[0]
    assert with_penalty - without == pytest.approx(0.1 * (W**2).sum(), rel=1e-4)
    fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.1)).fit(X, y, epochs=10)
    norms = np.sqrt((network.get_weights()[0] ** 2).sum(axis=(0, 1, 2)))
    assert (norms <= 0.5 + 1e-6).all()
    assert norms.max() == pytest.approx(0.5, abs=1e-5)


def test_what_is_not_trained_stays():
    layers = [fastnn.Input((6, 6, 1)), fastnn.Conv2D(4, 3, trainable=False), LAST, fastnn.Dense(1)]
    network = fastnn.Network(layers, seed=0)
    before = [w.copy() for w in network.get_weights()]
    fastnn.Trainer(network, loss="mse").fit(rng(0).normal(size=(40, 6, 6, 1)), rng(1).normal(size=40))
    for now, then in zip(network.get_weights()[:2], before, strict=False):
        np.testing.assert_array_equal(now, then)
    assert (network.get_weights()[2] != before[2]).any()


def test_flops_and_parameters_of_the_plan():
    plan = cnn().plan
    assert plan.op_flops[0] == 2 * 64 * 9 * 6
    assert math.prod(plan.shapes[4]) == 2 * 2 * 8
    grouped = fastnn.Network([fastnn.Input((5, 5, 4)), fastnn.Conv2D(8, 3, groups=4)]).plan
    assert grouped.op_flops == (2 * 9 * 9 * 8,)
    assert grouped.variables[0].shape == (3, 3, 1, 8)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 3), {}, ValueError, "filters must be"),
        ((2.5, 3), {}, TypeError, "filters must be"),
        ((4, 0), {}, ValueError, "kernel_size must be an integer >= 1 or a tuple of 2 such, got 0"),
        ((4, (3, 3, 3)), {}, ValueError, "kernel_size must be"),
        ((4, "3"), {}, TypeError, "kernel_size must be"),
        ((4, 3), {"strides": 0}, ValueError, "strides must be"),
        ((4, 3), {"strides": (1, True)}, TypeError, "strides must be"),
        ((4, 3), {"dilation": -1}, ValueError, "dilation must be"),
        ((4, 3), {"padding": "full"}, ValueError, "padding must be one of 'valid', 'same'"),
        ((4, 3), {"groups": 3}, ValueError, "groups must divide filters=4, got 3"),
        ((4, 3), {"activation": "rely"}, ValueError, "activation"),
        ((4, 3), {"kernel_initializer": "he"}, ValueError, "kernel_initializer"),
        ((4, 3), {"use_bias": 1}, TypeError, "use_bias"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, options, error, message):
    with pytest.raises(error, match=message):
        fastnn.Conv2D(*arguments, **options)


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        ((4, 9, 1), fastnn.Conv2D(2, 5), r"Conv2D at layers\[1\] looks at windows 5 long, but the height .* is 4"),
        ((9, 4, 1), fastnn.Conv2D(2, 3, dilation=2), "windows 5 long, but the width of its input is 4"),
        ((4, 2), fastnn.Conv1D(2, 5), "but the time of its input is 4"),
        ((9, 9, 3), fastnn.Conv2D(4, 3, groups=2), r"groups must divide the 3 channels .* layers\[1\], got 2"),
        ((64,), fastnn.Conv2D(4, 3), r"images of shape \(height, width, channels\).* has the shape \(64,\)"),
        ((8, 8, 1), fastnn.Conv1D(4, 3), r"sequences of shape \(time, channels\)"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_network_is_made(shape, layer, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network([fastnn.Input(shape), layer])


def test_a_file_keeps_convolutions(tmp_path):
    network = cnn(seed=3)
    network.save(tmp_path / "file")
    again = fastnn.Network.load(tmp_path / "file")
    assert again.layers == network.layers
    np.testing.assert_array_equal(again.parameters, network.parameters)


@pytest.mark.parametrize(("strides", "dilation", "groups"), [(1, 1, 1), (2, 1, 3), (1, 2, 1)])
def test_agreement_with_pytorch(strides, dilation, groups):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    options = {"strides": strides, "dilation": dilation, "groups": groups}
    network = fastnn.Network([fastnn.Input((9, 8, 3)), fastnn.Conv2D(6, 3, **options)], dtype="float64", seed=0)
    W, b = network.get_weights()
    X = rng(0).normal(size=(5, 9, 8, 3))
    x = torch.tensor(X.transpose(0, 3, 1, 2), requires_grad=True)
    kernel = torch.tensor(W.transpose(3, 2, 0, 1), requires_grad=True)
    outputs = torch.nn.functional.conv2d(
        x, kernel, torch.tensor(b), stride=strides, dilation=dilation, groups=groups
    )  # fmt: skip
    np.testing.assert_allclose(network.predict(X), outputs.detach().numpy().transpose(0, 2, 3, 1), atol=1e-12)
    v = rng(1).normal(size=network.predict(X).shape)
    outputs.backward(torch.tensor(v.transpose(0, 3, 1, 2)))
    by_inputs, by_parameters = network.vjp(X, v)
    np.testing.assert_allclose(by_inputs, x.grad.numpy().transpose(0, 2, 3, 1), atol=1e-12)
    np.testing.assert_allclose(by_parameters[: W.size].reshape(W.shape), kernel.grad.numpy().transpose(2, 3, 1, 0),
                               atol=1e-12)  # fmt: skip
