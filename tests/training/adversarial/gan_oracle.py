"""One step of a GAN in NumPy: losses and gradients from the formulas, networks by `Network.predict` and `vjp`."""

import numpy as np

import fastnn
from fastnn.kernels import random
from fastnn.kernels.adversarial import _BLENDED, _CRITICIZED, _JUDGED, _MADE, _SHOWN
from fastnn.kernels.adversarial_samples import NOISE as _NOISE
from fastnn.kernels.simd import lanes, store
from support import test_kernel

PHASES = {"judged": _JUDGED, "shown": _SHOWN, "made": _MADE, "criticized": _CRITICIZED}


@test_kernel
def draw_normal(out, seed, step, phase, tag):
    key = random.mix(random.mix(random.mix(seed, step), phase), tag)
    n_panels, n_units = out.shape[0], out.shape[1]
    flat = out.reshape(-1)
    for panel in range(n_panels):
        for unit in range(0, n_units, 2):
            for column in range(0, 32, lanes(flat)):
                one, other = random.normal_pair(flat, random.mix(key, unit), panel * 32 + column)
                at = (panel * n_units + unit) * 32 + column
                store(flat, at, one)
                if unit + 1 < n_units:
                    store(flat, at + 32, other)


def noise(n, n_noise, seed, step, phase):
    """The noise that the kernel draws, as rows."""
    out = np.empty((-(-n // 32), n_noise, 32))
    draw_normal(out, np.uint64(seed), step, phase, _NOISE)
    return out.transpose(0, 2, 1).reshape(-1, n_noise)[:n]


@test_kernel
def draw_uniform(out, seed, step, phase, tag):
    key = random.mix(random.mix(random.mix(seed, step), phase), tag)
    for i in range(0, out.size, lanes(out)):
        store(out, i, random.uniform(out, key, i))


def shares(n, seed, step):
    """How far each blend is on the way from a real sample to a made one."""
    out = np.empty(-(-n // 32) * 32)
    draw_uniform(out, np.uint64(seed), step, _BLENDED, _NOISE)
    return out[:n]


def softplus(z):
    return np.logaddexp(0.0, z)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def judge_terms(loss, scores, target):
    """Loss and slope of each score of real (target 1, or less by smoothing) or made (target 0) samples."""
    if loss == "non_saturating":
        return 0.5 * (softplus(scores) - target * scores), 0.5 * (sigmoid(scores) - target)
    if loss == "least_squares":
        return 0.5 * (scores - target) ** 2, scores - target
    sign = -1.0 if target else 1.0
    return sign * scores, np.full_like(scores, sign)


def generator_terms(loss, scores):
    if loss == "non_saturating":
        return softplus(-scores), sigmoid(scores) - 1.0
    if loss == "least_squares":
        return 0.5 * (scores - 1.0) ** 2, scores - 1.0
    return -scores, np.full_like(scores, -1.0)


def linear_end(network):
    """The same network with logits at its end, and the same memory of parameters in effect."""
    *layers, last = network.layers
    plain = fastnn.Network([*layers, fastnn.Dense(last.units)], dtype=network.dtype)
    plain.parameters = network.parameters
    return plain


def joined(samples, conditions):
    """Samples (n, *shape) with conditions (n, k) behind the last axis of every position."""
    if conditions is None:
        return samples
    shape = (len(samples), *(1,) * (samples.ndim - 2), conditions.shape[1])
    return np.concatenate(
        [samples, np.broadcast_to(conditions.reshape(shape), (*samples.shape[:-1], conditions.shape[1]))], axis=-1
    )


def judge_loss(loss, discriminator, real, made, smoothing=0.0):
    """Loss and gradient of the discriminator, which has logits at its end."""
    value, gradient = 0.0, 0.0
    for samples, target in ((real, 1.0 - smoothing), (made, 0.0)):
        terms, slopes = judge_terms(loss, discriminator.predict(samples), target)
        value += terms.mean()
        gradient = gradient + discriminator.vjp(samples, slopes / len(samples))[1]
    return value, gradient


def generator_loss(loss, generator, discriminator, z, conditions, shape):
    """Loss and gradient of the generator."""
    inputs = z if conditions is None else np.hstack([z, conditions])
    samples = generator.predict(inputs).reshape(len(z), *shape)
    seen = joined(samples, conditions)
    terms, slopes = generator_terms(loss, discriminator.predict(seen))
    by_samples = discriminator.vjp(seen, slopes / len(z))[0].reshape(seen.shape)[..., : shape[-1]]
    return terms.mean(), generator.vjp(inputs, by_samples.reshape(len(z), *generator.plan.output_shape))[1]
