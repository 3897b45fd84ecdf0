"""Recurrent layers from and to modules.

PyTorch keeps kernels transposed, two biases everywhere, and the gates of its GRU as reset, update, candidate. A module
returns outputs and states; `fastnn.interop.torch.modules.RecurrentOutput` stands behind it in a `Sequential`.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from fastnn import layers
from fastnn.interop.parts import RECURRENT, Part, Weights, reorder_gates
from fastnn.interop.torch.reading import LAST as READ_LAST
from fastnn.interop.torch.reading import READ, Reader, array_of
from fastnn.interop.torch.writing import LAST as WRITE_LAST
from fastnn.interop.torch.writing import WRITE, Write, Writer

_NAMES = {layers.SimpleRNN: "RNN", layers.LSTM: "LSTM", layers.GRU: "GRU"}
# Where each of PyTorch's gates stands among ours, and the other way round.
_GATES = {layers.SimpleRNN: [0], layers.LSTM: [0, 1, 2, 3], layers.GRU: [1, 0, 2]}


# --- to torch -------------------------------------------------------------------------------------------------------


def _write_recurrent(writer: Writer, layer: layers.Recurrent, weights: Weights) -> None:
    if layer.go_backwards:
        from fastnn.interop.torch.modules import Reverse

        _enter(writer, layer)
        writer.add(Reverse())
    _write(writer, layer, weights, [""], "concat")


def _write_bidirectional(writer: Writer, layer: layers.Bidirectional, weights: Weights) -> None:
    _write(writer, layer.layer, weights, ["forward_", "backward_"], layer.merge_mode)


def _enter(writer: Writer, layer: layers.Recurrent) -> None:
    """Bring the samples into PyTorch's order, and drop out inputs."""
    if layer.dropout:
        writer.want_first()
        writer.add(writer.nn.Dropout1d(layer.dropout))
    writer.want_last()


def _write(writer: Writer, layer: Any, weights: Weights, prefixes: list[str], merge_mode: str) -> None:
    from fastnn.interop.torch.modules import RecurrentOutput

    name, gates, both = _NAMES[type(layer)], _GATES[type(layer)], len(prefixes) == 2
    options = {}
    own, known = layer.activation.name, ("tanh", "relu") if name == "RNN" else ("tanh",)
    if own not in known or getattr(layer, "recurrent_activation", layer.activation).name not in (*known, "sigmoid"):
        raise ValueError(f"{layer!r} has no equal in PyTorch, where activation must be {' or '.join(known)}")
    if name == "RNN":
        options["nonlinearity"] = own
    elif layer.recurrent_activation.name != "sigmoid":
        raise ValueError(f"{layer!r} has no equal in PyTorch, where recurrent_activation must be sigmoid")
    if not layer.go_backwards:
        _enter(writer, layer)
    module = getattr(writer.nn, name)(
        writer.shape[-1], layer.units, bias=layer.use_bias, batch_first=True, bidirectional=both, dtype=writer.dtype,
        **options,
    )  # fmt: skip
    for prefix, suffix in zip(prefixes, ("_l0", "_l0_reverse"), strict=False):
        kernels = [reorder_gates(weights[prefix + part], gates).T for part in ("kernel", "recurrent_kernel")]
        if layer.use_bias:
            bias = reorder_gates(weights[prefix + "bias"], gates)
            kernels += list(bias) if bias.ndim == 2 else [bias, np.zeros_like(bias)]
        for part, array in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), kernels, strict=False):
            setattr(module, part + suffix, writer.parameter(array))
    writer.add(module)
    writer.add(RecurrentOutput(layer.return_sequences, both, merge_mode))


_WRITE: dict[type, Write] = {**dict.fromkeys(RECURRENT, _write_recurrent), layers.Bidirectional: _write_bidirectional}
WRITE |= _WRITE
WRITE_LAST |= set(_WRITE)


# --- from torch -----------------------------------------------------------------------------------------------------


def _weights(module: Any, suffix: str, gates: list[int]) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias of one direction in our order."""
    arrays = [array_of(getattr(module, f"weight_{part}{suffix}")).T for part in ("ih", "hh")]
    if module.bias:
        both = [array_of(getattr(module, f"bias_{part}{suffix}")) for part in ("ih", "hh")]
        # A GRU's second bias stands inside the reset gate; elsewhere only their sum counts.
        arrays.append(np.stack(both) if len(gates) == 3 else both[0] + both[1])
    return [reorder_gates(array, gates) for array in arrays]


def _read_recurrent(reader: Reader, module: Any, *, go_backwards: bool = False) -> None:
    if not module.batch_first:
        raise ValueError(f"{module} has no equal in fastnn: it must have batch_first=True")
    if getattr(module, "proj_size", 0):
        raise ValueError(f"{module} has no equal in fastnn, whose LSTM has no proj_size")
    reader.need_shape(module, "(time, features)")
    reader.refuse_first(module)
    if go_backwards and module.bidirectional:
        raise ValueError(f"{module} behind a Reverse has no equal in fastnn")
    cls = next(ours for ours, name in _NAMES.items() if name == type(module).__name__)
    layer: layers.Recurrent = cls(module.hidden_size, use_bias=bool(module.bias), return_sequences=True)
    if cls is layers.SimpleRNN:
        layer = replace(layer, activation=module.nonlinearity)
    gates = _GATES[cls]
    back = [gates.index(gate) for gate in range(len(gates))]
    return_sequences, merge_mode = _what_goes_on(reader, module)
    for number in range(module.num_layers):
        is_last = number == module.num_layers - 1
        own = replace(
            layer, return_sequences=return_sequences or not is_last, go_backwards=go_backwards and not number
        )  # fmt: skip
        weights = _weights(module, f"_l{number}", back)
        made: layers.Layer = own
        if module.bidirectional:
            weights += _weights(module, f"_l{number}_reverse", back)
            made = layers.Bidirectional(own, merge_mode if is_last else "concat")
        reader.add(Part(made, weights, n_inputs=weights[0].shape[0]))
        if module.dropout and not is_last:
            reader.add(Part(layers.Dropout(module.dropout)))


def _what_goes_on(reader: Reader, module: Any) -> tuple[bool, str]:
    """Whether all steps go on, and how both directions are merged."""
    if not reader.rest:
        return True, "concat"
    if not reader.next_is("RecurrentOutput"):
        raise ValueError(
            f"{module} returns a tuple: put fastnn.interop.torch.modules.RecurrentOutput behind it, which says what of "
            f"it goes on"
        )
    output = reader.rest.pop(0)
    if output.bidirectional != module.bidirectional:
        raise ValueError(f"{output} does not fit {module}: bidirectional must be the same")
    return output.return_sequences, output.merge_mode


def _read_reverse(reader: Reader, module: Any) -> None:
    if not reader.next_is(*_NAMES.values()):
        raise ValueError(f"{module} has no equal in fastnn but before a recurrent module")
    _read_recurrent(reader, reader.rest.pop(0), go_backwards=True)


READ |= {**dict.fromkeys(_NAMES.values(), _read_recurrent), "Reverse": _read_reverse}
READ_LAST |= {*_NAMES.values(), "Reverse"}
