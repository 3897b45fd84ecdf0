"""Fully connected layers."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastnn import initializers
from fastnn.common.validation import check_integer
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.dense import DENSE
from fastnn.layers.base import Layer, build_activation, check_arguments


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer: activation(x W + b), with W of shape (fan_in, units).

    On samples of several axes it works on the last, with the same W and b everywhere, as in Keras.

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
    trainable : bool, default True
        Whether training changes W and b. Optimizers, weight decay, penalties and constraints leave those of a layer
        that is not trained alone.

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
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        check_arguments(self)

    def build(self, plan: PlanBuilder) -> None:
        fan_in = plan.units
        name = self.kernel_initializer
        if name == "auto":
            name = initializers.suited_to(self.activation.name)
        weights = plan.add_variable(
            "kernel", (fan_in, self.units), name, is_kernel=True,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        bias = -1
        if self.use_bias:
            bias = plan.add_variable("bias", (self.units,), "zeros", regularizer=self.bias_regularizer)
        plan.add_op(
            DENSE, (*plan.shape[:-1], self.units), weights=weights, bias=bias, needs_input=True,
            flops=2 * plan.positions * fan_in * self.units,
        )  # fmt: skip
        build_activation(plan, self.activation)


__all__ = ["Dense"]
