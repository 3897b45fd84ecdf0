"""The LSTM op [1]_, with forget gates [2]_; gates in the order i, f, c, o.

    i, f, o = recurrent_activation(x_t W + h_(t-1) U + b),    g = activation(...)
    c_t = f c_(t-1) + i g,    h_t = o activation(c_t)

References
----------
.. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
.. [2] F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.ops.recurrent import backward_of, forward_of
from fastnn.kernels.ops.recurrent_rows import lstm_row
from fastnn.kernels.recurrence import (
    DETAILS,
    block_after,
    block_before,
    goes_on,
    keep_delta,
    put_out,
    slope,
    squash,
)
from fastnn.kernels.recurrent_products import add_all_gradients, multiply_states
from fastnn.kernels.simd import fma, lanes, load, select, store
from fastnn.kernels.units import OpKind
from fastnn.kernels.views import buffer_of


@inner
def _multiply(job, op, run, gates, time, has_state):
    if has_state:
        multiply_states(job, op, run, run.states + block_before(run, time) * run.block, 0, 4, gates)


@inner
def _activate(job, own, run, gates, time, target):
    """Gates, cell and state of one step, in one pass."""
    buffer, gate = buffer_of(job), run.gate
    before, after = run.cells + block_before(run, time) * run.block, run.cells + block_after(run, time) * run.block
    state = run.states + block_after(run, time) * run.block
    state_before = run.states + block_before(run, time) * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            into = squash(own.recurrent_activation, load(buffer, gates + i))
            keep = squash(own.recurrent_activation, load(buffer, gates + gate + i))
            new = squash(own.activation, load(buffer, gates + 2 * gate + i))
            out = squash(own.recurrent_activation, load(buffer, gates + 3 * gate + i))
            store(buffer, gates + i, into)
            store(buffer, gates + gate + i, keep)
            store(buffer, gates + 2 * gate + i, new)
            store(buffer, gates + 3 * gate + i, out)
            cell = fma(keep, load(buffer, before + i), into * new)
            h = out * squash(own.activation, cell)
            if run.lengths >= 0:
                is_on = goes_on(buffer, run, i, at, time)
                cell = select(is_on, cell, load(buffer, before + i))
                h = select(is_on, h, load(buffer, state_before + i))
            store(buffer, after + i, cell)
            store(buffer, state + i, h)
            if target >= 0:
                put_out(buffer, own, run, target, i, at, time, h)


@inner
def _activate_back(job, own, run, gates, time, delta):
    """The deltas of what the gates are activated from, in place of the gates, and the delta of the cell before."""
    buffer, gate = buffer_of(job), run.gate
    before, after = run.cells + block_before(run, time) * run.block, run.cells + block_after(run, time) * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            into, keep = load(buffer, gates + i), load(buffer, gates + gate + i)
            new, out = load(buffer, gates + 2 * gate + i), load(buffer, gates + 3 * gate + i)
            dh = load(buffer, run.carry + i)
            if delta >= 0:
                dh = dh + load(buffer, delta + i)
            if run.lengths >= 0:
                dh = keep_delta(buffer, own, run, i, at, time, dh)
            squashed = squash(own.activation, load(buffer, after + i))
            dc = fma(dh * out, slope(own.activation, squashed), load(buffer, run.cell_carry + i))
            if run.lengths >= 0:
                is_on = goes_on(buffer, run, i, at, time)
                store(buffer, run.cell_carry + i, select(is_on, dc * keep, dc))  # of an ended sequence dc is as it was
                dc = select(is_on, dc, 0.0)
            else:
                store(buffer, run.cell_carry + i, dc * keep)
            d_into = dc * new * slope(own.recurrent_activation, into)
            d_keep = dc * load(buffer, before + i) * slope(own.recurrent_activation, keep)
            store(buffer, gates + i, d_into)
            store(buffer, gates + gate + i, d_keep)
            store(buffer, gates + 2 * gate + i, dc * into * slope(own.activation, new))
            store(buffer, gates + 3 * gate + i, dh * squashed * slope(own.recurrent_activation, out))


LSTM = OpKind(
    "lstm", forward_of("lstm_forward", 2, _multiply, _activate),
    backward_of("lstm_backward", 2, _activate_back, add_all_gradients, False), lstm_row, details=DETAILS,
    one_panel=True, minds_lengths=True,
)  # fmt: skip
