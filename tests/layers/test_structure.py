"""Samples of several axes: dense layers on the last, other shapes for the same numbers, residual blocks."""

import numpy as np
import pytest

import fastnn
import reference as ref
from support import rng


def central(network, X, y, loss):
    """The gradient of the loss by central differences, for a network of float64."""
    start = network.parameters.copy()

    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss=loss)[0]

    expected = ref.central_difference(value, start)
    network.parameters[:] = start
    return expected


END = [fastnn.Flatten(), fastnn.Dense(2)]
BODIES = {
    "dense on time": [fastnn.Dense(4, "tanh"), *END],
    "softmax at every step": [fastnn.Dense(4, "softmax"), *END],
    "gelu": [fastnn.Dense(3, "gelu"), fastnn.Dense(2, "mish"), *END],
    "layer norm": [fastnn.LayerNormalization(), fastnn.Dense(3), fastnn.LayerNormalization(), *END],
    "batch norm": [fastnn.Dense(3), fastnn.BatchNormalization(), *END],
    "reshape": [fastnn.Reshape((3, 5)), fastnn.Dense(3, "relu"), fastnn.Reshape((-1,)), fastnn.Dense(2)],
    "residual": [fastnn.Residual([fastnn.Dense(3, "tanh"), fastnn.Dense(3)]), *END],
    "residual of residuals": [
        fastnn.Dense(4, "relu"),
        fastnn.Residual([fastnn.Activation("tanh"), fastnn.Residual([fastnn.Dense(4, "sigmoid")]), fastnn.Dense(4)]),
        *END,
    ],
    "residual first": [fastnn.Residual([fastnn.Dense(3)]), fastnn.Activation("sigmoid"), *END],
}


@pytest.mark.parametrize("n", [1, 5, 33])
@pytest.mark.parametrize("name", BODIES)
def test_gradients_are_central_differences(name, n):
    network = fastnn.Network([fastnn.Input((5, 3)), *BODIES[name]], dtype="float64", seed=1)
    X, y = rng(1).normal(size=(n, 5, 3)), rng(2).normal(size=(n, 2))
    _, gradient = network.loss_and_gradient(X, y, loss="mse")
    np.testing.assert_allclose(gradient, central(network, X, y, "mse"), rtol=2e-6, atol=2e-8)


@pytest.mark.parametrize("name", BODIES)
def test_vjp_is_the_derivative_by_the_inputs_and_by_the_parameters(name):
    network = fastnn.Network([fastnn.Input((5, 3)), *BODIES[name]], dtype="float64", seed=1)
    X, v = rng(1).normal(size=(7, 5, 3)), rng(2).normal(size=(7, 2))
    by_inputs, by_parameters = network.vjp(X, v)
    assert by_inputs.shape == X.shape
    expected = ref.central_difference(lambda x: float((network.predict(x.reshape(X.shape)) * v).sum()), X.ravel())
    np.testing.assert_allclose(by_inputs.ravel(), expected, rtol=2e-6, atol=2e-8)
    start = network.parameters.copy()

    def value(parameters):
        network.parameters[:] = parameters
        return float((network.predict(X) * v).sum())

    np.testing.assert_allclose(by_parameters, ref.central_difference(value, start), rtol=2e-6, atol=2e-8)


def test_a_dense_layer_on_time_is_the_same_product_at_every_step(dtype):
    network = fastnn.Network([fastnn.Input((6, 3)), fastnn.Dense(4)], dtype=dtype, seed=0)
    X = rng(0).normal(size=(40, 6, 3)).astype(dtype)
    W, b = network.get_weights()
    assert W.shape == (3, 4)
    outputs = network.predict(X)
    assert outputs.shape == (40, 6, 4)
    np.testing.assert_allclose(outputs, X @ W + b, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(network.predict(X[:2]), outputs[:2])
    np.testing.assert_array_equal(network.predict(X.reshape(40, 18)), outputs)
    np.testing.assert_array_equal(network.predict(X, out=np.empty_like(outputs)), outputs)


@pytest.mark.parametrize(
    "make", [np.asarray, np.asfortranarray, lambda X: (10 * X).astype(np.uint8), lambda X: X[::-1]]
)
def test_fit_and_evaluate_take_samples_of_a_shape_in_any_memory_order(make):
    X = make(rng(0).uniform(size=(50, 4, 3)).astype(np.float32))
    y = rng(1).integers(0, 2, 50)
    layers = [fastnn.Input((4, 3)), fastnn.Dense(5, "relu"), fastnn.Flatten(), fastnn.Dense(2, "softmax")]
    results = []
    for rows in (X, np.ascontiguousarray(X).reshape(50, 12)):
        trainer = fastnn.Trainer(fastnn.Network(layers, seed=0), loss="categorical_crossentropy")
        trainer.fit(rows, y, epochs=2, batch_size=16, validation_split=0.2)
        results.append((trainer.network.parameters.copy(), trainer.evaluate(rows, y)["loss"]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_targets_of_the_shape_of_the_outputs():
    X, y = rng(0).normal(size=(30, 4, 3)), rng(1).normal(size=(30, 4, 2))
    network = fastnn.Network([fastnn.Input((4, 3)), fastnn.Dense(2)], dtype="float64", seed=0)
    loss, _ = network.loss_and_gradient(X, y, loss="mse")
    assert loss == pytest.approx(((network.predict(X) - y) ** 2).mean())
    assert fastnn.Trainer(network, loss="mse").fit(X, y, epochs=2).history["loss"][0] > 0


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_change_rounding_only(n_threads):
    layers = [fastnn.Input((5, 3)), *BODIES["residual of residuals"]]
    network = fastnn.Network(layers, dtype="float64", seed=0)
    X, y = rng(0).normal(size=(200, 5, 3)), rng(1).normal(size=(200, 2))
    history = fastnn.Trainer(network, loss="mse").fit(X, y, epochs=3, batch_size=100, n_threads=n_threads)
    alone = fastnn.Network(layers, dtype="float64", seed=0)
    expected = fastnn.Trainer(alone, loss="mse").fit(X, y, epochs=3, batch_size=100, n_threads=1)
    np.testing.assert_allclose(history.history["loss"], expected.history["loss"], rtol=1e-10)


@pytest.mark.parametrize("n", [20, 100])
def test_a_large_network_with_a_dense_layer_on_several_axes(n):
    """It has more parameters than a gradient vector is used for where each layer can update itself; this one cannot."""
    steps = []
    for limit in (None, 1e9):
        layers = [
            fastnn.Input((4, 10)),
            fastnn.Dense(160, "tanh"),
            fastnn.Flatten(),
            fastnn.Dense(160),
            fastnn.Dense(1),
        ]
        network = fastnn.Network(layers, dtype="float64", seed=0)
        trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.1, global_clipnorm=limit))
        trainer.fit(rng(0).normal(size=(n, 4, 10)), rng(1).normal(size=n), batch_size=None, n_threads=1)
        steps.append(network.parameters.copy())
    np.testing.assert_allclose(*steps, rtol=1e-12, atol=1e-14)


def test_dropouts_inside_one_residual_have_masks_of_their_own():
    block = fastnn.Residual([fastnn.Dropout(0.5), fastnn.Dropout(0.5)])
    network = fastnn.Network([fastnn.Input(64), block], dtype="float64")
    keys = network.plan.ops["key"][[kind.name == "dropout" for kind in network.plan.kinds]]
    assert len(set(keys.tolist())) == 2


def test_a_file_keeps_shapes_and_blocks(tmp_path):
    layers = [fastnn.Input((5, 3)), *BODIES["residual of residuals"], fastnn.Reshape((1, 2))]
    network = fastnn.Network(layers, seed=3)
    network.save(tmp_path / "file")
    again = fastnn.Network.load(tmp_path / "file")
    assert again.layers == network.layers
    np.testing.assert_array_equal(again.parameters, network.parameters)
    assert b'"format":2' in (tmp_path / "file").read_bytes().replace(b"\\", b"")
    names = [variable.name for variable in network.plan.variables]
    assert names == ["kernel", "bias", "1.0.kernel", "1.0.bias", "2.kernel", "2.bias", "kernel", "bias"]


def test_the_summary_shows_shapes():
    text = fastnn.Network([fastnn.Input((28, 28, 1)), fastnn.Flatten(), fastnn.Dense(10)]).summary()
    assert "28 x 28 x 1" in text
    assert "784" in text


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((10, 1, 8, 9), r"channels come last here: X.transpose\(0, 2, 3, 1\)"),
        ((10, 8, 9), r"a single channel is X\[..., numpy.newaxis\]"),
        ((8, 9, 1), r"one sample is X\[numpy.newaxis\]"),
        ((10, 9, 8, 1), r"must have shape \(n, 8, 9, 1\) or \(n, 72\), got \(10, 9, 8, 1\)"),
        ((10, 71), "72 features"),
    ],
)
def test_a_wrong_shape_is_told_with_what_helps(shape, message):
    network = fastnn.Network([fastnn.Input((8, 9, 1)), fastnn.Flatten(), fastnn.Dense(1)])
    with pytest.raises(ValueError, match=message):
        network.predict(np.zeros(shape))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastnn.Input((3, 0)), ValueError, "n_features must be a tuple of integers >= 1"),
        (lambda: fastnn.Input(()), ValueError, "n_features must be"),
        (lambda: fastnn.Input((3, 2.0)), TypeError, "n_features must be"),
        (lambda: fastnn.Reshape((-1, -1)), ValueError, "shape must be"),
        (lambda: fastnn.Reshape(5), TypeError, "shape must be"),
        (lambda: fastnn.Network([fastnn.Input(10), fastnn.Reshape((3, -1))]), ValueError, "hold the 10 numbers"),
        (lambda: fastnn.Residual([]), ValueError, "at least one layer"),
        (lambda: fastnn.Residual([fastnn.Input(3)]), TypeError, "other than Input"),
        (lambda: fastnn.Residual(fastnn.Dense(3)), TypeError, "sequence of layers"),
        (lambda: fastnn.Network([fastnn.Input(4), fastnn.Residual([fastnn.Dense(3)])]), ValueError, "keep the shape"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_vjp_refuses_what_does_not_fit():
    network = fastnn.Network.mlp(3, [], 2)
    with pytest.raises(ValueError, match="v must have as many samples as X"):
        network.vjp(np.zeros((4, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="v must have 2 features"):
        network.vjp(np.zeros((4, 3)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="X must be finite"):
        network.vjp(np.full((4, 3), np.nan), np.zeros((4, 2)))


def test_a_row_alone_and_a_compiled_predictor_give_the_bits_of_a_batch(dtype):
    block = fastnn.Residual([fastnn.Dense(7, "relu"), fastnn.Residual([fastnn.Dense(7, "tanh")]), fastnn.Dense(7)])
    network = fastnn.Network([fastnn.Input((5, 7)), block, fastnn.Flatten(), fastnn.Dense(3)], dtype=dtype, seed=0)
    X = rng(0).normal(size=(40, 35)).astype(dtype)
    batch = network.predict(X)
    np.testing.assert_array_equal(network.predict(X[:3].copy()), batch[:3])
    predict, out = network.compile_predictor(), np.empty(3, dtype)
    predict(X[0], out)
    np.testing.assert_array_equal(out, batch[0])
