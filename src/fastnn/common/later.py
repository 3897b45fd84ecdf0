"""Functions of packages that come later in the order of imports, for methods that are only doors to them.

`Network.to_torch` belongs to the network, but what it does belongs to `fastnn.interop`, which builds on the network. So
that imports point one way, the method asks here for the function, and `fastnn/__init__.py`, which may import
everything, says where it is. It is imported when it is first asked for.
"""

from collections.abc import Callable
from typing import Any

_FUNCTIONS: dict[str, Callable[[], Callable[..., Any]]] = {}


def register(name: str, get: Callable[[], Callable[..., Any]]) -> None:
    """Make known how a function (or class) of a later package is imported."""
    _FUNCTIONS[name] = get


def later(name: str) -> Callable[..., Any]:
    """Return a function that was registered.

    Examples
    --------
    >>> import fastnn
    >>> from fastnn.common.later import later
    >>> later("plot_history").__module__
    'fastnn.plotting.curves'
    """
    return _FUNCTIONS[name]()
