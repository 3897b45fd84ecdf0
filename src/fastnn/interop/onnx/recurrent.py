"""Recurrent layers: steps first, as ONNX has them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.onnx.graph import Graph, Tensor, tensor
from fastnn.interop.parts import RECURRENT, Weights, reorder_gates

_STEPS_FIRST = (1, 0, 2)
_NAMES = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "linear": "Affine"}
# By layer: the operator, and where each of its gates stands among ours. ONNX has input, output, forget, cell.
_OPERATORS: dict[type, tuple[str, list[int]]] = {
    layers.SimpleRNN: ("RNN", [0]),
    layers.LSTM: ("LSTM", [0, 3, 1, 2]),
    layers.GRU: ("GRU", [0, 1, 2]),
}


def _arrays(layer: layers.Recurrent, weights: Weights, prefix: str) -> list[np.ndarray]:
    """Kernel, recurrent kernel and both biases of one direction: gates in ONNX's order, and along the first axis."""
    order = _OPERATORS[type(layer)][1]
    arrays = [reorder_gates(weights[prefix + name], order).T for name in ("kernel", "recurrent_kernel")]
    if layer.use_bias:
        bias = weights[prefix + "bias"]
        pair = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
        arrays.append(np.concatenate([reorder_gates(one, order) for one in pair]))
    return arrays


def _activations(layer: Any) -> dict[str, Any]:
    """The attributes that name the activations of one direction; "Affine" is linear with these numbers."""
    own = _NAMES[layer.activation.name]
    names = {"RNN": [own], "LSTM": ["", own, own], "GRU": ["", own]}[_OPERATORS[type(layer)][0]]
    if len(names) > 1:
        names[0] = _NAMES[layer.recurrent_activation.name]
    n_linear = names.count("Affine")
    numbers = {"activation_alpha": [1.0] * n_linear, "activation_beta": [0.0] * n_linear} if n_linear else {}
    return {"activations": names, **numbers}


def _recurrent(graph: Graph, layer: layers.Recurrent, x: Tensor, weights: Weights, shape: tuple[int, ...]) -> Tensor:
    y = _run(graph, layer, x, weights, [""], "reverse" if layer.go_backwards else "forward")
    if not layer.return_sequences:
        return tensor(graph.node("Squeeze", y, graph.constant([0], np.int64)), shape)
    y = graph.node("Squeeze", y, graph.constant([1], np.int64))
    if layer.go_backwards:  # Keras puts steps out in the order in which they are made
        start, end, axis, step = (graph.constant([n], np.int64) for n in (-1, -(2**31), 0, -1))
        y = graph.node("Slice", y, start, end, axis, step)
    return Tensor(y, shape, _STEPS_FIRST)


def _bidirectional(
    graph: Graph, layer: layers.Bidirectional, x: Tensor, weights: Weights, shape: tuple[int, ...]
) -> Tensor:
    inner = layer.layer
    y = _run(graph, inner, x, weights, ["forward_", "backward_"], "bidirectional")
    at = 1 if inner.return_sequences else 0  # of the axis of both directions
    if layer.merge_mode == "sum":
        y = graph.node("ReduceSum", y, graph.constant([at], np.int64), keepdims=0)
    else:
        y = graph.node("Transpose", y, perm=[0, 2, 1, 3] if at else [1, 0, 2])
        y = graph.node("Reshape", y, graph.constant([0] * (at + 1) + [2 * inner.units], np.int64))
    return Tensor(y, shape, _STEPS_FIRST) if at else tensor(y, shape)


def _run(
    graph: Graph, layer: layers.Recurrent, x: Tensor, weights: Weights, prefixes: list[str], direction: str
) -> str:
    """Add the operator; return its states at all steps, (time, directions, n, units), or the last without time."""
    by_direction = [_arrays(layer, weights, prefix) for prefix in prefixes]
    activations = {name: values * len(prefixes) for name, values in _activations(layer).items()}
    if isinstance(layer, layers.GRU):
        activations["linear_before_reset"] = 1
    return graph.single(
        _OPERATORS[type(layer)][0], graph.ordered(x, _STEPS_FIRST).name,
        *(np.stack(arrays) for arrays in zip(*by_direction, strict=True)), hidden_size=layer.units,
        direction=direction, skip=0 if layer.return_sequences else 1, **activations,
    )  # fmt: skip


FORMS: dict[type, Callable[[Graph, Any, Tensor, Weights, tuple[int, ...]], Tensor]] = {
    **dict.fromkeys(RECURRENT, _recurrent),
    layers.Bidirectional: _bidirectional,
}
