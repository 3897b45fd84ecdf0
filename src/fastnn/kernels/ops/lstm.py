"""The LSTM op [1]_, with forget gates [2]_; gates in the order i, f, c, o.

    i, f, o = recurrent_activation(x_t W + h_(t-1) U + b),    g = activation(...)
    c_t = f c_(t-1) + i g,    h_t = o activation(c_t)

References
----------
.. [1] S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997.
.. [2] F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to Forget", Neural Computation 12(10), 2000.
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.recurrent_rows import lstm_row
from fastnn.kernels.recurrence import (
    DETAILS,
    add_gradients,
    add_input_deltas,
    add_recurrent_gradient,
    begin_state,
    block_after,
    block_before,
    carry_state,
    clear_block,
    clear_input_deltas_beyond,
    clear_outputs_beyond,
    clear_unused,
    delta_at,
    first_of,
    first_time,
    goes_on,
    keep_delta,
    multiply_back,
    multiply_inputs,
    multiply_states,
    new_run,
    open_run,
    own_record,
    put_out,
    slope,
    squash,
    start_of,
    target_at,
    time_of,
    transpose_steps,
)
from fastnn.kernels.simd import fma, lanes, load, select, store
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import buffer_of


@inner
def _gates(job, own, run, gates, time, target):
    """Gates, cell and state of one step, in one pass."""
    buffer, block = buffer_of(job), own.hidden * PANEL
    before, after = run.cells + block_before(run, time) * block, run.cells + block_after(run, time) * block
    state = run.states + block_after(run, time) * block
    state_before = run.states + block_before(run, time) * block
    for at in range(0, block, PANEL):
        for i in range(at, at + run.used, lanes(buffer)):
            into = squash(own.recurrent_activation, load(buffer, gates + i))
            keep = squash(own.recurrent_activation, load(buffer, gates + block + i))
            new = squash(own.activation, load(buffer, gates + 2 * block + i))
            out = squash(own.recurrent_activation, load(buffer, gates + 3 * block + i))
            store(buffer, gates + i, into)
            store(buffer, gates + block + i, keep)
            store(buffer, gates + 2 * block + i, new)
            store(buffer, gates + 3 * block + i, out)
            cell = fma(keep, load(buffer, before + i), into * new)
            h = out * squash(own.activation, cell)
            if run.lengths >= 0:
                is_on = goes_on(buffer, run, i - at, time)
                cell = select(is_on, cell, load(buffer, before + i))
                h = select(is_on, h, load(buffer, state_before + i))
            store(buffer, after + i, cell)
            store(buffer, state + i, h)
            if target >= 0:
                put_out(buffer, own, run, target + i, i - at, time, h)


@op_unit
def lstm_forward(job, op):
    """All steps of one panel after the other."""
    own, run = own_record(op), new_run()
    block = own.hidden * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            multiply_inputs(job, op, run)
            first = block_before(run, time_of(run, 0)) * block
            begin_state(job, run, run.states + first, 0, own.hidden)
            begin_state(job, run, run.cells + first, 1, own.hidden)
            for step in range(run.n_steps):
                time = time_of(run, step)
                gates = run.gates + time * 4 * block
                if step > 0 or run.carried != 0:
                    before = run.states + block_before(run, time) * block
                    multiply_states(job, op, run, before, 0, 4 * own.hidden, gates)
                target = target_at(op, run, step, time)
                _gates(job, own, run, gates, time, target)
                if target >= 0:
                    clear_unused(job, run, target, own.hidden)
            last = block_after(run, time_of(run, run.n_steps - 1)) * block
            carry_state(job, run, run.states + last, 0, own.hidden)
            carry_state(job, run, run.cells + last, 1, own.hidden)
            clear_outputs_beyond(job, op, run)
    return True


@inner
def _gates_back(job, own, run, gates, time, delta):
    """The deltas of what the gates are activated from, in place of the gates, and the delta of the cell before."""
    buffer, block = buffer_of(job), own.hidden * PANEL
    before, after = run.cells + block_before(run, time) * block, run.cells + block_after(run, time) * block
    for at in range(0, block, PANEL):
        for i in range(at, at + run.used, lanes(buffer)):
            into, keep = load(buffer, gates + i), load(buffer, gates + block + i)
            new, out = load(buffer, gates + 2 * block + i), load(buffer, gates + 3 * block + i)
            dh = load(buffer, run.carry + i)
            if delta >= 0:
                dh = dh + load(buffer, delta + i)
            if run.lengths >= 0:
                dh = keep_delta(buffer, own, run, i, at, time, dh)
            squashed = squash(own.activation, load(buffer, after + i))
            dc = fma(dh * out, slope(own.activation, squashed), load(buffer, run.cell_carry + i))
            if run.lengths >= 0:
                is_on = goes_on(buffer, run, i - at, time)
                store(buffer, run.cell_carry + i, select(is_on, dc * keep, dc))  # of an ended sequence dc is as it was
                dc = select(is_on, dc, 0.0)
            else:
                store(buffer, run.cell_carry + i, dc * keep)
            d_into = dc * new * slope(own.recurrent_activation, into)
            d_keep = dc * load(buffer, before + i) * slope(own.recurrent_activation, keep)
            store(buffer, gates + i, d_into)
            store(buffer, gates + block + i, d_keep)
            store(buffer, gates + 2 * block + i, dc * into * slope(own.activation, new))
            store(buffer, gates + 3 * block + i, dh * squashed * slope(own.recurrent_activation, out))


@op_unit
def lstm_backward(job, op):
    """The deltas of the gates in their place, step by step in reverse; then the gradients, STEPS at a time."""
    own, run = own_record(op), new_run()
    units = 4 * own.hidden
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            clear_block(job, run, run.carry, own.hidden)
            clear_block(job, run, run.cell_carry, own.hidden)
            end = run.n_steps
            while end > 0:
                begin = first_of(run, end)
                for step in range(end - 1, begin - 1, -1):
                    time = time_of(run, step)
                    gates = run.gates + time * units * PANEL
                    _gates_back(job, own, run, gates, time, delta_at(op, run, step, time))
                    if step > 0:
                        start = ADD if run.lengths >= 0 else ZERO
                        multiply_back(job, run, run.recurrent_kernel, own.hidden, units, gates, run.carry, start)
                time = first_time(run, begin, end)
                if op.n_parameters > 0:
                    start = start_of(job, run, panel, end)
                    transpose_steps(job, run, units, 0, time, end - begin)
                    add_gradients(job, op, run, time, end - begin, start)
                    add_recurrent_gradient(job, op, run, time, end - begin, start)
                if op.has_gradient_below:
                    add_input_deltas(job, op, run, time, end - begin)
                end = begin
            if op.has_gradient_below:
                clear_input_deltas_beyond(job, op, run)
    if op.has_gradient_below:
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


LSTM = OpKind("lstm", lstm_forward, lstm_backward, lstm_row, details=DETAILS, one_panel=True, minds_lengths=True)
