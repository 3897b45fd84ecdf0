"""Recurrent layers on a single row: vectors run along the units of the state.

Sums are taken in the same order as in panels, so a row alone gives the same bits as within a batch. The state lies
where ops keep numbers of a row; `keeps` says that it stays there for the next call, which goes on with it: that is how
a network is stepped through time.

Jobs
----
- `simple_rnn_row`, `lstm_row`, `gru_row`: all steps of a row, in both directions where there are two
"""

from fastnn.kernels.jit import inner, named
from fastnn.kernels.recurrence import own_record, squash
from fastnn.kernels.simd import filled, fma, lanes, load, load_first, store, store_first
from fastnn.kernels.units import row_unit
from fastnn.kernels.views import buffer_of, parameters_of

_CHAINS = 4  # sums that run side by side, since each waits for its last product


@inner
def _multiply(parameters, kernel, row_size, n_units, n_rows, buffer, source, target):
    """target += x K for the first `n_units` columns of rows that are `row_size` apart; lanes behind are spilled."""
    width = lanes(buffer)
    column = 0
    while column + _CHAINS * width <= n_units:
        at, to = kernel + column, target + column
        z_0, z_1 = load(buffer, to), load(buffer, to + width)
        z_2, z_3 = load(buffer, to + 2 * width), load(buffer, to + 3 * width)
        for k in range(n_rows):
            x = filled(buffer, buffer[source + k])
            z_0 = fma(x, load(parameters, at), z_0)
            z_1 = fma(x, load(parameters, at + width), z_1)
            z_2 = fma(x, load(parameters, at + 2 * width), z_2)
            z_3 = fma(x, load(parameters, at + 3 * width), z_3)
            at += row_size
        store(buffer, to, z_0)
        store(buffer, to + width, z_1)
        store(buffer, to + 2 * width, z_2)
        store(buffer, to + 3 * width, z_3)
        column += _CHAINS * width
    while column < n_units:
        at = kernel + column
        z = load(buffer, target + column)
        for k in range(n_rows):
            z = fma(filled(buffer, buffer[source + k]), load(parameters, at), z)
            at += row_size
        store(buffer, target + column, z)
        column += width


@inner
def _begin(parameters, bias, n_units, buffer, target):
    """Put the bias, or 0, where products are added to."""
    for unit in range(0, n_units, lanes(buffer)):
        store(buffer, target + unit, load(parameters, bias + unit) if bias >= 0 else filled(buffer, 0.0))


@inner
def _clear(buffer, at, size):
    for i in range(at, at + size, lanes(buffer)):
        store(buffer, i, filled(buffer, 0.0))


@inner
def _put_out(row, op, own, buffer, state, direction, step, time):
    """Write the state of a step to where the op's output has it."""
    if not own.sequences and step < op.positions - 1:
        return
    block = 0 if not own.sequences else time if own.aligned else step
    target = row.target + block * own.target_units + direction * own.second_column
    adds = direction == 1 and own.second_column == 0
    for unit in range(0, own.hidden, lanes(buffer)):
        count = min(lanes(buffer), own.hidden - unit)
        h = load(buffer, state + unit)
        if adds:
            h = load_first(buffer, target + unit, count) + h
        store_first(buffer, target + unit, h, count)


def _rows_of(step_of, n_gates, name):
    """Build the unit that goes through all steps; `step_of` makes a step's state from its gates."""

    @row_unit
    @named(name)
    def run(row, op):
        own, parameters, buffer = own_record(op), parameters_of(row), buffer_of(row)
        units, row_of_state = n_gates * own.hidden, own.row_size
        for direction in range(own.n_directions):
            first = direction * own.direction_parameters
            weights, bias = op.weights + first, op.bias + first if op.bias >= 0 else -1
            state = 2 * row.row_size + own.row  # then the cells, the candidates' products, the gates
            backwards = own.backwards if direction == 0 else 1 - own.backwards
            gates = state + 3 * row_of_state
            if own.keeps == 0:
                _clear(buffer, state, 2 * row_of_state)
            for step in range(op.positions):
                time = op.positions - 1 - step if backwards else step
                _begin(parameters, bias, units, buffer, gates)
                _multiply(parameters, weights, units, units, op.fan_in, buffer, row.source + time * op.fan_in, gates)
                step_of(op, own, parameters, buffer, weights, bias, state, gates, step > 0 or own.keeps > 0)
                _put_out(row, op, own, buffer, state, direction, step, time)
        row.source, row.target = row.target, row.source
        return True

    return run


@inner
def _simple_rnn_step(op, own, parameters, buffer, weights, bias, state, gates, goes_on):
    hidden = own.hidden
    if goes_on:
        _multiply(parameters, weights + own.recurrent_kernel, hidden, hidden, hidden, buffer, state, gates)
    for unit in range(0, hidden, lanes(buffer)):
        store(buffer, state + unit, squash(own.activation, load(buffer, gates + unit)))


@inner
def _lstm_step(op, own, parameters, buffer, weights, bias, state, gates, goes_on):
    hidden, cells = own.hidden, state + own.row_size
    if goes_on:
        _multiply(parameters, weights + own.recurrent_kernel, 4 * hidden, 4 * hidden, hidden, buffer, state, gates)
    for unit in range(0, hidden, lanes(buffer)):
        into = squash(own.recurrent_activation, load(buffer, gates + unit))
        keep = squash(own.recurrent_activation, load(buffer, gates + hidden + unit))
        new = squash(own.activation, load(buffer, gates + 2 * hidden + unit))
        out = squash(own.recurrent_activation, load(buffer, gates + 3 * hidden + unit))
        cell = fma(keep, load(buffer, cells + unit), into * new)
        store(buffer, cells + unit, cell)
        store(buffer, state + unit, out * squash(own.activation, cell))


@inner
def _gru_step(op, own, parameters, buffer, weights, bias, state, gates, goes_on):
    hidden, products = own.hidden, state + 2 * own.row_size
    kernel = weights + own.recurrent_kernel
    _begin(parameters, bias + 5 * hidden if bias >= 0 else -1, hidden, buffer, products)
    if goes_on:
        # What spills over from the columns of z and r would be taken for the candidates': those are put back.
        kept = load(buffer, gates + 2 * hidden)
        _multiply(parameters, kernel, 3 * hidden, 2 * hidden, hidden, buffer, state, gates)
        store(buffer, gates + 2 * hidden, kept)
        _multiply(parameters, kernel + 2 * hidden, 3 * hidden, hidden, hidden, buffer, state, products)
    for unit in range(0, hidden, lanes(buffer)):
        z, r = load(buffer, gates + unit), load(buffer, gates + hidden + unit)
        if bias >= 0:
            z = z + load(parameters, bias + 3 * hidden + unit)
            r = r + load(parameters, bias + 4 * hidden + unit)
        z, r = squash(own.recurrent_activation, z), squash(own.recurrent_activation, r)
        m, before = load(buffer, products + unit), load(buffer, state + unit)
        new = squash(own.activation, fma(r, m, load(buffer, gates + 2 * hidden + unit)))
        store(buffer, state + unit, fma(z, before - new, new))


simple_rnn_row = _rows_of(_simple_rnn_step, 1, "simple_rnn_row")
lstm_row = _rows_of(_lstm_step, 4, "lstm_row")
gru_row = _rows_of(_gru_step, 3, "gru_row")
