"""Modules under the names that they had in fastnn 0.1, for code and pickles that were written then.

Importing one of the old names gives the module that took its place. Nothing else is kept under old names.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGES = {
    "callbacks": ("progress",),
    "common": ("cpus", "records", "validation"),
    "engine": ("entries", "plan", "python_loss", "team"),
    "files": ("container", "persistence"),
    "inputs": ("data", "splits", "targets"),
    "interop": ("onnx",),
    "layers": ("normalization",),
    "model": ("exchange", "explain", "network", "objective", "summary"),
    "training": ("arguments", "evaluation", "history", "loop", "many", "stream", "trainer"),
}
MOVED = {f"fastnn.{name}": f"fastnn.{package}.{name}" for package, names in _PACKAGES.items() for name in names}
# Pickles name what is in these: CallbackStates, Task, estimators, layers.
MOVED |= dict.fromkeys(("fastnn.state", "fastnn.snapshot", "fastnn.training.callback_states"), "fastnn.training.state")
MOVED |= {
    **{f"fastnn.estimators.{kind}": "fastnn.estimators.perceptrons" for kind in ("classifier", "regressor")},
    **{f"fastnn.estimators.network_{kind}": "fastnn.estimators.networks" for kind in ("classifier", "regressor")},
    "fastnn.layers.activation": "fastnn.layers.base",
    "fastnn.layers.adapted": "fastnn.layers.numbers",
    "fastnn.layers.scaling": "fastnn.layers.numbers",
    "fastnn.tables": "fastnn.tabular",
    "fastnn.training.task": "fastnn.training.evaluation",
}


class _MovedModules(MetaPathFinder, Loader):
    """Finds the old names, and loads what stands behind them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, or for a module of a package that was moved."""
        package, _, rest = fullname.partition(".tables.")
        if fullname in MOVED or (package == "fastnn" and rest):
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that took its place where the import system looks for the old one."""
        name = module.__name__
        new = MOVED.get(name) or name.replace("fastnn.tables.", "fastnn.tabular.", 1)
        sys.modules[name] = import_module(new)


def install() -> None:
    """Let Python find modules under their old names."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
