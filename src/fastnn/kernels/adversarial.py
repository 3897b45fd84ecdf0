"""The training kernel of generative adversarial networks: many steps of two networks in one call [1]_.

Three jobs take turns in each thread, each with a plan, units and memory of its own. The *generator* makes samples of
noise. The *judge*, the discriminator, learns from a batch of real rows and as many made ones. The *critic* is the
discriminator once more, without gradients of its parameters: it takes a batch of made samples and hands back the
gradient by them, which becomes the delta of the generator's output. Samples and deltas go from one job's panels to
another's; nothing leaves compiled code.

A gradient penalty takes two jobs more of the discriminator: the critic once more, for the gradient at blends of real
and made samples, and the *tangent*, whose activations are the linear maps that the critic's are there; it adds the
gradient of the penalty by the parameters to the judge's. That is exact for products and piecewise-linear activations
[2]_.

Where no op looks at the whole batch, the judge has real and made samples side by side in one micro-batch. Otherwise
each half is a batch of its own, so that each has statistics of its own.

Jobs
----
- `train_adversaries`: steps of both networks
- `LOSSES`: the losses, which are functions of (the discriminator's output, what it should be)
- `NOISES`: the units that fill a generator's inputs

References
----------
.. [1] I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, algorithm 1.
.. [2] I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, algorithm 1.
"""

import numpy as np

from fastnn.kernels.elementary import exp, log1p
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, kernel, named
from fastnn.kernels.layerwise import own_range
from fastnn.kernels.losses import elementwise, mse
from fastnn.kernels.ops.common import copy
from fastnn.kernels.random import mix, normal_pair, uniform
from fastnn.kernels.simd import (
    absolute,
    filled,
    flush_denormals,
    fma,
    lanes,
    load,
    maximum,
    restore_denormals,
    select,
    sqrt,
    store,
    total,
)
from fastnn.kernels.tables import N_SUMS, Failure, Sum
from fastnn.kernels.team import GENERATION, open_call, wait_for_all, wait_for_call
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.train import add_gradients, batch_loss, end_step, update
from fastnn.kernels.units import call_data, call_loss, call_schedule, call_update, data_unit
from fastnn.kernels.views import buffer_of, ops_of, shared_of, sums_of
from fastnn.kernels.walk import backward, forward

WEIGHT, LOSS, BATCH_LOSS = int(Sum.WEIGHT), int(Sum.LOSS), int(Sum.BATCH_LOSS)
REAL_RIGHT, MADE_RIGHT = 8, 9  # further sums of the judge: samples that it took for what they are
NOT_FINITE = int(Failure.LOSS)

# What both networks are trained with, beside their jobs.
SETTINGS = np.dtype(
    [
        ("seed", np.uint64),
        ("judge_panels", np.int64),  # panels of real samples in a micro-batch of the judge
        ("critic_panels", np.int64),  # panels of made samples in a micro-batch of generator and critic
        ("side_by_side", np.int64),  # whether real and made samples share the judge's micro-batches
        ("n_noise", np.int64),  # a generator's inputs without the condition
        ("n_conditions", np.int64),  # numbers of a condition; 0: none
        ("channels", np.int64),  # the last axis of a sample, without the condition
        ("positions", np.int64),  # the product of its other axes
        ("steps_of_judge", np.int64),  # for one of the generator
        ("real_target", np.float64),
        ("made_target", np.float64),
        ("wanted_target", np.float64),  # what the generator wants of the discriminator
        ("judge_scale", np.float64),  # of the loss over real and made samples, which is a mean over both
        ("generator_scale", np.float64),
        ("threshold", np.float64),  # outputs above it say "real"
        ("gradient_penalty", np.float64),  # 0: none
    ],
    align=True,
)

_NOISE = 0x6E6F697365  # apart from the keys of layers
_JUDGED, _SHOWN, _MADE, _CRITICIZED, _BLENDED = range(5)  # what random numbers are for within a step


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
        key, width = mix(job.seed, _NOISE), data.width
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
def _part(source, at, target, target_at, channels, n_conditions, positions, n_panels):
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
def _gather_conditions(job, settings):
    """Bring the conditions of the samples of a micro-batch to where they are joined from."""
    if settings.n_conditions > 0:
        call_data(job.condition.gather, job, job.condition)


@inner
def _make(generator, settings, first_sample, n_samples):
    """Samples of noise, in the generator's output region; False if the team was dismissed."""
    generator.first_sample, generator.n_samples = first_sample, n_samples
    if n_samples > 0:
        call_data(generator.x.gather, generator, generator.x)
        if settings.n_conditions > 0:
            scale, buffer = generator.capacity * PANEL, buffer_of(generator)
            _gather_conditions(generator, settings)
            _join(buffer, generator.x.target * scale, buffer, generator.condition.target * scale, buffer,
                  _input_of(generator), settings.n_noise, settings.n_conditions, 1,
                  (n_samples + PANEL - 1) // PANEL)  # fmt: skip
    return forward(generator)


@inner
def _gather_real(judge, settings, first_sample, n_samples):
    """Real rows, with their conditions, into the judge's first panels."""
    judge.first_sample, judge.n_samples = first_sample, n_samples
    call_data(judge.x.gather, judge, judge.x)
    if settings.n_conditions > 0:
        scale, buffer = judge.capacity * PANEL, buffer_of(judge)
        _gather_conditions(judge, settings)
        _join(buffer, judge.x.target * scale, buffer, judge.condition.target * scale, buffer, _input_of(judge),
              settings.channels, settings.n_conditions, settings.positions,
              (n_samples + PANEL - 1) // PANEL)  # fmt: skip


@inner
def _take_made(job, generator, settings, panel, n_panels):
    """The generator's outputs into a job's inputs from a panel on; the job's conditions lie where they are gathered."""
    scale, width = job.capacity * PANEL, settings.channels + settings.n_conditions
    at = _input_of(job) + panel * settings.positions * width * PANEL
    _join(buffer_of(generator), generator.output * generator.capacity * PANEL, buffer_of(job),
          job.condition.target * scale, buffer_of(job), at, settings.channels, settings.n_conditions,
          settings.positions, n_panels)  # fmt: skip


@inner
def _aim(job, panel, n_panels, n_samples, target):
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
def _count_above(job, panel, n_panels, threshold):
    """How many samples have an output above a threshold."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    outputs, weights = job.output * scale + panel * PANEL, job.weights * scale + panel * PANEL
    count = filled(buffer, 0.0)
    for i in range(0, n_panels * PANEL, lanes(buffer)):
        count = count + select(load(buffer, outputs + i) > threshold, load(buffer, weights + i), 0.0)
    return total(count)


@inner
def _discriminate(job):
    """The discriminator's outputs, logits where the loss takes those; False if the team was dismissed."""
    if not forward(job):
        return False
    if job.takes_logits and job.n_samples > 0:
        last, scale = ops_of(job)[ops_of(job).size - 1], job.capacity * PANEL
        n_panels = (job.n_samples + PANEL - 1) // PANEL
        copy(buffer_of(job), last.source * scale, last.target * scale, PANEL * n_panels)
    return True


# --- the two steps ----------------------------------------------------------------------------------------------------


@inner
def _begin(job, n, n_panels):
    """Make a job ready for a batch of n samples; return this thread's panels of it, first and last."""
    n_active = min(job.n_threads, n_panels)
    job.batch_rows, job.start, job.updates = n, ZERO, 0
    job.rate = job.learning_rate if job.schedule == 0 else call_schedule(job.schedule, job, job.step)
    job.penalty_scale, job.penalty_sum = 1.0, 0.0
    panel = min(job.thread, n_active) * n_panels // n_active
    return panel, min(job.thread + 1, n_active) * n_panels // n_active


@inner
def _learn(job, loss_before, n, n_panels):
    """Update a network from the gradients of all threads over n samples; False if the team was dismissed."""
    sums, own, n_active = sums_of(job), job.thread * N_SUMS, min(job.n_threads, n_panels)
    sums[own + BATCH_LOSS] = sums[own + LOSS] - loss_before
    if not wait_for_all(shared_of(job), job.n_threads):
        return False
    if not np.isfinite(batch_loss(job)):
        job.failed = NOT_FINITE
        return True
    if job.clip != 0:  # the whole gradient is wanted, in the first thread's vector
        first, last = own_range(job)
        if job.n_threads > 1:
            add_gradients(job, 0, n_active, first, last)
        if job.penalty != 0:
            call_update(job.penalty, job, job.gradients, first, last)
    if not update(job, n_active) or not end_step(job):
        return False
    sums[own + LOSS] += n * job.penalty_sum
    job.step += 1
    return wait_for_all(shared_of(job), job.n_threads)  # what others have updated is read from here on


@inner
def _judge_half(judge, settings, n_samples, factor, target):
    """Learn from the samples in the judge's inputs, all real or all made; False if the team was dismissed."""
    n_panels = (n_samples + PANEL - 1) // PANEL
    judge.n_samples = n_samples
    if not _discriminate(judge):
        return False
    if n_samples > 0:
        _aim(judge, 0, n_panels, n_samples, target)
        share = 0.5 * settings.judge_scale
        sums_of(judge)[judge.thread * N_SUMS + LOSS] += call_loss(judge.loss, judge, factor) * share
    if not backward(judge):
        return False
    judge.start = ADD
    return True


@inner
def _count_right(judge, settings, real, made, n_panels, n_samples):
    """Count the real samples among the panels from `real` on, and the made ones from `made` on; -1: none are there."""
    sums, own = sums_of(judge), judge.thread * N_SUMS
    if real >= 0:
        sums[own + REAL_RIGHT] += _count_above(judge, real, n_panels, settings.threshold)
        sums[own + WEIGHT] += n_samples
    if made >= 0:
        sums[own + MADE_RIGHT] += n_samples - _count_above(judge, made, n_panels, settings.threshold)


# --- the gradient penalty ---------------------------------------------------------------------------------------------


@inner
def _blend(critic, generator, settings, key):
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
def _steepness(critic, tangent, settings, n):
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
def _start_at_one(job, n_panels):
    """Begin a backward pass with the derivative of the outputs by themselves, 0 where there is no sample."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    for i in range(0, n_panels * PANEL, lanes(buffer)):
        store(buffer, job.delta * scale + i, load(buffer, job.weights * scale + i))


@inner
def _penalize(judge, generator, critic, tangent, settings, key, panel, n_samples, n):
    """Add the gradient penalty of a micro-batch to the judge's loss and gradient; False if the team was dismissed."""
    n_panels, total_panels = (n_samples + PANEL - 1) // PANEL, (n + PANEL - 1) // PANEL
    if n_samples == 0:
        return True
    critic.position, critic.batch_rows, critic.start, critic.updates = judge.position, n, ADD, 0
    critic.seed = tangent.seed = mix(key, _BLENDED)
    _gather_real(critic, settings, panel * PANEL, n_samples)
    _blend(critic, generator, settings, mix(critic.seed, _NOISE))
    critic.first_sample = tangent.first_sample = (2 * total_panels + panel) * PANEL
    if not forward(critic):
        return False
    _aim(critic, 0, n_panels, n_samples, 0.0)
    _start_at_one(critic, n_panels)
    if not backward(critic):
        return False
    penalty = _steepness(critic, tangent, settings, n)
    sums_of(judge)[judge.thread * N_SUMS + LOSS] += settings.gradient_penalty * penalty
    tangent.n_samples, tangent.batch_rows, tangent.start, tangent.updates = n_samples, n, ADD, 0
    if not forward(tangent):
        return False
    _aim(tangent, 0, n_panels, n_samples, 0.0)
    _start_at_one(tangent, n_panels)
    return backward(tangent)


# --- steps ------------------------------------------------------------------------------------------------------------


@inner
def _judge_step(judge, generator, critic, tangent, settings, n):
    """The discriminator learns from n real and n made samples; False if the team was dismissed."""
    key = mix(settings.seed, judge.step)
    judge.seed, generator.seed = mix(key, _JUDGED), mix(key, _SHOWN)
    generator.position, generator.batch_rows = judge.position, n
    n_panels = (n + PANEL - 1) // PANEL
    panel, last_panel = _begin(judge, n, n_panels)
    factor = settings.judge_scale / (2.0 * n)
    sums, own = sums_of(judge), judge.thread * N_SUMS
    loss_before = sums[own + LOSS]
    meets = judge.sees_batch or generator.sees_batch
    while panel < last_panel or (meets and judge.start == ZERO):
        m = min(settings.judge_panels, last_panel - panel)
        n_samples = max(0, min(m * PANEL, n - panel * PANEL))
        if not _make(generator, settings, panel * PANEL, n_samples):
            return False
        if n_samples > 0:
            _gather_real(judge, settings, panel * PANEL, n_samples)
        if settings.side_by_side:
            _take_made(judge, generator, settings, m, m)
            judge.first_sample, judge.n_samples = 2 * panel * PANEL, 2 * m * PANEL
            if not _discriminate(judge):
                return False
            _aim(judge, 0, m, n_samples, settings.real_target)
            _aim(judge, m, m, n_samples, settings.made_target)
            sums[own + LOSS] += call_loss(judge.loss, judge, factor) * (0.5 * settings.judge_scale)
            _count_right(judge, settings, 0, m, m, n_samples)
            if not backward(judge):
                return False
            judge.start = ADD
        else:
            if not _judge_half(judge, settings, n_samples, factor, settings.real_target):
                return False
            _count_right(judge, settings, 0, -1, m, n_samples)
            if n_samples > 0:
                _gather_conditions(judge, settings)  # deltas lay there meanwhile
                _take_made(judge, generator, settings, 0, m)
            judge.first_sample = (n_panels + panel) * PANEL
            if not _judge_half(judge, settings, n_samples, factor, settings.made_target):
                return False
            _count_right(judge, settings, -1, 0, m, n_samples)
        if settings.gradient_penalty > 0.0 and not _penalize(
            judge, generator, critic, tangent, settings, key, panel, n_samples, n
        ):
            return False
        panel += m
    return _learn(judge, loss_before, n, n_panels)


@inner
def _generator_step(generator, critic, judge, settings, n):
    """The generator learns from what the discriminator thinks of n samples; False if the team was dismissed."""
    key = mix(settings.seed, judge.step)
    generator.seed, critic.seed = mix(key, _MADE), mix(key, _CRITICIZED)
    generator.position = critic.position = judge.position
    critic.batch_rows, critic.start, critic.updates = n, ADD, 0
    n_panels = (n + PANEL - 1) // PANEL
    panel, last_panel = _begin(generator, n, n_panels)
    factor = settings.generator_scale / n
    sums, own = sums_of(generator), generator.thread * N_SUMS
    loss_before = sums[own + LOSS]
    meets = critic.sees_batch or generator.sees_batch
    while panel < last_panel or (meets and generator.start == ZERO):
        m = min(settings.critic_panels, last_panel - panel)
        n_samples = max(0, min(m * PANEL, n - panel * PANEL))
        if not _make(generator, settings, panel * PANEL, n_samples):
            return False
        critic.first_sample, critic.n_samples = panel * PANEL, n_samples
        if n_samples > 0:
            _gather_conditions(critic, settings)
            _take_made(critic, generator, settings, 0, m)
        if not _discriminate(critic):
            return False
        if n_samples > 0:
            _aim(critic, 0, m, n_samples, settings.wanted_target)
            sums[own + LOSS] += call_loss(critic.loss, critic, factor) * settings.generator_scale
            sums[own + WEIGHT] += n_samples
        if not backward(critic):
            return False
        if n_samples > 0:
            _part(buffer_of(critic), critic.delta * critic.capacity * PANEL, buffer_of(generator),
                  generator.delta * generator.capacity * PANEL, settings.channels, settings.n_conditions,
                  settings.positions, m)  # fmt: skip
        if not backward(generator):
            return False
        generator.start = ADD
        panel += m
    return _learn(generator, loss_before, n, n_panels)


@inner
def _run_steps(judge, generator, critic, tangent, settings, n_steps):
    judge.is_training = generator.is_training = critic.is_training = tangent.is_training = 1
    judge.goes_back = generator.goes_back = critic.goes_back = tangent.goes_back = 1
    for _ in range(n_steps):
        if judge.failed or generator.failed or judge.position >= judge.n_rows:
            break
        n = min(judge.batch_size, judge.n_rows - judge.position)
        if not _judge_step(judge, generator, critic, tangent, settings, n):
            return
        if judge.failed:
            break
        if judge.step % settings.steps_of_judge == 0:
            if not _generator_step(generator, critic, judge, settings, n):
                return
            if generator.failed:
                break
        judge.position += n
    # Nobody is past this before all are done: then Python may read the sums.
    wait_for_all(shared_of(judge), judge.n_threads)


@kernel
def train_adversaries(judges, thread, n_steps, generators, critics, tangents, settings):
    """Do up to `n_steps` batches of this epoch as thread number `thread` of the team.

    Thread 0, the caller, returns when they are done. Helpers do their part of this call, and of all that follow with
    the same records, until they are sent back; see `kernels.train.run`.

    Parameters
    ----------
    judges, generators, critics, tangents : records of `tables.job_record`, one a thread
        Without a gradient penalty there is no use for the last.
    settings : record of `SETTINGS`, one
    """
    mode = flush_denormals()
    judge = judges[thread]
    shared = shared_of(judge)
    if thread == 0:
        open_call(shared, n_steps)
    generation = shared[GENERATION]
    while True:
        if thread > 0:
            n_steps = wait_for_call(shared, generation)
            if n_steps < 0:
                break
        _run_steps(judge, generators[thread], critics[thread], tangents[thread], settings[0], n_steps)
        if thread == 0:
            break
    restore_denormals(mode)


__all__ = ["LOSSES", "MADE_RIGHT", "NOISES", "REAL_RIGHT", "SETTINGS", "train_adversaries"]
