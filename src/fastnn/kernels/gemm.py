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
from fastnn.kernels.tile import ADD, BIAS, TILE_ROWS, TILE_VECTORS, ZERO, make_tile

PANEL = 32  # samples in a panel: two vectors of float32, four of float64
DEPTH = 256  # most rows of a kernel that the forward product uses for all panels before it goes on to the next
PACKED_TILES = 4  # at most so many tiles' columns are copied at a time
_L1 = 32768  # bytes of the least first-level cache of today's processors

_tile = make_tile(writes_ahead=True)
_reading_tile = make_tile(writes_ahead=False)


@inner
def _rows_of_tiles(n_rows, a, a_at, a_row, a_step, a_jump, b, b_at, b_row, c, c_at, c_row, n_outer, n_inner, start,
                   bias, bias_at, n_vectors, last, ahead, ahead_at, ahead_last):  # fmt: skip
    """Cover `n_rows` rows of C with tiles of nearly equal height.

    Meanwhile as many elements of `ahead`, an array or None, are fetched from `ahead_at` on as C has in these rows, up
    to one tile's from `ahead_last`.
    """
    n_tiles = (n_rows + TILE_ROWS - 1) // TILE_ROWS
    lower = n_rows // n_tiles
    n_higher = n_rows - lower * n_tiles
    row = 0
    for t in range(n_tiles):
        height = lower + (t < n_higher)
        _tile(height, n_vectors, a, a_at + row * a_row, a_row, a_step, a_jump, b, b_at, b_row, c, c_at + row * c_row,
              c_row, n_outer, n_inner, start, bias, bias_at + row, last, ahead,
              min(ahead_at + row * n_vectors * lanes(b), ahead_last))  # fmt: skip
        row += height


@inner
def _forward_tile(height, a, a_at, a_step, parameters, buffer, x, z, used, depth, start, bias, ahead, ahead_at):
    """A few units of a panel from `depth` rows of the kernel, which are those of `a` from `a_at` on, `a_step` apart."""
    width = lanes(buffer)
    for column in range(0, used, TILE_VECTORS * width):
        n_vectors = min(TILE_VECTORS, (used - column + width - 1) // width)
        _reading_tile(height, n_vectors, a, a_at, 1, a_step, 0, buffer, x + column, PANEL, buffer, z + column, PANEL, 1,
                      depth, start, parameters, bias, width, ahead, ahead_at)  # fmt: skip


@inner
def _pack(parameters, at, units, depth, n_tiles, lower, n_higher, buffer, area):
    """Copy the columns of some tiles from `depth` rows of the kernel: the rows of each then lie together, 8 apart."""
    for k in range(depth):
        source = at + k * units
        for t in range(n_tiles):
            copy_eight(parameters, source, buffer, area + (t * depth + k) * 8)
            source += lower + (t < n_higher)


@inner
def multiply_forward(parameters, weights, bias, fan_in, units, buffer, source, target, n_samples, area, fetches):
    """Z = W^T X + b on the panels that hold `n_samples` samples; bias < 0 means none.

    A tile reads a narrow column of W, one cache line a row. All panels use DEPTH rows of it before the next are
    fetched: the lines of a taller column, a power of two apart, would evict each other. Where those of DEPTH rows do
    so too, they are copied to `area` first, which has room for the layer's outputs, and for what `_forward_few` needs.
    With `fetches` the rows that come next, or the next layer's, are fetched meanwhile by lines.
    """
    width = lanes(buffer)
    last = (n_samples - 1) // PANEL
    if _pays_exchanged(n_samples - last * PANEL, units, width):
        _forward_few(parameters, weights, bias, fan_in, units, buffer, source + last * fan_in * PANEL,
                     target + last * units * PANEL, n_samples - last * PANEL, area)  # fmt: skip
        n_whole = last * PANEL
    else:
        n_whole = n_samples
    n_tiles = (units + TILE_ROWS - 1) // TILE_ROWS
    lower = units // n_tiles
    n_higher = units - lower * n_tiles
    n_blocks = (fan_in + DEPTH - 1) // DEPTH
    for block in range(n_blocks):
        k = block * fan_in // n_blocks
        depth = (block + 1) * fan_in // n_blocks - k
        start = ADD if k > 0 else BIAS if bias >= 0 else ZERO
        packed_tiles = 0
        if _pays_packed(depth, units, n_whole, width):
            packed_tiles = min(PACKED_TILES, units * n_whole // (8 * depth))
        # Behind the parameters lie, likely, the moments: lines that another thread will want to write.
        last_ahead = max(0, parameters.size - depth * width)
        unit = 0
        for t in range(n_tiles):
            height = lower + (t < n_higher)
            a, a_at, a_step = parameters, weights + k * units + unit, units
            if packed_tiles > 0:
                if t % packed_tiles == 0:
                    _pack(parameters, a_at, units, depth, min(packed_tiles, n_tiles - t), lower, n_higher - t, buffer,
                          area)  # fmt: skip
                a, a_at, a_step = buffer, area + t % packed_tiles * depth * 8, 8
            for panel in range((n_whole + PANEL - 1) // PANEL):
                used = min(PANEL, n_whole - panel * PANEL)
                x = source + (panel * fan_in + k) * PANEL
                z = target + (panel * units + unit) * PANEL
                bias_at = max(bias, 0) + unit
                if fetches and panel == 0:
                    ahead = min(weights + (k + depth) * units + t * depth * width, last_ahead)
                    _forward_tile(height, a, a_at, a_step, parameters, buffer, x, z, used, depth, start, bias_at,
                                  parameters, ahead)  # fmt: skip
                else:
                    _forward_tile(height, a, a_at, a_step, parameters, buffer, x, z, used, depth, start, bias_at, None,
                                  0)  # fmt: skip
            unit += height
    _clear_unused(buffer, target, units, n_samples)


@inlined
def _pays_packed(depth, units, n_samples, width):
    """Whether `depth` rows of a kernel evict each other from the first-level cache, and enough tiles would mind.

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
def _forward_few(parameters, weights, bias, fan_in, units, buffer, x, z, n_samples, area):
    """The forward product of a panel with no more samples than lanes, A and B exchanged: the same sums, transposed.

    A tile one vector wide loads as much as it multiplies. With samples for rows and units for lanes a row of W is
    loaded by whole vectors, once for all samples.
    """
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    for unit in range(0, units, strip):
        n_vectors = min(TILE_VECTORS, (units - unit + width - 1) // width)
        for column in range(0, n_vectors * width, width):
            first = filled(buffer, 0.0)
            if bias >= 0:
                first = load_first(parameters, bias + unit + column, units - unit - column)
            for i in range(n_samples):
                store(buffer, area + i * strip + column, first)
        for k in range(0, fan_in, DEPTH):
            _rows_of_tiles(n_samples, buffer, x + k * PANEL, 1, PANEL, 0, parameters, weights + k * units + unit, units,
                           buffer, area, strip, 1, min(DEPTH, fan_in - k), ADD, parameters, 0, n_vectors,
                           width, None, 0, 0)  # fmt: skip
        for column in range(0, n_vectors * width, width):
            for i in range(n_samples, width):  # padding repeats the last sample
                store(buffer, area + i * strip + column, load(buffer, area + (n_samples - 1) * strip + column))
            count = min(width, units - unit - column)
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
def multiply_input_gradient(parameters, weights, fan_in, units, buffer, delta, target, n_samples):
    """dX = W dZ on the panels that hold `n_samples` samples."""
    width = lanes(buffer)
    for panel in range((n_samples + PANEL - 1) // PANEL):
        used = min(PANEL, n_samples - panel * PANEL)
        dz = delta + panel * units * PANEL
        dx = target + panel * fan_in * PANEL
        for column in range(0, used, TILE_VECTORS * width):
            n_vectors = min(TILE_VECTORS, (used - column + width - 1) // width)
            _rows_of_tiles(fan_in, parameters, weights, units, 1, 0, buffer, dz + column, PANEL, buffer, dx + column,
                           PANEL, 1, units, ZERO, parameters, 0, n_vectors, width, None, 0, 0)  # fmt: skip
    _clear_unused(buffer, target, fan_in, n_samples)


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
def _column_sum(buffer, at, stride, n):
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
def multiply_weight_gradient(gradient, weights, bias, first, n_rows, fan_in, units, buffer, source, strips, n_samples,
                             start, ahead, ahead_at, ahead_end):  # fmt: skip
    """dW (+)= X dZ^T for `n_rows` rows of the kernel from number `first` on; db (+)= sum of dZ over the samples.

    `weights` is where row `first` goes; bias < 0 leaves db out. The deltas are those of `transpose_deltas`. Unless
    `ahead` is None, about as many of its elements, from `ahead_at` to `ahead_end`, are fetched to be written.
    """
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    n_full = n_samples // PANEL
    n_rest = n_samples - n_full * PANEL
    height = (n_full + (n_rest > 0)) * PANEL
    x = source + first * PANEL
    ahead_last = max(
        ahead_at, ahead_end - PANEL * width
    )  # a tile fetches no more than a line for each sample of a panel
    for unit in range(0, units, strip):
        used = min(strip, units - unit)
        n_vectors = (used + width - 1) // width
        last = used - (n_vectors - 1) * width
        b = strips + unit * height
        begin = start
        for part in range(2):  # the full panels, then what the last one holds: one call, so one set of tiles
            n_outer, n_inner = (n_full, PANEL) if part == 0 else (1, n_rest)
            if n_outer > 0 and n_inner > 0:
                done = part * n_full * PANEL
                _rows_of_tiles(n_rows, buffer, x + done * fan_in, PANEL, 1, fan_in * PANEL, buffer, b + done * strip,
                               strip, gradient, weights + unit, units, n_outer, n_inner, begin, gradient, 0, n_vectors,
                               last, ahead, ahead_at + unit * n_rows, ahead_last)  # fmt: skip
                begin = ADD
        if bias >= 0:
            for column in range(0, used, width):
                count = min(width, used - column)
                # Panel by panel, as products go: so it does not matter to the sum which thread has which.
                sums = load_first(gradient, bias + unit + column, count) if start == ADD else filled(buffer, 0.0)
                for sample in range(0, n_samples, PANEL):
                    in_panel = min(PANEL, n_samples - sample)
                    sums = sums + _column_sum(buffer, b + column + sample * strip, strip, in_panel)
                store_first(gradient, bias + unit + column, sums, count)
