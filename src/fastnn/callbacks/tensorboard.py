"""Curves, histograms and hyperparameters for TensorBoard."""

import importlib.util
import math
import os
from pathlib import Path
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.common.validation import check_integer


class TensorBoard(Callback):
    """Writes what TensorBoard shows: curves by epoch, histograms of the weights, the plan, and hyperparameters.

    It needs the extra: ``pip install "fastnn[tensorboard]"``. Look at it with ``tensorboard --logdir FOLDER``.
    Training and validation are curves of one chart each ("loss/training", "loss/validation").

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
        table = "\n".join(f"    {line}" for line in str(self.trainer.network.summary()).splitlines())
        self._writer.add_text("plan", table, self.trainer.epochs_done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        for name, value in logs.items():
            base = name.removeprefix("val_")
            self._writer.add_scalar(f"{base}/{'training' if base == name else 'validation'}", value, epoch)
        self._writer.add_scalar("learning_rate", self.trainer.learning_rate, epoch)
        self._last = logs
        if self.histogram_freq and (epoch + 1) % self.histogram_freq == 0:
            network = self.trainer.network
            for variable, values in zip(network.plan.variables, network.get_weights(), strict=True):
                self._writer.add_histogram(f"layer_{variable.layer}/{variable.name}", values, epoch)

    def on_train_end(self) -> None:
        if self._writer is None:
            return
        final = {f"final_{name}": value for name, value in self._last.items() if math.isfinite(value)}
        if final:
            # A folder of its own would be a run of its own, so the record goes into this one.
            from tensorboardX.summary import hparams

            for summary in hparams(self._hyperparameters(), final):
                self._writer.file_writer.add_summary(summary)
            for name, value in final.items():
                self._writer.add_scalar(name, value)
        self._writer.close()
        self._writer = None

    def _hyperparameters(self) -> dict[str, Any]:
        trainer: Any = self.trainer
        optimizer = trainer.optimizer
        found: dict[str, Any] = {"optimizer": type(optimizer).__name__, "loss": trainer.loss.name}
        for name, value in vars(optimizer).items():
            if value is not None:
                found[name] = value if isinstance(value, bool | int | float | str) else repr(value)
        found["parameters"] = trainer.network.n_parameters
        return found
