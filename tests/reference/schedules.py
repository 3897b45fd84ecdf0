"""Schedules: the learning rate as a function of the step t = 0, 1, 2, ... (t = 0 is the first update).

learning_rate is the rate at t = 0, except in warmup_cosine and one_cycle, where it is the peak. After decay_steps
(total_steps) a rate stays where it ended, unless it decays for ever. Names are those of keras.optimizers.schedules.
"""

import math


def constant(t, learning_rate):
    return learning_rate


def step_decay(t, learning_rate, drop=0.5, every=10):
    """drop is the factor, every the number of steps between two drops (PyTorch's StepLR: gamma, step_size)."""
    return learning_rate * drop ** (t // every)


def exponential(t, learning_rate, decay_steps, decay_rate, staircase=False):
    """Keras's ExponentialDecay."""
    p = t // decay_steps if staircase else t / decay_steps
    return learning_rate * decay_rate**p


def inverse_time(t, learning_rate, decay_steps, decay_rate, staircase=False):
    """Keras's InverseTimeDecay."""
    p = t // decay_steps if staircase else t / decay_steps
    return learning_rate / (1 + decay_rate * p)


def polynomial(t, learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0):
    """Keras's PolynomialDecay with cycle=False."""
    p = min(t, decay_steps) / decay_steps
    return (learning_rate - end_learning_rate) * (1 - p) ** power + end_learning_rate


def cosine(t, learning_rate, decay_steps, alpha=0.0):
    """Loshchilov and Hutter, 2017, equation 5, without restarts: from learning_rate to alpha * learning_rate."""
    p = min(t, decay_steps) / decay_steps
    return learning_rate * ((1 - alpha) * (1 + math.cos(math.pi * p)) / 2 + alpha)


def warmup_cosine(t, learning_rate, warmup_steps, decay_steps, alpha=0.0, initial_learning_rate=0.0):
    """Goyal et al., 2017, section 2.2 (gradual warm-up), then cosine; Keras's CosineDecay with warmup_target.

    A line from initial_learning_rate at t = 0 to learning_rate at t = warmup_steps; decay_steps count from there.
    """
    if t < warmup_steps:
        return initial_learning_rate + (learning_rate - initial_learning_rate) * t / warmup_steps
    return cosine(t - warmup_steps, learning_rate, decay_steps, alpha)


def one_cycle(t, learning_rate, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
    """Smith and Topin, 2018, in the form of PyTorch's OneCycleLR: cosine annealing, two phases, 0 <= pct_start < 1.

    From learning_rate / div_factor up to learning_rate at t = pct_start * total_steps - 1, then down to
    learning_rate / div_factor / final_div_factor at the last step, t = total_steps - 1. Momentum is left alone.
    """
    start = learning_rate / div_factor
    end = start / final_div_factor
    peak_t, last_t = pct_start * total_steps - 1, total_steps - 1
    if t < peak_t:
        return anneal(start, learning_rate, t / peak_t)
    return anneal(learning_rate, end, (min(t, last_t) - peak_t) / (last_t - peak_t))


def anneal(start, end, p):
    """Half a cosine wave from start (p = 0) to end (p = 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * p)) / 2


SCHEDULES = {
    "constant": constant,
    "step_decay": step_decay,
    "exponential": exponential,
    "inverse_time": inverse_time,
    "polynomial": polynomial,
    "cosine": cosine,
    "warmup_cosine": warmup_cosine,
    "one_cycle": one_cycle,
}
