"""The training kernel: many steps in one call, from gathering a batch to updating the parameters.

A batch is cut over the threads of the team by whole panels; each thread runs its share through the network in
micro-batches of at most `capacity` panels, which stay in cache through all layers, and adds their gradients up in a
vector of its own. The vectors are added in the order of the threads, each thread taking one range of them, and the
same range of the parameters is updated.

Jobs
----
- `run`: steps of training, or one pass for loss, gradient and metrics, as `job.mode` says
- `predict`: outputs of consecutive rows
"""

import numpy as np

from fastnn.kernels.activations import copy
from fastnn.kernels.constraints import clip_gradient, hold_norms
from fastnn.kernels.data import gather, gather_weights, scatter
from fastnn.kernels.epochs import turn_epoch
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.layers import backward, forward, own_range
from fastnn.kernels.layerwise import suits
from fastnn.kernels.losses import panel_loss
from fastnn.kernels.mixup import mix_panels, mixup_weight
from fastnn.kernels.normalization import keep_statistics
from fastnn.kernels.optimizers import average, update
from fastnn.kernels.penalties import add_penalties, update_penalized
from fastnn.kernels.schedules import rate_at
from fastnn.kernels.simd import flush_denormals, lanes, load, restore_denormals, store
from fastnn.kernels.tables import Failure, Loss, Mode, Source, Sum
from fastnn.kernels.team import GENERATION, open_call, wait_for_all, wait_for_call
from fastnn.kernels.tile import ADD, ZERO

TRAIN = int(Mode.TRAIN)
GRADIENT = int(Mode.GRADIENT)
EVALUATE = int(Mode.EVALUATE)
OUTPUTS = int(Mode.OUTPUTS)
FLOAT64 = int(Source.FLOAT64)
LOSS = int(Sum.LOSS)
BATCH_LOSS = int(Sum.BATCH_LOSS)
FIRST_LOGIT_LOSS = int(Loss.SIGMOID_LOG_LOSS)
LOG_LOSS = int(Loss.LOG_LOSS)
NOT_FINITE = int(Failure.LOSS)

PIECE = 8192  # elements of a gradient that are summed up and used at once: they stay in cache between the two


@inner
def _batch_weight(job, sample_weight, order, first, n):
    if sample_weight.size == 0:
        return float(n)
    weight = 0.0
    for i in range(first, first + n):
        weight += sample_weight[order[i] if order.size > 0 else i]
    return weight


@inner
def _batch_loss(job, sums):
    """The sum over all threads, each in the same order, so that all come to the same verdict."""
    loss = 0.0
    for thread in range(job.n_threads):
        loss += sums[thread, BATCH_LOSS]
    return loss


@inner
def _micro_batch(job, ops, variables, parameters, gradients, moments, buffer, workspaces, shared, sample_weight, order,
                 first, sample, n, weight, start, updates, all_sums):  # fmt: skip
    """Add the loss and, where wanted, the gradient of n samples from position `sample` of the batch.

    With `updates` the layers are updated instead, unless the loss is not finite. False if the team was dismissed. With
    batch normalisation a thread without samples calls this too, with n = 0.
    """
    scale = job.capacity * PANEL
    sums = all_sums[job.thread]
    loss_before = sums[LOSS]
    is_training = job.mode == TRAIN or job.mode == OUTPUTS
    smoothed_to = (
        0.5 if job.n_outputs == 1 or job.loss == LOG_LOSS or job.loss == FIRST_LOGIT_LOSS else 1.0 / job.n_outputs
    )
    if n > 0:
        gather(buffer, job.input * scale, job.staging * scale, job.x_address, job.x_row_stride, job.x_column_stride,
               job.x_source, order, first + sample, n, job.n_inputs, 0.0, 0.0)  # fmt: skip
    if job.mode == OUTPUTS:
        if not forward(job, ops, ops.size, parameters, buffer, workspaces, shared, n, sample, is_training, False):
            return False
        scatter(buffer, job.output * scale, n, job.n_outputs, job.y_address + (first + sample) * job.y_row_stride,
                job.y_row_stride, job.y_column_stride, job.y_source == FLOAT64)  # fmt: skip
        return True
    if n > 0:
        gather(buffer, job.targets * scale, job.staging * scale, job.y_address, job.y_row_stride, job.y_column_stride,
               job.y_source, order, first + sample, n, job.n_outputs, job.label_smoothing, smoothed_to)  # fmt: skip
        gather_weights(buffer, job.weights * scale, sample_weight, order, first + sample, n)
    if job.mixup > 0.0 and is_training:
        own = mixup_weight(job)
        mix_panels(job, buffer, job.input * scale, job.n_inputs, sample, n, own, job.staging * scale)
        mix_panels(job, buffer, job.targets * scale, job.n_outputs, sample, n, own, job.staging * scale)
    # A loss that takes logits computes the last activation itself, from where its output would lie.
    takes_logits = job.loss >= FIRST_LOGIT_LOSS
    n_ops = ops.size - 1 if takes_logits else ops.size
    if not forward(job, ops, n_ops, parameters, buffer, workspaces, shared, n, sample, is_training,
                   job.mode != EVALUATE):  # fmt: skip
        return False
    if takes_logits:
        last = ops[n_ops]
        copy(buffer, last.source * scale, last.target * scale, last.units * PANEL * ((n + PANEL - 1) // PANEL))
    factor = job.loss_scale / weight if weight > 0.0 else 0.0
    for panel in range((n + PANEL - 1) // PANEL):
        at = panel * job.n_outputs * PANEL
        panel_loss(job, buffer, job.output * scale + at, job.targets * scale + at,
                   job.weights * scale + panel * PANEL, job.delta * scale + at, factor, sums)  # fmt: skip
    if updates:
        sums[BATCH_LOSS] = sums[LOSS] - loss_before
        if not wait_for_all(shared, job.n_threads):
            return False
        updates = np.isfinite(_batch_loss(job, all_sums))
    if job.mode != EVALUATE:
        return backward(job, ops, n_ops, variables, parameters, gradients, moments, buffer, workspaces, shared, n,
                        sample, is_training, start, updates)  # fmt: skip
    return True


@inner
def _add_gradients(gradients, target, stride, n_threads, first, last):
    """gradients[target:] = gradients of thread 0 + of thread 1 + ... on the range [first, last), in this order."""
    for i in range(first, last, lanes(gradients)):
        total_gradient = load(gradients, i)
        for thread in range(1, n_threads):
            total_gradient = total_gradient + load(gradients, thread * stride + i)
        store(gradients, target + i, total_gradient)


@inner
def _clips(job):
    """Whether something needs the sum of the whole gradient before the update."""
    return job.clip_value > 0.0 or job.clip_norm > 0.0 or job.global_clip_norm > 0.0


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


@kernel
def run(jobs, thread, n_steps, ops, variables, order, parameters, moments, gradients, workspaces, sample_weight, sums,
        shared, snapshots, records):  # fmt: skip
    """Do up to `n_steps` batches as thread number `thread` of the team: of this epoch and of `epochs_left` others.

    Thread 0, the caller, returns when they are done. A helper does its part of this call and, with the same arguments
    but for the number of steps, of all that follow, until it is sent back.

    Parameters
    ----------
    jobs : JOB records, one a thread
    ops, variables : the network's tables
    order : (n_rows,) int64, the permutation of this epoch; empty for rows in order
    parameters, moments : flat vectors of the network (with its running statistics behind) and of the optimizer
    gradients : one vector of parameter_stride a thread, then one area of `layerwise.area_size` a thread
    workspaces : (n_threads * size,), one buffer a thread
    sample_weight : (n_rows,) float64 or empty
    sums : (n_threads, N_SUMS) float64, the running sums of each thread
    shared : (team.SHARED_SIZE,) int64, the team's barrier
    snapshots : (2, parameters.size), the parameters that this epoch and the one before began with; empty without
        further epochs
    records : (epochs, N_SUMS) float64, the sums of the epochs that calls ended; empty without further epochs
    """
    mode = flush_denormals()
    if thread == 0:
        open_call(shared, n_steps)
    generation = shared[GENERATION]
    while True:
        if thread > 0:
            n_steps = wait_for_call(shared, generation)
            if n_steps < 0:
                break
        _run_steps(jobs, thread, n_steps, ops, variables, order, parameters, moments, gradients, workspaces,
                   sample_weight, sums, shared, snapshots, records)  # fmt: skip
        if thread == 0:
            break
    restore_denormals(mode)


@inner
def _run_steps(jobs, thread, n_steps, ops, variables, order, parameters, moments, gradients, workspaces,
               sample_weight, sums, shared, snapshots, records):  # fmt: skip
    job = jobs[thread]
    n_threads = job.n_threads
    stride = job.parameter_stride
    size = workspaces.size // n_threads
    buffer = workspaces[thread * size : (thread + 1) * size]
    gradient = gradients[thread * stride : (thread + 1) * stride]
    own_sums = sums[thread]
    own = np.int64(0)  # where a thread's gradient vector begins; no literal, which `update` would be compiled for again
    # Each thread reduces and updates one range of whole cache lines.
    first_element, last_element = own_range(job, parameters)
    in_pieces = job.mode == TRAIN and not _clips(job)
    by_layer = in_pieces and suits(job, ops)
    for _ in range(n_steps):
        if job.failed:
            break
        if job.position >= job.n_rows and (
            job.epochs_left == 0 or not turn_epoch(jobs, thread, order, parameters, snapshots, records, sums, shared)
        ):
            break
        n = min(job.batch_size, job.n_rows - job.position)
        weight = _batch_weight(job, sample_weight, order, job.position, n)
        n_panels = (n + PANEL - 1) // PANEL
        # In a small last batch some threads have no share, so nothing to add up either.
        n_active = min(n_threads, n_panels)
        panel = min(thread, n_active) * n_panels // n_active
        last_panel = min(thread + 1, n_active) * n_panels // n_active
        loss_before = own_sums[LOSS]
        start = ZERO
        # To statistics of the batch every thread has to come, with all of its share at once or with nothing.
        meets = job.has_batch_statistics and (job.mode == TRAIN or job.mode == OUTPUTS)
        job.batch_rows = n
        job.rate = rate_at(job, job.step)
        job.penalty_scale, job.penalty = _penalty_scale(job, weight), 0.0
        updates = by_layer and n_active == n_threads and (n_panels + n_threads - 1) // n_threads <= job.capacity
        while panel < last_panel or (meets and start == ZERO):
            n_micro = min(job.capacity, last_panel - panel)
            n_samples = max(0, min(n_micro * PANEL, n - panel * PANEL))
            if not _micro_batch(job, ops, variables, parameters, gradients, moments, buffer, workspaces, shared,
                                sample_weight, order, job.position, panel * PANEL, n_samples, weight, start, updates,
                                sums):  # fmt: skip
                return
            start = ADD
            panel += n_micro
        if job.mode == TRAIN or job.mode == GRADIENT:
            own_sums[BATCH_LOSS] = own_sums[LOSS] - loss_before
            if not wait_for_all(shared, n_threads):
                return
            if not in_pieces:
                if n_threads > 1:
                    _add_gradients(gradients, 0, stride, n_active, first_element, last_element)
                add_penalties(job, variables, parameters, gradients, first_element, last_element, own)
            if job.mode == TRAIN:
                if not np.isfinite(_batch_loss(job, sums)):
                    job.failed = NOT_FINITE
                    break
                if updates:  # done, layer by layer
                    pass
                elif n_threads > 1 and in_pieces:
                    # Each thread sums up its range in its own vector, a piece just before its update: lines that
                    # another thread wrote are read once, and nobody has to fetch them back.
                    for begin in range(first_element, last_element, PIECE):
                        end = min(begin + PIECE, last_element)
                        _add_gradients(gradients, thread * stride, stride, n_active, begin, end)
                        update_penalized(job, variables, parameters, gradient, moments, begin, end, own)
                elif in_pieces:
                    update_penalized(job, variables, parameters, gradient, moments, first_element, last_element, own)
                else:
                    clip_gradient(job, variables, gradients, sums, shared, thread, first_element, last_element)
                    update(job, variables, parameters, gradients, moments, first_element, last_element, own)
                hold_norms(job, variables, parameters, shared, thread)
                average(job, parameters, moments, first_element, last_element)
                if job.has_batch_statistics and thread == 0:
                    keep_statistics(job, ops, parameters, buffer)
                job.step += 1
            if not wait_for_all(shared, n_threads):
                return
        elif job.mode == EVALUATE:
            add_penalties(job, variables, parameters, gradients, first_element, last_element, own)
        own_sums[LOSS] += weight * job.penalty
        job.position += n
    # Nobody is past this before all are done: then Python may read the sums, and change what the next call reads.
    wait_for_all(shared, n_threads)


@kernel
def predict(job_array, ops, parameters, buffer, order, x_address, x_row_stride, x_column_stride, x_source, n,
            out_address, out_row_stride, out_column_stride, is_double):  # fmt: skip
    """Write the network's outputs for n consecutive rows; `order` is empty."""
    mode = flush_denormals()
    job = job_array[0]
    scale = job.capacity * PANEL
    step = job.capacity * PANEL
    for first in range(0, n, step):
        count = min(step, n - first)
        gather(buffer, job.input * scale, job.staging * scale, x_address, x_row_stride, x_column_stride, x_source,
               order, first, count, job.n_inputs, 0.0, 0.0)  # fmt: skip
        forward(job, ops, ops.size, parameters, buffer, buffer, order, count, 0, False, False)
        scatter(buffer, job.output * scale, count, job.n_outputs, out_address + first * out_row_stride, out_row_stride,
                out_column_stride, is_double)  # fmt: skip
    restore_denormals(mode)
