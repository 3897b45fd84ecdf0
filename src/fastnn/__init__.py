"""fastnn: neural networks at the speed of your CPU."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnn import activations as activations
from fastnn import callbacks as callbacks
from fastnn import constraints as constraints
from fastnn import losses as losses
from fastnn import metrics as metrics
from fastnn import optimizers as optimizers
from fastnn import regularizers as regularizers
from fastnn import schedules as schedules
from fastnn.callbacks import Callback as Callback
from fastnn.common import later, moved
from fastnn.common.words import meant_by
from fastnn.constraints import MaxNorm as MaxNorm
from fastnn.files.container import FileFormatError as FileFormatError
from fastnn.layers import LAYERS as _LAYERS
from fastnn.model.network import Network as Network
from fastnn.optimizers.algorithms import *
from fastnn.regularizers import L1 as L1
from fastnn.regularizers import L1L2 as L1L2
from fastnn.regularizers import L2 as L2
from fastnn.training.history import History as History
from fastnn.training.trainer import Trainer as Trainer

if TYPE_CHECKING:  # at run time `__getattr__` below imports them
    from fastnn.engine.python_loss import check_gradient as check_gradient
    from fastnn.inputs.splits import train_validation_test_split as train_validation_test_split
    from fastnn.interop.onnx import to_onnx as to_onnx
    from fastnn.layers.kinds import *
    from fastnn.model.objective import Objective as Objective
    from fastnn.model.saliency import saliency as saliency
    from fastnn.training.adversarial.gan import GAN as GAN
    from fastnn.training.many import fit_many as fit_many

__version__ = "0.1.0"

moved.install()


def _door(module: str, name: str) -> Callable[[], Callable[..., Any]]:
    return lambda: getattr(import_module(module), name)


# What networks, histories and the ONNX export need of packages that build on them.
for _module, _names in {
    "fastnn.interop.keras": ("from_keras", "to_keras"),
    "fastnn.interop.torch": ("from_torch", "to_torch"),
    "fastnn.plotting": ("plot_history",),
    "fastnn.estimators": ("MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"),
    "fastnn.distributed.many": ("ScoringOnWorkers", "fit_on_workers"),
}.items():
    for _name in _names:
        later.register(_name, _door(_module, _name))

# Imported when first asked for: scikit-learn takes longer to import than fastnn does, and not everybody needs the rest.
_LAZY = {
    "GAN": "fastnn.training.adversarial.gan",
    "Objective": "fastnn.model.objective",
    "check_gradient": "fastnn.engine.python_loss",
    "fit_many": "fastnn.training.many",
    "saliency": "fastnn.model.saliency",
    "to_onnx": "fastnn.interop.onnx",
    "train_validation_test_split": "fastnn.inputs.splits",
    "MLPClassifier": "fastnn.estimators",
    "MLPRegressor": "fastnn.estimators",
    "NetworkClassifier": "fastnn.estimators",
    "NetworkRegressor": "fastnn.estimators",
    "estimators": "fastnn.estimators",
    "TabularClassifier": "fastnn.tabular.estimators",
    "TabularRegressor": "fastnn.tabular.estimators",
    "report": "fastnn.reporting.page",
    "tune": "fastnn.tabular.tuning",
    **dict.fromkeys(_LAYERS, "fastnn.layers"),
}

_NAMES = (
    "GAN", "L1", "L1L2", "L2", "Callback", "FileFormatError", "History", "MaxNorm", "Network", "Objective", "Trainer",
    "activations", "callbacks", "check_gradient", "constraints", "fit_many", "losses", "metrics", "optimizers",
    "regularizers", "saliency", "schedules", "to_onnx", "train_validation_test_split", *_LAYERS, *optimizers._CLASSES,
)  # fmt: skip
if not TYPE_CHECKING:  # type checkers go by the imports
    __all__ = _NAMES


def __getattr__(name: str) -> Any:
    if f"{__name__}.{name}" in moved.MOVED:
        return import_module(f"{__name__}.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{meant_by(name, [*_NAMES, *_LAZY])}")
    module = import_module(_LAZY[name])
    return module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
