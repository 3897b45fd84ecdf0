"""A network that is an ensemble: members share their kernels, and differ by factors of their own."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastnn import initializers
from fastnn.common.validation import check_bool, check_integer
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.dense import DENSE
from fastnn.kernels.ops.ensemble import HEADS, MEMBERS_MEAN, MEMBERS_START
from fastnn.kernels.ops.scale import SCALE
from fastnn.layers.base import Activation, Layer, as_sequence, build_activation
from fastnn.layers.dense import Dense
from fastnn.layers.noise import Dropout, GaussianNoise
from fastnn.layers.normalization import LayerNormalization
from fastnn.layers.numbers import Scale

_INSIDE = (Dense, Activation, Dropout, GaussianNoise, LayerNormalization, Scale)


@dataclass(frozen=True, repr=False)
class Ensemble(Layer):
    """k networks in one, trained at once; their mean is the output [1]_ [2]_.

    The members share the kernels of all dense layers but the last. Each has its own factors before and after a kernel,
    ``s * ((r * x) W) + b``, and its own last dense layer, the head. Random signs in the first factors r let them see
    different samples. What is learnt is little more than one network has; the products are those of k.

    Parameters
    ----------
    layers : sequence of Layer
        What a member is made of: `Dense`, `Activation`, `Dropout`, `GaussianNoise`, `LayerNormalization` and `Scale`.
        At least one is a `Dense`. Layers without a kernel share their parameters. A sample of several axes comes in as
        one row.
    k : int, default 8
        How many members.
    average : bool, default True
        Whether the output is their mean, of what the last layer gives. False gives the outputs of all, of shape
        (k, outputs): with targets repeated k times each learns for itself, as in [2]_. Both have the same parameters.
    trainable : bool, default True
        Whether training changes any of them.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or a layer is none that members can have.

    References
    ----------
    .. [1] Y. Wen, D. Tran, J. Ba, "BatchEnsemble: An Alternative Approach to Efficient Ensemble and Lifelong
           Learning", ICLR 2020.
    .. [2] Y. Gorishniy, A. Kotelnikov, A. Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
           Ensembling", ICLR 2025 (arXiv 2410.24210).

    Examples
    --------
    >>> import fastnn
    >>> members = fastnn.Ensemble([fastnn.Dense(16, "relu"), fastnn.Dense(1)], k=4)
    >>> network = fastnn.Network([fastnn.Input(3), members], seed=0)
    >>> network.plan.output_shape
    (1,)
    >>> [tuple(weights.shape) for weights in network.get_weights()]
    [(4, 3), (3, 16), (4, 16), (4, 16), (4, 16, 1), (4, 1)]
    """

    layers: Any
    k: int = 8
    _: KW_ONLY
    average: bool = True
    trainable: bool = True

    def __post_init__(self):
        layers = as_sequence(self.layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, _INSIDE):
                names = ", ".join(cls.__name__ for cls in _INSIDE)
                raise TypeError(f"layers[{i}] of an Ensemble must be one of {names}, got {layer!r}")
        if not any(isinstance(layer, Dense) for layer in layers):
            raise ValueError(f"layers of an Ensemble must hold at least one Dense, got {list(layers)!r}")
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "k", check_integer("k", self.k, 1))
        object.__setattr__(self, "average", check_bool("average", self.average))
        object.__setattr__(self, "trainable", check_bool("trainable", self.trainable))

    @property
    def config(self) -> dict[str, Any]:
        return {**super().config, "layers": [layer.config for layer in self.layers]}

    def build(self, plan: PlanBuilder) -> None:
        size = math.prod(plan.shape)
        plan.reshape((size,))
        plan.add_op(MEMBERS_START, (self.k * size,), details={"members": self.k})
        plan.reshape((self.k, size))
        dense = [i for i, layer in enumerate(self.layers) if isinstance(layer, Dense)]
        for i, layer in enumerate(self.layers):
            with plan.inside(i):
                if i == dense[-1]:
                    plan.add(_Head(layer, layer.trainable))
                elif i in dense:
                    plan.add(_Shared(layer, layer.trainable, i == dense[0]))
                else:
                    plan.add(layer)
        if self.average:
            plan.add_op(MEMBERS_MEAN, (plan.units,), details={"members": self.k})


@dataclass(frozen=True)
class _Head:
    """A dense layer of which each member has its own."""

    layer: Dense
    trainable: bool

    def build(self, plan: PlanBuilder) -> None:
        layer, members, fan_in = self.layer, plan.positions, plan.units
        kernel = plan.add_variable(
            "kernel", (members, fan_in, layer.units), initializers.EACH + _initializer(layer), is_kernel=True,
            regularizer=layer.kernel_regularizer, constraint=layer.kernel_constraint,
        )  # fmt: skip
        bias = -1
        if layer.use_bias:
            bias = plan.add_variable("bias", (members, layer.units), "zeros", regularizer=layer.bias_regularizer)
        plan.add_op(
            HEADS, (members, layer.units), weights=kernel, bias=bias, needs_input=True,
            flops=2 * members * fan_in * layer.units,
        )  # fmt: skip
        build_activation(plan, layer.activation)


@dataclass(frozen=True)
class _Shared:
    """A dense layer whose kernel the members share, between factors of their own."""

    layer: Dense
    trainable: bool
    is_first: bool

    def build(self, plan: PlanBuilder) -> None:
        layer, members, fan_in = self.layer, plan.positions, plan.units
        factors = plan.add_variable("input_scale", (members, fan_in), initializers.SIGNS if self.is_first else "ones")
        plan.reshape((members * fan_in,))
        plan.add_op(SCALE, weights=factors, needs_input=True)
        plan.reshape((members, fan_in))
        kernel = plan.add_variable(
            "kernel", (fan_in, layer.units), _initializer(layer), is_kernel=True,
            regularizer=layer.kernel_regularizer, constraint=layer.kernel_constraint,
        )  # fmt: skip
        plan.add_op(
            DENSE, (members, layer.units), weights=kernel, needs_input=True, flops=2 * members * fan_in * layer.units
        )
        factors = plan.add_variable("output_scale", (members, layer.units), "ones")
        bias = -1
        if layer.use_bias:
            bias = plan.add_variable("bias", (members, layer.units), "zeros", regularizer=layer.bias_regularizer)
        plan.reshape((members * layer.units,))
        plan.add_op(SCALE, weights=factors, bias=bias, needs_input=True)
        plan.reshape((members, layer.units))
        build_activation(plan, layer.activation)


def _initializer(layer: Dense) -> str:
    if layer.kernel_initializer == "auto":
        return initializers.suited_to(layer.activation.name)
    return layer.kernel_initializer


__all__ = ["Ensemble"]
