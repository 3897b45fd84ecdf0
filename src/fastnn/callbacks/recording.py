"""Callbacks that write files: the network as it was, the numbers of each epoch."""

import csv
import math
import os
import warnings
from pathlib import Path
from typing import IO, Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.callbacks.monitor import Monitor, WatchingCallback, measured_network
from fastnn.callbacks.saved import saved_number
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.files.persistence import save_network
from fastnn.model.network import Network


def _check_best(name: str, value: Any) -> float | None:
    return None if value is None else check_real(name, value, -math.inf)


def _check_path(name: str, value: Any) -> str:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a str or a path, got {value!r}")
    path = os.fspath(value)
    if not isinstance(path, str):
        raise TypeError(f"{name} must be a str or a path of text, got {value!r}")
    return path


def _check_separator(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1:
        raise TypeError(f"{name} must be one character, got {value!r}")
    return value


def _one_of(path: Any, alias: Any, name: str) -> Any:
    """Return the path, which Keras calls otherwise, or raise TypeError unless exactly one is given."""
    if (path is None) == (alias is None):
        raise TypeError(f"exactly one of path and {name}, which is Keras's word for it, must be given")
    return alias if path is None else path


class ModelCheckpoint(WatchingCallback):
    """Saves the network, or all of training, at the end of epochs; each file is written whole or not at all.

    Parameters
    ----------
    path : str or path-like
        Where to. May hold ``{epoch}``, counted from 1 as in Keras, and names of the logs, as in
        ``"epoch-{epoch:03d}-{val_loss:.4f}.fastnn"``; without them each save replaces the one before. A folder that
        does not exist is made when training begins.
    monitor : str, default "val_loss"
        A name in the logs; only looked at with `save_best_only`.
    save_best_only : bool, default False
        Whether to save only epochs that are better than all before, those of earlier fits included. What is saved for
        a training loss of full batches is the network before the epoch's step, to which that loss belongs.
    every : int, default 1
        Look at every n-th epoch only; >= 1.
    mode : "auto", "min" or "max", default "auto"
        Whether less or more is better; "auto" knows for the loss and for metrics that fastnn has a name for.
    save_trainer : bool, default False
        False writes what `Network.save` does; True what `Trainer.save` does, from which training can be resumed.
    initial_value_threshold : float or None, default None
        With `save_best_only`, only epochs that are better than this are saved.
    filepath : str or path-like
        Keras's word for `path`; one of the two must be given.

    Attributes
    ----------
    best : float or None
        The value of the best epoch so far, with `save_best_only`: over all fits with this callback, and after
        `Trainer.load` from where it was. Assigning a value sets what is to be beaten.
    last_path : Path or None
        The file that was written last.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; when training begins, if the logs will not hold a name.
    OSError
        If a folder or a file cannot be written.

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
    _is_strict: ClassVar[bool] = True

    path = Checked(_check_path)
    save_best_only = Checked(check_bool)
    every = Checked(lambda name, value: check_integer(name, value, 1))
    save_trainer = Checked(check_bool)
    initial_value_threshold = Checked(_check_best)
    best = Checked(_check_best)
    last_path: Path | None = None

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        monitor: str = "val_loss",
        save_best_only: bool = False,
        every: int = 1,
        mode: str = "auto",
        save_trainer: bool = False,
        *,
        initial_value_threshold: float | None = None,
        filepath: str | os.PathLike | None = None,
    ):
        self.path = _one_of(path, filepath, "filepath")
        self._monitor = Monitor(monitor, mode)
        self.save_best_only = save_best_only
        self.every = every
        self.save_trainer = save_trainer
        self.initial_value_threshold = initial_value_threshold
        self.best = self.initial_value_threshold
        self.last_path = None

    def on_train_begin(self) -> None:
        if self.save_best_only:
            self.monitor.check(self.trainer)
        example = self._path_of(0, dict.fromkeys(self.trainer.log_names, 0.0))
        example.parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if (epoch + 1) % self.every:
            return
        path = self._path_of(epoch, {**dict.fromkeys(self.trainer.log_names, math.nan), **logs})
        if not self.save_best_only:
            self._save(path, self.trainer.network)
            return
        value = logs.get(self.monitor.name, math.nan)  # missing in epochs without validation
        if self.monitor.is_better(value, self.best):
            self._save(path, None if self.save_trainer else measured_network(self.trainer, self.monitor))
            self.best = value

    def _save(self, path: Path, network: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)  # a folder may have a number of the logs in its name
        if self.save_trainer:
            self.trainer.save(path)
        else:
            save_network(network, path)
        self.last_path = path

    def identity(self) -> dict[str, Any]:
        return {"monitor": self.monitor.name, "path": self.path}

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
    def check_state(cls, state: dict[str, Any], network: Network) -> None:
        saved_number(state, "best")


class CSVLogger(Callback):
    """Writes a line an epoch to a CSV file: epoch, loss and metrics, learning rate, seconds.

    Each line is in the file as soon as its epoch is over. What other callbacks add to the logs of the first epoch has
    columns too; what an epoch does not have is left empty.

    Parameters
    ----------
    path : str or path-like
        Where to; a folder that does not exist is made when training begins.
    separator : str, default ","
        One character between values.
    append : bool, default False
        Whether to add to a file that exists, which must have the same columns, instead of replacing it.
    filename : str or path-like
        Keras's word for `path`; one of the two must be given.

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

    runs_last: ClassVar[bool] = True
    _is_strict: ClassVar[bool] = True

    path = Checked(lambda name, value: Path(_check_path(name, value)))
    separator = Checked(_check_separator)
    append = Checked(check_bool)

    def __init__(
        self,
        path: str | os.PathLike | None = None,
        separator: str = ",",
        append: bool = False,
        *,
        filename: str | os.PathLike | None = None,
    ):
        self.path = _one_of(path, filename, "filename")
        self.separator = separator
        self.append = append
        self._file: IO[str] | None = None

    def on_train_begin(self) -> None:
        self._columns = ["epoch", *self.trainer.log_names, "learning_rate", "seconds"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not (self.append and self.path.exists() and self.path.stat().st_size)
        self._may_add_columns = is_new
        self._log_names: list[str] = []  # those of the columns, once there are no more to add
        if not is_new:
            with self.path.open(newline="", encoding="utf-8") as file:
                found = next(csv.reader(file, delimiter=self.separator))
            n_ours = len(self._columns) - 2
            if found[:n_ours] != self._columns[:-2] or found[-2:] != self._columns[-2:]:
                raise ValueError(f"path must be a file with the columns {self._columns} to be appended to, got {found}")
            self._columns = found
        self._open("w" if is_new else "a")
        if is_new:
            self._writer.writerow(self._columns)

    def _open(self, mode: str) -> None:
        self._file = self.path.open(mode, newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        history = self.trainer.history
        rate, seconds = history.learning_rate[-1], history.seconds[-1]
        if [*logs] == self._log_names:  # the usual case, quickly
            self._writer.writerow([epoch, *logs.values(), rate, seconds])
            return
        row = {"epoch": epoch, **logs, "learning_rate": rate, "seconds": seconds}
        added = [name for name in logs if name not in self._columns]
        if added and self._may_add_columns and self._file is not None:
            self._columns[-2:-2] = added
            self._file.close()
            self._open("w")  # there is nothing but a header yet
            self._writer.writerow(self._columns)
        elif added:
            names = ", ".join(map(repr, added))
            warnings.warn(f"CSVLogger leaves out {names}: {self.path} has no such column", stacklevel=2)
        self._may_add_columns = False
        self._log_names = self._columns[1:-2]
        self._writer.writerow([row.get(name, "") for name in self._columns])

    def on_train_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def identity(self) -> dict[str, Any]:
        return {"path": os.fspath(self.path)}
