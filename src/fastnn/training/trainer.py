"""The trainer: what a user calls to fit a network and to evaluate it. The epoch loop itself is in `loop`."""

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar, Never

import numpy as np

from fastnn import optimizers
from fastnn.callbacks import Callback
from fastnn.callbacks.curves import progress_display
from fastnn.callbacks.progress import format_logs
from fastnn.common.interrupts import InterruptGate
from fastnn.common.validation import check_integer
from fastnn.common.words import check_keywords
from fastnn.engine.team import Team
from fastnn.engine.workspace import threads_to_infer, threads_to_train
from fastnn.inputs.data import check_data
from fastnn.inputs.splits import class_numbers, split_off
from fastnn.losses import LossFunction
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training.arguments import CheckedFit, FitOptions, check_callbacks, check_fit, check_stateful
from fastnn.training.core import TrainerCore
from fastnn.training.evaluation import Evaluation, Task
from fastnn.training.history import History
from fastnn.training.loop import TrainingLoop
from fastnn.training.state import TrainingState
from fastnn.training.stream import check_fit_stream


class Trainer(TrainerCore):
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
    network : Network
    loss, metrics, mixup
        May be assigned between two fits, as the arguments may be given.
    optimizer : Optimizer
        Assigning one (or a name) between two fits begins with it: with moments of zero, its own learning rate, and
        step 0.
    history : History
        Curves over all calls of `fit`. Assigning ``History()`` between two fits begins a new one.
    learning_rate : float
        That of the next step. A number that is set stands in for the optimizer's rate or schedule from the next kernel
        call on (after a callback at once, from another thread within about 50 ms) until it is set again; None gives
        the optimizer's own back.
    step, epochs_done : int
        Updates by this optimizer, and epochs since the trainer was made.
    seed : int
        Key of all random numbers of training: fit's seed, else the network's, else a fresh one that stays. May be
        assigned.
    log_names : tuple of str
        What the logs of the current call of fit hold: "loss", the metrics, and with validation "val_loss" and so on.
    moments : ndarray of shape (n_slots * padded n_parameters,)
        The optimizer's running vectors, one after the other.
    stop_training : bool
        Setting it ends training, as `stop` does: after the current epoch, or within it where a hook within it or
        another thread did so.
    is_training : bool
        Whether a fit is running.

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

    _is_strict: ClassVar[bool] = True

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
        self._task = Task.of(network, loss, metrics, mixup)
        self._state = TrainingState(network, optimizers.get(optimizer))
        self._is_busy = threading.Lock()

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        epochs: int = 1,
        batch_size: int | None = 32,
        validation_data: tuple | None = None,
        validation_split: float = 0.0,
        validation_freq: int = 1,
        sample_weight: Any = None,
        class_weight: Any = None,
        shuffle: bool = True,
        callbacks: Iterable[Callback] = (),
        verbose: int = 0,
        n_threads: int | None = None,
        initial_epoch: int | None = None,
        seed: int | None = None,
        lengths: Any = None,
        **others: Never,
    ) -> History:
        """Train for a number of epochs; calling it again goes on where it stopped.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_inputs), or iterable of blocks
            Features. float32, float64 and uint8 arrays of any memory order are read in place, never copied: also a
            `numpy.memmap` that is larger than memory, and one of another dtype is converted some batches at a time.
            Sparse CSR rows of float32 and float64 too. Without y a stream: an iterable of blocks (X, y) or (X, y,
            sample_weight), or a function that returns one (see Notes).
        y : array-like of shape (n,), (n, n_outputs) or (n, time, ...), or None, default None
            Targets, as the loss takes them. Where the outputs have several axes, as at every step of a sequence, the
            loss is taken over the last one, and its mean over the others: y is (n, time) class numbers, or (n, time,
            n_outputs).
        epochs : int, default 1
            Passes over the data, >= 1; 1 for a generator, which gives its blocks once. With `initial_epoch` the number
            of the epoch to end before.
        batch_size : int or None, default 32
            Samples a step; None is full-batch gradient descent. A last partial batch is trained on.
        validation_data : tuple (X, y), (X, y, sample_weight) or (X, y, sample_weight, lengths), or None, default None
            Evaluated after each epoch. These samples weigh what they say here; class weights do not change that.
        validation_split : float, default 0.0
            Share of the samples that is held back for validation, rounded up; in [0, 1). They are drawn at random from
            the seed (unlike Keras's, which are the last ones), so the same in each call of fit with the same data.
            Where targets are classes, each class gives its share. Nothing is copied.
        validation_freq : int, default 1
            Validation comes after each epoch whose number, counted from 1, is a multiple of this; >= 1.
        sample_weight : array-like of shape (n,) or (n, time), or None, default None
            Weights of the mean over samples, or over their steps.
        class_weight : dict of int to float, "balanced" or None, default None
            A factor for the weights of the samples of each class, in the loss and metrics of training (not of
            validation, as in Keras); classes that the dict does not name have 1. "balanced" is
            n_samples / (n_classes * samples of the class), from y.
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
        initial_epoch : int or None, default None
            The number of the first epoch, counted from 0, as in Keras: ``fit(epochs=10, initial_epoch=7)`` does epochs
            7, 8 and 9. None goes on counting where the last fit ended, and does `epochs` of them.
        seed : int or None, default None
            For shuffling and dropout; None takes the network's seed, or a fresh one if it has none.
        lengths : array-like of shape (n,) or None, default None
            How many steps of each sequence count, from 1 to the Input's; the others only fill it up, and take no part
            in states, loss, metrics or gradient. Nobody has to sort. X (and with outputs at every step y) may also be
            a list of arrays of different lengths, which are padded some batches at a time.

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
        RuntimeError
            If this trainer is training already, in another thread or around the callback that calls this; or if
            another thread trains the same network.

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
        if others:
            check_keywords(Trainer.fit, others)
        self._refuse_second_fit()
        hooks = check_callbacks(callbacks)
        options = FitOptions(
            epochs=epochs, batch_size=batch_size, validation_data=validation_data, validation_split=validation_split,
            validation_freq=validation_freq, sample_weight=sample_weight, class_weight=class_weight, shuffle=shuffle,
            verbose=verbose, n_threads=n_threads, initial_epoch=initial_epoch, seed=seed, lengths=lengths,
        )  # fmt: skip
        return self._run_fit(self._check_fit(X, y, options), hooks)

    def _check_fit(self, X: Any, y: Any, options: FitOptions) -> CheckedFit:
        """Return what `fit` was given, checked. Changes nothing."""
        return check_fit_stream(self._task, X, options) if y is None else check_fit(self._task.data_spec, X, y, options)

    def _run_fit(
        self, checked: CheckedFit, hooks: list[Callback], watch: Callable[[int], bool] | None = None
    ) -> History:
        """Do what `_check_fit` has checked."""
        task, state, options = self._task, self._state, checked.options
        data, validation, blocks = checked.data, checked.validation, checked.blocks
        if task.network.plan.carried_units:
            check_stateful(task.network, task.loss, data.n_rows - checked.n_validation, options)
        with self._alone():
            if options.seed is not None:
                state.seed = options.seed
            if options.initial_epoch is not None:
                state.epochs_done = options.initial_epoch
            if checked.n_validation:
                classes = class_numbers(data.y, task.loss, math.prod(task.data_spec.steps))
                train_rows, validation_rows = split_off(data.n_rows, checked.n_validation, classes, state.seed)
                data, validation = replace(data, rows=train_rows), replace(data, rows=validation_rows)
            if blocks is None:
                data = replace(data, weights=checked.training_weights)
            if options.verbose:
                hooks = [*hooks, progress_display(options.n_epochs, options.verbose)]
            rows_a_step = min(options.batch_size or data.n_rows, data.n_rows)
            n_threads = threads_to_train(task.network.plan, task.network.dtype, rows_a_step, options.n_threads)
            is_wanted = options.n_threads is not None
            with InterruptGate() as gate, Team(n_threads, is_wanted=is_wanted) as team:
                loop = TrainingLoop(task, state, data, validation, options, hooks, team, blocks, watch)
                del data, checked  # a stream's first block is not held to the end
                for hook in hooks:
                    hook.set_trainer(self)
                loop.run(gate)
        return self.history

    def train_on_batch(
        self, X: Any, y: Any, *, sample_weight: Any = None, class_weight: Any = None, lengths: Any = None
    ) -> dict[str, float]:  # fmt: skip
        """Do one step on one batch, which counts as no epoch: for loops of your own.

        Several times slower than `fit`, which does many steps a call; a stream of blocks suits most such loops.

        Parameters
        ----------
        X, y, sample_weight, class_weight, lengths
            As for `fit`. All rows are one batch.

        Returns
        -------
        dict of str to float
            "loss" and each metric, as they were before the step.

        Raises
        ------
        ValueError, TypeError, FloatingPointError, RuntimeError
            As `fit`.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
        >>> logs = trainer.train_on_batch(np.ones((8, 1)), np.ones(8))
        >>> list(logs), trainer.step, trainer.epochs_done
        (['loss'], 1, 0)
        """
        self._refuse_second_fit()
        options = FitOptions(
            batch_size=None, shuffle=False, sample_weight=sample_weight, class_weight=class_weight, lengths=lengths
        )
        checked = check_fit(self._task.data_spec, X, y, options)
        state = self._state
        history, epochs_done, steps_a_call = state.history, state.epochs_done, state.steps_a_call
        state.history = History()
        try:
            columns = self._run_fit(checked, []).history
        finally:
            state.history, state.epochs_done, state.steps_a_call = history, epochs_done, steps_a_call
        return {name: column[-1] for name, column in columns.items()}

    def evaluate(
        self, X: Any, y: Any, *, sample_weight: Any = None, lengths: Any = None, verbose: int = 0,
        batch_size: int | None = None, **others: Never,
    ) -> dict[str, float]:  # fmt: skip
        """Return the loss and the metrics over all rows, dropout off.

        Parameters
        ----------
        X : array-like of shape (n, n_inputs)
            Features.
        y : array-like of shape (n,) or (n, n_outputs)
            Targets, as the loss takes them.
        sample_weight : array-like of shape (n,) or None, default None
            Weights of the means.
        lengths : array-like of shape (n,) or None, default None
            How many steps of each sequence count, as for `fit`.
        verbose : int, default 0
            1 and 2 print what is returned, 0 is silent.
        batch_size : int or None, default None
            As for `Network.predict`: it changes nothing.

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
        if others:
            check_keywords(Trainer.evaluate, others)
        verbose = check_integer("verbose", verbose, 0, 2)
        if batch_size is not None:
            check_integer("batch_size", batch_size, 1)
        data = check_data(self._task.data_spec, X, y, sample_weight, lengths=lengths)
        n_threads = threads_to_infer(self.network.plan, self.network.dtype, data.n_rows)
        with InterruptGate() as gate, Team(n_threads) as team:
            try:
                gate.open()
                logs = Evaluation(self._task, data, team).run()
            finally:
                gate.is_closed = True
        if verbose:
            print(format_logs(logs), flush=True)
        return logs

    def predict(
        self, X: Any, out: np.ndarray | None = None, *, lengths: Any = None, verbose: int = 0,
        batch_size: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the network's outputs: the same as ``trainer.network.predict(X, out)``.

        Parameters
        ----------
        X, out, lengths, verbose, batch_size
            As for `Network.predict`.

        Returns
        -------
        ndarray of shape (n, n_outputs)

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
        >>> trainer.predict(np.ones((3, 1))).shape
        (3, 1)
        """
        return self.network.predict(X, out, lengths=lengths, verbose=verbose, batch_size=batch_size)
