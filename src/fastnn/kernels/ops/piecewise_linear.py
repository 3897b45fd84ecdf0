"""The piecewise-linear op: every feature becomes several, each a learned piecewise-linear function of it.

A feature has bins, which meet at edges. Its encoding is one number a bin: how far through the bin x has come, from 0 to
1, and without end below the first bin and above the last. The feature's outputs are a linear map of these numbers, with
a shift. What is kept for the backward pass is the place within each bin before it is limited, which also tells whether
x lies in the bin.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.ops.normalization import put, samples_in, valid
from fastnn.kernels.simd import (
    filled,
    fma,
    lanes,
    load,
    load_first,
    maximum,
    minimum,
    select,
    store,
    store_first,
    total,
)
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of

DETAILS = np.dtype([
    ("n_bins", np.int64),  # of each feature
    ("state", np.int64),  # where the edges lie in the parameter buffer: n_bins + 1 of each feature
])  # fmt: skip
_details = details_of(DETAILS)


@inner
def _inverse_width(parameters, at):
    """1 / the width of the bin that begins with edge number `at`; 0 where the edges have become one number."""
    width = parameters[at + 1] - parameters[at]
    return 1.0 / width if width > 0.0 else 0.0 * width


@inlined
def _limited(place, number, n_bins):
    """The place within a bin as the map takes it."""
    place = place if number == 0 else maximum(place, 0.0)
    return place if number == n_bins - 1 else minimum(place, 1.0)


@op_unit
def piecewise_linear_forward(job, op):
    """target = shift + sum over bins of kernel * place in the bin."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    n_bins, edges, features = _details(op).n_bins, _details(op).state, op.fan_in
    each = op.units // features
    for panel in range(panels_of(job, op)):
        for feature in range(features):
            source = op.source * scale + (panel * features + feature) * PANEL
            places = op.extra * scale + (panel * features + feature) * n_bins * PANEL
            target = op.target * scale + (panel * op.units + feature * each) * PANEL
            for number in range(n_bins):
                at = edges + feature * (n_bins + 1) + number
                low, inverse = filled(buffer, parameters[at]), filled(buffer, _inverse_width(parameters, at))
                for i in range(0, PANEL, lanes(buffer)):
                    store(buffer, places + number * PANEL + i, (load(buffer, source + i) - low) * inverse)
            for j in range(each):
                for i in range(0, PANEL, lanes(buffer)):
                    y = filled(buffer, parameters[op.bias + feature * each + j])
                    for number in range(n_bins):
                        weight = parameters[op.weights + (feature * n_bins + number) * each + j]
                        place = load(buffer, places + number * PANEL + i)
                        y = fma(_limited(place, number, n_bins), filled(buffer, weight), y)
                    store(buffer, target + j * PANEL + i, y)
    return True


@inner
def _add_gradient(job, op):
    """Sums over samples and positions: of dy for the shift, of place * dy for the kernel."""
    gradient, buffer, scale = gradient_of(job), buffer_of(job), job.capacity * PANEL
    n_bins, features = _details(op).n_bins, op.fan_in
    each = op.units // features
    for unit in range(op.units):
        feature = unit // each
        for number in range(n_bins):
            sums, products = filled(buffer, 0.0), filled(buffer, 0.0)
            for panel in range(panels_of(job, op)):
                count = samples_in(op, job.n_samples, panel)
                delta = job.delta * scale + (panel * op.units + unit) * PANEL
                places = op.extra * scale + ((panel * features + feature) * n_bins + number) * PANEL
                for i in range(0, PANEL, lanes(buffer)):
                    d = valid(buffer, load(buffer, delta + i), i, count)
                    place = valid(buffer, load(buffer, places + i), i, count)
                    sums = sums + d
                    products = fma(d, _limited(place, number, n_bins), products)
            at = op.weights + (feature * n_bins + number) * each + unit - feature * each
            put(gradient, at, total(products), job.start)
            if number == 0:
                put(gradient, op.bias + unit, total(sums), job.start)


@op_unit
def piecewise_linear_backward(job, op):
    """Add to the gradient of kernel and shift; dx = sum of kernel * dy of the bin that x lies in, over its width."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    n_bins, edges, features = _details(op).n_bins, _details(op).state, op.fan_in
    each = op.units // features
    if op.n_parameters > 0 and job.n_samples > 0:
        _add_gradient(job, op)
    if op.has_gradient_below:
        nothing = filled(buffer, 0.0)
        for panel in range(panels_of(job, op)):
            for feature in range(features):
                delta = job.delta * scale + (panel * op.units + feature * each) * PANEL
                below = job.other_delta * scale + (panel * features + feature) * PANEL
                places = op.extra * scale + (panel * features + feature) * n_bins * PANEL
                for i in range(0, PANEL, lanes(buffer)):
                    slope = nothing
                    for number in range(n_bins):
                        at = op.weights + (feature * n_bins + number) * each
                        change = nothing
                        for j in range(each):
                            weight = filled(buffer, parameters[at + j])
                            change = fma(load(buffer, delta + j * PANEL + i), weight, change)
                        inverse = _inverse_width(parameters, edges + feature * (n_bins + 1) + number)
                        change = change * filled(buffer, inverse)
                        place = load(buffer, places + number * PANEL + i)
                        if number > 0:
                            change = select(place >= 0.0, change, nothing)
                        if number < n_bins - 1:
                            change = select(place < 1.0, change, nothing)
                        slope = slope + change
                    store(buffer, below + i, slope)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def piecewise_linear_row(row, op):
    """The outputs of one feature after the other."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    n_bins, edges, features = _details(op).n_bins, _details(op).state, op.fan_in
    each = op.units // features
    for position in range(op.positions):
        for feature in range(features):
            x = filled(buffer, buffer[row.source + position * features + feature])
            target = row.target + position * op.units + feature * each
            for j in range(0, each, lanes(buffer)):
                count = min(lanes(buffer), each - j)
                y = load_first(parameters, op.bias + feature * each + j, count)
                for number in range(n_bins):
                    at = edges + feature * (n_bins + 1) + number
                    low, inverse = filled(buffer, parameters[at]), filled(buffer, _inverse_width(parameters, at))
                    weights = load_first(parameters, op.weights + (feature * n_bins + number) * each + j, count)
                    y = fma(_limited((x - low) * inverse, number, n_bins), weights, y)
                store_first(buffer, target + j, y, count)
    row.source, row.target = row.target, row.source
    return True


PIECEWISE_LINEAR = OpKind(
    "piecewise linear", piecewise_linear_forward, piecewise_linear_backward, piecewise_linear_row, details=DETAILS
)  # fmt: skip
