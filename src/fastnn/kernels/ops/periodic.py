"""The periodic op: every feature becomes several, each a learned mixture of waves of it.

A feature has frequencies f. Its waves are cos(2 pi f x + phase) with a learned phase each; or every frequency has two,
cosine and sine. The feature's outputs are a linear map of the waves with a shift, and the feature itself may stand
before them. Angles count in turns. Cosine and sine of each wave are kept for the backward pass.
"""

import numpy as np

from fastnn.kernels.elementary import sine_of_turns
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.ops.common import panels_of
from fastnn.kernels.ops.normalization import put, samples_in, valid
from fastnn.kernels.simd import filled, fma, lanes, load, load_first, store, store_first, total
from fastnn.kernels.units import OpKind, op_unit, row_unit
from fastnn.kernels.views import buffer_of, details_of, gradient_of, parameters_of

DETAILS = np.dtype([
    ("n_frequencies", np.int64),  # of each feature
    ("n_waves", np.int64),
    ("frequencies", np.int64),  # where they begin among the parameters
    ("phases", np.int64),  # the same, in radians; -1: waves behind the first n_frequencies are sines
    ("n_kept", np.int64),  # 1: the feature itself is its first output; else 0
])  # fmt: skip
_details = details_of(DETAILS)
_TURN = 6.283185307179586


@inner
def _frequency(parameters, op, feature, wave):
    own = _details(op)
    return parameters[own.frequencies + feature * own.n_frequencies + wave % own.n_frequencies]


@inner
def _lead(parameters, op, feature, wave):
    """By how many turns a wave is ahead of a cosine."""
    own = _details(op)
    if own.phases >= 0:
        return parameters[own.phases + feature * own.n_waves + wave] * (1.0 / _TURN)
    return -0.25 if wave >= own.n_frequencies else 0.0


@op_unit
def periodic_forward(job, op):
    """target = shift + sum over waves of kernel * wave, behind the feature where it is kept."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    n_waves, n_kept, features = _details(op).n_waves, _details(op).n_kept, op.fan_in
    each = op.units // features
    learned = each - n_kept
    for panel in range(panels_of(job, op)):
        for feature in range(features):
            source = op.source * scale + (panel * features + feature) * PANEL
            waves = op.extra * scale + (panel * features + feature) * 2 * n_waves * PANEL
            target = op.target * scale + (panel * op.units + feature * each) * PANEL
            for wave in range(n_waves):
                frequency = filled(buffer, _frequency(parameters, op, feature, wave))
                lead = filled(buffer, _lead(parameters, op, feature, wave))
                for i in range(0, PANEL, lanes(buffer)):
                    turns = fma(load(buffer, source + i), frequency, lead)
                    store(buffer, waves + wave * PANEL + i, sine_of_turns(turns + 0.25))
                    store(buffer, waves + (n_waves + wave) * PANEL + i, sine_of_turns(turns))
            for i in range(0, n_kept * PANEL, lanes(buffer)):
                store(buffer, target + i, load(buffer, source + i))
            for j in range(learned):
                for i in range(0, PANEL, lanes(buffer)):
                    y = filled(buffer, parameters[op.bias + feature * learned + j])
                    for wave in range(n_waves):
                        weight = parameters[op.weights + (feature * n_waves + wave) * learned + j]
                        y = fma(load(buffer, waves + wave * PANEL + i), filled(buffer, weight), y)
                    store(buffer, target + (n_kept + j) * PANEL + i, y)
    return True


@inlined
def _slope(parameters, buffer, kernel, learned, delta, sine):
    """How the sum of delta * output changes with the angle of a wave; `kernel` is where its weights begin."""
    change = filled(buffer, 0.0)
    for j in range(learned):
        change = fma(load(buffer, delta + j * PANEL), filled(buffer, parameters[kernel + j]), change)
    return -(change * load(buffer, sine))


@inner
def _add_map_gradient(job, op):
    """Sums over samples and positions: of dy for the shift, of wave * dy for the kernel."""
    gradient, buffer, scale = gradient_of(job), buffer_of(job), job.capacity * PANEL
    n_waves, n_kept, features = _details(op).n_waves, _details(op).n_kept, op.fan_in
    each = op.units // features
    learned = each - n_kept
    for feature in range(features):
        for j in range(learned):
            for wave in range(n_waves):
                sums, products = filled(buffer, 0.0), filled(buffer, 0.0)
                for panel in range(panels_of(job, op)):
                    count = samples_in(op, job.n_samples, panel)
                    delta = job.delta * scale + (panel * op.units + feature * each + n_kept + j) * PANEL
                    waves = op.extra * scale + ((panel * features + feature) * 2 * n_waves + wave) * PANEL
                    for i in range(0, PANEL, lanes(buffer)):
                        d = valid(buffer, load(buffer, delta + i), i, count)
                        sums = sums + d
                        products = fma(d, load(buffer, waves + i), products)
                put(gradient, op.weights + (feature * n_waves + wave) * learned + j, total(products), job.start)
                if wave == 0:
                    put(gradient, op.bias + feature * learned + j, total(sums), job.start)


@inner
def _add_wave_gradient(job, op):
    """Sums over samples and positions: of the slope for a phase, of 2 pi x * slope for a frequency."""
    parameters, gradient, buffer = parameters_of(job), gradient_of(job), buffer_of(job)
    scale, own, features = job.capacity * PANEL, _details(op), op.fan_in
    each = op.units // features
    learned = each - own.n_kept
    for feature in range(features):
        for frequency in range(own.n_frequencies):
            products = filled(buffer, 0.0)
            for wave in range(frequency, own.n_waves, own.n_frequencies):
                sums, kernel = filled(buffer, 0.0), op.weights + (feature * own.n_waves + wave) * learned
                for panel in range(panels_of(job, op)):
                    count, at = samples_in(op, job.n_samples, panel), panel * features + feature
                    source = op.source * scale + at * PANEL
                    sine = op.extra * scale + ((at * 2 + 1) * own.n_waves + wave) * PANEL
                    delta = job.delta * scale + (panel * op.units + feature * each + own.n_kept) * PANEL
                    for i in range(0, PANEL, lanes(buffer)):
                        slope = _slope(parameters, buffer, kernel, learned, delta + i, sine + i)
                        slope = valid(buffer, slope, i, count)
                        sums = sums + slope
                        products = fma(slope, valid(buffer, load(buffer, source + i), i, count), products)
                if own.phases >= 0:
                    put(gradient, own.phases + feature * own.n_waves + wave, total(sums), job.start)
            at = own.frequencies + feature * own.n_frequencies + frequency
            put(gradient, at, total(products) * _TURN, job.start)


@op_unit
def periodic_backward(job, op):
    """Add to the gradients; dx = sum over waves of 2 pi f * slope, and dy where the feature is kept."""
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    n_waves, n_kept, features = _details(op).n_waves, _details(op).n_kept, op.fan_in
    each = op.units // features
    learned = each - n_kept
    if op.n_parameters > 0 and job.n_samples > 0:
        _add_map_gradient(job, op)
        _add_wave_gradient(job, op)
    if op.has_gradient_below:
        for panel in range(panels_of(job, op)):
            for feature in range(features):
                delta = job.delta * scale + (panel * op.units + feature * each) * PANEL
                below = job.other_delta * scale + (panel * features + feature) * PANEL
                sines = op.extra * scale + ((panel * features + feature) * 2 + 1) * n_waves * PANEL
                for i in range(0, PANEL, lanes(buffer)):
                    change = load(buffer, delta + i) if n_kept else filled(buffer, 0.0)
                    for wave in range(n_waves):
                        kernel = op.weights + (feature * n_waves + wave) * learned
                        at, sine = delta + n_kept * PANEL + i, sines + wave * PANEL + i
                        slope = _slope(parameters, buffer, kernel, learned, at, sine)
                        frequency = filled(buffer, _frequency(parameters, op, feature, wave) * _TURN)
                        change = fma(slope, frequency, change)
                    store(buffer, below + i, change)
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


@row_unit
def periodic_row(row, op):
    """The outputs of one feature after the other."""
    parameters, buffer = parameters_of(row), buffer_of(row)
    n_waves, n_kept, features = _details(op).n_waves, _details(op).n_kept, op.fan_in
    each = op.units // features
    learned = each - n_kept
    for position in range(op.positions):
        for feature in range(features):
            source, target = row.source + position * features + feature, row.target + position * op.units
            target += feature * each
            if n_kept:
                buffer[target] = buffer[source]
            x = filled(buffer, buffer[source])
            for j in range(0, learned, lanes(buffer)):
                count = min(lanes(buffer), learned - j)
                y = load_first(parameters, op.bias + feature * learned + j, count)
                for wave in range(n_waves):
                    frequency = filled(buffer, _frequency(parameters, op, feature, wave))
                    turns = fma(x, frequency, filled(buffer, _lead(parameters, op, feature, wave)))
                    at = op.weights + (feature * n_waves + wave) * learned + j
                    y = fma(sine_of_turns(turns + 0.25), load_first(parameters, at, count), y)
                store_first(buffer, target + n_kept + j, y, count)
    row.source, row.target = row.target, row.source
    return True


PERIODIC = OpKind(
    "periodic", periodic_forward, periodic_backward, periodic_row, details=DETAILS, minds_lengths=True
)  # fmt: skip
