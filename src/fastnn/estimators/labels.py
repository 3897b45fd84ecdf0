"""Class labels to targets that kernels read, and outputs back to labels."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils.multiclass import type_of_target, unique_labels


class LabelEncoding:
    """How the labels seen in the first fit become targets.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels; column numbers for multi-label targets.
    kind : {"binary", "multiclass", "multilabel-indicator"}
        "binary" also where only one class was seen.
    """

    def __init__(self, y: Any):
        if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biuU":
            # What type_of_target says of such an array, without its four passes over it.
            self.classes = np.unique(y)
            if len(self.classes) <= max(20, len(y) // 2):  # beyond, it has a warning to give
                self.kind = "multiclass" if len(self.classes) > 2 else "binary"
                return
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            if kind.endswith("multioutput"):
                raise ValueError("Multioutput target data is not supported with label binarization")
            raise ValueError(f"Unknown label type: {kind}. Maybe you are trying to fit a classifier on a continuous "
                             "target; MLPRegressor is for those.")  # fmt: skip
        self.classes = unique_labels(y)
        self.kind = kind if kind == "multilabel-indicator" or len(self.classes) > 2 else "binary"

    @classmethod
    def known(cls, classes: np.ndarray, kind: str) -> "LabelEncoding":
        """Return the encoding with these sorted classes, of this kind."""
        encoding = cls.__new__(cls)
        encoding.classes, encoding.kind = classes, kind
        return encoding

    @property
    def n_outputs(self) -> int:
        """Output units: one for two classes, else one a class."""
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Any) -> np.ndarray:
        """Return class numbers (n,) int64 of multiclass labels, else 0/1 of shape (n, n_outputs), uint8.

        Raises
        ------
        ValueError
            If a multi-label y has another number of columns. Labels are known to be among `classes`.
        """
        if self.kind == "multilabel-indicator":
            if scipy.sparse.issparse(y):
                y = y.toarray()
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"y must have shape (n_samples, {len(self.classes)}) as in the first fit, got {y.shape}"
                )
            return np.ascontiguousarray(y != 0).view(np.uint8)
        if self.kind == "multiclass":
            return np.searchsorted(self.classes, y).astype(np.int64, copy=False)
        is_second = y == self.classes[1] if len(self.classes) == 2 else np.zeros(len(y), bool)
        return np.ascontiguousarray(is_second, dtype=bool).view(np.uint8).reshape(-1, 1)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Return the likeliest targets, in the form of `encode`, for outputs of shape (n, n_outputs)."""
        if self.kind == "multiclass":
            return outputs.argmax(axis=1)
        return outputs > 0.5

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return the likeliest labels for outputs of shape (n, n_outputs)."""
        decisions = self.decide(outputs)
        if self.kind == "multilabel-indicator":
            return decisions.astype(np.int64)
        if self.kind == "binary":
            decisions = decisions[:, 0].view(np.int8) if len(self.classes) == 2 else np.zeros(len(outputs), np.int8)
        return self.classes.take(decisions)
