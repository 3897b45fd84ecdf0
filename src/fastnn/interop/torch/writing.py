"""From a network to a `torch.nn.Sequential`.

PyTorch's convolutions take samples with their channels first. The writer keeps in mind where they are, moves them where
a layer wants them elsewhere, and permutes the kernel of a dense layer behind flattened channels.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ActivationFunction
from fastnn.engine.plan import make_plan
from fastnn.files.persistence import arrays_by_layer
from fastnn.interop.parts import Weights, require_torch, to_first, weights_inside
from fastnn.interop.torch import shared
from fastnn.interop.torch.shared import places_of, to_last
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from torch import nn

    from fastnn.model.network import Network


class Writer:
    """Makes modules, one after the other.

    Attributes
    ----------
    modules : list
        Those so far.
    shape : tuple of int
        Of one sample at this point, channels last, as fastnn has it.
    is_first : bool
        Whether the channels come first in PyTorch's tensor.
    places : array of int or None
        For flattened samples whose channels came first: the place of each number among those of fastnn.
    rest : sequence of Layer
        The layers to come.
    """

    def __init__(self, torch: Any, dtype: Any, shape: tuple[int, ...], is_first: bool):
        self.torch, self.nn = torch, torch.nn
        self.dtype = torch.float64 if dtype == np.float64 else torch.float32
        self.modules: list[Any] = []
        self.shape = shape
        self.is_first = is_first and len(shape) > 1
        self.places: np.ndarray | None = None
        self.rest: Sequence[layers.Layer] = ()

    def parameter(self, array: np.ndarray) -> Any:
        """Return a parameter with a copy of the array."""
        return self.nn.Parameter(self.torch.tensor(np.ascontiguousarray(array), dtype=self.dtype))

    def add(self, module: Any) -> None:
        """Append a module."""
        self.modules.append(module)

    def activation(self, function: ActivationFunction) -> None:
        """Append an activation, which "linear" is none of."""
        if function.name == "linear":
            return
        if function.name not in shared.WRITE:
            raise ValueError(f"the activation {function.name!r} has no equal among PyTorch's modules")
        self.add(shared.WRITE[function.name](self.nn, function.value, 1 if self.is_first else -1))

    def want_first(self) -> None:
        """Move channels to the front, unless they are there."""
        self._want(True)

    def want_last(self) -> None:
        """Move channels to the end, unless they are there."""
        self._want(False)

    def _want(self, first: bool) -> None:
        if len(self.shape) > 1 and self.is_first != first:
            from fastnn.interop.torch.modules import Permute

            self.add(Permute(*(to_first if first else to_last)(len(self.shape))))
            self.is_first = first

    def as_theirs(self, array: np.ndarray) -> np.ndarray:
        """Return numbers, one for each number of a flat sample along axis 0, in PyTorch's order."""
        return array if self.places is None else array[self.places]

    def layers(self, given: Sequence[layers.Layer], weights: Sequence[Weights]) -> None:
        """Append layers with their weights."""
        for i, (layer, own) in enumerate(zip(given, weights, strict=True)):
            self.rest = given[i + 1 :]
            if type(layer) not in WRITE:
                reason = NO_EQUAL.get(type(layer), "the bridge does not know it")
                raise ValueError(f"{layer!r} has no equal in a torch.nn.Sequential: {reason}")
            WRITE[type(layer)](self, layer, own)
            self.shape = make_plan([layers.Input(self.shape), layer]).output_shape


Write = Callable[[Writer, Any, Weights], None]


def _write_dense(writer: Writer, layer: layers.Dense, weights: Weights) -> None:
    writer.want_last()
    linear = writer.nn.Linear(writer.shape[-1], layer.units, bias=layer.use_bias)
    linear.weight = writer.parameter(writer.as_theirs(weights["kernel"]).T)
    if layer.use_bias:
        linear.bias = writer.parameter(weights["bias"])
    writer.add(linear)
    writer.places = None
    writer.activation(layer.activation)


def _write_affine(writer: Writer, module: Any, weights: Weights) -> None:
    """Set gamma and beta; one that the layer lacks stays 1 or 0."""
    if "gamma" in weights:
        module.weight = writer.parameter(writer.as_theirs(weights["gamma"]))
    if "beta" in weights:
        module.bias = writer.parameter(writer.as_theirs(weights["beta"]))


def _write_layer_norm(writer: Writer, layer: LayerNormalization, weights: Weights) -> None:
    writer.want_last()
    module = writer.nn.LayerNorm(
        writer.shape[-1], layer.epsilon, elementwise_affine=bool(weights), dtype=writer.dtype
    )  # fmt: skip
    _write_affine(writer, module, weights)
    writer.add(module)


def _write_batch_norm(writer: Writer, layer: BatchNormalization, weights: Weights) -> None:
    writer.want_first()
    n_axes = len(writer.shape)
    if n_axes > 4:
        raise ValueError(f"{layer!r} on samples of shape {writer.shape} has no equal in PyTorch: at most four axes do")
    cls = getattr(writer.nn, f"BatchNorm{max(1, n_axes - 1)}d")
    module = cls(writer.shape[-1], layer.epsilon, 1 - layer.momentum, layer.scale or layer.center, dtype=writer.dtype)
    _write_affine(writer, module, weights)
    module.running_mean = writer.parameter(writer.as_theirs(weights["moving_mean"])).detach()
    module.running_var = writer.parameter(writer.as_theirs(weights["moving_variance"])).detach()
    writer.add(module)


def _write_flatten(writer: Writer, layer: layers.Flatten, weights: Weights) -> None:
    if not _reaches_dense(writer.rest):
        writer.want_last()
    if len(writer.shape) > 1:
        if writer.is_first:
            writer.places = places_of(writer.shape)
        writer.is_first = False
    writer.add(writer.nn.Flatten())


_FOR_EACH = (
    layers.Activation, layers.Dropout, layers.BatchNormalization, layers.LayerNormalization, layers.Flatten
)  # fmt: skip


def _reaches_dense(rest: Iterable[layers.Layer]) -> bool:
    """Whether a dense layer follows, with nothing before it to which the order of its inputs matters."""
    for layer in rest:
        if isinstance(layer, layers.Dense):
            return True
        if not isinstance(layer, _FOR_EACH):
            return False
    return False


def _write_reshape(writer: Writer, layer: layers.Reshape, weights: Weights) -> None:
    writer.want_last()
    if len(writer.shape) > 1:
        writer.add(writer.nn.Flatten())
    writer.add(writer.nn.Unflatten(1, make_plan([layers.Input(writer.shape), layer]).output_shape))


def _write_residual(writer: Writer, layer: layers.Residual, weights: Weights) -> None:
    from fastnn.interop.torch.modules import Residual

    inside = Writer(writer.torch, np.float64 if writer.dtype == writer.torch.float64 else np.float32, writer.shape,
                    writer.is_first)  # fmt: skip
    inside.layers(layer.layers, [weights_inside(weights, i) for i in range(len(layer.layers))])
    inside._want(writer.is_first)
    writer.add(Residual(writer.nn.Sequential(*inside.modules)))


def _write_dropout(writer: Writer, layer: layers.Dropout, weights: Weights) -> None:
    writer.add(writer.nn.Dropout(layer.rate))


WRITE: dict[type, Write] = {
    layers.Input: lambda writer, layer, weights: None,
    layers.Dense: _write_dense,
    layers.Activation: lambda writer, layer, weights: writer.activation(layer.function),
    layers.Dropout: _write_dropout,
    LayerNormalization: _write_layer_norm,
    BatchNormalization: _write_batch_norm,
    layers.Flatten: _write_flatten,
    layers.Reshape: _write_reshape,
    layers.Residual: _write_residual,
}

_WITHOUT = "make a network without it, which takes the same weights"
# Why a layer has no module of its own, for the message that refuses it.
NO_EQUAL: dict[type, str] = {
    layers.Normalization: "PyTorch has no module that normalizes by given numbers",
    layers.Ensemble: "PyTorch has no module whose members share a kernel; it goes to ONNX",
    layers.Scale: "PyTorch has no module of one factor a feature; it goes to ONNX",
    layers.Periodic: "PyTorch has no module of waves of a feature; it goes to ONNX",
    layers.PiecewiseLinear: "PyTorch has no module of piecewise-linear functions of a feature; it goes to ONNX",
    layers.CategoryEmbedding: "modules take numbers, but nn.Embedding integers; it goes to ONNX",
    layers.Embedding: "modules take numbers, but nn.Embedding integers; it goes to ONNX",
    layers.GaussianNoise: f"PyTorch has no module that adds noise; {_WITHOUT}",
    **dict.fromkeys(
        (layers.RandomFlip, layers.RandomTranslation), f"PyTorch keeps changes of images in torchvision; {_WITHOUT}"
    ),
}

# Layers whose modules have channels first, or last, whatever comes before.
FIRST: set[type] = set()
LAST: set[type] = {layers.Dense, LayerNormalization}


def begins_first(given: Iterable[layers.Layer]) -> bool:
    """Whether the first layer that minds wants channels first."""
    for layer in given:
        if type(layer) in FIRST:
            return True
        if type(layer) in LAST or isinstance(layer, (layers.Flatten, layers.Reshape)):
            return False
        if isinstance(layer, layers.Residual):
            return begins_first(layer.layers)
    return False


def to_torch(network: "Network") -> "nn.Sequential":
    """Return a network as a `torch.nn.Sequential`; `Network.to_torch` documents it."""
    torch = require_torch()
    writer = Writer(torch, network.dtype, network.plan.input_shape, begins_first(network.layers))
    writer.layers(network.layers[1:], arrays_by_layer(network)[1:])
    return torch.nn.Sequential(*writer.modules).eval()
