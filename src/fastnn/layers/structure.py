"""Layers that arrange: other shapes for the same numbers, and a way around other layers."""

import math
from dataclasses import dataclass
from typing import Any

from fastnn.common.validation import check_shape
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.residual import RESIDUAL_ADD, RESIDUAL_START
from fastnn.layers.base import Input, Layer, as_sequence


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Each sample as one row of numbers, in C order; it costs nothing.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input((4, 3)), fastnn.Dense(2), fastnn.Flatten(), fastnn.Dense(1)], seed=0)
    >>> network.plan.shapes
    ((4, 3), (4, 2), (8,), (1,))
    """

    def build(self, plan: PlanBuilder) -> None:
        plan.reshape((math.prod(plan.shape),))


@dataclass(frozen=True, repr=False)
class Reshape(Layer):
    """Each sample in another shape, in C order; it costs nothing.

    Parameters
    ----------
    shape : tuple of int
        The shape of one sample, with as many numbers as before; one size may be -1, and is found from the others.

    Raises
    ------
    ValueError, TypeError
        If a size is neither -1 nor >= 1; when the network is made, if the numbers do not fit.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input(64), fastnn.Reshape((8, 8, -1))])
    >>> network.plan.output_shape
    (8, 8, 1)
    """

    shape: Any

    def __post_init__(self):
        object.__setattr__(self, "shape", check_shape("shape", self.shape, with_unknown=True))

    def build(self, plan: PlanBuilder) -> None:
        size, known = math.prod(plan.shape), math.prod(n for n in self.shape if n != -1)
        shape = tuple(size // known if n == -1 else n for n in self.shape)
        if math.prod(shape) != size:
            raise ValueError(
                f"shape must hold the {size} numbers of a sample of shape {plan.shape}, got {self.shape} in "
                f"layers[{plan.layer}]"
            )
        plan.reshape(shape)


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """x + f(x), where f is a list of layers: their gradient reaches what is below unweakened [1]_.

    Parameters
    ----------
    layers : sequence of Layer
        f; its output must have the shape of its input.

    Raises
    ------
    ValueError, TypeError
        If there is no layer, one is no layer or an `Input`; when the network is made, if the shapes differ.

    References
    ----------
    .. [1] K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.

    Examples
    --------
    >>> import fastnn
    >>> block = fastnn.Residual([fastnn.Dense(8, "relu"), fastnn.Dense(8)])
    >>> fastnn.Network([fastnn.Input(8), block, block, fastnn.Dense(1)], seed=0).n_parameters
    297
    """

    layers: Any

    def __post_init__(self):
        layers = as_sequence(self.layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer) or isinstance(layer, Input):
                raise TypeError(f"layers[{i}] of a Residual must be a fastnn layer other than Input, got {layer!r}")
        if not layers:
            raise ValueError("layers of a Residual must hold at least one layer, got none")
        object.__setattr__(self, "layers", layers)

    @property
    def config(self) -> dict[str, Any]:
        return {"layer": "Residual", "layers": [layer.config for layer in self.layers]}

    def build(self, plan: PlanBuilder) -> None:
        shape, size = plan.shape, math.prod(plan.shape)
        kept, kept_row = plan.hold(), plan.keep_for_rows(size)
        start = plan.add_op(RESIDUAL_START, details={"row": kept_row}, keeps_input=True, extra_units=size)
        for i, layer in enumerate(self.layers):
            with plan.inside(i):
                plan.add(layer)
        if plan.shape != shape:
            raise ValueError(
                f"layers of a Residual must keep the shape of a sample, which is {shape} before and {plan.shape} after "
                f"them in layers[{plan.layer}]"
            )
        plan.add_op(
            RESIDUAL_ADD, details={"input": kept, "delta": plan.extra_of(start), "row": kept_row}, in_place=True
        )


__all__ = ["Flatten", "Reshape", "Residual"]
