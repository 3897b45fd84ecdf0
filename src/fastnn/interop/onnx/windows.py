"""Convolutions, pooling and upsampling: channels first, as ONNX has them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.onnx.activations import activation
from fastnn.interop.onnx.graph import Graph, Tensor, tensor
from fastnn.interop.parts import (
    AVERAGE_POOLING,
    CONVOLUTIONS,
    GLOBAL_AVERAGE_POOLING,
    GLOBAL_MAX_POOLING,
    MAX_POOLING,
    Weights,
    lay_transposed_windows,
    lay_windows,
)

_Shape = tuple[int, ...]


def _kernel_first(kernel: np.ndarray) -> np.ndarray:
    """(height, width, channels, filters) as (filters, channels, height, width); the same for one axis or more."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _convolution(graph: Graph, layer: Any, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    x = graph.first(x)
    windows = lay_windows(layer, x.shape)
    biases = [weights["bias"]] if "bias" in weights else []
    z = graph.single(
        "Conv", x.name, _kernel_first(weights["kernel"]), *biases, kernel_shape=[w.taps for w in windows],
        strides=[w.stride for w in windows], dilations=[w.dilation for w in windows], group=layer.groups,
        pads=[*(w.pad for w in windows), *(w.pad_after for w in windows)],
    )  # fmt: skip
    return activation(graph, layer.activation, x.named(z, shape))


def _transposed_convolution(graph: Graph, layer: Any, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    x = graph.first(x)
    windows = lay_transposed_windows(layer, x.shape)
    biases = [weights["bias"]] if "bias" in weights else []
    z = graph.single(
        "ConvTranspose", x.name, _kernel_first(weights["kernel"]), *biases, kernel_shape=[w.taps for w in windows],
        strides=[w.stride for w in windows], output_padding=[w.missing for w in windows],
        pads=[*(w.pad for w in windows), *(w.pad_after for w in windows)],
    )  # fmt: skip
    return activation(graph, layer.activation, x.named(z, shape))


def _pooling(graph: Graph, layer: Any, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    x = graph.first(x)
    windows = lay_windows(layer, x.shape)
    attributes: dict[str, Any] = {
        "kernel_shape": [w.taps for w in windows], "strides": [w.stride for w in windows],
        "pads": [*(w.pad for w in windows), *(w.pad_after for w in windows)],
    }  # fmt: skip
    if isinstance(layer, MAX_POOLING):
        return x.named(graph.node("MaxPool", x.name, **attributes), shape)
    return x.named(graph.single("AveragePool", x.name, count_include_pad=0, **attributes), shape)


def _global_pooling(operator: str) -> Callable[..., Tensor]:
    """Pooling of all places, whatever the order of the axes."""

    def write(graph: Graph, layer: Any, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
        places = [axis for axis, number in enumerate(x.order) if 0 < number < len(x.shape)]
        y = graph.node(operator, x.name, axes=places, keepdims=0)
        return tensor(y, shape)  # samples lie before channels in every order

    return write


def _upsampling(graph: Graph, layer: layers.UpSampling2D, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    x = graph.first(x)
    scales = np.array([1, 1, *(large / small for large, small in zip(shape[:2], x.shape[:2], strict=True))])
    y = graph.single(
        "Resize", x.name, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip
    return x.named(y, shape)


FORMS: dict[type, Callable[[Graph, Any, Tensor, Weights, _Shape], Tensor]] = {
    **dict.fromkeys(CONVOLUTIONS, _convolution),
    layers.Conv2DTranspose: _transposed_convolution,
    **dict.fromkeys((*MAX_POOLING, *AVERAGE_POOLING), _pooling),
    **dict.fromkeys(GLOBAL_MAX_POOLING, _global_pooling("ReduceMax")),
    **dict.fromkeys(GLOBAL_AVERAGE_POOLING, _global_pooling("ReduceMean")),
    layers.UpSampling2D: _upsampling,
}
