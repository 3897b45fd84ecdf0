"""From layers to the tables that kernels walk: layers write themselves into a builder, which gives the plan.

A plan is independent of batch size, threads and dtype. Parameters are laid out densely in the order of the layers.
Buffer regions are counted in units; a kernel multiplies by the samples its workspace holds.
"""

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastnn.engine.layout import LINE, Plan, Variable
from fastnn.kernels import tables
from fastnn.kernels.units import OpKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastnn.constraints import MaxNorm
    from fastnn.regularizers import L1L2

_MOST = 2**48  # numbers of a tensor, or of a sample after a layer: above any memory, far below what overflows

# Random numbers have their layer's number as a key; what is inside a layer adds a multiple of this, above any of those.
_INSIDE = 2**32
_STRIP = 32  # a strip of transposed deltas is at most this many units wide, in either dtype


class Buildable(Protocol):
    """What a plan is made of: a layer."""

    def build(self, plan: "PlanBuilder") -> None:
        """Write ops and variables into the plan."""


class PlanBuilder:
    """What layers write themselves into, one after the other.

    Attributes
    ----------
    shape : tuple of int
        The shape of one sample at this point of the network; its last axis is what layers work on.
    layer : int
        The index of the layer being built.
    is_trained : bool
        Whether the parameters of the layer being built are trained.
    """

    def __init__(self, *, works_in_place: bool = True, keeps_state: bool = False) -> None:
        self.keeps_state = keeps_state  # whether recurrent layers go on where the last call for a row ended
        self._row_states: list[tuple[int, int]] = []
        self._works_in_place = works_in_place
        self.shape: tuple[int, ...] = ()
        self.layer = 0
        self.is_trained = True
        self.n_inputs = 0
        self._ops: list[dict[str, Any]] = []
        self._kinds: list[OpKind] = []
        self._details: list[dict[str, float] | None] = []
        self._flops: list[int] = []
        self._variables: list[Variable] = []
        self._states: list[Variable] = []
        self._n_parameters = 0
        self._first_parameter = 0  # of those that no op owns yet
        self._has_trained = False  # whether any op so far has trained parameters
        self._prefix = ""  # of the names of variables, where layers hold others
        self._n_inside = 0  # the number of the layer inside others that is being built; 0: none
        self._n_layers_inside = 0  # how many of those there were so far
        self._n_units = 0
        self._n_kept_for_rows = 0
        self._input_region = 0
        self._steps = 0  # of time: the first axis of samples, as long as layers keep it
        self._ignores_lengths = "samples have no steps of time"
        self._carried_units = 0
        self.n_categories = 0
        self._region = -1  # where the current activations lie
        self._output_is_needed = False  # by the backward pass of the op that wrote them, or by an op to come

    @property
    def units(self) -> int:
        """The size of the last axis of a sample at this point."""
        return self.shape[-1]

    @property
    def is_input(self) -> bool:
        """Whether no layer has added an op yet."""
        return not self._ops

    @property
    def positions(self) -> int:
        """How often a sample has that axis: the product of the others."""
        return math.prod(self.shape[:-1])

    def set_input(self, shape: tuple[int, ...]) -> None:
        """Open the network with its input region."""
        self.shape = shape
        self.n_inputs = math.prod(shape)
        if len(shape) > 1:
            self.set_steps(shape[0])
        self._region = self._input_region = self._add_region(self.n_inputs)
        self._output_is_needed = True  # features stay: the first layer's weight gradient reads them

    def add_variable(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: str,
        *,
        is_kernel: bool = False,
        regularizer: "L1L2 | None" = None,
        constraint: "MaxNorm | None" = None,
    ) -> int:
        """Reserve a tensor in the parameter vector, for the op that is added next, and return its offset."""
        l1, l2 = (regularizer.l1, regularizer.l2) if regularizer and self.is_trained else (0.0, 0.0)
        max_norm = constraint.max_value if constraint else 0.0
        variable = Variable(
            self.layer, self._prefix + name, shape, self._n_parameters, initializer, l1=l1, l2=l2, max_norm=max_norm,
            is_kernel=is_kernel, is_trained=self.is_trained,
        )  # fmt: skip
        if variable.size > _MOST:
            size = f"{variable.size:,} parameters"
            raise ValueError(f"layers[{self.layer}] would have {size} in {name!r} of shape {shape}")
        self._variables.append(variable)
        self._n_parameters += variable.size
        return variable.offset

    def add_state(
        self, name: str, shape: tuple[int, ...], initializer: str = "zeros", *, values: tuple[float, ...] = ()
    ) -> int:
        """Reserve a tensor that is kept with the parameters but not trained; return its offset among such."""
        offset = sum(state.size for state in self._states)
        self._states.append(Variable(self.layer, self._prefix + name, shape, offset, initializer, values=values))
        return offset

    def add_op(
        self,
        kind: OpKind,
        shape: tuple[int, ...] | None = None,
        *,
        weights: int = -1,
        bias: int = -1,
        value: float = 0.0,
        details: dict[str, float] | None = None,
        in_place: bool = False,
        needs_input: bool = False,
        needs_output: bool = False,
        extra_units: int = 0,
        keeps_input: bool = False,
        flops: int = 0,
    ) -> int:
        """Append one op of the forward pass. It owns the variables that were added since the op before.

        Parameters
        ----------
        kind : OpKind
            What it does.
        shape : tuple of int or None, default None
            The shape of a sample after it; None: as before.
        weights, bias : int, default -1
            Offsets of its parameters.
        value : float, default 0.0
            The layer's number.
        details : dict or None, default None
            Fields of the kind's own record. A field named `state` is an offset from `add_state`.
        in_place : bool, default False
            Whether it can write over its input. It will unless the op before needs that for its backward pass.
        needs_input, needs_output : bool, default False
            Whether its backward pass reads its input, its output.
        extra_units : int, default 0
            Units of buffer it keeps from the forward for the backward pass.
        keeps_input : bool, default False
            Whether it is only passed through, so that what was true of its input's region stays true.
        flops : int, default 0
            Floating-point operations of its forward pass for one sample, as far as they are products.

        Returns
        -------
        int
            The number of the op.
        """
        shape = self.shape if shape is None else shape
        if self._steps and not (kind.minds_lengths or kind.is_activation):
            self.refuse_lengths("it looks at several steps at once")
        elif len(shape) < 2 or shape[0] != self._steps:
            self._steps = 0
        source = self._region
        stays = keeps_input or (in_place and self._works_in_place and not self._output_is_needed)
        target = source if stays else self._add_region(math.prod(shape))
        n_own = self._n_parameters - self._first_parameter if self.is_trained else 0
        self._ops.append(
            {
                "fan_in": self.units,
                "units": shape[-1],
                "positions": self.positions,
                "source": source,
                "target": target,
                "extra": self._add_region(extra_units) if extra_units else 0,
                "weights": weights,
                "bias": bias,
                "first_parameter": self._first_parameter,
                "n_parameters": n_own,
                "layer": self.layer,
                "key": self.layer + self._n_inside * _INSIDE,
                "has_gradient_below": self._has_trained,
                "needs_backward": self._has_trained or n_own > 0,
                "sees_batch": kind.sees_batch and self.is_trained,
                "updates_itself": kind.updates_itself and self.positions == 1,
                "value": value,
            }
        )
        self._kinds.append(kind)
        self._details.append(details)
        self._flops.append(flops)
        self._first_parameter = self._n_parameters
        self._has_trained = self._has_trained or n_own > 0
        self.shape = shape
        self._region = target
        self._output_is_needed = needs_output or (keeps_input and self._output_is_needed)
        return len(self._ops) - 1

    @contextmanager
    def inside(self, number: int) -> "Iterator[None]":
        """Build what follows as layer number `number` inside the current one: names begin with it."""
        prefix, before = self._prefix, self._n_inside
        self._prefix = f"{prefix}{number}."
        self._n_inside = self._n_layers_inside = self._n_layers_inside + 1
        try:
            yield
        finally:
            self._prefix, self._n_inside = prefix, before

    def add(self, layer: Buildable) -> None:
        """Let a layer write itself into the plan. What a layer that is not trained holds is not trained either."""
        before = self.is_trained
        self.is_trained = before and getattr(layer, "trainable", True)
        layer.build(self)
        self.is_trained = before

    def reshape(self, shape: tuple[int, ...]) -> None:
        """Go on with the same numbers in another shape, which costs nothing."""
        if self._steps and (len(shape) < 2 or shape[0] != self._steps):
            self.refuse_lengths("it puts all steps of a sample side by side")
        self.shape = shape

    def set_steps(self, n_steps: int) -> None:
        """Say that the first axis of samples is time; 0: it is no longer, since what follows has seen its steps."""
        self._steps = n_steps
        if n_steps:
            self._ignores_lengths = ""

    def refuse_lengths(self, why: str) -> None:
        """Say why the layer being built cannot leave out steps behind the end of a sequence."""
        if self._steps and not self._ignores_lengths:
            self._ignores_lengths = f"of layers[{self.layer}]: {why}"
        self._steps = 0

    def carry(self, units: int) -> int:
        """Reserve units of a state that is carried from batch to batch; return where they begin."""
        self._carried_units += units
        return self._carried_units - units

    def hold(self) -> int:
        """Keep the current activations as they are, for an op to come; return where they lie."""
        self._output_is_needed = True
        return self._region

    def keep_for_rows(self, size: int) -> int:
        """Reserve elements in which an op keeps numbers of a single row for another; return where they begin."""
        offset = self._n_kept_for_rows
        self._n_kept_for_rows += -(-size // LINE) * LINE
        return offset

    def keep_state_for_rows(self, units: int, n_states: int, row_size: int, size: int) -> int:
        """Reserve `size` elements that begin with states of `units`, `row_size` apart; return where they begin."""
        at = self.keep_for_rows(size)
        self._row_states += [(at + state * row_size, units) for state in range(n_states)]
        return at

    def extra_of(self, op: int) -> int:
        """Return where an op keeps what its backward pass needs."""
        return self._ops[op]["extra"]

    def _add_region(self, units: int) -> int:
        if units > _MOST:
            raise ValueError(f"layers[{self.layer}] would have {units:,} numbers for each sample")
        offset = self._n_units
        self._n_units += units
        return offset

    def finish(self, shapes: "Sequence[tuple[int, ...]]") -> Plan:
        """Add the regions that every network needs and return the plan."""
        n_outputs = math.prod(self.shape)
        widths = [op["positions"] * max(op["units"], op["fan_in"]) for op in self._ops]
        widest = max(n_outputs, self.n_inputs, *widths, *map(math.prod, shapes))
        # Deltas are transposed in strips of units; a strip is as long as all positions of the samples.
        widest_strip = max((op["positions"] * -(-op["units"] // _STRIP) * _STRIP for op in self._ops), default=_STRIP)
        regions = {
            "input": self._input_region,
            "output": self._region,
            "targets": self._add_region(n_outputs),
            "delta": self._add_region(widest),
            "other_delta": self._add_region(widest),
            "strips": self._add_region(widest_strip),
            "weights": self._add_region(math.prod(self.shape[:-1])),
            "lengths": self._add_region(1),
        }
        # 16 rows of features or targets, each padded to whole vectors, are half as many units of 32 samples.
        regions["staging"] = self._add_region(-(-max(self.n_inputs, n_outputs) // 16) * 8)
        self._add_region(_STRIP)  # slack: whole blocks are read past the last unit
        n_padded = -(-self._n_parameters // LINE) * LINE
        ops = _table(tables.OP, self._ops)
        details = tuple(
            None if kind.details is None else _table(kind.details, [_placed(own, n_padded)])
            for kind, own in zip(self._kinds, self._details, strict=True)
        )
        variable_table = _table(
            tables.VARIABLE,
            [
                {
                    "offset": variable.offset, "size": variable.size, "units": variable.shape[-1],
                    "is_kernel": variable.is_kernel, "is_trained": variable.is_trained, "l1": variable.l1,
                    "l2": variable.l2, "max_norm": variable.max_norm,
                }
                for variable in self._variables
            ],
        )  # fmt: skip
        return Plan(
            ops=ops, kinds=tuple(self._kinds), details=details, variables=tuple(self._variables),
            variable_table=variable_table, n_inputs=self.n_inputs, n_outputs=n_outputs,
            n_parameters=self._n_parameters, states=tuple(self._states), shapes=tuple(shapes),
            op_flops=tuple(self._flops), regions=regions, n_units=self._n_units,
            n_kept_for_rows=self._n_kept_for_rows, output_steps=self._steps, ignores_lengths=self._ignores_lengths,
            n_categories=self.n_categories, row_states=tuple(self._row_states), carried_units=self._carried_units,
        )  # fmt: skip


def _placed(details: dict[str, float] | None, n_padded: int) -> dict[str, float]:
    """Return the fields of an op's own record, its state counted from the start of the parameter buffer."""
    fields = dict(details or {})
    if "state" in fields:
        fields["state"] += n_padded
    return fields


def _table(dtype: np.dtype, rows: list[dict[str, Any]]) -> np.ndarray:
    """Return rows as records, with 0 for fields that are not given.

    Whole records, since setting their fields one by one takes most of the time of a plan.
    """
    assert dtype.names is not None
    return np.array([tuple(row.get(name, 0) for name in dtype.names) for row in rows], dtype)


def make_plan(layers: "Sequence[Buildable]", *, works_in_place: bool = True, keeps_state: bool = False) -> Plan:
    """Build the plan of a list of layers, the first of which is an Input.

    With `works_in_place` False every op keeps its output, for `explain`. With `keeps_state` recurrent layers keep
    theirs from one single row to the next, which is the next step of the same sequence.
    """
    builder = PlanBuilder(works_in_place=works_in_place, keeps_state=keeps_state)
    shapes = []
    for index, layer in enumerate(layers):
        builder.layer = index
        builder.add(layer)
        shapes.append(builder.shape)
    return builder.finish(shapes)


__all__ = ["Plan", "PlanBuilder", "Variable", "make_plan"]
