"""What `fit` and `evaluate` are given, checked once: features, targets and weights where they lie in memory."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastnn.common.validation import as_sample_weight, check_not_empty, read_only
from fastnn.engine.layout import Plan
from fastnn.engine.rows import Rows
from fastnn.inputs.sequences import NO_LENGTHS, take_sequences
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
    weights : ndarray of shape (n,) or (n, positions of the outputs)
        float64 sample weights; empty where all weigh 1.
    lengths : ndarray of shape (n,)
        How many steps of each sequence count; empty where all do.
    rows : ndarray of int64 or None
        Row numbers, where a split holds some back.
    """

    x: Rows
    y: Rows
    weights: np.ndarray
    rows: np.ndarray | None = None
    lengths: np.ndarray = field(default_factory=lambda: NO_LENGTHS)

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
    output_shape : tuple of int
    dtype : numpy.dtype
    has_batch_statistics : bool
        Whether a layer needs the variance over a batch.
    loss : LossFunction
    ignores_lengths : str
        Why lengths of sequences cannot be minded; empty: they can.
    n_categories : int
        Inputs are integers below this; 0: they are numbers.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: np.dtype
    has_batch_statistics: bool
    loss: LossFunction
    ignores_lengths: str = ""
    n_categories: int = 0

    @property
    def n_outputs(self) -> int:
        """The size of the last axis of the outputs."""
        return self.output_shape[-1]

    @property
    def steps(self) -> tuple[int, ...]:
        """The other axes of the outputs, as far as a loss takes each of them for itself."""
        return () if isinstance(self.loss, PythonLoss) else self.output_shape[:-1]

    @classmethod
    def of(cls, network: TakesData, loss: LossFunction) -> "DataSpec":
        """Return the spec of a network that is to be trained or judged by a loss."""
        plan = network.plan
        ignores = plan.ignores_lengths
        if isinstance(loss, PythonLoss) and plan.output_steps:
            ignores = "a loss that is a function of yours is given whole samples; take fastnn.losses.Compiled"
        return cls(
            plan.input_shape, plan.output_shape, network.dtype, bool(plan.has_batch_statistics), loss, ignores,
            plan.n_categories,
        )  # fmt: skip


def check_data(
    spec: DataSpec,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
    lengths: Any = None,
    lengths_name: str = "lengths",
) -> Data:
    """Return what a user passed as `Data`, or raise ValueError or TypeError in which it is called by `names`."""
    lazily = not isinstance(spec.loss, PythonLoss)  # which holds targets and gradients of all rows anyway
    array, taken = take_sequences((names[0], lengths_name), X, spec, spec.dtype, lengths, lazily=lazily)
    check_not_empty(names[0], array)
    targets = as_targets(
        names[1], y, array.shape[0], spec.output_shape, spec.loss, spec.dtype, lazily=lazily, lengths=taken
    )
    weights = as_sample_weight(sample_weight, array.shape[0], names[2], spec.steps)
    x = finite_rows(names[0], read_only(array), spec.dtype, are_indices=spec.n_categories > 0, shape=spec.input_shape)
    return Data(x, targets, read_only(weights), lengths=read_only(taken))


def check_validation_data(spec: DataSpec, validation_data: Any, split: float) -> Data | None:
    """Return the argument `validation_data` of `fit` as `Data`, None for None."""
    if validation_data is None:
        return None
    if split:
        raise ValueError(f"validation_split must be 0 when validation_data is given, got {split}")
    is_sequence = isinstance(validation_data, tuple | list)
    if not is_sequence or len(validation_data) not in (2, 3, 4):
        kind = type(validation_data)
        given = f"a {kind.__name__} of {len(validation_data)}" if is_sequence else kind
        raise TypeError(f"validation_data must be a tuple (X, y) or (X, y, sample_weight), got {given}")
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    X, y, sample_weight, lengths = (*validation_data, None, None)[:4]
    return check_data(spec, X, y, sample_weight, names, lengths, "validation_data[3]")


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
