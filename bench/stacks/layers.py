"""Layers in nobody's words: the shape each makes of a shape, its parameters in Keras's layout, and its arithmetic.

Shapes are those of one sample, channels last. Only matrix products and convolutions count as arithmetic: a
multiplication and an addition are two operations.
"""

import math
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """Makes no parameters, leaves the shape, computes nothing that counts."""

    def output(self, shape: Shape) -> Shape:
        return shape

    def parameters(self, shape: Shape) -> list[Shape]:
        """Shapes of the weights, in Keras's order."""
        return []

    def flops(self, shape: Shape) -> int:
        """Operations of the forward pass of one sample."""
        return 0


@dataclass(frozen=True)
class Dense(Layer):
    units: int
    activation: str = "linear"

    def output(self, shape):
        return (*shape[:-1], self.units)

    def parameters(self, shape):
        return [(shape[-1], self.units), (self.units,)]

    def flops(self, shape):
        return 2 * math.prod(shape) * self.units


@dataclass(frozen=True)
class Conv(Layer):
    """Over all axes but the last: Conv1D for (time, channels), Conv2D for (height, width, channels)."""

    filters: int
    size: int
    strides: int = 1
    padding: str = "valid"
    groups: int = 1
    activation: str = "linear"

    def output(self, shape):
        lost = self.size - 1 if self.padding == "valid" else 0
        return (*(-(-(n - lost) // self.strides) for n in shape[:-1]), self.filters)

    def parameters(self, shape):
        return [(*[self.size] * (len(shape) - 1), shape[-1] // self.groups, self.filters), (self.filters,)]

    def flops(self, shape):
        taps = self.size ** (len(shape) - 1) * shape[-1] // self.groups
        return 2 * math.prod(self.output(shape)) * taps


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """Conv2DTranspose with padding "same"."""

    filters: int
    size: int
    strides: int
    activation: str = "linear"

    def output(self, shape):
        return (shape[0] * self.strides, shape[1] * self.strides, self.filters)

    def parameters(self, shape):
        return [(self.size, self.size, self.filters, shape[-1]), (self.filters,)]

    def flops(self, shape):
        return 2 * math.prod(shape) * self.size**2 * self.filters


@dataclass(frozen=True)
class MaxPool(Layer):
    size: int = 2

    def output(self, shape):
        return (*(n // self.size for n in shape[:-1]), shape[-1])


@dataclass(frozen=True)
class Mean(Layer):
    """Over time, or over height and width: global average pooling."""

    def output(self, shape):
        return (shape[-1],)


@dataclass(frozen=True)
class Flatten(Layer):
    def output(self, shape):
        return (math.prod(shape),)


@dataclass(frozen=True)
class Reshape(Layer):
    shape: Shape

    def output(self, shape):
        return self.shape


@dataclass(frozen=True)
class Embed(Layer):
    """Integers below ``rows`` to vectors."""

    rows: int
    units: int

    def output(self, shape):
        return (*shape, self.units)

    def parameters(self, shape):
        return [(self.rows, self.units)]


GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Recurrent(Layer):
    """SimpleRNN, GRU (with reset_after, so two biases) or LSTM; the output after the last step."""

    cell: str
    units: int

    def output(self, shape):
        return (self.units,)

    def parameters(self, shape):
        width = GATES[self.cell] * self.units
        bias = (2, width) if self.cell == "GRU" else (width,)
        return [(shape[-1], width), (self.units, width), bias]

    def flops(self, shape):
        return 2 * shape[0] * (shape[-1] + self.units) * GATES[self.cell] * self.units


def walk(layers: tuple[Layer, ...], shape: Shape) -> list[tuple[Layer, Shape]]:
    """Each layer with the shape of its input."""
    pairs = []
    for layer in layers:
        pairs.append((layer, shape))
        shape = layer.output(shape)
    return pairs


def output_shape(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    for layer in layers:
        shape = layer.output(shape)
    return shape


def forward_flops(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Operations of one sample's forward pass."""
    return sum(layer.flops(before) for layer, before in walk(layers, shape))


def initial_weights(layers: tuple[Layer, ...], shape: Shape, seed: int = 0) -> list[np.ndarray]:
    """Glorot-uniform kernels, zero biases, float32, in Keras's order: what every peer starts from."""
    rng = np.random.default_rng(seed)
    weights = []
    for layer, before in walk(layers, shape):
        shapes = layer.parameters(before)
        for k, weight in enumerate(shapes):
            if k > 0 and k == len(shapes) - 1:  # the bias
                weights.append(np.zeros(weight, np.float32))
                continue
            taps = math.prod(weight[:-2])
            limit = math.sqrt(6.0 / (taps * (weight[-2] + weight[-1])))
            weights.append(rng.uniform(-limit, limit, weight).astype(np.float32))
    return weights
