"""Convolutions, pooling and what else works on images, from Keras: its words and ours are the same."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.keras.activations import read_activation
from fastnn.interop.parts import (
    AVERAGE_POOLING,
    GLOBAL_AVERAGE_POOLING,
    GLOBAL_MAX_POOLING,
    MAX_POOLING,
    SPATIAL_DROPOUT,
    Part,
    floats,
    one_number,
)


def weights_of(layer: Any) -> list[np.ndarray]:
    """Return the parameters of a layer in float32 or float64."""
    return [floats(np.asarray(array)) for array in layer.get_weights()]


def _check_channels_last(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(f"{layer.name!r}, with data_format={layer.data_format!r}, has no equal in fastnn")


def _check_padding(layer: Any) -> None:
    if layer.padding not in ("valid", "same"):
        raise ValueError(f"{layer.name!r}, with padding={layer.padding!r}, has no equal in fastnn")


def _read_convolution(cls: type) -> Callable[[Any], Part]:
    def read(layer: Any) -> Part:
        _check_channels_last(layer)
        _check_padding(layer)
        weights = weights_of(layer)
        if type(layer).__name__.startswith("Depthwise"):
            # (..., channels, multiplier): a group for each channel, whose filters lie side by side.
            *sizes, channels, multiplier = weights[0].shape
            weights[0] = weights[0].reshape(*sizes, 1, channels * multiplier)
            filters, groups = channels * multiplier, channels
        else:
            filters, groups = layer.filters, layer.groups
        ours = cls(
            filters, one_number(layer.kernel_size), strides=one_number(layer.strides), padding=layer.padding,
            dilation=one_number(layer.dilation_rate), activation=read_activation(layer.activation),
            use_bias=bool(layer.use_bias), groups=groups,
        )  # fmt: skip
        return Part(ours, weights)

    return read


def _read_transposed(layer: Any) -> Part:
    _check_channels_last(layer)
    _check_padding(layer)
    if layer.output_padding is not None or one_number(layer.dilation_rate) != 1:
        raise ValueError(f"{layer.name!r}, with output_padding or dilation_rate, has no equal in fastnn")
    ours = layers.Conv2DTranspose(
        layer.filters, one_number(layer.kernel_size), strides=one_number(layer.strides), padding=layer.padding,
        activation=read_activation(layer.activation), use_bias=bool(layer.use_bias),
    )  # fmt: skip
    return Part(ours, weights_of(layer))


def _read_pooling(cls: type) -> Callable[[Any], Part]:
    def read(layer: Any) -> Part:
        _check_channels_last(layer)
        _check_padding(layer)
        size, strides = one_number(layer.pool_size), one_number(layer.strides)
        return Part(cls(size, None if strides == size else strides, layer.padding))

    return read


def _read_global(cls: type) -> Callable[[Any], Part]:
    def read(layer: Any) -> Part:
        _check_channels_last(layer)
        if layer.keepdims:
            raise ValueError(f"{layer.name!r}, with keepdims, has no equal in fastnn; put a Reshape behind it instead")
        return Part(cls())

    return read


def _read_upsampling(layer: Any) -> Part:
    _check_channels_last(layer)
    if layer.interpolation != "nearest":
        raise ValueError(f"{layer.name!r}, with interpolation={layer.interpolation!r}, has no equal in fastnn")
    return Part(layers.UpSampling2D(one_number(layer.size)))


def _read_spatial_dropout(cls: type) -> Callable[[Any], Part]:
    def read(layer: Any) -> Part:
        _check_channels_last(layer)
        return Part(cls(float(layer.rate)))

    return read


def _read_translation(layer: Any) -> Part:
    config = layer.get_config()
    factors = (config["height_factor"], config["width_factor"])
    wanted = (config["fill_mode"], config["fill_value"], config["interpolation"]) == ("constant", 0.0, "nearest")
    if not wanted or not all(isinstance(factor, (int, float)) for factor in factors):
        raise ValueError(
            f"{layer.name!r} has no equal in fastnn, which moves images by whole places and fills with 0: give it "
            f'fill_mode="constant", interpolation="nearest" and one number a factor'
        )
    return Part(layers.RandomTranslation(*map(float, factors)))


READ: dict[str, Callable[[Any], Part | None]] = {
    "Conv1D": _read_convolution(layers.Conv1D),
    "Conv2D": _read_convolution(layers.Conv2D),
    "DepthwiseConv1D": _read_convolution(layers.Conv1D),
    "DepthwiseConv2D": _read_convolution(layers.Conv2D),
    "Conv2DTranspose": _read_transposed,
    **{cls.__name__: _read_pooling(cls) for cls in (*MAX_POOLING, *AVERAGE_POOLING)},
    **{cls.__name__: _read_global(cls) for cls in (*GLOBAL_MAX_POOLING, *GLOBAL_AVERAGE_POOLING)},
    "UpSampling2D": _read_upsampling,
    **{cls.__name__: _read_spatial_dropout(cls) for cls in SPATIAL_DROPOUT},
    "RandomFlip": lambda layer: Part(layers.RandomFlip(layer.mode)),
    "RandomTranslation": _read_translation,
}
