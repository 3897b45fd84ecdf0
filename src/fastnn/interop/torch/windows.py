"""Convolutions, pooling, upsampling and dropout of channels, from and to modules.

PyTorch pads both ends alike; fastnn, as Keras, has "same", which may pad one end more. Where they differ, a module
that pads stands before the convolution, and one that crops behind a transposed one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.parts import (
    AVERAGE_POOLING,
    CONVOLUTIONS,
    GLOBAL_AVERAGE_POOLING,
    GLOBAL_MAX_POOLING,
    MAX_POOLING,
    SPATIAL_DROPOUT,
    Axis,
    Part,
    Weights,
    lay_axis,
    lay_transposed_axis,
    lay_transposed_windows,
    lay_windows,
    one_number,
)
from fastnn.interop.torch.reading import FIRST as READ_FIRST
from fastnn.interop.torch.reading import READ, Reader, array_of
from fastnn.interop.torch.writing import FIRST as WRITE_FIRST
from fastnn.interop.torch.writing import WRITE, Write, Writer
from fastnn.layers.windows import PADDINGS

# --- to torch -------------------------------------------------------------------------------------------------------


def _pads(axes: Sequence[Axis], sign: int = 1) -> tuple[int, ...]:
    """Both pads of every axis, the last axis first, as PyTorch has them."""
    return tuple(sign * pad for axis in reversed(axes) for pad in (axis.pad, axis.pad_after))


def _symmetric(axes: Sequence[Axis]) -> bool:
    return all(axis.pad == axis.pad_after for axis in axes)


def _write_convolution(writer: Writer, layer: Any, weights: Weights) -> None:
    writer.want_first()
    axes = lay_windows(layer, writer.shape)
    n, channels = len(axes), writer.shape[-1]
    if not _symmetric(axes):
        writer.add(getattr(writer.nn, f"ConstantPad{n}d")(_pads(axes), 0.0))
    module = getattr(writer.nn, f"Conv{n}d")(
        channels, layer.filters, tuple(axis.taps for axis in axes), tuple(axis.stride for axis in axes),
        tuple(axis.pad for axis in axes) if _symmetric(axes) else 0, tuple(axis.dilation for axis in axes),
        layer.groups, layer.use_bias, dtype=writer.dtype,
    )  # fmt: skip
    _set_weights(writer, module, weights)
    writer.add(module)
    writer.activation(layer.activation)


def _write_transposed(writer: Writer, layer: layers.Conv2DTranspose, weights: Weights) -> None:
    writer.want_first()
    axes = lay_transposed_windows(layer, writer.shape)
    module = writer.nn.ConvTranspose2d(
        writer.shape[-1], layer.filters, tuple(axis.taps for axis in axes), tuple(axis.stride for axis in axes),
        tuple(axis.pad for axis in axes) if _symmetric(axes) else 0, tuple(axis.missing for axis in axes),
        bias=layer.use_bias, dtype=writer.dtype,
    )  # fmt: skip
    _set_weights(writer, module, weights)
    writer.add(module)
    if not _symmetric(axes):
        writer.add(writer.nn.ConstantPad2d(_pads(axes, -1), 0.0))
    writer.activation(layer.activation)


def _set_weights(writer: Writer, module: Any, weights: Weights) -> None:
    """Kernel (height, width, a, b) as (b, a, height, width), and bias."""
    module.weight = writer.parameter(np.moveaxis(weights["kernel"], (-1, -2), (0, 1)))
    if "bias" in weights:
        module.bias = writer.parameter(weights["bias"])


def _write_pooling(writer: Writer, layer: Any, weights: Weights) -> None:
    writer.want_first()
    axes = lay_windows(layer, writer.shape)
    sizes = (tuple(axis.taps for axis in axes), tuple(axis.stride for axis in axes))
    padding: Any = tuple(axis.pad for axis in axes)
    name = f"{'Max' if isinstance(layer, MAX_POOLING) else 'Avg'}Pool{len(axes)}d"
    if not _symmetric(axes):
        if name.startswith("Avg"):
            raise ValueError(
                f"{layer!r} on samples of shape {writer.shape} has no equal in PyTorch, which pads both ends alike"
            )
        writer.add(getattr(writer.nn, f"ConstantPad{len(axes)}d")(_pads(axes), -float("inf")))
        padding = 0
    options = {"count_include_pad": False} if name.startswith("Avg") else {}
    writer.add(getattr(writer.nn, name)(*sizes, padding, **options))


def _write_global(name: str) -> Callable[[Writer, Any, Weights], None]:
    def write(writer: Writer, layer: Any, weights: Weights) -> None:
        writer.want_first()
        writer.add(getattr(writer.nn, f"Adaptive{name}Pool{len(writer.shape) - 1}d")(1))
        writer.add(writer.nn.Flatten())
        writer.is_first = False

    return write


def _write_upsampling(writer: Writer, layer: layers.UpSampling2D, weights: Weights) -> None:
    writer.want_first()
    size = layer.size if isinstance(layer.size, tuple) else (layer.size, layer.size)
    writer.add(writer.nn.Upsample(scale_factor=tuple(map(float, size)), mode="nearest"))


def _write_spatial_dropout(writer: Writer, layer: Any, weights: Weights) -> None:
    writer.want_first()
    writer.add(getattr(writer.nn, f"Dropout{len(writer.shape) - 1}d")(layer.rate))


_WRITE: dict[type, Write] = {
    **dict.fromkeys(CONVOLUTIONS, _write_convolution),
    layers.Conv2DTranspose: _write_transposed,
    **dict.fromkeys((*MAX_POOLING, *AVERAGE_POOLING), _write_pooling),
    **dict.fromkeys(GLOBAL_AVERAGE_POOLING, _write_global("Avg")),
    **dict.fromkeys(GLOBAL_MAX_POOLING, _write_global("Max")),
    layers.UpSampling2D: _write_upsampling,
    **dict.fromkeys(SPATIAL_DROPOUT, _write_spatial_dropout),
}
WRITE |= _WRITE
WRITE_FIRST |= set(_WRITE)


# --- from torch -----------------------------------------------------------------------------------------------------


def _image(reader: Reader, module: Any, n: int) -> tuple[int, ...]:
    """The shape of one sample, which must be an image or a sequence with its channels first."""
    wanted = "(time, channels)" if n == 1 else "(height, width, channels)"
    shape = reader.need_shape(module, wanted)
    if len(shape) != n + 1:
        raise ValueError(f"{module} takes samples of shape {wanted} here, but they have the shape {shape}")
    reader.refuse_last(module)
    return shape


def _per_axis(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


def _padding(
    module: Any, shape: tuple[int, ...], sizes: Sequence[tuple[int, int, int]], pads: Sequence[tuple[int, int]]
) -> str:
    """Our word for pads (before, after) of each axis: the one that gives the same windows."""
    for word in PADDINGS:
        try:
            axes = [lay_axis(n, *size, word) for n, size in zip(shape, sizes, strict=False)]
        except ValueError:  # a window larger than the image
            continue
        if all(
            (axis.pad, axis.n_out) == (before, (axis.n_in + before + after - (taps - 1) * dilation - 1) // stride + 1)
            for axis, (taps, stride, dilation), (before, after) in zip(axes, sizes, pads, strict=True)
        ):
            return word
    raise ValueError(
        f"{module} on samples of shape {shape} has no equal in fastnn, where windows lie within the image or as Keras "
        f'lays them with padding="same"'
    )


def _read_convolution(n: int, pads: Sequence[tuple[int, int]] | None = None) -> Callable[[Reader, Any], None]:
    def read(reader: Reader, module: Any) -> None:
        shape = _image(reader, module, n)
        if module.padding_mode != "zeros":
            raise ValueError(f"{module} has no equal in fastnn, which pads with zeros")
        sizes = list(zip(module.kernel_size, module.stride, module.dilation, strict=True))
        own: list[tuple[int, int]]
        if module.padding == "same":
            own = [((taps - 1) * d // 2, (taps - 1) * d - (taps - 1) * d // 2) for taps, _, d in sizes]
        else:
            own = [(pad, pad) for pad in ((0,) * n if module.padding == "valid" else module.padding)]
        total = [(a + c, b + d) for (a, b), (c, d) in zip(own, pads or [(0, 0)] * n, strict=True)]
        cls = layers.Conv1D if n == 1 else layers.Conv2D
        layer = cls(
            module.out_channels, one_number(module.kernel_size), strides=one_number(module.stride),
            dilation=one_number(module.dilation),
            padding=_padding(module, shape, sizes, total), groups=module.groups, use_bias=module.bias is not None,
        )  # fmt: skip
        reader.add(Part(layer, _weights(module), n_inputs=module.in_channels))

    return read


def _weights(module: Any) -> list[np.ndarray]:
    """Kernel (b, a, height, width) as (height, width, a, b), and bias."""
    kernel = np.moveaxis(array_of(module.weight), (0, 1), (-1, -2))
    return [kernel] if module.bias is None else [kernel, array_of(module.bias)]


def _read_transposed(reader: Reader, module: Any) -> None:
    shape = _image(reader, module, 2)
    if module.groups != 1 or set(module.dilation) != {1}:
        raise ValueError(f"{module} has no equal in fastnn, whose Conv2DTranspose has no groups and no dilation")
    crops = [(0, 0), (0, 0)]
    if reader.next_is("ConstantPad2d", "ZeroPad2d") and max(reader.rest[0].padding) <= 0:
        left, right, top, bottom = reader.rest.pop(0).padding
        crops = [(-top, -bottom), (-left, -right)]
    for word in PADDINGS:
        axes = [
            lay_transposed_axis(*sizes, word)
            for sizes in zip(shape[:2], module.kernel_size, module.stride, strict=True)
        ]
        if all(
            axis.pad == pad + before
            and axis.n_out == (axis.n_in - 1) * axis.stride - 2 * pad + axis.taps + more - before - after
            for axis, pad, more, (before, after) in zip(axes, module.padding, module.output_padding, crops, strict=True)
        ):
            break
    else:
        raise ValueError(
            f"{module} on samples of shape {shape} has no equal in fastnn, which keeps all of the output or cuts it as "
            f'Keras does with padding="same"'
        )
    layer = layers.Conv2DTranspose(
        module.out_channels, one_number(module.kernel_size), strides=one_number(module.stride), padding=word,
        use_bias=module.bias is not None,
    )  # fmt: skip
    reader.add(Part(layer, _weights(module), n_inputs=module.in_channels))


def _read_padding(reader: Reader, module: Any) -> None:
    n = len(module.padding) // 2
    pads = [tuple(module.padding[i : i + 2]) for i in range(2 * n - 2, -1, -2)]
    value = getattr(module, "value", 0.0)
    if min(module.padding) >= 0 and value == 0 and reader.next_is(f"Conv{n}d"):
        _read_convolution(n, pads)(reader, reader.rest.pop(0))
    elif min(module.padding) >= 0 and value == -np.inf and reader.next_is(f"MaxPool{n}d"):
        _read_pooling(n, pads)(reader, reader.rest.pop(0))
    else:
        raise ValueError(f"{module} has no equal in fastnn but as the padding of a convolution right behind it")


def _read_pooling(n: int, pads: Sequence[tuple[int, int]] | None = None) -> Callable[[Reader, Any], None]:
    def read(reader: Reader, module: Any) -> None:
        shape = _image(reader, module, n)
        own = _per_axis(module.padding, n)
        is_max = type(module).__name__.startswith("Max")
        if module.ceil_mode:
            raise ValueError(f"{module} has no equal in fastnn, which has no ceil_mode")
        if is_max and (module.return_indices or set(_per_axis(module.dilation, n)) != {1}):
            raise ValueError(f"{module} has no equal in fastnn, whose pooling has neither dilation nor indices")
        if not is_max and (getattr(module, "divisor_override", None) or (max(own) and module.count_include_pad)):
            raise ValueError(f"{module} has no equal in fastnn, where a mean counts what lies in the image")
        taps = _per_axis(module.kernel_size, n)
        strides = _per_axis(module.kernel_size if module.stride is None else module.stride, n)
        sizes = list(zip(taps, strides, (1,) * n, strict=True))
        total = [(pad + c, pad + d) for pad, (c, d) in zip(own, pads or [(0, 0)] * n, strict=True)]
        cls = getattr(layers, f"{'Max' if is_max else 'Average'}Pooling{n}D")
        padding = _padding(module, shape, sizes, total)
        reader.add(Part(cls(one_number(taps), None if strides == taps else one_number(strides), padding)))

    return read


def _read_global(n: int) -> Callable[[Reader, Any], None]:
    def read(reader: Reader, module: Any) -> None:
        shape = _image(reader, module, n)
        if set(_per_axis(module.output_size, n)) != {1}:
            raise ValueError(f"{module} has no equal in fastnn, which pools all of an image into one place")
        name = "Average" if type(module).__name__.startswith("AdaptiveAvg") else "Max"
        reader.add(Part(getattr(layers, f"Global{name}Pooling{n}D")()))
        if reader.next_is("Flatten") and (reader.rest[0].start_dim, reader.rest[0].end_dim) == (1, -1):
            reader.rest.pop(0)
            reader.is_first = False
        else:
            reader.add(Part(layers.Reshape((*(1,) * n, shape[-1]))))

    return read


def _read_upsample(reader: Reader, module: Any) -> None:
    _image(reader, module, 2)
    factors = () if module.scale_factor is None else _per_axis(module.scale_factor, 2)
    if module.mode != "nearest" or not factors or any(factor != int(factor) for factor in factors):
        raise ValueError(f"{module} has no equal in fastnn, which repeats places a whole number of times")
    reader.add(Part(layers.UpSampling2D(one_number(tuple(map(int, factors))))))


def _read_spatial_dropout(n: int) -> Callable[[Reader, Any], None]:
    def read(reader: Reader, module: Any) -> None:
        _image(reader, module, n)
        reader.add(Part((layers.SpatialDropout1D if n == 1 else layers.SpatialDropout2D)(module.p)))

    return read


_READ: dict[str, Callable[[Reader, Any], None]] = {
    "ConvTranspose2d": _read_transposed, "Upsample": _read_upsample, "UpsamplingNearest2d": _read_upsample,
}  # fmt: skip
for _n in (1, 2):
    _READ |= {
        f"Conv{_n}d": _read_convolution(_n),
        **dict.fromkeys((f"MaxPool{_n}d", f"AvgPool{_n}d"), _read_pooling(_n)),
        **dict.fromkeys((f"AdaptiveMaxPool{_n}d", f"AdaptiveAvgPool{_n}d"), _read_global(_n)),
        f"Dropout{_n}d": _read_spatial_dropout(_n),
        **dict.fromkeys((f"ZeroPad{_n}d", f"ConstantPad{_n}d"), _read_padding),
    }
READ |= _READ
READ_FIRST |= set(_READ)
