"""Metrics that are sums over samples, counted while a batch is in cache."""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.simd import absolute, filled, fma, lanes, load, maximum, select, total
from fastnn.kernels.tables import N_SUMS, Sum
from fastnn.kernels.units import step_unit
from fastnn.kernels.views import buffer_of, sums_of

CORRECT = int(Sum.CORRECT)
SQUARED_ERROR = int(Sum.SQUARED_ERROR)
ABSOLUTE_ERROR = int(Sum.ABSOLUTE_ERROR)


@inner
def _count_metrics(buffer, output, targets, weights, n_outputs, sums, at):
    """Add the panel's correct answers, squared and absolute errors, weighted by sample, to the sums from `at` on."""
    share = 1.0 / n_outputs
    for column in range(0, PANEL, lanes(buffer)):
        weight = load(buffer, weights + column)
        best_a, best_y = load(buffer, output + column), load(buffer, targets + column)
        index_a, index_y = filled(buffer, 0.0), filled(buffer, 0.0)
        squares, sizes = filled(buffer, 0.0), filled(buffer, 0.0)
        for j in range(n_outputs):
            i = j * PANEL + column
            a, y = load(buffer, output + i), load(buffer, targets + i)
            error = a - y
            squares = fma(error, error, squares)
            sizes = sizes + absolute(error)
            index_a = select(a > best_a, filled(buffer, j), index_a)
            index_y = select(y > best_y, filled(buffer, j), index_y)
            best_a, best_y = maximum(best_a, a), maximum(best_y, y)
        if n_outputs == 1:
            index_a, index_y = select(best_a > 0.5, 1.0, index_a), select(best_y > 0.5, 1.0, index_y)
        sums[at + CORRECT] += total(select(index_a == index_y, weight, 0.0))
        sums[at + SQUARED_ERROR] += total(squares * weight) * share
        sums[at + ABSOLUTE_ERROR] += total(sizes * weight) * share


@step_unit
def count_metrics(job):
    """Count the micro-batch's correct answers and errors."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL * job.positions):
        at = panel * job.n_outputs * PANEL
        weights = job.weights * scale + panel * PANEL
        _count_metrics(buffer, job.output * scale + at, job.y.target * scale + at, weights, job.n_outputs, sums_of(job),
                       job.thread * N_SUMS)  # fmt: skip
    return True
