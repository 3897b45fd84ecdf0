"""Callbacks that write files: the network as it was, the numbers of each epoch."""

import csv
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.callbacks.monitor import Monitor
from fastnn.callbacks.states import saved_number
from fastnn.common.validation import check_bool, check_integer

if TYPE_CHECKING:
    from fastnn.model.network import Network


class ModelCheckpoint(Callback):
    """Saves the network, or all of training, at the end of epochs; each file is written whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Where to. May hold ``{epoch}``, counted from 1 as in Keras, and names of the logs, as in
        ``"epoch-{epoch:03d}-{val_loss:.4f}.fastnn"``; without them each save replaces the one before.
    monitor : str, default "val_loss"
        A name in the logs; only looked at with `save_best_only`.
    save_best_only : bool, default False
        Whether to save only epochs that are better than all before.
    every : int, default 1
        Look at every n-th epoch only; >= 1.
    mode : "auto", "min" or "max", default "auto"
        Whether less or more is better; "auto" knows for the loss and for metrics that fastnn has a name for.
    save_trainer : bool, default False
        False writes what `Network.save` does; True what `Trainer.save` does, from which training can be resumed.

    Attributes
    ----------
    best : float or None
        The value of the best epoch so far, with `save_best_only`.
    last_path : Path or None
        The file that was written last.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; when training begins, if the folder does not exist or the logs will not
        hold a name.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np, fastnn
    >>> folder = tempfile.TemporaryDirectory()
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse")
    >>> best = fastnn.callbacks.ModelCheckpoint(folder.name + "/best.fastnn", monitor="loss", save_best_only=True)
    >>> history = trainer.fit(X, X**2, epochs=5, callbacks=[best])
    >>> fastnn.Network.load(best.last_path).n_parameters
    25
    >>> folder.cleanup()
    """

    runs_last: ClassVar[bool] = True

    def __init__(
        self,
        path: str | os.PathLike,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        every: int = 1,
        mode: str = "auto",
        save_trainer: bool = False,
    ):
        self.path = os.fspath(path)
        self.monitor = Monitor(monitor, mode)
        self.save_best_only = check_bool("save_best_only", save_best_only)
        self.every = check_integer("every", every, 1)
        self.save_trainer = check_bool("save_trainer", save_trainer)
        self.best: float | None = None
        self.last_path: Path | None = None

    def on_train_begin(self) -> None:
        if self.save_best_only:
            self.monitor.check(self.trainer)
        example = self._path_of(0, dict.fromkeys(self.trainer.log_names, 0.0))
        if not example.parent.is_dir():
            raise ValueError(f"path must lie in a folder that exists, got {self.path!r}")
        self.best = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1) % self.every:
            return
        if self.save_best_only:
            value = logs[self.monitor.name]
            if not self.monitor.is_better(value, self.best):
                return
            self.best = value
        path = self._path_of(epoch, logs)
        if self.save_trainer:
            self.trainer.save(path)
        else:
            self.trainer.network.save(path)
        self.last_path = path

    def _path_of(self, epoch: int, logs: dict[str, float]) -> Path:
        try:
            return Path(self.path.format(epoch=epoch + 1, **logs))
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(f"{{{name}}}" for name in ("epoch", *logs))
            raise ValueError(f"path may hold {known}, got {self.path!r} ({error!r})") from None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = saved_number(state, "best")

    @classmethod
    def check_state(cls, state: dict[str, Any], network: "Network") -> None:
        saved_number(state, "best")


class CSVLogger(Callback):
    """Writes a line an epoch to a CSV file: epoch, loss and metrics, learning rate, seconds.

    Each line is in the file as soon as its epoch is over.

    Parameters
    ----------
    path : str or path-like
        Where to.
    separator : str, default ","
        One character between values.
    append : bool, default False
        Whether to add to a file that exists, which must have the same columns, instead of replacing it.

    Raises
    ------
    TypeError
        If the separator is not one character.
    ValueError
        If the file to be appended to has other columns; nothing is trained then.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile, numpy as np, fastnn
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "log.csv")
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", metrics=["mae"])
    >>> history = trainer.fit(np.ones((4, 1)), np.ones(4), epochs=2, callbacks=[fastnn.callbacks.CSVLogger(path)])
    >>> path.read_text().splitlines()[0]
    'epoch,loss,mae,learning_rate,seconds'
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike, separator: str = ",", append: bool = False):
        self.path = Path(path)
        if not isinstance(separator, str) or len(separator) != 1:
            raise TypeError(f"separator must be one character, got {separator!r}")
        self.separator = separator
        self.append = check_bool("append", append)
        self._file: IO[str] | None = None

    def on_train_begin(self) -> None:
        columns = ["epoch", *self.trainer.log_names, "learning_rate", "seconds"]
        is_new = not (self.append and self.path.exists() and self.path.stat().st_size)
        if not is_new:
            with self.path.open(newline="", encoding="utf-8") as file:
                found = next(csv.reader(file, delimiter=self.separator))
            if found != columns:
                raise ValueError(f"path must be a file with the columns {columns} to be appended to, got {found}")
        self._file = self.path.open("w" if is_new else "a", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if is_new:
            self._writer.writerow(columns)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        history = self.trainer.history
        self._writer.writerow([epoch, *logs.values(), history.learning_rate[-1], history.seconds[-1]])

    def on_train_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
