"""Arguments of layers and optimizers as parameters with `__` in their names, as scikit-learn's searches set them.

"optimizer__learning_rate" is an argument of the optimizer, "layers__0__filters" one of the first layer, and
"layers__1__layer__units" one of the layer within the second. Layers and optimizers are fixed records: what is set is
the estimator's parameter anew, with another record in it.
"""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from fastnn import optimizers
from fastnn.common.records import Record


def nested_parameters(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return the names and values of everything within a parameter.

    Examples
    --------
    >>> import fastnn
    >>> dict(nested_parameters("layers", [fastnn.Dropout(0.5)]))
    {'layers__0': Dropout(rate=0.5), 'layers__0__rate': 0.5}
    """
    for key, item in _items(value):
        yield f"{name}__{key}", item
        yield from nested_parameters(f"{name}__{key}", item)


def with_nested(name: str, value: Any, path: str, new: Any) -> Any:
    """Return a parameter's value with `new` at a path within it.

    Raises
    ------
    ValueError
        If there is nothing of this name; what is known is listed.

    Examples
    --------
    >>> import fastnn
    >>> with_nested("layers", [fastnn.Dropout(0.5)], "0__rate", 0.1)
    [Dropout(rate=0.1)]
    """
    if name == "optimizer" and isinstance(value, str):
        value = optimizers.get(value)
    key, _, rest = path.partition("__")
    items = dict(_items(value))
    if key not in items:
        known = ", ".join(repr(f"{name}__{one}") for one in items) or "none"
        raise ValueError(f"there is no parameter {f'{name}__{key}'!r}; within {name} there are: {known}")
    item = with_nested(f"{name}__{key}", items[key], rest, new) if rest else new
    if isinstance(value, Record):
        return replace(value, **{key: item})  # type: ignore[type-var]
    return type(value)(item if str(i) == key else other for i, other in enumerate(value))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Return what lies directly within a value: a record's arguments, a list's records."""
    if isinstance(value, Record):
        for field in fields(value):  # type: ignore[arg-type]
            yield field.name, getattr(value, field.name)
    elif type(value) in (list, tuple) and value and all(isinstance(item, Record) for item in value):
        for i, item in enumerate(value):
            yield str(i), item


__all__ = ["nested_parameters", "with_nested"]
