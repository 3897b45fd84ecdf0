"""Training on blocks that come one after the other: what an epoch is, what equals arrays, and what is refused."""

import weakref

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import LambdaCallback
from support import rng

X = rng(1).normal(size=(300, 4)).astype(np.float32)
Y = X[:, 0] ** 2
CLASSES = (X[:, 0] > 0).astype(int)


def new_trainer(loss="mse", metrics=("mae",), **options):
    n_outputs, output = (2, "softmax") if loss == "categorical_crossentropy" else (1, "linear")
    network = fastnn.Network.mlp(4, [8], n_outputs, output=output, seed=0, **options)
    return fastnn.Trainer(network, loss=loss, metrics=metrics)


class OnProgress(fastnn.Callback):
    """Calls a function with the rows done and all rows."""

    def __init__(self, function):
        self.function = function

    def on_progress(self, rows_done, n_rows):
        self.function(rows_done, n_rows)


def cut(*sizes):
    """X and Y in blocks of these sizes."""
    ends = np.cumsum(sizes)
    return [(X[end - size : end], Y[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def assert_same(one, other):
    np.testing.assert_array_equal(one.network.parameters, other.network.parameters)
    assert one.history.history == other.history.history
    assert one.step == other.step


# --- what is trained --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"batch_size": None}, {"shuffle": False}, {"n_threads": 2, "batch_size": 64}])
def test_one_block_is_the_same_as_arrays(options):
    stream, arrays = new_trainer(dropout=0.2), new_trainer(dropout=0.2)
    stream.fit([(X, Y)], epochs=3, **options)
    arrays.fit(X, Y, epochs=3, **options)
    assert_same(stream, arrays)


def test_blocks_in_order_are_the_batches_that_they_are():
    stream, arrays = new_trainer(), new_trainer()
    stream.fit(cut(96, 32, 172), epochs=2, batch_size=32, shuffle=False)
    arrays.fit(X, Y, epochs=2, batch_size=32, shuffle=False)
    assert_same(stream, arrays)


def test_batches_do_not_reach_across_blocks_and_steps_go_on():
    trainer = new_trainer()
    trainer.fit(cut(50, 50, 200), epochs=3, batch_size=32)
    assert trainer.step == 3 * (2 + 2 + 7)
    assert trainer.history.epoch == [0, 1, 2]


def test_without_a_batch_size_each_block_is_one_batch():
    trainer = new_trainer()
    trainer.fit(cut(50, 250), epochs=2, batch_size=None)
    assert trainer.step == 4


def test_a_larger_block_later_needs_a_larger_workspace():
    stream, arrays = new_trainer(), new_trainer()
    stream.fit(cut(3, 297), batch_size=None, n_threads=1)
    arrays.fit(*cut(3)[0], batch_size=None, n_threads=1)
    arrays.fit(X[3:], Y[3:], batch_size=None, n_threads=1)
    np.testing.assert_allclose(stream.network.parameters, arrays.network.parameters, rtol=1e-6)
    losses = arrays.history.history["loss"]
    expected = (3 * losses[0] + 297 * losses[1]) / 300
    assert stream.history.history["loss"][0] == pytest.approx(expected, rel=1e-6)


def test_batch_normalisation_takes_batches_that_grow():
    layers = [fastnn.Input(4), fastnn.Dense(8), fastnn.BatchNormalization(), fastnn.Dense(1)]
    trainer = fastnn.Trainer(fastnn.Network(layers, seed=0), loss="mse")
    trainer.fit(cut(8, 200, 92), batch_size=None, epochs=2)
    assert np.isfinite(trainer.network.parameters).all()


def test_the_loss_of_an_epoch_is_over_all_rows_of_all_blocks():
    trainer = new_trainer()
    trainer.optimizer = fastnn.SGD(1e-30)  # parameters stay, so the epoch's loss is an evaluation's
    trainer = fastnn.Trainer(trainer.network, loss="mse", optimizer=fastnn.SGD(1e-30), metrics=["mae"])
    history = trainer.fit(cut(10, 290), batch_size=32).history
    expected = trainer.evaluate(X, Y)
    assert history["loss"][0] == pytest.approx(expected["loss"], rel=1e-6)
    assert history["mae"][0] == pytest.approx(expected["mae"], rel=1e-6)


def test_a_generator_function_gives_every_epoch_its_blocks():
    calls = []

    def blocks():
        calls.append(len(calls))
        yield from cut(100, 200)

    one, other = new_trainer(), new_trainer()
    one.fit(blocks, epochs=3)
    other.fit(cut(100, 200), epochs=3)
    assert calls == [0, 1, 2]
    assert_same(one, other)


def test_a_generator_gives_one_epoch():
    trainer = new_trainer()
    trainer.fit(block for block in cut(100, 200))
    assert trainer.history.epoch == [0]


def test_blocks_of_one_epoch_have_orders_of_their_own():
    """Two blocks with the same rows: were they shuffled alike, their losses by batch would follow the same rows."""
    seen = []
    network = fastnn.Network.mlp(1, [], 1, seed=0)
    network.set_weights([np.zeros((1, 1)), np.zeros(1)])
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1e-30))
    rows = np.sqrt(np.arange(64.0))  # with an output of 0, a batch of one row has its number as loss
    callback = LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, round(logs["loss"]))))
    trainer.fit([(np.zeros((64, 1)), rows)] * 2, batch_size=1, callbacks=[callback])
    batches, order = zip(*seen, strict=True)
    assert list(batches) == list(range(128))
    assert sorted(order[:64]) == sorted(order[64:]) == list(range(64))
    assert order[:64] != order[64:]


def test_weights_classes_validation_and_sparse_blocks():
    import scipy.sparse

    weights = rng(5).uniform(0.5, 2, 300)
    validation = (X[:50], CLASSES[:50])
    options = {"class_weight": {1: 3.0}, "validation_data": validation, "epochs": 2, "shuffle": False, "batch_size": 50}
    one = new_trainer("categorical_crossentropy", ["accuracy"])
    other = new_trainer("categorical_crossentropy", ["accuracy"])
    blocks = [
        (scipy.sparse.csr_array(X[i : i + 100]), CLASSES[i : i + 100], weights[i : i + 100]) for i in (0, 100, 200)
    ]
    one.fit(blocks, **options)
    other.fit(X, CLASSES, sample_weight=weights, **options)
    assert_same(one, other)
    assert "val_accuracy" in one.history.history


def test_progress_grows_over_blocks():
    seen = []
    callback = OnProgress(lambda done, total: seen.append((done, total)))
    new_trainer().fit(cut(100, 200), epochs=2, batch_size=100, callbacks=[callback])
    assert max(done for done, _ in seen) == 300
    assert all(done <= total <= 300 for done, total in seen)
    assert seen[-1] == (300, 300)


def test_training_stops_within_an_endless_stream():
    def blocks():
        while True:
            yield X, Y

    trainer = new_trainer()
    stop = OnProgress(lambda done, total: trainer.stop("enough") if done >= 900 else None)
    assert trainer.fit(blocks(), callbacks=[stop]).stop_reason == "enough"
    assert trainer.step >= 27  # 10 a block


def test_blocks_are_let_go():
    alive = []

    def blocks():
        for block in cut(*[10] * 30):
            features = block[0].copy()
            alive.append(sum(reference() is not None for reference in references))
            references.append(weakref.ref(features))
            yield features, block[1]
            del features

    references = []
    new_trainer().fit(blocks())
    assert max(alive) <= 1  # while a block is made, the one before it is still there


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, options, error, message",
    [
        (X, {}, TypeError, "X must give blocks that are tuples .* where y is not given, got ndarray"),
        (3, {}, TypeError, "y must be given, unless X is an iterable of blocks"),
        ([], {}, ValueError, r"X must give at least one block \(X, y\), got none"),
        ([(X,)], {}, TypeError, "X must give blocks that are tuples"),
        ([(X, Y)], {"epochs": 0}, ValueError, "epochs must be an integer >= 1"),
        (
            [(X, Y)],
            {"validation_split": 0.1},
            ValueError,
            "split must be 0 .* blocks, got 0.1; keep .* validation_data",
        ),
        ([(X, Y)], {"sample_weight": np.ones(300)}, ValueError, "sample_weight must be None where X gives blocks"),
        ([(X, Y)], {"class_weight": "balanced"}, ValueError, "class_weight must be a dict .*; count the classes"),
        ([(X[:, :3], Y)], {}, ValueError, "block 0: X must have 4 features"),
        ([(X, Y[:9])], {}, ValueError, "block 0: y must have as many samples as its X"),
    ],
)
def test_wrong_arguments_change_nothing(source, options, error, message):
    trainer = new_trainer()
    before = trainer.network.parameters.copy()
    with pytest.raises(error, match=message):
        trainer.fit(source, **options)
    np.testing.assert_array_equal(trainer.network.parameters, before)
    assert trainer.history.epoch == [] and trainer.step == 0


def test_an_iterator_loses_no_block_to_a_wrong_argument():
    blocks = iter(cut(100, 200))
    with pytest.raises(ValueError, match=r"epochs must be 1 where X is an iterator.*got 2; pass the function"):
        new_trainer().fit(blocks, epochs=2)
    with pytest.raises(ValueError, match="batch_size must be an integer >= 1"):
        new_trainer().fit(blocks, batch_size=0)
    assert len(list(blocks)) == 2


def test_metrics_that_take_all_rows_at_once_are_refused():
    with pytest.raises(ValueError, match=r"metrics must not hold 'r2' .*metrics=\['r2'\]\)\.evaluate"):
        new_trainer(metrics=["mae", "r2"]).fit(cut(100, 200))


def test_a_wrong_block_is_named_and_what_was_trained_before_it_stays():
    trainer, expected = new_trainer(), new_trainer()
    bad = X[:50].copy()
    bad[7, 2] = np.nan
    with pytest.raises(ValueError, match="block 2: X must be finite, got nan in row 7, column 2"):
        trainer.fit([*cut(100, 50), (bad, Y[:50])], shuffle=False)
    expected.fit(X[:100], Y[:100], shuffle=False)
    expected.fit(X[100:150], Y[100:150], shuffle=False)
    np.testing.assert_array_equal(trainer.network.parameters, expected.network.parameters)
    assert trainer.step == 6
    assert trainer.history.epoch == []
    trainer.fit(X, Y)  # and training goes on
    assert trainer.history.epoch == [0]


def test_an_iterable_that_gives_nothing_in_a_later_epoch_is_an_error():
    class Once:
        def __init__(self):
            self.blocks = iter(cut(100, 200))

        def __iter__(self):
            yield from self.blocks

    trainer = new_trainer()
    with pytest.raises(ValueError, match="X must give blocks anew in every epoch, got none in a later one"):
        trainer.fit(Once(), epochs=2)
    assert trainer.history.epoch == [0]


def test_divergence_within_a_later_block_goes_back_to_the_start_of_the_epoch():
    network = fastnn.Network.mlp(4, [8], 1, seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.01))
    trainer.fit(X, Y)
    before = network.parameters.copy()
    with pytest.raises(FloatingPointError, match="the network keeps the parameters of its last good epoch"):
        trainer.fit([*cut(100), (X * 1e18, Y)], batch_size=50)
    np.testing.assert_array_equal(network.parameters, before)
