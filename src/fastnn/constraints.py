"""Limits on the kernels of a layer, kept after every update."""

from dataclasses import dataclass
from typing import Any

from fastnn.common.records import Record
from fastnn.common.validation import check_choice, check_real


@dataclass(frozen=True, repr=False)
class MaxNorm(Record):
    """The incoming weights of each unit, a column of the kernel, have a norm of at most max_value [1]_.

    A longer column is scaled back after each update. (Keras's MaxNorm also shrinks the others, by 1e-7 / norm.)

    Parameters
    ----------
    max_value : float, default 2.0
        The limit, > 0.

    Raises
    ------
    ValueError
        If the limit is not positive.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014,
           section 5.1.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> layer = fastnn.Dense(1, use_bias=False, kernel_constraint=fastnn.MaxNorm(0.5))
    >>> network = fastnn.Network([fastnn.Input(1), layer], dtype="float64")
    >>> trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(1.0))
    >>> history = trainer.fit([[1.0]], [3.0])
    >>> network.get_weights()
    [array([[0.5]])]
    """

    max_value: float = 2.0

    def __post_init__(self):
        object.__setattr__(self, "max_value", check_real("max_value", self.max_value, 0.0, closed="neither"))

    @property
    def config(self) -> dict[str, Any]:
        """The constraint as JSON types."""
        return {"max_value": self.max_value}


def get(name: str, constraint: Any) -> MaxNorm | None:
    """Return the constraint for an object, the dict that a file holds, or None; `name` is for errors.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or the dict is empty.

    Examples
    --------
    >>> from fastnn import constraints
    >>> constraints.get("kernel_constraint", {"max_value": 3.0})
    MaxNorm(max_value=3.0)
    """
    if constraint is None or isinstance(constraint, MaxNorm):
        return constraint
    if isinstance(constraint, dict):
        if not constraint:  # the default limit is not what somebody means who names none
            raise ValueError(f"{name} must have 'max_value' where it is a dict, got {{}}; None is no limit")
        for key in constraint:
            check_choice(f"a key of {name}", key, ("max_value",))
        return MaxNorm(**constraint)
    raise TypeError(f"{name} must be fastnn.MaxNorm(max_value) or None, got {constraint!r}")


__all__ = ["MaxNorm", "get"]
