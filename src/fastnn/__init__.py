"""fastnn: neural networks at the speed of your CPU."""

from importlib import import_module
from typing import Any

from fastnn import activations, callbacks, constraints, losses, metrics, optimizers, regularizers, schedules
from fastnn.callbacks import Callback
from fastnn.constraints import MaxNorm
from fastnn.container import FileFormatError
from fastnn.history import History
from fastnn.layers import Activation, Dense, Dropout, GaussianNoise, Input
from fastnn.many import fit_many
from fastnn.network import Network
from fastnn.normalization import BatchNormalization, LayerNormalization
from fastnn.objective import Objective
from fastnn.onnx import to_onnx
from fastnn.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Nadam, RMSprop
from fastnn.python_loss import check_gradient
from fastnn.regularizers import L1, L1L2, L2
from fastnn.splits import train_validation_test_split
from fastnn.trainer import Trainer

__version__ = "0.1.0"

# Imported when first asked for: scikit-learn takes longer to import than fastnn does.
_LAZY = {"MLPClassifier": "fastnn.estimators", "MLPRegressor": "fastnn.estimators", "estimators": "fastnn.estimators"}

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNormalization",
    "Callback",
    "Dense",
    "Dropout",
    "FileFormatError",
    "GaussianNoise",
    "History",
    "Input",
    "LayerNormalization",
    "Lion",
    "MaxNorm",
    "Nadam",
    "Network",
    "Objective",
    "RMSprop",
    "Trainer",
    "activations",
    "callbacks",
    "check_gradient",
    "constraints",
    "fit_many",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
    "schedules",
    "to_onnx",
    "train_validation_test_split",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_LAZY[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
