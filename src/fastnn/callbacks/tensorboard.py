"""Curves, histograms and hyperparameters for TensorBoard."""

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.callbacks.hyperparameters import hyperparameters
from fastnn.common.validation import check_integer
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

    def __init__(self, log_dir: str | os.PathLike, *, histogram_freq: int = 0):
        self.log_dir = Path(log_dir)
        self.histogram_freq = check_integer("histogram_freq", histogram_freq, 0)
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
