"""Limits: on the gradient before an update, on the columns of kernels after it.

A thread works on its range of the flat vectors; where a limit looks at more than that, the team meets.

Jobs
----
- `clip_gradient`: by value, by the norm of each tensor, or by the norm of all
- `hold_norms`: every column of a kernel back to a largest norm

References
----------
.. [1] R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
.. [2] N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014,
       section 5.1 (max-norm).
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.simd import (
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
from fastnn.kernels.tables import Sum
from fastnn.kernels.team import wait_for_all

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


@inner
def _clip_by_value(gradient, first, last, limit):
    limit_v = filled(gradient, limit)
    for i in range(first, last, lanes(gradient)):
        store(gradient, i, maximum(minimum(load(gradient, i), limit_v), -limit_v))


@inner
def _clip_by_global_norm(gradient, sums, shared, thread, n_threads, first, last, limit):
    sums[thread, SQUARED_NORM] = _squared_norm(gradient, first, last)
    wait_for_all(shared, n_threads)
    squared_norm = 0.0
    for t in range(n_threads):
        squared_norm += sums[t, SQUARED_NORM]
    if squared_norm > limit * limit:
        _multiply(gradient, first, last, limit / squared_norm**0.5)


@inner
def _clip_by_norm(variables, gradient, shared, thread, n_threads, limit):
    """Clip whole tensors, each by one thread."""
    wait_for_all(shared, n_threads)
    for v in range(thread, variables.size, n_threads):
        begin = variables[v].offset
        end = begin + variables[v].size
        squared_norm = _squared_norm(gradient, begin, end)
        if squared_norm > limit * limit:
            _multiply(gradient, begin, end, limit / squared_norm**0.5)
    wait_for_all(shared, n_threads)


@inner
def clip_gradient(job, variables, gradient, sums, shared, thread, first, last):
    """Shorten the gradient as the job asks [1]_; the elements [first, last) are this thread's and are final."""
    if job.clip_value > 0.0:
        _clip_by_value(gradient, first, last, job.clip_value)
    elif job.clip_norm > 0.0:
        _clip_by_norm(variables, gradient, shared, thread, job.n_threads, job.clip_norm)
    elif job.global_clip_norm > 0.0:
        _clip_by_global_norm(gradient, sums, shared, thread, job.n_threads, first, last, job.global_clip_norm)


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


@inner
def hold_norms(job, variables, parameters, shared, thread):
    """Bring the incoming weights of every unit back to the largest norm of their kernel [2]_."""
    if not job.has_constraints:
        return
    wait_for_all(shared, job.n_threads)
    width = lanes(parameters)
    for v in range(variables.size):
        variable = variables[v]
        if variable.max_norm > 0.0:
            fan_in = variable.size // variable.units
            for column in range(thread * width, variable.units, job.n_threads * width):
                count = min(width, variable.units - column)
                _hold_columns(parameters, variable.offset, fan_in, variable.units, column, count, variable.max_norm)
    wait_for_all(shared, job.n_threads)
