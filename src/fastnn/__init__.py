"""fastnn: neural networks at the speed of your CPU."""

from fastnn import activations, callbacks, losses, optimizers, regularizers
from fastnn.callbacks import Callback
from fastnn.container import FileFormatError
from fastnn.history import History
from fastnn.layers import Activation, Dense, Dropout, Input
from fastnn.many import fit_many
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam
from fastnn.regularizers import L1, L1L2, L2
from fastnn.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Activation",
    "Adam",
    "Callback",
    "Dense",
    "Dropout",
    "FileFormatError",
    "History",
    "Input",
    "Network",
    "Trainer",
    "activations",
    "callbacks",
    "fit_many",
    "losses",
    "optimizers",
    "regularizers",
]
