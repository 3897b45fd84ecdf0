"""The GRU op [1]_, gates in the order z, r, h; the reset gate stands behind the recurrent product, as in cuDNN.

    z, r = recurrent_activation(x_t W + b + h_(t-1) U + b'),    m = h_(t-1) U_h + b'_h
    g = activation(x_t W_h + b_h + r m),    h_t = z h_(t-1) + (1 - z) g

The recurrent kernel sees another delta of the candidate than the kernel does: r times it. The backward pass keeps that
one with those of z and r, which the product for the step before needs side by side, and the other where m lay.

References
----------
.. [1] K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation",
       EMNLP 2014.
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.ops.recurrent import backward_of, forward_of
from fastnn.kernels.ops.recurrent_rows import gru_row
from fastnn.kernels.recurrence import (
    DETAILS,
    block_after,
    block_before,
    goes_on,
    keep_delta,
    put_out,
    slope,
    squash,
    unit_bias,
)
from fastnn.kernels.recurrent_products import (
    add_bias_gradient,
    add_gradients,
    add_recurrent_gradient,
    multiply_states,
    transpose_steps,
)
from fastnn.kernels.simd import fma, lanes, load, select, store
from fastnn.kernels.units import OpKind
from fastnn.kernels.views import buffer_of


@inner
def _multiply(job, op, run, gates, time, has_state):
    """m starts from its bias."""
    buffer, products = buffer_of(job), run.cells + time * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            store(buffer, products + i, unit_bias(job, run, run.bias + 5 * run.hidden, i, at))
    if has_state:
        before = run.states + block_before(run, time) * run.block
        multiply_states(job, op, run, before, 0, 2, gates)
        multiply_states(job, op, run, before, 2, 1, products)


@inner
def _activate(job, own, run, gates, time, target):
    """Gates and state of one step, in one pass."""
    buffer, gate = buffer_of(job), run.gate
    before, after = run.states + block_before(run, time) * run.block, run.states + block_after(run, time) * run.block
    products = run.cells + time * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            z_bias = unit_bias(job, run, run.bias + 3 * run.hidden, i, at)
            r_bias = unit_bias(job, run, run.bias + 4 * run.hidden, i, at)
            z = squash(own.recurrent_activation, load(buffer, gates + i) + z_bias)
            r = squash(own.recurrent_activation, load(buffer, gates + gate + i) + r_bias)
            m = load(buffer, products + i)
            new = squash(own.activation, fma(r, m, load(buffer, gates + 2 * gate + i)))
            store(buffer, gates + i, z)
            store(buffer, gates + gate + i, r)
            store(buffer, gates + 2 * gate + i, new)
            h = fma(z, load(buffer, before + i) - new, new)
            if run.lengths >= 0:
                h = select(goes_on(buffer, run, i, at, time), h, load(buffer, before + i))
            store(buffer, after + i, h)
            if target >= 0:
                put_out(buffer, own, run, target, i, at, time, h)


@inner
def _activate_back(job, own, run, gates, time, delta):
    """The deltas of the gates in their place, and the part of the state's delta that passes them by."""
    buffer, gate = buffer_of(job), run.gate
    before, products = run.states + block_before(run, time) * run.block, run.cells + time * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            z, r, new = load(buffer, gates + i), load(buffer, gates + gate + i), load(buffer, gates + 2 * gate + i)
            dh = load(buffer, run.carry + i)
            if delta >= 0:
                dh = dh + load(buffer, delta + i)
            if run.lengths >= 0:
                dh = keep_delta(buffer, own, run, i, at, time, dh)
                store(buffer, run.carry + i, fma(dh, z, load(buffer, run.carry + i)))
            else:
                store(buffer, run.carry + i, dh * z)
            d_new = (dh - dh * z) * slope(own.activation, new)
            dz = dh * (load(buffer, before + i) - new) * slope(own.recurrent_activation, z)
            dr = d_new * load(buffer, products + i) * slope(own.recurrent_activation, r)
            store(buffer, gates + i, dz)
            store(buffer, gates + gate + i, dr)
            store(buffer, gates + 2 * gate + i, d_new * r)
            store(buffer, products + i, d_new)


@inner
def _to_candidates(job, run, time, n_steps):
    """Put the candidates' deltas, as the kernel sees them, in place of those that the recurrent kernel sees."""
    buffer = buffer_of(job)
    for t in range(time, time + n_steps):
        gates, products = run.gates + t * run.step + 2 * run.gate, run.cells + t * run.block
        for at in range(0, run.block, run.row):
            for i in range(at, at + run.used, lanes(buffer)):
                store(buffer, gates + i, load(buffer, products + i))


@inner
def _add_gradients(job, op, run, time, n_steps, start):
    units = 3 * run.hidden
    if op.n_parameters > 0:
        transpose_steps(job, run, units, 0, time, n_steps)
        add_recurrent_gradient(job, op, run, time, n_steps, start)
        if run.bias >= 0:
            add_bias_gradient(job, op, run, run.bias + units, time, n_steps, start)
    _to_candidates(job, run, time, n_steps)
    if op.n_parameters > 0:
        transpose_steps(job, run, units, 2 * run.hidden, time, n_steps)
        add_gradients(job, op, run, time, n_steps, start)


GRU = OpKind(
    "gru", forward_of("gru_forward", 1, _multiply, _activate),
    backward_of("gru_backward", 1, _activate_back, _add_gradients, True), gru_row, details=DETAILS, one_panel=True,
    minds_lengths=True,
)  # fmt: skip
