"""The arguments of `Trainer.fit`, checked before anything is changed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.inputs.data import Data, DataSpec, check_batches, check_data, check_validation_data
from fastnn.inputs.splits import apply_class_weights, class_numbers, class_weights
from fastnn.losses import LossFunction, PythonLoss
from fastnn.model.core import NetworkCore

_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class FitOptions:
    """All that `fit` may be told beside X, y and callbacks: one record, from `Trainer.fit` down.

    `Trainer.fit` documents the fields. Those that need no data are checked when the record is made; the others are as
    they were given until `check_fit` has seen the data.
    """

    epochs: int = 1
    batch_size: int | None = 32
    validation_data: Any = None
    validation_split: float = 0.0
    validation_freq: int = 1
    sample_weight: Any = None
    class_weight: Any = None
    shuffle: bool = True
    verbose: int = 0
    n_threads: int | None = None
    initial_epoch: int | None = None
    seed: int | None = None
    lengths: Any = None

    def __post_init__(self):
        def check(name: str, low: int, high: int | None = None) -> None:
            value = getattr(self, name)
            if value is not None or name not in ("batch_size", "n_threads", "initial_epoch", "seed"):
                object.__setattr__(self, name, check_integer(name, value, low, high))

        split = check_real("validation_split", self.validation_split, 0.0, 1.0, closed="left")
        object.__setattr__(self, "validation_split", split)
        check("epochs", 1)
        check("batch_size", 1)
        object.__setattr__(self, "shuffle", check_bool("shuffle", self.shuffle))
        check("n_threads", 1)
        check("verbose", 0, 2)
        check("seed", 0, _LARGEST_SEED)
        check("validation_freq", 1)
        check("initial_epoch", 0)
        if self.initial_epoch is not None and self.initial_epoch >= self.epochs:
            raise ValueError(
                f"initial_epoch must be less than epochs ({self.epochs}), the number of the epoch to end before, "
                f"got {self.initial_epoch}"
            )

    @property
    def n_epochs(self) -> int:
        """How many epochs are to be done."""
        return self.epochs - (self.initial_epoch or 0)


@dataclass(frozen=True)
class CheckedFit:
    """What one call of `fit` has to do.

    Attributes
    ----------
    data : Data
        What is given to train on, before any split, without class weights; of a stream, its first block.
    validation : Data or None
        What is given to validate on.
    options : FitOptions
    n_validation : int
        How many rows of `data` are to be held back for validation.
    training_weights : ndarray of shape (n,)
        Sample weights times class weights, for training alone; empty where all are 1.
    blocks : iterable of Data or None
        A stream's blocks; None where `data` is all.
    """

    data: Data
    validation: Data | None
    options: FitOptions
    n_validation: int
    training_weights: np.ndarray
    blocks: Iterable[Data] | None = None


def check_callbacks(callbacks: "Callback | Iterable[Callback]") -> list[Callback]:
    """Return the argument `callbacks` of `fit` as a list, or raise TypeError."""
    checked = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    for i, callback in enumerate(checked):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{i}] must be a fastnn.callbacks.Callback, got {callback!r}")
    return checked


def check_stateful(network: NetworkCore, loss: LossFunction, n_rows: int, options: FitOptions) -> None:
    """Raise ValueError where layers that carry states from batch to batch would carry them to other sequences."""
    size = n_rows if options.batch_size is None else min(options.batch_size, n_rows)
    what = "with stateful layers, sample i of a batch goes on where sample i of the batch before ended"
    if options.shuffle:
        raise ValueError(f"shuffle must be False: {what}")
    if options.validation_split:
        raise ValueError(f"validation_split must be 0, got {options.validation_split}: {what}; take validation_data")
    if n_rows % size:
        raise ValueError(f"batch_size must divide the number of samples ({n_rows}), got {size}: {what}")
    if isinstance(loss, PythonLoss):
        raise ValueError("loss must not be a function of yours with stateful layers; take fastnn.losses.Compiled")
    network.carried_for(size)


def check_fit(spec: DataSpec, X: Any, y: Any, options: FitOptions) -> CheckedFit:
    """Return what `fit` was given, checked."""
    split = options.validation_split
    data = check_data(spec, X, y, options.sample_weight, lengths=options.lengths)
    validation = check_validation_data(spec, options.validation_data, split)
    n_validation = math.ceil(data.n_rows * split)
    if n_validation >= data.n_rows:
        raise ValueError(f"validation_split={split} leaves no sample of {data.n_rows} to train on")
    check_batches(spec, data.n_rows - n_validation, options.batch_size)
    weights = data.weights
    if options.class_weight is not None:
        classes = class_numbers(data.y, spec.loss, math.prod(spec.steps))
        weights = apply_class_weights(class_weights(options.class_weight, classes, spec.n_outputs), classes, weights)
    return CheckedFit(data, validation, options, n_validation, weights)
