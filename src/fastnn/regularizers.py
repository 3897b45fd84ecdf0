"""Penalties on the parameters of a layer, which keep them small (L2) or sparse (L1)."""

from dataclasses import dataclass
from typing import Any

from fastnn.common.records import Record
from fastnn.common.validation import check_choice, check_real


@dataclass(frozen=True, repr=False)
class L1L2(Record):
    """The penalty l1 * sum |w| + l2 * sum w^2, added to the loss once a batch, as in Keras (no factor 1/2).

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Factors, >= 0.

    Raises
    ------
    ValueError
        If a factor is negative.

    References
    ----------
    .. [1] H. Zou, T. Hastie, "Regularization and variable selection via the elastic net", J. R. Stat. Soc. B 67(2),
           2005.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Dense(8, kernel_regularizer=fastnn.L1L2(l1=0.001, l2=0.01)).kernel_regularizer
    L1L2(l1=0.001, l2=0.01)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "l1", check_real("l1", self.l1, 0.0))
        object.__setattr__(self, "l2", check_real("l2", self.l2, 0.0))

    @property
    def config(self) -> dict[str, Any]:
        """The penalty as JSON types."""
        return {"l1": self.l1, "l2": self.l2}


def L1(l1: float = 0.01) -> L1L2:
    """Return the penalty l1 * sum |w|, which drives parameters to exactly 0 [1]_.

    Parameters
    ----------
    l1 : float, default 0.01
        Factor, >= 0.

    Returns
    -------
    L1L2

    References
    ----------
    .. [1] R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", J. R. Stat. Soc. B 58(1), 1996.

    Examples
    --------
    >>> import fastnn
    >>> layer = fastnn.Dense(8, kernel_regularizer=fastnn.L1(0.001))
    """
    return L1L2(l1=l1)


def L2(l2: float = 0.01) -> L1L2:
    """Return the penalty l2 * sum w^2, which keeps parameters small [1]_.

    With plain SGD it is the same as a weight decay of 2 * l2; with Adam it is not: see `AdamW`.

    Parameters
    ----------
    l2 : float, default 0.01
        Factor, >= 0.

    Returns
    -------
    L1L2

    References
    ----------
    .. [1] A. Krogh, J. A. Hertz, "A Simple Weight Decay Can Improve Generalization", NIPS 1991.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> layer = fastnn.Dense(1, use_bias=False, kernel_regularizer=fastnn.L2(0.5))
    >>> network = fastnn.Network([fastnn.Input(1), layer], dtype="float64")
    >>> network.set_weights([[[3.0]]])
    >>> loss, gradient = network.loss_and_gradient([[0.0]], [0.0], loss="mse")
    >>> loss, gradient
    (4.5, array([3.]))
    """
    return L1L2(l2=l2)


def get(name: str, regularizer: Any) -> L1L2 | None:
    """Return the penalty for an object, a number (which means L2), the dict that a file holds, or None.

    `name` is the argument that an error names.

    Raises
    ------
    ValueError, TypeError
        If it is neither, or a factor is negative.

    Examples
    --------
    >>> from fastnn import regularizers
    >>> regularizers.get("kernel_regularizer", 0.01)
    L1L2(l1=0.0, l2=0.01)
    """
    if regularizer is None or isinstance(regularizer, L1L2):
        return regularizer
    if isinstance(regularizer, dict):
        if not regularizer:  # which would be a penalty of nothing
            raise ValueError(f"{name} must have 'l1', 'l2' or both where it is a dict, got {{}}; None is no penalty")
        for key in regularizer:
            check_choice(f"a key of {name}", key, ("l1", "l2"))
        return L1L2(**regularizer)
    if isinstance(regularizer, str):
        raise TypeError(f"{name} must be L1, L2 or L1L2 of numbers, such as fastnn.L2(0.01), got {regularizer!r}")
    return L2(check_real(name, regularizer, 0.0))


__all__ = ["L1", "L1L2", "L2", "get"]
