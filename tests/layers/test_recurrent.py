"""Recurrent layers: agreement with plain NumPy, central differences and PyTorch; options, stacks, hostile shapes."""

import numpy as np
import pytest

import fastnn
import reference as ref
from reference.recurrent import bidirectional, recurrent
from support import public_names, rng

CELLS = {"SimpleRNN": fastnn.SimpleRNN, "LSTM": fastnn.LSTM, "GRU": fastnn.GRU}
each_cell = pytest.mark.parametrize("cell", CELLS)


def network_of(*layers, shape, dtype="float64"):
    """A network whose weights are all drawn, biases too."""
    network = fastnn.Network([fastnn.Input(shape), *layers], dtype=dtype, seed=1)
    network.parameters[:] = rng(3).normal(size=network.n_parameters) * 0.5
    return network


@each_cell
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("units", "features", "steps", "n"), [(1, 1, 1, 1), (5, 2, 3, 1), (17, 3, 7, 45), (3, 40, 1, 70), (16, 4, 9, 129)]
)
def test_outputs_are_the_oracles(cell, sequences, backwards, units, features, steps, n):
    x = rng(2).normal(size=(n, steps, features))
    for dtype, tolerance in (("float64", 1e-12), ("float32", 5e-5)):
        layer = CELLS[cell](units, return_sequences=sequences, go_backwards=backwards)
        network = network_of(layer, shape=(steps, features), dtype=dtype)
        weights = [w.astype(float) for w in network.get_weights()]
        expected = recurrent(cell, x, weights, sequences=sequences, backwards=backwards)
        outputs = network.predict(x.astype(dtype))
        assert outputs.shape == expected.shape
        np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)


@each_cell
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mode", ["concat", "sum"])
def test_both_directions_are_the_oracles(cell, sequences, mode):
    layer = fastnn.Bidirectional(CELLS[cell](6, return_sequences=sequences), mode)
    network = network_of(layer, shape=(5, 3))
    x = rng(2).normal(size=(40, 5, 3))
    expected = bidirectional(cell, x, network.get_weights(), sequences=sequences, mode=mode)
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-12, atol=1e-12)


@each_cell
@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid"])
def test_other_activations_and_no_bias(cell, activation):
    gates = {} if cell == "SimpleRNN" else {"recurrent_activation": "tanh"}
    network = network_of(CELLS[cell](3, activation, use_bias=False, **gates), shape=(4, 2))
    x = rng(2).normal(size=(5, 4, 2))
    expected = recurrent(
        cell, x, network.get_weights(), sequences=False, backwards=False, activation=activation, **gates
    )
    np.testing.assert_allclose(network.predict(x), expected, rtol=1e-12, atol=1e-12)
    check_gradients(network, 5)


def check_gradients(network, n):
    """Gradients of the parameters and of the inputs are central differences of the outputs."""
    X = rng(4).normal(size=(n, *network.plan.input_shape))
    v = rng(5).normal(size=(n, *network.plan.output_shape))
    start = network.parameters.copy()

    def at_parameters(parameters):
        network.parameters[:] = parameters
        return float((network.predict(X) * v).sum())

    by_inputs, by_parameters = network.vjp(X, v)
    # Of many parameters some will do: each is one number of a product that all share.
    for direction in rng(6).choice([-1.0, 1.0], size=(6, network.n_parameters)):
        slope = (at_parameters(start + 1e-6 * direction) - at_parameters(start - 1e-6 * direction)) / 2e-6
        np.testing.assert_allclose(by_parameters @ direction, slope, rtol=1e-6, atol=1e-6)
    network.parameters[:] = start
    for direction in rng(7).choice([-1.0, 1.0], size=(6, *X.shape)):
        above, below = (float((network.predict(X + e * direction) * v).sum()) for e in (1e-6, -1e-6))
        np.testing.assert_allclose((by_inputs * direction).sum(), (above - below) / 2e-6, rtol=1e-6, atol=1e-6)


@each_cell
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    ("units", "features", "steps", "n"), [(1, 1, 1, 1), (3, 2, 6, 5), (17, 5, 4, 33), (9, 3, 9, 161)]
)
def test_gradients_are_central_differences(cell, sequences, backwards, units, features, steps, n):
    layer = CELLS[cell](units, return_sequences=sequences, go_backwards=backwards)
    check_gradients(network_of(layer, shape=(steps, features)), n)


@each_cell
def test_every_single_gradient_is_a_central_difference(cell):
    network = network_of(CELLS[cell](3), fastnn.Dense(2), shape=(5, 2))
    X, y, start = rng(1).normal(size=(4, 5, 2)), rng(2).normal(size=(4, 2)), network.parameters.copy()
    _, gradient = network.loss_and_gradient(X, y, loss="mse")

    def value(parameters):
        network.parameters[:] = parameters
        return network.loss_and_gradient(X, y, loss="mse")[0]

    np.testing.assert_allclose(gradient, ref.central_difference(value, start), rtol=2e-6, atol=2e-8)


FEW = {  # layers of whole vectors of units, whose kernels put them across the lanes where samples are few
    "last": lambda cell: [cell(32)],
    "every step, above another layer": lambda cell: [fastnn.Dense(5, "tanh"), cell(16, return_sequences=True)],
    "two deep, backwards": lambda cell: [cell(16, return_sequences=True), cell(32, use_bias=False, go_backwards=True)],
    "both directions": lambda cell: [
        fastnn.Bidirectional(cell(16, return_sequences=True), "sum"),
        fastnn.Bidirectional(cell(16, return_sequences=True)),
    ],
}


@each_cell
@pytest.mark.parametrize("body", FEW)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-5), ("float64", 1e-12)])
def test_few_rows_are_what_they_are_among_many(cell, body, dtype, tolerance):
    """Outputs have the same bits, and gradients add up; some sequences are shorter than others."""
    n, steps = 12, 21
    network = network_of(*FEW[body](CELLS[cell]), fastnn.Dense(2), shape=(steps, 3), dtype=dtype)
    network.parameters[:] *= 0.4
    X, lengths = rng(1).normal(size=(n, steps, 3)), rng(2).integers(1, steps + 1, n)
    y = rng(3).normal(size=(n, *network.plan.output_shape))
    counted = y.ndim == 3  # the loss is a mean over steps then

    def outputs_and_gradient(rows, lengths):
        own = {} if lengths is None else {"lengths": lengths[rows]}
        total = len(X[rows]) if lengths is None or not counted else lengths[rows].sum()
        gradient = fastnn.Objective(network, X[rows], y[rows], loss="mse", **own)()[1]
        return network.predict(X[rows], **own), total * gradient

    for given in (None, lengths):
        outputs, gradient = outputs_and_gradient(slice(n), given)
        inputs = network.vjp(X, y)[0]
        for few in (1, 4):
            pieces = [slice(first, first + few) for first in range(0, n, few)]
            pairs = [outputs_and_gradient(piece, given) for piece in pieces]
            np.testing.assert_array_equal(np.concatenate([found[0] for found in pairs]), outputs)
            scale = np.abs(gradient).max()
            np.testing.assert_allclose(sum(found[1] for found in pairs), gradient, rtol=0, atol=tolerance * scale)
            by_inputs = np.concatenate([network.vjp(X[piece], y[piece])[0] for piece in pieces])
            np.testing.assert_allclose(by_inputs, inputs, rtol=0, atol=tolerance * np.abs(inputs).max())


STACKS = {
    "two deep": [fastnn.LSTM(4, return_sequences=True), fastnn.GRU(3)],
    "dense at every step": [fastnn.Dense(3, "tanh"), fastnn.SimpleRNN(4, return_sequences=True), fastnn.Dense(2)],
    "normalised": [fastnn.GRU(4, return_sequences=True), fastnn.LayerNormalization(), fastnn.LSTM(3)],
    "concat": [fastnn.Dense(3), fastnn.Bidirectional(fastnn.LSTM(4, return_sequences=True)), fastnn.GRU(2)],
    "sum": [fastnn.Bidirectional(fastnn.GRU(4, return_sequences=True), "sum"), fastnn.LSTM(2, go_backwards=True)],
    "concat of last": [fastnn.Dense(3), fastnn.Bidirectional(fastnn.SimpleRNN(5)), fastnn.Dense(2)],
    "sum of last": [fastnn.Dense(3), fastnn.Bidirectional(fastnn.LSTM(5), "sum"), fastnn.Dense(2)],
    "residual": [fastnn.Dense(3), fastnn.Residual([fastnn.GRU(3, return_sequences=True)]), fastnn.LSTM(2)],
}


@pytest.mark.parametrize("n", [2, 37])
@pytest.mark.parametrize("name", STACKS)
def test_stacks_have_the_gradients_of_central_differences(name, n):
    check_gradients(network_of(*STACKS[name], shape=(5, 3)), n)


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM", "GRU"])
def test_pytorch_agrees(cell, sequences):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    network = network_of(CELLS[cell](6, return_sequences=sequences), shape=(7, 3))
    kernel, recurrent_kernel, bias = network.get_weights()
    theirs = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(cell, cell))(3, 6, batch_first=True).double()
    order = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}[cell]  # PyTorch's GRU: r z n

    def in_their_order(w):
        return torch.from_numpy(np.concatenate([np.split(w, len(order), axis=-1)[g] for g in order], axis=-1).T.copy())

    biases = bias if cell == "GRU" else (bias, np.zeros_like(bias))
    with torch.no_grad():
        for name, w in zip(("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
                           (kernel, recurrent_kernel, *biases), strict=True):  # fmt: skip
            getattr(theirs, name).copy_(in_their_order(w))
    X = rng(1).normal(size=(9, 7, 3))
    x = torch.from_numpy(X).requires_grad_()
    outputs = theirs(x)[0]
    outputs = outputs if sequences else outputs[:, -1]
    np.testing.assert_allclose(network.predict(X), outputs.detach().numpy(), rtol=1e-10, atol=1e-12)
    v = rng(2).normal(size=tuple(outputs.shape))
    (outputs * torch.from_numpy(v)).sum().backward()
    by_inputs, by_parameters = network.vjp(X, v)
    np.testing.assert_allclose(by_inputs, x.grad.numpy(), rtol=1e-10, atol=1e-12)
    ours = network.unflatten(by_parameters)[1]
    np.testing.assert_allclose(in_their_order(ours).numpy(), theirs.weight_hh_l0.grad.numpy(), rtol=1e-10, atol=1e-12)


@each_cell
def test_initial_weights_are_kerass(cell):
    network = fastnn.Network([fastnn.Input((4, 6)), CELLS[cell](5)], dtype="float64", seed=0)
    kernel, recurrent_kernel, bias = network.get_weights()
    np.testing.assert_allclose(recurrent_kernel @ recurrent_kernel.T, np.eye(5), atol=1e-12)
    assert np.abs(kernel).max() <= np.sqrt(6 / (6 + kernel.shape[1]))
    expected = np.zeros(bias.shape)
    if cell == "LSTM":
        expected[5:10] = 1.0
    assert np.array_equal(bias, expected)
    layer = fastnn.LSTM(5, unit_forget_bias=False)
    assert not fastnn.Network([fastnn.Input((4, 6)), layer], seed=0).get_weights()[2].any()


@each_cell
def test_training_has_the_same_bits_again_and_learns(cell):
    X, y = rng(1).normal(size=(150, 6, 3)), rng(2).normal(size=(150, 1))
    runs = []
    for _ in range(2):
        network = fastnn.Network([fastnn.Input((6, 3)), CELLS[cell](7), fastnn.Dense(1)], seed=2)
        history = fastnn.Trainer(network, loss="mse").fit(X, y, epochs=4, batch_size=40, verbose=0)
        runs.append(network.parameters.copy())
        assert history.history["loss"][-1] < history.history["loss"][0]
    assert np.array_equal(*runs)


@each_cell
def test_threads_add_up_the_same_gradient(cell):
    X, y = rng(1).normal(size=(150, 6, 3)), rng(2).normal(size=(150, 1))
    results = []
    for n_threads in (1, 2):
        network = fastnn.Network([fastnn.Input((6, 3)), CELLS[cell](7), fastnn.Dense(1)], dtype="float64", seed=2)
        trainer = fastnn.Trainer(network, loss="mse")
        trainer.fit(X, y, epochs=2, batch_size=96, verbose=0, n_threads=n_threads)
        results.append(network.parameters.copy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-11)


def test_dropout_of_inputs_is_a_layer_before():
    """In training the same masks, at all steps; at inference nothing."""
    X, y = rng(1).normal(size=(40, 6, 3)), rng(2).normal(size=40)
    results = []
    for body in ([fastnn.GRU(4, dropout=0.5)], [fastnn.GRU(4)], [fastnn.SpatialDropout1D(0.5), fastnn.GRU(4)]):
        network = fastnn.Network([fastnn.Input((6, 3)), *body, fastnn.Dense(1)], dtype="float64", seed=2)
        outputs = network.predict(X)
        fastnn.Trainer(network, loss="mse").fit(X, y, epochs=1, batch_size=None, verbose=0, seed=4)
        results.append((outputs, network.parameters.copy()))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][0], results[2][0])
    assert np.array_equal(results[0][1], results[2][1])
    assert not np.allclose(results[0][1], results[1][1])


def test_what_is_not_trained_stays():
    layers = [fastnn.Input((6, 3)), fastnn.GRU(4, trainable=False), fastnn.Dense(1)]
    network = fastnn.Network(layers, seed=2)
    before = network.parameters.copy()
    fastnn.Trainer(network, loss="mse").fit(rng(1).normal(size=(40, 6, 3)), rng(2).normal(size=40), epochs=1, verbose=0)
    n = network.n_parameters - 5
    assert np.array_equal(network.parameters[:n], before[:n])
    assert not np.array_equal(network.parameters[n:], before[n:])


def test_a_huge_batch_before_a_small_one_leaves_nothing_behind():
    """Columns of a panel that no sample uses are 0 in the outputs, whatever a fuller batch left there."""
    layers = [fastnn.LSTM(3, return_sequences=True), fastnn.Dense(2, "tanh"), fastnn.GRU(3)]
    network = network_of(*layers, shape=(4, 2))
    big = network.predict(1e30 * rng(1).normal(size=(128, 4, 2)))
    assert np.isfinite(big).all()
    x = rng(2).normal(size=(9, 4, 2))
    fresh = network_of(*layers, shape=(4, 2))
    assert np.array_equal(network.predict(x), fresh.predict(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.LSTM(0), "units must be"),
        (lambda: fastnn.GRU(4, dropout=1.0), "dropout must be"),
        (lambda: fastnn.GRU(4, "softmax"), "activation must be"),
        (lambda: fastnn.LSTM(4, recurrent_activation="gelu"), "recurrent_activation must be"),
        (lambda: fastnn.SimpleRNN(4, recurrent_initializer="auto"), "recurrent_initializer must be"),
        (lambda: fastnn.GRU(4, return_sequences="yes"), "return_sequences must be"),
        (lambda: fastnn.Bidirectional(fastnn.Dense(3)), "layer must be a SimpleRNN, LSTM or GRU"),
        (lambda: fastnn.Bidirectional(fastnn.GRU(3, go_backwards=True)), "must not go backwards"),
        (lambda: fastnn.Bidirectional(fastnn.GRU(3), "product"), "merge_mode must be"),
        (lambda: fastnn.Network([fastnn.Input(8), fastnn.LSTM(4)]), r"LSTM works on samples of shape \(time"),
        (lambda: fastnn.Network([fastnn.Input((8, 2)), fastnn.GRU(4), fastnn.GRU(4)]), r"got \(4,\) in layers\[2\]"),
        (lambda: fastnn.Network([fastnn.Input((8, 2, 2)), fastnn.GRU(4)]), "GRU works on samples"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_explain_refuses_with_a_reason():
    network = fastnn.Network([fastnn.Input((3, 2)), fastnn.GRU(2), fastnn.Dense(1)], seed=1)
    with pytest.raises(ValueError, match="GRU has many steps"):
        network.explain(np.zeros(6), 0.0, loss="mse")


def test_layers_are_values_that_files_keep(tmp_path):
    layers = [fastnn.Input((6, 2)), fastnn.Bidirectional(fastnn.LSTM(3, return_sequences=True), "sum"),
              fastnn.GRU(3, kernel_regularizer=0.1, trainable=False), fastnn.Dense(1)]  # fmt: skip
    network = fastnn.Network(layers, seed=3)
    network.save(tmp_path / "network.safetensors")
    again = fastnn.Network.load(tmp_path / "network.safetensors")
    assert again.layers == network.layers
    x = rng(1).normal(size=(3, 6, 2))
    assert np.array_equal(again.predict(x), network.predict(x))
    assert "Bidirectional" in network.summary()
    assert eval(repr(layers[1]), public_names()) == layers[1]
