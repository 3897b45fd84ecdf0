"""What a callback has saved, checked when it comes back: it may come from a file that is trusted in nothing."""

from typing import Any

import numpy as np

from fastnn.common.validation import check_finite, check_integer, check_real
from fastnn.engine.layout import are_variances_sound
from fastnn.model.network import Network

_LIMIT = 2**63 - 1


def saved_number(state: dict[str, Any], name: str) -> float | None:
    """Return a member that is a finite number or None, or raise ValueError or TypeError."""
    value = _member(state, name)
    return None if value is None else check_real(name, value, -np.inf)


def saved_count(state: dict[str, Any], name: str) -> int:
    """Return a member that is an integer >= 0, or raise ValueError or TypeError."""
    return check_integer(name, _member(state, name), 0, _LIMIT)


def saved_epoch(state: dict[str, Any], name: str) -> int | None:
    """Return a member that is the number of an epoch or None, or raise ValueError or TypeError."""
    return None if _member(state, name) is None else saved_count(state, name)


def saved_parameters(state: dict[str, Any], name: str, network: Network) -> np.ndarray | None:
    """Return a copy of a network's parameter buffer with running statistics; None where the member is missing.

    Only parameters and statistics are taken: what lies between and behind them, where kernels read on, stays zero.
    """
    values = state.get(name)
    if values is None:
        return None
    whole = np.zeros_like(network.parameter_buffer)
    if not isinstance(values, np.ndarray) or values.shape != whole.shape or values.dtype != whole.dtype:
        got = f"{values.dtype} and {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(
            f"{name} must be an array of {whole.dtype} and shape {whole.shape} for this network, got {got}"
        )
    plan = network.plan
    for first, size in ((0, plan.n_parameters), (plan.parameter_stride, plan.n_states)):
        whole[first : first + size] = values[first : first + size]
    check_finite(name, whole)
    for variable in plan.states:
        first = plan.parameter_stride + variable.offset
        if not are_variances_sound(variable.name, whole[first : first + variable.size]):
            raise ValueError(f"{name} must not hold negative variances")
    return whole


def _member(state: dict[str, Any], name: str) -> Any:
    if name not in state:
        raise ValueError(f"{name!r} is missing")
    return state[name]
