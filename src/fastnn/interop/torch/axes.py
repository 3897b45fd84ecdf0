"""Where the axes of a tensor lie on PyTorch's side: its convolutions have channels first, fastnn has them last."""

import numpy as np


def to_first(n_axes: int) -> tuple[int, ...]:
    """Return the order that brings the channels of samples of so many axes behind axis 0, the samples.

    Examples
    --------
    >>> to_first(3)
    (0, 3, 1, 2)
    """
    return (0, n_axes, *range(1, n_axes))


def to_last(n_axes: int) -> tuple[int, ...]:
    """Return the order that brings them to the end.

    Examples
    --------
    >>> to_last(3)
    (0, 2, 3, 1)
    """
    return (0, *range(2, n_axes + 1), 1)


def places_of(shape: tuple[int, ...]) -> np.ndarray:
    """Return for each number of a sample whose channels come first its place in one of this shape, channels last.

    Examples
    --------
    >>> places_of((2, 2))
    array([0, 2, 1, 3])
    """
    return np.moveaxis(np.arange(np.prod(shape)).reshape(shape), -1, 0).ravel()
