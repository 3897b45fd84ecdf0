"""Curves, hyperparameters and models for the keepers of experiments: TensorBoard and MLflow."""

import importlib.util
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_bool, check_integer
from fastnn.model.network import Network


class TensorBoard(Callback):
    """Writes what TensorBoard shows: curves by epoch, histograms of the weights, the plan, and hyperparameters.

    It needs the extra: ``pip install "fastnn[tensorboard]"``. Look at it with ``tensorboard --logdir FOLDER``.
    Training and validation are curves of one chart each ("loss/training", "loss/validation"). Of a `fastnn.GAN`
    plans and histograms of both networks are shown.

    Parameters
    ----------
    log_dir : str or path-like
        The folder of this run; it is made when training begins. Runs in folders side by side are compared.
    histogram_freq : int, default 0
        Histograms of every tensor each so many epochs; 0 writes none.

    Raises
    ------
    ImportError
        If tensorboardX is missing.
    ValueError, TypeError
        If an argument is wrong.

    Examples
    --------
    ::

        board = fastnn.callbacks.TensorBoard("runs/first", histogram_freq=5)
        trainer.fit(X, y, epochs=20, callbacks=[board])
    """

    _is_strict: ClassVar[bool] = True

    log_dir = Checked(lambda name, value: Path(value))
    histogram_freq = Checked(lambda name, value: check_integer(name, value, 0))

    def __init__(self, log_dir: str | os.PathLike, *, histogram_freq: int = 0):
        self.log_dir, self.histogram_freq = log_dir, histogram_freq
        if importlib.util.find_spec("tensorboardX") is None:
            raise ImportError('TensorBoard needs tensorboardX: pip install "fastnn[tensorboard]"')
        self._writer: Any = None

    def on_train_begin(self) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self.log_dir))
        self._last: dict[str, float] = {}
        for prefix, network in self._networks():
            table = "\n".join(f"    {line}" for line in str(network.summary()).splitlines())
            self._writer.add_text(f"{prefix}plan", table, self.trainer.epochs_done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            base = name.removeprefix("val_")
            self._writer.add_scalar(f"{base}/{'training' if base == name else 'validation'}", value, epoch)
        self._writer.add_scalar("learning_rate", self.trainer.learning_rate, epoch)
        self._last = logs
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            for prefix, network in self._networks():
                for variable, values in zip(network.plan.variables, network.get_weights(), strict=True):
                    self._writer.add_histogram(f"{prefix}layer_{variable.layer}/{variable.name}", values, epoch)

    def on_train_end(self) -> None:
        if self._writer is None:
            return
        final = {f"final_{name}": value for name, value in self._last.items() if math.isfinite(value)}
        if final:
            # A folder of its own would be a run of its own, so the record goes into this one.
            from tensorboardX.summary import hparams

            for summary in hparams(hyperparameters(self.trainer), final):
                self._writer.file_writer.add_summary(summary)
            for name, value in final.items():
                self._writer.add_scalar(name, value)
        self._writer.close()
        self._writer = None

    def _networks(self) -> list[tuple[str, Network]]:
        """The networks that are trained, each behind a prefix for its names: a GAN has two."""
        trainer: Any = self.trainer
        if hasattr(trainer, "discriminator"):
            return [("generator_", trainer.generator), ("discriminator_", trainer.discriminator)]
        return [("", trainer.network)]


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {value!r}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


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

    _is_strict: ClassVar[bool] = True

    experiment = Checked(_check_text)
    tracking_uri = Checked(lambda name, value: None if value is None else _check_text(name, value))
    run_name = Checked(lambda name, value: None if value is None else _check_text(name, value))
    log_model = Checked(check_bool)
    run_id: str | None = None
    runs_last = True  # so that the network's file holds what other callbacks restored

    def __init__(
        self,
        experiment: str = "fastnn",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        log_model: bool = True,
    ):
        self.experiment, self.tracking_uri, self.run_name = experiment, tracking_uri, run_name
        self.log_model = log_model
        if importlib.util.find_spec("mlflow") is None:
            raise ImportError('MLflow needs mlflow-skinny or mlflow: pip install "fastnn[mlflow]"')
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


_OF_A_GAN = ("noise", "discriminator_steps", "label_smoothing", "gradient_penalty")


def hyperparameters(trainer: Any) -> dict[str, bool | int | float | str]:
    """Return the hyperparameters of a `Trainer` or a `GAN` by name, as plain values; objects as their repr.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.callbacks.loggers import hyperparameters
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [4], 1, seed=0), loss="mse", optimizer=fastnn.SGD(0.1))
    >>> chosen = hyperparameters(trainer)
    >>> chosen["optimizer"], chosen["learning_rate"], chosen["loss"], chosen["parameters"]
    ('SGD', 0.1, 'mse', 13)
    """
    if hasattr(trainer, "discriminator"):
        found = {"loss": trainer.loss}
        for part in ("generator", "discriminator"):
            found |= _of_optimizer(getattr(trainer, f"{part}_optimizer"), f"{part}_")
            found[f"{part}_parameters"] = getattr(trainer, part).n_parameters
        return found | {name: getattr(trainer, name) for name in _OF_A_GAN}
    found = {"loss": trainer.loss.name, **_of_optimizer(trainer.optimizer, "")}
    found["parameters"] = trainer.network.n_parameters
    return found


def _of_optimizer(optimizer: Any, prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {f"{prefix}optimizer": type(optimizer).__name__}
    for name, value in vars(optimizer).items():
        if value is not None:
            found[prefix + name] = value if isinstance(value, bool | int | float | str) else repr(value)
    return found
