"""Recurrent layers from Keras: weights and gates are the same, the GRU's with reset_after=True."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.keras.activations import read_activation
from fastnn.interop.parts import RECURRENT, Part, floats
from fastnn.kernels.recurrence import ACTIVATIONS
from fastnn.layers.recurrent import MERGE_MODES

_CELLS = {cls.__name__: cls for cls in RECURRENT}
# What only Keras's layers can do.
_UNKNOWN = ("recurrent_dropout", "stateful", "return_state")


def _read(layer: Any) -> Part:
    cls: Any = _CELLS[type(layer).__name__]
    config = layer.get_config()
    for name in _UNKNOWN:
        if config.get(name):
            raise ValueError(f"{layer.name!r}, with {name}={config[name]!r}, has no equal in fastnn")
    if cls is layers.GRU and not config["reset_after"]:
        raise ValueError(
            f"{layer.name!r}, a GRU with reset_after=False, has no equal in fastnn, whose reset gate stands behind the "
            f"recurrent product: train it with reset_after=True, Keras's default"
        )
    options: dict[str, Any] = {}
    for name in ("activation", "recurrent_activation"):
        if name in config:
            options[name] = read_activation(getattr(layer, name)).name
            if options[name] not in ACTIVATIONS:
                raise ValueError(
                    f"{layer.name!r}, with {name}={options[name]!r}, has no equal in fastnn; known are "
                    f"{', '.join(ACTIVATIONS)}"
                )
    if cls is layers.LSTM:
        options["unit_forget_bias"] = bool(config["unit_forget_bias"])
    ours = cls(
        layer.units, use_bias=bool(layer.use_bias), return_sequences=bool(layer.return_sequences),
        go_backwards=bool(layer.go_backwards), dropout=float(layer.dropout), **options,
    )  # fmt: skip
    return Part(ours, [floats(np.asarray(array)) for array in layer.get_weights()])


def _read_bidirectional(layer: Any) -> Part:
    if type(layer.forward_layer).__name__ not in _CELLS or type(layer.backward_layer) is not type(layer.forward_layer):
        raise ValueError(f"{layer.name!r} has no equal in fastnn, which doubles a SimpleRNN, LSTM or GRU")
    if layer.merge_mode not in MERGE_MODES:
        raise ValueError(
            f"{layer.name!r}, with merge_mode={layer.merge_mode!r}, has no equal in fastnn; known are "
            f"{', '.join(MERGE_MODES)}"
        )
    forward, backward = _read(layer.forward_layer), _read(layer.backward_layer)
    alike = {**backward.layer.config, "go_backwards": False}
    if forward.layer.config != alike or not backward.layer.config["go_backwards"]:
        raise ValueError(f"{layer.name!r} has no equal in fastnn: its layers must differ in their direction only")
    return Part(layers.Bidirectional(forward.layer, layer.merge_mode), forward.weights + backward.weights)


READ: dict[str, Callable[[Any], Part | None]] = {
    **dict.fromkeys(_CELLS, _read),
    "Bidirectional": _read_bidirectional,
}
