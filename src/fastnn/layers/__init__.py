"""Declarative layers: what a user writes down. Each writes itself into a plan, and computes nothing.

One file a family of layers, which is imported, with its kernels, when one of its layers is first asked for. To add a
layer: its class in a file here, its name in `_MODULES`, a new file's in `kinds`, its kernel in `fastnn/kernels/ops/`.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnn.common.records import fix
from fastnn.common.validation import check_choice
from fastnn.layers import base
from fastnn.layers.base import Layer as Layer
from fastnn.layers.base import as_sequence

if TYPE_CHECKING:  # at run time `__getattr__` below imports them
    from fastnn.layers.kinds import *
    from fastnn.layers.recurrent import Recurrent as Recurrent

# The layers of each file.
_MODULES = {
    "base": ("Input", "Activation"),
    "dense": ("Dense",),
    "noise": ("Dropout", "GaussianNoise"),
    "normalization": ("LayerNormalization", "BatchNormalization"),
    "structure": ("Flatten", "Reshape", "Residual"),
    "convolution": ("Conv1D", "Conv2D", "Conv2DTranspose"),
    "pooling": (
        "AveragePooling1D",
        "AveragePooling2D",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "MaxPooling1D",
        "MaxPooling2D",
    ),
    "images": ("RandomFlip", "RandomTranslation", "SpatialDropout1D", "SpatialDropout2D", "UpSampling2D"),
    "recurrent": ("SimpleRNN", "LSTM", "GRU", "Bidirectional"),
    "numbers": ("Normalization", "Scale", "PiecewiseLinear"),
    "periodic": ("Periodic",),
    "ensemble": ("Ensemble",),
    "embedding": ("CategoryEmbedding", "Embedding"),
}

# The layers by name: their classes, or the modules that hold them.
LAYERS: dict[str, str | type[Layer]] = {
    name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names
}


def layer_class(name: str) -> type[Layer]:
    """Return the class of a layer.

    Raises
    ------
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> layer_class("Dropout")(0.5)
    Dropout(rate=0.5)
    """
    found = LAYERS[check_choice("layer", name, LAYERS)]
    if isinstance(found, str):
        found = LAYERS[name] = getattr(import_module(found), name)
        fix([found], "a layer is fixed; make a new Network with {cls}({name}=...)")
    return found


def layer_classes() -> tuple[type[Layer], ...]:
    """Return the classes of all layers; imports all of them."""
    return tuple(layer_class(name) for name in tuple(LAYERS))


def __getattr__(name: str) -> Any:
    if name == "Recurrent":
        return import_module(f"{__name__}.recurrent").Recurrent
    if name not in LAYERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return layer_class(name)


layer_class("Input")


def from_config(config: dict[str, Any]) -> Layer:
    """Return the layer that a config describes.

    Raises
    ------
    ValueError
        If the class is unknown.

    Examples
    --------
    >>> from_config({"layer": "Dropout", "rate": 0.5})
    Dropout(rate=0.5)
    """
    arguments = dict(config)
    name = check_choice("layer", arguments.pop("layer", None), LAYERS)
    if name in ("Residual", "Ensemble") and isinstance(arguments.get("layers"), list):
        arguments["layers"] = [from_config(layer) for layer in arguments["layers"]]
    if name == "Bidirectional" and isinstance(arguments.get("of"), dict):
        arguments["layer"] = from_config(arguments.pop("of"))
    return layer_class(name)(**arguments)


def check_layers(given: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers, or raise TypeError or ValueError unless exactly the first of them is an `Input`."""
    layers = as_sequence(given)
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{i}] must be a fastnn layer such as Dense, got {layer!r}")
    if not layers or not isinstance(layers[0], base.Input):
        first = repr(layers[0]) if layers else "an empty list"
        raise ValueError(
            f"layers must start with Input(n_features), or Input((height, width, channels)) for images, got {first}"
        )
    for i, layer in enumerate(layers[1:], start=1):
        if isinstance(layer, base.Input):
            raise ValueError(f"layers must hold one Input, the first; layers[{i}] is {layer!r}")
    if len(layers) == 1:
        raise ValueError("layers must hold at least one layer after Input")
    return layers


if not TYPE_CHECKING:  # type checkers go by the imports
    __all__ = ["LAYERS", "Layer", "Recurrent", "check_layers", "from_config", "layer_class", "layer_classes", *LAYERS]
