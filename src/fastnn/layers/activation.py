"""Activations as layers of their own."""

from dataclasses import dataclass
from typing import Any

from fastnn import activations
from fastnn.activations import ActivationFunction
from fastnn.engine.plan import PlanBuilder
from fastnn.layers.base import Layer


def build_activation(plan: PlanBuilder, function: ActivationFunction) -> None:
    """Write an activation into the plan, as an op after the layer's own."""
    kind = function.kind
    if kind is None:  # linear
        return
    # Most slopes follow from the output; the others were kept.
    plan.add_op(
        kind, value=function.value, in_place=True, needs_output=not kind.keeps_slope,
        extra_units=plan.positions * plan.units if kind.keeps_slope else 0,
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An activation as a layer of its own.

    Parameters
    ----------
    function : str or ActivationFunction
        A name from `fastnn.activations.NAMES`, or an object with a parameter.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Activation("tanh").function.name
    'tanh'
    """

    function: Any

    def __post_init__(self):
        object.__setattr__(self, "function", activations.get(self.function))

    def build(self, plan: PlanBuilder) -> None:
        build_activation(plan, self.function)


__all__ = ["Activation", "build_activation"]
