"""Mixup: every sample and its target blended with another sample of the batch.

A sample's partner is another sample of its panel of 32, some places further on, so that blending is a rotation of
lanes; in a shuffled batch that is as random as any other. The weight and the rotations depend on (seed, step) and the
place in the batch alone, not on how the batch is cut.

Jobs
----
- `mix_samples`: features and targets of a micro-batch, in place

References
----------
.. [1] H. Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, section 2.
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.random import mix, step_key, symmetric_beta
from fastnn.kernels.simd import filled, fma, lanes, load, store
from fastnn.kernels.units import step_unit
from fastnn.kernels.views import buffer_of

_KEY = 0x6D69787570  # of its random numbers; no layer has this key


@inner
def _weight(job):
    """Draw lambda from Beta(alpha, alpha), one for the batch."""
    return symmetric_beta(step_key(job, _KEY), job.mixup_alpha)


@inner
def _mix_panels(job, buffer, at, width, first_sample, n_samples, weight, scratch):
    """x = weight * x + (1 - weight) * (the partner's x) for `width` rows of the panels of `n_samples` samples."""
    key = mix(step_key(job, _KEY), 1)
    weight_v, rest = filled(buffer, weight), filled(buffer, 1.0 - weight)
    for first in range(0, n_samples, PANEL):
        count = min(PANEL, n_samples - first)
        if count < 2:
            continue
        draw = mix(key, first_sample + first) % np.uint64(count - 1)
        shift = 1 + int(draw)
        for row in range(width):
            line = at + first * width + row * PANEL
            # The line twice in a row, `count` apart: what starts `shift` later is the line rotated.
            for column in range(0, PANEL, lanes(buffer)):
                store(buffer, scratch + column, load(buffer, line + column))
            for column in range(0, PANEL, lanes(buffer)):
                store(buffer, scratch + count + column, load(buffer, line + column))
            for column in range(0, PANEL, lanes(buffer)):
                partner = load(buffer, scratch + shift + column)
                store(buffer, line + column, fma(load(buffer, line + column), weight_v, partner * rest))


@step_unit
def mix_samples(job):
    """Blend features and targets of the micro-batch; one weight for the whole batch."""
    buffer, scale, weight = buffer_of(job), job.capacity * PANEL, _weight(job)
    scratch = job.staging * scale
    _mix_panels(job, buffer, job.x.target * scale, job.x.width, job.first_sample, job.n_samples, weight, scratch)
    _mix_panels(job, buffer, job.y.target * scale, job.y.width, job.first_sample, job.n_samples, weight, scratch)
    return True
