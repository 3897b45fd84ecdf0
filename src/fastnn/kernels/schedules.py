"""Learning rates as functions of the step, evaluated once a step.

A job's `learning_rate` is the rate that a schedule starts from (or rises to), its `schedule_values` are the other
arguments in the order of the declaration.

To add a schedule: its unit here, and its class and its line in `fastnn/schedules.py`.

Jobs
----
- one `schedule_unit` a schedule: the learning rate of update number `step`, from 0
- `evaluate`: any of them, for Python

References
----------
.. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, eq. 5.
.. [2] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2.
.. [3] L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
       2018.
"""

import math

import numpy as np

from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.units import call_schedule, schedule_unit


@inner
def _periods(step, length, whole):
    """How many periods of `length` steps are over; only `whole` ones if wanted."""
    if whole:
        return float(step // np.int64(length))
    return step / length


@inner
def _half_wave(start, end, progress):
    """From `start` to `end` along half a cosine wave, for progress from 0 to 1."""
    return start + (end - start) * 0.5 * (1.0 - math.cos(math.pi * progress))


@inner
def _cosine(step, rate, n_steps, alpha):
    return _half_wave(rate, alpha * rate, min(step / n_steps, 1.0))


@inner
def _warmup_cosine(step, rate, n_warmup, n_decay, alpha, first_rate):
    """A line up to `rate` [2]_, then a cosine."""
    if step < n_warmup:
        return first_rate + (rate - first_rate) * step / n_warmup
    return _cosine(step - n_warmup, rate, n_decay, alpha)


@inner
def _one_cycle(step, rate, n_steps, share_up, division, final_division):
    """Up to `rate` and down again [3]_, with PyTorch's cosine phases and its position of the peak."""
    start = rate / division
    peak, last = share_up * n_steps - 1.0, n_steps - 1.0
    if step < peak:
        return _half_wave(start, rate, step / peak)
    return _half_wave(rate, start / final_division, (min(float(step), last) - peak) / (last - peak))


@schedule_unit
def step_decay(job, step):
    v = job.schedule_values
    return job.learning_rate * v[0] ** _periods(step, v[1], True)


@schedule_unit
def exponential_decay(job, step):
    v = job.schedule_values
    return job.learning_rate * v[1] ** _periods(step, v[0], v[2] != 0.0)


@schedule_unit
def inverse_time_decay(job, step):
    v = job.schedule_values
    return job.learning_rate / (1.0 + v[1] * _periods(step, v[0], v[2] != 0.0))


@schedule_unit
def polynomial_decay(job, step):
    v = job.schedule_values
    return v[1] + (job.learning_rate - v[1]) * (1.0 - min(step / v[0], 1.0)) ** v[2]


@schedule_unit
def cosine_decay(job, step):
    v = job.schedule_values
    return _cosine(step, job.learning_rate, v[0], v[1])


@schedule_unit
def warmup_cosine(job, step):
    v = job.schedule_values
    return _warmup_cosine(step, job.learning_rate, v[0], v[1], v[2], v[3])


@schedule_unit
def one_cycle(job, step):
    v = job.schedule_values
    return _one_cycle(step, job.learning_rate, v[0], v[1], v[2], v[3])


@kernel
def evaluate(jobs, step):
    """The learning rate of update number `step`."""
    return call_schedule(jobs[0].schedule, jobs[0], step)
