"""What is saved of a network, and how it comes back; parts of documents, of which whatever stands around it is made.

Every kind of file holds a network, so `Network.load` reads them all; a checkpoint or an estimator adds its own part to
the document. Architectures are checked before parameters are allocated: their sizes must agree with the arrays that
the file holds. `fastnn.files.container` is the layer below, docs/format.md the description of both.
"""

import math
import os
from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from fastnn.engine.layout import Plan, are_variances_sound
from fastnn.engine.plan import make_plan
from fastnn.files import container
from fastnn.files.container import FileFormatError, SavedFile, printable, shown
from fastnn.layers import Layer, check_layers, from_config

ARRAY = "array"  # {"array": name} in a document stands for an array of the file
MAX_LAYERS = 10_000
# Limits on one layer's configuration: far above any real one, and low enough that no number in it can overflow.
_MAX_INTEGER = 2**31
_MAX_TEXT = 100
_MAX_DEPTH = 4
_MAX_LAYER_DEPTH = 32  # of layers within layers
_MAX_ITEMS = 100


class SavedNetwork(Protocol):
    """What files have to know of a network; `fastnn.Network` is one."""

    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def state(self) -> np.ndarray: ...
    def get_weights(self) -> list[np.ndarray]: ...
    @classmethod
    def _blank(cls, layers: list[Layer], *, dtype: str, seed: int | None) -> Self: ...


N = TypeVar("N", bound=SavedNetwork)

# --- networks -------------------------------------------------------------------------------------------------------


def network_part(network: SavedNetwork, where: str = "network") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a network as a part of a document, and the arrays that go with it, their names under `where`.

    Raises
    ------
    ValueError
        If a parameter is NaN or infinite, a variance negative, or there are too many layers: no such file is loaded.
    """
    if len(network.layers) > MAX_LAYERS:
        raise ValueError(f"a network must have at most {MAX_LAYERS:,} layers to be saved, got {len(network.layers):,}")
    arrays = dict(zip(_array_names(network.plan, where), _arrays(network), strict=True))
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"parameters must be finite to be saved, got NaN or infinity in {name!r}")
        if not are_variances_sound(name, array):
            raise ValueError(f"variances must not be negative to be saved, got {array.min()} in {name!r}")
    part = {
        "layers": [layer.config for layer in network.layers], "dtype": network.dtype.name, "seed": network.seed,
    }  # fmt: skip
    return part, arrays


def _array_names(plan: Plan, where: str) -> list[str]:
    """Name every tensor of parameters and of state by its layer's number: "network/1/kernel"."""
    return [f"{where}/{variable.layer}/{variable.name}" for variable in (*plan.variables, *plan.states)]


def _arrays(network: SavedNetwork) -> list[np.ndarray]:
    """The tensors of parameters and of state: views."""
    states = [network.state[s.offset : s.offset + s.size] for s in network.plan.states]
    return [*network.get_weights(), *states]


def arrays_by_layer(network: SavedNetwork) -> list[dict[str, np.ndarray]]:
    """Return for each layer its parameters and state by name: views."""
    by_layer: list[dict[str, np.ndarray]] = [{} for _ in network.layers]
    for variable, array in zip((*network.plan.variables, *network.plan.states), _arrays(network), strict=True):
        by_layer[variable.layer][variable.name] = array
    return by_layer


def save_network(network: SavedNetwork, path: str | os.PathLike) -> None:
    """Write a network to a file, whole or not at all."""
    part, arrays = network_part(network)
    container.write(path, {"kind": "network", "network": part}, arrays)


def load_network(cls: type[N], path: str | os.PathLike) -> N:
    """Return the network in a file of any kind."""
    with container.reading(path) as file:
        return read_network(cls, file)


def read_network(cls: type[N], file: SavedFile, holder: dict[str, Any] | None = None, where: str = "network") -> N:
    """Return a network in an open file; nothing is allocated before the whole architecture was checked.

    `holder` is the part of the document with the member "network", None the document itself; `where` is what the names
    of its arrays begin with.
    """
    part = member(file, file.document if holder is None else holder, "network", dict)
    dtype = member(file, part, "dtype", str)
    if dtype not in ("float32", "float64"):
        raise file.error(f"network.dtype must be 'float32' or 'float64', got {shown(dtype)}")
    seed = part.get("seed")
    if seed is not None and not (type(seed) is int and 0 <= seed < 2**63):
        raise file.error(f"network.seed must be null or an integer from 0 to {2**63 - 1}, got {shown(seed)}")
    layers = _read_layers(file, member(file, part, "layers", list))
    try:
        check_layers(layers)
        plan = make_plan(layers)
    except (TypeError, ValueError) as error:
        raise file.error(f"network.layers: {printable(str(error))}") from None
    names = _array_names(plan, where)
    for name, variable in zip(names, (*plan.variables, *plan.states), strict=True):
        file.expect(name, dtype, variable.shape)
    network = cls._blank(layers, dtype=dtype, seed=seed)
    for name, view in zip(names, _arrays(network), strict=True):
        file.read_into(name, view)
        if not are_variances_sound(name, view):
            raise file.error(f"the array {name!r} holds negative variances")
    return network


def _read_layers(file: SavedFile, configs: list[Any]) -> list[Layer]:
    if len(configs) > MAX_LAYERS:
        raise file.error(f"network.layers must hold at most {MAX_LAYERS:,} layers, got {len(configs):,}")
    layers = []
    for i, config in enumerate(configs):
        try:
            layers.append(read_layer(config))
        except (TypeError, ValueError) as error:
            raise file.error(f"network.layers[{i}]: {printable(str(error))}") from None
    return layers


def read_layer(config: Any) -> Layer:
    """Return the layer of a configuration in a file, or raise ValueError or TypeError."""
    if not isinstance(config, dict) or not _is_modest(config, _MAX_LAYER_DEPTH):
        raise ValueError(f"not the configuration of a layer: {shown(config)}")
    return from_config(config)


def _is_modest(value: Any, depth: int) -> bool:
    """Whether a JSON value has only sizes that a layer's configuration may have."""
    if isinstance(value, dict):
        return depth > 0 and len(value) <= _MAX_ITEMS and all(
            len(key) <= _MAX_TEXT and _is_modest(item, depth - 1) for key, item in value.items()
        )  # fmt: skip
    if isinstance(value, list):
        if all(type(item) is float for item in value):  # of every feature: as many as the file has room for
            return depth > 0 and all(map(math.isfinite, value))
        return depth > 0 and len(value) <= _MAX_ITEMS and all(_is_modest(item, depth - 1) for item in value)
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or abs(value) <= _MAX_INTEGER


# --- parts of documents ---------------------------------------------------------------------------------------------


def member(file: SavedFile, part: dict[str, Any], name: str, kind: type) -> Any:
    """Return a member of a part of the document, or raise FileFormatError if it is missing or of another type."""
    if name not in part:
        raise file.error(f"{name!r} is missing")
    value = part[name]
    if type(value) is not kind:
        raise file.error(f"{name!r} must be of type {kind.__name__}, got {shown(value)}")
    return value


def read_config(file: SavedFile, name: str, get: Callable[[Any], Any], config: Any) -> Any:
    """Return what a function makes of a configuration called `name`, or raise FileFormatError."""
    if config is None or not _is_modest(config, _MAX_DEPTH):
        raise file.error(f"{name} is not a configuration: {shown(config)}")
    try:
        return get(config)
    except (TypeError, ValueError) as error:
        raise file.error(f"{name}: {printable(str(error))}") from None


def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return nested dicts and lists with every array replaced by a reference, and put the arrays into `arrays`.

    Parameters
    ----------
    value : dict, list, JSON scalar or ndarray
        What to save. Dicts must not have the key "array", which marks references.
    name : str
        Where it stands; an array is called by the keys that lead to it, joined by "/".
    arrays : dict
        Gets the arrays.
    """
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {ARRAY: name}
    if isinstance(value, dict):
        if ARRAY in value:
            raise ValueError(f"what is saved must not use the name {ARRAY!r}, which {name!r} does")
        return {key: pack(item, f"{name}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [pack(item, f"{name}/{i}", arrays) for i, item in enumerate(value)]
    return value


def unpack(file: SavedFile, value: Any, *, finite: bool = False) -> Any:
    """Return what `pack` was given, with the arrays read from the file, each at most once."""
    return _unpack(file, value, set(file.tensors), finite)


def _unpack(file: SavedFile, value: Any, left: set[str], finite: bool) -> Any:
    if isinstance(value, dict):
        if ARRAY in value:
            name = value[ARRAY]
            if len(value) != 1 or not isinstance(name, str) or name not in left:
                raise file.error(f"not a reference to an array of this file, or the second to one: {shown(value)}")
            left.remove(name)
            return file.read(name, finite=finite)
        return {key: _unpack(file, item, left, finite) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(file, item, left, finite) for item in value]
    return value


__all__ = [
    "FileFormatError", "SavedNetwork", "arrays_by_layer", "load_network", "member", "network_part", "pack",
    "read_config", "read_network", "save_network", "unpack",
]  # fmt: skip
