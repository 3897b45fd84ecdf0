"""Numbers for the estimators: scaled by their quantiles, and encoded piecewise linearly beside it.

The scale is the interquartile range, so that outliers do not set it, and a smooth clip keeps them within 3 of it. The
encoding says how far a value has gone through each of the bins that hold as many training rows each [1]_: a network
learns steps and kinks from it that it would need many epochs for otherwise.

References
----------
.. [1] Y. Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022,
   arXiv 2203.05556.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fastnn.tabular.values import as_numbers

if TYPE_CHECKING:
    from polars import Series

N_BINS = 16
_CLIP = 3.0  # interquartile ranges; the largest value that a feature comes near
_LONGEST_REACH = 1.0  # widths of the outer bins beyond which the encoding stays where it is


@dataclass(frozen=True)
class QuantileColumn:
    """Numbers: (x - median) * factor, smoothly clipped; the encoding by `edges`; 1 where missing if `tells_missing`."""

    kind: ClassVar[str] = "quantile"
    name: str
    median: float
    factor: float
    edges: tuple[float, ...]  # none without an encoding
    tells_missing: bool

    @property
    def n_bins(self) -> int:
        return max(len(self.edges) - 1, 0)

    @property
    def n_features(self) -> int:
        return 1 + self.n_bins + self.tells_missing

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, n_features)."""
        self.encode_numbers(as_numbers(values), out)

    def encode_numbers(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Write the features of numbers, NaN where missing, into ``out`` of shape (n, n_features)."""
        is_missing = np.isnan(numbers)
        filled = np.where(is_missing, self.median, numbers) if is_missing.any() else numbers
        # Far beyond what training saw all values are alike; without this limit a square would overflow float32.
        scaled = np.clip((filled - self.median) * self.factor, -1e6, 1e6).astype(np.float32)
        out[:, 0] = scaled / np.sqrt(1.0 + (scaled / np.float32(_CLIP)) ** 2)
        if self.n_bins:
            edges = np.asarray(self.edges)
            last = self.n_bins - 1
            for i in range(self.n_bins):
                low = -_LONGEST_REACH if i == 0 else 0.0
                high = 1.0 + _LONGEST_REACH if i == last else 1.0
                np.clip((filled - edges[i]) / (edges[i + 1] - edges[i]), low, high, out=out[:, 1 + i], casting="unsafe")
        if self.tells_missing:
            out[:, -1] = is_missing


def learn_quantiles(name: str, numbers: np.ndarray, is_encoded: bool) -> "QuantileColumn | str":
    """Return the encoder for numbers (NaN where missing), or the reason to leave them out."""
    is_missing = np.isnan(numbers)
    known = numbers[~is_missing]
    if known.size == 0:
        return "no values"
    width = float(known.max()) - float(known.min())
    if not np.isfinite(width):
        raise ValueError(f"column {name!r} must have numbers within float64's range of each other, got {known.max():g}")
    if width == 0:
        if not is_missing.any():
            return "always the same value"
        return QuantileColumn(name, float(known[0]), 1.0, (), True)
    low, median, high = (float(value) for value in np.quantile(known, [0.25, 0.5, 0.75]))
    factor = 1.0 / (high - low) if high > low else 2.0 / width
    edges: tuple[float, ...] = ()
    if is_encoded:
        found = np.unique(np.quantile(known, np.linspace(0.0, 1.0, N_BINS + 1)))
        # Two edges are one bin, which is the number itself once more.
        if found.size > 2 and (np.diff(found) > 1e-12 * width).all():
            edges = tuple(map(float, found))
    return QuantileColumn(name, median, min(factor, 1e300), edges, bool(is_missing.any()))
