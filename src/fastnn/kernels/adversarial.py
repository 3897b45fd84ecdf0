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
- `spread_of_samples`: the variance of what the generator makes

`kernels.adversarial_samples` has what goes from job to job.

References
----------
.. [1] I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, algorithm 1.
.. [2] I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, algorithm 1.
"""

import numpy as np

from fastnn.kernels.adversarial_samples import (
    NOISE,
    aim,
    blend,
    count_above,
    discriminate,
    gather_conditions,
    gather_real,
    make,
    part,
    start_at_one,
    steepness,
    take_made,
)
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.layerwise import own_range
from fastnn.kernels.random import mix
from fastnn.kernels.simd import filled, flush_denormals, fma, lanes, load, restore_denormals, total
from fastnn.kernels.tables import N_SUMS, Failure, Sum
from fastnn.kernels.team import GENERATION, open_call, wait_for_all, wait_for_call
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.train import add_gradients, batch_loss, end_step, update
from fastnn.kernels.units import call_loss, call_schedule, call_update
from fastnn.kernels.views import buffer_of, shared_of, sums_of
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

_JUDGED, _SHOWN, _MADE, _CRITICIZED, _BLENDED, _PROBED = range(6)  # what random numbers are for within a step


# --- a batch ----------------------------------------------------------------------------------------------------------


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
    if not discriminate(judge):
        return False
    if n_samples > 0:
        aim(judge, 0, n_panels, n_samples, target)
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
        sums[own + REAL_RIGHT] += count_above(judge, real, n_panels, settings.threshold)
        sums[own + WEIGHT] += n_samples
    if made >= 0:
        sums[own + MADE_RIGHT] += n_samples - count_above(judge, made, n_panels, settings.threshold)


@inner
def _penalize(judge, generator, critic, tangent, settings, key, panel, n_samples, n):
    """Add the gradient penalty of a micro-batch to the judge's loss and gradient; False if the team was dismissed."""
    n_panels, total_panels = (n_samples + PANEL - 1) // PANEL, (n + PANEL - 1) // PANEL
    if n_samples == 0:
        return True
    critic.position, critic.batch_rows, critic.start, critic.updates = judge.position, n, ADD, 0
    critic.seed = tangent.seed = mix(key, _BLENDED)
    gather_real(critic, settings, panel * PANEL, n_samples)
    blend(critic, generator, settings, mix(critic.seed, NOISE))
    critic.first_sample = tangent.first_sample = (2 * total_panels + panel) * PANEL
    if not forward(critic):
        return False
    aim(critic, 0, n_panels, n_samples, 0.0)
    start_at_one(critic, n_panels)
    if not backward(critic):
        return False
    penalty = steepness(critic, tangent, settings, n)
    sums_of(judge)[judge.thread * N_SUMS + LOSS] += settings.gradient_penalty * penalty
    tangent.n_samples, tangent.batch_rows, tangent.start, tangent.updates = n_samples, n, ADD, 0
    if not forward(tangent):
        return False
    aim(tangent, 0, n_panels, n_samples, 0.0)
    start_at_one(tangent, n_panels)
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
        if not make(generator, settings, panel * PANEL, n_samples):
            return False
        if n_samples > 0:
            gather_real(judge, settings, panel * PANEL, n_samples)
        if settings.side_by_side:
            take_made(judge, generator, settings, m, m)
            judge.first_sample, judge.n_samples = 2 * panel * PANEL, 2 * m * PANEL
            if not discriminate(judge):
                return False
            aim(judge, 0, m, n_samples, settings.real_target)
            aim(judge, m, m, n_samples, settings.made_target)
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
                gather_conditions(judge, settings)  # deltas lay there meanwhile
                take_made(judge, generator, settings, 0, m)
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
        if not make(generator, settings, panel * PANEL, n_samples):
            return False
        critic.first_sample, critic.n_samples = panel * PANEL, n_samples
        if n_samples > 0:
            gather_conditions(critic, settings)
            take_made(critic, generator, settings, 0, m)
        if not discriminate(critic):
            return False
        if n_samples > 0:
            aim(critic, 0, m, n_samples, settings.wanted_target)
            sums[own + LOSS] += call_loss(critic.loss, critic, factor) * settings.generator_scale
            sums[own + WEIGHT] += n_samples
        if not backward(critic):
            return False
        if n_samples > 0:
            part(buffer_of(critic), critic.delta * critic.capacity * PANEL, buffer_of(generator),
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


@kernel
def spread_of_samples(generators, settings, n, sums):
    """Return the variance of n samples of the same noise each time, of the first n rows' conditions; for one thread.

    `sums` is (3, numbers of a sample): where each number begins, and sums over samples of what it is apart from that,
    and of its square.
    """
    mode = flush_denormals()
    job, buffer = generators[0], buffer_of(generators[0])
    job.seed, job.position, job.is_training = mix(settings[0].seed, _PROBED), 0, 0
    width, scale, count, spread = sums.shape[1], job.capacity * PANEL, 0, 0.0
    for first in range(0, n, scale):
        n_samples = min(scale, n - first)
        make(job, settings[0], first, n_samples)
        count += (n_samples + lanes(buffer) - 1) // lanes(buffer) * lanes(buffer)  # of a last vector all lanes are made
        for i in range(width):
            at = job.output * scale + i * PANEL
            if first == 0:
                sums[0, i], sums[1, i], sums[2, i] = buffer[at], 0.0, 0.0
            begin, apart, squares = filled(buffer, sums[0, i]), filled(buffer, 0.0), filled(buffer, 0.0)
            for sample in range(0, n_samples, lanes(buffer)):
                x = load(buffer, at + sample // PANEL * width * PANEL + sample % PANEL) - begin
                apart, squares = apart + x, fma(x, x, squares)
            sums[1, i] += total(apart)
            sums[2, i] += total(squares)
    for i in range(width):
        spread += sums[2, i] / count - (sums[1, i] / count) ** 2
    restore_denormals(mode)
    return spread


__all__ = ["MADE_RIGHT", "REAL_RIGHT", "SETTINGS", "spread_of_samples", "train_adversaries"]
