"""Activations as the linear maps that they are near a point: for the gradient of a gradient.

Of a network of products and piecewise-linear activations, the gradient by the inputs is a product of its weights, with
factors that stay constant near a point. A direction that is sent through those factors, by these ops in place of the
activations and without biases, gives with the usual backward pass the gradient by the weights of (direction, gradient)
[1]_. The factors are those of another workspace, of the same plan and size, where the activations of the point lie.

References
----------
.. [1] B. A. Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6(1), 1994.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import named
from fastnn.kernels.ops.activation import leaky_relu_slope, relu_slope
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.simd import VECTOR_BYTES, filled, lanes, load, store
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import array_at, buffer_of, details_of

DETAILS = np.dtype([("kept", np.int64)])  # the address of the other workspace's buffers, of all threads
_details = details_of(DETAILS)


def _tangent(name, slope):
    """Build the op that multiplies by the slope of an activation, which follows from its output."""

    @op_unit
    @named(f"{name}_tangent_forward")
    def forward(job, op):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        item_size = VECTOR_BYTES // lanes(buffer)
        kept = array_at(_details(op).kept + job.thread * job.buffer_size * item_size, job.buffer_size, job.element)
        source, target = op.source * scale, op.target * scale
        value = filled(buffer, op.value)
        for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
            store(buffer, target + i, load(buffer, source + i) * slope(load(kept, target + i), value))
        return True

    @op_unit
    @named(f"{name}_tangent_backward")
    def backward(job, op):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        item_size = VECTOR_BYTES // lanes(buffer)
        kept = array_at(_details(op).kept + job.thread * job.buffer_size * item_size, job.buffer_size, job.element)
        output, delta = op.target * scale, job.delta * scale
        value = filled(buffer, op.value)
        for i in range(0, panels_of(job, op) * op.units * PANEL, lanes(buffer)):
            store(buffer, delta + i, load(buffer, delta + i) * slope(load(kept, output + i), value))
        return True

    return OpKind(f"{name}_tangent", forward, backward, None, details=DETAILS)


TANGENTS = {"relu": _tangent("relu", relu_slope), "leaky_relu": _tangent("leaky_relu", leaky_relu_slope)}
