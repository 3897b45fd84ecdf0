"""The layout of a network: where every parameter lies, and every activation, in the tables that kernels walk."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastnn.kernels.units import OpKind

# The parameter buffer is cut at whole cache lines of either dtype: parameters, then what else a network keeps.
LINE = 16


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
    is_kernel: bool = False  # weights that an input is multiplied by: what optimizers decay
    is_trained: bool = True
    values: tuple[float, ...] = ()  # what it begins with, where the layer knows the numbers

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)


def are_variances_sound(name: str, values: np.ndarray) -> bool:
    """Whether a state of this name can be what it holds: variances are not negative; those without epsilon not 0."""
    if name.endswith("moving_variance"):
        return not (values < 0).any()
    return not (name.endswith("variance") and (values <= 0).any())


@dataclass(frozen=True, eq=False)
class Plan:
    """The tables of a network, and the sizes of what goes with them. Each is equal to itself alone."""

    ops: np.ndarray  # without addresses, which `fastnn.engine.linking` fills into copies
    kinds: tuple[OpKind, ...]  # of each op
    details: tuple[np.ndarray | None, ...]  # each op's own record
    variables: tuple[Variable, ...]
    variable_table: np.ndarray
    n_inputs: int
    n_outputs: int
    n_parameters: int
    states: tuple[Variable, ...]  # what is kept but not trained; offsets in `Network.state`
    shapes: tuple[tuple[int, ...], ...]  # of one sample, after each layer
    op_flops: tuple[int, ...]  # of the forward pass of one sample, by op
    regions: dict[str, int]  # buffer offsets, in units
    n_units: int  # of the whole buffer
    n_kept_for_rows: int  # elements that ops keep for others while a single row is predicted
    output_steps: int = 0  # how many steps of time the outputs are; 0: none
    ignores_lengths: str = ""  # why the lengths of sequences cannot be minded; empty: they can
    n_categories: int = 0  # inputs are integers below this; 0: they are numbers
    row_states: tuple[tuple[int, int], ...] = ()  # of single rows: where states are kept, and their sizes
    carried_units: int = 0  # of a sample: states that recurrent layers carry from batch to batch

    @cached_property
    def parameter_stride(self) -> int:
        """Length of a vector of parameters, padded to whole cache lines in either dtype."""
        return -(-self.n_parameters // LINE) * LINE

    @cached_property
    def units_after(self) -> tuple[int, ...]:
        """How many numbers a sample is after each layer."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample of X."""
        return self.shapes[0]

    @property
    def output_units(self) -> int:
        """The size of the last axis of the outputs, over which losses are taken."""
        return self.output_shape[-1]

    @property
    def output_positions(self) -> int:
        """How often the outputs have that axis; losses are means over them."""
        return math.prod(self.output_shape[:-1])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one sample of the outputs."""
        return self.shapes[-1]

    @cached_property
    def widest_row(self) -> int:
        """The most numbers that a sample is before or after any op."""
        sizes = [int(op["positions"]) * max(int(op["fan_in"]), int(op["units"])) for op in self.ops]
        return max(self.n_inputs, *self.units_after, *sizes)

    @cached_property
    def n_states(self) -> int:
        """Length of `Network.state`."""
        return sum(state.size for state in self.states)

    @cached_property
    def has_batch_statistics(self) -> bool:
        """Whether a layer normalises over the batch."""
        return bool(self.ops["sees_batch"].any())

    @cached_property
    def has_penalties(self) -> bool:
        """Whether any tensor has an L1 or L2 penalty."""
        return any(variable.l1 or variable.l2 for variable in self.variables)

    @cached_property
    def has_constraints(self) -> bool:
        """Whether any kernel has a largest norm."""
        return any(variable.max_norm for variable in self.variables)

    @cached_property
    def has_frozen(self) -> bool:
        """Whether any tensor is not trained."""
        return not all(variable.is_trained for variable in self.variables)

    @cached_property
    def has_rows(self) -> bool:
        """Whether every op can work on a single row."""
        return all(kind.row is not None for kind in self.kinds)

    @cached_property
    def flops(self) -> int:
        """Floating-point operations of the forward pass of one sample, as far as they are products."""
        return sum(self.op_flops)

    @cached_property
    def output_activation(self) -> str:
        """The name of the last op if it is an activation, else "linear"; "mean of" it for an ensemble."""
        kinds = [kind for kind in self.kinds[-2:] if not kind.is_mean]
        last = kinds[-1].name if kinds and kinds[-1].is_activation else "linear"
        return f"mean of {last}" if last != "linear" and self.kinds[-1].is_mean else last
