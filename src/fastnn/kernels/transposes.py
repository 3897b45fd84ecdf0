"""Transposition in registers, and the addresses of the rows that are transposed.

Jobs
----
- `transpose_block`: a square of lanes x lanes elements; `make_transpose`: of groups of elements
- `row_addresses`, `indexed_rows`: where as many rows as a vector has lanes lie; `transpose_rows`: from there
- `integers_at`: one integer from each of them
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.memory import data_pointer, first_lanes, masked_load, typed_pointer
from fastnn.kernels.vector import Vector, lanes_of, llvm_scalar, llvm_type, vector_of

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


def _emit_transpose(builder, n, column, load_chunk, store_row, group=1):
    """Emit the transposition of n / 4 columns, from `column` on, of a block of n x n elements.

    What is moved may be groups of `group` elements instead.

    Quarters of vectors are put together as they are loaded, from rows `chunk` apart, which costs no shuffle; what is
    left is to transpose chunk x chunk blocks within the quarters of `chunk` vectors: half the shuffles of a network of
    log2(n) stages. ``load_chunk(row, column)`` emits `chunk` elements, ``store_row(column, vector)`` takes a result.
    """
    chunk = n // 4

    def shuffle(a, b, places):
        lanes = [place * group + i for place in places for i in range(group)]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes))

    rows = []
    for row in range(chunk):  # a vector whose quarter q comes from row `row + q * chunk`
        quarters = [load_chunk(row + q * chunk, column) for q in range(4)]
        halves = [shuffle(quarters[q], quarters[q + 1], list(range(2 * chunk))) for q in (0, 2)]
        rows.append(shuffle(halves[0], halves[1], list(range(n))))
    step = 1
    while step < chunk:
        low = [j if not j & step else n + j - step for j in range(n)]
        high = [j + step if not j & step else n + j for j in range(n)]
        for i in range(chunk):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i], rows[i + step] = shuffle(a, b, low), shuffle(a, b, high)
        step *= 2
    for i in range(chunk):
        store_row(column + i, rows[i])


def _row_store(builder, vector_type, base, stride, align):
    """Emit stores of vectors to rows `stride` elements apart."""

    def store_row(row, vector):
        pointer = builder.gep(base, [builder.mul(stride, ir.Constant(_INT64, row))])
        builder.store(vector, builder.bitcast(pointer, vector_type.as_pointer()), align=align)

    return store_row


def make_transpose(group):
    """Build the transposition of square blocks whose elements are groups of `group` neighbours.

    A group is a quarter of a vector at most. For a dtype that makes it more, nothing is done: callers do not ask.
    """

    @intrinsic
    def transpose(typingctx, source, source_offset, source_stride, target, target_offset, target_stride):
        """target[j * target_stride + i] = source[i * source_stride + j], i, j < lanes / group; strides of elements."""
        vector = vector_of(source.dtype)
        align = vector.dtype.bitwidth // 8
        n = vector.lanes // group

        def codegen(context, builder, sig, args):
            vector_type = llvm_type(vector)
            chunk_pointer = ir.VectorType(vector_type.element, vector.lanes // 4).as_pointer()
            origin = data_pointer(context, builder, sig.args[0], args[0], args[1])
            destination = data_pointer(context, builder, sig.args[3], args[3], args[4])

            def load_chunk(row, column):
                place = ir.Constant(_INT64, column * group)
                offset = builder.add(builder.mul(args[2], ir.Constant(_INT64, row)), place)
                return builder.load(builder.bitcast(builder.gep(origin, [offset]), chunk_pointer), align=align)

            store_row = _row_store(builder, vector_type, destination, args[5], align)
            for column in range(0, n if n >= 4 else 0, max(1, n // 4)):
                _emit_transpose(builder, n, column, load_chunk, store_row, group)
            return context.get_dummy_value()

        sig = signature(types.void, source, types.intp, types.intp, target, types.intp, types.intp)
        return sig, codegen

    return transpose


transpose_block = make_transpose(1)


@intrinsic
def row_addresses(typingctx, array, address, stride, order, first, last):
    """The addresses of as many rows as a vector of the array has lanes: a tuple.

    Lane i is row number min(first + i, last) of `order`, or of the data if `order` is empty.
    """
    n = lanes_of(array.dtype)
    sig = signature(types.UniTuple(types.intp, n), array, types.intp, types.intp, order, types.intp, types.intp)

    def codegen(context, builder, sig, args):
        _, address, stride, order_value, first, last = args
        size = context.make_array(order)(context, builder, order_value).nitems
        places = [builder.add(first, ir.Constant(_INT64, i)) for i in range(n)]
        places = [builder.select(builder.icmp_signed("<", place, last), place, last) for place in places]
        with builder.if_else(builder.icmp_signed(">", size, ir.Constant(_INT64, 0))) as (shuffled, in_order):
            with shuffled:
                base = data_pointer(context, builder, order, order_value, ir.Constant(_INT64, 0))
                numbers = [builder.load(builder.gep(base, [place])) for place in places]
                shuffled_block = builder.block
            with in_order:
                in_order_block = builder.block
        addresses = []
        for number, place in zip(numbers, places, strict=True):
            row = builder.phi(_INT64)
            row.add_incoming(number, shuffled_block)
            row.add_incoming(place, in_order_block)
            addresses.append(row)
        addresses = [builder.add(address, builder.mul(stride, row)) for row in addresses]
        return context.make_tuple(builder, sig.return_type, addresses)

    return sig, codegen


@intrinsic
def indexed_rows(typingctx, array, numbers, address, stride):
    """The addresses of the rows with these numbers, a vector of floats that are no less than 0: a tuple."""
    n = lanes_of(array.dtype)
    sig = signature(types.UniTuple(types.intp, n), array, numbers, types.intp, types.intp)

    def codegen(context, builder, sig, args):
        _, numbers, address, stride = args
        rows = builder.fptosi(numbers, ir.VectorType(_INT64, n))
        lanes = [builder.extract_element(rows, ir.Constant(_INT32, lane)) for lane in range(n)]
        addresses = [builder.add(address, builder.mul(stride, row)) for row in lanes]
        return context.make_tuple(builder, sig.return_type, addresses)

    return sig, codegen


@intrinsic
def integers_at(typingctx, rows, array):
    """The int64 at each of these addresses, a vector of uint32 with as many lanes as one of the array's dtype."""
    vector = Vector(types.uint32, lanes_of(array.dtype))

    def codegen(context, builder, sig, args):
        value = ir.Constant(llvm_type(vector), ir.Undefined)
        for lane, address in enumerate(cgutils.unpack_tuple(builder, args[0])):
            number = builder.trunc(builder.load(typed_pointer(builder, address, _INT64)), _INT32)
            value = builder.insert_element(value, number, ir.Constant(_INT32, lane))
        return value

    return signature(vector, rows, array), codegen


@intrinsic
def transpose_rows(typingctx, rows, offset, count, target, target_offset, target_stride):
    """Transpose the `count` elements of the target's dtype that begin `offset` bytes after each of `rows`.

    target[j * target_stride + i] = row i's element j for j < count. From there to the end of
    that quarter of a vector the target becomes 0, behind it stays.
    """
    vector = vector_of(target.dtype)
    n = vector.lanes
    align = vector.dtype.bitwidth // 8
    chunk_type = ir.VectorType(llvm_scalar(vector.dtype), n // 4)

    def codegen(context, builder, sig, args):
        bases = [builder.add(row, args[1]) for row in cgutils.unpack_tuple(builder, args[0])]
        destination = data_pointer(context, builder, target, args[3], args[4])
        store_row = _row_store(builder, llvm_type(vector), destination, args[5], align)

        def pointer(row, column):
            return typed_pointer(builder, builder.add(bases[row], ir.Constant(_INT64, column * align)), chunk_type)

        columns = range(0, n, n // 4)
        with builder.if_else(builder.icmp_signed(">=", args[2], ir.Constant(_INT64, n))) as (full, partial):
            with full:
                for column in columns:
                    _emit_transpose(
                        builder, n, column, lambda r, c: builder.load(pointer(r, c), align=align), store_row
                    )
            with partial:
                for column in columns:
                    left = builder.sub(args[2], ir.Constant(_INT64, column))
                    with builder.if_then(builder.icmp_signed(">", left, ir.Constant(_INT64, 0))):
                        mask = first_lanes(builder, left, n // 4)
                        _emit_transpose(
                            builder, n, column,
                            lambda r, c, mask=mask: masked_load(builder, pointer(r, c), mask, chunk_type, align),
                            store_row,
                        )  # fmt: skip
        return context.get_dummy_value()

    return signature(types.void, rows, types.intp, types.intp, target, types.intp, types.intp), codegen
