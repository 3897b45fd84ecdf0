"""What recurrent ops share: where a panel's steps lie, the products over steps, and the nonlinearities of gates.

A sample of shape (time, features) lies as [panel][time * features][PANEL samples]: each step's input is a contiguous
block, and so are its gates and states. Panels are independent, so each goes through all steps by itself.

The states of a panel begin with a block of zeros, what comes before the first step. So the recurrent kernel's gradient
is one product of all states, moved by one block, with all deltas of the gates. It is made a few steps at a time, while
their deltas are still in cache.

Jobs
----
- `DETAILS`: an op's own record; `RUN`: one panel in one direction; `open_run` fills it
- `multiply_inputs`, `multiply_states`, `multiply_back`: products of kernels with inputs, states and deltas
- `transpose_steps`, `add_gradients`, `add_recurrent_gradient`, `add_input_deltas`: gradients over some steps
- `goes_on`: which sequences have a step; `begin_state`, `carry_state`: states that go on with the next batch
- `squash`, `slope`: an activation, and its derivative from its value
"""

import numpy as np

from fastnn.kernels.elementary import sigmoid, tanh
from fastnn.kernels.gemm import PANEL, column_sum, rows_of_tiles
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    filled,
    lanes,
    load,
    load_first,
    maximum,
    select,
    store,
    store_first,
    transpose_block,
)
from fastnn.kernels.tables import TILE
from fastnn.kernels.tile import ADD, BIAS, TILE_ROWS, TILE_VECTORS, ZERO
from fastnn.kernels.units import call_tile
from fastnn.kernels.views import array_at, buffer_of, details_of, gradient_of, on_stack

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
        ("used", np.int64),  # columns of the panel that are worked on: whole vectors
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
_new_tile = on_stack(TILE)


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
    if job.n_row_lengths > 0:
        run.lengths = job.lengths * scale + panel * PANEL
        run.n_steps = 0
        for column in range(PANEL):
            run.n_steps = max(run.n_steps, int(buffer_of(job)[run.lengths + column]))
    run.carried = 0
    if own.carried >= 0 and job.carried != 0:
        state = (job.first_sample // PANEL + panel) * job.carried_units + own.carried
        run.carried = job.carried + state * PANEL * (VECTOR_BYTES // width)
    run.backwards = own.backwards if direction == 0 else 1 - own.backwards
    run.adds = direction == 1 and own.second_column == 0
    run.used = (min(PANEL, job.n_samples - panel * PANEL) + width - 1) // width * width
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
def clear_block(job, run, at, n_rows):
    """Put 0 into the columns in use of a block."""
    buffer = buffer_of(job)
    nothing = filled(buffer, 0.0)
    for row in range(at, at + n_rows * PANEL, PANEL):
        for column in range(0, run.used, lanes(buffer)):
            store(buffer, row + column, nothing)


@inner
def begin_state(job, run, at, number, n_rows):
    """Put 0 into a block that steps begin with, or what was carried from the batch before, as state number `number`."""
    if run.carried == 0:
        clear_block(job, run, at, n_rows)
        return
    buffer = buffer_of(job)
    carried = array_at(run.carried, (number + 1) * n_rows * PANEL, job.element)
    for i in range(0, n_rows * PANEL, lanes(buffer)):
        store(buffer, at + i, load(carried, number * n_rows * PANEL + i))


@inner
def carry_state(job, run, at, number, n_rows):
    """Keep the block that the last step ended with for the next batch."""
    if run.carried != 0:
        buffer = buffer_of(job)
        carried = array_at(run.carried, (number + 1) * n_rows * PANEL, job.element)
        for i in range(0, n_rows * PANEL, lanes(buffer)):
            store(carried, number * n_rows * PANEL + i, load(buffer, at + i))


@inlined
def goes_on(buffer, run, column, time):
    """Which sequences have this step."""
    return load(buffer, run.lengths + column) > filled(buffer, time)


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


@inlined
def first_of(run, end):
    """The first of the steps up to `end` that are worked on together: they begin at a multiple of STEPS in time."""
    return max(0, end - STEPS) if run.backwards else (end - 1) // STEPS * STEPS


@inner
def clear_unused(job, run, at, n_rows):
    """Put 0 into the columns of a block that no sample uses: what is elementwise works on them, too."""
    buffer = buffer_of(job)
    nothing = filled(buffer, 0.0)
    if run.used < PANEL:
        for row in range(at, at + n_rows * PANEL, PANEL):
            for column in range(run.used, PANEL, lanes(buffer)):
                store(buffer, row + column, nothing)


@inner
def multiply_inputs(job, op, run):
    """Gates = W^T x + b, for all steps of a panel; rows of tiles outermost, so that columns of W stay in cache."""
    own = own_record(op)
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    units = own.gates * own.hidden
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = 1, units, 0, PANEL, PANEL
    tile.n_outer, tile.n_inner, tile.last, tile.ahead_step = 1, op.fan_in, width, 0
    tile.start = BIAS if run.bias >= 0 else ZERO
    n_tiles = (units + TILE_ROWS - 1) // TILE_ROWS
    lower = units // n_tiles
    n_higher = units - lower * n_tiles
    unit = 0
    for t in range(n_tiles):
        tile.n_rows = lower + (t < n_higher)
        tile.a = job.parameters + (run.weights + unit) * item_size
        tile.bias = job.parameters + (max(run.bias, 0) + unit) * item_size
        tile.ahead = tile.a
        for time in range(run.n_steps):
            for column in range(0, run.used, TILE_VECTORS * width):
                tile.n_vectors = min(TILE_VECTORS, (run.used - column) // width)
                tile.b = job.buffer + (run.x + time * op.fan_in * PANEL + column) * item_size
                tile.c = job.buffer + (run.gates + (time * units + unit) * PANEL + column) * item_size
                call_tile(job.reading_tile, job, tile)
        unit += tile.n_rows


@inner
def multiply_states(job, op, run, state, first, n_rows, target):
    """target += U^T h at one step, for columns `first`, ... of the recurrent kernel."""
    own = own_record(op)
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = 1, own.gates * own.hidden, 0, PANEL, PANEL
    tile.n_outer, tile.n_inner, tile.last, tile.ahead_step = 1, own.hidden, width, 0
    tile.start = ADD
    for column in range(0, run.used, TILE_VECTORS * width):
        tile.n_vectors = min(TILE_VECTORS, (run.used - column) // width)
        tile.a = job.parameters + (run.recurrent_kernel + first) * item_size
        tile.b = job.buffer + (state + column) * item_size
        tile.c = job.buffer + (target + column) * item_size
        tile.ahead = tile.a
        rows_of_tiles(job, job.reading_tile, tile, n_rows, item_size, tile.a)


@inner
def multiply_back(job, run, kernel, n_rows, units, delta, target, start):
    """target (+)= K delta, for a kernel of `n_rows` rows and `units` columns, at one step."""
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = units, 1, 0, PANEL, PANEL
    tile.n_outer, tile.n_inner, tile.start, tile.last, tile.ahead_step = 1, units, start, width, 0
    for column in range(0, run.used, TILE_VECTORS * width):
        tile.n_vectors = min(TILE_VECTORS, (run.used - column) // width)
        tile.a = job.parameters + kernel * item_size
        tile.b = job.buffer + (delta + column) * item_size
        tile.c = job.buffer + (target + column) * item_size
        tile.ahead = tile.a
        rows_of_tiles(job, job.reading_tile, tile, n_rows, item_size, tile.a)


@inner
def transpose_steps(job, run, units, first_unit, time, n_steps):
    """Write the deltas of some steps as strips: strip s is (steps * columns in use, strip), samples down."""
    buffer = buffer_of(job)
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    n_rows = n_steps * run.used
    for unit in range(first_unit // width * width, units, width):
        target = run.strips + unit // strip * strip * n_rows + unit % strip
        for step in range(n_steps):
            source = run.gates + ((time + step) * units + unit) * PANEL
            for column in range(0, run.used, width):
                transpose_block(buffer, source + column, PANEL, buffer, target, strip)
                target += width * strip


@inner
def add_kernel_gradient(job, run, kernel, n_rows, units, x, n_steps, start):
    """A kernel's gradient (+)= x dZ^T over some steps, whose deltas are transposed; x is where the first's lies."""
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    strip = TILE_VECTORS * width
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = PANEL, 1, n_rows * PANEL, strip, units
    tile.n_outer, tile.n_inner, tile.start, tile.ahead_step = n_steps, run.used, start, 0
    for unit in range(0, units, strip):
        used = min(strip, units - unit)
        tile.n_vectors = (used + width - 1) // width
        tile.last = used - (tile.n_vectors - 1) * width
        tile.a = job.buffer + x * item_size
        tile.b = job.buffer + (run.strips + unit * n_steps * run.used) * item_size
        tile.c = job.gradient + (kernel + unit) * item_size
        tile.ahead = tile.c
        rows_of_tiles(job, job.reading_tile, tile, n_rows, item_size, tile.c)


@inner
def add_bias_gradient(job, run, bias, units, n_steps, start):
    """The gradient of a bias (+)= the sum of the transposed deltas."""
    buffer, gradient = buffer_of(job), gradient_of(job)
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    n_rows = n_steps * run.used
    for unit in range(0, units, width):
        count = min(width, units - unit)
        at = run.strips + unit // strip * strip * n_rows + unit % strip
        sums = column_sum(buffer, at, strip, n_rows)
        if start == ADD:
            sums = sums + load_first(gradient, bias + unit, count)
        store_first(gradient, bias + unit, sums, count)


@inlined
def put_out(buffer, own, run, at, column, time, h):
    """Put a state out: 0 for sequences that have ended; that of the second of two directions may be added."""
    if run.lengths >= 0 and own.sequences:
        h = select(goes_on(buffer, run, column, time), h, 0.0)
    if run.adds:
        h = h + load(buffer, at)
    store(buffer, at, h)


@inlined
def keep_delta(buffer, own, run, i, at, time, dh):
    """Leave the delta of a state at which a sequence has ended to the step before, and return that of the others.

    What is put out at every step is 0 there, whatever the state, so its delta counts for nothing.
    """
    is_on = goes_on(buffer, run, i - at, time)
    kept = load(buffer, run.carry + i) if own.sequences else dh
    store(buffer, run.carry + i, select(is_on, 0.0, kept))
    return select(is_on, dh, 0.0)


@inner
def add_gradients(job, op, run, time, n_steps, start):
    """The gradients of the kernel and its bias over some steps, whose deltas are transposed."""
    own = own_record(op)
    units = own.gates * own.hidden
    add_kernel_gradient(job, run, run.weights, op.fan_in, units, run.x + time * op.fan_in * PANEL, n_steps, start)
    if run.bias >= 0:
        add_bias_gradient(job, run, run.bias, units, n_steps, start)


@inner
def add_recurrent_gradient(job, op, run, time, n_steps, start):
    """The gradient of the recurrent kernel over some steps, whose deltas are transposed."""
    own = own_record(op)
    states = run.states + block_before(run, time) * own.hidden * PANEL
    add_kernel_gradient(job, run, run.recurrent_kernel, own.hidden, own.gates * own.hidden, states, n_steps, start)


@inner
def add_input_deltas(job, op, run, time, n_steps):
    """The deltas of the inputs of some steps."""
    own = own_record(op)
    units = own.gates * own.hidden
    for t in range(time, time + n_steps):
        target = run.other_delta + t * op.fan_in * PANEL
        multiply_back(job, run, run.weights, op.fan_in, units, run.gates + t * units * PANEL, target,
                      ADD if run.direction > 0 else ZERO)  # fmt: skip
        clear_unused(job, run, target, op.fan_in)


@inner
def clear_input_deltas_beyond(job, op, run):
    """Steps that no sequence of the panel has get no delta."""
    if run.direction == 0:
        clear_beyond(job, run, run.other_delta, op.fan_in, op.fan_in, op.positions)


@inlined
def first_time(run, begin, end):
    """The first in time of the steps number `begin` to `end` - 1."""
    return run.n_steps - end if run.backwards else begin


@inlined
def start_of(job, run, panel, end):
    """Whether gradients are added to what is there: the first steps of the first panel begin."""
    return job.start if panel == 0 and end == run.n_steps else ADD


@inner
def delta_at(op, run, step, time):
    """Where the delta of a step's output lies; -1: it has none."""
    block = output_block(op, run, step, time)
    return run.delta + block * own_record(op).target_units * PANEL if block >= 0 else -1


@inner
def target_at(op, run, step, time):
    """Where a step's state is put out; -1: nowhere."""
    block = output_block(op, run, step, time)
    return run.target + block * own_record(op).target_units * PANEL if block >= 0 else -1
