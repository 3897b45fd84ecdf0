"""Pickles in plain terms: records as the JSON types that describe them, so that a reader has few classes to trust."""

from collections.abc import Callable
from typing import Any


def as_plain(record: Any, get: Callable[[Any], Any]) -> Any:
    """Return the configuration of a record if `get` makes the same of it again; else the record itself.

    Parts that users write are such others: their names say nothing where the parts are not at hand.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> as_plain(optimizers.SGD(0.5), optimizers.get)["learning_rate"]
    0.5
    """
    try:
        config = record.config
        again = get(config)
    except (AttributeError, TypeError, ValueError):
        return record
    return config if type(again) is type(record) and again == record else record


def from_plain(value: Any, get: Callable[[Any], Any]) -> Any:
    """Return the record that `as_plain` was given."""
    return get(value) if isinstance(value, str | dict) else value


__all__ = ["as_plain", "from_plain"]
