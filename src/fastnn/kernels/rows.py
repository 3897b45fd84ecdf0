"""Inference for single rows, without panels: one row's latency is what a control loop or a simulation waits for.

A panel computes 16 samples where there is one. Here the vectors run along the units instead: an activation is a plain
row, padded to whole vectors, and the buffer is two such rows between which the layers go back and forth. Sums are
taken in the same order as in panels, so a row alone gives the same bits as within a batch.

To add a layer: its inference on one row, its kind in `KINDS`, and a branch in `forward_row`.

Jobs
----
- `forward_row`: all ops on one row
- `predict_rows`: outputs of the rows of an array
- `predict_row`: outputs for one row of any type that can be indexed, for compiled code of the user
"""

from fastnn.kernels.activations import SOFTMAX, activate_flat
from fastnn.kernels.elementary import exp
from fastnn.kernels.jit import inner, kernel
from fastnn.kernels.simd import filled, fma, lanes, load, maximum, sqrt, store
from fastnn.kernels.tables import Layer

DENSE = int(Layer.DENSE)
ACTIVATION = int(Layer.ACTIVATION)
DROPOUT = int(Layer.DROPOUT)
GAUSSIAN_NOISE = int(Layer.GAUSSIAN_NOISE)
LAYER_NORMALIZATION = int(Layer.LAYER_NORMALIZATION)
BATCH_NORMALIZATION = int(Layer.BATCH_NORMALIZATION)
KINDS = (DENSE, ACTIVATION, DROPOUT, GAUSSIAN_NOISE, LAYER_NORMALIZATION, BATCH_NORMALIZATION)

_CHAINS = 4  # sums that run side by side, since each waits for its last product


@inner
def _start(parameters, bias, column, buffer):
    return load(parameters, bias + column) if bias >= 0 else filled(buffer, 0.0)


@inner
def _dense(parameters, weights, bias, fan_in, units, buffer, source, target):
    """z = x W + b. Lanes beyond the last unit read on in the parameters, and are never looked at."""
    width = lanes(buffer)
    column = 0
    while column + _CHAINS * width <= units:
        at = weights + column
        z_0 = _start(parameters, bias, column, buffer)
        z_1 = _start(parameters, bias, column + width, buffer)
        z_2 = _start(parameters, bias, column + 2 * width, buffer)
        z_3 = _start(parameters, bias, column + 3 * width, buffer)
        for k in range(fan_in):
            x = filled(buffer, buffer[source + k])
            z_0 = fma(x, load(parameters, at), z_0)
            z_1 = fma(x, load(parameters, at + width), z_1)
            z_2 = fma(x, load(parameters, at + 2 * width), z_2)
            z_3 = fma(x, load(parameters, at + 3 * width), z_3)
            at += units
        store(buffer, target + column, z_0)
        store(buffer, target + column + width, z_1)
        store(buffer, target + column + 2 * width, z_2)
        store(buffer, target + column + 3 * width, z_3)
        column += _CHAINS * width
    while column < units:
        at = weights + column
        z = _start(parameters, bias, column, buffer)
        for k in range(fan_in):
            z = fma(filled(buffer, buffer[source + k]), load(parameters, at), z)
            at += units
        store(buffer, target + column, z)
        column += width


@inner
def _softmax(buffer, at, units):
    """In place, as `activations.softmax`; the sums are vectors of equal lanes, so that their order is kept."""
    largest = filled(buffer, buffer[at])
    for j in range(1, units):
        largest = maximum(largest, filled(buffer, buffer[at + j]))
    for column in range(0, units, lanes(buffer)):
        store(buffer, at + column, exp(load(buffer, at + column) - largest))
    normaliser = filled(buffer, 0.0)
    for j in range(units):
        normaliser = normaliser + filled(buffer, buffer[at + j])
    scale = 1.0 / normaliser
    for column in range(0, units, lanes(buffer)):
        store(buffer, at + column, load(buffer, at + column) * scale)


@inner
def _scale_and_shift(parameters, op, buffer, x_hat, unit):
    gamma = load(parameters, op.weights + unit) if op.weights >= 0 else filled(buffer, 1.0)
    beta = load(parameters, op.bias + unit) if op.bias >= 0 else filled(buffer, 0.0)
    return fma(x_hat, gamma, beta)


@inner
def _layer_normalization(op, parameters, buffer, at):
    """In place, as `normalization.layer_forward`; the sums are vectors of equal lanes, so that their order is kept."""
    share = filled(buffer, 1.0 / op.units)
    mean = filled(buffer, 0.0)
    for unit in range(op.units):
        mean = mean + filled(buffer, buffer[at + unit])
    mean = mean * share
    variance = filled(buffer, 0.0)
    for unit in range(op.units):
        difference = filled(buffer, buffer[at + unit]) - mean
        variance = fma(difference, difference, variance)
    inverse = 1.0 / sqrt(fma(variance, share, filled(buffer, op.value)))
    for unit in range(0, op.units, lanes(buffer)):
        x_hat = (load(buffer, at + unit) - mean) * inverse
        store(buffer, at + unit, _scale_and_shift(parameters, op, buffer, x_hat, unit))


@inner
def _batch_normalization(op, parameters, buffer, at):
    """In place, with the running statistics, as `normalization.batch_forward`."""
    epsilon = filled(buffer, op.value)
    for unit in range(0, op.units, lanes(buffer)):
        variance = load(parameters, op.state + op.units + unit)
        inverse = 1.0 / sqrt(variance + epsilon)
        x_hat = (load(buffer, at + unit) - load(parameters, op.state + unit)) * inverse
        store(buffer, at + unit, _scale_and_shift(parameters, op, buffer, x_hat, unit))


@inner
def forward_row(ops, parameters, buffer):
    """Run all ops on the row at the start of the buffer; return where their outputs lie."""
    width = lanes(buffer)
    source, target = 0, buffer.size // 2
    for o in range(ops.size):
        op = ops[o]
        if op.kind == DENSE:
            _dense(parameters, op.weights, op.bias, op.fan_in, op.units, buffer, source, target)
            source, target = target, source
        elif op.kind == LAYER_NORMALIZATION:
            _layer_normalization(op, parameters, buffer, source)
        elif op.kind == BATCH_NORMALIZATION:
            _batch_normalization(op, parameters, buffer, source)
        elif op.kind == ACTIVATION:
            if op.code == SOFTMAX:
                _softmax(buffer, source, op.units)
            else:
                size = (op.units + width - 1) // width * width
                activate_flat(op.code, op.value, buffer, source, source, 0, size, False)
    return source


@kernel
def predict_rows(X, out, ops, parameters, buffer):
    """Write the outputs for the rows of X into out; both are C-contiguous and of the network's dtype.

    The buffer holds two rows of the widest layer, each padded to whole vectors.
    """
    for row in range(X.shape[0]):
        for j in range(X.shape[1]):
            buffer[j] = X[row, j]
        at = forward_row(ops, parameters, buffer)
        for j in range(out.shape[1]):
            out[row, j] = buffer[at + j]


@kernel
def predict_row(x, n_inputs, out, n_outputs, ops, parameters, buffer):
    """Write the outputs for x[0], ..., x[n_inputs - 1] into out[0], ..., out[n_outputs - 1]."""
    for j in range(n_inputs):
        buffer[j] = x[j]
    at = forward_row(ops, parameters, buffer)
    for j in range(n_outputs):
        out[j] = buffer[at + j]
