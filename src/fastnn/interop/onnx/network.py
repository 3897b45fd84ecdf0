"""A network as a graph, and as a model of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.engine.plan import make_plan
from fastnn.files.persistence import arrays_by_layer
from fastnn.interop.onnx import layers as plain
from fastnn.interop.onnx import recurrent, windows
from fastnn.interop.onnx.activations import activation
from fastnn.interop.onnx.graph import IR_VERSION, OPSET, Graph, Tensor, element_type, tensor
from fastnn.interop.parts import Weights, weights_inside

if TYPE_CHECKING:
    import onnx

    from fastnn.model.network import Network


def _residual(graph: Graph, layer: layers.Residual, x: Tensor, weights: Weights, shape: tuple[int, ...]) -> Tensor:
    y = x
    for i, inside in enumerate(layer.layers):
        own = weights_inside(weights, i)
        y = write_layer(graph, inside, y, own, make_plan([layers.Input(y.shape), inside]).output_shape)
    if y.places is not None or x.places is not None:
        x, y = graph.last(x), graph.last(y)
    return y.named(graph.node("Add", graph.ordered(x, y.order).name, y.name))


def _ensemble(graph: Graph, layer: layers.Ensemble, x: Tensor, weights: Weights, shape: tuple[int, ...]) -> Tensor:
    """Members side by side, (n, k, units); until the first factors of their own one stands for all."""

    def reshaped(x: Tensor, *sizes: int) -> Tensor:
        return tensor(graph.node("Reshape", x.name, graph.constant([0, *sizes], np.int64)), sizes)  # 0: all samples

    dense = [i for i, inside in enumerate(layer.layers) if isinstance(inside, layers.Dense)]
    fan_in = weights[f"{dense[0]}.kernel"].shape[-2]
    y = reshaped(graph.last(x), 1, fan_in)
    for i, inside in enumerate(layer.layers):
        own = weights_inside(weights, i)
        if not isinstance(inside, layers.Dense):
            y = write_layer(graph, inside, y, own, y.shape)
            continue
        outputs, kernel = (layer.k, inside.units), graph.constant(own["kernel"])
        if i == dense[-1]:  # a product for each member: (n, k, 1, fan_in) by (k, fan_in, units)
            y = reshaped(y, y.shape[0], 1, y.shape[1])
            z = reshaped(y.named(graph.node("MatMul", y.name, kernel)), *outputs)
        else:
            z = tensor(graph.node("Mul", y.name, graph.constant(own["input_scale"])), outputs)
            z = z.named(graph.node("MatMul", z.name, kernel))
            z = z.named(graph.node("Mul", z.name, graph.constant(own["output_scale"])))
        if "bias" in own:
            z = z.named(graph.node("Add", z.name, graph.constant(own["bias"])))
        y = activation(graph, inside.activation, z)
    return tensor(graph.node("ReduceMean", y.name, axes=[1], keepdims=0), shape) if layer.average else y


# Adds a layer: (graph, layer, its input, its weights, shape of one sample of its output) -> its output.
FORMS: dict[type, Callable[[Graph, Any, Tensor, Weights, tuple[int, ...]], Tensor]] = {
    **plain.FORMS,
    **windows.FORMS,
    **recurrent.FORMS,
    layers.Residual: _residual,
    layers.Ensemble: _ensemble,
}


def write_layer(graph: Graph, layer: layers.Layer, x: Tensor, weights: Weights, shape: tuple[int, ...]) -> Tensor:
    """Add a layer whose outputs have this shape for one sample.

    Raises
    ------
    ValueError
        If it has no form here.
    """
    if type(layer) not in FORMS:
        raise ValueError(f"{layer!r} has no ONNX form")
    return FORMS[type(layer)](graph, layer, x, weights, shape)


def write_network(graph: Graph, network: "Network", x: str) -> str:
    """Add a network's layers on the samples named x, and return the name of its outputs, axes as in fastnn."""
    y = tensor(x, network.plan.input_shape)
    for layer, own, shape in zip(network.layers, arrays_by_layer(network), network.plan.shapes, strict=True):
        y = write_layer(graph, layer, y, own, shape)
    return graph.last(y).name


def network_model(network: "Network") -> "onnx.ModelProto":
    """Return a network as a model with one input, "X", and one output, "output"."""
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def add_node(operator: str, inputs: list[str], attributes: dict[str, Any], skip: int) -> str:
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [""] * skip + [name], name=name, **attributes))
        return name

    def add_constant(array: np.ndarray) -> str:
        name = f"constant_{len(constants)}"
        constants.append(numpy_helper.from_array(array, name))
        return name

    last = write_network(Graph(add_node, add_constant, network.dtype), network, "X")
    kind = element_type(network.dtype)
    nodes.append(helper.make_node("Identity", [last], ["output"], name="output"))
    graph = helper.make_graph(
        nodes,
        "fastnn",
        [helper.make_tensor_value_info("X", kind, [None, *network.plan.input_shape])],
        [helper.make_tensor_value_info("output", kind, [None, *network.plan.output_shape])],
        constants,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="fastnn"
    )
