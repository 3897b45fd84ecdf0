"""The training kernel: many steps in one call, from gathering a batch to updating the parameters.

A batch is cut over the threads of the team by whole panels; each thread runs its share through the network in
micro-batches of at most `capacity` panels, which stay in cache through all layers, and adds their gradients up in a
vector of its own. The vectors are added in the order of the threads, each thread taking one range of them, and the
same range of the parameters is updated.

Jobs
----
- `run`: steps of training, or one pass for loss, gradient, metrics or outputs, as `job.mode` says
- `predict`: outputs of consecutive rows
- `begin_next_epoch`: from one epoch to the next, for which Python would take some 5 us and its lock; where nobody wants
  to be told of single epochs, the kernel goes on by itself and keeps a record of those it ended
- `add_gradients`, `batch_loss`, `update`, `end_step`: parts of a step, for `kernels.adversarial`
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.layerwise import own_range, update_range
from fastnn.kernels.ops.common import copy
from fastnn.kernels.random import permute
from fastnn.kernels.simd import filled, flush_denormals, lanes, load, restore_denormals, store, total
from fastnn.kernels.sources import counted_positions, gather_lengths, gather_weights
from fastnn.kernels.tables import N_SUMS, Failure, Mode, Sum
from fastnn.kernels.team import GENERATION, open_call, wait_for_all, wait_for_call
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.units import call_data, call_loss, call_op, call_schedule, call_step, call_update
from fastnn.kernels.views import (
    array_at,
    buffer_of,
    gradients_of,
    jobs_of,
    ops_of,
    order_of,
    parameters_of,
    sample_weight_of,
    shared_of,
    sums_of,
)
from fastnn.kernels.walk import backward, forward

PARAMETERS = int(Failure.PARAMETERS)


@inner
def _are_finite(parameters):
    """x - x is 0 for finite x and NaN otherwise. Zeros lie behind the last parameter."""
    differences = filled(parameters, 0.0)
    for i in range(0, parameters.size, lanes(parameters)):
        x = load(parameters, i)
        differences = differences + (x - x)
    return total(differences) == 0.0


@inner
def begin_next_epoch(job):
    """Record the epoch's sums, keep the parameters that it ended with, shuffle, and go to the first row again.

    All threads of the team come here together. False if the team was dismissed, or if a parameter is not finite:
    the job has failed then, and is still at the epoch's end.
    """
    shared = shared_of(job)
    if not wait_for_all(shared, job.n_threads):
        return False
    if job.thread == 0:
        parameters = parameters_of(job)
        if _are_finite(parameters):
            sums = sums_of(job)
            record = array_at(job.records + job.epochs_fused * N_SUMS * 8, N_SUMS, job.rate)
            for column in range(N_SUMS):
                record[column] = 0.0
                for other in range(job.n_threads):
                    record[column] += sums[other * N_SUMS + column]
                    sums[other * N_SUMS + column] = 0.0
            job.snapshot = 1 - job.snapshot
            size, width = parameters.size, lanes(parameters)
            snapshots, at = array_at(job.snapshots, 2 * size, job.element), job.snapshot * size
            for i in range(0, size - width + 1, width):  # nobody makes vectors of a loop over numbers
                store(snapshots, at + i, load(parameters, i))
            for i in range(size // width * width, size):
                snapshots[at + i] = parameters[i]
            if job.shuffles:
                permute(order_of(job), job.order_seed, job.epoch + 1)
        else:
            jobs = jobs_of(job)
            for other in range(job.n_threads):
                jobs[other].failed = PARAMETERS
    if not wait_for_all(shared, job.n_threads) or job.failed:
        return False
    job.epoch += 1
    job.epochs_fused += 1
    job.epochs_left -= 1
    job.position = 0
    return True


TRAIN = int(Mode.TRAIN)
GRADIENT = int(Mode.GRADIENT)
EVALUATE = int(Mode.EVALUATE)
OUTPUTS = int(Mode.OUTPUTS)
PREDICTIONS = int(Mode.PREDICTIONS)
WEIGHT = int(Sum.WEIGHT)
LOSS = int(Sum.LOSS)
BATCH_LOSS = int(Sum.BATCH_LOSS)
NOT_FINITE = int(Failure.LOSS)

PIECE = 8192  # elements of a gradient that are summed up and used at once: they stay in cache between the two


@inner
def _batch_weight(job, first, n):
    """The sum of the weights of the rows of a batch, at all positions of the outputs that count."""
    order, sample_weight = order_of(job), sample_weight_of(job)
    cuts = job.n_row_lengths > 0 and job.output_steps > 0
    if sample_weight.size == 0 and not cuts:
        return float(n * job.positions)
    weight = 0.0
    for i in range(first, first + n):
        row = order[i] if order.size > 0 else i
        n_counted = counted_positions(job, row)
        if job.weights_a_row > 1:
            for position in range(n_counted):
                weight += sample_weight[row * job.weights_a_row + position]
        else:
            weight += (sample_weight[row] if sample_weight.size > 0 else 1.0) * n_counted
    return weight


@inner
def batch_loss(job):
    """The sum over all threads, each in the same order, so that all come to the same verdict."""
    sums, loss = sums_of(job), 0.0
    for thread in range(job.n_threads):
        loss += sums[thread * N_SUMS + BATCH_LOSS]
    return loss


@inner
def _weigh(job):
    """The sum of the weights of the micro-batch, as its panels hold them."""
    buffer, at, weight = buffer_of(job), job.weights * job.capacity * PANEL, 0.0
    n = (job.n_samples + PANEL - 1) // PANEL * PANEL * job.positions
    for i in range(0, n, lanes(buffer)):
        weight += total(load(buffer, at + i))
    return weight


@inner
def _micro_batch(job, weight):
    """Add the loss and, where wanted, the gradient of this thread's samples; `weight` is that of the whole batch.

    With `job.updates` the layers are updated instead, unless the loss is not finite. False if the team was dismissed.
    Where an op looks at the whole batch a thread without samples calls this, too.
    """
    if job.n_samples > 0:
        call_data(job.x.gather, job, job.x)
        if job.n_row_lengths > 0:
            gather_lengths(job)
    if job.mode == OUTPUTS or job.mode == PREDICTIONS:
        if not forward(job):
            return False
        call_data(job.y.gather, job, job.y)
        return True
    if job.n_samples > 0:
        call_data(job.y.gather, job, job.y)
        gather_weights(job)
    if job.mixup != 0 and job.is_training:
        call_step(job.mixup, job)
    if not forward(job):
        return False
    ops, scale = ops_of(job), job.capacity * PANEL
    if job.takes_logits:
        last = ops[ops.size - 1]
        n_panels = (job.n_samples + PANEL - 1) // PANEL
        copy(buffer_of(job), last.source * scale, last.target * scale, job.n_outputs * job.positions * PANEL * n_panels)
    sums, at = sums_of(job), job.thread * N_SUMS
    if job.n_samples > 0:
        loss = call_loss(job.loss, job, job.loss_scale / weight if weight > 0.0 else 0.0) * job.loss_scale
        sums[at + LOSS] += loss
        sums[at + WEIGHT] += _weigh(job)
        if job.metrics != 0:
            call_step(job.metrics, job)
    if job.updates:
        sums[at + BATCH_LOSS] = loss if job.n_samples > 0 else 0.0
        if not wait_for_all(shared_of(job), job.n_threads):
            return False
        if not np.isfinite(batch_loss(job)):
            job.updates = 0
    if job.mode == EVALUATE:
        return True
    if not backward(job):
        return False
    if job.input_gradient.gather != 0 and job.n_samples > 0:
        call_data(job.input_gradient.gather, job, job.input_gradient)
    return True


@inner
def add_gradients(job, target, n_threads, first, last):
    """gradients[target:] = gradients of thread 0 + of thread 1 + ... on the range [first, last), in this order."""
    gradients, stride = gradients_of(job), job.parameter_stride
    for i in range(first, last, lanes(gradients)):
        total_gradient = load(gradients, i)
        for thread in range(1, n_threads):
            total_gradient = total_gradient + load(gradients, thread * stride + i)
        store(gradients, target + i, total_gradient)


@inner
def _penalty_scale(job, weight):
    """What the batch multiplies its penalties by.

    The penalty of a batch counts once, whatever the batch weighs. Divided per sample (as scikit-learn has it) it is
    a part of the sum already, so that an evaluation, which is one batch in many pieces, counts it once.
    """
    if not job.penalty_per_sample:
        return 1.0
    if job.mode == EVALUATE and job.position > 0:
        return 0.0
    return 1.0 / weight if weight > 0.0 else 0.0


@inner
def update(job, n_active):
    """Update this thread's range of the parameters from the gradients of the threads; False if the team was dismissed.

    The gradient of a range is summed up a piece just before its update, unless something looks at the whole of it.
    """
    first, last = own_range(job)
    if job.clip != 0:
        if not call_step(job.clip, job):
            return False
        if job.decay != 0:
            call_update(job.decay, job, job.gradients, first, last)
        call_update(job.update, job, job.gradients, first, last)
    elif job.n_threads > 1:
        # Each thread sums up its range in its own vector: lines that another thread wrote are read once, and nobody has
        # to fetch them back.
        for begin in range(first, last, PIECE):
            end = min(begin + PIECE, last)
            add_gradients(job, job.thread * job.parameter_stride, n_active, begin, end)
            update_range(job, job.gradient, begin, end)
    else:
        update_range(job, job.gradient, first, last)
    return True


@inner
def end_step(job):
    """What follows an update: limits on norms, the average, running statistics; False if the team was dismissed."""
    if job.constrain != 0 and not call_step(job.constrain, job):
        return False
    if job.average != 0:
        call_step(job.average, job)
    if job.sees_batch and job.thread == 0:
        ops = ops_of(job)
        for o in range(ops.size):
            op = ops[o]
            if op.after_update != 0:
                call_op(op.after_update, job, op)
    return True


@kernel
def run(jobs, thread, n_steps):
    """Do up to `n_steps` batches as thread number `thread` of the team: of this epoch and of `epochs_left` others.

    Thread 0, the caller, returns when they are done. A helper does its part of this call and, with the same jobs but
    for the number of steps, of all that follow, until it is sent back.

    Parameters
    ----------
    jobs : records of `tables.job_record`, one a thread
    """
    mode = flush_denormals()
    job = jobs[thread]
    shared = shared_of(job)
    if thread == 0:
        open_call(shared, n_steps)
    generation = shared[GENERATION]
    while True:
        if thread > 0:
            n_steps = wait_for_call(shared, generation)
            if n_steps < 0:
                break
        _run_steps(job, n_steps)
        if thread == 0:
            break
    restore_denormals(mode)


@inner
def _run_steps(job, n_steps):
    n_threads, sums, own = job.n_threads, sums_of(job), job.thread * N_SUMS
    first, last = own_range(job)
    job.is_training = job.mode == TRAIN or job.mode == OUTPUTS
    job.goes_back = job.mode == TRAIN or job.mode == GRADIENT
    for _ in range(n_steps):
        if job.failed:
            break
        if job.position >= job.n_rows and (job.epochs_left == 0 or not begin_next_epoch(job)):
            break
        n = min(job.batch_size, job.n_rows - job.position)
        weight = _batch_weight(job, job.position, n)
        n_panels = (n + PANEL - 1) // PANEL
        # In a small last batch some threads have no share, so nothing to add up either.
        n_active = min(n_threads, n_panels)
        panel = min(job.thread, n_active) * n_panels // n_active
        last_panel = min(job.thread + 1, n_active) * n_panels // n_active
        loss_before = sums[own + LOSS]
        job.start = ZERO
        # Where an op looks at the whole batch, every thread has to come: with all of its share at once, or with none.
        meets = job.sees_batch and job.is_training
        job.batch_rows = n
        job.rate = job.learning_rate if job.schedule == 0 else call_schedule(job.schedule, job, job.step)
        job.penalty_scale, job.penalty_sum = _penalty_scale(job, weight), 0.0
        by_layer = job.by_layer and n_active == n_threads and (n_panels + n_threads - 1) // n_threads <= job.capacity
        job.updates = by_layer
        while panel < last_panel or (meets and job.start == ZERO):
            n_micro = min(job.capacity, last_panel - panel)
            job.first_sample = panel * PANEL
            job.n_samples = max(0, min(n_micro * PANEL, n - panel * PANEL))
            if not _micro_batch(job, weight):
                return
            job.start = ADD
            panel += n_micro
        if job.goes_back:
            sums[own + BATCH_LOSS] = sums[own + LOSS] - loss_before
            if not wait_for_all(shared_of(job), n_threads):
                return
            if job.mode == GRADIENT or job.clip != 0:  # the whole gradient is wanted, in the first thread's vector
                if n_threads > 1:
                    add_gradients(job, 0, n_active, first, last)
                if job.penalty != 0:
                    call_update(job.penalty, job, job.gradients, first, last)
            if job.mode == TRAIN:
                if not np.isfinite(batch_loss(job)):
                    job.failed = NOT_FINITE
                    break
                if not by_layer and not update(job, n_active):
                    return
                if not end_step(job):
                    return
                job.step += 1
            if not wait_for_all(shared_of(job), n_threads):
                return
        elif job.mode == EVALUATE and job.penalty != 0:
            call_update(job.penalty, job, job.gradients, first, last)
        sums[own + LOSS] += weight * job.penalty_sum
        job.position += n
    # Nobody is past this before all are done: then Python may read the sums, and change what the next call reads.
    wait_for_all(shared_of(job), n_threads)


@kernel
def predict(jobs, x_address, x_row_stride, x_column_stride, n, out_address, out_row_stride, out_column_stride):
    """Write the network's outputs for n consecutive rows; the job has units to gather and scatter, and no order."""
    mode = flush_denormals()
    job = jobs[0]
    job.x.address, job.x.row_stride, job.x.column_stride = x_address, x_row_stride, x_column_stride
    job.y.address, job.y.row_stride, job.y.column_stride = out_address, out_row_stride, out_column_stride
    job.position = job.is_training = job.goes_back = 0
    step = job.capacity * PANEL
    for first in range(0, n, step):
        job.first_sample, job.n_samples = first, min(step, n - first)
        call_data(job.x.gather, job, job.x)
        if job.n_row_lengths > 0:
            gather_lengths(job)
        forward(job)
        call_data(job.y.gather, job, job.y)
    restore_denormals(mode)


__all__ = ["PARAMETERS", "add_gradients", "batch_loss", "begin_next_epoch", "end_step", "predict", "run", "update"]
