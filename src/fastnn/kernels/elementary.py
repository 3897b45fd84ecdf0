"""Elementary functions on vector registers, from exp to sqrt, in the precision of the vector.

Numba has no vector math library to call, so `math.exp` in a loop runs one element at a time (2.3 ns each where these
take about 0.2). Each function is a range reduction and a polynomial: no tables, no branches, NaN in gives NaN out.
"Error" below is the largest distance from the exact result over the whole range, in either precision, in units in the
last place (ulp) of the result; tests/kernels/test_elementary.py holds the functions to it. What would be denormal
becomes 0.

References
----------
.. [1] J.-M. Muller, "Elementary Functions: Algorithms and Implementation", 3rd ed., 2016, ch. 11.
.. [2] S. L. Moshier, Cephes Math Library 2.8: the rational approximations of erf (`ndtr.c`).
"""

from numba import types
from numba.extending import overload

from fastnn.kernels.jit import FLAGS, inlined
from fastnn.kernels.simd import (
    absolute,
    bits_of,
    copysign,
    float_of,
    fma,
    has_estimates,
    maximum,
    minimum,
    reciprocal_estimate,
    reciprocal_sqrt_estimate,
    select,
    sqrt,
)

_INLINE = {**FLAGS, "forceinline": True}

LOG2_E = 1.4426950408889634
LOG_2 = 0.6931471805599453
SQRT_HALF = 0.7071067811865476
INV_SQRT_2PI = 0.3989422804014327


def _by_precision(name, single, double):
    """Make one function that runs `single` on float32 vectors and `double` on float64 vectors."""

    def stub(x):
        raise NotImplementedError

    stub.__name__ = stub.__qualname__ = name

    @overload(stub, jit_options=_INLINE, strict=False)
    def choose(x):
        chosen = single if x.dtype == types.float32 else double

        def implementation(x):
            return chosen(x)

        return implementation

    return stub


# e^x = 2^n e^r with n = round(x / ln 2), so |r| <= ln(2) / 2, and e^r = 1 + r + r^2 q(r). The coefficients are those
# that interpolate (e^r - 1) / r at Chebyshev's points; the error of this polynomial is below 0.2 ulp.


@inlined
def _reduce_single(x):
    """Return (r, bits): float32, |x| < 2^21; the low bits hold n in two's complement."""
    # Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the significand [1]_.
    shifted = fma(x, LOG2_E, 12582912.0)
    n = shifted - 12582912.0
    r = fma(n, -0.693145751953125, x)  # ln 2 in two parts, the first with few bits, so that n * part is exact
    return fma(n, -1.428606765330187e-06, r), bits_of(shifted)


@inlined
def _reduce_double(x):
    shifted = fma(x, LOG2_E, 6755399441055744.0)
    n = shifted - 6755399441055744.0
    r = fma(n, -0.6931471803691238, x)
    return fma(n, -1.9082149292705877e-10, r), bits_of(shifted)


@inlined
def _q_single(r):
    q = fma(r, 1.393368586261717e-3, 8.369184382291962e-3)
    q = fma(r, q, 4.166646460202654e-2)
    q = fma(r, q, 1.666650493696360e-1)
    return fma(r, q, 0.5)


@inlined
def _q_double(r):
    q = fma(r, 2.510525953844849342e-8, 2.76264263765803328e-7)
    q = fma(r, q, 2.755725529796964439e-6)
    q = fma(r, q, 2.480150418083713825e-5)
    q = fma(r, q, 1.984126987490125923e-4)
    q = fma(r, q, 1.388888893261963515e-3)
    q = fma(r, q, 8.333333333326112053e-3)
    q = fma(r, q, 4.166666666657276769e-2)
    q = fma(r, q, 1.666666666666666710e-1)
    return fma(r, q, 0.5)


@inlined
def _exp_single(x):
    """Return e^x. Error: 1.5 ulp. Results below 2^-125.5 (x < -86.98 in float32) become 0."""
    r, bits = _reduce_single(minimum(maximum(x, -87.3), 89.0))
    p = fma(r, fma(r, _q_single(r), 1.0), 1.0)
    # 2^n as 2 * 2^(n - 1), whose exponent field is not yet that of infinity at n = 128 and already 0 at n = -126.
    return (p + p) * float_of((bits + 126) << 23)


@inlined
def _exp_double(x):
    r, bits = _reduce_double(minimum(maximum(x, -708.3), 709.9))
    p = fma(r, fma(r, _q_double(r), 1.0), 1.0)
    return (p + p) * float_of((bits + 1022) << 52)


exp = _by_precision("exp", _exp_single, _exp_double)


@inlined
def _expm1_single(x):
    """Return e^x - 1 = 2^n (e^r - 1) + (2^n - 1), relatively accurate near 0; x > 88 counts as 88. Error: 2.5 ulp."""
    r, bits = _reduce_single(minimum(maximum(x, -88.0), 88.0))
    power = float_of((bits + 127) << 23)
    return fma(power, fma(r * r, _q_single(r), r), power - 1.0)


@inlined
def _expm1_double(x):
    r, bits = _reduce_double(minimum(maximum(x, -709.0), 709.0))
    power = float_of((bits + 1023) << 52)
    return fma(power, fma(r * r, _q_double(r), r), power - 1.0)


expm1 = _by_precision("expm1", _expm1_single, _expm1_double)


@inlined
def _atanh_series_single(s):
    """Return 2 atanh(s) for |s| <= 1/3: the power series, relative error below 2e-8."""
    z = s * s
    p = fma(z, 1.0 / 15.0, 1.0 / 13.0)
    p = fma(z, p, 1.0 / 11.0)
    p = fma(z, p, 1.0 / 9.0)
    p = fma(z, p, 1.0 / 7.0)
    p = fma(z, p, 0.2)
    p = fma(z, p, 1.0 / 3.0)
    s2 = s + s
    return fma(s2 * z, p, s2)


@inlined
def _atanh_series_double(s):
    z = s * s
    p = fma(z, 1.0 / 35.0, 1.0 / 33.0)
    p = fma(z, p, 1.0 / 31.0)
    p = fma(z, p, 1.0 / 29.0)
    p = fma(z, p, 1.0 / 27.0)
    p = fma(z, p, 1.0 / 25.0)
    p = fma(z, p, 1.0 / 23.0)
    p = fma(z, p, 1.0 / 21.0)
    p = fma(z, p, 1.0 / 19.0)
    p = fma(z, p, 1.0 / 17.0)
    p = fma(z, p, 1.0 / 15.0)
    p = fma(z, p, 1.0 / 13.0)
    p = fma(z, p, 1.0 / 11.0)
    p = fma(z, p, 1.0 / 9.0)
    p = fma(z, p, 1.0 / 7.0)
    p = fma(z, p, 0.2)
    p = fma(z, p, 1.0 / 3.0)
    s2 = s + s
    return fma(s2 * z, p, s2)


_two_atanh = _by_precision("_two_atanh", _atanh_series_single, _atanh_series_double)


@inlined
def log1p(u):
    """Return ln(1 + u) for 0 <= u <= 1, relatively accurate near 0: 2 atanh(u / (2 + u)). Error: 2 ulp."""
    return _two_atanh(u / (u + 2.0))


@inlined
def _log_single(x):
    """Return ln(x) for normal x > 0, 2 ulp: x = 2^n m, m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m-1)/(m+1))."""
    bits = bits_of(x)
    # Subtracting the bits of sqrt(1/2) before taking the exponent centres m on 1.
    offset = bits - 0x3F3504F3
    m = float_of((offset & 0x007FFFFF) + 0x3F3504F3)
    # The exponent, which may be negative, becomes a float through the bits of 1.5 * 2^23 + n.
    n = float_of(((offset + 0x40000000) >> 23) + 0x4B400000) - 12583040.0
    return fma(n, LOG_2, _atanh_series_single((m - 1.0) / (m + 1.0)))


@inlined
def _log_double(x):
    bits = bits_of(x)
    offset = bits - 0x3FE6A09E667F3BCD
    m = float_of((offset & 0x000FFFFFFFFFFFFF) + 0x3FE6A09E667F3BCD)
    n = float_of(((offset + 0x4000000000000000) >> 52) + 0x4338000000000000) - 6755399441056768.0
    return fma(n, LOG_2, _atanh_series_double((m - 1.0) / (m + 1.0)))


log_of_positive = _by_precision("log_of_positive", _log_single, _log_double)


@inlined
def log(x):
    """Return ln(x) for normal x, 0, infinity and what is below 0. Error: 2 ulp."""
    y = select(x == 0.0, -float("inf"), log_of_positive(x))
    y = select(x == float("inf"), x, y)
    return select(x >= 0.0, y, float("nan"))


@inlined
def sigmoid(x):
    """Return 1 / (1 + e^-x), relatively accurate in both tails. Error: 3 ulp."""
    return 1.0 / (exp(-x) + 1.0)


@inlined
def softplus(x):
    """Return ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|). Error: 3 ulp."""
    return maximum(x, 0.0) + log1p(exp(-absolute(x)))


@inlined
def tanh(x):
    """Return tanh(x), odd to the bit: m / (m + 2) with m = e^2|x| - 1. Error: 2.5 ulp."""
    size = absolute(x)
    m = expm1(size + size)
    return copysign(m / (m + 2.0), x)


# sin(2 pi x): x less the nearest integer, mirrored at a quarter turn, is exact; Taylor's series takes the rest.


@inlined
def _folded(rest):
    """Return the angle from 0 to pi / 2 whose sine is that of |rest| turns, |rest| <= 1/2."""
    size = absolute(rest)
    return select(size > 0.25, maximum(0.5 - size, 0.0), size) * 6.283185307179586


@inlined
def _sine_series(angle, z, p):
    """Return the sine, given the sum of the series' terms behind angle^11 / 11!."""
    p = fma(z, p, -1.0 / 39916800.0)
    p = fma(z, p, 1.0 / 362880.0)
    p = fma(z, p, -1.0 / 5040.0)
    p = fma(z, p, 1.0 / 120.0)
    p = fma(z, p, -1.0 / 6.0)
    return fma(angle * z, p, angle)


@inlined
def _sine_of_turns_single(x):
    """Return sin(2 pi x), in any case from -1 to 1. Error: 2 ulp for |x| < 2^21 (float64: 2^50)."""
    rest = x - ((x + 12582912.0) - 12582912.0)
    angle = _folded(rest)
    return copysign(_sine_series(angle, angle * angle, 1.0 / 6227020800.0), rest)


@inlined
def _sine_of_turns_double(x):
    rest = x - ((x + 6755399441055744.0) - 6755399441055744.0)
    angle = _folded(rest)
    z = angle * angle
    p = fma(z, 1.0 / 51090942171709440000.0, -1.0 / 121645100408832000.0)
    p = fma(z, p, 1.0 / 355687428096000.0)
    p = fma(z, p, -1.0 / 1307674368000.0)
    p = fma(z, p, 1.0 / 6227020800.0)
    return copysign(_sine_series(angle, z, p), rest)


sine_of_turns = _by_precision("sine_of_turns", _sine_of_turns_single, _sine_of_turns_double)


# Square root and reciprocal off the divider, which they would occupy for 10 to 30 cycles a vector: an estimate and
# Newton steps, each of which doubles the 14 bits that are right.


@inlined
def _root_single(x):
    """Return sqrt(x) for 0 <= x < inf. Error: 2 ulp."""
    y = reciprocal_sqrt_estimate(maximum(x, 1e-37))  # of 0 it would be infinite
    root = x * y
    return fma(root * 0.5, fma(-root, y, 1.0), root)


@inlined
def _root_double(x):
    y = reciprocal_sqrt_estimate(maximum(x, 1e-300))
    root, half = x * y, 0.5 * y
    rest = fma(-root, half, 0.5)
    root, half = fma(root, rest, root), fma(half, rest, half)
    return fma(fma(-root, root, x), half, root)


@inlined
def _reciprocal_single(x):
    """Return 1 / x for normal finite x. Error: 2 ulp."""
    y = reciprocal_estimate(x)
    return fma(y, fma(-x, y, 1.0), y)


@inlined
def _reciprocal_double(x):
    y = reciprocal_estimate(x)
    y = fma(y, fma(-x, y, 1.0), y)
    return fma(y, fma(-x, y, 1.0), y)


@inlined
def _exact_reciprocal(x):
    return 1.0 / x


if has_estimates():
    root = _by_precision("root", _root_single, _root_double)
    reciprocal = _by_precision("reciprocal", _reciprocal_single, _reciprocal_double)
else:
    root, reciprocal = sqrt, _exact_reciprocal


@inlined
def erfc_scaled(x):
    """Return erfc(x) e^(x^2) for 1 <= x <= 8 (x is clamped at 8): P(x) / Q(x) [2]_. Error: 6 ulp."""
    x = minimum(x, 8.0)
    p = fma(x, 2.46196981473530512524e-10, 5.64189564831068821977e-1)
    p = fma(x, p, 7.46321056442269912687e0)
    p = fma(x, p, 4.86371970985681366614e1)
    p = fma(x, p, 1.96520832956077098242e2)
    p = fma(x, p, 5.26445194995477358631e2)
    p = fma(x, p, 9.34528527171957607540e2)
    p = fma(x, p, 1.02755188689515710272e3)
    p = fma(x, p, 5.57535335369399327526e2)
    q = fma(x, 1.0, 1.32281951154744992508e1)
    q = fma(x, q, 8.67072140885989742329e1)
    q = fma(x, q, 3.54937778887819891062e2)
    q = fma(x, q, 9.75708501743205489753e2)
    q = fma(x, q, 1.82390916687909736289e3)
    q = fma(x, q, 2.24633760818710981792e3)
    q = fma(x, q, 1.65666309194161350182e3)
    q = fma(x, q, 5.57535340817727675546e2)
    return p / q


@inlined
def erf_small(x):
    """Return erf(x) for |x| <= 1: x T(z) / U(z), z = x^2 [2]_. Error: 3 ulp."""
    z = x * x
    t = fma(z, 9.60497373987051638749e0, 9.00260197203842689217e1)
    t = fma(z, t, 2.23200534594684319226e3)
    t = fma(z, t, 7.00332514112805075473e3)
    t = fma(z, t, 5.55923013010394962768e4)
    u = fma(z, 1.0, 3.35617141647503099647e1)
    u = fma(z, u, 5.21357949780152679795e2)
    u = fma(z, u, 4.59432382970980127987e3)
    u = fma(z, u, 2.26290000613890934246e4)
    u = fma(z, u, 4.92673942608635921086e4)
    return x * (t / u)


@inlined
def normal_cdf_and_pdf(x):
    """Return (Phi(x), phi(x)) of the standard normal distribution. Errors: 10 and 4 ulp.

    Phi keeps its relative accuracy for x < 0 down to Phi(-11.3) = 7e-30.
    """
    x = maximum(minimum(x, 40.0), -40.0)  # the square of a large float32 would overflow
    scaled = x * SQRT_HALF
    size = absolute(scaled)
    # e^(-x^2 / 2) with the rounding error of x^2 put back: far out in the tail it would cost 100 ulp.
    square = x * x
    residual = fma(x, x, -square)
    density = exp(square * -0.5) * fma(residual, -0.5, 1.0)
    tail = 0.5 * (erfc_scaled(maximum(size, 1.0)) * density)
    outer = select(x < 0.0, tail, 1.0 - tail)
    cdf = select(size < 1.0, fma(erf_small(minimum(maximum(scaled, -1.0), 1.0)), 0.5, 0.5), outer)
    return cdf, density * INV_SQRT_2PI
