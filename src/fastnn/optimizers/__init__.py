"""Optimizers by name and as objects: hyperparameters only, the arithmetic is in kernels/optimizers.py.

To add one: its unit in kernels/optimizers.py, and a class in a file here (a frozen record of its arguments), which
`algorithms` takes over. Names, ranges, files and tests follow from the class.
"""

from typing import TYPE_CHECKING

from fastnn.common.own_parts import find_part
from fastnn.common.records import fix
from fastnn.common.validation import check_choice
from fastnn.optimizers import algorithms
from fastnn.optimizers.algorithms import *
from fastnn.optimizers.base import Optimizer as Optimizer
from fastnn.optimizers.compiled import Compiled as Compiled

_CLASSES: dict[str, type[Optimizer]] = {name: cls for name, cls in vars(algorithms).items() if isinstance(cls, type)}
BY_NAME = {name.lower(): cls for name, cls in _CLASSES.items()}
NAMES = tuple(BY_NAME)
fix(
    _CLASSES.values(),
    "an optimizer is fixed; trainer.learning_rate = ... sets the rate, "
    "trainer.optimizer = {cls}({name}=...) begins anew",
)


def get(optimizer: "str | Optimizer | dict") -> Optimizer:
    """Return the optimizer for a name, an object, or the dict that a file holds.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.get("adam").learning_rate
    0.001
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict):
        arguments = dict(optimizer)
        if arguments.get("compiled") is True:
            return find_part("optimizer", Compiled, arguments.get("name"))
        return BY_NAME[check_choice("optimizer", arguments.pop("name", None), BY_NAME)](**arguments)
    return BY_NAME[check_choice("optimizer", optimizer, BY_NAME)]()


if not TYPE_CHECKING:  # type checkers go by the imports
    __all__ = ["BY_NAME", "NAMES", "Compiled", "Optimizer", "get", *_CLASSES]
