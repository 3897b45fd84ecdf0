"""Random numbers as pure functions of a key and a counter: no state, so no order of evaluation to depend on.

Jobs
----
- `mix`: one 64-bit key from several integers (SplitMix64's finaliser); `step_key`: that of a step and something in it
- `uniform`: a vector of uniforms in [0, 1) for consecutive counters under a key
- `normal`, `normal_pair`: a vector of standard normal numbers, or two
- `symmetric_beta`: one number between 0 and 1
- `permute`, `shuffle`: a permutation of row numbers for (seed, epoch)

Dropout draws for (seed, step, layer, unit, position in the batch), so its mask is the same however the batch is cut
over panels and threads. The idea is that of J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011; the 32-bit mixer is C. Wellons' `lowbias32` (hash-prospector, 2018), the 64-bit one G. L. Steele, D. Lea and
C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

import math

import numpy as np

from fastnn.kernels.elementary import log_of_positive
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.simd import counters, filled, fma, select, sqrt, unit_interval

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@inner
def mix(key, value):
    """Fold one more integer into a 64-bit key."""
    z = np.uint64(key) ^ (np.uint64(value) + _GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@inner
def step_key(job, key):
    """The key of all random numbers that one thing, such as an op, draws in this step; `key` is its own number."""
    return mix(mix(job.seed, job.step), key)


@inner
def uniform(array, key, counter):
    """Uniforms in [0, 1), as many as a vector of the array's dtype has lanes, for counter, counter + 1, ..."""
    low = np.int64(key & np.uint64(0x7FFFFFFF))
    x = counters(array, np.int64(counter)) * 0x9E3779B1 + low
    x = x ^ (x >> 16)
    x = x * 0x21F0AAAD
    x = x ^ (x >> 15)
    x = x ^ np.int64((key >> np.uint64(32)) & np.uint64(0x7FFFFFFF))
    x = x * 0xD35A2D97
    x = x ^ (x >> 15)
    return unit_interval(array, x)


@inner
def keep_scale(array, key, counter, rate):
    """Inverted dropout's factor for consecutive samples: 0 with probability `rate`, else 1 / (1 - rate)."""
    kept = filled(array, 1.0 / (1.0 - rate))
    return select(uniform(array, key, counter) >= rate, kept, 0.0)


@inner
def normal_pair(array, key, counter):
    """Two vectors of standard normal numbers, all independent: Box and Muller's transform (at most 5.8 from 0).

    The second uniform is a turn: sine and cosine of at most a quarter of one, to 5e-8 by polynomials through
    Chebyshev's points, and in its upper half the cosine's sign turned over.
    """
    u, v = uniform(array, key, counter), uniform(array, mix(key, 1), counter)
    radius = sqrt(log_of_positive(1.0 - u) * -2.0)
    is_left = v >= 0.5
    turn = select(is_left, v - 0.75, v - 0.25)
    z = turn * turn
    s = fma(z, 39.75982708671109, -76.58117264447303)
    s = fma(z, s, 81.60247636893371)
    s = fma(z, s, -41.34168061334662)
    s = fma(z, s, 6.283185280154407)
    c = fma(z, 56.23870043500723, -85.23987025836429)
    c = fma(z, c, 64.93457265220023)
    c = fma(z, c, -19.73917120995782)
    c = fma(z, c, 0.9999999530275123)
    return select(is_left, -radius, radius) * c, radius * (turn * s)


@inner
def normal(array, key, counter):
    """A vector of such numbers for counter, counter + 1, ..."""
    return normal_pair(array, key, counter)[0]


@inner
def _scalar_uniform(key, counter):
    """A float64 in (0, 1)."""
    return (float(mix(key, counter) >> np.uint64(11)) + 0.5) * 2.0**-53


@inner
def symmetric_beta(key, alpha):
    """A number with the distribution Beta(alpha, alpha).

    For alpha <= 1 M. D. Joehnk's rejection, in logarithms, since a power of a small uniform may be 0; above that G.
    Ulrich's closed form (both in L. Devroye, "Non-Uniform Random Variate Generation", 1986, sections IX.3 and IX.4).
    """
    if alpha > 1.0:
        radius = (1.0 - _scalar_uniform(key, 0) ** (2.0 / (2.0 * alpha - 1.0))) ** 0.5
        return 0.5 * (1.0 + radius * math.cos(2.0 * math.pi * _scalar_uniform(key, 1)))
    draw = 0
    while True:
        x = math.log(_scalar_uniform(key, draw)) / alpha
        y = math.log(_scalar_uniform(key, draw + 1)) / alpha
        draw += 2
        largest = max(x, y)
        log_sum = largest + math.log(math.exp(x - largest) + math.exp(y - largest))
        if log_sum <= 0.0:
            return math.exp(x - log_sum)


@inner
def permute(order, seed, epoch):
    """Fill `order` with a permutation of 0 .. n-1: Fisher and Yates' shuffle, a pure function of (seed, epoch)."""
    n = order.size
    for i in range(n):
        order[i] = i
    key = mix(seed, epoch)
    for i in range(n - 1, 0, -1):
        draw = mix(key, i) >> np.uint64(32)
        # Lemire's multiply-shift instead of a modulo; its bias is below n / 2^32.
        j = np.int64((draw * np.uint64(i + 1)) >> np.uint64(32))
        order[i], order[j] = order[j], order[i]


@kernel
def shuffle(order, seed, epoch):
    """`permute`, for Python."""
    permute(order, seed, epoch)
