"""The simple recurrent op: h_t = activation(x_t W + h_(t-1) U + b), and what every recurrent op's record holds."""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inner
from fastnn.kernels.ops.recurrent_rows import simple_rnn_row
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
from fastnn.kernels.simd import lanes, load, select, store
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import buffer_of


@inner
def _activate(job, own, run, gates, time, target):
    buffer, block = buffer_of(job), own.hidden * PANEL
    before, after = run.states + block_before(run, time) * block, run.states + block_after(run, time) * block
    for at in range(0, block, PANEL):
        for i in range(at, at + run.used, lanes(buffer)):
            h = squash(own.activation, load(buffer, gates + i))
            if run.lengths >= 0:
                h = select(goes_on(buffer, run, i - at, time), h, load(buffer, before + i))
            store(buffer, after + i, h)
            if target >= 0:
                put_out(buffer, own, run, target + i, i - at, time, h)


@op_unit
def simple_rnn_forward(job, op):
    """All steps of one panel after the other."""
    own, run = own_record(op), new_run()
    block = own.hidden * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            multiply_inputs(job, op, run)
            begin_state(job, run, run.states + block_before(run, time_of(run, 0)) * block, 0, own.hidden)
            for step in range(run.n_steps):
                time = time_of(run, step)
                before = run.states + block_before(run, time) * block
                gates = run.gates + time * block
                if step > 0 or run.carried != 0:
                    multiply_states(job, op, run, before, 0, own.hidden, gates)
                target = target_at(op, run, step, time)
                _activate(job, own, run, gates, time, target)
                if target >= 0:
                    clear_unused(job, run, target, own.hidden)
            last = run.states + block_after(run, time_of(run, run.n_steps - 1)) * block
            carry_state(job, run, last, 0, own.hidden)
            clear_outputs_beyond(job, op, run)
    return True


@inner
def _activate_back(job, own, run, gates, time, delta):
    buffer, block = buffer_of(job), own.hidden * PANEL
    after = run.states + block_after(run, time) * block
    for at in range(0, block, PANEL):
        for i in range(at, at + run.used, lanes(buffer)):
            dh = load(buffer, run.carry + i)
            if delta >= 0:
                dh = dh + load(buffer, delta + i)
            if run.lengths >= 0:
                dh = keep_delta(buffer, own, run, i, at, time, dh)
            store(buffer, gates + i, dh * slope(own.activation, load(buffer, after + i)))


@op_unit
def simple_rnn_backward(job, op):
    """The deltas of what is activated in place of it, step by step in reverse; then the gradients, STEPS at a time."""
    own, run = own_record(op), new_run()
    block = own.hidden * PANEL
    for panel in range((job.n_samples + PANEL - 1) // PANEL):
        for direction in range(own.n_directions):
            open_run(job, op, panel, direction, run)
            clear_block(job, run, run.carry, own.hidden)
            end = run.n_steps
            while end > 0:
                begin = first_of(run, end)
                for step in range(end - 1, begin - 1, -1):
                    time = time_of(run, step)
                    gates = run.gates + time * block
                    _activate_back(job, own, run, gates, time, delta_at(op, run, step, time))
                    if step > 0:
                        start = ADD if run.lengths >= 0 else ZERO
                        multiply_back(job, run, run.recurrent_kernel, own.hidden, own.hidden, gates, run.carry, start)
                time = first_time(run, begin, end)
                if op.n_parameters > 0:
                    start = start_of(job, run, panel, end)
                    transpose_steps(job, run, own.hidden, 0, time, end - begin)
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


SIMPLE_RNN = OpKind(
    "simple_rnn",
    simple_rnn_forward,
    simple_rnn_backward,
    simple_rnn_row,
    details=DETAILS,
    one_panel=True,
    minds_lengths=True,
)
