"""What the interchange with other libraries shares.

- families of layers, which every library treats alike
- for readers, layers beside the values of their parameters, and a network of them
- for writers, the weights of layers within a layer
- how the windows of a layer lie on each axis, in the words of libraries that pad by numbers
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ActivationFunction
from fastnn.common.validation import check_finite
from fastnn.layers import Activation, Conv1D, Conv2D, Conv2DTranspose, Dense, Input, Layer, Residual
from fastnn.layers.normalization import BatchNormalization
from fastnn.layers.windows import both, lay, lay_transposed

if TYPE_CHECKING:
    from fastnn.model.network import Network

Weights = dict[str, np.ndarray]  # the parameters and the state of a layer, by name

CONVOLUTIONS = (Conv1D, Conv2D)
MAX_POOLING = (layers.MaxPooling1D, layers.MaxPooling2D)
AVERAGE_POOLING = (layers.AveragePooling1D, layers.AveragePooling2D)
GLOBAL_MAX_POOLING = (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
GLOBAL_AVERAGE_POOLING = (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
SPATIAL_DROPOUT = (layers.SpatialDropout1D, layers.SpatialDropout2D)
RECURRENT = (layers.SimpleRNN, layers.LSTM, layers.GRU)

_WITH_ACTIVATION = (Dense, *CONVOLUTIONS, Conv2DTranspose)


@dataclass
class Part:
    """One layer of another library in our terms, with its parameters and state in our order."""

    layer: Layer
    weights: list[np.ndarray] = field(default_factory=list)
    state: list[np.ndarray] = field(default_factory=list)
    n_inputs: int | None = None  # how many features it must be given, where it knows


def require_torch() -> Any:
    """Return the package torch, or raise ImportError that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError("this needs PyTorch: pip install torch, see https://pytorch.org") from error
    return torch


def require_keras() -> Any:
    """Return the package keras, or raise ImportError that says how to get it."""
    try:
        import keras
    except ImportError as error:
        raise ImportError("this needs Keras: pip install keras and one of its backends") from error
    return keras


def floats(array: np.ndarray) -> np.ndarray:
    """Return an array in float32, unless it is of float64."""
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def dense(kernel: np.ndarray, bias: np.ndarray | None, activation: "str | ActivationFunction" = "linear") -> Part:
    """Return a dense layer with a kernel of shape (fan_in, units)."""
    weights = [kernel] if bias is None else [kernel, bias]
    return Part(Dense(kernel.shape[1], activation, use_bias=bias is not None), weights, n_inputs=kernel.shape[0])


def batch_normalization(layer: BatchNormalization, weights: list[np.ndarray], state: list[np.ndarray]) -> Part:
    """Return a batch normalization with gamma and beta as far as it has them, and its moving mean and variance."""
    return Part(layer, weights, state, state[0].size)


def residual(inside: list[Part]) -> Part:
    """Return a residual layer around others.

    Moving statistics come after the parameters of all layers inside; a network has both in the order of the layers.
    """
    return Part(
        Residual([part.layer for part in inside]), [array for part in inside for array in part.weights],
        [array for part in inside for array in part.state],
        next((part.n_inputs for part in inside if part.n_inputs is not None), None),
    )  # fmt: skip


def weights_inside(weights: Weights, number: int) -> Weights:
    """Return the weights of layer `number` within the layer whose weights these are.

    Examples
    --------
    >>> weights_inside({"0.kernel": 1, "1.kernel": 2, "1.bias": 3}, 1)
    {'kernel': 2, 'bias': 3}
    """
    prefix = f"{number}."
    return {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}


def reorder_gates(array: np.ndarray, order: list[int]) -> np.ndarray:
    """Return numbers of gates that lie side by side along the last axis, with the gates in another order.

    Examples
    --------
    >>> reorder_gates(np.array([1, 2, 3, 4]), [1, 0])
    array([3, 4, 1, 2])
    """
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1)


def one_number(sizes: Any) -> Any:
    """Return sizes along several axes as one number where they are the same.

    Examples
    --------
    >>> one_number((2, 2)), one_number((2, 3)), one_number(4)
    (2, (2, 3), 4)
    """
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    return sizes[0] if len(set(sizes)) == 1 else sizes


def to_first(n_axes: int) -> tuple[int, ...]:
    """Return the order that brings the channels of samples of so many axes behind axis 0, the samples.

    Examples
    --------
    >>> to_first(3)
    (0, 3, 1, 2)
    """
    return (0, n_axes, *range(1, n_axes))


def assemble(
    cls: "type[Network]", source: str, parts: list[Part], n_inputs: int | tuple[int, ...] | None, dtype: Any
) -> "Network":
    """Return a network of these parts.

    Parameters
    ----------
    cls : type
        The class of network.
    source : str
        What the parts come from, for messages.
    parts : list of Part
        In order.
    n_inputs : int, tuple of int or None
        Number of features, or the shape of a sample; None takes it from the first part that knows.
    dtype : dtype-like
        float32 or float64.

    Raises
    ------
    ValueError
        If there is no part, no part knows the number of features, or a parameter is not finite.
    """
    if not parts:
        raise ValueError(f"{source} must have at least one layer")
    known = [part.n_inputs for part in parts if part.n_inputs is not None]
    if n_inputs is None:
        if not known:
            raise ValueError(f"{source} has no layer that tells the number of features")
        n_inputs = known[0]
    parts = _with_activations_inside(parts)
    network = cls([Input(n_inputs), *(part.layer for part in parts)], dtype=dtype)
    network.set_weights([array for part in parts for array in part.weights])
    state = [array for part in parts for array in part.state]
    if state:
        network.state[:] = np.concatenate(state)
        check_finite("the moving statistics", network.state)
    return network


def _with_activations_inside(parts: list[Part]) -> list[Part]:
    """Put each activation that follows a linear dense layer or convolution into that layer."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1].layer if merged else None
        if isinstance(part.layer, Activation) and isinstance(last, _WITH_ACTIVATION) and _is_linear(last):
            merged[-1] = replace(merged[-1], layer=replace(last, activation=part.layer.function))
        else:
            merged.append(part)
    return merged


def _is_linear(layer: Any) -> bool:
    return layer.activation.name == "linear"


@dataclass(frozen=True)
class Axis:
    """How windows lie along one axis.

    Parameters
    ----------
    n_in, n_out : int
        Places of the image, and windows; for a transposed convolution places before and after.
    taps, stride, dilation : int
        Places that a window looks at, how far one window is from the next, and one place from the next.
    pad, pad_after : int
        How far the first window begins before the image and the last one ends behind it, >= 0; for a transposed
        convolution, how many places are cut off.
    missing : int, default 0
        Places behind the last block of a transposed convolution that no block reaches.
    """

    n_in: int
    n_out: int
    taps: int
    stride: int
    dilation: int
    pad: int
    pad_after: int
    missing: int = 0


def sizes_of(layer: Any, n_axes: int) -> list[tuple[int, int, int]]:
    """Return (taps, stride, dilation) of a convolution or pooling for each axis."""
    taps = layer.kernel_size if hasattr(layer, "kernel_size") else layer.pool_size
    strides = taps if layer.strides is None else layer.strides
    dilation = getattr(layer, "dilation", 1)
    return list(zip(*(both(sizes, n_axes)[2 - n_axes :] for sizes in (taps, strides, dilation)), strict=True))


def lay_windows(layer: Any, shape: tuple[int, ...]) -> list[Axis]:
    """Return how the windows of a convolution or pooling lie on samples of this shape, channels last."""
    return [
        lay_axis(n_in, *sizes, layer.padding)
        for n_in, sizes in zip(shape[:-1], sizes_of(layer, len(shape) - 1), strict=True)
    ]


def lay_axis(n_in: int, taps: int, stride: int, dilation: int, padding: str) -> Axis:
    """Return how windows lie along one axis.

    Examples
    --------
    >>> lay_axis(7, 3, 2, 1, "same")
    Axis(n_in=7, n_out=4, taps=3, stride=2, dilation=1, pad=1, pad_after=1, missing=0)
    """
    windows = lay("a layer", "length", n_in, taps, stride, dilation, padding)
    reach = (windows.n_out - 1) * stride + (taps - 1) * dilation + 1
    return Axis(n_in, windows.n_out, taps, stride, dilation, windows.pad, max(0, reach - n_in - windows.pad))


def lay_transposed_windows(layer: Any, shape: tuple[int, ...]) -> list[Axis]:
    """Return how the blocks of a transposed convolution lie on samples of this shape, channels last."""
    return [
        lay_transposed_axis(n_in, taps, stride, layer.padding)
        for n_in, (taps, stride, _) in zip(shape[:-1], sizes_of(layer, len(shape) - 1), strict=True)
    ]


def lay_transposed_axis(n_in: int, taps: int, stride: int, padding: str) -> Axis:
    """Return how blocks lie along one axis.

    Examples
    --------
    >>> lay_transposed_axis(4, 3, 2, "same")
    Axis(n_in=4, n_out=8, taps=3, stride=2, dilation=1, pad=0, pad_after=1, missing=0)
    """
    windows = lay_transposed(n_in, taps, stride, padding)
    reach = (n_in - 1) * stride + taps
    excess = reach - windows.n_in
    return Axis(n_in, windows.n_in, taps, stride, 1, windows.pad, max(0, excess - windows.pad), max(0, -excess))
