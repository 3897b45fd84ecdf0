"""Estimators as files: constructor parameters, what was learned, and what a continued fit needs.

Everything is JSON and arrays in the format of `fastnn.files.container`; docs/format.md describes it. What is read is
held against the constructor's constraints and against the network beside it.
"""

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from fastnn import activations, losses, optimizers, schedules
from fastnn.activations import ActivationFunction
from fastnn.estimators.labels import LabelEncoding
from fastnn.files import container
from fastnn.files.container import SavedFile, printable, shown
from fastnn.files.persistence import ARRAY, member, network_part, pack, read_layer, read_network
from fastnn.layers import Layer
from fastnn.losses import LossFunction
from fastnn.metrics import Metric, check_metrics, saved_names
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.schedules import Schedule
from fastnn.training.files import read_trainer, trainer_part
from fastnn.training.trainer import Trainer

_MAX_DEPTH = 8

# --- constructor parameters -----------------------------------------------------------------------------------------

# Objects among the parameters: tag in the file -> class, function of the object's configuration.
_OBJECTS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "activation": (ActivationFunction, activations.get),
    "optimizer": (Optimizer, optimizers.get),
    "loss": (LossFunction, losses.get),
    "schedule": (Schedule, partial(schedules.get, "learning_rate")),
    "layer": (Layer, read_layer),
}
# What is code or somebody else's state, and comes back as None.
_NOT_SAVED = ("callbacks",)


def _encode(name: str, value: Any) -> Any:
    """Return a parameter as JSON types; what JSON lacks is an object with one member, its tag."""
    if name in _NOT_SAVED or isinstance(value, np.random.RandomState) or (name == "scoring" and callable(value)):
        return None
    if name == "loss" and callable(value) and not isinstance(value, LossFunction):
        value = losses.get(value)  # which says why a function cannot be saved
    if name == "metrics" and (isinstance(value, Metric) or callable(value)):
        (value,) = saved_names(check_metrics(value))  # which says why a function cannot be saved
    for tag, (cls, _) in _OBJECTS.items():
        if isinstance(value, cls):
            return {tag: value.config}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, tuple):
        return {"tuple": [_encode(name, item) for item in value]}
    if isinstance(value, list):
        return [_encode(name, item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": [[_encode(name, key), _encode(name, item)] for key, item in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{name} must be a number, a text, or made of such to be saved, got {value!r}")


def _decode(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return what `_encode` was given, or raise ValueError or TypeError."""
    if depth == 0:
        raise ValueError("a parameter is nested too deeply")
    if isinstance(value, list):
        return [_decode(item, depth - 1) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise ValueError(f"not a parameter: {shown(value)}")
    ((tag, content),) = value.items()
    if tag in _OBJECTS:
        return _OBJECTS[tag][1](content)
    if tag == "tuple" and isinstance(content, list):
        return tuple(_decode(item, depth - 1) for item in content)
    if tag == "mapping" and isinstance(content, list):
        pairs = [_decode(pair, depth - 1) for pair in content]
        if all(isinstance(pair, list) and len(pair) == 2 and _is_label(pair[0]) for pair in pairs):
            return dict(pairs)
    if tag == "float" and content in ("inf", "-inf", "nan"):
        return float(content)
    raise ValueError(f"not a parameter: {shown(value)}")


def _is_label(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


# --- what was learned -----------------------------------------------------------------------------------------------


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, float) or type(value) is int


def _is_curve(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(item, float) for item in value))


# Attribute -> whether a value suits it. An estimator has those that its fit has set.
_FITTED: dict[str, Callable[[Any], bool]] = {
    "n_features_in_": _is_count,
    "n_outputs_": _is_count,
    "n_layers_": _is_count,
    "n_iter_": _is_count,
    "t_": _is_count,
    "out_activation_": lambda value: isinstance(value, str),
    "loss_": _is_number,
    "best_loss_": _is_number,
    "best_validation_score_": _is_number,
    "loss_curve_": _is_curve,
    "validation_scores_": _is_curve,
    "validation_loss_curve_": _is_curve,
    "_seed": _is_count,
    "_no_improvement_count": _is_count,
    "_has_assigned_network": lambda value: value is True,
}

_NUMERIC = {np.dtype(name).name for name in "?bhilqBHILQfd"}


def _encode_labels(labels: np.ndarray) -> dict[str, Any]:
    kind = "text" if labels.dtype.kind == "U" else labels.dtype.name
    return {"dtype": kind, "values": labels.tolist()}


def _decode_labels(file: SavedFile, name: str, part: Any) -> np.ndarray:
    """Return an array of labels of the dtype that it had."""
    if isinstance(part, dict) and isinstance(part.get("values"), list) and all(map(_is_label, part["values"])):
        dtype, values = part.get("dtype"), part["values"]
        are_texts = all(isinstance(value, str) for value in values)
        try:
            if dtype == "text" and are_texts:
                return np.array(values, np.str_)
            if dtype == "object":
                array = np.empty(len(values), object)
                array[:] = values
                return array
            if isinstance(dtype, str) and dtype in _NUMERIC and not any(isinstance(value, str) for value in values):
                return np.array(values, dtype)
        except (OverflowError, ValueError) as error:
            raise file.error(f"{name}: {printable(str(error))}") from None
    raise file.error(f"{name} must hold labels of a known dtype, got {shown(part)}")


# --- the file -------------------------------------------------------------------------------------------------------


def save_estimator(estimator: Any, path: str | os.PathLike, **parts: Any) -> None:
    """Write a fitted estimator, whole or not at all.

    Parameters
    ----------
    estimator : estimator
        What is saved.
    path : str or path-like
        Where to.
    **parts : dict or list
        More members of the document, such as a preprocessing, of JSON types and arrays.
    """
    network, arrays = network_part(estimator.network_)
    own = _own_part(estimator, "estimator", arrays)
    members = []
    for i, one in enumerate(getattr(estimator, "estimators_", [])):
        where = f"estimator/members/{i}"
        part, its_arrays = network_part(one.network_, f"{where}/network")
        arrays.update(its_arrays)
        members.append({"network": part, **_own_part(one, where, arrays)})
    if members:
        own["members"] = members
    document = {"kind": "estimator", "network": network, "estimator": own}
    for name, part in parts.items():
        document[name] = pack(part, name, arrays)
    container.write(path, document, arrays)


def _own_part(estimator: Any, where: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what one estimator is beside its network, and put its arrays under names that begin with `where`."""
    fitted = {name: _encode(name, getattr(estimator, name)) for name in _FITTED if hasattr(estimator, name)}
    n_inputs, names = estimator.network_.n_inputs, getattr(estimator, "feature_names_in_", None)
    for name, value in fitted.items():  # may have been assigned, to what no file is read with
        if not _FITTED[name](_decode(value)) or (name == "n_features_in_" and value != n_inputs):
            raise ValueError(f"{name} must be as fit leaves it to be saved, got {getattr(estimator, name)!r}")
    if names is not None and np.shape(names) != (n_inputs,):
        raise ValueError(f"feature_names_in_ must hold {n_inputs} names to be saved, got {names!r}")
    own: dict[str, Any] = {
        "class": type(estimator).__name__,
        "parameters": {name: _encode(name, value) for name, value in estimator.get_params(deep=False).items()},
        "fitted": fitted,
    }
    if names is not None:
        own["feature_names"] = _encode_labels(np.asarray(names))
    if hasattr(estimator, "classes_"):
        own["classes"] = {**_encode_labels(estimator.classes_), "kind": estimator._labels.kind}
    if hasattr(estimator, "_best_parameters"):
        own["best_parameters"] = pack(estimator._best_parameters, f"{where}/best_parameters", arrays)
    if hasattr(estimator, "_trainer"):
        own["trainer"] = trainer_part(estimator._trainer, f"{where}/trainer", arrays)
    return own


def load_estimator(cls: type[Any], path: str | os.PathLike) -> Any:
    """Return the estimator in a file; an instance of `cls`, which the file must be of."""
    with container.reading(path) as file:
        return read_estimator(cls, file)


def read_estimator(cls: type[Any], file: SavedFile) -> Any:
    """Return the estimator in an open file."""
    if "estimator" not in file.document:
        raise file.error(f"it holds no estimator but a {shown(file.document.get('kind'))}")
    part = member(file, file.document, "estimator", dict)
    estimator = _read_own(cls, file, part, "estimator", read_network(Network, file))
    if "members" in part:
        members = member(file, part, "members", list)
        if not members or not all(isinstance(one, dict) for one in members):
            raise file.error(f"estimator.members must be a list of estimators, got {shown(members)}")
        estimator.estimators_ = [_read_member(estimator, file, one, i) for i, one in enumerate(members)]
        # As after a fit, the estimator's network is that of its first member.
        estimator.__dict__["network_"] = estimator.estimators_[0].network_
    return estimator


def _read_member(estimator: Any, file: SavedFile, part: dict[str, Any], i: int) -> Any:
    """Return one of several estimators whose outputs are averaged."""
    where = f"estimator/members/{i}"
    network = read_network(Network, file, part, f"{where}/network")
    one = _read_own(type(estimator), file, part, where, network)
    own, other = estimator.network_, one.network_
    if (own.n_inputs, own.n_outputs) != (other.n_inputs, other.n_outputs):
        raise file.error(f"{where} must have {own.n_inputs} inputs and {own.n_outputs} outputs as the others")
    return one


def _read_own(cls: type[Any], file: SavedFile, part: dict[str, Any], where: str, network: Network) -> Any:
    """Return the estimator that a part of the document called `where` describes, around a network."""
    if part.get("class") != cls.__name__:
        raise file.error(f"it holds an estimator of class {shown(part.get('class'))}, not {cls.__name__}")
    estimator = _read_parameters(cls, file, member(file, part, "parameters", dict))
    fitted = _read_fitted(file, member(file, part, "fitted", dict))
    expected = {"n_features_in_": network.n_inputs, "n_outputs_": network.n_outputs}
    for name, value in expected.items():
        if fitted.get(name) != value:
            given = shown(fitted.get(name))
            raise file.error(f"{where}.fitted.{name} must be {value}, as in the network, got {given}")
    for name, value in fitted.items():
        estimator.__dict__[name] = value
    estimator.__dict__["network_"] = network
    estimator._after_load()
    if "feature_names" in part:
        names = _decode_labels(file, f"{where}.feature_names", part["feature_names"])
        if len(names) != network.n_inputs:
            raise file.error(f"{where}.feature_names must hold {network.n_inputs} names, got {len(names)}")
        estimator.feature_names_in_ = names
    if hasattr(estimator, "predict_proba"):
        _read_classes(file, estimator, part.get("classes"))
    if "best_parameters" in part:
        name = f"{where}/best_parameters"
        file.expect(name, network.dtype, (network.n_parameters,))
        if part["best_parameters"] != {ARRAY: name}:
            raise file.error(f"{where}.best_parameters must refer to an array, got {shown(part['best_parameters'])}")
        estimator._best_parameters = file.read(name)
        estimator._best_state = network.state.copy()  # with early stopping the network holds the best epoch's
    if "trainer" in part:
        trainer = member(file, part, "trainer", dict)
        estimator._trainer = read_trainer(Trainer, file, f"{where}/trainer", trainer, network)
    return estimator


def _read_parameters(cls: type[Any], file: SavedFile, part: dict[str, Any]) -> Any:
    try:
        estimator = cls(**{name: _decode(value) for name, value in part.items()})
        estimator._validate_params()
    except (TypeError, ValueError) as error:
        raise file.error(f"estimator.parameters: {printable(str(error))[:300]}") from None
    return estimator


def _read_fitted(file: SavedFile, part: dict[str, Any]) -> dict[str, Any]:
    fitted = {}
    for name, value in part.items():
        try:
            value = _decode(value)
        except (TypeError, ValueError) as error:
            raise file.error(f"estimator.fitted: {printable(str(error))}") from None
        if name not in _FITTED or not _FITTED[name](value):
            raise file.error(f"estimator.fitted: {shown(name)} does not exist or cannot be {shown(value)}")
        fitted[name] = value
    return fitted


def _read_classes(file: SavedFile, estimator: Any, part: Any) -> None:
    """Set the classes of a classifier; they must be sorted, and as many as the network's outputs say."""
    classes = _decode_labels(file, "estimator.classes", part)
    kind, n_classes, n_outputs = part.get("kind"), len(classes), estimator.network_.n_outputs
    fits = {
        "binary": n_outputs == 1 and n_classes in (1, 2),
        "multiclass": n_outputs == n_classes > 2,
        "multilabel-indicator": n_outputs == n_classes,
    }
    if not isinstance(kind, str) or not fits.get(kind, False):
        raise file.error(f"estimator.classes: {n_classes} of kind {shown(kind)} do not go with {n_outputs} outputs")
    try:
        is_sorted = all(a < b for a, b in zip(classes[:-1].tolist(), classes[1:].tolist(), strict=True))
    except TypeError:
        is_sorted = False
    if not is_sorted:
        raise file.error("estimator.classes must be sorted, and differ")
    estimator.__dict__["classes_"] = classes
    estimator._labels = LabelEncoding.known(classes, kind)


__all__ = ["load_estimator", "read_estimator", "save_estimator"]
