"""Units around functions of scalars that users write: an activation, a loss, an optimizer of their own.

A user's function takes and returns single numbers. Here it is compiled into a loop over vectors, which LLVM makes of it
where the function allows that: arithmetic, comparisons and choices do, calls of the mathematical library may not.

Jobs
----
- `content_of`: a text that is equal for functions of equal content, for the disk cache
- `activation_kind`, `loss_unit_of`, `update_unit_of`: the units
"""

import hashlib
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from fastnn.kernels import jit
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import named
from fastnn.kernels.ops.activation import kept_slope_backward
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.simd import VECTOR_BYTES, lanes
from fastnn.kernels.units import OpKind, Unit
from fastnn.kernels.views import array_at, buffer_of, parameters_of, variables_of


def content_of(*functions: Any) -> str | None:
    """Return a hash of functions and of all that they refer to; None where something cannot be told by its content."""
    digest = hashlib.sha256()
    seen: set[int] = set()

    def add(value: Any) -> bool:
        if isinstance(value, Dispatcher):
            value = value.py_func
        if isinstance(value, types.FunctionType):
            if id(value) in seen:
                return True
            seen.add(id(value))
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            names = [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
            return all(map(add, [value.__code__, value.__defaults__, *cells, *names]))
        if isinstance(value, types.CodeType):
            digest.update(value.co_code)
            return all(map(add, [*value.co_consts, *value.co_names]))
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            digest.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
            return True
        if isinstance(value, (tuple, list, frozenset)):
            digest.update(f"{type(value).__name__}{len(value)}".encode())
            return all(map(add, sorted(value, key=repr) if isinstance(value, frozenset) else value))
        if isinstance(value, (types.ModuleType, type, types.BuiltinFunctionType)):
            digest.update(f"{getattr(value, '__module__', '')}.{value.__name__}".encode())
            return True
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
            digest.update(f"{type(value).__name__}{value!r}".encode())
            return True
        if isinstance(value, np.ufunc):
            digest.update(value.__name__.encode())
            return True
        return False

    return digest.hexdigest()[:16] if all(map(add, functions)) else None


def _as_inner(function: Any) -> Any:
    """Return a user's function compiled as a part of our loops, with our flags."""
    return jit.inlined_scalars(function.py_func if isinstance(function, Dispatcher) else function)


def _unit(function: Callable[..., Any], kind: str, content: str | None) -> Unit:
    return Unit(function, kind, partial(jit.unit_of_scalars, stamp=content))


def activation_kind(name: str, function: Any, slope: Any) -> OpKind:
    """Build the op of an activation y = function(x) with dy/dx = slope(x, y)."""
    content = content_of(function, slope)
    f, df = _as_inner(function), _as_inner(slope)

    @named(f"own_{name}_forward")
    def forward(job, op):
        item_size, scale = VECTOR_BYTES // lanes(buffer_of(job)), job.capacity * PANEL
        size = panels_of(job, op) * op.units * PANEL
        y = array_at(job.buffer + op.target * scale * item_size, size, job.element)
        kept = array_at(job.buffer + op.extra * scale * item_size, size, job.element)
        # The loops over two arrays that are one would not become loops over vectors.
        if op.source == op.target:
            if job.goes_back:
                for i in range(size):
                    x = y[i]
                    result = f(x)
                    kept[i] = df(x, result)
                    y[i] = result
            else:
                for i in range(size):
                    y[i] = f(y[i])
        else:
            x_array = array_at(job.buffer + op.source * scale * item_size, size, job.element)
            for i in range(size):
                y[i] = f(x_array[i])
            if job.goes_back:
                for i in range(size):
                    kept[i] = df(x_array[i], y[i])
        return True

    @named(f"own_{name}_row")
    def row(row, op):
        buffer = buffer_of(row)
        for i in range(op.positions * op.units):
            buffer[row.source + i] = f(buffer[row.source + i])
        return True

    return OpKind(
        name, _unit(forward, "op", content), kept_slope_backward, _unit(row, "row", content), is_activation=True,
        keeps_slope=True,
    )  # fmt: skip


def loss_unit_of(name: str, value: Any, slope: Any) -> Unit:
    """Build the unit of a loss: the mean over outputs of value(y, p), with slope(y, p) = d value / d p."""
    f, df = _as_inner(value), _as_inner(slope)

    @named(f"own_{name}")
    def loss(job, factor):
        item_size, scale = VECTOR_BYTES // lanes(buffer_of(job)), job.capacity * PANEL
        share = 1.0 / job.n_outputs
        total = 0.0
        for panel in range((job.n_samples + PANEL - 1) // PANEL * job.positions):
            weights = array_at(job.buffer + (job.weights * scale + panel * PANEL) * item_size, PANEL, job.element)
            for j in range(job.n_outputs):
                at = (panel * job.n_outputs + j) * PANEL
                p = array_at(job.buffer + (job.output * scale + at) * item_size, PANEL, job.element)
                y = array_at(job.buffer + (job.y.target * scale + at) * item_size, PANEL, job.element)
                delta = array_at(job.buffer + (job.delta * scale + at) * item_size, PANEL, job.element)
                row = 0.0
                for i in range(PANEL):
                    weight = weights[i]
                    # What fills up a panel weighs nothing, whatever the function makes of it.
                    row += f(y[i], p[i]) * weight if weight > 0.0 else 0.0
                    delta[i] = df(y[i], p[i]) * (weight * (factor * share)) if weight > 0.0 else 0.0
                total += row
        return total * share

    return _unit(loss, "loss", content_of(value, slope))


def update_unit_of(name: str, step: Any, n_slots: int) -> Unit:
    """Build the unit of an optimizer: (w, m_1, ...) = step(w, g, m_1, ..., rate, t) for each element, t from 1.

    Only what is trained is touched: a function may move a parameter whose gradient is 0.
    """
    f = _as_inner(step)

    # One loop for each number of slots: compiled code has no loops over arguments. Every array begins at the first
    # element that is updated, since an index that might be negative would keep a loop from becoming one over vectors.
    if n_slots == 0:

        @named(f"own_{name}_elements")
        def elements(w, g, m, v, u, n, rate, t):
            for i in range(n):
                w[i] = f(w[i], g[i], rate, t)

    elif n_slots == 1:

        @named(f"own_{name}_elements")
        def elements(w, g, m, v, u, n, rate, t):
            for i in range(n):
                w[i], m[i] = f(w[i], g[i], m[i], rate, t)

    elif n_slots == 2:

        @named(f"own_{name}_elements")
        def elements(w, g, m, v, u, n, rate, t):
            for i in range(n):
                w[i], m[i], v[i] = f(w[i], g[i], m[i], v[i], rate, t)

    else:

        @named(f"own_{name}_elements")
        def elements(w, g, m, v, u, n, rate, t):
            for i in range(n):
                w[i], m[i], v[i], u[i] = f(w[i], g[i], m[i], v[i], u[i], rate, t)

    update_elements = jit.inlined(elements)

    @named(f"own_{name}")
    def update(job, gradient, first, last):
        parameters, variables = parameters_of(job), variables_of(job)
        item_size = VECTOR_BYTES // lanes(parameters)
        # In the network's precision: one float64 would make the whole loop one of float64.
        rate, t = parameters.dtype.type(job.rate), parameters.dtype.type(job.step + 1)
        for variable_number in range(variables.size):
            variable = variables[variable_number]
            begin = max(variable.offset, first)
            n = min(variable.offset + variable.size, last) - begin
            if variable.is_trained and n > 0:
                at, slot = begin * item_size, job.parameter_stride * item_size
                w = array_at(job.parameters + at, n, job.element)
                g = array_at(gradient + at, n, job.element)
                m = array_at(job.moments + at, n, job.element)
                v = array_at(job.moments + at + slot, n, job.element)
                u = array_at(job.moments + at + 2 * slot, n, job.element)
                update_elements(w, g, m, v, u, n, rate, t)
        return True

    return _unit(update, "update", content_of(step))
