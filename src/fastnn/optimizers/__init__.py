"""Optimizers by name and as objects: hyperparameters only, the arithmetic is in kernels/optimizers.py.

To add one: its unit in kernels/optimizers.py, a class in a file here (a frozen record of its arguments), and its name
in `_CLASSES`. Names, ranges, files and tests follow from the class.
"""

from fastnn.common.own_parts import find_part
from fastnn.common.records import fix
from fastnn.common.validation import check_choice
from fastnn.optimizers.adam import Adam, Adamax, AdamW, Nadam
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.compiled import Compiled
from fastnn.optimizers.momentum import SGD, Lion
from fastnn.optimizers.rms import Adadelta, Adagrad, RMSprop

_CLASSES = (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Nadam, Adamax, Lion)
BY_NAME = {cls.__name__.lower(): cls for cls in _CLASSES}
NAMES = tuple(BY_NAME)
fix(
    _CLASSES,
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


__all__ = [
    "BY_NAME",
    "NAMES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Compiled",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
]
