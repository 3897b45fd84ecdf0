"""Parts that users write: how they are named, pickled, and found again when a file is loaded."""

import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

_T = TypeVar("_T")
_passed: ContextVar[tuple[Any, ...]] = ContextVar("parts that a user passed to a load", default=())


@contextmanager
def parts_at_hand(parts: Iterable[Any]) -> Iterator[None]:
    """Let configurations within find these parts by their names.

    Raises
    ------
    TypeError
        If something has no name.
    """
    given = tuple(parts)
    for i, part in enumerate(given):
        if not isinstance(getattr(part, "name", None), str):
            raise TypeError(f"parts[{i}] must be a part of your own such as fastnn.activations.Compiled, got {part!r}")
    token = _passed.set(given)
    try:
        yield
    finally:
        _passed.reset(token)


def find_part(kind: str, cls: type[_T], name: Any) -> _T:
    """Return the part of a class and a name that was passed to the load that is going on.

    Raises
    ------
    ValueError
        If none was.
    """
    for part in _passed.get():
        if isinstance(part, cls) and getattr(part, "name", None) == name:
            return part
    raise ValueError(
        f"the {kind} {name!r} is a part of somebody's own: pass it as parts=[...] where the file is loaded"
    )


def check_own_name(kind: str, name: Any, taken: Sequence[str]) -> str:
    """Return the name of a part of somebody's own, or raise TypeError or ValueError."""
    if not isinstance(name, str) or not name.isidentifier():
        raise TypeError(f"name must be a text that could be a variable's name, got {name!r}")
    if name in taken:
        raise ValueError(f"name must not be that of another {kind}, got {name!r}")
    return name


def compiled_for(function: Any, arguments: str, results: str = "a number") -> Any:
    """Return a function of numbers, after it was compiled once for float64 numbers to see that it can be.

    `arguments` are the names of what it takes; `results` those of what it returns, as a tuple if they are several.

    Raises
    ------
    TypeError
        If it is not callable, or Numba cannot compile it for such arguments; the message says what it was to take and
        what the first of Numba's reasons is.
    """
    import numba
    from numba.core.dispatcher import Dispatcher
    from numba.core.errors import NumbaError

    numbers = (numba.types.Integer, numba.types.Float, numba.types.Boolean)  # no complex ones
    if not callable(function):
        raise TypeError(f"{arguments} must be a function, got {function!r}")
    dispatcher = function if isinstance(function, Dispatcher) else numba.njit(function)
    n_numbers, n_results = arguments.count(",") + 1, results.count(",") + 1
    name = getattr(function, "__name__", repr(function))
    try:
        types = (numba.float64,) * n_numbers
        dispatcher.compile(types)
        returned: Any = dispatcher.nopython_signatures[-1].return_type
        parts: tuple[Any, ...] = tuple(getattr(returned, "types", (returned,)))
        if len(parts) != n_results or not all(isinstance(part, numbers) for part in parts):
            raise TypeError(f"it returns {returned}")
    except (NumbaError, TypeError) as error:
        plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # Numba colours its errors
        lines = [line.strip() for line in plain.splitlines() if line.strip()]
        reason = next((line for line in lines if not line.startswith(("Failed in", "During:", "File "))), lines[0])
        raise TypeError(
            f"{name}({arguments}) must compile for {n_numbers} number{'s' * (n_numbers > 1)} of float64 and return "
            f"{results}: {reason}"
        ) from None
    return dispatcher


def by_path(function: Any) -> tuple[str, str] | None:
    """Return the module and the name under which a function can be imported, or None."""
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    found = getattr(sys.modules.get(module), name, None)
    return (module, name) if found is function else None


def import_function(path: tuple[str, str]) -> Any:
    """Return the function that `by_path` described."""
    return pkgutil.resolve_name(":".join(path))


def rebuild(cls: Callable[..., _T], paths: Sequence[tuple[str, str]], *rest: Any) -> _T:
    """Make a part again from the paths of its functions: what pickles hold."""
    return cls(*map(import_function, paths), *rest)


def reduce_by_path(cls: type, functions: Sequence[Any], *rest: Any) -> tuple[Any, ...]:
    """Return what pickle needs of a part: its class, the import paths of its functions, and the rest.

    Raises
    ------
    TypeError
        If a function cannot be imported: one within another function, or a lambda.
    """
    paths = [by_path(function) for function in functions]
    if None in paths:
        function = functions[paths.index(None)]
        raise TypeError(
            f"{function!r} cannot be pickled: a part of your own is pickled by the import path of its functions, so "
            "define them at the top of a module"
        )
    return rebuild, (cls, paths, *rest)
