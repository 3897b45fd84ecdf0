"""The trainer: the epoch loop around one kernel call. It does no arithmetic on parameters."""

import secrets
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import losses, optimizers
from fastnn import metrics as metric_functions
from fastnn.callbacks import Callback
from fastnn.engine import Rows, Workspace, aligned_zeros
from fastnn.history import History
from fastnn.kernels import tables
from fastnn.kernels.random import shuffle as fill_permutation
from fastnn.losses import LossFunction
from fastnn.network import Network
from fastnn.optimizers import Optimizer
from fastnn.progress import ProgressBar
from fastnn.targets import as_targets, finite_rows
from fastnn.validation import (
    as_features,
    as_sample_weight,
    check_bool,
    check_integer,
    check_not_empty,
    check_real,
)

# A kernel call ends after about this long, so that Ctrl-C, progress bars and time limits work on any data size.
CALL_SECONDS = 0.05
_EVALUATION_ROWS = 128


@dataclass
class _Data:
    """Checked features, targets and weights, where they lie, and which of their rows are meant (None: all)."""

    x: Rows
    y: Rows
    weights: np.ndarray
    rows: np.ndarray | None = None
    workspace: Workspace | None = None

    @property
    def n_rows(self) -> int:
        return self.x.n_rows if self.rows is None else self.rows.size


@dataclass(frozen=True)
class _Options:
    """Checked arguments of `fit`."""

    epochs: int
    batch_size: int | None
    shuffle: bool
    n_threads: int | None
    verbose: int


class Trainer:
    """Fits a network to data.

    Parameters
    ----------
    network : Network
        What is trained, in place.
    loss : str or LossFunction
        A name from `fastnn.losses.NAMES` ("binary_crossentropy" is "log_loss"), or an object.
    optimizer : str or Optimizer, default "adam"
        A name, or an object with hyperparameters.
    metrics : sequence of str, default ()
        Names from `fastnn.metrics.NAMES`, kept beside the loss.

    Attributes
    ----------
    history : History
        Curves over all calls of `fit`.
    stop_training : bool
        A callback sets it to end training after the current epoch.

    Raises
    ------
    ValueError, TypeError
        If a name is unknown or a type is wrong.

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
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: "str | LossFunction",
        optimizer: "str | Optimizer" = "adam",
        metrics: Sequence[str] = (),
    ):
        if not isinstance(network, Network):
            raise TypeError(f"network must be a fastnn.Network, got {network!r}")
        self.network = network
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        self.metrics = metric_functions.check_metrics(metrics)
        self.history = History()
        self.stop_training = False
        self.learning_rate = self.optimizer.learning_rate
        self.step = 0
        self.epochs_done = 0
        self._seed: int | None = None
        self._steps_a_call = 1
        n_moments = self.optimizer.slots * network.parameter_buffer.size
        self._moments = aligned_zeros(n_moments, network.dtype)

    # --- fit --------------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
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
        X : array-like of shape (n, n_inputs)
            Features. float32, float64 and uint8 arrays of any memory order are read in place, never copied.
        y : array-like of shape (n,) or (n, n_outputs)
            Targets, as the loss takes them.
        epochs : int, default 1
            Passes over the data, >= 1.
        batch_size : int or None, default 32
            Samples a step; None is full-batch gradient descent. A last partial batch is trained on.
        validation_data : tuple (X, y) or (X, y, sample_weight), or None, default None
            Evaluated after each epoch.
        validation_split : float, default 0.0
            Share of the samples, from the end, that is held back for validation; in [0, 1).
        sample_weight : array-like of shape (n,) or None, default None
            Weights of the mean over samples.
        class_weight : dict of int to float or None, default None
            A factor for the samples of each class.
        shuffle : bool, default True
            Whether each epoch has its own order.
        callbacks : iterable of Callback, default ()
            Hooks, called in order.
        verbose : int, default 0
            1 shows progress.
        n_threads : int or None, default None
            Threads to train with.
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

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> X = np.linspace(-1, 1, 64).reshape(-1, 1)
        >>> network = fastnn.Network.mlp(1, [16], 1, activation="tanh", seed=0)
        >>> history = fastnn.Trainer(network, loss="mse").fit(X, X**2, epochs=3)
        >>> len(history.history["loss"])
        3
        """
        options = _Options(
            epochs=check_integer("epochs", epochs, 1),
            batch_size=None if batch_size is None else check_integer("batch_size", batch_size, 1),
            shuffle=check_bool("shuffle", shuffle),
            n_threads=None if n_threads is None else check_integer("n_threads", n_threads, 1),
            verbose=check_integer("verbose", verbose, 0, 2),
        )
        split = check_real("validation_split", validation_split, 0.0, 1.0, closed="left")
        hooks = _check_callbacks(callbacks)
        data = self._check_data(("X", "y", "sample_weight"), X, y, sample_weight)
        data.weights = apply_class_weight(class_weight, data.y, data.weights)
        validation = self._check_validation(validation_data, split)
        train_rows, validation_rows = self._split_rows(data, split)
        if seed is not None:
            self._seed = check_integer("seed", seed, 0, 2**63 - 1)
        elif self._seed is None:
            self._seed = secrets.randbits(63) if self.network.seed is None else self.network.seed
        if validation is None and validation_rows is not None:
            validation = _Data(data.x, data.y, data.weights, validation_rows)
        data.rows = train_rows
        if options.verbose:
            hooks.append(ProgressBar(options.epochs))
        self._run(data, validation, options, hooks)
        return self.history

    def _run(self, data: "_Data", validation: "_Data | None", options: "_Options", hooks: list[Callback]) -> None:
        n_rows = data.n_rows
        batch_size = n_rows if options.batch_size is None else min(options.batch_size, n_rows)
        workspace = self._make_workspace(data, batch_size)
        order = np.arange(n_rows) if data.rows is None else data.rows.copy()
        last_good = self.network.parameter_buffer.copy()
        self.stop_training = False
        self.history.stop_reason = None
        for hook in hooks:
            hook.set_trainer(self)
        for hook in hooks:
            hook.on_train_begin()
        try:
            for epoch in range(self.epochs_done, self.epochs_done + options.epochs):
                started = time.perf_counter()
                for hook in hooks:
                    hook.on_epoch_begin(epoch)
                if options.shuffle:
                    self._shuffle(order, data.rows, epoch)
                self._run_epoch(workspace, order, data.weights, epoch, last_good)
                logs = self._logs(workspace.totals(), data, "")
                if validation is not None:
                    logs.update(self._evaluate(validation, "val_"))
                np.copyto(last_good, self.network.parameter_buffer)
                self.epochs_done = epoch + 1
                self.history.append(epoch, logs, time.perf_counter() - started)
                for hook in hooks:
                    hook.on_epoch_end(epoch, logs)
                if self.stop_training:
                    self.history.stop_reason = self.history.stop_reason or "stopped by a callback"
                    break
        except KeyboardInterrupt:
            self.history.stop_reason = "interrupted"
            warnings.warn("Training was interrupted; the network keeps the parameters of its last step.", stacklevel=3)
        finally:
            for hook in hooks:
                hook.on_train_end()

    def _run_epoch(
        self, workspace: Workspace, order: np.ndarray, weights: np.ndarray, epoch: int, last_good: np.ndarray
    ) -> None:
        """Run all batches of one epoch, in kernel calls of about CALL_SECONDS."""
        workspace.sums[:] = 0.0
        workspace.set(position=0, failed=0, step=self.step, learning_rate=self.learning_rate)
        job = workspace.jobs[0]
        n_steps = self._steps_a_call
        parameters = self.network.parameter_buffer
        while True:
            started = time.perf_counter()
            workspace.run(n_steps, parameters, self._moments, order, weights)
            seconds = time.perf_counter() - started
            steps_done = int(job["step"]) - self.step
            self.step += steps_done
            if job["failed"]:
                np.copyto(parameters, last_good)
                raise FloatingPointError(
                    f"the loss stopped being finite in epoch {epoch}, step {self.step}; the network keeps the parameters "
                    "of the last finished epoch. A smaller learning_rate or scaled features usually help."
                )
            if steps_done:
                # At most doubled: the first calls are short, and a machine may become slower.
                n_steps = max(1, min(2 * n_steps, int(steps_done * CALL_SECONDS / max(seconds, 1e-9))))
                self._steps_a_call = n_steps
            if job["position"] >= job["n_rows"]:
                return

    def _shuffle(self, order: np.ndarray, rows: np.ndarray | None, epoch: int) -> None:
        fill_permutation(order, np.uint64(self._seed), epoch)
        if rows is not None:
            order[:] = rows[order]

    def _make_workspace(self, data: "_Data", batch_size: int) -> Workspace:
        workspace = Workspace(self.network.plan, self.network.dtype, n_rows=batch_size)
        workspace.set_data(data.x, data.y)
        hyperparameters = np.zeros(tables.N_HYPERPARAMETERS)
        values = self.optimizer.hyperparameters
        hyperparameters[: len(values)] = values
        workspace.set(
            mode=tables.Mode.TRAIN, n_rows=data.n_rows, batch_size=batch_size, seed=self._seed,
            loss=self.loss.code_with(self.network.plan.output_activation), loss_value=self.loss.value,
            label_smoothing=self.loss.label_smoothing, optimizer=self.optimizer.code, wants_metrics=bool(self.metrics),
        )  # fmt: skip
        workspace.jobs["hyperparameters"] = hyperparameters
        return workspace

    # --- evaluate ---------------------------------------------------------------------------------------------------

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
        return self._evaluate(self._check_data(("X", "y", "sample_weight"), X, y, sample_weight), "")

    def _evaluate(self, data: "_Data", prefix: str) -> dict[str, float]:
        if data.workspace is None:
            data.workspace = Workspace(
                self.network.plan, self.network.dtype, n_rows=_EVALUATION_ROWS, with_gradient=False
            )
            data.workspace.set_data(data.x, data.y)
            data.workspace.set(
                mode=tables.Mode.EVALUATE, n_rows=data.n_rows, batch_size=_EVALUATION_ROWS,
                loss=self.loss.code_with(self.network.plan.output_activation), loss_value=self.loss.value,
                wants_metrics=bool(self.metrics),
            )  # fmt: skip
        workspace = data.workspace
        workspace.sums[:] = 0.0
        workspace.set(position=0)
        job = workspace.jobs[0]
        n_steps = 32
        order = _ALL_ROWS if data.rows is None else data.rows
        while job["position"] < data.n_rows:
            started = time.perf_counter()
            workspace.run(n_steps, self.network.parameter_buffer, self._moments, order, data.weights)
            seconds = time.perf_counter() - started
            n_steps = max(1, min(2 * n_steps, int(n_steps * CALL_SECONDS / max(seconds, 1e-9))))
        return self._logs(workspace.totals(), data, prefix)

    def _logs(self, sums: np.ndarray, data: "_Data", prefix: str) -> dict[str, float]:
        means = sums / max(sums[tables.Sum.WEIGHT], 1e-300)
        logs = {prefix + "loss": float(means[tables.Sum.LOSS])}
        outputs = None
        for name in self.metrics:
            if name in metric_functions.FROM_SUMS:
                logs[prefix + name] = float(metric_functions.FROM_SUMS[name](means))
            else:
                if outputs is None:
                    outputs = self._outputs(data)
                logs[prefix + name] = float(metric_functions.FROM_PREDICTIONS[name](*outputs))
        return logs

    def _outputs(self, data: "_Data") -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return targets, predictions and weights of all rows, for metrics that need them at once."""
        chosen = slice(None) if data.rows is None else data.rows
        y = data.y.array[chosen]
        weights = data.weights[chosen] if data.weights.size else None
        return y, self.network.predict(data.x.array[chosen]), weights

    # --- checks -----------------------------------------------------------------------------------------------------

    def _check_data(self, names: tuple[str, str, str], X: Any, y: Any, sample_weight: Any) -> "_Data":
        network = self.network
        array = as_features(names[0], X, network.n_inputs, network.dtype)
        check_not_empty(names[0], array)
        targets = as_targets(names[1], y, array.shape[0], network.n_outputs, self.loss, network.dtype)
        weights = as_sample_weight(sample_weight, array.shape[0])
        return _Data(finite_rows(names[0], array), targets, weights)

    def _check_validation(self, validation_data: tuple | None, split: float) -> "_Data | None":
        if validation_data is None:
            return None
        if split:
            raise ValueError(f"validation_split must be 0 when validation_data is given, got {split}")
        if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
            raise TypeError("validation_data must be a tuple (X, y) or (X, y, sample_weight)")
        X, y, *rest = validation_data
        names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
        return self._check_data(names, X, y, rest[0] if rest else None)

    def _split_rows(self, data: "_Data", split: float) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the row numbers to train on and to validate on; (None, None) without a split."""
        if not split:
            return None, None
        n_validation = int(np.ceil(data.n_rows * split))
        if n_validation >= data.n_rows:
            raise ValueError(f"validation_split={split} leaves no sample of {data.n_rows} to train on")
        rows = np.arange(data.n_rows)
        return rows[:-n_validation], rows[-n_validation:]


_ALL_ROWS = np.empty(0, np.int64)


def _check_callbacks(callbacks: Iterable[Callback]) -> list[Callback]:
    if isinstance(callbacks, Callback):
        callbacks = [callbacks]
    checked = list(callbacks)
    for i, callback in enumerate(checked):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{i}] must be a fastnn.callbacks.Callback, got {callback!r}")
    return checked


def apply_class_weight(class_weight: Any, y: Rows, weights: np.ndarray) -> np.ndarray:
    """Return sample weights multiplied by the weight of each sample's class."""
    if class_weight is None:
        return weights
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight must be a dict of class number to weight, got {class_weight!r}")
    target = y.array
    if target.ndim == 2:
        target = target.argmax(axis=1) if target.shape[1] > 1 else (target[:, 0] > 0.5).astype(np.int64)
    factors = np.ones(target.shape[0])
    for label, weight in class_weight.items():
        number = check_integer("a key of class_weight", label, 0)
        factors[target == number] = check_real(f"class_weight[{label}]", weight, 0.0)
    return factors * weights if weights.size else factors
