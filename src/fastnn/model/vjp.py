"""Gradients through a network: the product of a vector with its Jacobian."""

from typing import Any

import numpy as np

from fastnn.common.validation import as_features, check_not_empty
from fastnn.engine.plan import Plan
from fastnn.engine.workspace import MICRO_BATCH_PANELS, Workspace
from fastnn.inputs.sequences import take_sequences
from fastnn.inputs.targets import finite_rows
from fastnn.kernels import losses, tables
from fastnn.kernels.gemm import PANEL


def vjp(plan: Plan, dtype: np.dtype, parameters: np.ndarray, X: Any, v: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of sum(v * outputs) by X and by the parameters; `Network.vjp` documents it."""
    rows, _ = take_sequences(("X", "lengths"), X, plan, dtype)
    check_not_empty("X", rows)
    slopes = as_features("v", v, plan.output_shape, dtype)
    n_rows = rows.shape[0]
    if slopes.shape[0] != n_rows:
        raise ValueError(f"v must have as many samples as X ({n_rows}), got shape {np.shape(v)}")
    workspace = Workspace(
        plan, dtype, n_rows=min(n_rows, MICRO_BATCH_PANELS * PANEL), through_inputs=True,
        holds_batch=plan.has_batch_statistics,
    )  # fmt: skip
    workspace.set_data(
        finite_rows("X", rows, dtype, are_indices=plan.n_categories > 0), finite_rows("v", slopes, dtype)
    )
    workspace.set(mode=tables.Mode.GRADIENT, batch_size=n_rows, loss=losses.given_delta, penalty=0)
    by_inputs = np.empty((n_rows, plan.n_inputs), dtype)
    workspace.write_input_gradient(by_inputs)
    workspace.begin()
    workspace.run(1, parameters, np.empty(0, dtype))
    shape = (n_rows, *plan.input_shape) if np.ndim(X) > 2 else by_inputs.shape
    return by_inputs.reshape(shape), workspace.gradients[: plan.n_parameters].copy()
