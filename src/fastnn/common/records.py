"""What declarative objects share: layers, optimizers, schedules and penalties are frozen records of arguments.

Pickles hold them as the JSON types that describe them (`as_plain`), so that a reader has few classes to trust.
"""

from collections.abc import Callable, Iterable
from dataclasses import MISSING, FrozenInstanceError, fields
from typing import Any, Self

from fastnn.common.words import check_keywords, check_values


def fix(classes: Iterable[type], advice: str) -> None:
    """Have frozen dataclasses say, where somebody assigns to a field, what to do instead."""

    def refuse(self: Any, name: str, value: Any) -> None:
        cls = type(self).__name__
        raise FrozenInstanceError(f"{cls}.{name} cannot be assigned: {advice.format(cls=cls, name=name)}")

    for cls in classes:
        cls.__setattr__ = refuse  # type: ignore[method-assign, assignment]


class Record:
    """Mixin for frozen dataclasses: prints as it is written down, and turns into JSON types."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        """Make an object, whose fields `__init__` sets; a keyword that it does not take is a helpful TypeError."""
        if keywords.keys() - cls.__dataclass_fields__.keys():  # type: ignore[attr-defined]
            check_keywords(cls, keywords)
        if len(arguments) > 1:
            check_values(cls, arguments)
        return super().__new__(cls)

    def __repr__(self) -> str:
        """Return the call that makes this object; keyword-only arguments appear only where they are not the default."""
        shown = []
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if not (f.kw_only and f.default is not MISSING and value == f.default):
                shown.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, as JSON types."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: getattr(value, "config", value) for name, value in values.items()}


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
