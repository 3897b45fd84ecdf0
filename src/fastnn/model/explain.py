"""Gradients through a network: one sample with every z, a, delta and gradient, and vectors times the Jacobian."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.common.validation import as_array, as_features, check_not_empty
from fastnn.engine.layout import Plan
from fastnn.engine.memory import parameter_buffer
from fastnn.engine.plan import make_plan
from fastnn.engine.rows import Rows
from fastnn.engine.workspace import MICRO_BATCH_PANELS, Workspace
from fastnn.inputs.sequences import take_sequences
from fastnn.inputs.targets import as_targets, finite_rows
from fastnn.kernels import tables
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.losses import given_delta
from fastnn.kernels.ops.dense import DENSE
from fastnn.kernels.walk import trace
from fastnn.layers import Bidirectional, Recurrent
from fastnn.losses import LossFunction
from fastnn.model.core import NetworkCore

_DTYPE = np.dtype(np.float64)  # of all that is shown


@dataclass(frozen=True)
class Step:
    """What one op of the network did to the sample, and what came back.

    Attributes
    ----------
    name : str
        The layer and its part, such as "layer 1: Dense" or "layer 1: relu".
    input, output : ndarray of shape (units,)
        Before and after.
    delta : ndarray of shape (units,)
        Derivative of the loss with respect to `output`.
    weights, bias : ndarray or None
        Parameters of a dense op, and their gradients below.
    weights_gradient, bias_gradient : ndarray or None
    """

    name: str
    input: np.ndarray
    output: np.ndarray
    delta: np.ndarray
    weights: np.ndarray | None = None
    bias: np.ndarray | None = None
    weights_gradient: np.ndarray | None = None
    bias_gradient: np.ndarray | None = None


@dataclass(frozen=True)
class Explanation:
    """The account of one sample; print it.

    Attributes
    ----------
    x, y : ndarray
        Features and target.
    output : ndarray of shape (n_outputs,)
        What the network predicts.
    loss_name : str
    loss : float
    steps : list of Step
        In the order of the forward pass.
    """

    x: np.ndarray
    y: np.ndarray
    output: np.ndarray
    loss_name: str
    loss: float
    steps: list[Step]

    def __str__(self) -> str:
        lines = ["forward", f"  x = {_show(self.x)}"]
        for step in self.steps:
            lines.append(f"  {step.name}")
            if step.weights is not None:
                lines.append(f"    W = {_show(step.weights)}")
                if step.bias is not None:
                    lines.append(f"    b = {_show(step.bias)}")
                formula = "z = x W + b" if step.bias is not None else "z = x W"
                lines.append(f"    {formula} = {_show(step.output)}")
            else:
                lines.append(f"    a = {_show(step.output)}")
        lines += ["loss", f"  y = {_show(self.y)}", f"  {self.loss_name} = {self.loss:.6g}", "backward"]
        for step in reversed(self.steps):
            lines.append(f"  {step.name}")
            symbol = "a" if step.weights is None else "z"
            lines.append(f"    dL/d{symbol} = {_show(step.delta)}")
            if step.weights_gradient is not None:
                lines.append(f"    dL/dW = x^T dL/dz = {_show(step.weights_gradient)}")
            if step.bias_gradient is not None:
                lines.append(f"    dL/db = dL/dz = {_show(step.bias_gradient)}")
        return "\n".join(lines)


def _show(array: np.ndarray) -> str:
    return np.array2string(array, precision=6, suppress_small=False, separator=", ").replace("\n", "\n        ")


def explain(network: NetworkCore, x: Any, y: Any, loss: "str | LossFunction") -> Explanation:
    """Return the account of one sample; `Network.explain` documents it.

    The numbers are what the kernels compute, in float64, with the output activation and the loss taken apart.
    """
    sample, targets, function = _checked(network, x, y, loss)
    plan = make_plan(network.layers, works_in_place=False)
    workspace = Workspace(plan, _DTYPE, n_rows=1, through_inputs=True)
    workspace.set_data(finite_rows("x", sample, _DTYPE), targets)
    workspace.set(
        mode=tables.Mode.GRADIENT, batch_size=1, loss=function.unit, loss_value=function.value,
        loss_scale=function.scale,
    )  # fmt: skip
    buffer, parameters, state = parameter_buffer(plan, _DTYPE)
    parameters[:], state[:] = network.parameters, network.state
    deltas = np.zeros((len(plan.ops), plan.widest_row))
    workspace.prepare(buffer)
    trace(workspace.jobs, deltas)

    def column(region: int, units: int) -> np.ndarray:
        return workspace.buffers[region * PANEL : (region + units) * PANEL : PANEL].copy()

    def tensor(vector: np.ndarray, offset: int, shape: tuple[int, ...]) -> np.ndarray | None:
        return vector[offset : offset + int(np.prod(shape))].reshape(shape).copy() if offset >= 0 else None

    steps = []
    for op, kind, delta in zip(plan.ops, plan.kinds, deltas, strict=True):
        fan_in, units, positions = int(op["fan_in"]), int(op["units"]), int(op["positions"])
        weights, bias = (int(op["weights"]), int(op["bias"])) if kind is DENSE else (-1, -1)
        steps.append(
            Step(
                f"layer {op['layer']}: {kind.name}",
                column(int(op["source"]), positions * fan_in),
                column(int(op["target"]), positions * units),
                delta[: positions * units].copy(),
                tensor(parameters, weights, (fan_in, units)),
                tensor(parameters, bias, (units,)),
                tensor(workspace.gradients, weights, (fan_in, units)),
                tensor(workspace.gradients, bias, (units,)),
            )
        )
    y_shown = column(plan.regions["targets"], plan.n_outputs)
    output = column(plan.regions["output"], plan.n_outputs)
    total = float(workspace.totals()[tables.Sum.LOSS])
    return Explanation(sample[0], y_shown, output, function.name, total, steps)


def _checked(network: NetworkCore, x: Any, y: Any, loss: "str | LossFunction") -> tuple[np.ndarray, Rows, LossFunction]:
    """Return the sample and its target as kernels take them, and the loss; raise ValueError where none can be shown."""
    for layer in network.layers:
        if isinstance(layer, (Recurrent, Bidirectional)):
            raise ValueError(
                f"a {type(layer).__name__} has many steps, which an account of one pass cannot show; "
                "explain a network without it"
            )
    function = losses.get(loss)
    if isinstance(function, losses.PythonLoss):
        raise ValueError(f"loss must be one of fastnn's own to be explained, got {function.name!r}")
    if function.from_logits:
        raise ValueError(
            "loss must not have from_logits=True to be explained, where output activation and loss are taken apart"
        )
    function.check_outputs(network.plan.output_activation, network.plan.output_units)
    sample = as_features("x", np.atleast_2d(as_array("x", x)), network.n_inputs, _DTYPE)
    take_sequences(("x", "lengths"), sample, network.plan, _DTYPE)  # which looks at the indices of an Embedding
    if sample.shape[0] != 1:
        raise ValueError(f"x must be one sample of shape ({network.n_inputs},), got shape {np.shape(x)}")
    target = as_array("y", y)
    is_label = target.size == 1 and network.n_outputs > 1
    shaped = target.reshape(1) if is_label else target.reshape(1, -1)
    rows = as_targets("y", shaped, 1, network.plan.output_shape, function, _DTYPE)
    return sample.astype(_DTYPE), rows, function


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
    workspace.set(mode=tables.Mode.GRADIENT, batch_size=n_rows, loss=given_delta, penalty=0)
    by_inputs = np.empty((n_rows, plan.n_inputs), dtype)
    workspace.write_input_gradient(by_inputs)
    workspace.begin()
    workspace.run(1, parameters, np.empty(0, dtype))
    shape = (n_rows, *plan.input_shape) if np.ndim(X) > 2 else by_inputs.shape
    return by_inputs.reshape(shape), workspace.gradients[: plan.n_parameters].copy()
