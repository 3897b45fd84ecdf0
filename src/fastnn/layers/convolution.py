"""Convolutions over images and sequences, channels last."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from fastnn import initializers
from fastnn.common.validation import check_integer
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.convolution import CONVOLUTION, DEPTHWISE_CONVOLUTION, TRANSPOSED_CONVOLUTION
from fastnn.layers.base import Layer, build_activation, check_arguments
from fastnn.layers.windows import (
    AXES,
    both,
    check_padding,
    check_sizes,
    details_of,
    image_shape,
    lay,
    lay_transposed,
)


@dataclass(frozen=True, repr=False)
class _Convolution(Layer):
    """What convolutions share; `_n_axes` says over how many axes the windows move."""

    _n_axes: ClassVar[int]

    filters: int
    kernel_size: Any
    _: KW_ONLY
    strides: Any = 1
    padding: str = "valid"
    dilation: Any = 1
    groups: int = 1
    activation: Any = "linear"
    use_bias: bool = True
    kernel_initializer: str = "auto"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "filters", check_integer("filters", self.filters, 1))
        for name in ("kernel_size", "strides", "dilation"):
            object.__setattr__(self, name, check_sizes(name, getattr(self, name), self._n_axes))
        check_padding(self.padding)
        object.__setattr__(self, "groups", check_integer("groups", self.groups, 1))
        if self.filters % self.groups:
            raise ValueError(f"groups must divide filters={self.filters}, got {self.groups}")
        check_arguments(self)

    def build(self, plan: PlanBuilder) -> None:
        name, n = type(self).__name__, self._n_axes
        height, width, channels = image_shape(plan, name, n)
        if channels % self.groups:
            raise ValueError(
                f"groups must divide the {channels} channels of the input of {name} at layers[{plan.layer}], "
                f"got {self.groups}"
            )
        sizes = zip(both(self.kernel_size, n), both(self.strides, n), both(self.dilation, n), strict=True)
        axes = AXES[2][:2] if n == 2 else ("", "time")
        y, x = (
            lay(f"{name} at layers[{plan.layer}]", axis, n_in, *size, self.padding)
            for axis, n_in, size in zip(axes, (height, width), sizes, strict=True)
        )
        kernel = (y.taps, x.taps)[2 - n :]
        weights, bias = add_kernel(self, plan, (*kernel, channels // self.groups, self.filters), self.filters)
        is_diagonal = 1 < channels == self.groups == self.filters
        plan.add_op(
            DEPTHWISE_CONVOLUTION if is_diagonal else CONVOLUTION, (*(y.n_out, x.n_out)[2 - n :], self.filters),
            weights=weights, bias=bias, needs_input=True,
            details={**details_of(y, x), "channels": channels, "filters": self.filters, "groups": self.groups,
                     "is_diagonal": is_diagonal},
            flops=2 * y.n_out * x.n_out * y.taps * x.taps * channels // self.groups * self.filters,
        )  # fmt: skip
        build_activation(plan, self.activation)


def add_kernel(layer: Any, plan: PlanBuilder, shape: tuple[int, ...], n_biases: int) -> tuple[int, int]:
    """Reserve kernel and bias, if there is one; return their offsets."""
    name = layer.kernel_initializer
    if name == "auto":
        name = initializers.suited_to(layer.activation.name)
    weights = plan.add_variable(
        "kernel", shape, name, is_kernel=True, regularizer=layer.kernel_regularizer,
        constraint=layer.kernel_constraint,
    )  # fmt: skip
    if not layer.use_bias:
        return weights, -1
    return weights, plan.add_variable("bias", (n_biases,), "zeros", regularizer=layer.bias_regularizer)


@dataclass(frozen=True, repr=False)
class Conv2D(_Convolution):
    """A convolution over images of shape (height, width, channels) [1]_.

    activation(b + sum over the places of a window and its channels of the kernel times the input), for windows that
    move over the image. (Strictly a correlation, as everywhere.)

    Parameters
    ----------
    filters : int
        Channels of the output, >= 1.
    kernel_size : int or tuple of two int
        Height and width of the window.
    strides : int or tuple of two int, default 1
        How far one window is from the next, down and across.
    padding : "valid" or "same", default "valid"
        "valid": windows lie within the image. "same": ceil(size / stride) windows an axis, in the middle; what they
        see outside the image is 0.
    dilation : int or tuple of two int, default 1
        How far the places that a window looks at are from each other.
    groups : int, default 1
        Channels and filters are cut into so many groups, each a convolution of its own; as many as channels:
        depthwise.
    activation : str or ActivationFunction, default "linear"
        A name from `fastnn.activations.NAMES` or an object with a parameter.
    use_bias : bool, default True
        Whether b exists.
    kernel_initializer : str, default "auto"
        As for `Dense`.
    kernel_regularizer, bias_regularizer : L1L2, float or None, default None
        As for `Dense`.
    kernel_constraint : MaxNorm or None, default None
        A limit of the norm of each filter.
    trainable : bool, default True
        Whether training changes kernel and bias.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, unknown or of the wrong type; when the network is made, if a sample is no image,
        the window is larger than it, or groups do not divide its channels.

    Notes
    -----
    The kernel has the shape (height, width, channels / groups, filters), as in Keras.

    References
    ----------
    .. [1] Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86(11), 1998.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input((28, 28, 1)), fastnn.Conv2D(6, 5, activation="relu"), fastnn.MaxPooling2D(2)]
    >>> fastnn.Network(layers, seed=0).plan.shapes
    ((28, 28, 1), (24, 24, 6), (12, 12, 6))
    """

    _n_axes = 2


@dataclass(frozen=True, repr=False)
class Conv1D(_Convolution):
    """A convolution over sequences of shape (time, channels).

    Parameters
    ----------
    filters, kernel_size, strides, padding, dilation, groups, activation, use_bias, kernel_initializer,
    kernel_regularizer, bias_regularizer, kernel_constraint, trainable
        As for `Conv2D`, with one integer where that has two.

    Raises
    ------
    ValueError, TypeError
        As for `Conv2D`.

    Notes
    -----
    The kernel has the shape (time, channels / groups, filters), as in Keras.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Network([fastnn.Input((128, 9)), fastnn.Conv1D(64, 3, activation="relu")], seed=0).plan.output_shape
    (126, 64)
    """

    _n_axes = 1


@dataclass(frozen=True, repr=False)
class Conv2DTranspose(Layer):
    """A transposed convolution: the image that grows is what the gradient of the input of a `Conv2D` is.

    Parameters
    ----------
    filters : int
        Channels of the output, >= 1.
    kernel_size : int or tuple of two int
        Height and width of the block that every place of the input adds to.
    strides : int or tuple of two int, default 1
        How far one block is from the next.
    padding : "valid" or "same", default "valid"
        "valid": the output holds all blocks. "same": it is `strides` times as large as the input.
    activation, use_bias, kernel_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, trainable
        As for `Conv2D`; a constraint limits what each channel of the input adds.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, unknown or of the wrong type; when the network is made, if a sample is no image.

    Notes
    -----
    The kernel has the shape (height, width, filters, channels), as in Keras.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input((7, 7, 8)), fastnn.Conv2DTranspose(4, 3, strides=2, padding="same")]
    >>> fastnn.Network(layers, seed=0).plan.output_shape
    (14, 14, 4)
    """

    filters: int
    kernel_size: Any
    _: KW_ONLY
    strides: Any = 1
    padding: str = "valid"
    activation: Any = "linear"
    use_bias: bool = True
    kernel_initializer: str = "auto"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "filters", check_integer("filters", self.filters, 1))
        for name in ("kernel_size", "strides"):
            object.__setattr__(self, name, check_sizes(name, getattr(self, name), 2))
        check_padding(self.padding)
        check_arguments(self)

    def build(self, plan: PlanBuilder) -> None:
        height, width, channels = image_shape(plan, "Conv2DTranspose", 2)
        sizes = zip(both(self.kernel_size), both(self.strides), strict=True)
        y, x = (
            lay_transposed(n_in, *size, self.padding) for n_in, size in zip((height, width), sizes, strict=True)
        )  # fmt: skip
        weights, bias = add_kernel(self, plan, (y.taps, x.taps, self.filters, channels), self.filters)
        plan.add_op(
            TRANSPOSED_CONVOLUTION, (y.n_in, x.n_in, self.filters), weights=weights, bias=bias, needs_input=True,
            details={**details_of(y, x), "channels": self.filters, "filters": channels, "groups": 1},
            flops=2 * height * width * y.taps * x.taps * channels * self.filters,
        )  # fmt: skip
        build_activation(plan, self.activation)


__all__ = ["Conv1D", "Conv2D", "Conv2DTranspose"]
