"""From a `torch.nn.Sequential` to a network.

PyTorch's convolutions take samples with their channels first. The reader follows where they are, so that flattened
channels, and channels made from a row, reach their places: kernels and biases around them are permuted.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.common.validation import check_shape
from fastnn.engine.plan import make_plan
from fastnn.interop.parts import Part, assemble, batch_normalization, dense, floats, require_torch, residual, to_first
from fastnn.interop.torch import shared
from fastnn.interop.torch.shared import places_of, to_last
from fastnn.layers.normalization import BatchNormalization, LayerNormalization

if TYPE_CHECKING:
    from torch import nn

    from fastnn.model.network import Network

OURS = "fastnn.interop.torch.modules"


def array_of(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers in float32 or float64."""
    return floats(tensor.detach().float().cpu().numpy() if tensor.element_size() < 4 else tensor.detach().cpu().numpy())


def name_of(module: Any) -> str:
    """Return the name of a class of torch.nn or of `fastnn.interop.torch.modules`, "" for all others."""
    home, name = type(module).__module__, type(module).__name__
    return name if home.startswith("torch.nn.") or home == OURS else ""


class Reader:
    """Makes parts of a network from modules, one after the other.

    Attributes
    ----------
    parts : list of Part
        Those so far.
    shape : tuple of int or None
        Of one sample at this point, channels last, as fastnn has it; None while it is not known.
    is_first : bool
        Whether the channels come first in PyTorch's tensor.
    places : array of int or None
        For flattened samples whose channels came first: the place of each number among those of fastnn.
    rest : list
        The modules to come.
    """

    def __init__(self, modules: list[Any], shape: tuple[int, ...] | None, is_first: bool):
        self.parts: list[Part] = []
        self.shape = shape
        self.is_first = is_first
        self.places: np.ndarray | None = None
        self.rest = list(modules)

    @property
    def n_axes(self) -> int:
        """Of a sample; one while its shape is not known."""
        return 1 if self.shape is None else len(self.shape)

    def next_is(self, *names: str) -> bool:
        """Whether the module to come is one of these."""
        return bool(self.rest) and name_of(self.rest[0]) in names

    def read(self) -> None:
        """Read all modules."""
        while self.rest:
            module = self.rest.pop(0)
            name = name_of(module)
            if name in shared.READ:
                if name == "Softmax":
                    self._check_softmax(module)
                self.add(Part(layers.Activation(shared.READ[name](module))))
            elif name in READ:
                READ[name](self, module)
            else:
                known = ", ".join([*READ, *shared.READ])
                raise ValueError(f"{module} has no equal in fastnn; known are {known}")

    def add(self, part: Part) -> None:
        """Append a part."""
        if self.shape is None and part.n_inputs is not None:
            self.shape = (part.n_inputs,)
        if part.n_inputs is not None and self.shape is not None and part.n_inputs != self.shape[-1]:
            raise ValueError(
                f"{part.layer!r} must be given {part.n_inputs} features or channels, but a sample has the shape "
                f"{self.shape} there"
            )
        if self.shape is not None:
            self.shape = make_plan([layers.Input(self.shape), part.layer]).output_shape
        self.parts.append(part)

    def need_shape(self, module: Any, wanted: str) -> tuple[int, ...]:
        """Return the shape of a sample, or raise ValueError that says how to give it."""
        if self.shape is None:
            raise ValueError(f"{module} does not tell the size of its samples: give from_torch input_shape={wanted}")
        return self.shape

    def as_ours(self, array: np.ndarray) -> np.ndarray:
        """Return numbers, one for each number of a flat sample along axis 0, in fastnn's order."""
        return array if self.places is None else array[np.argsort(self.places)]

    def refuse_first(self, module: Any) -> None:
        """Raise ValueError where the module would work on an axis that is not the channels'."""
        if self.n_axes > 1 and self.is_first:
            raise ValueError(
                f"{module} behind channels that come first has no equal in fastnn, which works on the channels"
            )

    def refuse_last(self, module: Any) -> None:
        """The same for modules that have the channels first."""
        if self.n_axes > 1 and not self.is_first:
            raise ValueError(
                f"{module} on samples of {self.n_axes} axes has no equal in fastnn, which works on the last axis"
            )

    def _check_softmax(self, module: Any) -> None:
        n = self.n_axes + 1
        axis = 1 if self.is_first and self.n_axes > 1 else n - 1
        if module.dim is None or not -n <= module.dim < n or module.dim % n != axis:
            raise ValueError(f"{module} has no equal in fastnn, whose softmax runs over the outputs (dim={axis})")

    def make_channels_last(self, module: Any, shape: tuple[int, ...]) -> None:
        """Reorder what the parts so far put out, so that a row read in C order has this shape, channels last."""
        ours = np.argsort(places_of(shape))  # the place of each of our numbers among theirs
        for i in range(len(self.parts) - 1, -1, -1):
            part = self.parts[i]
            if isinstance(part.layer, (layers.Activation, layers.Dropout)):
                continue
            if isinstance(part.layer, (layers.Dense, BatchNormalization, LayerNormalization)):
                self.parts[i] = replace(
                    part, weights=[array[..., ours] for array in part.weights],
                    state=[array[ours] for array in part.state],
                )  # fmt: skip
                if isinstance(part.layer, layers.Dense):
                    return
                continue
            break
        raise ValueError(
            f"{module} makes channels that come first of a row: it has an equal in fastnn only behind a Linear, whose "
            f"outputs are permuted"
        )


def _read_linear(reader: Reader, module: Any) -> None:
    reader.refuse_first(module)
    kernel = reader.as_ours(array_of(module.weight).T)
    reader.places = None
    reader.add(dense(kernel, None if module.bias is None else array_of(module.bias)))


def _affine(reader: Reader, module: Any) -> list[np.ndarray]:
    """Gamma and beta, as far as a normalization has them."""
    return [reader.as_ours(array_of(tensor)) for tensor in (module.weight, module.bias) if tensor is not None]


def _read_layer_norm(reader: Reader, module: Any) -> None:
    reader.refuse_first(module)
    if len(module.normalized_shape) != 1:
        raise ValueError(f"{module} has no equal in fastnn, whose normalization runs over one dimension")
    layer = LayerNormalization(module.eps, center=module.bias is not None, scale=module.weight is not None)
    reader.add(Part(layer, _affine(reader, module), n_inputs=module.normalized_shape[0]))


def _read_batch_norm(reader: Reader, module: Any) -> None:
    reader.refuse_last(module)
    if module.running_mean is None or module.momentum is None:
        raise ValueError(f"{module} has no equal in fastnn: it must track running statistics, with a momentum")
    affine = _affine(reader, module)
    layer = BatchNormalization(1 - module.momentum, module.eps, center=bool(affine), scale=bool(affine))
    state = [reader.as_ours(array_of(tensor)) for tensor in (module.running_mean, module.running_var)]
    reader.add(batch_normalization(layer, affine, state))


def _read_flatten(reader: Reader, module: Any) -> None:
    if module.start_dim != 1 or module.end_dim != -1:
        raise ValueError(f"{module} has no equal in fastnn, whose Flatten takes all axes of a sample")
    if reader.n_axes > 1 and reader.is_first:
        reader.places = places_of(reader.shape or ())
    reader.is_first = False
    reader.add(Part(layers.Flatten()))


def _read_unflatten(reader: Reader, module: Any) -> None:
    size = module.unflattened_size
    if module.dim not in (1, -1) or not isinstance(size, tuple) or reader.n_axes > 1 or reader.places is not None:
        raise ValueError(f"{module} has no equal in fastnn, whose Reshape takes a whole sample")
    shape = tuple(size)
    n = math.prod(shape) if min(shape) > 0 else None
    if len(shape) > 1 and begins_first(reader.rest, len(shape)):
        known = math.prod(k for k in shape if k > 0)
        if n is None and reader.shape is not None:
            shape = tuple(k if k > 0 else reader.shape[0] // known for k in shape)
        shape = (*shape[1:], shape[0])
        reader.make_channels_last(module, shape)
        reader.is_first = True
    reader.add(Part(layers.Reshape(shape), n_inputs=n))


def _read_permute(reader: Reader, module: Any) -> None:
    n = reader.n_axes
    order = (to_last if reader.is_first else to_first)(n)
    if n == 1 or module.order != order:
        raise ValueError(f"{module} on samples of {n} axes has no equal in fastnn, where channels stay last")
    reader.is_first = not reader.is_first


def _read_residual(reader: Reader, module: Any) -> None:
    from torch.nn import Sequential

    if reader.places is not None:
        raise ValueError(f"{module} behind flattened channels has no equal in fastnn")
    inside = Reader(list(flattened(module.inside, Sequential)), reader.shape, reader.is_first)
    inside.read()
    if inside.parts and reader.shape is None:
        reader.shape = inside.shape
    if inside.is_first != reader.is_first or inside.places is not None:
        raise ValueError(f"{module} has no equal in fastnn: its axes must lie in the same order before and behind it")
    reader.add(residual(inside.parts))


READ: dict[str, Callable[[Reader, Any], None]] = {
    "Linear": _read_linear,
    "Dropout": lambda reader, module: reader.add(Part(layers.Dropout(module.p))),
    "Identity": lambda reader, module: None,
    "LayerNorm": _read_layer_norm,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), _read_batch_norm),
    "Flatten": _read_flatten,
    "Unflatten": _read_unflatten,
    "Permute": _read_permute,
    "Residual": _read_residual,
}

# Modules that have channels first, or last, whatever comes before.
FIRST = {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d"}
LAST = {"Linear", "LayerNorm"}


def begins_first(modules: Sequence[Any], n_axes: int) -> bool:
    """Whether channels come first in samples of so many axes: as the first module wants it that minds."""
    for i, module in enumerate(modules):
        name = name_of(module)
        if name in FIRST:
            return True
        if name in LAST or name in ("Flatten", "Unflatten"):
            return False
        if name == "Permute":
            return not begins_first(modules[i + 1 :], n_axes)
        if name == "Residual":
            return begins_first(list(module.inside), n_axes)
    return False


def flattened(module: Any, sequential: type) -> Iterator[Any]:
    """The modules of a Sequential in order, those of nested ones too."""
    for child in module:
        if type(child) is sequential:
            yield from flattened(child, sequential)
        else:
            yield child


def from_torch(
    cls: "type[Network]", module: "nn.Sequential", input_shape: int | tuple[int, ...] | None = None
) -> "Network":
    """Return a network with the layers and parameters of a module; `Network.from_torch` documents it."""
    torch = require_torch()
    if type(module) is not torch.nn.Sequential:
        raise TypeError(f"module must be a torch.nn.Sequential, got {type(module).__name__}")
    shape = None
    if input_shape is not None:
        shape = check_shape("input_shape", input_shape if isinstance(input_shape, tuple) else (input_shape,))
    modules = list(flattened(module, torch.nn.Sequential))
    reader = Reader(modules, shape, shape is not None and len(shape) > 1 and begins_first(modules, len(shape)))
    reader.read()
    if reader.places is not None:
        raise ValueError("module ends in flattened channels that come first, which fastnn has in another order")
    dtypes = {parameter.dtype for parameter in module.parameters()}
    dtype = "float64" if dtypes == {torch.float64} else "float32"
    return assemble(cls, "module", reader.parts, shape, dtype)
