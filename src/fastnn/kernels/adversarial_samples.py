"""What generator and discriminator hand to each other: noise, conditions, real and made samples, deltas, penalties.

Jobs
----
- `LOSSES`: the losses, which are functions of (the discriminator's output, what it should be)
- `NOISES`: the units that fill a generator's inputs
- `make`, `gather_real`, `take_made`, `part`: samples, and deltas, from one job's panels to another's
- `discriminate`, `aim`, `count_above`: the discriminator's outputs, what they should be, how they compare
- `blend`, `steepness`, `start_at_one`: parts of the gradient penalty
"""

from fastnn.kernels.elementary import exp, log1p
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, named
from fastnn.kernels.losses import elementwise, mse
from fastnn.kernels.ops.common import copy
from fastnn.kernels.random import mix, normal_pair, uniform
from fastnn.kernels.simd import (
    absolute,
    filled,
    fma,
    lanes,
    load,
    maximum,
    select,
    sqrt,
    store,
    total,
)
from fastnn.kernels.units import call_data, data_unit
from fastnn.kernels.views import buffer_of, ops_of
from fastnn.kernels.walk import forward

NOISE = 0x6E6F697365  # the key of its random numbers; no layer has it


# --- losses -----------------------------------------------------------------------------------------------------------


@inlined
def _logistic(z, y, value):
    """Cross-entropy from logits: ln(1 + e^z) - y z, slope sigmoid(z) - y. The logits stay where they are."""
    e = exp(-absolute(z))
    slope = select(z < 0.0, e, 1.0 + (z - z)) / (e + 1.0) - y
    return maximum(z, 0.0) - z * y + log1p(e), slope


@inlined
def _signed(a, y, value):
    """y a, where y is -1 for what should be high, and 1 for what should be low."""
    return y * a, y


LOSSES = {
    "non_saturating": elementwise(_logistic, "adversarial_logistic"),
    "least_squares": mse,
    "wasserstein": elementwise(_signed, "adversarial_signed"),
}


# --- noise ------------------------------------------------------------------------------------------------------------


def _fills(draw_pair, name):
    """Build the unit that fills the inputs of a micro-batch with random numbers, two units at a time."""

    @data_unit
    @named(name)
    def fill(job, data):
        buffer, target = buffer_of(job), data.target * job.capacity * PANEL
        key, width = mix(job.seed, NOISE), data.width
        for unit in range(0, width, 2):
            unit_key = mix(key, unit)
            for panel in range((job.n_samples + PANEL - 1) // PANEL):
                at = target + (panel * width + unit) * PANEL
                for column in range(0, PANEL, lanes(buffer)):
                    one, other = draw_pair(buffer, unit_key, job.first_sample + panel * PANEL + column)
                    store(buffer, at + column, one)
                    if unit + 1 < width:
                        store(buffer, at + PANEL + column, other)
        return True

    return fill


@inner
def _uniform_pair(buffer, key, counter):
    """From -1 to 1."""
    one, other = uniform(buffer, key, counter), uniform(buffer, mix(key, 1), counter)
    return one * 2.0 - 1.0, other * 2.0 - 1.0


NOISES = {"normal": _fills(normal_pair, "normal_noise"), "uniform": _fills(_uniform_pair, "uniform_noise")}


# --- from job to job --------------------------------------------------------------------------------------------------


@inner
def _join(source, at, condition, condition_at, target, target_at, channels, n_conditions, positions, n_panels):
    """Panels of samples with the condition's numbers behind the channels of every position."""
    width = channels + n_conditions
    for panel in range(n_panels):
        for position in range(positions):
            place = panel * positions + position
            begin = target_at + place * width * PANEL
            for i in range(0, channels * PANEL, lanes(target)):
                store(target, begin + i, load(source, at + place * channels * PANEL + i))
            begin += channels * PANEL
            for i in range(0, n_conditions * PANEL, lanes(target)):
                store(target, begin + i, load(condition, condition_at + panel * n_conditions * PANEL + i))


@inner
def part(source, at, target, target_at, channels, n_conditions, positions, n_panels):
    """The other way: panels without what belongs to the condition."""
    width = channels + n_conditions
    for place in range(n_panels * positions):
        for i in range(0, channels * PANEL, lanes(target)):
            store(target, target_at + place * channels * PANEL + i, load(source, at + place * width * PANEL + i))


@inner
def _input_of(job):
    """Where the first op reads."""
    return ops_of(job)[0].source * job.capacity * PANEL


@inner
def gather_conditions(job, settings):
    """Bring the conditions of the samples of a micro-batch to where they are joined from."""
    if settings.n_conditions > 0:
        call_data(job.condition.gather, job, job.condition)


@inner
def make(generator, settings, first_sample, n_samples):
    """Samples of noise, in the generator's output region; False if the team was dismissed."""
    generator.first_sample, generator.n_samples = first_sample, n_samples
    if n_samples > 0:
        call_data(generator.x.gather, generator, generator.x)
        if settings.n_conditions > 0:
            scale, buffer = generator.capacity * PANEL, buffer_of(generator)
            gather_conditions(generator, settings)
            _join(buffer, generator.x.target * scale, buffer, generator.condition.target * scale, buffer,
                  _input_of(generator), settings.n_noise, settings.n_conditions, 1,
                  (n_samples + PANEL - 1) // PANEL)  # fmt: skip
    return forward(generator)


@inner
def gather_real(judge, settings, first_sample, n_samples):
    """Real rows, with their conditions, into the judge's first panels."""
    judge.first_sample, judge.n_samples = first_sample, n_samples
    call_data(judge.x.gather, judge, judge.x)
    if settings.n_conditions > 0:
        scale, buffer = judge.capacity * PANEL, buffer_of(judge)
        gather_conditions(judge, settings)
        _join(buffer, judge.x.target * scale, buffer, judge.condition.target * scale, buffer, _input_of(judge),
              settings.channels, settings.n_conditions, settings.positions,
              (n_samples + PANEL - 1) // PANEL)  # fmt: skip


@inner
def take_made(job, generator, settings, panel, n_panels):
    """The generator's outputs into a job's inputs from a panel on; the job's conditions lie where they are gathered."""
    scale, width = job.capacity * PANEL, settings.channels + settings.n_conditions
    at = _input_of(job) + panel * settings.positions * width * PANEL
    _join(buffer_of(generator), generator.output * generator.capacity * PANEL, buffer_of(job),
          job.condition.target * scale, buffer_of(job), at, settings.channels, settings.n_conditions,
          settings.positions, n_panels)  # fmt: skip


@inner
def aim(job, panel, n_panels, n_samples, target):
    """What the discriminator's outputs should be, and weights: 1 for samples, 0 for what fills up the last panel."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    targets, weights = job.y.target * scale + panel * PANEL, job.weights * scale + panel * PANEL
    wanted, one = filled(buffer, target), filled(buffer, 1.0)
    for i in range(0, n_panels * PANEL, lanes(buffer)):
        store(buffer, targets + i, wanted)
        store(buffer, weights + i, one)
    for i in range(n_samples, n_panels * PANEL):
        buffer[weights + i] = 0.0


@inner
def count_above(job, panel, n_panels, threshold):
    """How many samples have an output above a threshold."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    outputs, weights = job.output * scale + panel * PANEL, job.weights * scale + panel * PANEL
    count = filled(buffer, 0.0)
    for i in range(0, n_panels * PANEL, lanes(buffer)):
        count = count + select(load(buffer, outputs + i) > threshold, load(buffer, weights + i), 0.0)
    return total(count)


@inner
def discriminate(job):
    """The discriminator's outputs, logits where the loss takes those; False if the team was dismissed."""
    if not forward(job):
        return False
    if job.takes_logits and job.n_samples > 0:
        last, scale = ops_of(job)[ops_of(job).size - 1], job.capacity * PANEL
        n_panels = (job.n_samples + PANEL - 1) // PANEL
        copy(buffer_of(job), last.source * scale, last.target * scale, PANEL * n_panels)
    return True


# --- the gradient penalty ---------------------------------------------------------------------------------------------


@inner
def blend(critic, generator, settings, key):
    """Move real samples in the critic's inputs by a random share of the way to made ones: one number a sample."""
    buffer, made = buffer_of(critic), buffer_of(generator)
    channels, positions = settings.channels, settings.positions
    width = channels + settings.n_conditions
    at, from_made = _input_of(critic), generator.output * generator.capacity * PANEL
    for panel in range((critic.n_samples + PANEL - 1) // PANEL):
        for column in range(0, PANEL, lanes(buffer)):
            share = uniform(buffer, key, critic.first_sample + panel * PANEL + column)
            for position in range(positions):
                place = panel * positions + position
                for channel in range(channels):
                    i = at + (place * width + channel) * PANEL + column
                    x = load(buffer, i)
                    m = load(made, from_made + (place * channels + channel) * PANEL + column)
                    store(buffer, i, fma(share, m - x, x))


@inner
def steepness(critic, tangent, settings, n):
    """The sum over samples of (|g| - 1)^2, where g is the critic's input gradient without conditions.

    The derivative of the mean over n samples by g, times the settings' factor, becomes the tangent's inputs.
    """
    buffer, other = buffer_of(critic), buffer_of(tangent)
    channels, positions = settings.channels, settings.positions
    width = channels + settings.n_conditions
    delta, inputs = critic.delta * critic.capacity * PANEL, _input_of(tangent)
    weights, twice = critic.weights * critic.capacity * PANEL, 2.0 * settings.gradient_penalty / n
    penalty = 0.0
    for panel in range((critic.n_samples + PANEL - 1) // PANEL):
        for column in range(0, PANEL, lanes(buffer)):
            squares = filled(buffer, 0.0)
            for position in range(positions):
                for channel in range(channels):
                    i = ((panel * positions + position) * width + channel) * PANEL + column
                    g = load(buffer, delta + i)
                    squares = fma(g, g, squares)
            weight = load(buffer, weights + panel * PANEL + column)
            norm = sqrt(squares)
            excess = norm - 1.0
            penalty += total(excess * excess * weight)
            factor = select(norm > 0.0, excess / norm, 0.0) * (weight * twice)
            for position in range(positions):
                for channel in range(width):
                    i = ((panel * positions + position) * width + channel) * PANEL + column
                    if channel < channels:
                        store(other, inputs + i, load(buffer, delta + i) * factor)
                    else:
                        store(other, inputs + i, filled(buffer, 0.0))
    return penalty


@inner
def start_at_one(job, n_panels):
    """Begin a backward pass with the derivative of the outputs by themselves, 0 where there is no sample."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for i in range(0, n_panels * PANEL, lanes(buffer)):
        store(buffer, job.delta * scale + i, load(buffer, job.weights * scale + i))
