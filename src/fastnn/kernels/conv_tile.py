"""The register tiles of convolutions: generated for every number of rows and columns.

With samples across the lanes, what a tap of the kernel sees is a run of whole vectors, wherever the window stands. So a
tile is that of the dense products with operands that are found by three nested loops: over the rows of the window, its
columns, and the channels; or over panels and the rows and columns of an image.

Jobs
----
- `window_tile`: weights, broadcast, times vectors of the image: outputs, or the gradient of the image
- `pair_tile`: vectors times vectors, summed over samples and positions: the gradient of weights
- `diagonal_window_tile`, `diagonal_pair_tile`: the same where each channel is convolved for itself
"""

from functools import partial

from llvmlite import ir
from numba import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.simd import call_vector_intrinsic, lanes_of, splat, vector_registers
from fastnn.kernels.tile import TILE_ROWS, TILE_VECTORS
from fastnn.kernels.units import window_unit
from fastnn.kernels.vector import llvm_scalar
from fastnn.kernels.views import field_of

# Accumulators of the gradient of weights; beside them lie a vector of A and all of B.
PAIR_ROWS, PAIR_COLUMNS = {32: (4, 6), 8: (2, 2), 4: (1, 2)}[vector_registers()]
DIAGONAL_ROWS = PAIR_ROWS * PAIR_COLUMNS

_INT64 = ir.IntType(64)


def _number(value):
    return ir.Constant(_INT64, value)


def _emit_loops(builder, levels, pointers, sums, emit_body):
    """Emit loops within loops, each at least once.

    Parameters
    ----------
    levels : list of (count, strides)
        From the outermost loop to the innermost; after each iteration every pointer goes on by its stride.
    pointers : list of pointer
        Where the first iteration begins.
    sums : list of vector
        What goes from iteration to iteration.
    emit_body : callable of (pointers, sums) -> sums
    """
    if not levels:
        return emit_body(pointers, sums)
    (count, strides), *rest = levels
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    iteration = builder.phi(_INT64)
    here = [builder.phi(pointer.type) for pointer in pointers]
    carried = [builder.phi(value.type) for value in sums]
    results = _emit_loops(builder, rest, here, carried, emit_body)
    next_iteration = builder.add(iteration, _number(1))
    gone_on = [builder.gep(pointer, [stride]) for pointer, stride in zip(here, strides, strict=True)]
    end = builder.block
    for phi, first, later in (
        (iteration, _number(0), next_iteration),
        *zip(here, pointers, gone_on, strict=True),
        *zip(carried, sums, results, strict=True),
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(later, end)
    builder.cbranch(builder.icmp_signed("<", next_iteration, count), loop, after)
    builder.position_at_end(after)
    return results


def _vector_at(builder, pointer, offset, vector_type, align):
    place = builder.gep(pointer, [offset])
    return builder.load(builder.bitcast(place, vector_type.as_pointer()), align=align)


def _put_vector(builder, value, pointer, offset, align):
    place = builder.gep(pointer, [offset])
    builder.store(value, builder.bitcast(place, value.type.as_pointer()), align=align)


class _Window:
    """The fields of a `tables.WINDOW` as LLVM values."""

    def __init__(self, context, builder, element, record, value):
        def field(name):
            return field_of(context, builder, record, value, name)

        def pointer(name):
            return builder.inttoptr(field(name), llvm_scalar(element).as_pointer())

        self.a, self.b, self.c, self.bias = (pointer(name) for name in ("a", "b", "c", "bias"))
        self.a_row = field("a_row")
        self.n_rows, self.n_columns, self.has_bias = field("n_rows"), field("n_columns"), field("has_bias")
        self.levels = [
            (field(f"n_{loop}"), [field(f"a_{loop}"), field(f"b_{loop}")]) for loop in ("outer", "middle", "inner")
        ]
        self.next_level = field("n_next"), [field("b_next"), field("c_next")]
        self.vector_type = ir.VectorType(llvm_scalar(element), lanes_of(element))
        self.align = element.bitwidth // 8


def _emit_bodies(builder, code, bodies):
    """Emit a switch to one of `bodies`: {code: callable}."""
    done, no_such = builder.append_basic_block("done"), builder.append_basic_block("no_such_tile")
    switch = builder.switch(code, no_such)
    with builder.goto_block(no_such):
        builder.unreachable()
    for number, emit in bodies.items():
        block = builder.append_basic_block(f"tile_{number}")
        switch.add_case(_number(number), block)
        builder.position_at_end(block)
        emit()
        builder.branch(done)
    builder.position_at_end(done)


def _emit_window(builder, w, rows, columns, is_diagonal=False):
    grid = [(r, v) for r in range(rows) for v in range(TILE_VECTORS)]
    n_lanes = w.vector_type.count
    offsets = [builder.mul(w.a_row, _number(r)) for r in range(rows)]
    starts = []
    for r in range(rows):
        value = builder.load(builder.gep(w.bias, [_number(r)]))
        is_given = builder.icmp_signed("!=", w.has_bias, _number(0))
        value = builder.select(is_given, value, ir.Constant(value.type, 0.0))
        starts.append(splat(builder, value, w.vector_type))

    def multiply(pointers, sums):
        a, b = pointers
        vectors = {
            (r, v): _vector_at(builder, b, _number(r * PANEL + v * n_lanes), w.vector_type, w.align)
            for r, v in (grid if is_diagonal else grid[:TILE_VECTORS])
        }
        weights = [splat(builder, builder.load(builder.gep(a, [offset])), w.vector_type) for offset in offsets]
        return [
            call_vector_intrinsic(builder, "fma", w.vector_type, [weights[r], vectors[r * is_diagonal, v], value])
            for (r, v), value in zip(grid, sums, strict=True)
        ]

    def compute(pointers, _):
        b, c = pointers
        results = _emit_loops(builder, w.levels, [w.a, b], [starts[r] for r, _ in grid], multiply)
        for (r, v), value in zip(grid, results, strict=True):
            _put_vector(builder, value, c, _number(r * PANEL + v * n_lanes), w.align)
        return []

    _emit_loops(builder, [w.next_level], [w.b, w.c], [], compute)


def _emit_pairs(builder, w, rows, columns, is_diagonal=False):
    grid = [(r, r) for r in range(rows)] if is_diagonal else [(r, q) for r in range(rows) for q in range(columns)]
    n_lanes = w.vector_type.count

    def multiply(pointers, sums):
        a, b = pointers
        for v in range(0, PANEL, n_lanes):
            left, right = (
                [_vector_at(builder, p, _number(i * PANEL + v), w.vector_type, w.align) for i in range(n)]
                for p, n in ((a, rows), (b, rows if is_diagonal else columns))
            )
            sums = [
                call_vector_intrinsic(builder, "fma", w.vector_type, [left[r], right[q], value])
                for (r, q), value in zip(grid, sums, strict=True)
            ]
        return sums

    nothing = ir.Constant(w.vector_type, None)
    results = _emit_loops(builder, w.levels, [w.a, w.b], [nothing] * len(grid), multiply)
    for i, value in enumerate(results):
        _put_vector(builder, value, w.c, _number(i * n_lanes), w.align)


def _make_products(emit, most_rows, most_columns, **options):
    @intrinsic
    def products(typingctx, element, window):
        def codegen(context, builder, sig, args):
            w = _Window(context, builder, element, window, args[1])
            bodies = {
                64 * columns + rows: partial(emit, builder, w, rows, columns, **options)
                for columns in range(1, most_columns + 1)
                for rows in range(1, most_rows + 1)
            }
            _emit_bodies(builder, builder.add(builder.mul(w.n_columns, _number(64)), w.n_rows), bodies)
            return context.get_dummy_value()

        return signature(types.void, element, window), codegen

    return products


_window_products = _make_products(_emit_window, TILE_ROWS, 1)
_pair_products = _make_products(_emit_pairs, PAIR_ROWS, PAIR_COLUMNS)
_diagonal_window_products = _make_products(_emit_window, TILE_ROWS, 1, is_diagonal=True)
_diagonal_pair_products = _make_products(_emit_pairs, DIAGONAL_ROWS, 1, is_diagonal=True)


@window_unit
def window_tile(job, window):
    """C[r, :] = bias[r] + sum over the three loops of A[r * a_row] * B[:], for `n_next` places one after the other.

    A row of C is a part of a panel, TILE_VECTORS vectors wide; the rows lie PANEL apart.
    """
    _window_products(job.element, window)
    return True


@window_unit
def pair_tile(job, window):
    """C[r, q, :] = sum over the three loops and the vectors of a panel of A[r, :] * B[q, :].

    Rows of A and of B lie PANEL apart. C holds a vector for each of the `n_rows` by `n_columns` sums, of which the
    lanes are to be added up.
    """
    _pair_products(job.element, window)
    return True


@window_unit
def diagonal_window_tile(job, window):
    """As `window_tile`, but row r of C is made of row r of B: C[r, :] = bias[r] + sum of A[r * a_row] * B[r, :]."""
    _diagonal_window_products(job.element, window)
    return True


@window_unit
def diagonal_pair_tile(job, window):
    """As `pair_tile`, but only for equal rows: C[r, :] = sum of A[r, :] * B[r, :]."""
    _diagonal_pair_products(job.element, window)
    return True
