"""Activations as operators that every runtime has, one small function each."""

from collections.abc import Callable

from fastnn.activations import ActivationFunction
from fastnn.interop.onnx.graph import Graph, Tensor

# Klambauer et al., "Self-Normalizing Neural Networks", NIPS 2017.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _gelu(graph: Graph, z: str, _: float) -> str:
    """z / 2 (1 + erf(z / sqrt(2))); the operator Gelu came later, with opset 20."""
    erf = graph.single("Erf", graph.node("Mul", z, graph.constant(2**-0.5)))
    return graph.node("Mul", graph.node("Mul", z, graph.constant(0.5)), graph.node("Add", erf, graph.constant(1.0)))


def _mish(graph: Graph, z: str, _: float) -> str:
    """z tanh(softplus(z)); the operator Mish came later, with opset 18."""
    return graph.node("Mul", z, graph.node("Tanh", _softplus(graph, z, 0.0)))


def _softplus(graph: Graph, z: str, _: float) -> str:
    """The operator, or where ONNX Runtime has none, for float64, max(z, 0) + log(1 + exp(-|z|))."""
    if not graph.is_double:
        return graph.node("Softplus", z)
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", z)))
    above = graph.node("Max", z, graph.constant(0.0))
    return graph.node("Add", above, graph.node("Log", graph.node("Add", small, graph.constant(1.0))))


def _leaky_relu(graph: Graph, z: str, slope: float) -> str:
    """The operator, whose slope is a float32, or for float64 max(z, 0) + slope min(z, 0)."""
    if not graph.is_double:
        return graph.node("LeakyRelu", z, alpha=slope)
    below = graph.node("Mul", graph.node("Min", z, graph.constant(0.0)), graph.constant(slope))
    return graph.node("Add", graph.node("Max", z, graph.constant(0.0)), below)


def _elu(graph: Graph, z: str, alpha: float) -> str:
    """The operator, or where ONNX Runtime has none, for float64, max(z, 0) + alpha (exp(min(z, 0)) - 1)."""
    if not graph.is_double:
        return graph.node("Elu", z, alpha=alpha)
    below = graph.node("Sub", graph.node("Exp", graph.node("Min", z, graph.constant(0.0))), graph.constant(1.0))
    above = graph.node("Max", z, graph.constant(0.0))
    return graph.node("Add", above, graph.node("Mul", below, graph.constant(alpha)))


def _selu(graph: Graph, z: str, _: float) -> str:
    """The operator, or scale ELU(z) with its alpha."""
    if not graph.is_double:
        return graph.node("Selu", z)
    return graph.node("Mul", _elu(graph, z, _SELU_ALPHA), graph.constant(_SELU_SCALE))


FORMS: dict[str, Callable[[Graph, str, float], str]] = {
    "linear": lambda graph, z, _: z,
    "sigmoid": lambda graph, z, _: graph.node("Sigmoid", z),
    "tanh": lambda graph, z, _: graph.node("Tanh", z),
    "relu": lambda graph, z, _: graph.node("Relu", z),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": lambda graph, z, _: graph.node("Mul", z, graph.node("Sigmoid", z)),
    "mish": _mish,
    "exponential": lambda graph, z, _: graph.node("Exp", z),
}


def activation(graph: Graph, function: ActivationFunction, z: Tensor) -> Tensor:
    """Add an activation.

    Raises
    ------
    ValueError
        If it has no form here, as one that a user wrote has none.
    """
    if function.name == "softmax":
        return z.named(graph.node("Softmax", z.name, axis=z.channel_axis))
    if function.name not in FORMS:
        raise ValueError(f"the activation {function.name!r} has no ONNX form")
    return z.named(FORMS[function.name](graph, z.name, function.value))
