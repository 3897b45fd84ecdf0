"""Lengths of sequences and outputs at every step: bits of the unpadded, gradients, means over what counts, errors."""

import numpy as np
import pytest

import fastnn
from support import rng

CELLS = {"SimpleRNN": fastnn.SimpleRNN, "LSTM": fastnn.LSTM, "GRU": fastnn.GRU}
N, STEPS, FEATURES = 40, 6, 3
X = rng(1).normal(size=(N, STEPS, FEATURES))
LENGTHS = rng(2).integers(1, STEPS + 1, N)
LENGTHS[3] = STEPS
COUNTS = np.arange(STEPS) < LENGTHS[:, np.newaxis]

BODIES = {
    "last": lambda cell: [cell(5)],
    "last, backwards": lambda cell: [cell(5, go_backwards=True)],
    "every step": lambda cell: [fastnn.Dense(4, "tanh"), cell(5, return_sequences=True), fastnn.LayerNormalization()],
    "two": lambda cell: [cell(4, return_sequences=True), cell(5)],
    "concat": lambda cell: [fastnn.Bidirectional(cell(3, return_sequences=True)), cell(5)],
    "sum": lambda cell: [fastnn.Bidirectional(cell(5), "sum")],
    "mean": lambda cell: [cell(5, return_sequences=True), fastnn.GlobalAveragePooling1D()],
    "max": lambda cell: [cell(5, return_sequences=True), fastnn.GlobalMaxPooling1D()],
}
each_cell = pytest.mark.parametrize("cell", CELLS)
each_body = pytest.mark.parametrize("body", BODIES)


def network_of(cell, body, *, steps=STEPS, dtype="float64"):
    layers = [fastnn.Input((steps, FEATURES)), *BODIES[body](CELLS[cell]), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype=dtype, seed=1)
    network.parameters[:] = rng(3).normal(size=network.n_parameters) * 0.5
    return network


@each_cell
@each_body
def test_a_padded_sequence_has_the_bits_of_the_unpadded(cell, body):
    for dtype in ("float32", "float64"):
        x = X.astype(dtype)
        padded = x.copy()
        padded[~COUNTS] = 1e3  # whatever stands there
        outputs = network_of(cell, body, dtype=dtype).predict(padded, lengths=LENGTHS)
        for i in range(0, N, 7):
            short = network_of(cell, body, steps=int(LENGTHS[i]), dtype=dtype)
            alone = short.predict(x[i : i + 1, : LENGTHS[i]])[0]
            if outputs.ndim == 3:
                assert np.array_equal(outputs[i, : LENGTHS[i]], alone)
                assert not outputs[i, LENGTHS[i] :].any()
            else:
                assert np.array_equal(outputs[i], alone)


@each_cell
@each_body
def test_gradients_with_lengths_are_central_differences(cell, body):
    network = network_of(cell, body)
    y = rng(4).normal(size=(N, *network.plan.output_shape))
    start = network.parameters.copy()

    def at(parameters, x=X):
        network.parameters[:] = parameters
        return network.loss_and_gradient(x, y, loss="mse", lengths=LENGTHS)

    _, gradient = at(start)
    for direction in rng(6).choice([-1.0, 1.0], size=(4, network.n_parameters)):
        slope = (at(start + 1e-6 * direction)[0] - at(start - 1e-6 * direction)[0]) / 2e-6
        np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6, atol=1e-8)
    padded = X.copy()
    padded[~COUNTS] = -7.0
    assert np.array_equal(at(start, padded)[1], gradient)


@each_cell
def test_vectors_of_categories_at_every_step_that_counts(cell):
    layers = [fastnn.Input((STEPS, FEATURES)), fastnn.CategoryEmbedding({1: 4}, 3), CELLS[cell](5), fastnn.Dense(2)]
    network = fastnn.Network(layers, dtype="float64", seed=1)
    network.parameters[:] = rng(3).normal(size=network.n_parameters) * 0.5
    x, y, start = X.copy(), rng(4).normal(size=(N, 2)), network.parameters.copy()
    x[..., 1] = rng(7).integers(-1, 4, (N, STEPS))

    def at(parameters, x=x):
        network.parameters[:] = parameters
        return network.loss_and_gradient(x, y, loss="mse", lengths=LENGTHS)

    _, gradient = at(start)
    for direction in rng(6).choice([-1.0, 1.0], size=(4, network.n_parameters)):
        slope = (at(start + 1e-6 * direction)[0] - at(start - 1e-6 * direction)[0]) / 2e-6
        np.testing.assert_allclose(gradient @ direction, slope, rtol=1e-6, atol=1e-8)
    padded = x.copy()
    padded[~COUNTS] = 2.0
    assert np.array_equal(at(start, padded)[1], gradient)


@each_cell
def test_the_gradient_of_one_padded_sequence_has_the_bits_of_the_unpadded(cell):
    for steps, length in ((6, 5), (11, 6)):
        x = rng(1).normal(size=(1, steps, FEATURES))
        results = []
        for n, lengths in ((steps, [length]), (length, None)):
            network = network_of(cell, "two", steps=n)
            results.append(network.loss_and_gradient(x[:, :n], np.ones((1, 2)), loss="mse", lengths=lengths)[1])
        assert np.array_equal(*results)


def test_lengths_of_all_steps_change_no_bit():
    network = network_of("LSTM", "every step")
    assert np.array_equal(network.predict(X, lengths=np.full(N, STEPS)), network.predict(X))


@pytest.mark.parametrize("weights", ["none", "samples", "steps"])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_loss_and_metrics_are_means_over_steps_that_count(weights, with_lengths):
    layers = [fastnn.Input((STEPS, FEATURES)), fastnn.GRU(5, return_sequences=True), fastnn.Dense(4, "softmax")]
    network = fastnn.Network(layers, dtype="float64", seed=1)
    classes = rng(5).integers(0, 4, (N, STEPS))
    weight = {"none": None, "samples": rng(6).uniform(size=N), "steps": rng(6).uniform(size=(N, STEPS))}[weights]
    lengths = LENGTHS if with_lengths else None
    counts = COUNTS if with_lengths else np.ones_like(COUNTS)
    each = np.ones((N, STEPS)) if weight is None else np.broadcast_to(weight.reshape(N, -1), (N, STEPS))
    p = network.predict(X, lengths=lengths)
    of_class = np.take_along_axis(p, classes[..., np.newaxis], 2)[..., 0]
    share = each * counts / (each * counts).sum()
    with np.errstate(divide="ignore"):
        loss = -(share[counts] * np.log(of_class[counts])).sum()
    metrics = ["accuracy", "log_loss", "top_2_accuracy", "f1"]
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=metrics)
    logs = trainer.evaluate(X, classes, sample_weight=weight, lengths=lengths)
    assert logs["loss"] == pytest.approx(loss, rel=1e-12)
    assert logs["log_loss"] == pytest.approx(loss, rel=1e-7)
    assert logs["accuracy"] == pytest.approx((share * (p.argmax(2) == classes)).sum(), rel=1e-12)
    one_hot = np.eye(4)[classes]
    for targets in (one_hot, one_hot.reshape(N, -1)):
        same = trainer.evaluate(X, targets, sample_weight=weight, lengths=lengths)
        assert same["loss"] == pytest.approx(loss, rel=1e-12)
        assert same["f1"] == logs["f1"]
    value, gradient = network.loss_and_gradient(
        X, classes, loss="categorical_crossentropy", sample_weight=weight, lengths=lengths
    )
    assert value == pytest.approx(loss, rel=1e-12)
    # One full batch of plain gradient descent goes down that gradient.
    before = network.parameters.copy()
    step = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.SGD(0.5))
    step.fit(X, classes, batch_size=None, sample_weight=weight, lengths=lengths)
    np.testing.assert_allclose(network.parameters, before - 0.5 * gradient, rtol=1e-9, atol=1e-12)
    assert step.history.history["loss"][0] == pytest.approx(loss, rel=1e-12)


def test_softmax_over_the_last_axis_of_images_is_a_loss_of_each_pixel():
    network = fastnn.Network([fastnn.Input((3, 2, 5)), fastnn.Dense(3, "softmax")], dtype="float64", seed=0)
    x, y = rng(1).normal(size=(9, 3, 2, 5)), rng(2).integers(0, 3, (9, 3, 2))
    p = np.take_along_axis(network.predict(x), y[..., np.newaxis], 3)
    loss = network.loss_and_gradient(x, y, loss="categorical_crossentropy")[0]
    assert loss == pytest.approx(-np.log(p).mean(), rel=1e-12)


def ragged(x):
    return [one[:length] for one, length in zip(x, LENGTHS, strict=True)]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_lists_of_sequences_are_what_padding_and_lengths_are(kind):
    activation, loss = ("softmax", "categorical_crossentropy") if kind == "classes" else ("linear", "mse")
    y = rng(5).integers(0, 4, (N, STEPS)) if kind == "classes" else rng(5).normal(size=(N, STEPS, 4))
    layers = [fastnn.Input((STEPS, FEATURES)), fastnn.GRU(5, return_sequences=True), fastnn.Dense(4, activation)]
    runs = []
    for inputs, targets, lengths in ((X, y, LENGTHS), (ragged(X), ragged(y), None)):
        network = fastnn.Network(layers, seed=1)
        trainer = fastnn.Trainer(network, loss=loss, metrics=["accuracy", "r2"] if kind != "classes" else ["f1"])
        options = {"lengths": lengths, "validation_split": 0.2, "batch_size": 8, "epochs": 2}
        history = trainer.fit(inputs, targets, **options).history
        runs.append((network.parameters.copy(), history, trainer.evaluate(inputs, targets, lengths=lengths)))
        outputs = trainer.predict(inputs, lengths=lengths)
        runs[-1] += (outputs,)
    assert np.array_equal(runs[0][0], runs[1][0])
    for key, column in runs[0][1].items():  # lists are converted to the network's dtype, for metrics too
        np.testing.assert_allclose(column, runs[1][1][key], rtol=1e-6)
    assert runs[0][2]["loss"] == runs[1][2]["loss"]
    assert np.array_equal(runs[0][3], runs[1][3])


def test_validation_data_and_streams_have_lengths():
    y = rng(5).normal(size=N)
    network = network_of("LSTM", "last")
    network = fastnn.Network([*network.layers[:-1], fastnn.Dense(1)], seed=0)
    trainer = fastnn.Trainer(network, loss="mse")
    history = trainer.fit(X, y, lengths=LENGTHS, validation_data=(X, y, None, LENGTHS), epochs=1).history
    assert history["val_loss"][-1] == trainer.evaluate(X, y, lengths=LENGTHS)["loss"]
    first, second = (fastnn.Network(network.layers, seed=0) for _ in range(2))
    halves = [(X[:20], y[:20], None, LENGTHS[:20]), (ragged(X)[20:], y[20:])]
    fastnn.Trainer(first, loss="mse").fit(halves, epochs=1, batch_size=20, shuffle=False)
    fastnn.Trainer(second, loss="mse").fit(X, y, lengths=LENGTHS, epochs=1, batch_size=20, shuffle=False)
    assert np.array_equal(first.parameters, second.parameters)
    with pytest.raises(ValueError, match="lengths must be None where X gives blocks"):
        trainer.fit(halves, lengths=LENGTHS)


def test_a_long_list_is_never_padded_as_a_whole():
    """5,000 sequences of up to 2,000 steps: 80 MB if all were padded at once."""
    import tracemalloc

    sequences = [np.ones((1 + i % 3, 1), np.float32) for i in range(5000)]
    sequences[7] = np.ones((2000, 1), np.float32)
    network = fastnn.Network([fastnn.Input((2000, 1)), fastnn.SimpleRNN(1), fastnn.Dense(1)], seed=0)
    trainer = fastnn.Trainer(network, loss="mse")
    trainer.fit(sequences[:64], np.ones(64))
    tracemalloc.start()
    trainer.fit(sequences, np.ones(5000), batch_size=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": LENGTHS[:-1]}, r"lengths must have shape \(40,\)"),
        ({"lengths": np.zeros(N, int)}, r"lengths must hold integers from 1 to 6 .* got 0 in row 0"),
        ({"lengths": np.full(N, 7)}, "got 7 in row 0"),
        ({"lengths": np.full(N, 1.5)}, "lengths must hold integers, got 1.5"),
        ({"lengths": np.full(N, np.nan)}, "lengths must hold integers"),
        ({"lengths": ["a"] * N}, "lengths must hold real numbers"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(arguments, message):
    network = network_of("GRU", "last")
    for call in (
        lambda: network.predict(X, **arguments),
        lambda: fastnn.Trainer(network, loss="mse").fit(X, np.ones((N, 2)), **arguments),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([fastnn.Conv1D(3, 2), fastnn.GRU(2)], r"lengths must be None because of layers\[1\]: it looks at several"),
        ([fastnn.Flatten(), fastnn.Dense(2)], r"of layers\[1\]: it puts all steps"),
        ([fastnn.BatchNormalization(), fastnn.GRU(2)], r"of layers\[1\]: it looks at several"),
        ([fastnn.GRU(2, return_sequences=True, go_backwards=True), fastnn.Dense(1)], "take Bidirectional"),
    ],
)
def test_layers_that_cannot_leave_steps_out_say_so(layers, message):
    network = fastnn.Network([fastnn.Input((STEPS, FEATURES)), *layers], seed=0)
    network.predict(X)
    with pytest.raises(ValueError, match=message):
        network.predict(X, lengths=LENGTHS)
    with pytest.raises(ValueError, match="X must hold sequences of one length because of layers"):
        network.predict(ragged(X))
    with pytest.raises(ValueError, match="no steps of time"):
        fastnn.Network([fastnn.Input(3), fastnn.Dense(2)], seed=0).predict(X[:, 0], lengths=LENGTHS)


def test_sequences_and_targets_that_do_not_fit_are_refused_by_name():
    network = network_of("GRU", "every step")
    trainer = fastnn.Trainer(network, loss="mse")
    y = rng(1).normal(size=(N, STEPS, 2))
    with pytest.raises(ValueError, match=r"X\[2\] must have 1 to 6 steps"):
        network.predict([X[0], X[1, :3], np.ones((7, FEATURES))])
    with pytest.raises(ValueError, match=r"X\[1\] must have shape \(length, 3\), got \(6, 2\)"):
        network.predict([X[0, :2], X[1, :, :2]])
    with pytest.raises(ValueError, match="lengths must be None where X is a list"):
        network.predict(ragged(X), lengths=LENGTHS)
    with pytest.raises(ValueError, match="y must have shape"):
        trainer.fit(X, y[:, :-1])
    with pytest.raises(ValueError, match="as many steps as its sequence"):
        trainer.fit(ragged(X), [y[0]] * (N - 1) + [y[0, :1]])
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(40,\) or \(40, 6\), got \(40, 5\)"):
        trainer.fit(X, y, sample_weight=np.ones((N, 5)))
    with pytest.raises(ValueError, match="given whole samples"):
        fastnn.Trainer(network, loss=lambda y, p: ((p - y) ** 2, p)).fit(X, y, lengths=LENGTHS)


def test_a_loss_of_ones_own_takes_lengths_where_outputs_have_no_steps():
    network, same = (network_of("GRU", "last") for _ in range(2))
    y = rng(1).normal(size=(N, 2))

    def squares(y, p):
        return ((p - y) ** 2).mean(axis=1), p - y

    fastnn.Trainer(network, loss=squares).fit(X, y, lengths=LENGTHS, seed=1)
    fastnn.Trainer(same, loss="mse").fit(X, y, lengths=LENGTHS, seed=1)
    np.testing.assert_allclose(network.parameters, same.parameters, rtol=1e-9)


def test_threads_and_many_networks_take_lengths():
    y = rng(5).normal(size=(N, 2))
    big, many = np.repeat(X, 4, axis=0), np.repeat(LENGTHS, 4)
    results = []
    for n_threads in (1, 2):
        network = network_of("LSTM", "two")
        fastnn.Trainer(network, loss="mse").fit(big, np.repeat(y, 4, 0), lengths=many, batch_size=96,
                                                n_threads=n_threads, seed=1)  # fmt: skip
        results.append(network.parameters.copy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-12)
    trainers = [fastnn.Trainer(network_of("GRU", "last"), loss="mse") for _ in range(2)]
    fastnn.fit_many(trainers, X, y, lengths=LENGTHS, seed=1)
    alone = network_of("GRU", "last")
    fastnn.Trainer(alone, loss="mse").fit(X, y, lengths=LENGTHS, seed=1, n_threads=1)
    assert np.array_equal(trainers[0].network.parameters, alone.parameters)


def test_lengths_that_a_callback_changes_are_those_that_were_checked():
    y = rng(5).normal(size=(N, 2))

    def trained(change):
        network, lengths = network_of("LSTM", "last"), LENGTHS.astype(np.int64)
        hook = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: change(lengths))
        fastnn.Trainer(network, loss="mse").fit(X, y, lengths=lengths, epochs=3, batch_size=8, callbacks=[hook])
        return network.parameters

    # 10^9 steps would be read and written far outside of any buffer.
    assert np.array_equal(trained(lambda lengths: lengths.fill(10**9)), trained(lambda lengths: None))
