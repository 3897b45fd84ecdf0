"""The registry of optimizers: those that each file's `__all__` names. A new file is a line here."""

from fastnn.optimizers.adam import *
from fastnn.optimizers.momentum import *
from fastnn.optimizers.rms import *
