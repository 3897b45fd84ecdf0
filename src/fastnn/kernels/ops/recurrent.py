"""What recurrent ops are made of, and the simple one: h_t = activation(x_t W + h_(t-1) U + b).

Jobs
----
- `forward_of`, `backward_of`: the units of an op, from what its cell does at one step
- `SIMPLE_RNN`
"""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, named
from fastnn.kernels.ops.common import sample_panels
from fastnn.kernels.ops.recurrent_rows import simple_rnn_row
from fastnn.kernels.recurrence import (
    DETAILS,
    add_to_panel,
    begin_states,
    block_after,
    block_before,
    carry_states,
    clear_beyond,
    clear_block,
    clear_outputs_beyond,
    clear_unused,
    from_panel,
    goes_on,
    keep_delta,
    new_run,
    open_run,
    output_block,
    own_record,
    put_out,
    slope,
    squash,
    time_of,
)
from fastnn.kernels.recurrent_products import (
    add_all_gradients,
    add_input_deltas,
    multiply_inputs,
    multiply_states,
    multiply_states_back,
    transpose_kernels,
)
from fastnn.kernels.simd import filled, lanes, load, select, store
from fastnn.kernels.tile import ADD, ZERO
from fastnn.kernels.units import OpKind, op_unit
from fastnn.kernels.views import buffer_of


@inlined
def _first_of(run, end):
    """The first of the steps up to `end` that are worked on together: they begin at a multiple of `group` in time."""
    return max(0, end - run.group) if run.backwards else (end - 1) // run.group * run.group


@inner
def _delta_at(job, op, run, step, time):
    """Where the delta of a step's output lies; -1: it has none."""
    block = output_block(op, run, step, time)
    if block < 0:
        return -1
    at = run.delta + block * own_record(op).target_units * PANEL
    if run.few == 0:
        return at
    buffer, rows = buffer_of(job), run.strips + run.block
    for row in range(run.few):
        from_panel(buffer, at + row, buffer, rows + row * run.row, run.row)
    return rows


@inner
def _finish_output(job, op, run, time, target):
    """Put 0 where no sample is; put the state out of few samples."""
    own, buffer = own_record(op), buffer_of(job)
    if run.few == 0:
        clear_unused(job, run, target, own.hidden)
        return
    if run.adds == 0:
        for i in range(target, target + own.hidden * PANEL, lanes(buffer)):
            store(buffer, i, filled(buffer, 0.0))
    state = run.states + block_after(run, time) * run.block
    for row in range(run.few):
        if run.lengths < 0 or not own.sequences or time < buffer[run.lengths + row * run.row]:
            add_to_panel(buffer, state + row * run.row, buffer, target + row, run.row)


def forward_of(name, n_states, multiply, activate):
    """Build the unit that goes through all steps of one panel after the other.

    Parameters
    ----------
    name : str
    n_states : int
        2 if there are cells.
    multiply : (job, op, run, gates, time, goes_on) -> None
        Adds the products of the state, if there is one.
    activate : (job, own, run, gates, time, target) -> None
        Gates and states of a step, in one pass, and its output at `target`, if that is not -1.
    """

    @op_unit
    @named(name)
    def forward(job, op):
        own, run = own_record(op), new_run()
        for panel in range(sample_panels(job)):
            for direction in range(own.n_directions):
                open_run(job, op, panel, direction, run)
                multiply_inputs(job, op, run)
                begin_states(job, run, n_states)
                for step in range(run.n_steps):
                    time = time_of(run, step)
                    gates = run.gates + time * run.step
                    multiply(job, op, run, gates, time, step > 0 or run.carried != 0)
                    block = output_block(op, run, step, time)
                    target = run.target + block * own.target_units * PANEL if block >= 0 else -1
                    activate(job, own, run, gates, time, target if run.few == 0 else -1)
                    if target >= 0:
                        _finish_output(job, op, run, time, target)
                carry_states(job, run, n_states)
                clear_outputs_beyond(job, op, run)
        return True

    return forward


def backward_of(name, n_states, activate_back, add_all, adds):
    """Build the unit that puts deltas in the place of gates, step by step in reverse, and gradients of some at a time.

    Parameters
    ----------
    name : str
    n_states : int
        2 if there are cells.
    activate_back : (job, own, run, gates, time, delta) -> None
        The deltas of a step, in one pass; `delta` is where that of its output lies, or -1.
    add_all : (job, op, run, time, n_steps, start) -> None
        The gradients of some steps by the parameters.
    adds : bool
        Whether a part of the delta of the state before is there already.
    """

    @op_unit
    @named(name)
    def backward(job, op):
        own, run = own_record(op), new_run()
        for panel in range(sample_panels(job)):
            for direction in range(own.n_directions):
                open_run(job, op, panel, direction, run)
                transpose_kernels(job, op, run)
                clear_block(job, run, run.carry)
                if n_states > 1:
                    clear_block(job, run, run.cell_carry)
                end = run.n_steps
                while end > 0:
                    begin = _first_of(run, end)
                    for step in range(end - 1, begin - 1, -1):
                        time = time_of(run, step)
                        gates = run.gates + time * run.step
                        activate_back(job, own, run, gates, time, _delta_at(job, op, run, step, time))
                        if step > 0:
                            multiply_states_back(job, op, run, gates, ADD if adds or run.lengths >= 0 else ZERO)
                    time = run.n_steps - end if run.backwards else begin  # of these steps the first
                    # The first steps of the first panel begin the sums.
                    start = job.start if panel == 0 and end == run.n_steps else ADD
                    add_all(job, op, run, time, end - begin, start)
                    if op.has_gradient_below:
                        add_input_deltas(job, op, run, time, end - begin)
                    end = begin
                if op.has_gradient_below and run.direction == 0:  # steps that no sequence of the panel has get no delta
                    clear_beyond(job, run, run.other_delta, op.fan_in, op.fan_in, op.positions)
        if op.has_gradient_below:
            job.delta, job.other_delta = job.other_delta, job.delta
        return True

    return backward


@inner
def _multiply(job, op, run, gates, time, has_state):
    if has_state:
        multiply_states(job, op, run, run.states + block_before(run, time) * run.block, 0, 1, gates)


@inner
def _activate(job, own, run, gates, time, target):
    buffer = buffer_of(job)
    before, after = run.states + block_before(run, time) * run.block, run.states + block_after(run, time) * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            h = squash(own.activation, load(buffer, gates + i))
            if run.lengths >= 0:
                h = select(goes_on(buffer, run, i, at, time), h, load(buffer, before + i))
            store(buffer, after + i, h)
            if target >= 0:
                put_out(buffer, own, run, target, i, at, time, h)


@inner
def _activate_back(job, own, run, gates, time, delta):
    buffer = buffer_of(job)
    after = run.states + block_after(run, time) * run.block
    for at in range(0, run.block, run.row):
        for i in range(at, at + run.used, lanes(buffer)):
            dh = load(buffer, run.carry + i)
            if delta >= 0:
                dh = dh + load(buffer, delta + i)
            if run.lengths >= 0:
                dh = keep_delta(buffer, own, run, i, at, time, dh)
            store(buffer, gates + i, dh * slope(own.activation, load(buffer, after + i)))


SIMPLE_RNN = OpKind(
    "simple_rnn", forward_of("simple_rnn_forward", 1, _multiply, _activate),
    backward_of("simple_rnn_backward", 1, _activate_back, add_all_gradients, False), simple_rnn_row, details=DETAILS,
    one_panel=True, minds_lengths=True,
)  # fmt: skip
