"""Dense layers, normalizations and what arranges samples, one small function a layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.onnx.activations import activation
from fastnn.interop.onnx.graph import Graph, Tensor, tensor
from fastnn.interop.parts import SPATIAL_DROPOUT, Weights
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

_Shape = tuple[int, ...]


def _nothing(graph: Graph, layer: Any, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    """What a layer that only acts in training is at inference."""
    return x


def _dense(graph: Graph, layer: layers.Dense, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    if x.order[-1] != len(x.shape):
        x = graph.last(x)
    kernel = graph.constant(weights["kernel"] if x.places is None else weights["kernel"][x.places])
    if "bias" in weights and len(shape) == 1:
        z = graph.node("Gemm", x.name, kernel, graph.constant(weights["bias"]))
    else:
        z = graph.node("MatMul", x.name, kernel)
        if "bias" in weights:
            z = graph.node("Add", z, graph.constant(weights["bias"]))
    return activation(graph, layer.activation, Tensor(z, shape, x.order))


def _activation(graph: Graph, layer: layers.Activation, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    return activation(graph, layer.function, x)


def _scale_and_shift(graph: Graph, x: Tensor, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Gamma and beta at full width: by the definitions one value would do; ONNX Runtime 1.19, for one, refuses it."""
    n = x.shape[-1]
    return weights.get("gamma", np.ones(n)), weights.get("beta", np.zeros(n))


def _layer_normalization(graph: Graph, layer: LayerNormalization, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    gamma, beta = (graph.constant(graph.along(x, array)) for array in _scale_and_shift(graph, x, weights))
    at = x.channel_axis
    if at == len(x.shape) and not graph.is_double:
        return x.named(graph.node("LayerNormalization", x.name, gamma, beta, axis=at, epsilon=layer.epsilon))
    # The operator's epsilon is a float32, and it works on the last axes.
    centred = graph.node("Sub", x.name, graph.node("ReduceMean", x.name, axes=[at]))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[at])
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.constant(layer.epsilon)))
    scaled = graph.node("Mul", graph.node("Div", centred, deviation), gamma)
    return x.named(graph.node("Add", scaled, beta))


def _batch_normalization(graph: Graph, layer: BatchNormalization, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    gamma, beta = _scale_and_shift(graph, x, weights)
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    if x.order[0] == 0 and x.channel_axis == 1 and not graph.is_double:
        values = [graph.constant(graph.along(x, array).ravel()) for array in (gamma, beta, mean, variance)]
        return x.named(graph.node("BatchNormalization", x.name, *values, epsilon=layer.epsilon))
    # The operator wants channels behind the samples, and its epsilon is a float32.
    factor = gamma / np.sqrt(variance.astype(np.float64) + layer.epsilon)
    scaled = graph.node("Mul", x.name, graph.constant(graph.along(x, factor)))
    return x.named(graph.node("Add", scaled, graph.constant(graph.along(x, beta - mean * factor))))


def _normalization(graph: Graph, layer: layers.Normalization, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    factor = 1 / np.sqrt(weights["variance"].astype(np.float64))
    centred = graph.node("Sub", x.name, graph.constant(graph.along(x, weights["mean"])))
    return x.named(graph.node("Mul", centred, graph.constant(graph.along(x, factor))))


def _embedding(graph: Graph, layer: layers.Embedding, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    """Inputs are numbers of the network's dtype, as for every other network; 7 is ONNX's number for int64."""
    numbers = graph.node("Cast", x.name, to=7)
    return tensor(graph.node("Gather", graph.constant(weights["embeddings"]), numbers, axis=0), shape)


def _category_embedding(
    graph: Graph, layer: layers.CategoryEmbedding, x: Tensor, weights: Weights, shape: _Shape
) -> Tensor:
    """Features one by one, joined at the end; numbers outside a table are taken for its last row."""
    axis, of, y = len(shape), dict(layer.columns), graph.last(x).name
    parts, first = [], 0
    for feature in (*sorted(of), x.shape[-1]):
        if first < feature:
            parts.append(_slice(graph, y, first, feature, axis))
        if feature in of:
            last = graph.constant(of[feature])
            number = _slice(graph, y, feature, feature + 1, axis)
            number = graph.node("Reshape", number, graph.constant([0, *shape[:-1]], np.int64))
            is_known = graph.node("And", graph.node("GreaterOrEqual", number, graph.constant(0.0)),
                                  graph.node("Less", number, last))  # fmt: skip
            number = graph.node("Cast", graph.node("Where", is_known, number, last), to=7)
            parts.append(graph.node("Gather", graph.constant(weights[f"embeddings_{feature}"]), number, axis=0))
        first = feature + 1
    return tensor(graph.node("Concat", *parts, axis=axis), shape)


def _slice(graph: Graph, x: str, first: int, last: int, axis: int) -> str:
    return graph.node("Slice", x, *(graph.constant([value], np.int64) for value in (first, last, axis)))


def _flatten(graph: Graph, layer: layers.Flatten, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    return graph.flat(x)


def _scale(graph: Graph, layer: layers.Scale, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    return x.named(graph.node("Mul", x.name, graph.constant(graph.along(x, weights["scale"]))))


def _piecewise_linear(
    graph: Graph, layer: layers.PiecewiseLinear, x: Tensor, weights: Weights, shape: _Shape
) -> Tensor:
    """The place within each bin, limited, and a product of its own for every feature."""
    n_features, n_bins, _ = weights["kernel"].shape
    edges = weights["edges"].reshape(n_features, n_bins + 1)
    low, high = edges[:, :-1], edges[:, 1:]
    positions = shape[:-1]
    column = graph.node("Reshape", graph.last(x).name, graph.constant([0, *positions, n_features, 1], np.int64))
    place = graph.node("Sub", column, graph.constant(low))
    width = high - low  # 0 where edges are one number in this dtype: such a bin adds nothing
    inverse = np.divide(1, width, out=np.zeros_like(width), where=width > 0)
    place = graph.node("Mul", place, graph.constant(inverse))
    # The first bin has no lower limit and the last no upper one.
    limits = np.zeros(n_bins), np.ones(n_bins)
    limits[0][0], limits[1][-1] = -np.inf, np.inf
    place = graph.node("Min", graph.node("Max", place, graph.constant(limits[0])), graph.constant(limits[1]))
    y = _map_each(graph, place, weights, positions)
    return tensor(graph.node("Reshape", y, graph.constant([0, *shape], np.int64)), shape)


def _map_each(graph: Graph, x: str, weights: Weights, positions: _Shape) -> str:
    """The numbers of every feature through a product of its own: (..., features, numbers) to (..., features, units)."""
    n_features, n, units = weights["kernel"].shape
    rows = graph.node("Reshape", x, graph.constant([0, *positions, n_features, 1, n], np.int64))
    y = graph.node("MatMul", rows, graph.constant(weights["kernel"]))
    y = graph.node("Add", y, graph.constant(weights["bias"][:, np.newaxis]))
    return graph.node("Reshape", y, graph.constant([0, *positions, n_features, units], np.int64))


def _periodic(graph: Graph, layer: layers.Periodic, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    """A cosine is a sine that is ahead by a quarter of a turn."""
    frequencies, positions = weights["frequencies"].astype(float), shape[:-1]
    leads = np.pi / 2 + weights["phases"] if layer.use_phase else np.full_like(frequencies, np.pi / 2)
    if not layer.use_phase:
        leads = np.concatenate([leads, np.zeros_like(leads)], axis=1)
        frequencies = np.concatenate([frequencies, frequencies], axis=1)
    column = graph.node("Reshape", graph.last(x).name, graph.constant([0, *positions, len(frequencies), 1], np.int64))
    angles = graph.node("Mul", column, graph.constant(2 * np.pi * frequencies))
    waves = graph.node("Sin", graph.node("Add", angles, graph.constant(leads)))
    y = _map_each(graph, waves, weights, positions)
    y = graph.node("Concat", column, y, axis=len(shape) + 1) if layer.keep_feature else y
    return tensor(graph.node("Reshape", y, graph.constant([0, *shape], np.int64)), shape)


def _reshape(graph: Graph, layer: layers.Reshape, x: Tensor, weights: Weights, shape: _Shape) -> Tensor:
    sizes = graph.constant([0, *shape], np.int64)  # 0: as many samples as there are
    return tensor(graph.node("Reshape", graph.last(x).name, sizes), shape)


FORMS: dict[type, Callable[[Graph, Any, Tensor, Weights, _Shape], Tensor]] = {
    **dict.fromkeys(
        (
            layers.Input, layers.Dropout, layers.GaussianNoise, *SPATIAL_DROPOUT, layers.RandomFlip,
            layers.RandomTranslation,
        ),
        _nothing,
    ),
    layers.Dense: _dense,
    layers.Activation: _activation,
    LayerNormalization: _layer_normalization,
    BatchNormalization: _batch_normalization,
    layers.Normalization: _normalization,
    layers.Embedding: _embedding,
    layers.CategoryEmbedding: _category_embedding,
    layers.Flatten: _flatten,
    layers.Reshape: _reshape,
    layers.Scale: _scale,
    layers.PiecewiseLinear: _piecewise_linear,
    layers.Periodic: _periodic,
}  # fmt: skip
