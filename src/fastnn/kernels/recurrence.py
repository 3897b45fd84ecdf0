"""What recurrent ops share: where a panel's steps lie, the products over steps, and the nonlinearities of gates.

A sample of shape (time, features) lies as [panel][time * features][PANEL samples]: each step's input is a contiguous
block, and so are its gates and states. Panels are independent, so each goes through all steps by itself.

The states of a panel begin with a block of zeros, what comes before the first step. So the recurrent kernel's gradient
is one product of all states, moved by one block, with all deltas of the gates. It is made a few steps at a time, while
their deltas are still in cache.

A panel of a few samples would leave most lanes of a vector idle. Gates and states lie in rows then, with units across
the lanes: [gate][step][sample][hidden], and [step][sample][hidden]. Elementwise code is the same for both, since it
works on runs of `RUN.row` numbers; sums are taken in the same order.

Jobs
----
- `DETAILS`: an op's own record; `RUN`: one panel in one direction; `open_run` fills it
- `begin_states`, `carry_states`: states that go on with the next batch; `from_panel`, `add_to_panel`: of few samples
- `goes_on`: which sequences have a step; `unit_bias`: the biases of a vector
- `squash`, `slope`: an activation, and its derivative from its value
"""

import numpy as np

from fastnn.kernels.elementary import sigmoid, tanh
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    filled,
    lanes,
    load,
    maximum,
    select,
    store,
)
from fastnn.kernels.views import array_at, buffer_of, details_of, on_stack, parameters_of

STEPS = 4  # whose deltas are turned into gradients of parameters at a time
STRIP = 32  # a strip of transposed deltas is at most this many units wide

ACTIVATIONS = ("linear", "tanh", "sigmoid", "relu")  # by their numbers in `DETAILS`
_TANH, _SIGMOID, _RELU = 1, 2, 3

# Offsets in the buffer count units, as those in OP.
DETAILS = np.dtype(
    [
        ("hidden", np.int64),  # units of the state
        ("gates", np.int64),  # how many numbers a step makes of input and state for each of them
        ("activation", np.int64),
        ("recurrent_activation", np.int64),
        ("recurrent_kernel", np.int64),  # offset from the kernel's
        ("n_directions", np.int64),
        ("direction_parameters", np.int64),  # how far the parameters of the second lie behind those of the first
        ("direction_units", np.int64),  # the same for what is kept for the backward pass
        ("backwards", np.int64),  # whether the first direction goes from the last step to the first
        ("sequences", np.int64),  # whether the state of every step is put out, not only the last one
        ("aligned", np.int64),  # whether it lies at the place of its input, not in the order of the steps
        ("target_units", np.int64),  # of the output, at one step
        ("second_column", np.int64),  # where the second direction's begin among those; 0: it is added
        # What is kept for the backward pass, from `op.extra` on; the gates come first.
        ("states", np.int64),
        ("cells", np.int64),  # of the LSTM; of the GRU the products of the recurrent kernel for the candidate
        ("carry", np.int64),  # the delta of the state that comes from the step behind
        ("cell_carry", np.int64),
        ("strips", np.int64),
        # For single rows: where the state is kept, how far what is kept lies apart, whether it stays for the next call.
        ("row", np.int64),
        ("row_size", np.int64),
        ("keeps", np.int64),
        ("carried", np.int64),  # where the state lies among what is carried from batch to batch; -1: it begins with 0
    ]
)

# Offsets are elements: of the parameter vector, or of the buffer where this panel's numbers begin.
RUN = np.dtype(
    [
        ("direction", np.int64),
        ("backwards", np.int64),
        ("adds", np.int64),  # whether the outputs are added to what is there
        ("n_steps", np.int64),  # as many as the longest sequence of the panel has
        ("lengths", np.int64),  # where the lengths of its sequences lie; -1: all have all steps
        ("carried", np.int64),  # address of the state to begin with; 0: none
        ("hidden", np.int64),
        ("few", np.int64),  # how many samples there are, if they lie in rows; 0: they lie across the lanes
        ("row", np.int64),  # numbers that lie side by side: a unit's of a panel, or a sample's
        ("used", np.int64),  # how many of them are worked on: whole vectors
        ("block", np.int64),  # numbers of a state
        ("gate", np.int64),  # how far the gates of a step lie apart
        ("step", np.int64),  # how far the gates of two steps lie apart
        ("group", np.int64),  # steps whose deltas are turned into gradients of parameters at a time
        ("transposed", np.int64),  # of few samples: where the recurrent kernel and the kernel lie transposed
        ("weights", np.int64),
        ("recurrent_kernel", np.int64),
        ("bias", np.int64),
        ("x", np.int64),
        ("gates", np.int64),
        ("states", np.int64),
        ("cells", np.int64),
        ("carry", np.int64),
        ("cell_carry", np.int64),
        ("strips", np.int64),
        ("target", np.int64),
        ("delta", np.int64),
        ("other_delta", np.int64),
    ]
)

own_record = details_of(DETAILS)
new_run = on_stack(RUN)


@inlined
def squash(code, x):
    """The activation with this number."""
    if code == _TANH:
        return tanh(x)
    if code == _SIGMOID:
        return sigmoid(x)
    if code == _RELU:
        return maximum(x, 0.0)
    return x


@inlined
def slope(code, y):
    """The derivative of the activation where its value is y."""
    if code == _TANH:
        return 1.0 - y * y
    if code == _SIGMOID:
        return y - y * y
    if code == _RELU:
        return select(y > 0.0, y * 0.0 + 1.0, 0.0)
    return y * 0.0 + 1.0


@inner
def open_run(job, op, panel, direction, run):
    """Fill in where panel number `panel` lies, and its parameters in this direction."""
    own, scale = own_record(op), job.capacity * PANEL
    width = lanes(buffer_of(job))
    n_steps, hidden = op.positions, own.hidden
    run.direction, run.n_steps, run.lengths = direction, n_steps, -1
    run.carried = 0
    if own.carried >= 0 and job.carried != 0:
        state = (job.first_sample // PANEL + panel) * job.carried_units + own.carried
        run.carried = job.carried + state * PANEL * (VECTOR_BYTES // width)
    run.backwards = own.backwards if direction == 0 else 1 - own.backwards
    run.adds = direction == 1 and own.second_column == 0
    n_samples = min(PANEL, job.n_samples - panel * PANEL)
    run.hidden, run.few, run.row, run.used = hidden, 0, PANEL, (n_samples + width - 1) // width * width
    run.block = run.gate = hidden * PANEL
    run.step, run.group = own.gates * run.block, STEPS
    run.weights = op.weights + direction * own.direction_parameters
    run.recurrent_kernel = run.weights + own.recurrent_kernel
    run.bias = op.bias + direction * own.direction_parameters if op.bias >= 0 else -1
    run.x = op.source * scale + panel * n_steps * op.fan_in * PANEL
    extra = op.extra + direction * own.direction_units
    run.gates = extra * scale + panel * n_steps * own.gates * hidden * PANEL
    run.states = (extra + own.states) * scale + panel * (n_steps + 1) * hidden * PANEL
    run.cells = (extra + own.cells) * scale + panel * (n_steps + 1) * hidden * PANEL
    run.carry, run.cell_carry = (extra + own.carry) * scale, (extra + own.cell_carry) * scale
    run.strips = (extra + own.strips) * scale
    n_outputs = n_steps if own.sequences else 1
    at = (panel * n_outputs * own.target_units + direction * own.second_column) * PANEL
    run.target, run.delta = op.target * scale + at, job.delta * scale + at
    run.other_delta = job.other_delta * scale + panel * n_steps * op.fan_in * PANEL
    # Few samples leave room behind their gates for the kernels, transposed, and the deltas of some steps' inputs.
    units, group = own.gates * hidden, STEPS * PANEL // n_samples
    needed = (hidden + op.fan_in + width) * units + min(group, n_steps) * op.fan_in
    if 2 * n_samples <= width and hidden % width == 0 and needed <= (PANEL - n_samples) * n_steps * units:
        run.few, run.row, run.used, run.group = n_samples, hidden, hidden, group
        run.block = run.step = n_samples * hidden
        run.gate = n_steps * run.block
        run.transposed = run.gates + own.gates * run.gate
    if job.n_row_lengths > 0:
        _open_lengths(job, run, job.lengths * scale + panel * PANEL)


@inner
def _open_lengths(job, run, at):
    """How many steps there are; the length of a sample in a row stands at each of its units."""
    buffer = buffer_of(job)
    run.lengths, run.n_steps = at, 0
    for column in range(PANEL):
        run.n_steps = max(run.n_steps, int(buffer[at + column]))
    if run.few > 0:
        run.lengths = run.strips
        for row in range(run.few):
            for unit in range(0, run.row, lanes(buffer)):
                store(buffer, run.strips + row * run.row + unit, filled(buffer, buffer[at + row]))


@inlined
def time_of(run, step):
    """Where step number `step` lies in time."""
    return run.n_steps - 1 - step if run.backwards else step


@inlined
def block_before(run, time):
    """The block of the state that a step begins with. There is one more than steps: the zeros before the first."""
    return time + 1 if run.backwards else time


@inlined
def block_after(run, time):
    """The block of the state that a step ends with."""
    return time if run.backwards else time + 1


@inlined
def output_block(op, run, step, time):
    """At which of the outputs a step's state is put out; -1: nowhere."""
    own = own_record(op)
    if not own.sequences:
        return 0 if step == run.n_steps - 1 else -1
    return time if own.aligned else step


@inner
def clear_block(job, run, at):
    """Put 0 into the columns in use of a state."""
    buffer = buffer_of(job)
    nothing = filled(buffer, 0.0)
    for row in range(at, at + run.block, run.row):
        for column in range(0, run.used, lanes(buffer)):
            store(buffer, row + column, nothing)


@inner
def from_panel(source, first, target, to, n):
    """A sample's numbers from a panel to a row."""
    for i in range(n):
        target[to + i] = source[first + i * PANEL]


@inner
def add_to_panel(source, first, target, to, n):
    """A sample's numbers from a row are added to those of a panel."""
    for i in range(n):
        target[to + i * PANEL] += source[first + i]


@inlined
def _state(run, number):
    return run.states if number == 0 else run.cells


@inner
def begin_states(job, run, n_states):
    """Put 0 into the blocks that steps begin with, or what was carried from the batch before."""
    buffer, size, first = buffer_of(job), run.hidden * PANEL, block_before(run, time_of(run, 0)) * run.block
    for number in range(n_states):
        at = _state(run, number) + first
        if run.carried == 0:
            clear_block(job, run, at)
            continue
        carried = array_at(run.carried, n_states * size, job.element)
        for row in range(run.few):
            from_panel(carried, number * size + row, buffer, at + row * run.row, run.row)
        for i in range(0, size if run.few == 0 else 0, lanes(buffer)):
            store(buffer, at + i, load(carried, number * size + i))


@inner
def carry_states(job, run, n_states):
    """Keep the blocks that the last step ended with for the next batch."""
    if run.carried == 0:
        return
    buffer, size, last = buffer_of(job), run.hidden * PANEL, block_after(run, time_of(run, run.n_steps - 1)) * run.block
    carried = array_at(run.carried, n_states * size, job.element)
    for number in range(n_states):
        at = _state(run, number) + last
        for i in range(0, size, lanes(buffer)):
            store(carried, number * size + i, filled(buffer, 0.0) if run.few > 0 else load(buffer, at + i))
        for row in range(run.few):
            add_to_panel(buffer, at + row * run.row, carried, number * size + row, run.row)


@inlined
def goes_on(buffer, run, i, at, time):
    """Which sequences have this step, of the vector at `i`, in the row that begins at `at`."""
    return load(buffer, run.lengths + (i if run.few > 0 else i - at)) > filled(buffer, time)


@inlined
def unit_bias(job, run, bias, i, at):
    """The biases of the vector at `i`, in the row that begins at `at`; 0 without any."""
    if run.bias < 0:
        return filled(buffer_of(job), 0.0)
    if run.few > 0:
        return load(parameters_of(job), bias + i - at)
    return filled(buffer_of(job), parameters_of(job)[bias + at // PANEL])


@inner
def clear_beyond(job, run, at, n_rows, step_rows, last):
    """Put 0 into `n_rows` rows of each step behind the longest sequence, up to step `last`."""
    buffer = buffer_of(job)
    nothing = filled(buffer, 0.0)
    for time in range(run.n_steps, last):
        first = at + time * step_rows * PANEL
        for i in range(first, first + n_rows * PANEL, lanes(buffer)):
            store(buffer, i, nothing)


@inner
def clear_outputs_beyond(job, op, run):
    """What is put out at steps that no sequence of the panel has is 0."""
    own = own_record(op)
    if own.sequences and run.adds == 0:
        clear_beyond(job, run, run.target, own.hidden, own.target_units, op.positions)


@inner
def clear_unused(job, run, at, n_rows):
    """Put 0 into the columns of a block that no sample uses: what is elementwise works on them, too."""
    buffer = buffer_of(job)
    nothing = filled(buffer, 0.0)
    if run.used < PANEL:
        for row in range(at, at + n_rows * PANEL, PANEL):
            for column in range(run.used, PANEL, lanes(buffer)):
                store(buffer, row + column, nothing)


@inlined
def put_out(buffer, own, run, target, i, at, time, h):
    """Put a state out: 0 for sequences that have ended; that of the second of two directions may be added."""
    if run.lengths >= 0 and own.sequences:
        h = select(goes_on(buffer, run, i, at, time), h, 0.0)
    if run.adds:
        h = h + load(buffer, target + i)
    store(buffer, target + i, h)


@inlined
def keep_delta(buffer, own, run, i, at, time, dh):
    """Leave the delta of a state at which a sequence has ended to the step before, and return that of the others.

    What is put out at every step is 0 there, whatever the state, so its delta counts for nothing.
    """
    is_on = goes_on(buffer, run, i, at, time)
    kept = load(buffer, run.carry + i) if own.sequences else dh
    store(buffer, run.carry + i, select(is_on, 0.0, kept))
    return select(is_on, dh, 0.0)
