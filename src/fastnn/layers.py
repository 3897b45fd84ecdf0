"""Declarative layers: what a user writes down. Each knows how to write itself into a plan, and computes nothing."""

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastnn import activations, constraints, initializers, regularizers
from fastnn.activations import ActivationFunction
from fastnn.kernels import tables
from fastnn.plan import PlanBuilder
from fastnn.records import Record
from fastnn.validation import check_bool, check_choice, check_integer, check_real


@dataclass(frozen=True, repr=False)
class Layer(Record):
    """Base of all layers: immutable, comparable, printable, and built into a plan by `build`."""

    def build(self, plan: PlanBuilder) -> None:
        """Write this layer's ops and variables into the plan."""
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        """The layer as JSON types: its class name and arguments."""
        return {"layer": type(self).__name__, **self.arguments}


@dataclass(frozen=True, repr=False)
class Input(Layer):
    """The features that enter the network; always its first layer.

    Parameters
    ----------
    n_features : int
        Number of columns of X, >= 1.

    Raises
    ------
    ValueError
        If n_features < 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Input(64)
    Input(n_features=64)
    """

    n_features: int

    def __post_init__(self):
        object.__setattr__(self, "n_features", check_integer("n_features", self.n_features, 1))

    def build(self, plan: PlanBuilder) -> None:
        plan.set_input(self.n_features)


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer: activation(x W + b), with W of shape (fan_in, units).

    Parameters
    ----------
    units : int
        Number of outputs, >= 1.
    activation : str or ActivationFunction, default "linear"
        Applied to x W + b; a name from `fastnn.activations.NAMES` or an object with a parameter.
    use_bias : bool, default True
        Whether b exists.
    kernel_initializer : str, default "auto"
        One of `fastnn.initializers.NAMES`; "auto" takes He for rectifiers, LeCun for selu, Glorot otherwise.
        Biases start at zero.
    kernel_regularizer, bias_regularizer : L1L2, float or None, default None
        Penalty on W, on b: `fastnn.L1(l1)`, `fastnn.L2(l2)`, `fastnn.L1L2(l1, l2)`; a number means L2.
    kernel_constraint : MaxNorm or None, default None
        `fastnn.MaxNorm(max_value)`: a limit of the norm of each column of W, kept after every update.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, unknown or of the wrong type.

    Examples
    --------
    >>> import fastnn
    >>> layer = fastnn.Dense(64, activation="relu")
    >>> layer.units
    64
    """

    units: int
    activation: Any = "linear"
    use_bias: bool = True
    kernel_initializer: str = "auto"
    _: KW_ONLY
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None

    def __post_init__(self):
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        object.__setattr__(self, "activation", activations.get(self.activation))
        object.__setattr__(self, "use_bias", check_bool("use_bias", self.use_bias))
        check_choice("kernel_initializer", self.kernel_initializer, initializers.NAMES)
        for name in ("kernel_regularizer", "bias_regularizer"):
            object.__setattr__(self, name, regularizers.get(name, getattr(self, name)))
        constraint = constraints.get("kernel_constraint", self.kernel_constraint)
        object.__setattr__(self, "kernel_constraint", constraint)

    def build(self, plan: PlanBuilder) -> None:
        fan_in = plan.units
        name = self.kernel_initializer
        if name == "auto":
            name = initializers.suited_to(self.activation.name)
        weights = plan.add_variable(
            "kernel", (fan_in, self.units), name,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        bias = -1
        if self.use_bias:
            bias = plan.add_variable("bias", (self.units,), "zeros", regularizer=self.bias_regularizer)
        plan.add_op(tables.Layer.DENSE, self.units, weights=weights, bias=bias, needs_input=True)
        _build_activation(plan, self.activation)


def _build_activation(plan: PlanBuilder, function: ActivationFunction) -> None:
    code = function.code
    if code == tables.Activation.LINEAR:
        return
    # gelu, silu and mish keep their derivative; the others find it from their output.
    keeps_slope = code in (tables.Activation.GELU, tables.Activation.SILU, tables.Activation.MISH)
    plan.add_op(
        tables.Layer.ACTIVATION, plan.units, code=code, value=function.value, in_place=True,
        needs_output=not keeps_slope, extra_units=plan.units if keeps_slope else 0,
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
        _build_activation(plan, self.function)


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Sets each input to 0 with probability `rate` while training, and scales the rest by 1 / (1 - rate) [1]_.

    The mask is a pure function of (seed, step, layer, unit, position in the batch): it does not depend on the number
    of threads or on how a batch is cut.

    Parameters
    ----------
    rate : float
        Probability of a zero, in [0, 1).

    Raises
    ------
    ValueError
        If rate is outside [0, 1).

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Dropout(0.5)
    Dropout(rate=0.5)
    """

    rate: float

    def __post_init__(self):
        object.__setattr__(self, "rate", check_real("rate", self.rate, 0.0, 1.0, closed="left"))

    def build(self, plan: PlanBuilder) -> None:
        plan.add_op(tables.Layer.DROPOUT, plan.units, value=self.rate, in_place=True)


@dataclass(frozen=True, repr=False)
class GaussianNoise(Layer):
    """Adds normal noise to each input while training; nothing at inference [1]_.

    The noise is a pure function of (seed, step, layer, unit, position in the batch), as the mask of `Dropout`.

    Parameters
    ----------
    stddev : float
        Standard deviation, > 0.

    Raises
    ------
    ValueError
        If stddev is not positive.

    References
    ----------
    .. [1] C. M. Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", Neural Computation 7(1), 1995.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input(4), fastnn.GaussianNoise(0.1), fastnn.Dense(8, "relu"), fastnn.Dense(1)]
    >>> fastnn.Network(layers).layers[1]
    GaussianNoise(stddev=0.1)
    """

    stddev: float

    def __post_init__(self):
        object.__setattr__(self, "stddev", check_real("stddev", self.stddev, 0.0, closed="neither"))

    def build(self, plan: PlanBuilder) -> None:
        plan.add_op(tables.Layer.GAUSSIAN_NOISE, plan.units, value=self.stddev, in_place=True)


def from_config(config: dict[str, Any]) -> Layer:
    """Return the layer that a config describes.

    Raises
    ------
    ValueError
        If the class is unknown.

    Examples
    --------
    >>> from_config({"layer": "Dropout", "rate": 0.5})
    Dropout(rate=0.5)
    """
    arguments = dict(config)
    known = {cls.__name__: cls for cls in Layer.__subclasses__()}
    name = check_choice("layer", arguments.pop("layer", None), known)
    return known[name](**arguments)


def check_layers(given: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers, or raise TypeError or ValueError unless exactly the first of them is an `Input`."""
    if not isinstance(given, Iterable):
        raise TypeError(f"layers must be a sequence of layers, got {given!r}")
    layers = tuple(given)
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{i}] must be a fastnn layer such as Dense, got {layer!r}")
    if not layers or not isinstance(layers[0], Input):
        first = repr(layers[0]) if layers else "an empty list"
        raise ValueError(f"layers must start with Input(n_features), got {first}")
    for i, layer in enumerate(layers[1:], start=1):
        if isinstance(layer, Input):
            raise ValueError(f"layers must hold one Input, the first; layers[{i}] is {layer!r}")
    if len(layers) == 1:
        raise ValueError("layers must hold at least one layer after Input")
    return layers


__all__ = ["Activation", "Dense", "Dropout", "GaussianNoise", "Input", "Layer", "check_layers", "from_config"]
