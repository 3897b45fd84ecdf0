"""Pickles of trainers and networks: plain terms, the same training afterwards, and pickles of before."""

import copy
import io
import math
import pathlib
import pickle

import numpy as np
import pytest

import fastnn

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
BEFORE = pathlib.Path(__file__).parent / "data" / "trainer-records.pickle"


def make_trainer(**options):
    hidden = fastnn.Dense(5, "tanh", kernel_regularizer=0.01)
    layers = [fastnn.Input(4), hidden, fastnn.BatchNormalization(), fastnn.Dense(1, "sigmoid")]
    options = {"loss": fastnn.losses.LogLoss(label_smoothing=0.1), "metrics": ["accuracy"], **options}
    return fastnn.Trainer(fastnn.Network(layers, seed=0), **options)


def classes_in(pickled):
    found = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            found.add((module, name))
            return super().find_class(module, name)

    Reader(io.BytesIO(pickled)).load()
    return {name for module, name in found if module.startswith("fastnn")}


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize(
    "optimizer",
    [
        fastnn.Adam(fastnn.schedules.CosineDecay(0.01, 100)),
        fastnn.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
    ],
    ids=["schedule", "average"],
)
def test_a_trainer_goes_on_where_it_was_pickled(optimizer, protocol):
    trainer = make_trainer(optimizer=optimizer)
    trainer.fit(X, Y, epochs=2, batch_size=20)
    trainer.learning_rate = 0.02
    pickled = pickle.dumps(trainer, protocol)
    assert classes_in(pickled) == {"Trainer", "Network"}
    again, deep = pickle.loads(pickled), copy.deepcopy(trainer)
    assert (again.loss, again.metrics, again.optimizer) == (trainer.loss, trainer.metrics, trainer.optimizer)
    assert again.network.layers == trainer.network.layers and again.network.dtype == np.float32
    assert again.history == trainer.history and again.learning_rate == 0.02
    for one in (trainer, again, deep):
        one.fit(X, Y, epochs=2, batch_size=20)
    for one in (again, deep):
        np.testing.assert_array_equal(one.network.parameters, trainer.network.parameters)
        np.testing.assert_array_equal(one.moments, trainer.moments)
        assert one.history.history == trainer.history.history


def test_states_of_callbacks_are_given_back_once():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2, callbacks=[fastnn.callbacks.EarlyStopping("loss", patience=3)])
    again = pickle.loads(pickle.dumps(trainer))
    expected = trainer.state_dict()["callbacks"]
    assert expected and again.state_dict()["callbacks"] == expected


def test_in_the_middle_of_a_fit():
    class Keep(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            pickled.append(pickle.dumps(trainer))

    trainer, pickled = make_trainer(), []
    trainer.fit(X, Y, epochs=3, batch_size=20, callbacks=[Keep()])
    again = pickle.loads(pickled[0])
    again.fit(X, Y, epochs=2, batch_size=20)
    np.testing.assert_array_equal(again.network.parameters, trainer.network.parameters)


@pytest.mark.parametrize("estimator", [fastnn.MLPClassifier, fastnn.MLPRegressor])
def test_a_model_asks_for_few_classes_to_be_trusted(estimator):
    """What a reader of skops files, say, has to look through."""
    model = estimator(
        hidden_layer_sizes=(5,), max_iter=3, early_stopping=True, random_state=0, dropout=0.1, normalization="batch"
    )
    with pytest.warns(UserWarning, match="converged"):
        model.fit(X, Y.astype(int))
    assert classes_in(pickle.dumps(model)) <= {estimator.__name__, "Network", "Trainer", "LabelEncoding"}


@pytest.mark.parametrize("estimator", [fastnn.MLPClassifier, fastnn.MLPRegressor])
def test_skops_itself_asks_for_few_classes_and_reads_the_model(estimator, tmp_path):
    io = pytest.importorskip("skops.io", reason="skops is not installed")
    model = estimator(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
    with pytest.warns(UserWarning, match="converged"):
        model.fit(X, Y.astype(int))
    io.dump(model, tmp_path / "model.skops")
    types = io.get_untrusted_types(file=tmp_path / "model.skops")
    assert {name.rpartition(".")[2] for name in types} <= {estimator.__name__, "Network", "Trainer", "LabelEncoding"}
    with pytest.raises(io.exceptions.UntrustedTypesFoundException):
        io.load(tmp_path / "model.skops")
    again = io.load(tmp_path / "model.skops", trusted=types)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    again.partial_fit(X, Y.astype(int))


def half(y, predictions):
    return 0.5


def distance(y, predictions):
    return np.abs(predictions - y).mean(axis=1), np.sign(predictions - y)


def test_parts_of_the_user_s_are_pickled_as_they_are():
    trainer = make_trainer(loss=distance, metrics=["mae", half])
    trainer.fit(X, Y.reshape(-1, 1), epochs=1)
    again = pickle.loads(pickle.dumps(trainer))
    assert again.loss.function is distance
    assert [metric.name for metric in again.metrics] == ["mae", "half"]
    assert again.evaluate(X, Y.reshape(-1, 1)) == trainer.evaluate(X, Y.reshape(-1, 1))


def test_a_subclass_keeps_its_attributes():
    again = pickle.loads(pickle.dumps(Named(make_trainer().network, loss="log_loss")))
    assert again.title == "named"


class Named(fastnn.Trainer):
    title = None

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.__dict__["title"] = "named"


def test_pickles_that_hold_records_are_read():
    """What fastnn wrote before its pickles were in plain terms."""
    trainer = pickle.loads(BEFORE.read_bytes())
    assert trainer.epochs_done == 2 and trainer.loss == fastnn.losses.get("log_loss")
    assert trainer.network.layers[1] == fastnn.Dense(5, "tanh", kernel_regularizer=0.01)
    trainer.fit(X, Y, epochs=1)
    assert math.isfinite(trainer.history.history["accuracy"][-1])
