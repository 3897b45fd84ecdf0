"""Keras: a chain of layers to a network."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ELU, NAMES, ActivationFunction, LeakyReLU
from fastnn.interop.parts import Part, assemble, batch_normalization, dense, floats, require_keras
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from fastnn.model.network import Network


def _activation(function: Any) -> ActivationFunction:
    """Our activation for a function of keras.activations, or for a layer that stands for one."""
    if type(function).__name__ in _READ:
        part = _READ[type(function).__name__](function)
        if part is not None and isinstance(part.layer, layers.Activation):
            return part.layer.function
    name = getattr(function, "__name__", str(function))
    if name == "leaky_relu":
        return LeakyReLU(0.2)  # the function's default, unlike ours
    if name == "elu":
        return ELU(1.0)
    if name not in NAMES:
        raise ValueError(f"the activation {name!r} has no equal in fastnn; known are {', '.join(NAMES)}")
    return ActivationFunction(name)


def _read_dense(layer: Any) -> Part:
    kernel, *bias = layer.get_weights()
    return dense(floats(kernel), floats(bias[0]) if bias else None, _activation(layer.activation))


def _read_relu(layer: Any) -> Part:
    if layer.max_value is not None or layer.threshold:
        raise ValueError(f"{layer.name!r}, a ReLU with max_value or threshold, has no equal in fastnn")
    slope = float(layer.negative_slope)
    return Part(layers.Activation(LeakyReLU(slope) if slope else "relu"))


def _is_last(layer: Any, axis: Any) -> bool:
    """Whether an axis is the last of the layer's input."""
    n_axes = len(layer._inbound_nodes[0].input_tensors[0].shape)
    return isinstance(axis, int) and axis in (-1, n_axes - 1)


def _read_softmax(layer: Any) -> Part:
    if not _is_last(layer, layer.axis):
        raise ValueError(f"{layer.name!r}, a Softmax over axis {layer.axis}, has no equal in fastnn")
    return Part(layers.Activation("softmax"))


def _normalized(layer: Any) -> None:
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0] if len(layer.axis) == 1 else None
    if not _is_last(layer, axis):
        raise ValueError(f"{layer.name!r}, which normalizes over axis {layer.axis}, has no equal in fastnn")


def _read_layer_normalization(layer: Any) -> Part:
    _normalized(layer)
    if getattr(layer, "rms_scaling", False):
        raise ValueError(f"{layer.name!r}, with rms_scaling, has no equal in fastnn")
    ours = LayerNormalization(float(layer.epsilon), center=bool(layer.center), scale=bool(layer.scale))
    return Part(ours, [floats(np.asarray(array)) for array in layer.get_weights()])


def _read_batch_normalization(layer: Any) -> Part:
    _normalized(layer)
    ours = BatchNormalization(
        float(layer.momentum), float(layer.epsilon), center=bool(layer.center), scale=bool(layer.scale)
    )
    *affine, mean, variance = (floats(np.asarray(array)) for array in layer.get_weights())
    return batch_normalization(ours, affine, [mean, variance])


def _read_normalization(layer: Any) -> Part:
    axes = layer.axis if isinstance(layer.axis, tuple | list) else () if layer.axis is None else (layer.axis,)
    if len(axes) > 1 or (axes and not _is_last(layer, axes[0])):
        raise ValueError(f"{layer.name!r}, which normalizes over axis {layer.axis}, has no equal in fastnn")
    if layer.invert:
        raise ValueError(f"{layer.name!r}, with invert=True, has no equal in fastnn")
    units = layer._inbound_nodes[0].input_tensors[0].shape[-1]
    mean, variance = (np.broadcast_to(np.ravel(array), units) for array in (layer.mean, layer.variance))
    variance = np.maximum(variance, 1e-14)  # Keras divides by 1e-7 at least
    return Part(layers.Normalization(mean, variance), state=[mean, variance])


# Class name in keras.layers -> function of a layer; None where it does nothing.
_READ: dict[str, Callable[[Any], Part | None]] = {
    "InputLayer": lambda layer: None,
    "Identity": lambda layer: None,
    "Dense": _read_dense,
    "Activation": lambda layer: Part(layers.Activation(_activation(layer.activation))),
    "ReLU": _read_relu,
    "LeakyReLU": lambda layer: Part(layers.Activation(LeakyReLU(float(layer.negative_slope)))),
    "ELU": lambda layer: Part(layers.Activation(ELU(float(layer.alpha)))),
    "Softmax": _read_softmax,
    "Dropout": lambda layer: Part(layers.Dropout(float(layer.rate))),
    "GaussianNoise": lambda layer: Part(layers.GaussianNoise(float(layer.stddev))),
    "LayerNormalization": _read_layer_normalization,
    "BatchNormalization": _read_batch_normalization,
    "Normalization": _read_normalization,
    "Flatten": lambda layer: Part(layers.Flatten()),
    "Reshape": lambda layer: Part(layers.Reshape(tuple(layer.target_shape))),
}


def read(layer: Any) -> Part | None:
    """Return a layer as a part of a network; None if it does nothing."""
    name = type(layer).__name__
    if name not in _READ or not type(layer).__module__.startswith("keras."):
        known = ", ".join(_READ)
        raise ValueError(f"{layer.name!r}, a layer of type {name}, has no equal in fastnn; known are {known}")
    return _READ[name](layer)


def _chain(keras: Any, model: Any) -> list[Any]:
    """The layers in the order in which data pass them, those of nested models too, found from the output backwards."""
    tensors = getattr(model, "outputs", None)
    if tensors is None or len(tensors) != 1:
        raise ValueError("model must be a Sequential or functional model with one output")
    chain: list[Any] = []
    while True:
        history = tensors[0]._keras_history
        layer, call = history.operation, history.operation._inbound_nodes[history.node_index]
        chain = (_chain(keras, layer) if isinstance(layer, keras.Model) else [layer]) + chain
        if call.is_input:
            return chain
        tensors = call.input_tensors
        if len(tensors) != 1:
            raise ValueError(f"model must be a chain of layers, but {layer.name!r} has {len(tensors)} inputs")


def from_keras(cls: "type[Network]", model: Any) -> "Network":
    """Return a network with the layers and parameters of a model; `Network.from_keras` documents it."""
    keras = require_keras()
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise ValueError("model must be built: give it an Input, or call it once")
    parts = [part for part in map(read, _chain(keras, model)) if part is not None]
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) < 2 or not all(isinstance(n, int) for n in shape[1:]):
        raise ValueError(f"model must have one input of shape (None, n_features) or (None, *shape), got {shape}")
    dtypes = {array.dtype for part in parts for array in part.weights}
    return assemble(
        cls, "model", parts, shape[1] if len(shape) == 2 else shape[1:],
        "float64" if dtypes == {np.dtype(np.float64)} else "float32",
    )  # fmt: skip
