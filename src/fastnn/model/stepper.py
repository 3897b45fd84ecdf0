"""A network that goes through time one step at a time, and keeps the state in between."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.common.validation import as_array
from fastnn.engine.layout import Plan
from fastnn.engine.linking import link
from fastnn.engine.memory import aligned_zeros, row_sizes, whole_lines
from fastnn.engine.plan import make_plan
from fastnn.kernels import tables
from fastnn.kernels.rows import make_step
from fastnn.layers import (
    Bidirectional,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Layer,
    Recurrent,
    Residual,
)

_AT_ONCE = "needs all steps at once"


def step_plan(layers: Sequence[Layer], plan: Plan) -> Plan:
    """Return the plan of a network for one step of time, whose recurrent layers keep their states.

    Raises
    ------
    ValueError
        If a layer cannot work step by step.
    """
    if plan.ignores_lengths:
        raise ValueError(f"stepper cannot go step by step because {plan.ignores_lengths}")
    _check(layers)
    n_steps, *rest = plan.input_shape
    first = Input((1, *rest)) if rest else Input(1)
    own = make_plan([first, *layers[1:]], keeps_state=True)
    if [variable.shape for variable in own.variables] != [variable.shape for variable in plan.variables]:
        raise ValueError(f"stepper cannot go step by step: a layer has weights for each of the {n_steps} steps")
    return own


def _check(layers: Sequence[Layer]) -> None:
    for layer in layers:
        if isinstance(layer, (Bidirectional, GlobalAveragePooling1D, GlobalMaxPooling1D)):
            raise ValueError(f"stepper cannot go step by step: {layer!r} {_AT_ONCE}")
        if isinstance(layer, Recurrent) and layer.go_backwards:
            raise ValueError(f"stepper cannot go step by step: {layer!r} {_AT_ONCE}, since it goes backwards")
        if isinstance(layer, Residual):
            _check(layer.layers)


class Stepper:
    """What `Network.stepper` returns: one call is one step of time, for each of n sequences.

    It sees the network's parameters where they lie, so training shows in the next step. Each stepper has a state of its
    own; calls of one stepper must not overlap.

    Attributes
    ----------
    n : int
        How many sequences go side by side.
    n_inputs, n_outputs : int
        Numbers of one sequence that a step takes and gives.
    state : ndarray of shape (n, n_states)
        The states of all recurrent layers, in the order of the layers: h, and c behind it for an LSTM. A copy;
        assigning puts a state in place.
    function : compiled function of (x, out)
        For code of your own under ``@numba.njit``: x and out are 1-D arrays (x may be a tuple) where n is 1, else 2-D.
        It checks nothing. The stepper itself can be called there just as well.
    """

    def __init__(self, layers: Sequence[Layer], plan: Plan, dtype: np.dtype, parameters: np.ndarray, n: int):
        own = step_plan(layers, plan)
        self.n, self._plan, self._dtype = n, own, dtype
        self.n_inputs, self.n_outputs = own.n_inputs, own.n_outputs
        row_size, size = row_sizes(own, dtype)
        size = whole_lines(size, dtype)
        self._buffers = aligned_zeros(n * size, dtype)
        self._rows = np.zeros(n, tables.ROWS[dtype])
        self._rows["parameters"], self._rows["n_values"] = parameters.ctypes.data, parameters.size
        self._rows["buffer"] = self._buffers.ctypes.data + np.arange(n) * size * dtype.itemsize
        self._rows["buffer_size"], self._rows["row_size"] = size, row_size
        self._parameters = parameters  # held: compiled code refers to them
        self._ops = link(own, dtype, for_rows=True)
        self._rows["ops"], self._rows["n_ops"] = self._ops.table.ctypes.data, len(self._ops.table)
        places = [np.arange(at, at + units) for at, units in own.row_states]
        self._places = 2 * row_size + np.concatenate([np.empty(0, np.int64), *places])
        self.function = make_step(self._rows, dtype, self.n_inputs, self.n_outputs)

    def __call__(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Take one step.

        Parameters
        ----------
        x : array-like of shape (n, n_inputs), or (n_inputs,) where n is 1
            What the sequences have at this step.
        out : ndarray of the shape of what is returned, or None, default None
            Where to write; of the network's dtype.

        Returns
        -------
        ndarray of shape (n, n_outputs), or (n_outputs,) where x has one axis
            The outputs at this step.

        Raises
        ------
        ValueError, TypeError
            If a shape, dtype or value is wrong; the state is as it was then.
        """
        array = x if type(x) is np.ndarray and x.dtype == self._dtype else self._checked(x)
        is_row = array.ndim == 1 and self.n == 1
        if array.shape != ((self.n_inputs,) if is_row else (self.n, self.n_inputs)):
            raise ValueError(f"x must have shape ({self.n}, {self.n_inputs}), got {array.shape}")
        if self._plan.n_categories and array is x:
            self._checked(x)
        shape = (self.n_outputs,) if is_row else (self.n, self.n_outputs)
        if out is None:
            out = np.empty(shape, self._dtype)
        elif not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != self._dtype:
            raise ValueError(f"out must be a {self._dtype} array of shape {shape}, got {out!r}")
        if self.n == 1 and not is_row:
            self.function(array[0], out[0])
        else:
            self.function(array, out)
        return out

    def _checked(self, x: Any) -> np.ndarray:
        array = as_array("x", x)
        last = self._plan.n_categories - 1
        if last >= 0 and not ((array >= 0) & (array <= last) & (array == np.floor(array))).all():
            raise ValueError(
                f"x must hold integers from 0 to {last} (the Embedding's input_dim is {last + 1}), got {x!r}"
            )
        return array.astype(self._dtype)

    @property
    def state(self) -> np.ndarray:
        return self._buffers.reshape(self.n, -1)[:, self._places]

    @state.setter
    def state(self, values: Any) -> None:
        array = as_array("state", values)
        shape = (self.n, self._places.size)
        if array.shape != shape:
            raise ValueError(f"state must have shape {shape}, got {array.shape}")
        self._buffers.reshape(self.n, -1)[:, self._places] = array

    def reset(self, rows: Any = slice(None)) -> None:
        """Begin anew: states are 0.

        Parameters
        ----------
        rows : index of sequences, default all
            Which ones begin anew.
        """
        state = self.state
        state[rows] = 0.0
        self.state = state

    def __repr__(self) -> str:
        return f"Stepper(n={self.n}, n_inputs={self.n_inputs}, n_outputs={self.n_outputs})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a stepper holds compiled code that belongs to this process: pickle the network and stepper.state"
        )


def _register() -> None:
    """Let a stepper stand for its function in code under ``@numba.njit``."""
    from numba import types
    from numba.extending import typeof_impl

    @typeof_impl.register(Stepper)
    def _(stepper: Stepper, context: Any) -> Any:
        return types.Dispatcher(stepper.function)


_register()

__all__ = ["Stepper", "step_plan"]
