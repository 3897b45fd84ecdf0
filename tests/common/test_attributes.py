"""Attributes that can be assigned do what assigning says, or refuse with a sentence that says what to do."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastnn
from fastnn import callbacks
from fastnn.training.history import History

X = np.linspace(-1, 1, 24).reshape(8, 3).astype(np.float32)
Y = X.sum(axis=1)


def make_network(**options):
    return fastnn.Network.mlp(3, [4], 1, activation="tanh", seed=0, **options)


def make_trainer(optimizer="sgd", **options):
    return fastnn.Trainer(make_network(), loss="mse", optimizer=optimizer, **options)


# --- networks -------------------------------------------------------------------------------------------------------


def test_assigned_parameters_are_those_that_predict_fit_and_save_use(tmp_path):
    network, other = make_network(), make_network(dtype="float64")
    vector = np.random.default_rng(1).normal(size=network.n_parameters)
    before = network.predict(X)
    network.parameters = vector
    other.parameters[:] = vector
    assert not np.array_equal(network.predict(X), before)
    np.testing.assert_allclose(network.predict(X), other.predict(X), rtol=1e-5, atol=1e-6)
    vector[:] = 0  # it was copied
    assert network.parameters.any()
    network.save(tmp_path / "file")
    np.testing.assert_array_equal(fastnn.Network.load(tmp_path / "file").predict(X), network.predict(X))


def test_parameters_may_be_changed_in_place_and_assigned_from_their_own_memory():
    network = make_network()
    before = network.parameters.copy()
    network.parameters *= 2
    np.testing.assert_array_equal(network.parameters, 2 * before)
    network.parameters = network.parameters[::-1]
    np.testing.assert_array_equal(network.parameters, 2 * before[::-1])


def test_what_is_reshaped_is_not_the_network():
    network = make_network()
    network.parameters.shape = (-1, 1)
    assert network.parameters.shape == (network.n_parameters,)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.zeros(3), ValueError, r"parameters must have shape \(21,\), got \(3,\)"),
        (np.full(21, np.nan), ValueError, "parameters must be finite, got nan"),
        (np.full(21, 1e39), ValueError, "parameters must be finite in float32"),
        (["a"] * 21, TypeError, "parameters must hold real numbers"),
    ],
)
def test_parameters_that_cannot_be(value, error, message):
    network = make_network()
    before = network.parameters.copy()
    with pytest.raises(error, match=message):
        network.parameters = value
    np.testing.assert_array_equal(network.parameters, before)


def test_assigned_state_is_used_and_checked():
    network = fastnn.Network([fastnn.Input(3), fastnn.BatchNormalization(), fastnn.Dense(1)], seed=0)
    before = network.predict(X)
    network.state = [1, 1, 1, 4, 4, 4]
    assert not np.array_equal(network.predict(X), before)
    with pytest.raises(ValueError, match=r"state must not hold negative variances.*got -1"):
        network.state = [0, 0, 0, 1, -1, 1]
    with pytest.raises(ValueError, match=r"state must have shape \(6,\)"):
        network.state = [0, 0, 0]
    assert network.state.tolist() == [1, 1, 1, 4, 4, 4]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("layers", "make a new Network"),
        ("dtype", "set_weights"),
        ("seed", r"fit\(seed=...\)"),
        ("plan", "make a new Network"),
        ("n_inputs", "make a new Network"),
        ("n_parameters", "make a new Network"),
        ("parameter_buffer", "set_weights"),
        ("weights", "no attribute 'weights'"),
        ("parameter", "did you mean 'parameters'"),
    ],
)
def test_networks_refuse_the_rest(name, advice):
    with pytest.raises(AttributeError, match=advice):
        setattr(make_network(), name, None)


@pytest.mark.parametrize(
    ("made", "name", "advice"),
    [
        (fastnn.Adam(), "learning_rate", "trainer.learning_rate = ... sets the rate"),
        (fastnn.SGD(), "momentum", "trainer.optimizer = SGD(momentum=...) begins anew"),
        (fastnn.Dense(3), "units", "make a new Network with Dense(units=...)"),
        (fastnn.Dropout(0.5), "rate", "make a new Network with Dropout(rate=...)"),
    ],
)
def test_optimizers_and_layers_are_fixed(made, name, advice):
    with pytest.raises(AttributeError, match=re.escape(advice)):
        setattr(made, name, 1)
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)


# --- trainers -------------------------------------------------------------------------------------------------------


def test_a_new_optimizer_begins_with_fresh_moments_its_own_rate_and_step_0():
    trainer = make_trainer("sgd")
    trainer.fit(X, Y, epochs=3, batch_size=4)
    trainer.learning_rate = 0.5
    trainer.optimizer = fastnn.Adam(1e-3)
    assert trainer.learning_rate == 1e-3 and trainer.step == 0 and trainer.epochs_done == 3
    assert trainer.moments.size == 2 * trainer.network.plan.parameter_stride and not trainer.moments.any()
    new = fastnn.Trainer(pickle.loads(pickle.dumps(trainer.network)), loss="mse", optimizer=fastnn.Adam(1e-3))
    trainer.fit(X, Y, epochs=3, batch_size=4, shuffle=False)
    new.fit(X, Y, epochs=3, batch_size=4, shuffle=False)
    np.testing.assert_array_equal(trainer.network.parameters, new.network.parameters)
    assert trainer.history.epoch == [0, 1, 2, 3, 4, 5]


def test_a_new_optimizer_after_an_average_begins_with_the_average():
    trainer = make_trainer(fastnn.SGD(0.1, use_ema=True))
    trainer.fit(X, Y, batch_size=4)
    average = trainer.network.parameters.copy()
    trainer.optimizer = "rmsprop"
    trainer.fit(X, Y, epochs=1, batch_size=4)
    assert trainer.average.size == 0
    new = make_trainer("rmsprop")
    new.network.parameters = average
    new.fit(X, Y, initial_epoch=1, epochs=2, batch_size=4)
    np.testing.assert_array_equal(trainer.network.parameters, new.network.parameters)


def test_loss_metrics_and_mixup_are_checked_and_used():
    trainer = make_trainer()
    trainer.loss, trainer.metrics = "mean_absolute_error", ["mse"]
    assert trainer.loss.name == "mae" and sorted(trainer.evaluate(X, Y)) == ["loss", "mse"]
    with pytest.raises(ValueError, match="loss must be one of"):
        trainer.loss = "what"
    with pytest.raises(ValueError, match="mixup must be 0 unless"):
        trainer.mixup = 0.2
    with pytest.raises(ValueError, match="needs an output a class"):
        trainer.metrics = [fastnn.metrics.TopKAccuracy(2)]
    assert trainer.loss.name == "mae" and trainer.mixup == 0


def test_a_new_history_begins_new_curves():
    trainer = make_trainer()
    first = trainer.fit(X, Y)
    trainer.history = History()
    assert trainer.fit(X, Y).epoch == [1] and first.epoch == [0]
    with pytest.raises(TypeError, match=r"history must be a fastnn\.History"):
        trainer.history = {}


def test_seed_and_stop_training_are_checked():
    trainer = make_trainer()
    trainer.seed = 5
    assert trainer.seed == 5
    with pytest.raises(ValueError, match="seed must be"):
        trainer.seed = -1
    with pytest.raises(TypeError, match="stop_training must be True or False"):
        trainer.stop_training = "yes"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("network", r"make a Trainer\(network"),
        ("step", "load_state_dict"),
        ("epochs_done", "initial_epoch"),
        ("moments", r"trainer.moments\[:\]"),
        ("log_names", "metrics"),
        ("is_training", "stop"),
        ("lr", "no attribute 'lr'"),
        ("learning_rates", "did you mean 'learning_rate'"),
    ],
)
def test_trainers_refuse_the_rest(name, advice):
    with pytest.raises(AttributeError, match=advice):
        setattr(make_trainer(), name, 1)


@pytest.mark.parametrize("name", ["loss", "optimizer", "metrics", "mixup", "history", "seed"])
def test_nothing_is_assigned_while_fit_runs(name):
    trainer = make_trainer()
    seen = []

    def assign(epoch, logs):
        with pytest.raises(RuntimeError, match=f"Trainer.{name} cannot be assigned while fit is running"):
            setattr(trainer, name, getattr(trainer, name))
        with pytest.raises(RuntimeError, match="load_state_dict cannot be called while fit is running"):
            trainer.load_state_dict({})
        seen.append(epoch)

    trainer.fit(X, Y, callbacks=[callbacks.LambdaCallback(on_epoch_end=assign)])
    assert seen == [0] and not trainer.is_training


def test_subclasses_of_the_user_s_may_have_attributes_of_their_own():
    class Mine(fastnn.Trainer):
        pass

    trainer = Mine(make_network(), loss="mse")
    trainer.note = "mine"
    assert trainer.note == "mine"
    with pytest.raises(AttributeError, match=r"Mine\.step cannot be assigned"):
        trainer.step = 3


def test_copies_and_pickles_of_a_trainer_go_on():
    trainer = make_trainer("adam")
    trainer.fit(X, Y, epochs=2, batch_size=4)
    copies = [copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))]
    trainer.fit(X, Y, epochs=2, batch_size=4)
    for other in copies:
        other.fit(X, Y, epochs=2, batch_size=4)
        np.testing.assert_array_equal(other.network.parameters, trainer.network.parameters)


def test_a_trainer_pickled_by_fastnn_0_1_goes_on():
    trainer = make_trainer("adam")
    trainer.fit(X, Y, epochs=2, batch_size=4)
    state = trainer._state
    old = {
        "network": trainer.network, "loss": trainer.loss, "optimizer": trainer.optimizer, "metrics": (), "mixup": 0.0,
        "history": trainer.history, "stop_training": False, "_optimizer_schedule": state.schedule,
        "_set_schedule": None, "step": 4, "holds_average": False, "epochs_done": 2, "moments": trainer.moments,
        "steps_a_call": 0, "log_names": ("loss",), "callback_states": state.callback_states, "_seed": state.seed,
    }  # fmt: skip
    other = fastnn.Trainer.__new__(fastnn.Trainer)
    other.__setstate__(pickle.loads(pickle.dumps(old)))
    assert other.step == 4 and other.fit(X, Y, epochs=2, batch_size=4).epoch == [0, 1, 2, 3]
    trainer.fit(X, Y, epochs=2, batch_size=4)
    np.testing.assert_array_equal(other.network.parameters, trainer.network.parameters)


# --- histories ------------------------------------------------------------------------------------------------------


def test_a_history_keeps_its_lists_together():
    history = History({"loss": [1.0, 2.0]}, [0, 1])
    assert len(history.seconds) == len(history.learning_rate) == 2
    for name in ("history", "epoch", "seconds", "learning_rate"):
        with pytest.raises(AttributeError, match=rf"History.{name} cannot be assigned: .*History\("):
            setattr(history, name, [])
    with pytest.raises(ValueError, match="must have one length"):
        History({"loss": [1.0]}, [0, 1])
    with pytest.raises(TypeError, match="epoch must be a list"):
        History(epoch=3)
    with pytest.raises(TypeError, match="stop_reason must be a str or None"):
        history.stop_reason = 3
    assert pickle.loads(pickle.dumps(history)).history == copy.deepcopy(history).history == {"loss": [1.0, 2.0]}


# --- callbacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "name", "value", "message"),
    [
        (callbacks.EarlyStopping(), "patience", -1, "patience must be an integer >= 0"),
        (callbacks.EarlyStopping(), "mode", "mx", "mode must be one of"),
        (callbacks.EarlyStopping(), "min_delta", -1, "min_delta must be a number"),
        (callbacks.EarlyStopping(), "monitor", 3, "monitor must be a str"),
        (callbacks.EarlyStopping(), "best", 1.0, "EarlyStopping.best cannot be assigned"),
        (callbacks.EarlyStopping(), "patence", 1, "did you mean 'patience'"),
        (callbacks.ReduceLROnPlateau(), "factor", 2.0, "factor must be a number"),
        (callbacks.ReduceLROnPlateau(), "best", 2.0, "best cannot be assigned"),
        (callbacks.ModelCheckpoint("x"), "every", 0, "every must be an integer >= 1"),
        (callbacks.ModelCheckpoint("x"), "path", 3, "path must be a str or a path"),
        (callbacks.ModelCheckpoint("x"), "best", "low", "best must be a number"),
        (callbacks.CSVLogger("x"), "separator", ";;", "separator must be one character"),
        (callbacks.TimeLimit(1), "seconds", 0, "seconds must be a number"),
        (callbacks.LearningRateScheduler(abs), "schedule", 3, "schedule must be a function"),
        (callbacks.OptunaPruning(None), "monitor", 3, "monitor must be a str"),
        (callbacks.SampleRecorder(), "every", 0, "every must be an integer >= 1"),
        (callbacks.LambdaCallback(), "on_epoch_finish", abs, "no attribute 'on_epoch_finish'"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_callbacks_check_what_is_assigned(made, name, value, message):
    with pytest.raises((ValueError, TypeError, AttributeError), match=re.escape(message)):
        setattr(made, name, value)


def test_callbacks_that_show_or_keep_elsewhere_check_what_is_assigned(monkeypatch):
    with callbacks.LiveView() as view:
        for name, value, error in (("sample", 3, TypeError), ("name", 3, TypeError), ("nam", "x", AttributeError)):
            with pytest.raises(error, match=f"^{name} must be|no attribute '{name}'"):
                setattr(view, name, value)
        with pytest.raises(AttributeError):
            view.url = "elsewhere"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)  # neither has to be installed
    for made, name, value in (
        (callbacks.TensorBoard("runs"), "histogram_freq", -1), (callbacks.TensorBoard("runs"), "log_dir", 3),
        (callbacks.MLflow(), "experiment", ""), (callbacks.MLflow(), "log_model", "yes"),
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            setattr(made, name, value)
        with pytest.raises(AttributeError, match="no attribute 'folder'"):
            made.folder = "elsewhere"


def test_what_is_assigned_to_a_callback_counts():
    stopping = callbacks.EarlyStopping("val_loss", patience=100)
    stopping.monitor, stopping.patience, stopping.min_delta = "loss", 2, 1e9
    assert len(make_trainer().fit(X, Y, epochs=50, callbacks=[stopping]).epoch) == 3
    scheduler = callbacks.LearningRateScheduler(lambda epoch: 1.0)
    scheduler.schedule = lambda epoch, rate: rate / 2
    assert make_trainer(fastnn.SGD(0.5)).fit(X, Y, callbacks=[scheduler]).learning_rate == [0.25]


def test_callbacks_pickled_by_fastnn_0_1_work():
    plateau = callbacks.ReduceLROnPlateau("loss")
    old = {("monitor" if name == "_monitor" else name): value for name, value in plateau.__dict__.items()}
    again = callbacks.ReduceLROnPlateau.__new__(callbacks.ReduceLROnPlateau)
    again.__setstate__(old)
    make_trainer().fit(X, Y, callbacks=[again, pickle.loads(pickle.dumps(plateau))])
    assert again.monitor.name == "loss"
