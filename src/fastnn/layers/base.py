"""What every layer is: an immutable record of arguments that writes itself into a plan; and the simplest two."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn.activations import ActivationFunction
from fastnn.common.records import Record
from fastnn.common.validation import check_bool, check_choice, check_integer, check_shape
from fastnn.engine.plan import PlanBuilder


def as_sequence(layers: Any) -> tuple[Any, ...]:
    """Return layers as a tuple, or raise TypeError."""
    if not isinstance(layers, Iterable) or isinstance(layers, (str, bytes)):
        raise TypeError(f"layers must be a sequence of layers, got {layers!r}")
    return tuple(layers)


def check_arguments(layer: Any) -> None:
    """Check what layers with a kernel have in common; where there is no activation, "auto" knows no initializer."""
    known = list(initializers.NAMES)
    if hasattr(layer, "activation"):
        object.__setattr__(layer, "activation", activations.get(layer.activation))
        object.__setattr__(layer, "use_bias", check_bool("use_bias", layer.use_bias))
    else:
        known.remove("auto")
    object.__setattr__(layer, "trainable", check_bool("trainable", layer.trainable))
    check_choice("kernel_initializer", layer.kernel_initializer, known)
    for name in ("kernel_regularizer", "bias_regularizer"):
        object.__setattr__(layer, name, regularizers.get(name, getattr(layer, name)))
    constraint = constraints.get("kernel_constraint", layer.kernel_constraint)
    object.__setattr__(layer, "kernel_constraint", constraint)


@dataclass(frozen=True, repr=False)
class Layer(Record):
    """Base of all layers: immutable, comparable, printable, and built into a plan by `build`.

    A layer with parameters has a keyword `trainable`: where it is False, training leaves its parameters as they are.
    """

    def build(self, plan: PlanBuilder) -> None:
        """Write this layer's ops and variables into the plan."""
        raise NotImplementedError

    def __call__(self, *_: Any) -> Any:
        """Refuse what Keras's functional models do."""
        name = type(self).__name__
        raise TypeError(f"{name} is not called: list the layers, as in Network([Input(...), {name}(...), ...])")

    @property
    def config(self) -> dict[str, Any]:
        """The layer as JSON types: its class name and arguments."""
        arguments = self.arguments
        if arguments.get("trainable") is True:  # as files of before were
            del arguments["trainable"]
        if arguments.get("stateful") is False:
            del arguments["stateful"]
        return {"layer": type(self).__name__, **arguments}


@dataclass(frozen=True, repr=False)
class Input(Layer):
    """The features that enter the network; always its first layer.

    Parameters
    ----------
    n_features : int or tuple of int
        Number of columns of X, >= 1; or the shape of one sample, such as (28, 28, 1) for images with one channel or
        (time, features) for sequences, channels last. X then has shape (n, *shape), or (n, product of the shape) with
        the numbers of a sample in C order.

    Raises
    ------
    ValueError, TypeError
        If a size is no integer >= 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Input(64)
    Input(n_features=64)
    >>> fastnn.Input((28, 28, 1)).shape
    (28, 28, 1)
    """

    n_features: Any

    def __post_init__(self):
        given = self.n_features
        if isinstance(given, (tuple, list)):
            object.__setattr__(self, "n_features", check_shape("n_features", given))
        else:
            object.__setattr__(self, "n_features", check_integer("n_features", given, 1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.n_features if isinstance(self.n_features, tuple) else (self.n_features,)

    def build(self, plan: PlanBuilder) -> None:
        plan.set_input(self.shape)


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


__all__ = ["Activation", "Input"]
