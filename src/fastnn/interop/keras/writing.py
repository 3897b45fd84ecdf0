"""From a network to Keras: its words and ours are the same, and so are the shapes of weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.files.persistence import arrays_by_layer
from fastnn.interop.keras.activations import write_activation
from fastnn.interop.parts import (
    AVERAGE_POOLING,
    CONVOLUTIONS,
    GLOBAL_AVERAGE_POOLING,
    GLOBAL_MAX_POOLING,
    MAX_POOLING,
    RECURRENT,
    SPATIAL_DROPOUT,
    Weights,
    require_keras,
    weights_inside,
)
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from fastnn.model.network import Network

# Arguments that both sides call the same.
_SAME: dict[type, tuple[str, ...]] = {
    layers.Dense: ("units", "use_bias"),
    **dict.fromkeys(CONVOLUTIONS, ("filters", "kernel_size", "strides", "padding", "groups", "use_bias")),
    layers.Conv2DTranspose: ("filters", "kernel_size", "strides", "padding", "use_bias"),
    **dict.fromkeys((*MAX_POOLING, *AVERAGE_POOLING), ("pool_size", "strides", "padding")),
    **dict.fromkeys((*GLOBAL_MAX_POOLING, *GLOBAL_AVERAGE_POOLING, layers.Flatten), ()),
    **dict.fromkeys((layers.Dropout, *SPATIAL_DROPOUT), ("rate",)),
    layers.GaussianNoise: ("stddev",),
    layers.Embedding: ("input_dim", "output_dim"),
    layers.UpSampling2D: ("size",),
    layers.RandomFlip: ("mode",),
    layers.RandomTranslation: ("height_factor", "width_factor"),
    LayerNormalization: ("epsilon", "center", "scale"),
    BatchNormalization: ("momentum", "epsilon", "center", "scale"),
    **dict.fromkeys(RECURRENT, ("units", "use_bias", "return_sequences", "go_backwards", "dropout")),
}
_CHANNELS_LAST = (
    *CONVOLUTIONS, layers.Conv2DTranspose, *MAX_POOLING, *AVERAGE_POOLING, *GLOBAL_MAX_POOLING,
    *GLOBAL_AVERAGE_POOLING, layers.UpSampling2D, layers.SpatialDropout2D, layers.Flatten, layers.RandomFlip,
    layers.RandomTranslation,
)  # fmt: skip


class _Writer:
    def __init__(self, keras: Any, dtype: str):
        self.keras, self.dtype = keras, dtype
        self.weights: list[tuple[Any, list[np.ndarray]]] = []  # of layers, to be set when they are built

    def layer(self, layer: Any, weights: Weights) -> list[Any]:
        """Return a layer as Keras's, which are several where an activation has a number."""
        if type(layer) not in WRITE:
            reason = NO_EQUAL.get(type(layer), "the bridge does not know it")
            raise ValueError(f"{layer!r} has no equal in Keras: {reason}")
        return WRITE[type(layer)](self, layer, weights)

    def plain(self, layer: Any, weights: Weights) -> list[Any]:
        """Return a layer whose arguments have the same names there."""
        options = {name: getattr(layer, name) for name in _SAME[type(layer)]}
        behind: list[Any] = []
        if hasattr(layer, "dilation"):
            options["dilation_rate"] = layer.dilation
        if isinstance(layer, _CHANNELS_LAST):
            options["data_format"] = "channels_last"
        if isinstance(layer, layers.RandomTranslation):
            options |= {"fill_mode": "constant", "interpolation": "nearest"}
        if isinstance(layer, layers.Recurrent):
            options["activation"] = layer.activation.name
            if not isinstance(layer, layers.SimpleRNN):
                options["recurrent_activation"] = layer.recurrent_activation.name  # type: ignore[attr-defined]
            if isinstance(layer, layers.LSTM):
                options["unit_forget_bias"] = layer.unit_forget_bias
        elif hasattr(layer, "activation"):
            options["activation"], behind = write_activation(self.keras, layer.activation, self.dtype)
        made = getattr(self.keras.layers, type(layer).__name__)(dtype=self.dtype, **options)
        self.keep(made, layer, weights)
        return [made, *behind]

    def keep(self, made: Any, layer: Any, weights: Weights) -> None:
        """Remember what a layer gets when it is built."""
        if weights:
            made.trainable = layer.trainable
            self.weights.append((made, list(weights.values())))

    def connect(self, x: Any, layer: Any, weights: Weights) -> Any:
        """Return what a layer makes of a symbolic tensor."""
        if isinstance(layer, layers.Residual):
            y = x
            for i, inside in enumerate(layer.layers):
                y = self.connect(y, inside, weights_inside(weights, i))
            return self.keras.layers.Add(dtype=self.dtype)([x, y])
        for made in self.layer(layer, weights):
            x = made(x)
        return x


def _write_activation(writer: _Writer, layer: layers.Activation, weights: Weights) -> list[Any]:
    name, behind = write_activation(writer.keras, layer.function, writer.dtype)
    return behind or [writer.keras.layers.Activation(name, dtype=writer.dtype)]


def _write_reshape(writer: _Writer, layer: layers.Reshape, weights: Weights) -> list[Any]:
    return [writer.keras.layers.Reshape(layer.shape, dtype=writer.dtype)]


def _write_bidirectional(writer: _Writer, layer: layers.Bidirectional, weights: Weights) -> list[Any]:
    (inner,) = writer.plain(layer.layer, {})
    made = writer.keras.layers.Bidirectional(inner, merge_mode=layer.merge_mode, dtype=writer.dtype)
    writer.keep(made, layer, weights)
    return [made]


def _write_normalization(writer: _Writer, layer: layers.Normalization, weights: Weights) -> list[Any]:
    mean, variance = weights["mean"].copy(), weights["variance"].copy()
    return [writer.keras.layers.Normalization(axis=-1, mean=mean, variance=variance, dtype=writer.dtype)]


WRITE: dict[type, Callable[[_Writer, Any, Weights], list[Any]]] = {
    **dict.fromkeys(_SAME, _Writer.plain),
    layers.Activation: _write_activation,
    layers.Reshape: _write_reshape,
    layers.Bidirectional: _write_bidirectional,
    layers.Normalization: _write_normalization,
}

# Why a layer has no layer there, for the message that refuses it.
NO_EQUAL: dict[type, str] = {
    layers.Ensemble: "Keras has no layer whose members share a kernel; it goes to ONNX",
    layers.Scale: "Keras has no layer of one factor a feature; it goes to ONNX",
    layers.CategoryEmbedding: "Keras has no layer of categories among other features; it goes to ONNX",
    layers.Periodic: "Keras has no layer of waves of a feature; it goes to ONNX",
    layers.PiecewiseLinear: "Keras has no layer of piecewise-linear functions of a feature; it goes to ONNX",
}


def to_keras(network: "Network") -> Any:
    """Return a network as a Keras model; `Network.to_keras` documents it."""
    keras = require_keras()
    writer = _Writer(keras, network.dtype.name)
    inputs = keras.Input(network.plan.input_shape, dtype=network.dtype.name)
    pairs = list(zip(network.layers, arrays_by_layer(network), strict=True))[1:]
    if any(isinstance(layer, layers.Residual) for layer, _ in pairs):
        outputs = inputs
        for layer, weights in pairs:
            outputs = writer.connect(outputs, layer, weights)
        model = keras.Model(inputs, outputs)
    else:
        model = keras.Sequential([inputs, *(made for pair in pairs for made in writer.layer(*pair))])
    for made, arrays in writer.weights:
        made.set_weights(arrays)
    return model


__all__ = ["NO_EQUAL", "WRITE", "to_keras"]
