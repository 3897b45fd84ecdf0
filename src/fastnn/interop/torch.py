"""PyTorch: `torch.nn.Sequential` to a network and back."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ELU, ActivationFunction, LeakyReLU
from fastnn.interop.parts import Part, assemble, dense

if TYPE_CHECKING:
    from torch import nn

    from fastnn.network import Network


def _require_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError("this needs PyTorch: pip install torch, see https://pytorch.org") from error
    return torch


# --- from torch -----------------------------------------------------------------------------------------------------


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _read_linear(module: Any) -> Part:
    return dense(_array(module.weight).T, None if module.bias is None else _array(module.bias))


def _read_gelu(module: Any) -> ActivationFunction:
    if module.approximate != "none":
        raise ValueError(f"{module} has no equal in fastnn, whose gelu is exact")
    return ActivationFunction("gelu")


def _read_softplus(module: Any) -> ActivationFunction:
    if module.beta != 1:
        raise ValueError(f"{module} has no equal in fastnn, whose softplus has beta=1")
    return ActivationFunction("softplus")


def _read_softmax(module: Any) -> ActivationFunction:
    if module.dim not in (1, -1):
        raise ValueError(f"{module} has no equal in fastnn, whose softmax runs over the outputs (dim=1)")
    return ActivationFunction("softmax")


# Class name in torch.nn -> function of a module that returns our activation.
_READ_ACTIVATIONS: dict[str, Callable[[Any], ActivationFunction]] = {
    "Sigmoid": lambda module: ActivationFunction("sigmoid"),
    "Tanh": lambda module: ActivationFunction("tanh"),
    "ReLU": lambda module: ActivationFunction("relu"),
    "LeakyReLU": lambda module: LeakyReLU(module.negative_slope),
    "ELU": lambda module: ELU(module.alpha),
    "SELU": lambda module: ActivationFunction("selu"),
    "Softplus": _read_softplus,
    "GELU": _read_gelu,
    "SiLU": lambda module: ActivationFunction("silu"),
    "Mish": lambda module: ActivationFunction("mish"),
    "Softmax": _read_softmax,
}

_READ: dict[str, Callable[[Any], Part | None]] = {
    "Linear": _read_linear,
    "Dropout": lambda module: Part(layers.Dropout(module.p)),
    "Identity": lambda module: None,
}


def read(module: Any) -> Part | None:
    """Return a module as a part of a network; None if it does nothing."""
    name = type(module).__name__
    if type(module).__module__.startswith("torch.nn."):
        if name in _READ_ACTIVATIONS:
            return Part(layers.Activation(_READ_ACTIVATIONS[name](module)))
        if name in _READ:
            return _READ[name](module)
    known = ", ".join([*_READ, *_READ_ACTIVATIONS])
    raise ValueError(f"{module} has no equal in fastnn; known are {known}")


def _flat(module: Any, sequential: type) -> Iterator[Any]:
    """The modules of a Sequential in order, those of nested ones too."""
    for child in module:
        if type(child) is sequential:
            yield from _flat(child, sequential)
        else:
            yield child


def from_torch(cls: "type[Network]", module: "nn.Sequential") -> "Network":
    """Return a network with the layers and parameters of a module; `Network.from_torch` documents it."""
    torch = _require_torch()
    if type(module) is not torch.nn.Sequential:
        raise TypeError(f"module must be a torch.nn.Sequential, got {type(module).__name__}")
    parts = [part for part in map(read, _flat(module, torch.nn.Sequential)) if part is not None]
    dtypes = {parameter.dtype for parameter in module.parameters()}
    dtype = "float64" if dtypes == {torch.float64} else "float32"
    parts = [Part(part.layer, [_floats(array) for array in part.weights], part.n_inputs) for part in parts]
    return assemble(cls, "module", parts, None, dtype)


def _floats(array: np.ndarray) -> np.ndarray:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


# --- to torch -------------------------------------------------------------------------------------------------------


class _Writer:
    """Makes modules of one dtype."""

    def __init__(self, torch: Any, dtype: np.dtype):
        self.torch, self.nn = torch, torch.nn
        self.dtype = torch.float64 if dtype == np.float64 else torch.float32

    def tensor(self, array: np.ndarray) -> Any:
        """Return a parameter with a copy of the array."""
        return self.nn.Parameter(self.torch.tensor(array, dtype=self.dtype))

    def activation(self, function: ActivationFunction) -> list[Any]:
        """Return an activation as modules: one, or none for "linear"."""
        if function.name not in _WRITE_ACTIVATIONS:
            raise ValueError(f"the activation {function.name!r} has no equal among PyTorch's modules")
        return _WRITE_ACTIVATIONS[function.name](self.nn, function.value)

    def layer(self, layer: layers.Layer, fan_in: int, weights: list[np.ndarray]) -> list[Any]:
        """Return a layer as modules."""
        if type(layer) not in _WRITE:
            raise ValueError(f"{layer!r} has no equal in PyTorch")
        return _WRITE[type(layer)](self, layer, fan_in, weights)


_WRITE_ACTIVATIONS: dict[str, Callable[[Any, float], list[Any]]] = {
    "linear": lambda nn, value: [],
    "sigmoid": lambda nn, value: [nn.Sigmoid()],
    "tanh": lambda nn, value: [nn.Tanh()],
    "relu": lambda nn, value: [nn.ReLU()],
    "leaky_relu": lambda nn, value: [nn.LeakyReLU(value)],
    "elu": lambda nn, value: [nn.ELU(value)],
    "selu": lambda nn, value: [nn.SELU()],
    "softplus": lambda nn, value: [nn.Softplus()],
    "gelu": lambda nn, value: [nn.GELU()],
    "silu": lambda nn, value: [nn.SiLU()],
    "mish": lambda nn, value: [nn.Mish()],
    "softmax": lambda nn, value: [nn.Softmax(dim=1)],
}


def _write_dense(writer: _Writer, layer: layers.Dense, fan_in: int, weights: list[np.ndarray]) -> list[Any]:
    linear = writer.nn.Linear(fan_in, layer.units, bias=layer.use_bias)
    linear.weight = writer.tensor(weights[0].T)
    if layer.use_bias:
        linear.bias = writer.tensor(weights[1])
    return [linear, *writer.activation(layer.activation)]


_WRITE: dict[type, Callable[[_Writer, Any, int, list[np.ndarray]], list[Any]]] = {
    layers.Input: lambda writer, layer, fan_in, weights: [],
    layers.Dense: _write_dense,
    layers.Activation: lambda writer, layer, fan_in, weights: writer.activation(layer.function),
    layers.Dropout: lambda writer, layer, fan_in, weights: [writer.nn.Dropout(layer.rate)],
}


def to_torch(network: "Network") -> "nn.Sequential":
    """Return a network as a `torch.nn.Sequential`; `Network.to_torch` documents it."""
    torch = _require_torch()
    writer = _Writer(torch, network.dtype)
    modules: list[Any] = []
    fan_in = network.n_inputs
    for i, (layer, units) in enumerate(zip(network.layers, network.plan.units_after, strict=True)):
        pairs = zip(network.plan.variables, network.get_weights(), strict=True)
        modules += writer.layer(layer, fan_in, [view for variable, view in pairs if variable.layer == i])
        fan_in = units
    return torch.nn.Sequential(*modules).eval()
