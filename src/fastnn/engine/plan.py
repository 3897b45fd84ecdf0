"""From layers to the tables that kernels walk: where every parameter lies, and every activation.

A plan is independent of batch size, threads and dtype. Parameters are laid out densely in the order of the layers.
Buffer regions are counted in units; a kernel multiplies by the samples its workspace holds.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.kernels import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastnn.constraints import MaxNorm
    from fastnn.layers import Layer
    from fastnn.regularizers import L1L2

# The parameter buffer is cut at whole cache lines of either dtype: parameters, then what else a network keeps.
_LINE = 16

_STRIP = 32  # a strip of transposed deltas is at most this many units wide, in either dtype


@dataclass(frozen=True)
class Variable:
    """One parameter tensor: its place in the flat vector."""

    layer: int
    name: str
    shape: tuple[int, ...]
    offset: int
    initializer: str
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Plan:
    """The tables of a network, and the sizes of what goes with them."""

    ops: np.ndarray
    variables: tuple[Variable, ...]
    variable_table: np.ndarray
    n_inputs: int
    n_outputs: int
    n_parameters: int
    states: tuple[Variable, ...]  # what is kept but not trained; offsets in `Network.state`
    units_after: tuple[int, ...]  # width after each layer
    regions: dict[str, int]  # buffer offsets, in units
    n_units: int  # of the whole buffer

    @cached_property
    def parameter_stride(self) -> int:
        """Length of a vector of parameters, padded to whole cache lines in either dtype."""
        return -(-self.n_parameters // _LINE) * _LINE

    @cached_property
    def n_states(self) -> int:
        """Length of `Network.state`."""
        return sum(state.size for state in self.states)

    @cached_property
    def has_batch_statistics(self) -> bool:
        """Whether a layer normalises over the batch."""
        return bool((self.ops["kind"] == tables.Layer.BATCH_NORMALIZATION).any())

    @cached_property
    def has_penalties(self) -> bool:
        """Whether any tensor has an L1 or L2 penalty."""
        return any(variable.l1 or variable.l2 for variable in self.variables)

    @cached_property
    def has_constraints(self) -> bool:
        """Whether any kernel has a largest norm."""
        return any(variable.max_norm for variable in self.variables)

    @cached_property
    def output_activation(self) -> tables.Activation:
        """The code of the last activation, LINEAR if the last op is none."""
        if len(self.ops) and self.ops[-1]["kind"] == tables.Layer.ACTIVATION:
            return tables.Activation(int(self.ops[-1]["code"]))
        return tables.Activation.LINEAR


class PlanBuilder:
    """What layers write themselves into, one after the other.

    Attributes
    ----------
    units : int
        The width at this point of the network.
    layer : int
        The index of the layer being built.
    """

    def __init__(self, *, works_in_place: bool = True) -> None:
        self._works_in_place = works_in_place
        self.units = 0
        self.layer = 0
        self.n_inputs = 0
        self._ops: list[dict[str, Any]] = []
        self._variables: list[Variable] = []
        self._states: list[Variable] = []
        self._n_parameters = 0
        self._has_parameters = False
        self._n_units = 0
        self._input_region = 0
        self._region = -1  # where the current activations lie
        self._output_is_needed = False  # by the backward pass of the op that wrote them

    def set_input(self, n_features: int) -> None:
        """Open the network with its input region."""
        self.units = self.n_inputs = n_features
        self._region = self._input_region = self._add_region(n_features)
        self._output_is_needed = True  # features stay: the first layer's weight gradient reads them

    def add_variable(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: str,
        *,
        regularizer: "L1L2 | None" = None,
        constraint: "MaxNorm | None" = None,
    ) -> int:
        """Reserve a tensor in the parameter vector and return its offset."""
        l1, l2 = (regularizer.l1, regularizer.l2) if regularizer else (0.0, 0.0)
        max_norm = constraint.max_value if constraint else 0.0
        variable = Variable(self.layer, name, shape, self._n_parameters, initializer, l1, l2, max_norm)
        self._variables.append(variable)
        self._n_parameters += variable.size
        return variable.offset

    def add_state(self, name: str, shape: tuple[int, ...], initializer: str) -> int:
        """Reserve a tensor that is kept with the parameters but not trained; return its offset among such."""
        offset = sum(state.size for state in self._states)
        self._states.append(Variable(self.layer, name, shape, offset, initializer))
        return offset

    def add_op(
        self,
        kind: tables.Layer,
        units: int,
        *,
        weights: int = -1,
        bias: int = -1,
        code: int = 0,
        value: float = 0.0,
        momentum: float = 0.0,
        state: int = -1,
        in_place: bool = False,
        needs_input: bool = False,
        needs_output: bool = False,
        extra_units: int = 0,
    ) -> None:
        """Append one op of the forward pass.

        Parameters
        ----------
        kind : tables.Layer
            What it does.
        units : int
            Its output's width.
        weights, bias : int, default -1
            Offsets of its parameters.
        code, value : int, float
            Which activation; the layer's parameter.
        momentum, state : float, int
            Of running statistics, and their offset.
        in_place : bool, default False
            Whether it can write over its input. It will unless the op before needs that for its backward pass.
        needs_input, needs_output : bool, default False
            Whether its backward pass reads its input, its output.
        extra_units : int, default 0
            Units of buffer it keeps from the forward for the backward pass.
        """
        source = self._region
        stays = in_place and self._works_in_place and not self._output_is_needed
        target = source if stays else self._add_region(units)
        self._ops.append(
            {
                "kind": kind,
                "fan_in": self.units,
                "units": units,
                "source": source,
                "target": target,
                "extra": self._add_region(extra_units) if extra_units else 0,
                "weights": weights,
                "bias": bias,
                "code": code,
                "layer": self.layer,
                "value": value,
                "momentum": momentum,
                "state": state,
                "has_gradient_below": self._has_parameters,
            }
        )
        self._has_parameters = self._has_parameters or weights >= 0 or bias >= 0
        self.units = units
        self._region = target
        self._output_is_needed = needs_output

    def _add_region(self, units: int) -> int:
        offset = self._n_units
        self._n_units += units
        return offset

    def finish(self, units_after: "Sequence[int]") -> Plan:
        """Add the regions that every network needs and return the plan."""
        widest = max(self.units, self.n_inputs, *(max(op["units"], op["fan_in"]) for op in self._ops))
        widest_strip = max((-(-op["units"] // _STRIP) * _STRIP for op in self._ops), default=_STRIP)
        regions = {
            "input": self._input_region,
            "output": self._region,
            "targets": self._add_region(self.units),
            "delta": self._add_region(widest),
            "other_delta": self._add_region(widest),
            "strips": self._add_region(widest_strip),
            "weights": self._add_region(1),
        }
        # 16 rows of features or targets, each padded to whole vectors, are half as many units of 32 samples.
        regions["staging"] = self._add_region(-(-max(self.n_inputs, self.units) // 16) * 8)
        self._add_region(_STRIP)  # slack: whole blocks are read past the last unit
        n_padded = -(-self._n_parameters // _LINE) * _LINE
        ops = _table(tables.OP, [{**op, "state": op["state"] + n_padded} for op in self._ops])
        variable_table = _table(
            tables.VARIABLE,
            [
                {
                    "offset": variable.offset, "size": variable.size, "units": variable.shape[-1],
                    "is_kernel": variable.name == "kernel", "l1": variable.l1, "l2": variable.l2,
                    "max_norm": variable.max_norm,
                }
                for variable in self._variables
            ],
        )  # fmt: skip
        return Plan(
            ops, tuple(self._variables), variable_table, self.n_inputs, self.units, self._n_parameters,
            tuple(self._states), tuple(units_after), regions, self._n_units,
        )  # fmt: skip


def _table(dtype: np.dtype, rows: list[dict[str, Any]]) -> np.ndarray:
    """Return rows as records; whole ones, since setting their fields one by one takes most of the time of a plan."""
    assert dtype.names is not None
    return np.array([tuple(row[name] for name in dtype.names) for row in rows], dtype)


def make_plan(layers: "Sequence[Layer]", *, works_in_place: bool = True) -> Plan:
    """Build the plan of a list of layers, the first of which is an Input.

    With `works_in_place` False every op keeps its output, for `explain`.
    """
    builder = PlanBuilder(works_in_place=works_in_place)
    units_after = []
    for index, layer in enumerate(layers):
        builder.layer = index
        layer.build(builder)
        units_after.append(builder.units)
    return builder.finish(units_after)
