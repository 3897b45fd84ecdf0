"""Penalties on parameters: l1 sum |w| + l2 sum w^2 of each tensor, added to loss and gradient.

Jobs
----
- `add_penalties`: value and gradient on a range of the flat vectors

References
----------
.. [1] A. Krogh, J. A. Hertz, "A Simple Weight Decay Can Improve Generalization", NIPS 1991 (l2).
.. [2] R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", J. R. Stat. Soc. B 58(1), 1996 (l1).
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.simd import absolute, filled, fma, lanes, load, load_first, select, store, store_first, total
from fastnn.kernels.tables import Mode
from fastnn.kernels.units import update_unit
from fastnn.kernels.views import array_at, parameters_of, variables_of

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
