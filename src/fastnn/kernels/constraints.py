"""Limits and penalties: on the gradient before an update, on the columns of kernels after it.

A thread works on its range of the flat vectors; where a limit looks at more than that, the team meets.

Jobs
----
- `clip_by_value`, `clip_by_norm`, `clip_by_global_norm`: the gradient of all threads, which is in the first one's
  vector
- `hold_norms`: every column of a kernel back to a largest norm
- `add_penalties`: l1 sum |w| + l2 sum w^2 of each tensor [3]_, [4]_, added to loss and gradient

References
----------
.. [1] R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
.. [2] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014,
       section 5.1 (max-norm).
.. [3] R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", J. R. Stat. Soc. B 58(1), 1996 (l1).
.. [4] A. Krogh, J. A. Hertz, "A Simple Weight Decay Can Improve Generalization", NIPS 1991 (l2).
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.layerwise import own_range
from fastnn.kernels.simd import (
    absolute,
    filled,
    fma,
    lanes,
    load,
    load_first,
    maximum,
    minimum,
    select,
    sqrt,
    store,
    store_first,
    total,
)
from fastnn.kernels.tables import N_SUMS, Mode, Sum
from fastnn.kernels.team import wait_for_all
from fastnn.kernels.units import step_unit, update_unit
from fastnn.kernels.views import array_at, gradients_of, parameters_of, shared_of, sums_of, variables_of

SQUARED_NORM = int(Sum.SQUARED_NORM)


@inner
def _squared_norm(vector, begin, end):
    squares = filled(vector, 0.0)
    for i in range(begin, end, lanes(vector)):
        x = load_first(vector, i, min(lanes(vector), end - i))
        squares = fma(x, x, squares)
    return total(squares)


@inner
def _multiply(vector, begin, end, factor):
    factor_v = filled(vector, factor)
    for i in range(begin, end, lanes(vector)):
        count = min(lanes(vector), end - i)
        store_first(vector, i, load_first(vector, i, count) * factor_v, count)


@step_unit
def clip_by_value(job):
    """Every element of the gradient to [-limit, limit]."""
    gradient = gradients_of(job)
    first, last = own_range(job)
    limit = filled(gradient, job.clip_limit)
    for i in range(first, last, lanes(gradient)):
        store(gradient, i, maximum(minimum(load(gradient, i), limit), -limit))
    return True


@step_unit
def clip_by_norm(job):
    """The gradient of each tensor to a norm of at most the limit [1]_; whole tensors, each by one thread."""
    gradient, variables, shared, limit = gradients_of(job), variables_of(job), shared_of(job), job.clip_limit
    if not wait_for_all(shared, job.n_threads):
        return False
    for v in range(job.thread, variables.size, job.n_threads):
        begin = variables[v].offset
        end = begin + variables[v].size
        squared_norm = _squared_norm(gradient, begin, end)
        if squared_norm > limit * limit:
            _multiply(gradient, begin, end, limit / squared_norm**0.5)
    return wait_for_all(shared, job.n_threads)


@step_unit
def clip_by_global_norm(job):
    """The whole gradient to a norm of at most the limit [1]_."""
    gradient, sums, limit = gradients_of(job), sums_of(job), job.clip_limit
    first, last = own_range(job)
    sums[job.thread * N_SUMS + SQUARED_NORM] = _squared_norm(gradient, first, last)
    if not wait_for_all(shared_of(job), job.n_threads):
        return False
    squared_norm = 0.0
    for thread in range(job.n_threads):
        squared_norm += sums[thread * N_SUMS + SQUARED_NORM]
    if squared_norm > limit * limit:
        _multiply(gradient, first, last, limit / squared_norm**0.5)
    return True


@inner
def _hold_columns(parameters, begin, fan_in, units, column, count, limit):
    """Scale `count` columns of a kernel, from number `column` on, to a norm of at most `limit`."""
    squares = filled(parameters, 0.0)
    at = begin + column
    for row in range(fan_in):
        w = load_first(parameters, at + row * units, count)
        squares = fma(w, w, squares)
    norm = sqrt(squares)
    limit_v = filled(parameters, limit)
    factor = select(norm > limit_v, limit_v / maximum(norm, limit_v), 1.0)
    for row in range(fan_in):
        w = load_first(parameters, at + row * units, count)
        store_first(parameters, at + row * units, w * factor, count)


@step_unit
def hold_norms(job):
    """Bring the incoming weights of every unit back to the largest norm of their kernel [2]_."""
    parameters, variables, shared = parameters_of(job), variables_of(job), shared_of(job)
    if not wait_for_all(shared, job.n_threads):
        return False
    width = lanes(parameters)
    for v in range(variables.size):
        variable = variables[v]
        if variable.max_norm > 0.0 and variable.is_trained:
            fan_in = variable.size // variable.units
            for column in range(job.thread * width, variable.units, job.n_threads * width):
                count = min(width, variable.units - column)
                _hold_columns(parameters, variable.offset, fan_in, variable.units, column, count, variable.max_norm)
    return wait_for_all(shared, job.n_threads)


EVALUATE = int(Mode.EVALUATE)


@inner
def _penalty(parameters, gradient, begin, end, l1, l2, scale, wants_gradient):
    """Return the penalty of the elements [begin, end) and add `scale` times its slope to the gradient."""
    width = lanes(parameters)
    magnitudes, squares, sign = filled(parameters, 0.0), filled(parameters, 0.0), filled(parameters, 0.0)
    slope_1, slope_2 = filled(parameters, scale * l1), filled(parameters, 2.0 * scale * l2)
    for line in range(begin // width * width, end, width):
        i = max(begin, line)
        count = min(end, line + width) - i  # tensors neither start nor end at whole lines
        w = load(parameters, i) if count == width else load_first(parameters, i, count)
        squares = fma(w, w, squares)
        if l1 != 0.0:
            magnitudes = magnitudes + absolute(w)
            # The subgradient of |w| at 0 is 0.
            sign = select(w > 0.0, slope_1, select(w < 0.0, -slope_1, 0.0))
        if wants_gradient:
            if count == width:
                store(gradient, i, fma(slope_2, w, load(gradient, i) + sign))
            else:
                store_first(gradient, i, fma(slope_2, w, load_first(gradient, i, count) + sign), count)
    return l1 * total(magnitudes) + l2 * total(squares)


@update_unit
def add_penalties(job, gradient, first, last):
    """Add the penalties of the whole lines [first, last) to the job's, and their slopes to the gradient.

    An evaluation has no gradient.
    """
    parameters, variables = parameters_of(job), variables_of(job)
    slopes = array_at(gradient, last, job.element)
    scale = job.penalty_scale
    for v in range(variables.size):
        variable = variables[v]
        begin, end = max(variable.offset, first), min(variable.offset + variable.size, last)
        if begin < end and (variable.l1 != 0.0 or variable.l2 != 0.0):
            job.penalty_sum += scale * _penalty(parameters, slopes, begin, end, variable.l1, variable.l2, scale,
                                                job.mode != EVALUATE)  # fmt: skip
    return True
