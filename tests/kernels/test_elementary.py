"""The elementary functions against higher precision, over their whole range, with the errors that they promise.

float32 is compared with NumPy's and SciPy's float64 at many points, float64 with mpmath at fewer.
"""

import mpmath
import numpy as np
import pytest
import scipy.special as sp

from fastnn.kernels import elementary
from fastnn.kernels.ops.activation import _mish
from fastnn.kernels.simd import lanes, load, store
from support import rng, test_kernel


@test_kernel
def apply(code, x, y):
    """y = function number `code` of x; numbers as in FUNCTIONS."""
    for i in range(0, x.size, lanes(x)):
        v = load(x, i)
        if code == 0:
            store(y, i, elementary.exp(v))
        elif code == 1:
            store(y, i, elementary.log(v))
        elif code == 2:
            store(y, i, elementary.log1p(v))
        elif code == 3:
            store(y, i, elementary.sigmoid(v))
        elif code == 4:
            store(y, i, elementary.softplus(v))
        elif code == 5:
            store(y, i, elementary.tanh(v))
        elif code == 6:
            store(y, i, elementary.erf_small(v))
        elif code == 7:
            store(y, i, elementary.erfc_scaled(v))
        elif code == 8:
            store(y, i, elementary.normal_cdf_and_pdf(v)[0])
        elif code == 9:
            store(y, i, elementary.normal_cdf_and_pdf(v)[1])
        elif code == 10:
            store(y, i, elementary.expm1(v))
        elif code == 11:
            store(y, i, elementary.root(v))
        elif code == 12:
            store(y, i, elementary.reciprocal(v))
        elif code == 13:
            store(y, i, _mish(v)[0])
        elif code == 15:
            store(y, i, elementary.sine_of_turns(v))
        else:
            store(y, i, _mish(v)[1])


def _sine_of_turns(x):
    """sin(2 pi x), without what 2 pi loses."""
    rest = x - np.round(x)
    return np.copysign(np.sin(2 * np.pi * np.minimum(np.abs(rest), 0.5 - np.abs(rest))), rest)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class Function:
    """A function with its references, the range where its error is promised, and that error in ulps."""

    def __init__(self, code, double, exact, ranges, ulps):
        self.code, self.double, self.exact, self.ranges, self.ulps = code, double, exact, ranges, ulps

    def __call__(self, x):
        """Evaluate at any number of points of either dtype."""
        padded = np.concatenate([x, np.ones(-x.size % 16, x.dtype)])
        y = np.empty_like(padded)
        apply(self.code, padded, y)
        return y[: x.size]


def _mish_slope(z):
    """tanh(softplus(z)) + z sigmoid(z) / cosh(softplus(z))^2."""
    s = np.minimum(_softplus(z), 300.0)
    return np.tanh(s) + np.minimum(z, 300.0) * sp.expit(z) / np.cosh(s) ** 2


def both(low, high):
    return {"float32": (low, high), "float64": (low, high)}


WHOLE_EXP = {"float32": (-86.98, 88.722), "float64": (-708.0, 709.78)}
LOGARITHMIC = {"float32": (1.2e-38, 3.4e38), "float64": (2.3e-308, 1.7e308)}
POSITIVE = {"float32": (1e-37, 1e37), "float64": (1e-300, 1e300)}
EXPM1 = {"float32": (-200.0, 88.0), "float64": (-800.0, 709.0)}
TAILS = {"float32": (-13.0, 13.0), "float64": (-37.0, 37.0)}  # where the density is a normal number

# The last number is the promised error in ulps of the result: the largest seen in either precision, rounded up. The
# docstrings in kernels/elementary.py state the same.
FUNCTIONS = {
    "exp": Function(0, np.exp, mpmath.exp, WHOLE_EXP, 1.5),
    "log": Function(1, np.log, mpmath.log, LOGARITHMIC, 2),
    "log1p": Function(2, np.log1p, mpmath.log1p, both(0.0, 1.0), 2),
    "sigmoid": Function(3, sp.expit, lambda x: 1 / (1 + mpmath.exp(-x)), WHOLE_EXP, 3),
    "softplus": Function(4, _softplus, lambda x: mpmath.log1p(mpmath.exp(x)), WHOLE_EXP, 3),
    "tanh": Function(5, np.tanh, mpmath.tanh, both(-30.0, 30.0), 2.5),
    "erf_small": Function(6, sp.erf, mpmath.erf, both(-1.0, 1.0), 3),
    "erfc_scaled": Function(7, sp.erfcx, lambda x: mpmath.erfc(x) * mpmath.exp(x * x), both(1.0, 8.0), 6),
    "normal_cdf": Function(8, sp.ndtr, mpmath.ncdf, both(-11.3, 37.0), 10),
    "normal_pdf": Function(9, lambda x: np.exp(-x * x / 2) / np.sqrt(2 * np.pi), mpmath.npdf, TAILS, 4),
    "expm1": Function(10, np.expm1, mpmath.expm1, EXPM1, 2.5),
    "root": Function(11, np.sqrt, mpmath.sqrt, POSITIVE, 2),
    "reciprocal": Function(12, np.reciprocal, lambda x: 1 / x, POSITIVE, 2),
    "mish": Function(
        13,
        lambda z: z * np.tanh(_softplus(z)),
        lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
        {"float32": (-84.0, 1e38), "float64": (-700.0, 1e300)},
        4,
    ),
    "sine_of_turns": Function(15, _sine_of_turns, lambda x: mpmath.sinpi(2 * x), both(-30.0, 30.0), 2),
}


def points(function, dtype, n):
    """Evenly over the range, around 0 or 1 on a logarithmic scale, and the ends."""
    low, high = function.ranges[dtype]
    generator = rng(0)
    small = 10.0 ** generator.uniform(-30, 0, n // 4) * generator.choice([-1, 1], n // 4)
    parts = [generator.uniform(low, high, n // 4), generator.normal(size=n // 4), small, [low, high]]
    if low > 0 and high > 1e30:
        parts[0] = np.exp(generator.uniform(np.log(low), np.log(high), n // 2))
        parts[2] = 1 + small
    x = np.concatenate(parts).astype(dtype)
    return x[(x >= low) & (x <= high)]


def error_in_ulps(dtype, y, exact):
    spacing = np.spacing(np.maximum(np.abs(exact).astype(dtype), np.finfo(dtype).tiny))
    return np.abs(y.astype(exact.dtype) - exact) / spacing.astype(exact.dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_error(name):
    function = FUNCTIONS[name]
    x = points(function, "float32", 400_000)
    error = error_in_ulps("float32", function(x), function.double(x.astype(float)))
    assert error.max() <= function.ulps, f"{error.max():.3f} ulp at {x[error.argmax()]!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_error(name):
    function = FUNCTIONS[name]
    x = points(function, "float64", 4000)
    y = function(x)
    with mpmath.workdps(40):
        exact = [function.exact(mpmath.mpf(float(v))) for v in x]
        rounded = np.array([float(v) for v in exact])
        rest = np.array([float(mpmath.mpf(float(v)) - e) for v, e in zip(y, exact, strict=True)])
    error = np.abs(rest) / np.spacing(np.maximum(np.abs(rounded), np.finfo(float).tiny))
    assert error.max() <= function.ulps, f"{error.max():.3f} ulp at {x[error.argmax()]!r}"


NAN, INF = np.nan, np.inf
SPECIAL = {
    "exp": {0.0: 1.0, INF: INF, -INF: 0.0, 1e4: INF, -1e4: 0.0},
    "log": {1.0: 0.0, 0.0: -INF, INF: INF, -INF: NAN, -1.0: NAN},
    "log1p": {0.0: 0.0},
    "sigmoid": {0.0: 0.5, INF: 1.0, -INF: 0.0, 1e4: 1.0, -1e4: 0.0},
    "softplus": {INF: INF, -INF: 0.0, 1e4: 1e4, -1e4: 0.0},
    "tanh": {0.0: 0.0, INF: 1.0, -INF: -1.0, 1e30: 1.0, -1e30: -1.0},
    "erf_small": {0.0: 0.0},
    "erfc_scaled": {},
    "normal_cdf": {0.0: 0.5, INF: 1.0, -INF: 0.0, 1e30: 1.0, -1e30: 0.0},
    "normal_pdf": {INF: 0.0, -INF: 0.0, 1e30: 0.0, -1e30: 0.0},
    "expm1": {0.0: 0.0, -INF: -1.0, -1e30: -1.0},
    "root": {0.0: 0.0, 1.0: 1.0, 4.0: 2.0},
    "reciprocal": {1.0: 1.0, 2.0: 0.5},
    "sine_of_turns": {0.0: 0.0, 0.5: 0.0, -3.0: 0.0, 1e30: 0.0, INF: NAN},
    "mish": {0.0: 0.0, INF: INF, 1e30: 1e30, 50.0: 50.0, -1e4: 0.0},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, dtype):
    arguments = {**SPECIAL[name], NAN: NAN}
    x = np.array(list(arguments), dtype)
    np.testing.assert_array_equal(FUNCTIONS[name](x), np.array(list(arguments.values()), dtype))
    if 0.0 in arguments:
        assert FUNCTIONS[name](np.array([-0.0], dtype))[0] == arguments[0.0]


def test_slope_of_mish(dtype):
    """It crosses 0, so its error is measured in units of 1."""
    z = np.concatenate([np.linspace(-90, 90, 40_001), rng(0).normal(size=40_000), [-1e30, 1e30]]).astype(dtype)
    slope = Function(14, None, None, None, None)(z)
    assert np.abs(slope - _mish_slope(z.astype(float))).max() <= 8 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "exp"])
def test_monotone_functions_are_monotone_where_branches_meet(name, dtype):
    """At the seams, to within the promised error: no step back of more than that."""
    function = FUNCTIONS[name]
    seams = np.array([0.0, 0.625, -0.625, 0.34657359, -0.34657359, 1.0397208, -1.0397208], dtype)
    for seam in seams:
        x = seam + np.arange(-200, 200).astype(dtype) * max(np.spacing(abs(seam)), np.finfo(dtype).tiny)
        y = function(np.sort(x))
        assert (np.diff(y) >= -2 * function.ulps * np.spacing(np.abs(y[1:]))).all()


def test_results_too_small_to_be_normal_are_zero(dtype):
    low, high = {"float32": (-104.0, -88.0), "float64": (-745.0, -709.0)}[dtype]
    x = np.linspace(low, high, 1000).astype(dtype)
    for name in ("exp", "softplus"):
        np.testing.assert_array_equal(FUNCTIONS[name](x), 0.0)
    assert FUNCTIONS["sigmoid"](x).max() < np.finfo(dtype).tiny  # 0 in kernels: the processor flushes a quotient
