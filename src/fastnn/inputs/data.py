"""What `fit` and `evaluate` are given, checked once: features, targets and weights where they lie in memory."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fastnn.common.validation import as_features, as_sample_weight, check_not_empty, read_only
from fastnn.engine.plan import Plan
from fastnn.engine.workspace import Rows
from fastnn.inputs.targets import as_targets, finite_rows
from fastnn.losses import LossFunction, PythonLoss

ALL_ROWS = np.empty(0, np.int64)  # as kernels are told "every row, in order"


@dataclass
class Data:
    """Checked features, targets and weights, and which of their rows are meant (None: all). Nothing is copied.

    The arrays are read-only views, since metrics and losses that users write are given them.

    Attributes
    ----------
    x, y : Rows
        The user's memory, or a mapped file that is converted piece by piece.
    weights : ndarray of shape (n,)
        float64 sample weights; empty where all weigh 1.
    rows : ndarray of int64 or None
        Row numbers, where a split holds some back.
    """

    x: Rows
    y: Rows
    weights: np.ndarray
    rows: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        return self.x.n_rows if self.rows is None else self.rows.size

    @property
    def order(self) -> np.ndarray:
        """The rows as kernels take them: empty for all."""
        return ALL_ROWS if self.rows is None else self.rows


class TakesData(Protocol):
    """What a `DataSpec` has to know of a network."""

    @property
    def plan(self) -> Plan: ...
    @property
    def dtype(self) -> np.dtype: ...


@dataclass(frozen=True)
class DataSpec:
    """All that decides which data a network and a loss accept, and in which form they want them.

    Checks of data take this rather than a network, so that what was checked for one network is known to suit every
    other with an equal spec.

    Attributes
    ----------
    input_shape : tuple of int
        Of one sample.
    n_outputs : int
    dtype : numpy.dtype
    has_batch_statistics : bool
        Whether a layer needs the variance over a batch.
    loss : LossFunction
    """

    input_shape: tuple[int, ...]
    n_outputs: int
    dtype: np.dtype
    has_batch_statistics: bool
    loss: LossFunction

    @classmethod
    def of(cls, network: TakesData, loss: LossFunction) -> "DataSpec":
        """Return the spec of a network that is to be trained or judged by a loss."""
        plan = network.plan
        return cls(plan.input_shape, plan.n_outputs, network.dtype, bool(plan.has_batch_statistics), loss)


def check_data(
    spec: DataSpec,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
) -> Data:
    """Return what a user passed as `Data`, or raise ValueError or TypeError in which it is called by `names`."""
    lazily = not isinstance(spec.loss, PythonLoss)  # which holds targets and gradients of all rows anyway
    array = as_features(names[0], X, spec.input_shape, spec.dtype, lazily=lazily)
    check_not_empty(names[0], array)
    targets = as_targets(names[1], y, array.shape[0], spec.n_outputs, spec.loss, spec.dtype, lazily=lazily)
    weights = as_sample_weight(sample_weight, array.shape[0], names[2])
    return Data(finite_rows(names[0], read_only(array), spec.dtype), targets, read_only(weights))


def check_validation_data(spec: DataSpec, validation_data: Any, split: float) -> Data | None:
    """Return the argument `validation_data` of `fit` as `Data`, None for None."""
    if validation_data is None:
        return None
    if split:
        raise ValueError(f"validation_split must be 0 when validation_data is given, got {split}")
    is_sequence = isinstance(validation_data, tuple | list)
    if not is_sequence or len(validation_data) not in (2, 3):
        kind = type(validation_data)
        given = f"a {kind.__name__} of {len(validation_data)}" if is_sequence else kind
        raise TypeError(f"validation_data must be a tuple (X, y) or (X, y, sample_weight), got {given}")
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    X, y, *weights = validation_data
    return check_data(spec, X, y, weights[0] if weights else None, names)


def check_batches(spec: DataSpec, n_rows: int, batch_size: int | None) -> None:
    """Raise ValueError if a batch would have one row only, and a layer needs the variance over the batch."""
    size = n_rows if batch_size is None else min(batch_size, n_rows)
    if not spec.has_batch_statistics or (size > 1 and n_rows % size != 1):
        return
    which = "every batch" if size == 1 else "the last batch"
    raise ValueError(
        f"batch_size={batch_size} with {n_rows} training samples leaves {which} with one sample, which has no variance "
        "for BatchNormalization; choose a batch_size that leaves a remainder other than 1"
    )
