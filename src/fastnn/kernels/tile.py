"""The micro-kernel of the matrix products: one register tile, generated for every number of rows and vectors.

Goto and van de Geijn's ("Anatomy of high-performance matrix multiplication", ACM TOMS 34(3), 2008) without their
packing, which panels make unnecessary but for kernels whose rows evict each other (`gemm._pays_packed`).

Jobs
----
- `reading_tile`, `writing_tile`: the units that products call by address, so that all of them share one
- `Operands`, `emit_products`: its loops, for tiles with other ends
"""

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.simd import (
    call_vector_intrinsic,
    emit_prefetch,
    first_lanes,
    lanes_of,
    masked_load,
    masked_store,
    splat,
    vector_registers,
)
from fastnn.kernels.units import tile_unit
from fastnn.kernels.vector import llvm_scalar
from fastnn.kernels.views import field_of

# Accumulators fill the registers but for the vectors of B and one broadcast of A.
TILE_VECTORS = 2 if vector_registers() == 32 else 1
TILE_ROWS = {32: 14, 8: 6, 4: 3}[vector_registers()]

PREFETCH_STEPS = 16  # ahead of its use, the column of A is asked for: rows of large kernels lie on pages of their own

ZERO, BIAS, ADD = 0, 1, 2  # what a tile starts from: nothing, a bias a row, or what C holds

_INT64 = ir.IntType(64)


def _make_products(writes_ahead):
    """Build what a tile does; `writes_ahead` says for what it fetches the lines that it is told to."""

    @intrinsic
    def products(typingctx, element, tile):
        """C[r, :] = start + sum over outer o, inner k of a[r*a_row + k*a_step + o*a_jump] * B[o*n_inner + k, :].

        `n_rows` <= TILE_ROWS and `n_vectors` <= TILE_VECTORS select one of the generated bodies; `last` lanes of the
        last vector of each row of C are read and written. Meanwhile a tile of full width fetches lines of `ahead`,
        `ahead_step` elements apart.
        """

        def codegen(context, builder, sig, args):
            def field(name):
                return field_of(context, builder, tile, args[1], name)

            def pointer(name):
                return builder.inttoptr(field(name), llvm_scalar(element).as_pointer())

            vector_type = ir.VectorType(llvm_scalar(element), lanes_of(element))
            operands = Operands(
                pointer("a"), field("a_row"), field("a_step"), field("a_jump"), pointer("b"), field("b_row"),
                pointer("c"), field("c_row"), field("n_outer"), field("n_inner"), field("start"), pointer("bias"),
                field("last"), pointer("ahead"), field("ahead_step"), writes_ahead, vector_type, element.bitwidth // 8,
            )  # fmt: skip
            done = builder.append_basic_block("done")
            code = builder.add(builder.mul(field("n_vectors"), _number(64)), field("n_rows"))
            unreachable = builder.append_basic_block("no_such_tile")
            switch = builder.switch(code, unreachable)
            with builder.goto_block(unreachable):
                builder.unreachable()
            for vectors in range(1, TILE_VECTORS + 1):
                for rows in range(1, TILE_ROWS + 1):
                    block = builder.append_basic_block(f"tile_{rows}x{vectors}")
                    switch.add_case(_number(64 * vectors + rows), block)
                    builder.position_at_end(block)
                    _emit_tile(builder, operands, rows, vectors)
                    builder.branch(done)
            builder.position_at_end(done)
            return context.get_dummy_value()

        return signature(types.void, element, tile), codegen

    return products


_reading_products, _writing_products = _make_products(False), _make_products(True)


@tile_unit
def reading_tile(job, tile):
    """A tile that fetches memory to be read."""
    _reading_products(job.element, tile)
    return True


@tile_unit
def writing_tile(job, tile):
    """A tile that fetches memory to be written: lines that other threads hold are taken from them."""
    _writing_products(job.element, tile)
    return True


def _number(value):
    return ir.Constant(_INT64, value)


def _vector_pointer(builder, vector_type, base, offset):
    return builder.bitcast(builder.gep(base, [offset]), vector_type.as_pointer())


@dataclass(frozen=True)
class Operands:
    """The LLVM values a tile is built from; `start`, `bias` and `last` are for the ends of this file's own."""

    a: Any
    a_row: Any
    a_step: Any
    a_jump: Any
    b: Any
    b_row: Any
    c: Any
    c_row: Any
    n_outer: Any
    n_inner: Any
    start: Any
    bias: Any
    last: Any
    ahead: Any
    ahead_step: Any
    writes_ahead: bool
    vector_type: ir.VectorType
    align: int


def _emit_tile(builder, o, rows, vectors):
    vector_type, align = o.vector_type, o.align
    n_lanes = vector_type.count
    grid = [(r, v) for r in range(rows) for v in range(vectors)]

    c_offset = {(r, v): builder.add(builder.mul(o.c_row, _number(r)), _number(v * n_lanes)) for r, v in grid}
    mask = first_lanes(builder, o.last, n_lanes)
    last_is_full = builder.icmp_signed("==", o.last, _number(n_lanes))

    def read_c(at, is_masked):
        pointer = _vector_pointer(builder, vector_type, o.c, c_offset[at])
        if is_masked:
            return masked_load(builder, pointer, mask, vector_type, align)
        return builder.load(pointer, align=align)

    # 1. What the accumulators start from.
    blocks = {
        name: builder.append_basic_block(name) for name in ("zero", "bias", "add", "add_full", "add_part", "outer")
    }
    switch = builder.switch(o.start, blocks["zero"])
    switch.add_case(_number(BIAS), blocks["bias"])
    switch.add_case(_number(ADD), blocks["add"])
    starts = []
    builder.position_at_end(blocks["zero"])
    starts.append((builder.block, dict.fromkeys(grid, ir.Constant(vector_type, None))))
    builder.branch(blocks["outer"])
    builder.position_at_end(blocks["bias"])
    biases = [splat(builder, builder.load(builder.gep(o.bias, [_number(r)])), vector_type) for r in range(rows)]
    starts.append((builder.block, {(r, v): biases[r] for r, v in grid}))
    builder.branch(blocks["outer"])
    builder.position_at_end(blocks["add"])
    builder.cbranch(last_is_full, blocks["add_full"], blocks["add_part"])
    for name, masks_last in (("add_full", False), ("add_part", True)):
        builder.position_at_end(blocks[name])
        values = {(r, v): read_c((r, v), masks_last and v == vectors - 1) for r, v in grid}
        starts.append((builder.block, values))
        builder.branch(blocks["outer"])

    # 2. The products.
    updated = emit_products(builder, o, blocks["outer"], rows, vectors, starts)

    # 3. Back to memory.
    with builder.if_else(last_is_full) as (full, partial):
        with full:
            for at in grid:
                builder.store(updated[at], _vector_pointer(builder, vector_type, o.c, c_offset[at]), align=align)
        with partial:
            for r, v in grid:
                pointer = _vector_pointer(builder, vector_type, o.c, c_offset[r, v])
                if v == vectors - 1:
                    masked_store(builder, updated[r, v], pointer, o.last, mask, align)
                else:
                    builder.store(updated[r, v], pointer, align=align)


def emit_products(builder, o, outer_block, rows, vectors, starts, group=1):
    """Emit the outer loop over panels and the inner over k: one broadcast a row, one load a vector, an FMA for both.

    `starts` are the blocks that branch to `outer_block`, each with what the accumulators start from; returns what they
    come to. Of A `group` neighbours at a time are read, and repeated over the vector.
    """
    vector_type, align = o.vector_type, o.align
    n_lanes = vector_type.count
    grid = [(r, v) for r in range(rows) for v in range(vectors)]

    def repeat(pointer):
        if group == 1:
            return splat(builder, builder.load(pointer), vector_type)
        group_type = ir.VectorType(vector_type.element, group)
        few = builder.load(builder.bitcast(pointer, group_type.as_pointer()), align=align)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), [i % group for i in range(n_lanes)])
        return builder.shuffle_vector(few, ir.Constant(group_type, ir.Undefined), lanes)

    builder.position_at_end(outer_block)
    inner_block = builder.append_basic_block("inner")
    after_inner = builder.append_basic_block("after_inner")
    finish = builder.append_basic_block("finish")
    outer_index = builder.phi(_INT64)
    outer_acc = {at: builder.phi(vector_type) for at in grid}
    for block, values in starts:
        outer_index.add_incoming(_number(0), block)
        for at in grid:
            outer_acc[at].add_incoming(values[at], block)
    a_offset = [builder.mul(o.a_row, _number(r)) for r in range(rows)]
    a_panel = builder.gep(o.a, [builder.mul(outer_index, o.a_jump)])
    b_panel = builder.gep(o.b, [builder.mul(builder.mul(outer_index, o.n_inner), o.b_row)])
    builder.branch(inner_block)

    builder.position_at_end(inner_block)
    k = builder.phi(_INT64)
    acc = {at: builder.phi(vector_type) for at in grid}
    k.add_incoming(_number(0), outer_block)
    for at in grid:
        acc[at].add_incoming(outer_acc[at], outer_block)
    b_k = builder.gep(b_panel, [builder.mul(k, o.b_row)])
    a_k = builder.gep(a_panel, [builder.mul(k, o.a_step)])
    # Of the two lines that a column of A may lie on, the tile before has fetched the first.
    a_later = builder.gep(a_k, [builder.add(builder.mul(o.a_step, _number(PREFETCH_STEPS)), a_offset[-1])])
    prefetch_pointer = builder.bitcast(a_later, ir.IntType(8).as_pointer())
    emit_prefetch(builder, prefetch_pointer)
    if o.ahead is not None and vectors == TILE_VECTORS:
        line = builder.gep(o.ahead, [builder.mul(k, o.ahead_step)])
        emit_prefetch(builder, builder.bitcast(line, ir.IntType(8).as_pointer()), to_write=o.writes_ahead)
    b_vectors = [
        builder.load(_vector_pointer(builder, vector_type, b_k, _number(v * n_lanes)), align=align)
        for v in range(vectors)
    ]
    updated = {}
    for r in range(rows):
        broadcast = repeat(builder.gep(a_k, [a_offset[r]]))
        for v in range(vectors):
            updated[r, v] = call_vector_intrinsic(builder, "fma", vector_type, [broadcast, b_vectors[v], acc[r, v]])
    next_k = builder.add(k, _number(1))
    k.add_incoming(next_k, builder.block)
    for at in grid:
        acc[at].add_incoming(updated[at], builder.block)
    builder.cbranch(builder.icmp_signed("<", next_k, o.n_inner), inner_block, after_inner)

    builder.position_at_end(after_inner)
    next_outer = builder.add(outer_index, _number(1))
    outer_index.add_incoming(next_outer, after_inner)
    for at in grid:
        outer_acc[at].add_incoming(updated[at], after_inner)
    builder.cbranch(builder.icmp_signed("<", next_outer, o.n_outer), outer_block, finish)
    builder.position_at_end(finish)
    return updated
