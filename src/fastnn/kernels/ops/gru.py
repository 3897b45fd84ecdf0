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

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.recurrent_rows import gru_row
from fastnn.kernels.recurrence import (
    DETAILS,
    add_bias_gradient,
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
from fastnn.kernels.simd import filled, fma, lanes, load, select, store
from fastnn.kernels.tile import ADD
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import buffer_of, parameters_of


@inner
def _set_biases(job, own, run, at):
    """m starts from its bias."""
    parameters, buffer = parameters_of(job), buffer_of(job)
    for unit in range(own.hidden):
        bias = filled(buffer, parameters[run.bias + 5 * own.hidden + unit] if run.bias >= 0 else 0.0)
        for column in range(0, run.used, lanes(buffer)):
            store(buffer, at + unit * PANEL + column, bias)


@inner
def _gates(job, own, run, gates, time, target):
    """Gates and state of one step, in one pass."""
    parameters, buffer, hidden = parameters_of(job), buffer_of(job), own.hidden
    block = hidden * PANEL
    before, after = run.states + block_before(run, time) * block, run.states + block_after(run, time) * block
    products = run.cells + time * block
    for unit in range(hidden):
        z_bias, r_bias = filled(buffer, 0.0), filled(buffer, 0.0)
        if run.bias >= 0:
            z_bias = filled(buffer, parameters[run.bias + 3 * hidden + unit])
            r_bias = filled(buffer, parameters[run.bias + 4 * hidden + unit])
        for i in range(unit * PANEL, unit * PANEL + run.used, lanes(buffer)):
            z = squash(own.recurrent_activation, load(buffer, gates + i) + z_bias)
            r = squash(own.recurrent_activation, load(buffer, gates + block + i) + r_bias)
            m = load(buffer, products + i)
            new = squash(own.activation, fma(r, m, load(buffer, gates + 2 * block + i)))
            store(buffer, gates + i, z)
            store(buffer, gates + block + i, r)
            store(buffer, gates + 2 * block + i, new)
            h = fma(z, load(buffer, before + i) - new, new)
            if run.lengths >= 0:
                h = select(goes_on(buffer, run, i - unit * PANEL, time), h, load(buffer, before + i))
            store(buffer, after + i, h)
            if target >= 0:
                put_out(buffer, own, run, target + i, i - unit * PANEL, time, h)


@op_unit
def gru_forward(job, op):
    """All steps of one panel after the other."""
    own, run = own_record(op), new_run()
    hidden = own.hidden
    block = hidden * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            multiply_inputs(job, op, run)
            begin_state(job, run, run.states + block_before(run, time_of(run, 0)) * block, 0, hidden)
            for step in range(run.n_steps):
                time = time_of(run, step)
                gates, products = run.gates + time * 3 * block, run.cells + time * block
                _set_biases(job, own, run, products)
                if step > 0 or run.carried != 0:
                    before = run.states + block_before(run, time) * block
                    multiply_states(job, op, run, before, 0, 2 * hidden, gates)
                    multiply_states(job, op, run, before, 2 * hidden, hidden, products)
                target = target_at(op, run, step, time)
                _gates(job, own, run, gates, time, target)
                if target >= 0:
                    clear_unused(job, run, target, hidden)
            last = run.states + block_after(run, time_of(run, run.n_steps - 1)) * block
            carry_state(job, run, last, 0, hidden)
            clear_outputs_beyond(job, op, run)
    return True


@inner
def _gates_back(job, own, run, gates, time, delta):
    """The deltas of the gates in their place, and the part of the state's delta that passes them by."""
    buffer, block = buffer_of(job), own.hidden * PANEL
    before, products = run.states + block_before(run, time) * block, run.cells + time * block
    for at in range(0, block, PANEL):
        for i in range(at, at + run.used, lanes(buffer)):
            z, r, new = load(buffer, gates + i), load(buffer, gates + block + i), load(buffer, gates + 2 * block + i)
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
            store(buffer, gates + block + i, dr)
            store(buffer, gates + 2 * block + i, d_new * r)
            store(buffer, products + i, d_new)


@inner
def _to_candidates(job, own, run, time, n_steps):
    """Put the candidates' deltas, as the kernel sees them, in place of those that the recurrent kernel sees."""
    buffer, block = buffer_of(job), own.hidden * PANEL
    for t in range(time, time + n_steps):
        gates, products = run.gates + (3 * t + 2) * block, run.cells + t * block
        for at in range(0, block, PANEL):
            for i in range(at, at + run.used, lanes(buffer)):
                store(buffer, gates + i, load(buffer, products + i))


@op_unit
def gru_backward(job, op):
    """The deltas of the gates in their place, step by step in reverse; then the gradients, STEPS at a time."""
    own, run = own_record(op), new_run()
    hidden, units = own.hidden, 3 * own.hidden
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            clear_block(job, run, run.carry, hidden)
            end = run.n_steps
            while end > 0:
                begin = first_of(run, end)
                for step in range(end - 1, begin - 1, -1):
                    time = time_of(run, step)
                    gates = run.gates + time * units * PANEL
                    _gates_back(job, own, run, gates, time, delta_at(op, run, step, time))
                    if step > 0:
                        multiply_back(job, run, run.recurrent_kernel, hidden, units, gates, run.carry, ADD)
                time, n_steps = first_time(run, begin, end), end - begin
                start = start_of(job, run, panel, end)
                if op.n_parameters > 0:
                    transpose_steps(job, run, units, 0, time, n_steps)
                    add_recurrent_gradient(job, op, run, time, n_steps, start)
                    if run.bias >= 0:
                        add_bias_gradient(job, run, run.bias + units, units, n_steps, start)
                _to_candidates(job, own, run, time, n_steps)
                if op.n_parameters > 0:
                    transpose_steps(job, run, units, 2 * hidden, time, n_steps)
                    add_gradients(job, op, run, time, n_steps, start)
                if op.has_gradient_below:
                    add_input_deltas(job, op, run, time, n_steps)
                end = begin
            if op.has_gradient_below:
                clear_input_deltas_beyond(job, op, run)
    if op.has_gradient_below:
        job.delta, job.other_delta = job.other_delta, job.delta
    return True


GRU = OpKind("gru", gru_forward, gru_backward, gru_row, details=DETAILS, one_panel=True, minds_lengths=True)
