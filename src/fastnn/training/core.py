"""What a trainer is between two fits: attributes over a task and a training state, and how they are kept.

`Trained` is what it has in common with a GAN.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastnn import optimizers
from fastnn.common.attributes import Guarded
from fastnn.common.own_parts import parts_at_hand
from fastnn.common.validation import check_bool
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training import resume
from fastnn.training.evaluation import Task
from fastnn.training.files import load_trainer, save_trainer
from fastnn.training.history import History
from fastnn.training.resume import plain_trainer, state_of_0_1, trainer_from_plain
from fastnn.training.state import EpochStart, TrainingState


class Trained(Guarded):
    """What can be trained by one fit at a time: attributes over a training state."""

    _is_busy: Any  # a lock, held while fit runs
    _name: ClassVar[str]
    _hint: ClassVar[str] = ""

    if TYPE_CHECKING:

        @property
        def _state(self) -> TrainingState: ...

    @property
    def learning_rate(self) -> float:
        return self._state.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | None) -> None:
        self._state.assign_rate(value)

    @property
    def _epoch_start(self) -> EpochStart | None:
        return self._state.epoch_start

    @property
    def history(self) -> History:
        return self._state.history

    @history.setter
    def history(self, value: History) -> None:
        if not isinstance(value, History):
            raise TypeError(f"history must be a fastnn.History, got {value!r}")
        self._refuse_while_training("history")
        self._state.history = value

    @property
    def seed(self) -> int:
        return self._state.seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._refuse_while_training("seed")
        self._state.seed = value

    @property
    def stop_training(self) -> bool:
        return self._state.stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        self._state.stop_training = check_bool("stop_training", value)

    @property
    def step(self) -> int:
        return self._state.step

    @property
    def epochs_done(self) -> int:
        return self._state.epochs_done

    @property
    def is_training(self) -> bool:
        return self._is_busy.locked()

    def _refuse_while_training(self, name: str) -> None:
        if self.is_training:
            raise RuntimeError(
                f"{self._name}.{name} cannot be assigned while fit is running: call stop, or wait for its end"
            )

    def _check_may_load(self) -> None:
        if self.is_training:
            raise RuntimeError("load_state_dict cannot be called while fit is running: call stop, or wait for its end")

    def _refuse_second_fit(self) -> None:
        if self.is_training:
            raise RuntimeError(
                f"this {self._name} is already training, in another thread or around this callback: wait for the end "
                f"of that fit{self._hint}"
            )

    @contextmanager
    def _alone_with(self, networks: str, *locks: Any) -> Iterator[None]:
        """Let nobody else train with this object, and no other thread the networks whose locks these are."""
        if not self._is_busy.acquire(blocking=False):
            self._refuse_second_fit()
        held = [self._is_busy]
        try:
            for lock in locks:
                if not lock.acquire(blocking=False):
                    raise RuntimeError(f"another thread trains {networks}: wait for the end of that fit")
                held.append(lock)
            yield
        finally:
            for lock in reversed(held):
                lock.release()


class TrainerCore(Trained):
    """Base of `Trainer`: everything but fit, evaluation and prediction."""

    _task: Task
    _state: TrainingState
    _name = "Trainer"
    _hint = ", or make a Trainer of its own for each network"

    # --- attributes: what is trained --------------------------------------------------------------------------------

    _refused: ClassVar[Mapping[str, str]] = {
        "network": "moments and history belong to it; make a Trainer(network, ...) for another",
        "step": "the optimizer counts its updates; load_state_dict sets it together with what depends on it",
        "epochs_done": "fit(initial_epoch=...) sets the number of the next epoch",
        "moments": "write to trainer.moments[:], or call load_state_dict",
        "average": "write to trainer.average[:]",
        "log_names": "they follow from the metrics and the validation data",
        "is_training": "fit sets it; call stop to end training",
    }

    @property
    def network(self) -> Network:
        return self._task.network

    @property
    def loss(self) -> LossFunction:
        return self._task.loss

    @loss.setter
    def loss(self, value: "str | LossFunction") -> None:
        self._assign_task("loss", loss=value)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self._task.metrics

    @metrics.setter
    def metrics(self, value: Any) -> None:
        self._assign_task("metrics", metrics=value)

    @property
    def mixup(self) -> float:
        return self._task.mixup

    @mixup.setter
    def mixup(self, value: float) -> None:
        self._assign_task("mixup", mixup=value)

    def _assign_task(self, name: str, **changed: Any) -> None:
        self._refuse_while_training(name)
        task = self._task
        arguments = {"loss": task.loss, "metrics": task.metrics, "mixup": task.mixup, **changed}
        self._task = Task.of(task.network, **arguments)

    # --- attributes: how far training is ----------------------------------------------------------------------------

    @property
    def optimizer(self) -> Optimizer:
        return self._state.optimizer

    @optimizer.setter
    def optimizer(self, value: "str | Optimizer") -> None:
        self._refuse_while_training("optimizer")
        self._state.use_optimizer(optimizers.get(value))

    @property
    def moments(self) -> np.ndarray:
        return self._state.moments

    @property
    def average(self) -> np.ndarray:
        """With `use_ema` the last slot of the moments; empty without."""
        return self._state.average

    @property
    def log_names(self) -> tuple[str, ...]:
        return self._state.log_names

    def _alone(self) -> AbstractContextManager[None]:
        return self._alone_with("this network", self.network.training_lock)

    def set_seed(self, seed: int) -> None:
        """Set the key of all random numbers to come; ``trainer.seed = seed`` does the same."""
        self.seed = seed

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End training: after the current epoch, or within it where a hook within it says so.

        Parameters
        ----------
        reason : str, default "stopped by a callback"
            Kept as ``history.stop_reason``.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
        >>> stop = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: trainer.stop("enough"))
        >>> trainer.fit(np.ones((4, 1)), np.ones(4), epochs=9, callbacks=[stop]).stop_reason
        'enough'
        """
        self._state.stop(reason)

    # --- training that is cut in two --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that training has to remember beside the network's parameters, as arrays and JSON types.

        With the same parameters, data and arguments, training that goes on from it gives the bits that it would have
        given without the cut: the optimizer's moments, the learning rate, the counters that schedules and random
        numbers are functions of, the history, what callbacks such as `EarlyStopping` know, and the states that stateful
        layers carry to the next batch ("carried", of shape (sequences, units)), if there are any. A callback's
        ``on_epoch_end`` may take it too. (`EarlyStopping` with ``restore_best_weights`` puts other parameters into
        the network when fit ends: cut such a training with `ModelCheckpoint`.)

        Returns
        -------
        dict
            Copies; later training does not change them. "moments" has shape (n_slots, n_parameters).

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> X = np.linspace(-1, 1, 64)[:, None]
        >>> network = fastnn.Network.mlp(1, [8], 1, seed=0)
        >>> trainer = fastnn.Trainer(network, loss="mse")
        >>> history = trainer.fit(X, X**2, epochs=2)
        >>> other = fastnn.Trainer(network, loss="mse")
        >>> other.load_state_dict(trainer.state_dict())
        >>> other.fit(X, X**2, epochs=2).epoch
        [0, 1, 2, 3]
        """
        return resume.as_dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; the next call of fit goes on from there.

        Parameters
        ----------
        state : dict
            From a trainer with the same architecture and optimizer. The callbacks of the next fit get the states of
            those of the same class that watch the same number and write to the same place.

        Raises
        ------
        ValueError, TypeError
            If it does not belong to such a trainer; nothing is changed then.
        """
        self._check_may_load()
        resume.load_dict(self._state, self.network, state)

    def save(self, path: str | os.PathLike) -> None:
        """Write a checkpoint: the network, loss, optimizer, metrics, history, and all that `state_dict` holds.

        The file is written whole or not at all, and `Network.load` reads its network alone.

        Parameters
        ----------
        path : str or path-like
            Where to write; an existing file is replaced.

        Raises
        ------
        ValueError
            If a parameter or a moment is NaN or infinite; nothing is written then.
        OSError
            If the file cannot be written; an existing file stays as it was.

        See Also
        --------
        Trainer.load

        Examples
        --------
        >>> import numpy as np, fastnn, pathlib, tempfile
        >>> X = np.linspace(-1, 1, 64)[:, None]
        >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse")
        >>> history = trainer.fit(X, X**2, epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "checkpoint.safetensors")
        ...     trainer.save(path)
        ...     later = fastnn.Trainer.load(path)
        >>> later.fit(X, X**2, epochs=2).epoch
        [0, 1, 2, 3]
        """
        save_trainer(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, parts: Iterable[Any] = ()) -> Self:
        """Return the trainer that a file holds; its next fit goes on where it was saved, bit for bit.

        Parameters
        ----------
        path : str or path-like
            A file written by `save`.
        parts : iterable of parts, default ()
            Activations, losses and optimizers of your own that the file names; see `Network.load`.

        Returns
        -------
        Trainer
            With a network of its own, `trainer.network`.

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind, or of a later version of fastnn.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Trainer.load("missing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
        """
        with parts_at_hand(parts):
            return load_trainer(cls, path)

    # --- pickles ----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in self.__dict__.items() if name not in ("_task", "_state", "_is_busy")}
        return {**own, "_plain": plain_trainer(self._task, self._state)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "_plain" in state:
            state["_task"], state["_state"] = trainer_from_plain(state.pop("_plain"))
        elif "_task" not in state:
            state = state_of_0_1(state)
        self.__dict__.update(state, _is_busy=threading.Lock())
