"""The graph that is written: nodes, constants, and tensors that know in which order their axes lie.

Here channels come last; in ONNX, convolutions want them first and recurrent operators want steps first. A tensor keeps
the order in which the operator before it left its axes until an operator wants another. So a chain of convolutions has
a transpose at either end, and none where its output is flattened into a dense layer, whose kernel is permuted instead.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastnn.interop.parts import to_first

OPSET = 17  # of ONNX 1.12, 2022; the first with LayerNormalization
IR_VERSION = 8  # the file format of that release, so that runtimes since then read the file

# Adds a node: (operator, input names, attributes, how many of its first outputs nobody wants) -> name of the next one.
AddNode = Callable[[str, list[str], dict[str, Any], int], str]
# Adds a constant: (array) -> name.
AddConstant = Callable[[np.ndarray], str]


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Parameters
    ----------
    name : str
        Its name in the graph.
    shape : tuple of int
        Of one sample, channels last: as fastnn has it.
    order : tuple of int
        The axes in the order in which they lie, by their numbers in (samples, *shape): (0, 3, 1, 2) for images whose
        channels come first.
    places : array of int or None, default None
        For flattened samples whose channels came first: the place of each number among those of fastnn.
    """

    name: str
    shape: tuple[int, ...]
    order: tuple[int, ...]
    places: np.ndarray | None = None

    @property
    def channel_axis(self) -> int:
        """Where the axis lies that is fastnn's last."""
        return self.order.index(len(self.shape))

    def named(self, name: str, shape: tuple[int, ...] | None = None) -> "Tensor":
        """Return a tensor whose axes lie as here."""
        return replace(self, name=name, shape=self.shape if shape is None else shape)


def tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor whose axes lie as in fastnn."""
    return Tensor(name, shape, tuple(range(len(shape) + 1)))


def require(name: str) -> None:
    """Raise ImportError that says what to install where a package is missing."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"to_onnx needs the package {name}: pip install fastnn[onnx]") from error


def element_type(dtype: Any) -> int:
    """Return ONNX's number for float32 or float64."""
    from onnx import TensorProto

    return TensorProto.DOUBLE if np.dtype(dtype) == np.float64 else TensorProto.FLOAT


class Graph:
    """What layers and activations are written into, whoever keeps the nodes.

    Parameters
    ----------
    add_node, add_constant : function
        They keep what they are given, and return a name for it.
    dtype : dtype-like, default float32
        Of the numbers, float32 or float64.
    """

    def __init__(self, add_node: AddNode, add_constant: AddConstant, dtype: Any = np.float32):
        self._add_node = add_node
        self._add_constant = add_constant
        self.dtype = np.dtype(dtype)
        self._reordered: dict[tuple[str, tuple[int, ...]], str] = {}

    @property
    def is_double(self) -> bool:
        """Whether numbers are float64, for which ONNX Runtime lacks many an operator."""
        return self.dtype == np.float64

    def node(self, operator: str, *inputs: str, skip: int = 0, **attributes: Any) -> str:
        """Add a node and return the name of its output, the first one behind those to skip."""
        return self._add_node(operator, list(inputs), attributes, skip)

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant, of the graph's dtype unless another is given, and return its name."""
        return self._add_constant(np.asarray(value, self.dtype if dtype is None else dtype))

    def single(self, operator: str, x: str, *constants: Any, skip: int = 0, **attributes: Any) -> str:
        """Add a node of an operator that ONNX Runtime has for float32 only: float64 is cast to it and back.

        Constants are arrays, None for an optional one that is left out.
        """
        if self.is_double:
            x = self.node("Cast", x, to=element_type(np.float32))
        names = ["" if array is None else self.constant(array, np.float32) for array in constants]
        y = self.node(operator, x, *names, skip=skip, **attributes)
        return self.node("Cast", y, to=element_type(self.dtype)) if self.is_double else y

    def ordered(self, x: Tensor, order: tuple[int, ...]) -> Tensor:
        """Return the tensor with its axes in another order, through a transpose if need be, but never two of a kind."""
        if x.places is not None:
            name = self.node("Gather", x.name, self.constant(np.argsort(x.places), np.int64), axis=1)
            x = tensor(name, x.shape)
        if x.order == order:
            return x
        if (x.name, order) not in self._reordered:
            perm = [x.order.index(axis) for axis in order]
            self._reordered[x.name, order] = self.node("Transpose", x.name, perm=perm)
        return Tensor(self._reordered[x.name, order], x.shape, order)

    def last(self, x: Tensor) -> Tensor:
        """Return the tensor with its axes as fastnn has them."""
        return self.ordered(x, tuple(range(len(x.shape) + 1)))

    def first(self, x: Tensor) -> Tensor:
        """Return the tensor with channels behind the samples, as convolutions want it."""
        return self.ordered(x, to_first(len(x.shape)))

    def along(self, x: Tensor, array: np.ndarray) -> np.ndarray:
        """Return an array with a number for each channel in the shape that it is broadcast to the tensor from."""
        if x.places is not None:
            array = array[x.places]
        return array.reshape(-1, *(1,) * (len(x.shape) - x.channel_axis))

    def flat(self, x: Tensor) -> Tensor:
        """Return each sample as one row; where channels come first, the tensor knows it."""
        n = math.prod(x.shape)
        if x.order[0] != 0:
            x = self.last(x)
        name = self.node("Reshape", x.name, self.constant([0, n], np.int64))  # 0: as many samples as there are
        if x.order == tuple(range(len(x.order))):
            return Tensor(name, (n,), (0, 1), x.places)
        places = np.arange(n).reshape(x.shape).transpose([axis - 1 for axis in x.order[1:]]).ravel()
        return Tensor(name, (n,), (0, 1), places)
