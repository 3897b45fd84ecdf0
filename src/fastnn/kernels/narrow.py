"""The weight gradient of layers with few units, several samples at a time.

The deltas of a layer of 4 or 8 units fill a quarter or half of a vector, so a tile that takes one sample a vector
multiplies by nothing mostly, and it loads more than it multiplies besides. Here a vector of the deltas holds a group of
samples, those of a unit side by side:

    lane u * group + s:    delta of unit u, sample k * group + s

and as many neighbouring samples of X, repeated over the vector, stand against it. What a group has added up to apart is
added at the end.

Jobs
----
- `group_of`: how many samples make a group
- `transpose_narrow`: (units, samples) panels to strips of such vectors
- `multiply_narrow`: kernel and bias of a layer's gradient from them
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    data_pointer,
    filled,
    first_lanes,
    lanes,
    lanes_of,
    load,
    load_first,
    make_transpose,
    masked_load,
    masked_store,
    store_first,
)
from fastnn.kernels.tile import ADD, TILE_ROWS, Operands, emit_products

_INT64 = ir.IntType(64)

GROUPS = (2, 4)
_transpose_pairs, _transpose_quads = (make_transpose(group) for group in GROUPS)


@inlined
def group_of(units, width):
    """How many samples of a layer of `units` units share a vector of `width` lanes; 1 if it has too many."""
    if 4 * units <= width and width >= 16:  # a transposed block moves quarters of vectors at most
        return 4
    return 2 if 2 * units <= width else 1


def group_for(units, dtype):
    """Return what `group_of` says of a layer in a network of a dtype."""
    return group_of.py_func(units, VECTOR_BYTES // np.dtype(dtype).itemsize)


def _fold(builder, value, group):
    """Emit the sums of `group` neighbours each."""
    while group > 1:
        count = value.type.count // 2
        halves = [
            builder.shuffle_vector(
                value,
                ir.Constant(value.type, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(first, 2 * count, 2))),
            )
            for first in (0, 1)
        ]
        value = builder.fadd(*halves)
        group //= 2
    return value


@intrinsic(prefer_literal=True)
def _narrow_tile(typingctx, group, n_rows, a, at_a, b, b_at, c, at_c, counts, start, units):
    """C[r, u] (+)= sum over panels o, groups k, samples s of A(r, o, k * group + s) B[o, k, u, s].

    `at_a` is where A begins, and how far apart its rows and panels are; `at_c` where C begins, and its rows; `counts`
    how many panels there are, and groups in each. Where `group` is a constant, there are tiles for no other.
    """
    sizes = (group.literal_value,) if isinstance(group, types.IntegerLiteral) else GROUPS
    one, pair = types.intp, types.UniTuple(types.intp, 2)
    sig = signature(types.void, group, one, a, types.UniTuple(one, 3), b, one, c, pair, pair, one, one)

    def codegen(context, builder, sig, args):
        group_v, rows_v, a_v, at_a, b_v, b_at, c_v, at_c, counts, start, units = args
        a_at, a_row, a_jump = cgutils.unpack_tuple(builder, at_a, 3)
        (c_at, c_row), (n_outer, n_inner) = (cgutils.unpack_tuple(builder, pair, 2) for pair in (at_c, counts))
        n_lanes = lanes_of(a.dtype)
        a_pointer = data_pointer(context, builder, a, a_v, a_at)
        b_pointer = data_pointer(context, builder, b, b_v, b_at)
        c_pointer = data_pointer(context, builder, c, c_v, c_at)
        vector_type = ir.VectorType(a_pointer.type.pointee, n_lanes)
        operands = Operands(
            a_pointer, a_row, group_v, a_jump, b_pointer, ir.Constant(_INT64, n_lanes), c_pointer, c_row, n_outer,
            n_inner, start, None, units, None, None, True, vector_type, a.dtype.bitwidth // 8,
        )  # fmt: skip
        done = builder.append_basic_block("done")
        unreachable = builder.append_basic_block("no_such_tile")
        switch = builder.switch(builder.add(builder.mul(group_v, ir.Constant(_INT64, 64)), rows_v), unreachable)
        with builder.goto_block(unreachable):
            builder.unreachable()
        for size in sizes:
            if 4 * size > n_lanes:
                continue
            for rows in range(1, TILE_ROWS + 1):
                block = builder.append_basic_block(f"narrow_{rows}x{size}")
                switch.add_case(ir.Constant(_INT64, 64 * size + rows), block)
                builder.position_at_end(block)
                _emit_narrow_tile(builder, operands, rows, size)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return sig, codegen


def _emit_narrow_tile(builder, o, rows, group):
    outer = builder.append_basic_block("outer")
    starts = [(builder.block, {(r, 0): ir.Constant(o.vector_type, None) for r in range(rows)})]
    builder.branch(outer)
    sums = emit_products(builder, o, outer, rows, 1, starts, group)
    count = o.vector_type.count // group
    mask = first_lanes(builder, o.last, count)
    few = ir.VectorType(o.vector_type.element, count)
    adds = builder.icmp_signed("==", o.start, ir.Constant(_INT64, ADD))
    old_mask = builder.select(adds, mask, ir.Constant(mask.type, None))
    for r in range(rows):
        pointer = builder.gep(o.c, [builder.mul(o.c_row, ir.Constant(_INT64, r))])
        old = masked_load(builder, pointer, old_mask, few, o.align)
        new = builder.fadd(old, _fold(builder, sums[r, 0], group))
        masked_store(builder, new, pointer, o.last, mask, o.align)


@intrinsic
def _group_sums(typingctx, value, group):
    """The sums of `group` neighbours each, in the first lanes; the others are 0."""

    def codegen(context, builder, sig, args):
        results = []
        for size in GROUPS:
            folded = _fold(builder, args[0], size) if 4 * size <= value.lanes else args[0]
            count = folded.type.count
            places = ir.Constant(
                ir.VectorType(ir.IntType(32), value.lanes), [min(i, count) for i in range(value.lanes)]
            )
            results.append(builder.shuffle_vector(folded, ir.Constant(folded.type, None), places))
        is_pair = builder.icmp_signed("==", args[1], ir.Constant(_INT64, GROUPS[0]))
        return builder.select(is_pair, *results)

    return signature(value, value, types.intp), codegen


@inner
def transpose_narrow(buffer, delta, units, n_samples, strips, group):
    """Write the deltas as vectors of `group` samples; samples beyond the last are 0.

    Lanes of units beyond the last are whatever memory follows: none of theirs is ever stored.
    """
    width = lanes(buffer)
    for sample in range(0, n_samples, width):
        source = delta + sample // PANEL * units * PANEL + sample % PANEL
        target = strips + sample // group * width
        if group == 2:
            _transpose_pairs(buffer, source, PANEL, buffer, target, width)
        else:
            _transpose_quads(buffer, source, PANEL, buffer, target, width)
    rest = n_samples % group
    if rest > 0:
        last = strips + n_samples // group * width
        for lane in range(width):
            if lane % group >= rest:
                buffer[last + lane] = 0.0


@inner
def multiply_narrow(gradient, weights, bias, fan_in, units, buffer, source, strips, n_samples, start, group):
    """dW (+)= X dZ^T and db (+)= sum of dZ, as `gemm.multiply_weight_gradient` does it."""
    width = lanes(buffer)
    n_full = n_samples // PANEL
    n_rest = (n_samples - n_full * PANEL + group - 1) // group
    n_tiles = (fan_in + TILE_ROWS - 1) // TILE_ROWS
    for part in range(2):  # the full panels, then what the last one holds
        n_outer, n_inner = (n_full, PANEL // group) if part == 0 else (1, n_rest)
        if n_outer > 0 and n_inner > 0:
            begin = ADD if part == 1 and n_full > 0 else start
            done = part * n_full * PANEL
            for tile in range(n_tiles):
                row, end = tile * fan_in // n_tiles, (tile + 1) * fan_in // n_tiles
                at_a = source + done * fan_in + row * PANEL, PANEL, fan_in * PANEL
                _narrow_tile(group, end - row, buffer, at_a, buffer, strips + done // group * width, gradient,
                             (weights + row * units, units), (n_outer, n_inner), begin, units)  # fmt: skip
    if bias >= 0:
        sum_0, sum_1 = filled(buffer, 0.0), filled(buffer, 0.0)
        n_groups = (n_samples + group - 1) // group
        for i in range(0, n_groups - 1, 2):
            sum_0 = sum_0 + load(buffer, strips + i * width)
            sum_1 = sum_1 + load(buffer, strips + i * width + width)
        if n_groups % 2 > 0:
            sum_0 = sum_0 + load(buffer, strips + (n_groups - 1) * width)
        sums = _group_sums(sum_0 + sum_1, group)
        if start == ADD:
            sums = sums + load_first(gradient, bias, units)
        store_first(gradient, bias, sums, units)
