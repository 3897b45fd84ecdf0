"""The arguments of `Trainer.fit`, checked before anything is changed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastnn.callbacks import Callback
from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.inputs.data import Data, check_batches, check_data, check_validation_data
from fastnn.inputs.splits import apply_class_weights, class_numbers, class_weights
from fastnn.losses import LossFunction

if TYPE_CHECKING:
    from fastnn.model.network import Network


@dataclass(frozen=True)
class FitOptions:
    """Checked arguments of `fit` that are no data."""

    epochs: int
    batch_size: int | None
    shuffle: bool
    n_threads: int | None
    verbose: int
    seed: int | None
    n_validation: int = 0  # rows to split off


def check_callbacks(callbacks: "Callback | Iterable[Callback]") -> list[Callback]:
    """Return the argument `callbacks` of `fit` as a list, or raise TypeError."""
    checked = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    for i, callback in enumerate(checked):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{i}] must be a fastnn.callbacks.Callback, got {callback!r}")
    return checked


OPTIONS = ("epochs", "batch_size", "shuffle", "verbose", "n_threads", "seed")  # those that need no data to be checked


def check_options(
    epochs: Any, batch_size: Any, shuffle: Any, verbose: Any, n_threads: Any, seed: Any
) -> FitOptions:  # fmt: skip
    """Return the arguments of `fit` that need no data to be checked."""
    return FitOptions(
        epochs=check_integer("epochs", epochs, 1),
        batch_size=None if batch_size is None else check_integer("batch_size", batch_size, 1),
        shuffle=check_bool("shuffle", shuffle),
        n_threads=None if n_threads is None else check_integer("n_threads", n_threads, 1),
        verbose=check_integer("verbose", verbose, 0, 2),
        seed=None if seed is None else check_integer("seed", seed, 0, 2**63 - 1),
    )


def check_fit(
    network: "Network", loss: LossFunction, X: Any, y: Any, *, epochs: Any, batch_size: Any, validation_data: Any,
    validation_split: Any, sample_weight: Any, class_weight: Any, shuffle: Any, verbose: Any, n_threads: Any, seed: Any,
) -> tuple[Data, Data | None, FitOptions]:  # fmt: skip
    """Return data to train on, before any split; data to validate on, if given; and options."""
    split = check_real("validation_split", validation_split, 0.0, 1.0, closed="left")
    options = check_options(epochs, batch_size, shuffle, verbose, n_threads, seed)
    data = check_data(network, loss, X, y, sample_weight)
    validation = check_validation_data(network, loss, validation_data, split)
    n_validation = math.ceil(data.n_rows * split)
    if n_validation >= data.n_rows:
        raise ValueError(f"validation_split={validation_split} leaves no sample of {data.n_rows} to train on")
    check_batches(network.plan, data.n_rows - n_validation, options.batch_size)
    if class_weight is not None:
        classes = class_numbers(data.y, loss)
        weight_of = class_weights(class_weight, classes, network.n_outputs)
        data.weights = apply_class_weights(weight_of, classes, data.weights)
        if validation is not None:
            classes = class_numbers(validation.y, loss)
            validation.weights = apply_class_weights(weight_of, classes, validation.weights)
    return data, validation, replace(options, n_validation=n_validation)
