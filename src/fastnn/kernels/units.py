"""Units: functions that are compiled and kept on disk for themselves, and called by their addresses.

What a network needs of compiled code depends on its layers, loss and optimizer. Each of those is a unit (or a few),
which is compiled when a plan first needs it, for one dtype, and lies in a file of its own in the cache. Its address
stands in the record that the walk reads. So nothing that walks a network names a kind of layer, and nobody compiles
what another network needs.

A call costs about 3 ns. It passes records by reference: one machine word each.

Jobs
----
- `op_unit`, `loss_unit`, ...: decorators that make a function a `Unit` of one signature
- `Unit.address`: where the compiled code for a dtype lies
- `call_op`, `call_loss`, ...: calls by address, from compiled code
- `OpKind`: the units that make up one kind of op
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels import jit
from fastnn.kernels.tables import DATA, JOBS, OP, ROWS, TILE, WINDOW

_type_of = cache(numba.from_dtype)  # of a record; 0.5 ms each, so not before they are wanted

# What each kind of unit returns, and what it takes after its first argument, the job or the row's record.
_REST: dict[str, tuple[types.Type, tuple[types.Type | np.dtype, ...]]] = {
    "op": (types.boolean, (OP,)),
    "row": (types.boolean, (OP,)),
    "data": (types.boolean, (DATA,)),
    "tile": (types.boolean, (TILE,)),
    "window": (types.boolean, (WINDOW,)),
    "step": (types.boolean, ()),
    "loss": (types.float64, (types.float64,)),
    "schedule": (types.float64, (types.int64,)),
    "update": (types.boolean, (types.int64, types.int64, types.int64)),
}


def _rest(kind: str) -> list[types.Type]:
    return [_type_of(taken) if isinstance(taken, np.dtype) else taken for taken in _REST[kind][1]]


class Unit:
    """A function with one of the signatures of this module; compiled for a dtype when its address is first wanted.

    Attributes
    ----------
    name : str
    kind : str
        Which signature.
    """

    def __init__(self, function: Callable[..., Any], kind: str, decorate: Callable[..., Any] = jit.unit):
        self.name = function.__name__
        self.kind = kind
        self._function, self._decorate = function, decorate
        self._addresses: dict[np.dtype, int] = {}

    def __repr__(self) -> str:
        return f"<unit {self.name} ({self.kind})>"

    def __deepcopy__(self, memo: dict) -> "Unit":
        return self

    def signature(self, dtype: np.dtype) -> Any:
        """Return the Numba signature for networks of a dtype."""
        first = _type_of((ROWS if self.kind == "row" else JOBS)[dtype])
        return signature(_REST[self.kind][0], first, *_rest(self.kind))

    @cached_property
    def _dispatcher(self) -> Any:
        return self._decorate(self._function)  # not before it is wanted: 0.1 ms, and there are over a hundred

    def address(self, dtype: np.dtype) -> int:
        """Return where the compiled code lies; compile it, or take it from the disk cache, if need be."""
        address = self._addresses.get(dtype)
        if address is None:
            address = self._addresses[dtype] = jit.address_of(self._dispatcher, self.signature(dtype))
        return address


def _decorator(kind: str) -> Callable[[Callable[..., Any]], Unit]:
    def decorate(function: Callable[..., Any]) -> Unit:
        return Unit(function, kind)

    decorate.__doc__ = f"Make a function a unit of kind {kind!r}."
    return decorate


op_unit = _decorator("op")  # (job, op) -> bool: one op, forward or backward; False if the team was dismissed
row_unit = _decorator("row")  # (row, op) -> bool: one op on a single row
data_unit = _decorator("data")  # (job, data) -> bool: rows of the user's memory to panels, or back
tile_unit = _decorator("tile")  # (job, tile) -> bool: a product of a few rows
window_unit = _decorator("window")  # (job, window) -> bool: the same for convolutions
step_unit = _decorator("step")  # (job) -> bool: something once a batch or micro-batch
loss_unit = _decorator("loss")  # (job, factor) -> the weighted sum of losses; writes factor times their slopes
schedule_unit = _decorator("schedule")  # (job, step) -> the learning rate
update_unit = _decorator("update")  # (job, gradient, first, last) -> bool: update a range of parameters


def _make_call(kind: str, n_rest: int) -> Any:
    result = _REST[kind][0]

    def emit(context, builder, sig, args):
        argument_types = sig.args[1:]
        function_type = context.call_conv.get_function_type(sig.return_type, argument_types)
        function = builder.inttoptr(args[0], function_type.as_pointer())
        return context.call_conv.call_function(builder, function, sig.return_type, argument_types, args[1:])[1]

    if n_rest == 0:

        @intrinsic
        def call(typingctx, address, record):
            return signature(result, types.int64, record), emit

    elif n_rest == 1:

        @intrinsic
        def call(typingctx, address, record, a):
            return signature(result, types.int64, record, *_rest(kind)), emit

    else:

        @intrinsic
        def call(typingctx, address, record, a, b, c):
            return signature(result, types.int64, record, *_rest(kind)), emit

    return call


call_op = call_row = _make_call("op", 1)
call_data = _make_call("data", 1)
call_tile = _make_call("tile", 1)
call_window = _make_call("window", 1)
call_step = _make_call("step", 0)
call_loss = _make_call("loss", 1)
call_schedule = _make_call("schedule", 1)
call_update = _make_call("update", 3)


@dataclass(frozen=True, eq=False)
class OpKind:
    """One kind of op: its units, and what the walk has to know of it.

    Parameters
    ----------
    name : str
        For people: in `explain`, errors and tests.
    forward, backward : Unit
        (job, op) -> bool.
    row : Unit or None
        The op on a single row at inference; without it networks that have the op predict single rows in panels.
    after_update : Unit or None, default None
        Run by one thread after each update: running statistics.
    sees_batch : bool, default False
        Whether the op looks at the whole batch in training, so that threads without samples take part.
    updates_itself : bool, default False
        Whether its backward pass can update its parameters block by block, with several threads.
    is_activation : bool, default False
        Whether it is an activation.
    is_mean : bool, default False
        Whether it takes the mean of outputs of one kind: of probabilities, it gives probabilities.
    keeps_slope : bool, default False
        Of an activation: whether the forward pass keeps the slope for the backward pass.
    details : numpy.dtype or None, default None
        The record of what this kind needs beside the common fields.
    parts : callable of (op, dtype, *, by_layer, is_large) -> dict of str to Unit, or None, default None
        Further units of the backward pass, for the fields of `details` that hold addresses.
    forward_parts : dict of str to Unit or None, default None
        The same for the forward pass.
    one_panel : bool, default False
        Whether one panel is work enough for its products, so that micro-batches should be as short, to stay in cache.
    minds_lengths : bool, default False
        Whether steps behind the end of a sequence change nothing: it works on each step by itself, or knows lengths.
    """

    name: str
    forward: Unit
    backward: Unit
    row: Unit | None
    after_update: Unit | None = None
    sees_batch: bool = False
    updates_itself: bool = False
    is_activation: bool = False
    is_mean: bool = False
    keeps_slope: bool = False
    details: np.dtype | None = None
    parts: Callable[..., dict[str, Unit]] | None = None
    forward_parts: dict[str, Unit] | None = None
    one_panel: bool = False
    minds_lengths: bool = False

    def __deepcopy__(self, memo: dict) -> "OpKind":
        return self
