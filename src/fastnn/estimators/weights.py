"""`coefs_` and `intercepts_`: lists whose items may be assigned, as in scikit-learn, though they are a network's."""

from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from fastnn.common.validation import as_array, check_finite


class Weights(list):
    """Views into a network, one a layer. Assigning an item copies it into the network; items cannot come or go.

    Parameters
    ----------
    name : str
        The attribute of the estimator, for messages.
    views : list of ndarray

    Raises
    ------
    ValueError, TypeError
        If what is assigned is of another shape, or holds something else than finite numbers; nothing is changed then.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.estimators.weights import Weights
    >>> memory = np.zeros(2)
    >>> Weights("intercepts_", [memory])[-1] = [1.0, 2.0]
    >>> memory
    array([1., 2.])
    """

    def __init__(self, name: str, views: Iterable[np.ndarray]):
        super().__init__(views)
        self._name = name

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            places, values = list(range(len(self)))[index], list(value)
        else:
            places, values = [range(len(self))[index]], [value]
        if len(places) != len(values):
            self._refuse()
        arrays = [self._checked(place, one) for place, one in zip(places, values, strict=True)]
        for place, array in zip(places, arrays, strict=True):
            if array is not self[place]:  # as it is after ``coefs_[0] += 1``
                self[place][...] = array

    def _checked(self, place: int, value: Any) -> np.ndarray:
        view = self[place]
        if value is view:
            return view
        name = f"{self._name}[{place}]"
        array = as_array(name, value)
        if array.shape != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}")
        check_finite(name, array, view.dtype)
        return array.copy() if np.may_share_memory(array, view.base if view.base is not None else view) else array

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{self._name} has one array for each layer of the network: items can be assigned, not added "
                        "or removed; list(...) makes a list of your own")  # fmt: skip

    append = extend = insert = pop = remove = clear = sort = reverse = _refuse  # type: ignore[assignment]
    __delitem__ = __iadd__ = __imul__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return list, (list(self),)  # copies and pickles are plain lists
