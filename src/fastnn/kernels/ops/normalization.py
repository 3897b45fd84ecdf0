"""What layer and batch normalisation share.

Both end with gamma x_hat + beta, where gamma or beta may be absent, and keep x_hat for the backward pass. Reductions
over samples leave out the lanes that only fill up a panel.
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import counters, filled, fma, lanes, load, select, total
from fastnn.kernels.tile import ADD


@inlined
def valid(buffer, x, column, count):
    """x in the lanes of a panel's first `count` samples, else 0."""
    return select(counters(buffer, column) < count, x, 0.0)


@inner
def scale_of(parameters, op, unit):
    return parameters[op.weights + unit] if op.weights >= 0 else 1.0


@inner
def shift_of(parameters, op, unit):
    return parameters[op.bias + unit] if op.bias >= 0 else 0.0


@inner
def put(gradient, offset, value, start):
    gradient[offset] = gradient[offset] + value if start == ADD else value


@inlined
def samples_in(op, n_samples, panel):
    """How many samples panel number `panel` of the op's last axis holds; the positions of a panel have the same."""
    return min(PANEL, n_samples - panel // op.positions * PANEL)


@inner
def delta_sums(op, buffer, x_hat, delta, unit, n_samples):
    """Sums over samples and positions of delta and of delta * x_hat for one unit."""
    sums, products = filled(buffer, 0.0), filled(buffer, 0.0)
    for panel in range((n_samples + PANEL - 1) // PANEL * op.positions):
        count = samples_in(op, n_samples, panel)
        at = (panel * op.units + unit) * PANEL
        for column in range(0, PANEL, lanes(buffer)):
            d = valid(buffer, load(buffer, delta + at + column), column, count)
            sums = sums + d
            products = fma(d, load(buffer, x_hat + at + column), products)
    return total(sums), total(products)


@inner
def scale_and_shift(parameters, op, x_hat, unit):
    gamma = load(parameters, op.weights + unit) if op.weights >= 0 else filled(parameters, 1.0)
    beta = load(parameters, op.bias + unit) if op.bias >= 0 else filled(parameters, 0.0)
    return fma(x_hat, gamma, beta)
