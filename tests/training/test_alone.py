"""One fit at a time: a trainer, a network, and objectives that threads share."""

import threading

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import LambdaCallback

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = X.sum(axis=1)


def make_trainer(network=None):
    network = network or fastnn.Network.mlp(3, [4], 1, activation="tanh", seed=0)
    return fastnn.Trainer(network, loss="mse", optimizer="sgd")


def in_a_thread(work):
    """What a function raises in another thread."""
    errors = []

    def run():
        try:
            work()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize(
    "again", [lambda trainer: trainer.fit(X, Y), lambda trainer: trainer.train_on_batch(X, Y)], ids=["fit", "batch"]
)
def test_a_trainer_that_trains_refuses_a_second_fit(again, elsewhere):
    trainer, alone = make_trainer(), make_trainer()
    errors = []

    def on_epoch_end(epoch, logs):
        assert trainer.is_training
        if elsewhere:
            errors.extend(in_a_thread(lambda: again(trainer)))
        else:
            with pytest.raises(RuntimeError) as caught:
                again(trainer)
            errors.append(caught.value)

    trainer.fit(X, Y, epochs=2, callbacks=[LambdaCallback(on_epoch_end=on_epoch_end)])
    assert [type(error) for error in errors] == [RuntimeError, RuntimeError]
    assert all("this Trainer is already training" in str(error) for error in errors)
    alone.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(trainer.network.parameters, alone.network.parameters)
    assert trainer.history.epoch == [0, 1]
    again(trainer)  # it may train again afterwards


def test_a_trainer_may_train_again_after_an_error():
    trainer = make_trainer()
    with pytest.raises(ZeroDivisionError):
        trainer.fit(X, Y, callbacks=[LambdaCallback(on_epoch_end=lambda epoch, logs: 1 / 0)])
    assert not trainer.is_training
    trainer.fit(X, Y)


def test_two_trainers_do_not_train_one_network_in_two_threads():
    trainer = make_trainer()
    other = make_trainer(trainer.network)
    errors = []
    hook = LambdaCallback(on_epoch_end=lambda epoch, logs: errors.extend(in_a_thread(lambda: other.fit(X, Y))))
    trainer.fit(X, Y, callbacks=[hook])
    assert [str(error)[:34] for error in errors] == ["another thread trains this network"]
    assert other.step == 0
    other.fit(X, Y)


def test_another_trainer_may_take_a_turn_within_a_callback():
    trainer = make_trainer()
    other = make_trainer(trainer.network)
    trainer.fit(X, Y, epochs=2, callbacks=[LambdaCallback(on_epoch_end=lambda epoch, logs: other.fit(X, Y))])
    one = make_trainer()
    two = make_trainer(one.network)
    for _ in range(2):
        one.fit(X, Y)
        two.fit(X, Y)
    np.testing.assert_array_equal(trainer.network.parameters, one.network.parameters)


def test_fit_many_refuses_members_that_train():
    busy, idle = make_trainer(), make_trainer()
    caught = []

    def on_epoch_end(epoch, logs):
        with pytest.raises(RuntimeError, match=r"trainers\[1\] is already training") as error:
            fastnn.fit_many([idle, busy], X, Y)
        caught.append(error)

    busy.fit(X, Y, callbacks=[LambdaCallback(on_epoch_end=on_epoch_end)])
    assert len(caught) == 1 and idle.step == 0


def test_an_objective_gives_each_thread_its_own_numbers():
    network = fastnn.Network.mlp(3, [32], 1, activation="tanh", dtype="float64", seed=0)
    data = np.random.default_rng(0).normal(size=(2000, 3))
    objective = fastnn.Objective(network, data, data.sum(axis=1), loss="mse")
    points = [np.random.default_rng(seed).normal(size=network.n_parameters) for seed in range(4)]
    expected = [objective(point) for point in points]
    wrong = []

    def call(point, loss, gradient):
        for _ in range(30):
            got = objective(point)
            if got[0] != loss or not np.array_equal(got[1], gradient):
                wrong.append(point)

    threads = [
        threading.Thread(target=call, args=(point, *numbers)) for point, numbers in zip(points, expected, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("batch_size", [31, 9])
def test_fit_many_checks_each_member_for_its_own_layers(batch_size):
    plain = fastnn.Network([fastnn.Input(3), fastnn.Dense(1)], seed=0)
    normalized = fastnn.Network([fastnn.Input(3), fastnn.BatchNormalization(), fastnn.Dense(1)], seed=0)
    members = [make_trainer(plain), make_trainer(normalized)]
    rows = 2 * batch_size + 1
    for order in (members, members[::-1]):
        with pytest.raises(ValueError, match="leaves the last batch with one sample"):
            fastnn.fit_many(order, X[:rows], Y[:rows], batch_size=batch_size)
    assert all(trainer.step == 0 for trainer in members)
    fastnn.fit_many(members, X, Y, batch_size=batch_size + 1)


def test_an_estimator_that_is_fitted_refuses_a_second_fit():
    """Two fits mixed their curves: 313 epochs of 300."""
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    said = []

    def again(epoch, logs):
        for method in (model.fit, model.partial_fit):
            thread = threading.Thread(target=attempt, args=(method,))
            thread.start()
            thread.join()
            attempt(method)

    def attempt(method):
        with pytest.raises(RuntimeError, match="this MLPClassifier is already being fitted"):
            method(X, y)
        said.append(method.__name__)

    hook = fastnn.callbacks.LambdaCallback(on_epoch_end=again)
    model = fastnn.MLPClassifier(hidden_layer_sizes=(4,), max_iter=1, callbacks=[hook], random_state=0)
    model.partial_fit(X, y, classes=[0, 1])
    assert said == ["fit", "fit", "partial_fit", "partial_fit"] and len(model.loss_curve_) == 1
    model.set_params(callbacks=None).partial_fit(X, y)
    assert len(model.loss_curve_) == 2


def test_an_estimator_of_tables_that_is_fitted_refuses_a_second_fit(monkeypatch):
    pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
    from fastnn.tabular import fitting

    Z, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    model, said, fit_networks = fastnn.TabularClassifier(preset="fast", random_state=0), [], fitting.fit_networks

    def fit_twice(*arguments):
        said.extend(str(error) for error in in_a_thread(lambda: model.fit(Z, labels)))
        return fit_networks(*arguments)

    monkeypatch.setattr(fitting, "fit_networks", fit_twice)
    model.fit(Z, labels)
    assert [message[:46] for message in said] == ["this TabularClassifier is already being fitted"]
    monkeypatch.undo()
    model.fit(Z, labels)
