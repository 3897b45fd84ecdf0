"""Penalties on parameters: l1 sum |w| + l2 sum w^2 of each tensor, added to loss and gradient.

Jobs
----
- `add_penalties`: value and gradient on one thread's range of the flat vectors

References
----------
.. [1] A. Krogh, J. A. Hertz, "A Simple Weight Decay Can Improve Generalization", NIPS 1991 (l2).
.. [2] R. Tibshirani, "Regression Shrinkage and Selection via the Lasso", J. R. Stat. Soc. B 58(1), 1996 (l1).
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.simd import absolute, filled, fma, lanes, load_first, select, store_first, total


@inner
def _penalty(parameters, gradient, begin, end, l1, l2, scale, wants_gradient):
    """Return the penalty of the elements [begin, end) and add `scale` times its slope to the gradient."""
    values = filled(parameters, 0.0)
    l1_v, l2_v = filled(parameters, l1), filled(parameters, l2)
    slope_1, slope_2 = filled(parameters, scale * l1), filled(parameters, 2.0 * scale * l2)
    for i in range(begin, end, lanes(parameters)):
        count = min(lanes(parameters), end - i)  # tensors neither start nor end at whole vectors
        w = load_first(parameters, i, count)
        values = values + absolute(w) * l1_v + w * w * l2_v
        if wants_gradient:
            # The subgradient of |w| at 0 is 0.
            sign = select(w > 0.0, slope_1, select(w < 0.0, -slope_1, 0.0))
            store_first(gradient, i, fma(slope_2, w, load_first(gradient, i, count)) + sign, count)
    return total(values)


@inner
def add_penalties(variables, parameters, gradient, first, last, scale, wants_gradient):
    """Return `scale` times the penalties of the elements [first, last); with `wants_gradient` add their slopes."""
    penalty = 0.0
    for v in range(variables.size):
        variable = variables[v]
        if variable.l1 != 0.0 or variable.l2 != 0.0:
            begin, end = max(variable.offset, first), min(variable.offset + variable.size, last)
            penalty += _penalty(parameters, gradient, begin, end, variable.l1, variable.l2, scale, wants_gradient)
    return penalty * scale
