"""The products of recurrent ops: kernels with inputs, states and deltas, and the gradients of the kernels.

Jobs
----
- `multiply_inputs`, `multiply_states`, `multiply_states_back`: of all steps, and of one
- `add_all_gradients`, made of `transpose_steps`, `add_gradients`, `add_recurrent_gradient`, `add_bias_gradient`
- `add_input_deltas`: the deltas of the inputs of some steps; `transpose_kernels`: what few samples need for them
"""

from fastnn.kernels.gemm import PANEL, column_sum, rows_of_tiles
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.recurrence import add_to_panel, block_before, clear_unused, own_record, unit_bias
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    filled,
    lanes,
    load_first,
    store,
    store_first,
    transpose_block,
)
from fastnn.kernels.tables import TILE
from fastnn.kernels.tile import ADD, BIAS, TILE_ROWS, TILE_VECTORS, ZERO
from fastnn.kernels.units import call_tile
from fastnn.kernels.views import buffer_of, gradient_of, on_stack, parameters_of

_new_tile = on_stack(TILE)


@inner
def _multiply(job, tile, a, b, c, n_rows, n_columns):
    """C (+)= A B; a, b and c are addresses."""
    width = lanes(buffer_of(job))
    strip = TILE_VECTORS * width
    tile.ahead_step = 0
    for column in range(0, n_columns, strip):
        used = min(strip, n_columns - column)
        tile.n_vectors = (used + width - 1) // width
        tile.last = used - (tile.n_vectors - 1) * width
        tile.a, tile.b, tile.c = a, b, c
        tile.ahead = a
        rows_of_tiles(job, job.reading_tile, tile, n_rows, VECTOR_BYTES // width, a)
        b += TILE_VECTORS * VECTOR_BYTES
        c += TILE_VECTORS * VECTOR_BYTES


@inner
def _multiply_few_inputs(job, op, run):
    """Gates = x W + b of few samples: the steps of each are the rows of a product."""
    own, buffer = own_record(op), buffer_of(job)
    item_size = VECTOR_BYTES // lanes(buffer)
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row = op.fan_in * PANEL, PANEL, 0, own.gates * run.row
    tile.c_row, tile.n_outer, tile.n_inner, tile.start = run.step, 1, op.fan_in, ADD
    for gate in range(own.gates):
        target, first = run.gates + gate * run.gate, gate * run.row
        for at in range(0, run.n_steps * run.step, run.row):
            for unit in range(0, run.row, lanes(buffer)):
                store(buffer, target + at + unit, unit_bias(job, run, run.bias + first, unit, 0))
        for row in range(run.few):
            _multiply(job, tile, job.buffer + (run.x + row) * item_size,
                      job.parameters + (run.weights + first) * item_size,
                      job.buffer + (target + row * run.row) * item_size, run.n_steps, run.row)  # fmt: skip


@inner
def multiply_inputs(job, op, run):
    """Gates = W^T x + b, for all steps of a panel; rows of tiles outermost, so that columns of W stay in cache."""
    if run.few > 0:
        _multiply_few_inputs(job, op, run)
        return
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
def multiply_states(job, op, run, state, first, n_gates, target):
    """target += U^T h at one step, for `n_gates` gates from number `first` on."""
    own = own_record(op)
    item_size = VECTOR_BYTES // lanes(buffer_of(job))
    hidden, units = own.hidden, own.gates * own.hidden
    kernel = job.parameters + (run.recurrent_kernel + first * hidden) * item_size
    a, b, c = job.buffer + state * item_size, kernel, job.buffer + target * item_size
    n_rows, n_columns, times = run.few, hidden, n_gates
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.b_row, tile.c_row = hidden, 1, units, hidden
    tile.n_outer, tile.n_inner, tile.a_jump, tile.start = 1, hidden, 0, ADD
    if run.few == 0:
        a, b = b, a
        n_rows, n_columns, times = n_gates * hidden, run.used, 1
        tile.a_row, tile.a_step, tile.b_row, tile.c_row = 1, units, PANEL, PANEL
    for _ in range(times):
        _multiply(job, tile, a, b, c, n_rows, n_columns)
        b += hidden * item_size
        c += run.gate * item_size


@inner
def multiply_states_back(job, op, run, gates, start):
    """carry (+)= U delta, at one step."""
    own = own_record(op)
    item_size = VECTOR_BYTES // lanes(buffer_of(job))
    units = own.gates * own.hidden
    a, b = job.buffer + gates * item_size, job.buffer + run.transposed * item_size
    n_rows, n_columns = run.few, run.row
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = run.row, 1, run.gate, run.row, run.row
    tile.n_outer, tile.n_inner, tile.start = own.gates, run.row, start
    if run.few == 0:
        a, b = job.parameters + run.recurrent_kernel * item_size, a
        n_rows, n_columns = own.hidden, run.used
        tile.a_row, tile.n_outer, tile.n_inner = units, 1, units
    _multiply(job, tile, a, b, job.buffer + run.carry * item_size, n_rows, n_columns)


@inlined
def _transposed_size(op, width):
    """The length of a row of the transposed kernel: whole vectors."""
    return (op.fan_in + width - 1) // width * width


@inner
def transpose_kernels(job, op, run):
    """Transpose the kernels, which panels of few samples need in that form."""
    if run.few == 0:
        return
    parameters, buffer, units = parameters_of(job), buffer_of(job), own_record(op).gates * run.row
    width = lanes(buffer)
    kernel, n_rows, row_size, target = run.recurrent_kernel, run.row, run.row, run.transposed
    for _ in range(2 if op.has_gradient_below else 1):
        for row in range(0, n_rows, width):
            for unit in range(0, units, width):
                transpose_block(parameters, kernel + row * units + unit, units, buffer, target + unit * row_size + row,
                                row_size)  # fmt: skip
        target += run.row * units
        kernel, n_rows, row_size = run.weights, op.fan_in, _transposed_size(op, width)


@inner
def transpose_steps(job, run, units, first_unit, time, n_steps):
    """Write the deltas of some steps as strips: strip s is (steps * columns in use, strip), samples down."""
    if run.few > 0:  # rows of samples need no transposing
        return
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
def _add_kernel_gradient(job, op, run, kernel, n_rows, x, time, n_steps, start):
    """A kernel's gradient (+)= x dZ^T over some steps, whose deltas are transposed; x is where the first's lies."""
    width = lanes(buffer_of(job))
    item_size = VECTOR_BYTES // width
    units = own_record(op).gates * run.hidden
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = PANEL, 1, n_rows * PANEL, run.row, units
    tile.n_outer, tile.n_inner, tile.start = n_steps, run.few, start
    b, b_step, n_columns = run.gates + time * run.step, run.gate, run.row
    if run.few == 0:
        n_columns = tile.b_row = TILE_VECTORS * width
        tile.n_inner = run.used
        b, b_step = run.strips, n_columns * n_steps * run.used
    elif kernel == run.recurrent_kernel:
        tile.a_row, tile.a_step, tile.a_jump = 1, run.row, run.step
    for unit in range(0, units, n_columns):
        _multiply(job, tile, job.buffer + x * item_size, job.buffer + b * item_size,
                  job.gradient + (kernel + unit) * item_size, n_rows, min(n_columns, units - unit))  # fmt: skip
        b += b_step


@inner
def add_bias_gradient(job, op, run, bias, time, n_steps, start):
    """The gradient of a bias (+)= the sum of the transposed deltas."""
    own, buffer, gradient = own_record(op), buffer_of(job), gradient_of(job)
    width = lanes(buffer)
    units = own.gates * own.hidden
    strip = TILE_VECTORS * width
    n_rows = n_steps * run.used
    for unit in range(0, units, width):
        count = min(width, units - unit)
        if run.few > 0:
            deltas = run.gates + unit // run.row * run.gate + time * run.step + unit % run.row
            sums = column_sum(buffer, deltas, run.row, n_steps * run.few)
        else:
            sums = column_sum(buffer, run.strips + unit // strip * strip * n_rows + unit % strip, strip, n_rows)
        if start == ADD:
            sums = sums + load_first(gradient, bias + unit, count)
        store_first(gradient, bias + unit, sums, count)


@inner
def add_gradients(job, op, run, time, n_steps, start):
    """The gradients of the kernel and its bias over some steps, whose deltas are transposed."""
    x = run.x + time * op.fan_in * PANEL
    _add_kernel_gradient(job, op, run, run.weights, op.fan_in, x, time, n_steps, start)
    if run.bias >= 0:
        add_bias_gradient(job, op, run, run.bias, time, n_steps, start)


@inner
def add_recurrent_gradient(job, op, run, time, n_steps, start):
    """The gradient of the recurrent kernel over some steps, whose deltas are transposed."""
    states = run.states + block_before(run, time) * run.block
    _add_kernel_gradient(job, op, run, run.recurrent_kernel, run.hidden, states, time, n_steps, start)


@inner
def add_input_deltas(job, op, run, time, n_steps):
    """The deltas of the inputs of some steps."""
    own, buffer = own_record(op), buffer_of(job)
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    units, size = own.gates * own.hidden, op.fan_in * PANEL
    target, gates = run.other_delta + time * size, run.gates + time * run.step
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = units, 1, 0, PANEL, PANEL
    tile.n_outer, tile.n_inner, tile.start = 1, units, ADD if run.direction > 0 else ZERO
    a, b, c = job.parameters + run.weights * item_size, job.buffer + gates * item_size, target
    a_step, b_step, c_step, times, n_rows, n_columns = 0, run.step, size, n_steps, op.fan_in, run.used
    if run.few > 0:  # in rows first
        row_size, kernel = _transposed_size(op, width), run.transposed + run.row * units
        a, b, c = b, job.buffer + kernel * item_size, kernel + row_size * units
        a_step, b_step, c_step, times, n_rows, n_columns = run.row, 0, 0, run.few, n_steps, op.fan_in
        tile.a_row, tile.a_jump, tile.b_row, tile.c_row = run.step, run.gate, row_size, op.fan_in
        tile.n_outer, tile.n_inner, tile.start = own.gates, run.row, ZERO
        if run.direction == 0:
            for i in range(target, target + n_steps * size, width):
                store(buffer, i, filled(buffer, 0.0))
    for i in range(times):
        _multiply(job, tile, a, b, job.buffer + c * item_size, n_rows, n_columns)
        if run.few > 0:
            add_to_panel(buffer, c, buffer, target + i, n_steps * op.fan_in)
        else:
            clear_unused(job, run, c, op.fan_in)
        a += a_step * item_size
        b += b_step * item_size
        c += c_step


@inner
def add_all_gradients(job, op, run, time, n_steps, start):
    """The gradients of both kernels and the bias over some steps."""
    if op.n_parameters > 0:
        transpose_steps(job, run, own_record(op).gates * run.hidden, 0, time, n_steps)
        add_gradients(job, op, run, time, n_steps, start)
        add_recurrent_gradient(job, op, run, time, n_steps, start)
