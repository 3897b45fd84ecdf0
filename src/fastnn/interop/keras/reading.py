"""From a Keras model that is a chain of layers to a network."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.interop.keras import activations, recurrent, windows
from fastnn.interop.keras.activations import read_activation
from fastnn.interop.keras.windows import weights_of
from fastnn.interop.parts import Part, assemble, batch_normalization, dense, require_keras, residual
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from fastnn.model.network import Network


def _read_dense(layer: Any) -> Part:
    kernel, *bias = weights_of(layer)
    return dense(kernel, bias[0] if bias else None, read_activation(layer.activation))


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
    return Part(ours, weights_of(layer))


def _read_batch_normalization(layer: Any) -> Part:
    _normalized(layer)
    ours = BatchNormalization(
        float(layer.momentum), float(layer.epsilon), center=bool(layer.center), scale=bool(layer.scale)
    )
    *affine, mean, variance = weights_of(layer)
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


def _read_embedding(layer: Any) -> Part:
    if layer.mask_zero:
        raise ValueError(f"{layer.name!r}, with mask_zero, has no equal in fastnn, where lengths say what counts")
    return Part(layers.Embedding(int(layer.input_dim), int(layer.output_dim)), weights_of(layer))


# Class name in keras.layers -> function of a layer; None where it does nothing.
READ: dict[str, Callable[[Any], Part | None]] = {
    "InputLayer": lambda layer: None,
    "Identity": lambda layer: None,
    "Dense": _read_dense,
    "Activation": lambda layer: Part(layers.Activation(read_activation(layer.activation))),
    **dict.fromkeys(activations.LAYERS, lambda layer: Part(layers.Activation(read_activation(layer)))),
    "Softmax": _read_softmax,
    "Dropout": lambda layer: Part(layers.Dropout(float(layer.rate))),
    "GaussianNoise": lambda layer: Part(layers.GaussianNoise(float(layer.stddev))),
    "LayerNormalization": _read_layer_normalization,
    "BatchNormalization": _read_batch_normalization,
    "Normalization": _read_normalization,
    "Embedding": _read_embedding,
    "Flatten": lambda layer: Part(layers.Flatten()),
    "Reshape": lambda layer: Part(layers.Reshape(tuple(layer.target_shape))),
    **windows.READ,
    **recurrent.READ,
}


def read(layer: Any) -> Part | None:
    """Return a layer as a part of a network; None if it does nothing."""
    name = type(layer).__name__
    if name not in READ or not type(layer).__module__.startswith("keras."):
        known = ", ".join(READ)
        raise ValueError(f"{layer.name!r}, a layer of type {name}, has no equal in fastnn; known are {known}")
    part = READ[name](layer)
    if part is not None and part.weights and not layer.trainable:
        part.layer = replace(part.layer, trainable=False)  # type: ignore[call-arg]
    return part


def _chain(keras: Any, model: Any) -> list[Any]:
    """The layers in the order in which data pass them, those of nested models too; a list of them is a way around."""
    tensors = getattr(model, "outputs", None)
    if tensors is None or len(tensors) != 1:
        raise ValueError("model must be a Sequential or functional model with one output")
    return _walk(keras, tensors[0], None) or []


def _walk(keras: Any, tensor: Any, stop: Any) -> list[Any] | None:
    """The layers that lead to a tensor from another, or from the input if that is None; None if none do."""
    chain: list[Any] = []
    while tensor is not stop:
        history = tensor._keras_history
        layer, call = history.operation, history.operation._inbound_nodes[history.node_index]
        if call.is_input:
            return None if stop is not None else [layer, *chain]
        tensors = call.input_tensors
        if type(layer) is keras.layers.Add and len(tensors) == 2:
            # x + f(x): one of both is where the other comes from.
            for x, y in (tensors, reversed(tensors)):
                inside = _walk(keras, y, x)
                if inside:
                    break
            else:
                raise ValueError(f"model must be a chain of layers, but {layer.name!r} adds two that are no x and f(x)")
            chain, tensor = [inside, *chain], x
            continue
        chain = (_chain(keras, layer) if isinstance(layer, keras.Model) else [layer]) + chain
        if len(tensors) != 1:
            raise ValueError(f"model must be a chain of layers, but {layer.name!r} has {len(tensors)} inputs")
        tensor = tensors[0]
    return chain


def _parts(chain: list[Any]) -> list[Part]:
    parts: list[Part] = []
    for layer in chain:
        part = residual(_parts(layer)) if isinstance(layer, list) else read(layer)
        if part is not None:
            parts.append(part)
    return parts


def from_keras(cls: "type[Network]", model: Any) -> "Network":
    """Return a network with the layers and parameters of a model; `Network.from_keras` documents it."""
    keras = require_keras()
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise ValueError("model must be built: give it an Input, or call it once")
    parts = _parts(_chain(keras, model))
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) < 2 or not all(isinstance(n, int) for n in shape[1:]):
        raise ValueError(f"model must have one input of shape (None, n_features) or (None, *shape), got {shape}")
    dtypes = {array.dtype for part in parts for array in part.weights}
    return assemble(
        cls, "model", parts, shape[1] if len(shape) == 2 else shape[1:],
        "float64" if dtypes == {np.dtype(np.float64)} else "float32",
    )  # fmt: skip
