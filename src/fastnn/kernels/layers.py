"""The forward and backward pass: one walk over the table of ops, in order and in reverse.

To add a layer: write its forward and backward kernel (a file of its own if they are long), give it a number in
`tables.Layer`, call both in the two walks below, and declare it in `fastnn/layers.py`.

Jobs
----
- `forward`: activations of every op for a run of panels
- `backward`: gradients of all parameters, added to (or put into) one flat gradient

References
----------
.. [1] D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors",
       Nature 323, 1986.
.. [2] N. Srivastava et al., "Dropout", JMLR 15, 2014 (in its inverted form: scaled while training).
"""

from fastnn.kernels.activations import activate, activate_backward
from fastnn.kernels.gemm import (
    PANEL,
    multiply_forward,
    multiply_input_gradient,
    multiply_weight_gradient,
    transpose_deltas,
)
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.layerwise import LEAST_PARAMETERS, update_dense, update_vectors
from fastnn.kernels.narrow import group_of, multiply_narrow, transpose_narrow
from fastnn.kernels.normalization import batch_backward, batch_forward, layer_backward, layer_forward
from fastnn.kernels.random import keep_scale, mix, normal
from fastnn.kernels.simd import filled, lanes, load, store
from fastnn.kernels.tables import Layer
from fastnn.kernels.team import wait_for_all

DENSE = int(Layer.DENSE)
ACTIVATION = int(Layer.ACTIVATION)
DROPOUT = int(Layer.DROPOUT)
GAUSSIAN_NOISE = int(Layer.GAUSSIAN_NOISE)
LAYER_NORMALIZATION = int(Layer.LAYER_NORMALIZATION)
BATCH_NORMALIZATION = int(Layer.BATCH_NORMALIZATION)


@inner
def _dropout(job, op, buffer, source, target, n_panels, first_sample):
    """target = source * mask, the mask a pure function of (seed, step, layer, unit, position in the batch)."""
    key = mix(mix(job.seed, job.step), op.layer)
    for unit in range(op.units):
        unit_key = mix(key, unit)
        for panel in range(n_panels):
            at = (panel * op.units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                scale = keep_scale(buffer, unit_key, first_sample + panel * PANEL + column, op.value)
                store(buffer, target + at + column, load(buffer, source + at + column) * scale)


@inner
def _gaussian_noise(job, op, buffer, source, target, n_panels, first_sample):
    """target = source + standard deviation * noise, keyed as the masks of dropout."""
    key = mix(mix(job.seed, job.step), op.layer)
    for unit in range(op.units):
        unit_key = mix(key, unit)
        for panel in range(n_panels):
            at = (panel * op.units + unit) * PANEL
            for column in range(0, PANEL, lanes(buffer)):
                noise = normal(buffer, unit_key, first_sample + panel * PANEL + column) * filled(buffer, op.value)
                store(buffer, target + at + column, load(buffer, source + at + column) + noise)


@inner
def forward(job, ops, n_ops, parameters, buffer, workspaces, shared, n_samples, first_sample, is_training,
            keeps_slopes):  # fmt: skip
    """Run the first `n_ops` ops on the panels that hold `n_samples` samples; False if the team was dismissed.

    `first_sample` is the position in the batch of the first of them, the counter of their random numbers;
    `keeps_slopes` says that a backward pass follows, whether in training or not. `workspaces` (the buffers of all
    threads) and `shared` are for ops that look at the whole batch; for those a thread without samples calls this too.
    """
    scale = job.capacity * PANEL
    n_panels = (n_samples + PANEL - 1) // PANEL
    for o in range(n_ops):
        op = ops[o]
        source, target, extra = op.source * scale, op.target * scale, op.extra * scale
        if op.kind == BATCH_NORMALIZATION:
            if not batch_forward(job, op, parameters, buffer, workspaces, shared, source, target, extra, scale,
                                 n_samples, is_training):  # fmt: skip
                return False
        elif n_samples == 0:
            continue
        elif op.kind == DENSE:
            multiply_forward(parameters, op.weights, op.bias, op.fan_in, op.units, buffer, source, target, n_samples,
                             job.strips * scale, job.n_threads > 1)  # fmt: skip
        elif op.kind == ACTIVATION:
            activate(op.code, op.value, buffer, source, target, extra, op.units, n_panels, keeps_slopes)
        elif op.kind == LAYER_NORMALIZATION:
            layer_forward(op, parameters, buffer, source, target, extra, scale, n_samples)
        elif op.kind == DROPOUT and is_training:
            _dropout(job, op, buffer, source, target, n_panels, first_sample)
        elif op.kind == GAUSSIAN_NOISE and is_training:
            _gaussian_noise(job, op, buffer, source, target, n_panels, first_sample)
        else:  # what is random in training only
            activate(-1, 0.0, buffer, source, target, 0, op.units, n_panels, False)
    return True


@inlined
def own_range(job, parameters):
    """The whole cache lines of parameters that this thread updates where the gradients of all threads are summed up."""
    n_lines = job.parameter_stride // lanes(parameters)
    first = job.thread * n_lines // job.n_threads * lanes(parameters)
    return first, (job.thread + 1) * n_lines // job.n_threads * lanes(parameters)


@inner
def backward(job, ops, n_ops, variables, parameters, gradients, moments, buffer, workspaces, shared, n_samples,
             first_sample, is_training, start, updates):  # fmt: skip
    """Walk the ops in reverse from the delta of the last one's output; `start` is tile.ZERO or tile.ADD.

    With `updates` each layer is updated as soon as its gradient is made, and the gradient is not kept. False if the
    team was dismissed.
    """
    stride = job.parameter_stride
    gradient = gradients[job.thread * stride : (job.thread + 1) * stride]
    scale = job.capacity * PANEL
    n_panels = (n_samples + PANEL - 1) // PANEL
    delta, other = job.delta * scale, job.other_delta * scale
    strips = job.strips * scale
    limit = job.parameter_stride  # parameters from here on are updated
    for o in range(n_ops - 1, -1, -1):
        op = ops[o]
        source, target, extra = op.source * scale, op.target * scale, op.extra * scale
        if op.kind == BATCH_NORMALIZATION:
            batch_backward(job, op, parameters, gradient, buffer, workspaces, shared, delta, extra, scale, n_samples,
                           is_training, start)  # fmt: skip
            if updates:
                limit = update_vectors(job, variables, op.weights, parameters, gradients, moments, limit)
        elif op.kind == DENSE:
            if op.has_gradient_below and n_samples > 0:
                multiply_input_gradient(parameters, op.weights, op.fan_in, op.units, buffer, delta, other, n_samples)
            # Other threads may still read the strips of the layer behind.
            if updates and not wait_for_all(shared, job.n_threads):
                return False
            group = group_of(op.units, lanes(buffer)) if job.n_parameters < LEAST_PARAMETERS else 1
            if n_samples > 0 and group > 1:
                transpose_narrow(buffer, delta, op.units, n_samples, strips, group)
            elif n_samples > 0:
                transpose_deltas(buffer, delta, op.units, n_samples, strips)
            if updates:
                if not wait_for_all(shared, job.n_threads):
                    return False
                limit = update_dense(job, variables, op, parameters, gradients, moments, workspaces, source, strips,
                                     limit)  # fmt: skip
            elif n_samples > 0 and group > 1:
                multiply_narrow(gradient, op.weights, op.bias, op.fan_in, op.units, buffer, source, strips, n_samples,
                                start, group)  # fmt: skip
            elif n_samples > 0 and job.n_threads > 1 and not op.has_gradient_below:
                first, end = own_range(job, parameters)  # what this thread updates next; nobody reads it any more
                multiply_weight_gradient(gradient, op.weights, op.bias, 0, op.fan_in, op.fan_in, op.units, buffer,
                                         source, strips, n_samples, start, parameters, first, end)  # fmt: skip
            elif n_samples > 0:
                multiply_weight_gradient(gradient, op.weights, op.bias, 0, op.fan_in, op.fan_in, op.units, buffer,
                                         source, strips, n_samples, start, None, 0, 0)  # fmt: skip
            if not op.has_gradient_below:
                return True
            delta, other = other, delta
        elif op.kind == ACTIVATION:
            activate_backward(op.code, op.value, buffer, target, extra, delta, op.units, n_panels)
        elif op.kind == LAYER_NORMALIZATION:
            layer_backward(op, parameters, gradient, buffer, delta, extra, scale, n_samples, start)
            if updates:
                limit = update_vectors(job, variables, op.weights, parameters, gradients, moments, limit)
        elif op.kind == DROPOUT and is_training:
            _dropout(job, op, buffer, delta, delta, n_panels, first_sample)
    return True
