"""A plan's ops with the addresses of the compiled units that a call needs. Only those are compiled.

Addresses belong to the process, and to the dtype: a plan has none, and copies of its table get them here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from fastnn.engine.layout import Plan
from fastnn.kernels.layerwise import LEAST_PARAMETERS


@dataclass(frozen=True)
class LinkedOps:
    """A table of ops that compiled code can walk, and the records that it leads to, which must stay where they are."""

    table: np.ndarray
    details: list[np.ndarray]


def once_a_plan(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``function(plan, dtype, **options)`` keep what it returned, for as long as the plan lives.

    A short fit would take longer to prepare than to train. Compiled code only reads these.
    """
    kept: WeakKeyDictionary[Plan, dict[tuple, Any]] = WeakKeyDictionary()

    @wraps(function)
    def ask(plan: Plan, dtype: np.dtype, **options: Any) -> Any:
        of_plan = kept.setdefault(plan, {})
        key = (dtype, *options.items())
        if key not in of_plan:
            of_plan[key] = function(plan, dtype, **options)
        return of_plan[key]

    return ask


def can_update_by_layer(plan: Plan, n_threads: int) -> bool:
    """Whether each layer can be updated where its gradient is made: not worth it for small networks.

    With several threads each op that has parameters must be able to share its update out.
    """
    if plan.n_parameters < LEAST_PARAMETERS or plan.has_frozen:
        return False
    owners = plan.ops[plan.ops["n_parameters"] > 0]
    return n_threads == 1 or bool(owners["updates_itself"].all())


@once_a_plan
def link(
    plan: Plan,
    dtype: np.dtype,
    *,
    goes_back: bool = False,
    by_layer: bool = False,
    for_rows: bool = False,
    through_inputs: bool = False,
    takes_logits: bool = False,
    inputs_only: bool = False,
) -> LinkedOps:
    """Return the ops of a plan with the addresses of units.

    Parameters
    ----------
    plan : Plan
    dtype : numpy.dtype
        The network's.
    goes_back : bool, default False
        Whether a backward pass is wanted.
    by_layer : bool, default False
        Whether layers may be updated where their gradients are made.
    for_rows : bool, default False
        Whether the units for single rows are wanted, instead of those for panels.
    through_inputs : bool, default False
        Whether the gradient is wanted down to the network's inputs.
    takes_logits : bool, default False
        Whether the loss computes the last op, which then needs no unit.
    inputs_only : bool, default False
        Whether the backward pass leaves the parameters out, as it does for layers that are not trained.
    """
    ops = plan.ops.copy()
    if through_inputs:
        ops["has_gradient_below"] = ops["needs_backward"] = 1
    if inputs_only:
        ops["n_parameters"] = 0
    is_large = plan.n_parameters >= LEAST_PARAMETERS
    records = []
    for o, (op, kind, own) in enumerate(zip(ops, plan.kinds, plan.details, strict=True)):
        if takes_logits and o == len(ops) - 1:
            continue
        if own is not None:
            record = own.copy()
            if kind.parts is not None and goes_back:
                names = kind.parts(op, dtype, by_layer=by_layer and bool(op["updates_itself"]), is_large=is_large)
                for name, unit in names.items():
                    record[name] = unit.address(dtype)
            if kind.forward_parts is not None and not for_rows:
                for name, unit in kind.forward_parts.items():
                    record[name] = unit.address(dtype)
            records.append(record)
            op["details"] = record.ctypes.data
        if for_rows:
            assert kind.row is not None, f"{kind.name} has no unit for single rows"
            op["row"] = kind.row.address(dtype)
            continue
        op["forward"] = kind.forward.address(dtype)
        if goes_back:
            if op["needs_backward"]:
                op["backward"] = kind.backward.address(dtype)
            if kind.after_update is not None and op["sees_batch"]:
                op["after_update"] = kind.after_update.address(dtype)
    return LinkedOps(ops, records)
