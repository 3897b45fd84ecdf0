"""What `fit` and `evaluate` are given, checked once: features, targets and weights where they lie in memory."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.engine import Rows
from fastnn.losses import LossFunction
from fastnn.targets import as_targets, finite_rows
from fastnn.validation import as_features, as_sample_weight, check_integer, check_not_empty, check_real

if TYPE_CHECKING:
    from fastnn.network import Network

ALL_ROWS = np.empty(0, np.int64)  # as kernels are told "every row, in order"


@dataclass
class Data:
    """Checked features, targets and weights, and which of their rows are meant (None: all). Nothing is copied.

    Attributes
    ----------
    x, y : Rows
        The user's memory.
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


def check_data(
    network: "Network",
    loss: LossFunction,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
) -> Data:
    """Return what a user passed as `Data`, or raise ValueError or TypeError in which it is called by `names`."""
    array = as_features(names[0], X, network.n_inputs, network.dtype)
    check_not_empty(names[0], array)
    targets = as_targets(names[1], y, array.shape[0], network.n_outputs, loss, network.dtype)
    weights = as_sample_weight(sample_weight, array.shape[0], names[2])
    return Data(finite_rows(names[0], array, network.dtype), targets, weights)


def check_validation_data(network: "Network", loss: LossFunction, validation_data: Any, split: float) -> Data | None:
    """Return the argument `validation_data` of `fit` as `Data`, None for None."""
    if validation_data is None:
        return None
    if split:
        raise ValueError(f"validation_split must be 0 when validation_data is given, got {split}")
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
        given = f"a tuple of {len(validation_data)}" if isinstance(validation_data, tuple) else type(validation_data)
        raise TypeError(f"validation_data must be a tuple (X, y) or (X, y, sample_weight), got {given}")
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    X, y, *weights = validation_data
    return check_data(network, loss, X, y, weights[0] if weights else None, names)


def split_rows(data: Data, split: float) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the row numbers to train on and to validate on; (None, None) without a split."""
    if not split:
        return None, None
    n_validation = int(np.ceil(data.n_rows * split))
    if n_validation >= data.n_rows:
        raise ValueError(f"validation_split={split} leaves no sample of {data.n_rows} to train on")
    rows = np.arange(data.n_rows)
    return rows[:-n_validation], rows[-n_validation:]


def apply_class_weight(class_weight: Any, y: Rows, weights: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return sample weights multiplied by the weight of each sample's class; a single output tells two classes."""
    if class_weight is None:
        return weights
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight must be a dict of class number to weight, got {class_weight!r}")
    target = y.array
    if target.ndim == 2:
        target = target.argmax(axis=1) if target.shape[1] > 1 else (target[:, 0] > 0.5).astype(np.int64)
    factors = np.ones(target.shape[0])
    for label, weight in class_weight.items():
        number = check_integer("a key of class_weight", label, 0, max(n_outputs, 2) - 1)
        factors[target == number] = check_real(f"class_weight[{label}]", weight, 0.0)
    factors = factors * weights if weights.size else factors
    if not factors.any():
        raise ValueError(f"class_weight must leave some sample a weight, got {class_weight}")
    return factors
