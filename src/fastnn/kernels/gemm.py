"""Matrix products on panels, written as one register tile.

All activations lie in panels of `PANEL` samples: a panel of u units is a contiguous (u, PANEL) block, units down,
samples across. Then all three products of a dense layer have one form,

    C[r, v] (+)= sum_k A(r, k) * B[k, v],     r: rows of a tile,  v: vectors of one cache line,

where A is read one element at a time (broadcast, so any strides do) and B and C by whole vectors:

    forward   Z[j, i] = b[j] + sum_k W[k, j] X[k, i]      A = W transposed,  B = the layer's input panel
    input     dX[k, i] = sum_j W[k, j] dZ[j, i]           A = W,             B = the delta panel
    weights   dW[k, j] += sum_i X[k, i] dZ[j, i]          A = the input panels,  B = the deltas, transposed

Only the deltas are ever rearranged. No BLAS is called: no thread pool to hold back, the same bits on every run, and
small products cost what their arithmetic costs. The tile is Goto and van de Geijn's micro-kernel ("Anatomy of
high-performance matrix multiplication", ACM TOMS 34(3), 2008) without their packing, which panels make unnecessary.

Jobs
----
- `_tile`: the micro-kernel, generated for every number of rows up to `TILE_ROWS`
- `multiply_forward`, `multiply_input_gradient`, `multiply_weight_gradient`
- `transpose_deltas`: (units, samples) panels to (samples, units) strips, the B of the weight gradient
"""

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import (
    call_vector_intrinsic,
    data_pointer,
    emit_prefetch,
    filled,
    first_lanes,
    lanes,
    lanes_of,
    load,
    load_first,
    masked_load,
    masked_store,
    splat,
    store,
    store_first,
    transpose_block,
    vector_registers,
)

PANEL = 32  # samples in a panel: two vectors of float32, four of float64

# Accumulators fill the registers but for the vectors of B and one broadcast of A.
TILE_VECTORS = 2 if vector_registers() == 32 else 1
TILE_ROWS = {32: 14, 8: 6, 4: 3}[vector_registers()]

PREFETCH_STEPS = 16  # ahead of its use, the column of A is asked for: rows of large kernels lie on pages of their own
DEPTH = 256  # rows of a kernel that the forward product uses for all panels before it goes on to the next

ZERO, BIAS, ADD = 0, 1, 2  # what a tile starts from: nothing, a bias a row, or what C holds

_INT64 = ir.IntType(64)


@intrinsic
def _tile(typingctx, n_rows, n_vectors, a, a_at, a_row, a_step, a_jump, b, b_at, b_row, c, c_at, c_row,
          n_outer, n_inner, start, bias, bias_at, last):  # fmt: skip
    """C[r, :] = start + sum over outer o and inner k of a[a_at + r*a_row + k*a_step + o*a_jump] * B[o*n_inner + k, :].

    `n_rows` <= TILE_ROWS and `n_vectors` <= TILE_VECTORS select one of the generated bodies; `last` lanes of the last
    vector of each row of C are read and written.
    """
    array = a
    sig = signature(
        types.void, types.intp, types.intp, a, *[types.intp] * 4, b, types.intp, types.intp, c, types.intp, types.intp,
        types.intp, types.intp, types.intp, bias, types.intp, types.intp,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        (rows_v, vectors_v, a_v, a_at, a_row, a_step, a_jump, b_v, b_at, b_row, c_v, c_at, c_row,
         n_outer, n_inner, start, bias_v, bias_at, last) = args  # fmt: skip
        a_pointer = data_pointer(context, builder, sig.args[2], a_v, a_at)
        b_pointer = data_pointer(context, builder, sig.args[7], b_v, b_at)
        c_pointer = data_pointer(context, builder, sig.args[10], c_v, c_at)
        bias_pointer = data_pointer(context, builder, sig.args[16], bias_v, bias_at)
        n_lanes = lanes_of(array.dtype)
        vector_type = ir.VectorType(a_pointer.type.pointee, n_lanes)
        align = array.dtype.bitwidth // 8
        done = builder.append_basic_block("done")
        code = builder.add(builder.mul(vectors_v, ir.Constant(_INT64, 64)), rows_v)
        unreachable = builder.append_basic_block("no_such_tile")
        switch = builder.switch(code, unreachable)
        with builder.goto_block(unreachable):
            builder.unreachable()
        operands = _Operands(
            a_pointer, a_row, a_step, a_jump, b_pointer, b_row, c_pointer, c_row, n_outer, n_inner, start,
            bias_pointer, last, vector_type, align,
        )  # fmt: skip
        for vectors in range(1, TILE_VECTORS + 1):
            for rows in range(1, TILE_ROWS + 1):
                block = builder.append_basic_block(f"tile_{rows}x{vectors}")
                switch.add_case(ir.Constant(_INT64, 64 * vectors + rows), block)
                builder.position_at_end(block)
                _emit_tile(builder, operands, rows, vectors)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return sig, codegen


class _Operands:
    """The LLVM values a tile is built from."""

    def __init__(self, a, a_row, a_step, a_jump, b, b_row, c, c_row, n_outer, n_inner, start, bias, last,
                 vector_type, align):  # fmt: skip
        self.a, self.a_row, self.a_step, self.a_jump = a, a_row, a_step, a_jump
        self.b, self.b_row = b, b_row
        self.c, self.c_row = c, c_row
        self.n_outer, self.n_inner = n_outer, n_inner
        self.start, self.bias, self.last = start, bias, last
        self.vector_type, self.align = vector_type, align


def _emit_tile(builder, o, rows, vectors):
    vector_type, align = o.vector_type, o.align
    n_lanes = vector_type.count
    grid = [(r, v) for r in range(rows) for v in range(vectors)]

    def number(value):
        return ir.Constant(_INT64, value)

    def vector_pointer(base, offset):
        return builder.bitcast(builder.gep(base, [offset]), vector_type.as_pointer())

    c_offset = {(r, v): builder.add(builder.mul(o.c_row, number(r)), number(v * n_lanes)) for r, v in grid}
    a_offset = [builder.mul(o.a_row, number(r)) for r in range(rows)]
    mask = first_lanes(builder, o.last, n_lanes)
    last_is_full = builder.icmp_signed("==", o.last, number(n_lanes))

    def read_c(at, is_masked):
        pointer = vector_pointer(o.c, c_offset[at])
        if is_masked:
            return masked_load(builder, pointer, mask, vector_type, align)
        return builder.load(pointer, align=align)

    # 1. What the accumulators start from.
    blocks = {
        name: builder.append_basic_block(name) for name in ("zero", "bias", "add", "add_full", "add_part", "outer")
    }
    switch = builder.switch(o.start, blocks["zero"])
    switch.add_case(number(BIAS), blocks["bias"])
    switch.add_case(number(ADD), blocks["add"])
    starts = []
    builder.position_at_end(blocks["zero"])
    starts.append((builder.block, dict.fromkeys(grid, ir.Constant(vector_type, None))))
    builder.branch(blocks["outer"])
    builder.position_at_end(blocks["bias"])
    biases = [splat(builder, builder.load(builder.gep(o.bias, [number(r)])), vector_type) for r in range(rows)]
    starts.append((builder.block, {(r, v): biases[r] for r, v in grid}))
    builder.branch(blocks["outer"])
    builder.position_at_end(blocks["add"])
    builder.cbranch(last_is_full, blocks["add_full"], blocks["add_part"])
    for name, masks_last in (("add_full", False), ("add_part", True)):
        builder.position_at_end(blocks[name])
        values = {(r, v): read_c((r, v), masks_last and v == vectors - 1) for r, v in grid}
        starts.append((builder.block, values))
        builder.branch(blocks["outer"])

    # 2. Outer loop over panels, inner loop over k: one broadcast a row, one load a vector, rows x vectors FMAs.
    builder.position_at_end(blocks["outer"])
    inner_block = builder.append_basic_block("inner")
    after_inner = builder.append_basic_block("after_inner")
    finish = builder.append_basic_block("finish")
    outer_index = builder.phi(_INT64)
    outer_acc = {at: builder.phi(vector_type) for at in grid}
    for block, values in starts:
        outer_index.add_incoming(number(0), block)
        for at in grid:
            outer_acc[at].add_incoming(values[at], block)
    a_panel = builder.gep(o.a, [builder.mul(outer_index, o.a_jump)])
    b_panel = builder.gep(o.b, [builder.mul(builder.mul(outer_index, o.n_inner), o.b_row)])
    builder.branch(inner_block)

    builder.position_at_end(inner_block)
    k = builder.phi(_INT64)
    acc = {at: builder.phi(vector_type) for at in grid}
    k.add_incoming(number(0), blocks["outer"])
    for at in grid:
        acc[at].add_incoming(outer_acc[at], blocks["outer"])
    b_k = builder.gep(b_panel, [builder.mul(k, o.b_row)])
    a_k = builder.gep(a_panel, [builder.mul(k, o.a_step)])
    prefetch_pointer = builder.bitcast(
        builder.gep(a_k, [builder.add(builder.mul(o.a_step, number(PREFETCH_STEPS)), a_offset[rows - 1])]), ir.IntType(8).as_pointer()
    )
    emit_prefetch(builder, prefetch_pointer)
    b_vectors = [builder.load(vector_pointer(b_k, number(v * n_lanes)), align=align) for v in range(vectors)]
    updated = {}
    for r in range(rows):
        broadcast = splat(builder, builder.load(builder.gep(a_k, [a_offset[r]])), vector_type)
        for v in range(vectors):
            updated[r, v] = call_vector_intrinsic(builder, "fma", vector_type, [broadcast, b_vectors[v], acc[r, v]])
    next_k = builder.add(k, number(1))
    k.add_incoming(next_k, builder.block)
    for at in grid:
        acc[at].add_incoming(updated[at], builder.block)
    builder.cbranch(builder.icmp_signed("<", next_k, o.n_inner), inner_block, after_inner)

    builder.position_at_end(after_inner)
    next_outer = builder.add(outer_index, number(1))
    outer_index.add_incoming(next_outer, after_inner)
    for at in grid:
        outer_acc[at].add_incoming(updated[at], after_inner)
    builder.cbranch(builder.icmp_signed("<", next_outer, o.n_outer), blocks["outer"], finish)

    # 3. Back to memory.
    builder.position_at_end(finish)
    with builder.if_else(last_is_full) as (full, partial):
        with full:
            for at in grid:
                builder.store(updated[at], vector_pointer(o.c, c_offset[at]), align=align)
        with partial:
            for r, v in grid:
                pointer = vector_pointer(o.c, c_offset[r, v])
                if v == vectors - 1:
                    masked_store(builder, updated[r, v], pointer, mask, align)
                else:
                    builder.store(updated[r, v], pointer, align=align)


@inner
def _rows_of_tiles(n_rows, a, a_at, a_row, a_step, a_jump, b, b_at, b_row, c, c_at, c_row, n_outer, n_inner, start,
                   bias, bias_at, n_vectors, last):  # fmt: skip
    """Cover `n_rows` rows of C with tiles of nearly equal height."""
    n_tiles = (n_rows + TILE_ROWS - 1) // TILE_ROWS
    lower = n_rows // n_tiles
    n_higher = n_rows - lower * n_tiles
    row = 0
    for t in range(n_tiles):
        height = lower + (t < n_higher)
        _tile(height, n_vectors, a, a_at + row * a_row, a_row, a_step, a_jump, b, b_at, b_row, c, c_at + row * c_row,
              c_row, n_outer, n_inner, start, bias, bias_at + row, last)  # fmt: skip
        row += height


@inner
def multiply_forward(parameters, weights, bias, fan_in, units, buffer, source, target, n_samples, area):
    """Z = W^T X + b on the panels that hold `n_samples` samples; bias < 0 means none.

    A tile reads a narrow column of W, one cache line a row. All panels use DEPTH rows of it before the next are
    fetched: the lines of a taller column, a power of two apart, would evict each other. `area` has room for what
    `_forward_few` needs.
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
    for k in range(0, fan_in, DEPTH):
        depth = min(DEPTH, fan_in - k)
        start = ADD if k > 0 else BIAS if bias >= 0 else ZERO
        unit = 0
        for t in range(n_tiles):
            height = lower + (t < n_higher)
            for panel in range((n_whole + PANEL - 1) // PANEL):
                used = min(PANEL, n_whole - panel * PANEL)
                x = source + (panel * fan_in + k) * PANEL
                z = target + (panel * units + unit) * PANEL
                for column in range(0, used, TILE_VECTORS * width):
                    n_vectors = min(TILE_VECTORS, (used - column + width - 1) // width)
                    _tile(height, n_vectors, parameters, weights + k * units + unit, 1, units, 0, buffer, x + column,
                          PANEL, buffer, z + column, PANEL, 1, depth, start, parameters, max(bias, 0) + unit,
                          width)  # fmt: skip
            unit += height
    _clear_unused(buffer, target, units, n_samples)


@inlined
def _pays_exchanged(n_samples, units, width):
    """Whether `_forward_few` is faster: by the cycles of a step of k, about 0.6 a row of a tile that is one vector wide
    against one a row (but four at least, the latency of an addition) of one that is two."""
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
                           width)  # fmt: skip
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
                           PANEL, 1, units, ZERO, parameters, 0, n_vectors, width)  # fmt: skip
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
                             start):  # fmt: skip
    """dW (+)= X dZ^T for `n_rows` rows of the kernel from number `first` on; db (+)= sum of dZ over the samples.

    `weights` is where row `first` goes; bias < 0 leaves db out. The deltas are those of `transpose_deltas`.
    """
    width = lanes(buffer)
    strip = TILE_VECTORS * width
    n_full = n_samples // PANEL
    n_rest = n_samples - n_full * PANEL
    height = (n_full + (n_rest > 0)) * PANEL
    x = source + first * PANEL
    for unit in range(0, units, strip):
        used = min(strip, units - unit)
        n_vectors = (used + width - 1) // width
        last = used - (n_vectors - 1) * width
        b = strips + unit * height
        begin = start
        if n_full > 0:
            _rows_of_tiles(n_rows, buffer, x, PANEL, 1, fan_in * PANEL, buffer, b, strip, gradient, weights + unit,
                           units, n_full, PANEL, begin, gradient, 0, n_vectors, last)  # fmt: skip
            begin = ADD
        if n_rest > 0:
            _rows_of_tiles(n_rows, buffer, x + n_full * fan_in * PANEL, PANEL, 1, 0, buffer,
                           b + n_full * PANEL * strip, strip, gradient, weights + unit, units, 1, n_rest, begin,
                           gradient, 0, n_vectors, last)  # fmt: skip
        if bias >= 0:
            for column in range(0, used, width):
                count = min(width, used - column)
                column_sum = _column_sum(buffer, b + column, strip, n_samples)
                if start == ADD:
                    column_sum = column_sum + load_first(gradient, bias + unit + column, count)
                store_first(gradient, bias + unit + column, column_sum, count)
