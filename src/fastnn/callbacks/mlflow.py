"""Hyperparameters, curves and the model of a training, kept by MLflow."""

import importlib.util
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.callbacks.hyperparameters import hyperparameters
from fastnn.common.validation import check_bool


class MLflow(Callback):
    """Logs every fit as a run of MLflow: hyperparameters, loss and metrics by epoch, and the trained network's file.

    It needs the extra: ``pip install "fastnn[mlflow]"``. The run ends as FINISHED, or as FAILED if an exception ended
    training. The network is saved as "model.safetensors" among the run's artifacts (of a `fastnn.GAN`, the generator),
    after other callbacks have restored what they restore; `fastnn.Network.load` reads it.

    Parameters
    ----------
    experiment : str, default "fastnn"
        The experiment's name; it is made if there is none of that name.
    tracking_uri : str, default None
        Where runs are kept: a server's address, or what else MLflow takes; None for what MLflow is set to.
    run_name : str, default None
        The run's name; None for one that MLflow makes up.
    log_model : bool, default True
        Whether the network's file is kept.

    Attributes
    ----------
    run_id : str or None
        Of the last fit's run; None before.

    Raises
    ------
    ImportError
        If MLflow is missing.
    ValueError, TypeError
        If an argument is wrong.

    Examples
    --------
    ::

        log = fastnn.callbacks.MLflow("digits", tracking_uri="http://127.0.0.1:5000")
        trainer.fit(X, y, epochs=20, callbacks=[log])
    """

    runs_last = True  # so that the network's file holds what other callbacks restored

    def __init__(
        self,
        experiment: str = "fastnn",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        log_model: bool = True,
    ):
        for name, value in (("experiment", experiment), ("tracking_uri", tracking_uri), ("run_name", run_name)):
            if value is None and name != "experiment":
                continue
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, got {value!r}")
            if not value:
                raise ValueError(f"{name} must not be empty")
        self.experiment, self.tracking_uri, self.run_name = experiment, tracking_uri, run_name
        self.log_model = check_bool("log_model", log_model)
        if importlib.util.find_spec("mlflow") is None:
            raise ImportError('MLflow needs mlflow-skinny or mlflow: pip install "fastnn[mlflow]"')
        self.run_id: str | None = None
        self._client: Any = None
        self._handled: BaseException | None = None

    def on_train_begin(self) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._handled = sys.exception()  # fit may run where an exception is being handled
        client = MlflowClient(tracking_uri=self.tracking_uri)
        known = client.get_experiment_by_name(self.experiment)
        experiment = client.create_experiment(self.experiment) if known is None else known.experiment_id
        self.run_id = client.create_run(experiment, run_name=self.run_name).info.run_id
        self._client = client
        chosen = hyperparameters(self.trainer)
        client.log_batch(self.run_id, params=[Param(name, str(value)) for name, value in chosen.items()])

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        values = {**logs, "learning_rate": self.trainer.learning_rate}
        self._client.log_batch(self.run_id, [Metric(name, float(x), now, epoch) for name, x in values.items()])

    def on_train_end(self) -> None:
        client, self._client = self._client, None
        if client is None:  # the run could not be made
            return
        ended_by, before, self._handled = sys.exception(), self._handled, None
        has_failed = isinstance(ended_by, Exception) and ended_by is not before  # the keyboard's stop is no failure
        try:
            if self.log_model and not has_failed:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "model.safetensors")
                    self.trainer.network.save(path)
                    client.log_artifact(self.run_id, os.fspath(path))
        except Exception:
            has_failed = True
            raise
        finally:
            client.set_terminated(self.run_id, "FAILED" if has_failed else "FINISHED")
