"""Declarative layers: what a user writes down. Each writes itself into a plan, and computes nothing.

One file a family of layers. To add a layer: its class in a file here, its name in `LAYERS`, and its kernel in
`fastnn/kernels/ops/`.
"""

from collections.abc import Iterable
from typing import Any

from fastnn.common.records import fix
from fastnn.common.validation import check_choice
from fastnn.layers.activation import Activation
from fastnn.layers.adapted import Normalization
from fastnn.layers.base import Input, Layer
from fastnn.layers.convolution import Conv1D, Conv2D, Conv2DTranspose
from fastnn.layers.dense import Dense
from fastnn.layers.embedding import Embedding
from fastnn.layers.ensemble import Ensemble
from fastnn.layers.images import RandomFlip, RandomTranslation, SpatialDropout1D, SpatialDropout2D, UpSampling2D
from fastnn.layers.noise import Dropout, GaussianNoise
from fastnn.layers.normalization import BatchNormalization, LayerNormalization
from fastnn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPooling1D,
    MaxPooling2D,
)
from fastnn.layers.recurrent import GRU, LSTM, Bidirectional, Recurrent, SimpleRNN
from fastnn.layers.scaling import Scale
from fastnn.layers.structure import Flatten, Reshape, Residual

LAYERS: tuple[type[Layer], ...] = (
    Input, Dense, Activation, Dropout, GaussianNoise, LayerNormalization, BatchNormalization, Flatten, Reshape,
    Residual, Conv1D, Conv2D, AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D,
    GlobalMaxPooling1D, GlobalMaxPooling2D, MaxPooling1D, MaxPooling2D, Conv2DTranspose, RandomFlip,
    RandomTranslation, SpatialDropout1D, SpatialDropout2D, UpSampling2D,
    SimpleRNN, LSTM, GRU, Bidirectional, Normalization, Scale, Ensemble, Embedding,
)  # fmt: skip

fix(LAYERS, "a layer is fixed; make a new Network with {cls}({name}=...)")


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
    known = {cls.__name__: cls for cls in LAYERS}
    name = check_choice("layer", arguments.pop("layer", None), known)
    if name in ("Residual", "Ensemble") and isinstance(arguments.get("layers"), list):
        arguments["layers"] = [from_config(layer) for layer in arguments["layers"]]
    if name == "Bidirectional" and isinstance(arguments.get("of"), dict):
        arguments["layer"] = from_config(arguments.pop("of"))
    return known[name](**arguments)


def check_layers(given: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers, or raise TypeError or ValueError unless exactly the first of them is an `Input`."""
    if not isinstance(given, Iterable):
        raise TypeError(f"layers must be a sequence of layers, got {given!r}")
    layers = tuple(given)
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{i}] must be a fastnn layer such as Dense, got {layer!r}")
    if not layers or not isinstance(layers[0], Input):
        first = repr(layers[0]) if layers else "an empty list"
        raise ValueError(f"layers must start with Input(n_features), got {first}")
    for i, layer in enumerate(layers[1:], start=1):
        if isinstance(layer, Input):
            raise ValueError(f"layers must hold one Input, the first; layers[{i}] is {layer!r}")
    if len(layers) == 1:
        raise ValueError("layers must hold at least one layer after Input")
    return layers


__all__ = [
    "GRU", "LAYERS", "LSTM", "Activation", "AveragePooling1D", "AveragePooling2D", "BatchNormalization",
    "Bidirectional", "Conv1D", "Conv2D", "Conv2DTranspose", "Dense", "Dropout", "Embedding", "Ensemble", "Flatten",
    "GaussianNoise",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "Input", "Layer",
    "LayerNormalization", "MaxPooling1D", "MaxPooling2D", "Normalization", "RandomFlip", "RandomTranslation",
    "Recurrent", "Reshape", "Residual", "Scale", "SimpleRNN", "SpatialDropout1D", "SpatialDropout2D",
    "UpSampling2D", "check_layers", "from_config",
]  # fmt: skip
