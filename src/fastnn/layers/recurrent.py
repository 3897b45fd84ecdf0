"""Recurrent layers: samples of shape (time, features), one step after the other."""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar

from fastnn import activations, initializers, regularizers
from fastnn.common.validation import check_bool, check_choice, check_integer, check_real
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.gru import GRU as GRU_KIND
from fastnn.kernels.ops.lstm import LSTM as LSTM_KIND
from fastnn.kernels.ops.recurrent import SIMPLE_RNN
from fastnn.kernels.ops.spatial import SPATIAL_DROPOUT
from fastnn.kernels.recurrence import ACTIVATIONS, STEPS, STRIP
from fastnn.kernels.units import OpKind
from fastnn.layers.base import Layer

MERGE_MODES = ("concat", "sum")


@dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """What recurrent layers share: their arguments, checked, and the op that they become."""

    units: int
    activation: Any = "tanh"
    _: KW_ONLY
    use_bias: bool = True
    kernel_initializer: str = "glorot_uniform"
    recurrent_initializer: str = "orthogonal"
    kernel_regularizer: Any = None
    recurrent_regularizer: Any = None
    bias_regularizer: Any = None
    return_sequences: bool = False
    go_backwards: bool = False
    dropout: float = 0.0
    stateful: bool = False
    trainable: bool = True

    gates: ClassVar[int] = 1
    kind: ClassVar[OpKind]

    def __post_init__(self):
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        for name in ("activation", "recurrent_activation"):
            if hasattr(self, name):
                activation = getattr(self, name)
                activation = getattr(activation, "name", activation)
                object.__setattr__(self, name, activations.get(check_choice(name, activation, ACTIVATIONS)))
        object.__setattr__(self, "dropout", check_real("dropout", self.dropout, 0.0, 1.0, closed="left"))
        for name in ("use_bias", "return_sequences", "go_backwards", "stateful", "trainable"):
            object.__setattr__(self, name, check_bool(name, getattr(self, name)))
        if self.stateful and self.go_backwards:
            raise ValueError("stateful must be False where go_backwards is True: the next batch comes later in time")
        for name in ("kernel_initializer", "recurrent_initializer"):
            check_choice(name, getattr(self, name), [known for known in initializers.NAMES if known != "auto"])
        for name in ("kernel_regularizer", "recurrent_regularizer", "bias_regularizer"):
            object.__setattr__(self, name, regularizers.get(name, getattr(self, name)))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias, one number for each gate and unit."""
        return (self.gates * self.units,)

    @property
    def bias_initializer(self) -> str:
        """What the bias starts from."""
        return "zeros"

    def build(self, plan: PlanBuilder) -> None:
        build_recurrent(plan, (self,), "concat")


def _add_weights(plan: PlanBuilder, layer: "Recurrent", prefix: str) -> tuple[int, int]:
    """Reserve the tensors of one direction; return the offsets of the kernel and the bias, -1 without one."""
    hidden, units = layer.units, layer.gates * layer.units
    weights = plan.add_variable(
        prefix + "kernel", (plan.units, units), layer.kernel_initializer, is_kernel=True,
        regularizer=layer.kernel_regularizer,
    )  # fmt: skip
    plan.add_variable(
        prefix + "recurrent_kernel", (hidden, units), layer.recurrent_initializer, is_kernel=True,
        regularizer=layer.recurrent_regularizer,
    )  # fmt: skip
    if not layer.use_bias:
        return weights, -1
    name, shape, initializer = prefix + "bias", layer.bias_shape, layer.bias_initializer
    return weights, plan.add_variable(name, shape, initializer, regularizer=layer.bias_regularizer)


def build_recurrent(plan: PlanBuilder, layers: "tuple[Recurrent, ...]", merge_mode: str) -> None:
    """Write one op for one layer, or for two that differ in their direction."""
    first = layers[0]
    if len(plan.shape) != 2:
        raise ValueError(
            f"{type(first).__name__} works on samples of shape (time, features), got {plan.shape} in "
            f"layers[{plan.layer}]: give Input((time, features)), or Reshape"
        )
    (n_steps, fan_in), hidden = plan.shape, first.units
    if first.dropout:
        plan.add_op(SPATIAL_DROPOUT, value=first.dropout, in_place=True)
    if first.go_backwards and first.return_sequences and len(layers) == 1:
        plan.refuse_lengths("with go_backwards=True it puts out the last step first; take Bidirectional")
    units = first.gates * hidden
    prefixes = ("",) if len(layers) == 1 else ("forward_", "backward_")
    offsets = [_add_weights(plan, layer, prefix) for layer, prefix in zip(layers, prefixes, strict=True)]
    row_size = -(-hidden // STRIP) * STRIP
    n_states = 2 if first.kind is LSTM_KIND else 1
    row = plan.keep_state_for_rows(hidden, n_states, row_size, 3 * row_size + units + STRIP)
    carried = plan.carry(n_states * hidden) if first.stateful else -1
    # What is kept for the backward pass, in this order.
    sizes = {
        "gates_kept": n_steps * units, "states": (n_steps + 1) * hidden, "cells": (n_steps + 1) * hidden,
        "carry": hidden, "cell_carry": hidden, "strips": min(n_steps, STEPS) * -(-units // STRIP) * STRIP,
    }  # fmt: skip
    places, direction_units = {}, 0
    for name, size in sizes.items():
        places[name] = direction_units
        direction_units += size
    del places["gates_kept"]
    is_joined = len(layers) == 2 and merge_mode == "concat"
    target_units = 2 * hidden if is_joined else hidden
    recurrent_activation = getattr(first, "recurrent_activation", first.activation)
    plan.add_op(
        first.kind, (n_steps, target_units) if first.return_sequences else (target_units,),
        weights=offsets[0][0], bias=offsets[0][1], needs_input=True, extra_units=len(layers) * direction_units,
        flops=len(layers) * 2 * n_steps * (fan_in + hidden) * units,
        details={
            "hidden": hidden, "gates": first.gates, "activation": ACTIVATIONS.index(first.activation.name),
            "recurrent_activation": ACTIVATIONS.index(recurrent_activation.name), "recurrent_kernel": fan_in * units,
            "n_directions": len(layers), "direction_parameters": offsets[-1][0] - offsets[0][0],
            "direction_units": direction_units, "backwards": first.go_backwards, "sequences": first.return_sequences,
            "carried": carried, "row": row, "row_size": row_size, "keeps": plan.keeps_state,
            "aligned": len(layers) == 2, "target_units": target_units, "second_column": hidden if is_joined else 0,
            **places,
        },
    )  # fmt: skip


@dataclass(frozen=True, repr=False)
class SimpleRNN(Recurrent):
    """A fully connected recurrent layer: h = activation(x W + h U + b), step by step.

    Samples have the shape (time, features); weights are Keras's: kernel (features, units), recurrent_kernel
    (units, units), bias (units,).

    Parameters
    ----------
    units : int
        Size of the state, >= 1.
    activation : {"tanh", "relu", "sigmoid", "linear"}, default "tanh"
        Of the state.
    use_bias : bool, default True
        Whether b exists; it starts at zero.
    kernel_initializer, recurrent_initializer : str, default "glorot_uniform", "orthogonal"
        Of W, of U: one of `fastnn.initializers.NAMES` but "auto".
    kernel_regularizer, recurrent_regularizer, bias_regularizer : L1L2, float or None, default None
        Penalty on W, on U, on b; a number means L2.
    return_sequences : bool, default False
        Whether the states of all steps are put out, as (time, units), or only the last one, as (units,).
    go_backwards : bool, default False
        Whether the last step comes first; states are put out in the order in which they are made, as in Keras.
    dropout : float, default 0.0
        Probability that a feature of the input is 0 while training, in [0, 1): drawn once for a sample, and the same at
        all steps. Both directions of a `Bidirectional` see the same.
    stateful : bool, default False
        Whether the state at the end of a batch is what the next batch begins with: sample i of a batch goes on where
        sample i of the batch before ended, in training (where gradients stop at the beginning of the batch: truncated
        backpropagation through time) and in `predict`, until `Network.reset_state`. `evaluate` and validation begin
        with 0, and leave the state as it is. Checkpoints of trainers and pickles keep it, files of networks do not.
    trainable : bool, default True
        Whether training changes the weights.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, unknown or of the wrong type; when the network is made, if a sample has another
        rank.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input((20, 3)), fastnn.SimpleRNN(8), fastnn.Dense(1)], seed=0)
    >>> [w.shape for w in network.get_weights()]
    [(3, 8), (8, 8), (8,), (8, 1), (1,)]
    """

    kind = SIMPLE_RNN


@dataclass(frozen=True, repr=False)
class LSTM(Recurrent):
    """A long short-term memory layer [1]_, with gates in Keras's order: input, forget, cell, output.

    Samples have the shape (time, features); kernel (features, 4 units), recurrent_kernel (units, 4 units), bias
    (4 units,).

    Parameters
    ----------
    units : int
        Size of the state, >= 1.
    activation : {"tanh", "relu", "sigmoid", "linear"}, default "tanh"
        Of what enters the cell, and of the cell.
    recurrent_activation : {"sigmoid", "tanh", "relu", "linear"}, default "sigmoid"
        Of the gates.
    use_bias, kernel_initializer, recurrent_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer
        As in `SimpleRNN`.
    unit_forget_bias : bool, default True
        Whether the bias of the forget gate starts at 1 rather than 0, so that cells remember at first.
    return_sequences, go_backwards, dropout, stateful, trainable
        As in `SimpleRNN`.

    Raises
    ------
    ValueError, TypeError
        As in `SimpleRNN`.

    References
    ----------
    .. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> layers = [fastnn.Input((28, 28)), fastnn.LSTM(64), fastnn.Dense(10, "softmax")]
    >>> network = fastnn.Network(layers, seed=0)
    >>> network.predict(np.zeros((2, 28, 28))).shape
    (2, 10)
    """

    _: KW_ONLY
    recurrent_activation: Any = "sigmoid"
    unit_forget_bias: bool = True
    gates = 4
    kind = LSTM_KIND

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "unit_forget_bias", check_bool("unit_forget_bias", self.unit_forget_bias))

    @property
    def bias_initializer(self) -> str:
        """Ones for the forget gate, if wanted."""
        return "unit_forget" if self.unit_forget_bias else "zeros"


@dataclass(frozen=True, repr=False)
class GRU(Recurrent):
    """A gated recurrent unit [1]_, with gates in Keras's order: update, reset, candidate.

    The reset gate stands behind the recurrent product, as in Keras with reset_after=True and in PyTorch. Samples have
    the shape (time, features); kernel (features, 3 units), recurrent_kernel (units, 3 units), bias (2, 3 units): added
    to the product of the inputs, and to that of the state.

    Parameters
    ----------
    units : int
        Size of the state, >= 1.
    activation : {"tanh", "relu", "sigmoid", "linear"}, default "tanh"
        Of the candidate.
    recurrent_activation : {"sigmoid", "tanh", "relu", "linear"}, default "sigmoid"
        Of the gates.
    use_bias, kernel_initializer, recurrent_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer
        As in `SimpleRNN`.
    return_sequences, go_backwards, dropout, stateful, trainable
        As in `SimpleRNN`.

    Raises
    ------
    ValueError, TypeError
        As in `SimpleRNN`.

    References
    ----------
    .. [1] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
           Translation", EMNLP 2014.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input((128, 9)), fastnn.GRU(16, return_sequences=True), fastnn.GRU(16), fastnn.Dense(6)]
    >>> fastnn.Network(layers, seed=0).get_weights()[2].shape
    (2, 48)
    """

    _: KW_ONLY
    recurrent_activation: Any = "sigmoid"
    gates = 3
    kind = GRU_KIND

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """One bias for each of the two products."""
        return (2, 3 * self.units)


@dataclass(frozen=True, repr=False)
class Bidirectional(Layer):
    """A recurrent layer twice, with weights of its own in each direction [1]_.

    Parameters
    ----------
    layer : SimpleRNN, LSTM or GRU
        The layer that goes forward; the other is the same but for its direction. Weights are those of the first, then
        those of the second.
    merge_mode : {"concat", "sum"}, default "concat"
        Whether the outputs of both stand side by side or are added. At every step (return_sequences) they belong to the
        same place in time.

    Raises
    ------
    ValueError, TypeError
        If the layer is not recurrent or goes backwards already, or merge_mode is unknown.

    References
    ----------
    .. [1] M. Schuster, K. K. Paliwal, "Bidirectional Recurrent Neural Networks", IEEE Transactions on Signal Processing
           45(11), 1997.

    Examples
    --------
    >>> import fastnn
    >>> layers = [fastnn.Input((50, 4)), fastnn.Bidirectional(fastnn.LSTM(16)), fastnn.Dense(3, "softmax")]
    >>> fastnn.Network(layers, seed=0).plan.shapes
    ((50, 4), (32,), (3,))
    """

    layer: Any
    merge_mode: str = "concat"
    _: KW_ONLY
    trainable: bool = True

    def __post_init__(self):
        if not isinstance(self.layer, Recurrent):
            raise TypeError(f"layer must be a SimpleRNN, LSTM or GRU, got {self.layer!r}")
        if self.layer.go_backwards:
            raise ValueError(f"layer must not go backwards itself, got {self.layer!r}")
        if self.layer.stateful:
            raise ValueError(
                f"layer must not be stateful, since one direction comes from the future, got {self.layer!r}"
            )
        check_choice("merge_mode", self.merge_mode, MERGE_MODES)
        object.__setattr__(self, "trainable", check_bool("trainable", self.trainable))

    @property
    def config(self) -> dict[str, Any]:
        """As JSON types; "layer" is the name of the class, so what is doubled stands under "of"."""
        config = {"layer": "Bidirectional", "of": self.layer.config, "merge_mode": self.merge_mode}
        return config if self.trainable else {**config, "trainable": False}

    def build(self, plan: PlanBuilder) -> None:
        both = (self.layer, replace(self.layer, go_backwards=True))
        trained, plan.is_trained = plan.is_trained, plan.is_trained and self.layer.trainable
        build_recurrent(plan, both, self.merge_mode)
        plan.is_trained = trained


__all__ = ["GRU", "LSTM", "Bidirectional", "SimpleRNN"]
