"""PyTorch: `torch.nn.Sequential` to a network and back."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ELU, ActivationFunction, LeakyReLU
from fastnn.files.persistence import arrays_by_layer
from fastnn.interop.parts import Part, assemble, batch_normalization, dense
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from torch import nn

    from fastnn.model.network import Network


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


def _affine(module: Any) -> list[np.ndarray]:
    """Gamma and beta, as far as a normalization has them."""
    return [_array(tensor) for tensor in (module.weight, module.bias) if tensor is not None]


def _read_layer_norm(module: Any) -> Part:
    if len(module.normalized_shape) != 1:
        raise ValueError(f"{module} has no equal in fastnn, whose samples have one dimension")
    layer = LayerNormalization(module.eps, center=module.bias is not None, scale=module.weight is not None)
    return Part(layer, _affine(module), n_inputs=module.normalized_shape[0])


def _read_batch_norm(module: Any) -> Part:
    if module.running_mean is None or module.momentum is None:
        raise ValueError(f"{module} has no equal in fastnn: it must track running statistics, with a momentum")
    affine = _affine(module)
    layer = BatchNormalization(1 - module.momentum, module.eps, center=bool(affine), scale=bool(affine))
    return batch_normalization(layer, affine, [_array(module.running_mean), _array(module.running_var)])


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


def _read_flatten(module: Any) -> Part:
    if module.start_dim != 1 or module.end_dim != -1:
        raise ValueError(f"{module} has no equal in fastnn, whose Flatten takes all axes of a sample")
    return Part(layers.Flatten())


def _read_unflatten(module: Any) -> Part:
    if module.dim not in (1, -1) or not isinstance(module.unflattened_size, tuple):
        raise ValueError(f"{module} has no equal in fastnn, whose Reshape takes a whole sample")
    shape = tuple(module.unflattened_size)
    return Part(layers.Reshape(shape), n_inputs=math.prod(shape) if min(shape) > 0 else None)


def _check_axes(module: Any, n_axes: int) -> None:
    """Refuse what works on another axis where a sample has several."""
    name = type(module).__name__
    if name in ("BatchNorm1d", "Unflatten") or (name == "Softmax" and module.dim == 1):
        raise ValueError(f"{module} on samples of {n_axes} axes has no equal in fastnn, which works on the last axis")


def _parts(modules: Iterator[Any]) -> Iterator[Part]:
    n_axes = 1  # of a sample, which enters as one row of features
    for module in modules:
        part = read(module)
        if part is None:
            continue
        if n_axes > 1:
            _check_axes(module, n_axes)
        if isinstance(part.layer, (layers.Flatten, layers.Reshape)):
            n_axes = len(part.layer.shape) if isinstance(part.layer, layers.Reshape) else 1
        yield part


_READ: dict[str, Callable[[Any], Part | None]] = {
    "Flatten": _read_flatten,
    "Unflatten": _read_unflatten,
    "Linear": _read_linear,
    "Dropout": lambda module: Part(layers.Dropout(module.p)),
    "Identity": lambda module: None,
    "LayerNorm": _read_layer_norm,
    "BatchNorm1d": _read_batch_norm,
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
    parts = list(_parts(_flat(module, torch.nn.Sequential)))
    dtypes = {parameter.dtype for parameter in module.parameters()}
    dtype = "float64" if dtypes == {torch.float64} else "float32"
    parts = [replace(part, weights=[_floats(array) for array in part.weights]) for part in parts]
    return assemble(cls, "module", parts, None, dtype)


def _floats(array: np.ndarray) -> np.ndarray:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


# --- to torch -------------------------------------------------------------------------------------------------------


_Weights = dict[str, np.ndarray]


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

    def layer(self, layer: layers.Layer, shape: tuple[int, ...], weights: _Weights) -> list[Any]:
        """Return a layer as modules."""
        if type(layer) not in _WRITE:
            reason = _NO_EQUAL.get(type(layer), "the bridge does not know it")
            raise ValueError(f"{layer!r} has no equal in a torch.nn.Sequential: {reason}")
        return _WRITE[type(layer)](self, layer, shape, weights)


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
    "softmax": lambda nn, value: [nn.Softmax(dim=-1)],
}


def _write_dense(writer: _Writer, layer: layers.Dense, shape: tuple[int, ...], weights: _Weights) -> list[Any]:
    linear = writer.nn.Linear(shape[-1], layer.units, bias=layer.use_bias)
    linear.weight = writer.tensor(weights["kernel"].T)
    if layer.use_bias:
        linear.bias = writer.tensor(weights["bias"])
    return [linear, *writer.activation(layer.activation)]


def _write_affine(writer: _Writer, module: Any, weights: _Weights) -> None:
    """Set gamma and beta; one that the layer lacks stays 1 or 0."""
    if "gamma" in weights:
        module.weight = writer.tensor(weights["gamma"])
    if "beta" in weights:
        module.bias = writer.tensor(weights["beta"])


def _write_layer_norm(
    writer: _Writer, layer: LayerNormalization, shape: tuple[int, ...], weights: _Weights
) -> list[Any]:
    module = writer.nn.LayerNorm(shape[-1], layer.epsilon, elementwise_affine=bool(weights), dtype=writer.dtype)
    _write_affine(writer, module, weights)
    return [module]


def _write_batch_norm(
    writer: _Writer, layer: BatchNormalization, shape: tuple[int, ...], weights: _Weights
) -> list[Any]:
    if len(shape) > 1:
        raise ValueError(f"{layer!r} on samples of shape {shape} has no equal in PyTorch, whose channels come first")
    is_affine = layer.scale or layer.center
    module = writer.nn.BatchNorm1d(shape[-1], layer.epsilon, 1 - layer.momentum, is_affine, dtype=writer.dtype)
    _write_affine(writer, module, weights)
    module.running_mean = writer.tensor(weights["moving_mean"]).detach()
    module.running_var = writer.tensor(weights["moving_variance"]).detach()
    return [module]


def _write_reshape(writer: _Writer, layer: layers.Reshape, shape: tuple[int, ...], weights: _Weights) -> list[Any]:
    flatten = [writer.nn.Flatten()] if len(shape) > 1 else []
    return [*flatten, writer.nn.Unflatten(1, layer.shape)]


_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv2DTranspose)
_POOLINGS = (
    layers.AveragePooling1D, layers.AveragePooling2D, layers.MaxPooling1D, layers.MaxPooling2D,
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
)  # fmt: skip
_SPATIAL_DROPOUTS = (layers.SpatialDropout1D, layers.SpatialDropout2D)
_RECURRENT = (layers.SimpleRNN, layers.LSTM, layers.GRU, layers.Bidirectional)

# Why a layer has no module of its own, for the message that refuses it.
_NO_EQUAL: dict[type, str] = {
    layers.Residual: "it has no way around its modules",
    layers.GaussianNoise: "PyTorch has no module that adds noise",
    **dict.fromkeys((layers.RandomFlip, layers.RandomTranslation), "PyTorch keeps changes of images in torchvision"),
    **dict.fromkeys(
        (
            *_CONVOLUTIONS,
            *_POOLINGS,
            *_RECURRENT,
            layers.UpSampling2D,
            layers.SpatialDropout1D,
            layers.SpatialDropout2D,
        ),
        "the bridge does not know it yet",
    ),
}

_WRITE: dict[type, Callable[[_Writer, Any, tuple[int, ...], _Weights], list[Any]]] = {
    layers.Input: lambda writer, layer, shape, weights: [],
    layers.Dense: _write_dense,
    layers.Activation: lambda writer, layer, shape, weights: writer.activation(layer.function),
    layers.Dropout: lambda writer, layer, shape, weights: [writer.nn.Dropout(layer.rate)],
    LayerNormalization: _write_layer_norm,
    BatchNormalization: _write_batch_norm,
    layers.Flatten: lambda writer, layer, shape, weights: [writer.nn.Flatten()],
    layers.Reshape: _write_reshape,
}


def to_torch(network: "Network") -> "nn.Sequential":
    """Return a network as a `torch.nn.Sequential`; `Network.to_torch` documents it."""
    torch = _require_torch()
    writer = _Writer(torch, network.dtype)
    modules: list[Any] = []
    before = network.plan.input_shape
    for layer, weights, shape in zip(network.layers, arrays_by_layer(network), network.plan.shapes, strict=True):
        modules += writer.layer(layer, before, weights)
        before = shape
    return torch.nn.Sequential(*modules).eval()
