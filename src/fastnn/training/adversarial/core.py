"""What a GAN is between two fits: attributes over two networks and their training states, and how they are kept."""

import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from fastnn.common.own_parts import parts_at_hand
from fastnn.metrics import Metric
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training import resume
from fastnn.training.adversarial.task import GanTask
from fastnn.training.core import Trained
from fastnn.training.files import load_gan, save_gan
from fastnn.training.state import TrainingState

_NEW = "make a new GAN, of the same networks if need be"


class GanCore(Trained):
    """Base of `GAN`: everything but fit and the making of samples."""

    _task: GanTask
    _maker: TrainingState  # with the history, the seed and the callbacks of both
    _judge: TrainingState
    _name = "GAN"

    _refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("generator", "discriminator", "network", "loss", "noise", "discriminator_steps", "label_smoothing",
             "gradient_penalty", "n_noise", "n_conditions", "generator_optimizer", "discriminator_optimizer",
             "optimizer"), _NEW,
        ),
        "metrics": "a GAN has none; a callback may add numbers to the logs",
        "step": "the optimizer counts its updates; load_state_dict sets it together with what depends on it",
        "epochs_done": "it counts the epochs of all fits",
        "log_names": "they follow from the loss",
        "is_training": "fit sets it; call stop to end training",
    }  # fmt: skip

    @property
    def generator(self) -> Network:
        return self._task.generator

    @property
    def discriminator(self) -> Network:
        return self._task.discriminator

    @property
    def network(self) -> Network:
        """The generator, by the name under which callbacks look for what is trained."""
        return self._task.generator

    @property
    def loss(self) -> str:
        return self._task.loss

    @property
    def noise(self) -> str:
        return self._task.noise

    @property
    def discriminator_steps(self) -> int:
        return self._task.discriminator_steps

    @property
    def label_smoothing(self) -> float:
        return self._task.label_smoothing

    @property
    def gradient_penalty(self) -> float:
        return self._task.gradient_penalty

    @property
    def n_noise(self) -> int:
        return self._task.n_noise

    @property
    def n_conditions(self) -> int:
        return self._task.n_conditions

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """None: callbacks ask for them."""
        return ()

    @property
    def generator_optimizer(self) -> Optimizer:
        return self._maker.optimizer

    @property
    def discriminator_optimizer(self) -> Optimizer:
        return self._judge.optimizer

    @property
    def optimizer(self) -> Optimizer:
        """The generator's."""
        return self._maker.optimizer

    @property
    def learning_rate(self) -> float:
        return self._maker.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | None) -> None:
        if value is None:
            self._maker.assign_rate(None)
            self._judge.assign_rate(None)
            return
        before, its_before = self._maker.learning_rate, self._judge.learning_rate
        self._maker.assign_rate(value)
        self._judge.assign_rate(its_before * (value / before) if before else value)

    @property
    def seed(self) -> int:
        return self._maker.seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._maker.seed = value

    @property
    def log_names(self) -> tuple[str, ...]:
        return self._task.log_names

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End training: after the current epoch, or within it where a hook within it says so.

        Parameters
        ----------
        reason : str, default "stopped by a callback"
            Kept as ``history.stop_reason``.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1))
        >>> stop = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: gan.stop("enough"))
        >>> gan.fit(np.eye(2), epochs=9, callbacks=[stop]).stop_reason
        'enough'
        """
        self._maker.stop(reason)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None, verbose: int = 0) -> dict[str, float]:
        """Refuse: a GAN has no loss on data that it was not trained on.

        Raises
        ------
        TypeError
            Always; the message says what to do instead.
        """
        raise TypeError(
            "a GAN cannot be evaluated by its losses, which say how well the two networks match each other: compare "
            "gan.generate(n) with real samples, as examples/gan_digits.py does"
        )

    @property
    def _state(self) -> TrainingState:
        return self._maker

    def _alone(self) -> AbstractContextManager[None]:
        locks = (network.training_lock for network in (self.generator, self.discriminator))
        return self._alone_with("one of these networks", *locks)

    # --- training that is cut in two --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that training has to remember beside the parameters of both networks: arrays and JSON types.

        Returns
        -------
        dict
            "generator" and "discriminator", each as `Trainer.state_dict` has it; copies.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1))
        >>> history = gan.fit(np.eye(2), epochs=2)
        >>> other = fastnn.GAN(gan.generator, gan.discriminator)
        >>> other.load_state_dict(gan.state_dict())
        >>> other.fit(np.eye(2), epochs=2).epoch
        [0, 1, 2, 3]
        """
        return {"generator": resume.as_dict(self._maker), "discriminator": resume.as_dict(self._judge)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; the next call of fit goes on from there.

        Parameters
        ----------
        state : dict
            From a GAN with the same architectures and optimizers.

        Raises
        ------
        ValueError, TypeError
            If it does not belong to such a GAN; nothing is changed then.
        """
        self._check_may_load()
        if not isinstance(state, dict) or not {"generator", "discriminator"} <= state.keys():
            raise ValueError("state must be a dict as GAN.state_dict returns it, with 'generator' and 'discriminator'")
        before = resume.as_dict(self._maker)
        resume.load_dict(self._maker, self.generator, state["generator"])
        try:
            resume.load_dict(self._judge, self.discriminator, state["discriminator"])
        except BaseException:
            resume.load_dict(self._maker, self.generator, before)
            raise

    def save(self, path: str | os.PathLike) -> None:
        """Write both networks, their optimizers, the history and all that `state_dict` holds to one file.

        The file is written whole or not at all, and holds no code. `Network.load` reads the generator alone.

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

        Examples
        --------
        >>> import numpy as np, fastnn, pathlib, tempfile
        >>> gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1))
        >>> history = gan.fit(np.eye(2), epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "gan.safetensors")
        ...     gan.save(path)
        ...     later = fastnn.GAN.load(path)
        >>> later.fit(np.eye(2), epochs=2).epoch
        [0, 1, 2, 3]
        """
        save_gan(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, parts: Iterable[Any] = ()) -> Self:
        """Return the GAN that a file holds; its next fit goes on where it was saved, bit for bit.

        Parameters
        ----------
        path : str or path-like
            A file written by `save`.
        parts : iterable of parts, default ()
            Activations and optimizers of your own that the file names; see `Network.load`.

        Returns
        -------
        GAN

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind, or of a later version of fastnn.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.GAN.load("missing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
        """
        with parts_at_hand(parts):
            return load_gan(cls, path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_is_busy"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _is_busy=threading.Lock())
