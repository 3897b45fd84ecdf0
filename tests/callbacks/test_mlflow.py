"""What the MLflow callback keeps, read back by MLflow from a folder, without a server."""

import importlib.util

import numpy as np
import pytest

import fastnn

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs mlflow-skinny")

X = np.linspace(-1, 1, 64)[:, None]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # folders are not developed further, and need no database
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("DO_NOT_TRACK", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "runs").as_uri()
    return uri, MlflowClient(tracking_uri=uri)


def trainer_of(**options):
    return fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse", metrics=["mae"], **options)


def test_a_run_is_read_back(store, tmp_path):
    uri, client = store
    trainer = trainer_of(optimizer=fastnn.Adam(0.01))
    log = fastnn.callbacks.MLflow("curves", tracking_uri=uri, run_name="first")
    assert log.run_id is None
    history = trainer.fit(X, X**2, epochs=3, validation_split=0.2, callbacks=[log]).history

    run = client.get_run(log.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert client.get_experiment(run.info.experiment_id).name == "curves"
    assert run.data.params["optimizer"] == "Adam"
    assert run.data.params["learning_rate"] == "0.01"
    assert run.data.params["loss"] == "mse"
    for name in ("loss", "mae", "val_loss"):
        kept = client.get_metric_history(log.run_id, name)
        assert [metric.step for metric in kept] == [0, 1, 2]
        assert [metric.value for metric in kept] == history[name]
    path = client.download_artifacts(log.run_id, "model.safetensors", str(tmp_path))
    assert np.array_equal(fastnn.Network.load(path).predict(X), trainer.predict(X))

    first = log.run_id
    trainer.fit(X, X**2, epochs=1, callbacks=[log])  # a run of its own, in the same experiment
    assert log.run_id != first
    assert len(client.search_runs([run.info.experiment_id])) == 2


def test_a_failed_training_is_a_failed_run(store):
    uri, client = store

    def fail(epoch):
        raise RuntimeError("told to")

    log = fastnn.callbacks.MLflow(tracking_uri=uri)
    with pytest.raises(RuntimeError, match="told to"):
        trainer_of().fit(X, X, epochs=2, callbacks=[fastnn.callbacks.LambdaCallback(on_epoch_begin=fail), log])
    assert client.get_run(log.run_id).info.status == "FAILED"
    assert client.list_artifacts(log.run_id) == []


def test_an_exception_from_before_is_no_failure(store):
    uri, client = store
    log = fastnn.callbacks.MLflow(tracking_uri=uri)
    try:
        raise KeyError("a cache")
    except KeyError:
        trainer_of().fit(X, X, epochs=1, callbacks=[log])
    assert client.get_run(log.run_id).info.status == "FINISHED"


def test_a_gan_and_no_model(store):
    uri, client = store
    gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 1, seed=0), fastnn.Network.mlp(1, [8], 1, seed=1))
    log = fastnn.callbacks.MLflow(tracking_uri=uri, log_model=False)
    gan.fit(X, epochs=1, callbacks=[log])
    run = client.get_run(log.run_id)
    assert run.data.params["generator_optimizer"] == "Adam"
    assert {"generator_loss", "diversity"} <= set(run.data.metrics)
    assert client.list_artifacts(log.run_id) == []


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"experiment": None}, TypeError, "experiment"), ({"experiment": ""}, ValueError, "experiment"),
        ({"tracking_uri": 5}, TypeError, "tracking_uri"), ({"log_model": "yes"}, TypeError, "log_model"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(arguments, error, name):
    with pytest.raises(error, match=name):
        fastnn.callbacks.MLflow(**arguments)
