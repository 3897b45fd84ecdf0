"""Metrics by name. The fast ones are running sums that the kernels keep; the others see all predictions at once."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fastnn.kernels.tables import Sum
from fastnn.validation import check_choice

# name -> value from the running sums, each divided by the sum of weights
FROM_SUMS: dict[str, Callable[[np.ndarray], float]] = {
    "accuracy": lambda means: means[Sum.CORRECT],
    "mse": lambda means: means[Sum.SQUARED_ERROR],
    "rmse": lambda means: means[Sum.SQUARED_ERROR] ** 0.5,
    "mae": lambda means: means[Sum.ABSOLUTE_ERROR],
}


def _r2(y: np.ndarray, predicted: np.ndarray, sample_weight: np.ndarray | None) -> float:
    from sklearn.metrics import r2_score

    return r2_score(y, predicted, sample_weight=sample_weight)


# name -> function of (y, predictions, sample_weight), over all samples
FROM_PREDICTIONS: dict[str, Callable[..., float]] = {"r2": _r2}

NAMES = (*FROM_SUMS, *FROM_PREDICTIONS)


def check_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return metric names, or raise ValueError for an unknown one."""
    if isinstance(metrics, str):
        metrics = (metrics,)
    if not isinstance(metrics, Iterable):
        raise TypeError(f"metrics must be a sequence of names, got {metrics!r}")
    return tuple(check_choice("metrics", name, NAMES) for name in metrics)


def greater_is_better(name: str) -> bool | None:
    """Whether more of a number in the logs is better; None for a metric that fastnn has no name for."""
    if name in ("loss", "mse", "rmse", "mae"):
        return False
    return True if name in NAMES else None
