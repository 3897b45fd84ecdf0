"""Attributes that do what assigning them says, or refuse with a sentence that says what to do instead.

Jobs: `Guarded` refuses assignments that would change nothing (or break something); `Checked` looks at every value that
is assigned, in the constructor as later; `fitted_alone` refuses a second fit that would assign to the same.
"""

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fastnn.common.words import check_keywords


class Guarded:
    """Base of objects whose public attributes cannot be assigned without effect.

    Reading stays as fast as it is for any object. A subclass names in `_refused` what cannot be assigned and what to do
    instead, and puts such attributes into ``self.__dict__`` itself. Properties with a setter, and names that begin with
    an underscore, work as always. With `_is_strict` in its own body, a class also refuses public names that it does not
    know, as they are most likely misspelled; subclasses that users write may have attributes of their own.

    Examples
    --------
    >>> from fastnn.common.attributes import Guarded
    >>> class Circle(Guarded):
    ...     _refused = {"radius": "make a new Circle"}
    ...     def __init__(self, radius):
    ...         self.__dict__["radius"] = radius
    >>> Circle(2.0).radius
    2.0
    >>> Circle(2.0).radius = 3.0
    Traceback (most recent call last):
    AttributeError: Circle.radius cannot be assigned: make a new Circle
    """

    _refused: ClassVar[Mapping[str, str]] = {}
    _is_strict: ClassVar[bool] = False
    _assignable: ClassVar[set[str]] = set()  # what was found to be, by each class: callbacks assign in every epoch

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._assignable = set()

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        """Make an object; a keyword that a strict constructor does not take is a helpful TypeError."""
        if keywords and "_is_strict" in vars(cls):
            check_keywords(cls, keywords)
        return super().__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        if name[0] == "_" or name in self._assignable:
            object.__setattr__(self, name, value)
            return
        cls = type(self)
        if name in self._refused:
            raise AttributeError(f"{cls.__name__}.{name} cannot be assigned: {self._refused[name]}")
        if "_is_strict" in vars(cls) and not hasattr(cls, name):
            known = sorted({name for name in (*dir(self), *self._refused) if not name.startswith("_")})
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"{cls.__name__} has no attribute {name!r} that could be assigned{hint}")
        super().__setattr__(name, value)
        cls._assignable.add(name)


class KnowsKeywords:
    """Mixin of estimators: a parameter that a constructor does not have is a helpful TypeError."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        if keywords:
            check_keywords(cls, keywords)
        return super().__new__(cls)


_FITTING: dict[tuple[int, int], object] = {}  # process and id of the estimators that are being fitted


@contextmanager
def fitted_alone(estimator: Any) -> Iterator[None]:
    """Refuse a fit of an estimator that is being fitted already."""
    key, own = (os.getpid(), id(estimator)), object()
    if _FITTING.setdefault(key, own) is not own:  # one step, so that of two threads one is refused
        raise RuntimeError(
            f"this {type(estimator).__name__} is already being fitted, in another thread or around this callback: "
            "wait for the end of that fit, or clone it"
        )
    try:
        yield
    finally:
        del _FITTING[key]


def is_fitted_now(estimator: Any) -> bool:
    """Whether a fit of an estimator is running."""
    return (os.getpid(), id(estimator)) in _FITTING


class Checked:
    """An attribute whose values all go through a check. Reading one takes no call of Python's: it lies in the instance.

    Parameters
    ----------
    check : callable of (name, value)
        Returns what is kept, or raises ValueError or TypeError.

    Examples
    --------
    >>> from fastnn.common.attributes import Checked
    >>> from fastnn.common.validation import check_integer
    >>> class Patient:
    ...     patience = Checked(lambda name, value: check_integer(name, value, 0))
    >>> patient = Patient()
    >>> patient.patience = -1
    Traceback (most recent call last):
    ValueError: patience must be an integer >= 0, got -1
    """

    def __init__(self, check: Callable[[str, Any], Any]):
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    if TYPE_CHECKING:  # at run time it would be called at each reading

        def __get__(self, instance: Any, owner: type) -> Any: ...

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = self._check(self._name, value)
