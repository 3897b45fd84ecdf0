"""Matrix products on panels, written as one register tile.

All activations lie in panels of `PANEL` samples: a panel of u units is a contiguous (u, PANEL) block, units down,
samples across. Then all three products of a dense layer have one form,

    C[r, v] (+)= sum_k A(r, k) * B[k, v],     r: rows of a tile,  v: vectors of one cache line,

where A is read one element at a time (broadcast, so any strides do) and B and C by whole vectors:

    forward   Z[j, i] = b[j] + sum_k W[k, j] X[k, i]      A = W transposed,  B = the layer's input panel
    input     dX[k, i] = sum_j W[k, j] dZ[j, i]           A = W,             B = the delta panel
    weights   dW[k, j] += sum_i X[k, i] dZ[j, i]          A = the input panels,  B = the deltas, transposed

Only the deltas are ever rearranged. No BLAS is called: no thread pool to hold back, the same bits on every run, and
small products cost what their arithmetic costs. The tile is in `kernels.tile`.

Taking a line of memory that another core has written, or has read and this one wants to write, takes as long as many
multiplications. So tiles fetch such lines while they compute: the forward product those of the rows of W that come
next, if other threads have updated them, and the weight gradient the parameters that this thread updates with it.

Jobs
----
- `multiply_forward`, `multiply_input_gradient`, `multiply_weight_gradient`
- `transpose_deltas`: (units, samples) panels to (samples, units) strips, the B of the weight gradient
"""

from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    copy_eight,
    filled,
    lanes,
    load,
    load_first,
    store,
    store_first,
    transpose_block,
)
from fastnn.kernels.tables import TILE
from fastnn.kernels.tile import ADD, BIAS, TILE_ROWS, TILE_VECTORS, ZERO
from fastnn.kernels.units import call_tile
from fastnn.kernels.views import array_at, buffer_of, on_stack, parameters_of

PANEL = 32  # samples in a panel: two vectors of float32, four of float64
DEPTH = 256  # most rows of a kernel that the forward product uses for all panels before it goes on to the next
PACKED_TILES = 4  # at most so many tiles' columns are copied at a time
_L1 = 32768  # bytes of the least first-level cache of today's processors

_new_tile = on_stack(TILE)


@inner
def rows_of_tiles(job, unit, tile, n_rows, item_size, ahead_last):
    """Cover `n_rows` rows of C with tiles of nearly equal height; `tile` holds the operands of the first row.

    Meanwhile as much memory is fetched from `tile.ahead` on as C has in these rows, up to one tile's from `ahead_last`;
    with a step of 0 the same line again and again.
    """
    n_tiles = (n_rows + TILE_ROWS - 1) // TILE_ROWS
    lower = n_rows // n_tiles
    n_higher = n_rows - lower * n_tiles
    a, c, ahead = tile.a, tile.c, tile.ahead
    a_bytes, c_bytes, ahead_bytes = tile.a_row * item_size, tile.c_row * item_size, tile.n_vectors * VECTOR_BYTES
    for t in range(n_tiles):
        height = lower + (t < n_higher)
        tile.n_rows, tile.a, tile.c, tile.ahead = height, a, c, ahead
        call_tile(unit, job, tile)
        a += height * a_bytes
        c += height * c_bytes
        ahead = min(ahead + height * ahead_bytes, ahead_last)


@inner
def _pack(parameters, at, units, depth, n_tiles, lower, n_higher, buffer, area):
    """Copy the columns of some tiles from `depth` rows of the kernel: the rows of each then lie together, 8 apart."""
    for k in range(depth):
        source = at + k * units
        for t in range(n_tiles):
            copy_eight(parameters, source, buffer, area + (t * depth + k) * 8)
            source += lower + (t < n_higher)


@inner
def multiply_forward(job, op, n_samples):
    """Z = W^T X + b on the panels that hold `n_samples` samples; a bias < 0 means none.

    A tile reads a narrow column of W, one cache line a row. All panels use DEPTH rows of it before the next are
    fetched: the lines of a taller column, a power of two apart, would evict each other. Where those of DEPTH rows do
    so too, they are copied first, to an area that has room for the layer's outputs, and for what `_forward_few` needs.
    With several threads the rows that come next, or the next layer's, are fetched meanwhile by lines.
    """
    parameters, buffer, scale = parameters_of(job), buffer_of(job), job.capacity * PANEL
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    fan_in, units = op.fan_in, op.units
    source, target, area = op.source * scale, op.target * scale, job.strips * scale
    tile = _new_tile()
    last = (n_samples - 1) // PANEL
    n_whole = n_samples
    if _pays_exchanged(n_samples - last * PANEL, units, width):
        _forward_few(job, op, tile, source + last * fan_in * PANEL, target + last * units * PANEL,
                     n_samples - last * PANEL, area)  # fmt: skip
        n_whole = last * PANEL
    tile.a_row, tile.a_jump, tile.b_row, tile.c_row = 1, 0, PANEL, PANEL
    tile.n_outer, tile.last = 1, width
    n_tiles = (units + TILE_ROWS - 1) // TILE_ROWS
    lower = units // n_tiles
    n_higher = units - lower * n_tiles
    n_blocks = (fan_in + DEPTH - 1) // DEPTH
    for block in range(n_blocks):
        k = block * fan_in // n_blocks
        depth = (block + 1) * fan_in // n_blocks - k
        tile.n_inner = depth
        tile.start = ADD if k > 0 else BIAS if op.bias >= 0 else ZERO
        packed_tiles = 0
        if _pays_packed(depth, units, n_whole, width):
            packed_tiles = min(PACKED_TILES, units * n_whole // (8 * depth))
        # Behind the parameters lie, likely, the moments: lines that another thread will want to write.
        last_ahead = max(0, parameters.size - depth * width)
        unit = 0
        for t in range(n_tiles):
            height = lower + (t < n_higher)
            column_at = op.weights + k * units + unit
            if packed_tiles > 0:
                if t % packed_tiles == 0:
                    _pack(parameters, column_at, units, depth, min(packed_tiles, n_tiles - t), lower, n_higher - t,
                          buffer, area)  # fmt: skip
                tile.a, tile.a_step = job.buffer + (area + t % packed_tiles * depth * 8) * item_size, 8
            else:
                tile.a, tile.a_step = job.parameters + column_at * item_size, units
            tile.n_rows = height
            tile.bias = job.parameters + (max(op.bias, 0) + unit) * item_size
            tile.ahead, tile.ahead_step = tile.a, 0
            if job.n_threads > 1:
                ahead = min(op.weights + (k + depth) * units + t * depth * width, last_ahead)
                tile.ahead, tile.ahead_step = job.parameters + ahead * item_size, width
            for panel in range((n_whole + PANEL - 1) // PANEL):
                used = min(PANEL, n_whole - panel * PANEL)
                tile.b = job.buffer + (source + (panel * fan_in + k) * PANEL) * item_size
                tile.c = job.buffer + (target + (panel * units + unit) * PANEL) * item_size
                for column in range(0, used, TILE_VECTORS * width):
                    tile.n_vectors = min(TILE_VECTORS, (used - column + width - 1) // width)
                    call_tile(job.reading_tile, job, tile)
                    tile.b, tile.c = tile.b + TILE_VECTORS * VECTOR_BYTES, tile.c + TILE_VECTORS * VECTOR_BYTES
                tile.ahead, tile.ahead_step = tile.a, 0
            unit += height
    _clear_unused(buffer, target, units, n_samples)


@inlined
def _pays_packed(depth, units, n_samples, width):
    """Whether `depth` rows of a kernel evict each other from the first-level cache, and enough tiles read them.

    Addresses that are multiples of p apart, a power of two, share an (L1 / p)-th of its lines. A tile of two vectors
    multiplies for 14 cycles with what a row brings, and the line from the second level has come by then; one of a
    single vector for 6. Two panels are four of those.
    """
    stride = units * (VECTOR_BYTES // width)
    return TILE_VECTORS == 1 and n_samples > PANEL and depth * (stride & -stride) > _L1


@inlined
def _pays_exchanged(n_samples, units, width):
    """Whether `_forward_few` is faster, by the cycles of a step of k.

    About 0.6 a row of a tile that is one vector wide, against one a row of a tile that is two, but four at least: the
    latency of an addition.
    """
    strip = TILE_VECTORS * width
    return n_samples <= width and 5 * ((units + strip - 1) // strip) * max(4, n_samples) < 3 * units


@inner
def _forward_few(job, op, tile, x, z, n_samples, area):
    """The forward product of a panel with no more samples than lanes, A and B exchanged: the same sums, transposed.

    A tile one vector wide loads as much as it multiplies. With samples for rows and units for lanes a row of W is
    loaded by whole vectors, once for all samples.
    """
    parameters, buffer = parameters_of(job), buffer_of(job)
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    strip = TILE_VECTORS * width
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = 1, PANEL, 0, op.units, strip
    tile.n_outer, tile.start, tile.last = 1, ADD, width
    tile.ahead, tile.ahead_step = job.buffer + area * item_size, 0
    for unit in range(0, op.units, strip):
        n_vectors = min(TILE_VECTORS, (op.units - unit + width - 1) // width)
        for column in range(0, n_vectors * width, width):
            first = filled(buffer, 0.0)
            if op.bias >= 0:
                first = load_first(parameters, op.bias + unit + column, op.units - unit - column)
            for i in range(n_samples):
                store(buffer, area + i * strip + column, first)
        tile.n_vectors = n_vectors
        for k in range(0, op.fan_in, DEPTH):
            tile.a = job.buffer + (x + k * PANEL) * item_size
            tile.b = job.parameters + (op.weights + k * op.units + unit) * item_size
            tile.c = job.buffer + area * item_size
            tile.n_inner = min(DEPTH, op.fan_in - k)
            rows_of_tiles(job, job.reading_tile, tile, n_samples, item_size, tile.ahead)
        for column in range(0, n_vectors * width, width):
            for i in range(n_samples, width):  # padding repeats the last sample
                store(buffer, area + i * strip + column, load(buffer, area + (n_samples - 1) * strip + column))
            count = min(width, op.units - unit - column)
            block = z + (unit + column) * PANEL if count == width else area + width * strip
            stride = PANEL if count == width else width
            transpose_block(buffer, area + column, strip, buffer, block, stride)
            if count < width:  # only so many rows belong to this panel
                for j in range(count):
                    store(buffer, z + (unit + column + j) * PANEL, load(buffer, block + j * width))


@inner
def _clear_unused(buffer, panels, units, n_samples):
    """Put 0 into the vectors of the last panel that hold no sample, which products leave out.

    What an earlier, fuller batch left there must not stay: elementwise passes would work on it again and again.
    """
    width = lanes(buffer)
    last = (n_samples - 1) // PANEL
    unused = (n_samples - last * PANEL + width - 1) // width * width
    if unused < PANEL:
        nothing = filled(buffer, 0.0)
        first = panels + last * units * PANEL
        for at in range(first, first + units * PANEL, PANEL):
            for column in range(unused, PANEL, width):
                store(buffer, at + column, nothing)


@inner
def multiply_input_gradient(job, op, n_samples):
    """dX = W dZ on the panels that hold `n_samples` samples, from the delta to the other delta."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    delta, target = job.buffer + job.delta * scale * item_size, job.buffer + job.other_delta * scale * item_size
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = op.units, 1, 0, PANEL, PANEL
    tile.n_outer, tile.n_inner, tile.start, tile.last, tile.ahead_step = 1, op.units, ZERO, width, 0
    for panel in range((n_samples + PANEL - 1) // PANEL):
        used = min(PANEL, n_samples - panel * PANEL)
        for column in range(0, used, TILE_VECTORS * width):
            tile.n_vectors = min(TILE_VECTORS, (used - column + width - 1) // width)
            tile.a = job.parameters + op.weights * item_size
            tile.b = delta + (panel * op.units * PANEL + column) * item_size
            tile.c = target + (panel * op.fan_in * PANEL + column) * item_size
            tile.ahead = tile.c
            rows_of_tiles(job, job.reading_tile, tile, op.fan_in, item_size, tile.c)
    _clear_unused(buffer, job.other_delta * scale, op.fan_in, n_samples)


@inner
def transpose_deltas(buffer, delta, units, n_samples, strips):
    """Write the deltas as strips of `strip` units: strip s is (panels * PANEL, strip), samples down.

    Units beyond the last are whatever memory follows: no lane of theirs is ever stored.
    """
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    n_rows = (n_samples + PANEL - 1) // PANEL * PANEL
    for unit in range(0, units, width):
        target = strips + (unit // strip) * strip * n_rows + unit % strip
        for sample in range(0, n_samples, width):
            source = delta + (sample // PANEL * units + unit) * PANEL + sample % PANEL
            transpose_block(buffer, source, PANEL, buffer, target + sample * strip, strip)


@inner
def column_sum(buffer, at, stride, n):
    """The sum of n vectors, in four chains: one would wait four cycles for each addition."""
    sum_0, sum_1, sum_2, sum_3 = filled(buffer, 0.0), filled(buffer, 0.0), filled(buffer, 0.0), filled(buffer, 0.0)
    whole = n // 4 * 4
    for i in range(0, whole, 4):
        row = at + i * stride
        sum_0 = sum_0 + load(buffer, row)
        sum_1 = sum_1 + load(buffer, row + stride)
        sum_2 = sum_2 + load(buffer, row + 2 * stride)
        sum_3 = sum_3 + load(buffer, row + 3 * stride)
    for i in range(whole, n):
        sum_0 = sum_0 + load(buffer, at + i * stride)
    return (sum_0 + sum_1) + (sum_2 + sum_3)


@inner
def multiply_weight_gradient(job, op, weights, bias, first, n_rows, workspace, n_samples, start, ahead, ahead_end):
    """dW (+)= X dZ^T for `n_rows` rows of the kernel from number `first` on; db (+)= sum of dZ over the samples.

    Parameters
    ----------
    job, op : the job, and the op whose kernel it is
    weights : address, where the gradient of row `first` goes
    bias : address, where that of the bias goes; 0 leaves it out
    first, n_rows : rows of the kernel
    workspace : address of the buffer whose samples are summed up: it holds the input, and the strips of
        `transpose_deltas`
    n_samples : how many there are
    start : tile.ZERO, or tile.ADD to what is there
    ahead, ahead_end : addresses; if the second is behind the first, about as much memory from there on is fetched as is
        written, to be written next
    """
    buffer, scale = array_at(workspace, job.buffer_size, job.element), job.capacity * PANEL
    width = lanes(buffer)
    item_size = VECTOR_BYTES // width
    strip = TILE_VECTORS * width
    strips, units, fan_in = job.strips * scale, op.units, op.fan_in
    n_full = n_samples // PANEL
    n_rest = n_samples - n_full * PANEL
    height = (n_full + (n_rest > 0)) * PANEL
    tile = _new_tile()
    tile.a_row, tile.a_step, tile.a_jump, tile.b_row, tile.c_row = PANEL, 1, fan_in * PANEL, strip, units
    ahead_last = ahead_end - PANEL * VECTOR_BYTES  # a tile fetches no more than a line for each sample of a panel
    fetches = ahead_last > ahead
    tile.ahead_step = width if fetches else 0
    unit_of_tile = job.writing_tile if fetches else job.reading_tile
    for unit in range(0, units, strip):
        used = min(strip, units - unit)
        tile.n_vectors = (used + width - 1) // width
        tile.last = used - (tile.n_vectors - 1) * width
        b = strips + unit * height
        tile.start = start
        for part in range(2):  # the full panels, then what the last one holds
            tile.n_outer, tile.n_inner = (n_full, PANEL) if part == 0 else (1, n_rest)
            if tile.n_outer > 0 and tile.n_inner > 0:
                done = part * n_full * PANEL
                tile.a = workspace + (op.source * scale + first * PANEL + done * fan_in) * item_size
                tile.b = workspace + (b + done * strip) * item_size
                tile.c = weights + unit * item_size
                end = tile.c
                tile.ahead = tile.c
                if fetches:
                    tile.ahead, end = min(ahead + unit * n_rows * item_size, ahead_last), ahead_last
                rows_of_tiles(job, unit_of_tile, tile, n_rows, item_size, end)
                tile.start = ADD
        if bias != 0:
            gradient = array_at(bias, units, job.element)
            for column in range(0, used, width):
                count = min(width, used - column)
                # Panel by panel, as products go: so it does not matter to the sum which thread has which.
                sums = load_first(gradient, unit + column, count) if start == ADD else filled(buffer, 0.0)
                for sample in range(0, n_samples, PANEL):
                    in_panel = min(PANEL, n_samples - sample)
                    sums = sums + column_sum(buffer, b + column + sample * strip, strip, in_panel)
                store_first(gradient, unit + column, sums, count)
