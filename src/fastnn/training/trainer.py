"""The trainer: what a user calls to fit a network and to evaluate it. The epoch loop itself is in `loop`."""

import os
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn import metrics as metric_functions
from fastnn.callbacks import Callback
from fastnn.callbacks.progress import ProgressBar
from fastnn.common.validation import check_integer, check_real
from fastnn.engine.team import Team
from fastnn.engine.workspace import aligned_zeros, threads_to_infer, threads_to_train
from fastnn.files.persistence import load_trainer, save_trainer
from fastnn.inputs.data import Data, check_data
from fastnn.inputs.splits import class_numbers, split_off
from fastnn.losses import LossFunction
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.schedules import Constant, Schedule
from fastnn.training.arguments import FitOptions, check_callbacks, check_fit
from fastnn.training.evaluation import Evaluation
from fastnn.training.history import History
from fastnn.training.loop import TrainingLoop
from fastnn.training.state import CallbackStates, get_state, set_state
from fastnn.training.stream import check_fit_stream


class Trainer:
    """Fits a network to data.

    Parameters
    ----------
    network : Network
        What is trained, in place.
    loss : str, LossFunction or callable
        A name from `fastnn.losses.NAMES` ("binary_crossentropy" is "log_loss"), an object, or a function of yours
        (y, predictions) -> (values, gradient), which is slower: see `fastnn.losses.PythonLoss`.
    optimizer : str or Optimizer, default "adam"
        A name, or an object with hyperparameters.
    metrics : sequence of str, Metric or callable, default ()
        Numbers beside the loss: names from `fastnn.metrics.NAMES`, objects such as `fastnn.metrics.TopKAccuracy`, or
        functions of yours, ``f(y, predictions)`` or ``f(y, predictions, sample_weight=...)``, that get NumPy arrays
        (class numbers as (n,) int64, other targets as (n, n_outputs)) and return a number under their own name.
        accuracy, mse, rmse and mae of the training data are running means over the epoch's batches, as in Keras; the
        others are taken over all rows when the epoch is over. All are weighted like the loss.
    mixup : float, default 0.0
        For classification: alpha of mixup [1]_, in which every sample and its one-hot target are blended with another
        of the batch, (1 - w) parts of it, with w drawn from Beta(alpha, alpha) once a batch; 0.2 to 0.4 are usual. The
        partner is one of the 32 next to it. Loss and metrics of training are then those of blended samples; each
        sample keeps its own weight.

    Attributes
    ----------
    history : History
        Curves over all calls of `fit`.
    learning_rate : float
        That of the next step. A number that is set stands in for the optimizer's rate or schedule from the next kernel
        call on (after a callback at once, from another thread within about 50 ms) until it is set again; None gives
        the optimizer's own back.
    step, epochs_done : int
        Updates and epochs since the trainer was made.
    log_names : tuple of str
        What the logs of the current call of fit hold: "loss", the metrics, and with validation "val_loss" and so on.
    moments : ndarray of shape (n_slots * padded n_parameters,)
        The optimizer's running vectors, one after the other.
    stop_training : bool
        Setting it ends training, as `stop` does: after the current epoch, or within it where a hook within it or
        another thread did so.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown or a type is wrong.

    References
    ----------
    .. [1] H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> y = np.array([0, 1, 1, 0])
    >>> network = fastnn.Network.mlp(2, [8], 1, activation="tanh", output="sigmoid", seed=0)
    >>> trainer = fastnn.Trainer(network, loss="log_loss", optimizer=fastnn.Adam(0.05), metrics=["accuracy"])
    >>> history = trainer.fit(X, y, epochs=200, batch_size=None)
    >>> trainer.evaluate(X, y)["accuracy"]
    1.0
    >>> blended = fastnn.Trainer(network, loss="log_loss", mixup=0.2).fit(X, y, batch_size=None)
    >>> trainer.learning_rate = 0.001  # in place of Adam's 0.05 from the next step on; None gives that back
    >>> trainer.learning_rate
    0.001
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: "str | LossFunction",
        optimizer: "str | Optimizer" = "adam",
        metrics: Any = (),
        mixup: float = 0.0,
    ):
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastnn.Network, got {network!r}")
        self.network = network
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        self.metrics = metric_functions.check_metrics(metrics)
        is_multilabel = self.loss.name == "log_loss" and network.n_outputs > 1
        metric_functions.check_suited(self.metrics, network.n_outputs, is_multilabel)
        self.mixup = check_real("mixup", mixup, 0.0)
        if self.mixup and self.loss.name not in ("categorical_crossentropy", "log_loss"):
            raise ValueError(
                f"mixup must be 0 unless the loss is categorical_crossentropy or log_loss, got {mixup} with "
                f"{self.loss.name}"
            )
        self.history = History()
        self.stop_training = False
        rate = self.optimizer.learning_rate
        self._optimizer_schedule = rate if isinstance(rate, Schedule) else Constant(rate)
        self._set_schedule: Constant | None = None  # a rate that was set
        self.step = 0
        self.holds_average = False
        self.epochs_done = 0
        self.moments = aligned_zeros(self.optimizer.slots * network.plan.parameter_stride, network.dtype)
        self.steps_a_call = 0  # how many fit the time of a kernel call; found while training
        self.log_names: tuple[str, ...] = ()
        self.callback_states = CallbackStates()
        self._seed: int | None = None

    @property
    def learning_rate(self) -> float:
        return self.schedule.rate_at(self.step)

    @learning_rate.setter
    def learning_rate(self, value: float | None) -> None:
        if value is None:
            self._set_schedule = None
        elif type(value) is not float or value != self.rate_that_was_set:  # a callback may set the same each epoch
            self._set_schedule = Constant(value)

    @property
    def rate_that_was_set(self) -> float | None:
        """The number that stands in for the optimizer's rate or schedule; None if none does."""
        return None if self._set_schedule is None else self._set_schedule.learning_rate

    @property
    def schedule(self) -> Schedule:
        """What the learning rate follows: a number that was set, or the optimizer's."""
        return self._set_schedule or self._optimizer_schedule

    @property
    def average(self) -> np.ndarray:
        """With `use_ema` the last slot of the moments; empty without."""
        size = self.network.plan.parameter_stride if self.optimizer.use_ema else 0
        return self.moments[self.moments.size - size :]

    def hold_average(self, wanted: bool) -> None:
        """With `use_ema`, have the network hold the average of its parameters, or the parameters that are trained.

        The other of the two lies in the last slot of the moments meanwhile. `fit` ends with the average in place.
        """
        if not self.optimizer.use_ema or self.step == 0 or wanted == self.holds_average:
            return
        kept = self.average
        held = self.network.parameter_buffer[: kept.size]
        held[:], kept[:] = kept.copy(), held.copy()
        self.holds_average = wanted

    @property
    def seed(self) -> int:
        """Key of all random numbers of training: fit's seed, else the network's, else a fresh one that stays."""
        if self._seed is None:
            self._seed = secrets.randbits(63) if self.network.seed is None else self.network.seed
        return self._seed

    def set_seed(self, seed: int) -> None:
        """Set the key of all random numbers to come."""
        self._seed = check_integer("seed", seed, 0, 2**63 - 1)

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
        self.stop_training = True
        self.history.stop_reason = reason

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        validation_data: tuple | None = None,
        validation_split: float = 0.0,
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        callbacks: Iterable[Callback] = (),
        verbose: int = 0,
        n_threads: int | None = None,
        seed: int | None = None,
    ) -> History:
        """Train for a number of epochs; calling it again goes on where it stopped.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_inputs), or iterable of blocks
            Features. float32, float64 and uint8 arrays of any memory order are read in place, never copied: also a
            `numpy.memmap` that is larger than memory, and one of another dtype is converted some batches at a time.
            Sparse CSR rows of float32 and float64 too. Without y a stream: an iterable of blocks (X, y) or (X, y,
            sample_weight), or a function that returns one (see Notes).
        y : array-like of shape (n,) or (n, n_outputs), or None, default None
            Targets, as the loss takes them.
        epochs : int, default 1
            Passes over the data, >= 1; 1 for a generator, which gives its blocks once.
        batch_size : int or None, default 32
            Samples a step; None is full-batch gradient descent. A last partial batch is trained on.
        validation_data : tuple (X, y) or (X, y, sample_weight), or None, default None
            Evaluated after each epoch.
        validation_split : float, default 0.0
            Share of the samples that is held back for validation, rounded up; in [0, 1). They are drawn at random from
            the seed (unlike Keras's, which are the last ones), so the same in each call of fit with the same data.
            Where targets are classes, each class gives its share. Nothing is copied.
        sample_weight : array-like of shape (n,) or None, default None
            Weights of the mean over samples.
        class_weight : dict of int to float, "balanced" or None, default None
            A factor for the weights of the samples of each class, in training, validation and metrics; classes that
            the dict does not name have 1. "balanced" is n_samples / (n_classes * samples of the class), from y.
        shuffle : bool, default True
            Whether each epoch has its own order. A single batch of all rows keeps theirs, but for mixup.
        callbacks : iterable of Callback, default ()
            Hooks, called in order.
        verbose : int, default 0
            1 shows progress where stdout is a terminal, 2 prints a line for each epoch anywhere, 0 is silent.
        n_threads : int or None, default None
            Threads that share each batch, at most one for every 32 of its samples. None takes one where a step is too
            small for more to pay, else as many as this process has CPUs (its affinity and CPU quota count). The number
            of threads changes results by rounding only; with the same number they are the same bits.
        seed : int or None, default None
            For shuffling and dropout; None takes the network's seed, or a fresh one if it has none.

        Returns
        -------
        History
            `self.history`: all epochs so far.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong; nothing is changed then.
        FloatingPointError
            If the loss stops being finite. The network keeps the parameters of its last good epoch.

        Notes
        -----
        A stream's blocks are trained as they come, each in batches (None: each is one batch) and, with `shuffle`, in an
        order of its own; batches do not reach across blocks. One epoch is one pass over the iterable: steps and
        schedules go on over blocks, and History has an entry for each epoch, its loss and metrics over all rows. Two
        blocks are held at most: the one that is trained, and the next as it comes. A block is checked when it comes:
        where it is wrong the error names it, and the network keeps the steps before it. `validation_split`,
        `sample_weight`, balanced class weights and metrics that take all rows at once need arrays.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
        >>> network = fastnn.Network.mlp(1, [16], 1, activation="tanh", seed=0)
        >>> history = fastnn.Trainer(network, loss="mse").fit(X, X**2, epochs=3)
        >>> len(history.history["loss"])
        3
        """
        hooks = check_callbacks(callbacks)
        options: dict[str, Any] = {
            "epochs": epochs, "batch_size": batch_size, "validation_data": validation_data,
            "validation_split": validation_split, "sample_weight": sample_weight, "class_weight": class_weight,
            "shuffle": shuffle, "verbose": verbose, "n_threads": n_threads, "seed": seed,
        }  # fmt: skip
        if y is not None:
            return self._run_fit(*self._check_fit(X, y, **options), hooks)
        stream, validation, checked = check_fit_stream(self.network, self.loss, self.metrics, X, **options)
        return self._run_fit(stream.take_first(), validation, checked, hooks, stream)

    def _check_fit(self, X: Any, y: Any, **options: Any) -> tuple[Data, Data | None, FitOptions]:
        """Return what `fit` was given, checked: data, data to validate on, options. Changes nothing."""
        return check_fit(self.network, self.loss, X, y, **options)

    def _run_fit(
        self, data: Data, validation: Data | None, options: FitOptions, hooks: list[Callback],
        blocks: Iterable[Data] | None = None, watch: Callable[[int], bool] | None = None,
    ) -> History:  # fmt: skip
        """Do what `_check_fit` has checked."""
        if options.seed is not None:
            self.set_seed(options.seed)
        if options.n_validation:
            classes = class_numbers(data.y, self.loss)
            train_rows, validation_rows = split_off(data.n_rows, options.n_validation, classes, self.seed)
            data, validation = replace(data, rows=train_rows), replace(data, rows=validation_rows)
        if options.verbose:
            hooks = [*hooks, ProgressBar(options.epochs, options.verbose)]
        network = self.network
        rows_a_step = min(options.batch_size or data.n_rows, data.n_rows)
        with Team(threads_to_train(network.plan, network.dtype, rows_a_step, options.n_threads)) as team:
            loop = TrainingLoop(self, data, validation, options, hooks, team, blocks, watch)
            del data  # a stream's first block is not held to the end
            loop.run()
        return self.history

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Return the loss and the metrics over all rows, dropout off.

        Parameters
        ----------
        X : array-like of shape (n, n_inputs)
            Features.
        y : array-like of shape (n,) or (n, n_outputs)
            Targets, as the loss takes them.
        sample_weight : array-like of shape (n,) or None, default None
            Weights of the means.

        Returns
        -------
        dict of str to float
            "loss" and each metric.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", metrics=["mae"])
        >>> sorted(trainer.evaluate(np.zeros((3, 1)), np.zeros(3)))
        ['loss', 'mae']
        """
        data = check_data(self.network, self.loss, X, y, sample_weight)
        with Team(threads_to_infer(self.network.plan, self.network.dtype, data.n_rows)) as team:
            return Evaluation(self.network, self.loss, self.metrics, data, team).run()

    def state_dict(self) -> dict[str, Any]:
        """Return all that training has to remember beside the network's parameters, as arrays and JSON types.

        With the same parameters, data and arguments, training that goes on from it gives the bits that it would have
        given without the cut: the optimizer's moments, the learning rate, the counters that schedules and random
        numbers are functions of, the history, and what callbacks such as `EarlyStopping` know. A callback's
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
        return get_state(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` returned; the next call of fit goes on from there.

        Parameters
        ----------
        state : dict
            From a trainer with the same architecture and optimizer. The callbacks of the next fit get the states of
            those of the same class.

        Raises
        ------
        ValueError, TypeError
            If it does not belong to such a trainer; nothing is changed then.
        """
        set_state(self, state)

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
    def load(cls, path: str | os.PathLike) -> "Trainer":
        """Return the trainer that a file holds; its next fit goes on where it was saved, bit for bit.

        Parameters
        ----------
        path : str or path-like
            A file written by `save`.

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
        return load_trainer(cls, Network, path)
