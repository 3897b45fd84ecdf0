"""Vectors to and from memory.

Jobs
----
- `load`, `store`, and `load_first`, `store_first` for the first lanes only; `copy_eight`
- `load_at`, `element_at`, `put_at`: from and to an address, with conversion
- what code generators need: `data_pointer`, `typed_pointer`, `first_lanes`, `masked_load`, `masked_store`,
  `emit_prefetch`
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.processor import has_masked_stores
from fastnn.kernels.vector import llvm_scalar, llvm_type, splat, vector_of

_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)

_HAS_MASKED_STORES = has_masked_stores()


def data_pointer(context, builder, array_type, array, offset):
    """Emit the pointer to element `offset` of a contiguous array; kernels never index from the end."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def first_lanes(builder, count, n_lanes):
    """Emit the mask whose first `count` lanes are on."""
    index_type = ir.VectorType(_INT32, n_lanes)
    index = ir.Constant(index_type, list(range(n_lanes)))
    return builder.icmp_signed("<", index, splat(builder, builder.trunc(count, _INT32), index_type))


def masked_load(builder, pointer, mask, vector_type, align):
    """Emit llvm.masked.load; lanes that are off read as zero and touch no memory."""
    pointer_type = vector_type.as_pointer()
    name = f"llvm.masked.load.v{vector_type.count}{_suffix(vector_type.element)}.p0"
    function_type = ir.FunctionType(vector_type, [pointer_type, _INT32, mask.type, vector_type])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    arguments = [
        builder.bitcast(pointer, pointer_type),
        ir.Constant(_INT32, align),
        mask,
        ir.Constant(vector_type, None),
    ]
    return builder.call(function, arguments)


def masked_store(builder, value, pointer, count, mask, align):
    """Emit the store of the first `count` lanes, which are those of `mask`; the others touch no memory."""
    if not _HAS_MASKED_STORES:
        _store_by_halves(builder, value, pointer, count, align)
        return
    pointer_type = value.type.as_pointer()
    name = f"llvm.masked.store.v{value.type.count}{_suffix(value.type.element)}.p0"
    function_type = ir.FunctionType(ir.VoidType(), [value.type, pointer_type, _INT32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.call(function, [value, builder.bitcast(pointer, pointer_type), ir.Constant(_INT32, align), mask])


def _store_by_halves(builder, value, pointer, count, align):
    """Emit stores of 2^i lanes for the bits i of `count`, from the highest to the lowest."""
    element = value.type.element
    pointer = builder.bitcast(pointer, element.as_pointer())
    size = value.type.count
    whole = builder.append_basic_block("whole")
    part = builder.append_basic_block("part")
    done = builder.append_basic_block("stored")
    builder.cbranch(builder.icmp_signed("==", count, ir.Constant(_INT64, size)), whole, part)
    builder.position_at_end(whole)
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)
    builder.branch(done)
    builder.position_at_end(part)
    rest = value  # what is not stored yet, in its first lanes
    while size > 1:
        size //= 2
        low, high = (
            builder.shuffle_vector(
                rest, ir.Constant(rest.type, ir.Undefined), ir.Constant(ir.VectorType(_INT32, size), list(lanes))
            )
            for lanes in (range(size), range(size, 2 * size))
        )
        before, here, after = builder.block, builder.append_basic_block("here"), builder.append_basic_block("after")
        bit = builder.and_(count, ir.Constant(_INT64, size))
        builder.cbranch(builder.icmp_signed("!=", bit, ir.Constant(_INT64, 0)), here, after)
        builder.position_at_end(here)
        builder.store(low, builder.bitcast(pointer, low.type.as_pointer()), align=align)
        behind = builder.gep(pointer, [ir.Constant(_INT64, size)])
        builder.branch(after)
        builder.position_at_end(after)
        rest, next_pointer = builder.phi(low.type), builder.phi(pointer.type)
        for block, lanes, at in ((before, low, pointer), (here, high, behind)):
            rest.add_incoming(lanes, block)
            next_pointer.add_incoming(at, block)
        pointer = next_pointer
    builder.branch(done)
    builder.position_at_end(done)


def _suffix(element):
    return {"float": "f32", "double": "f64"}.get(str(element), str(element))


@intrinsic
def load(typingctx, array, offset):
    """One full vector from a contiguous 1-D array."""
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], *args)
        pointer = builder.bitcast(pointer, llvm_type(vector).as_pointer())
        return builder.load(pointer, align=vector.dtype.bitwidth // 8)

    return signature(vector, array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """One full vector into a contiguous 1-D array; a scalar is broadcast."""
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        pointer = builder.bitcast(pointer, llvm_type(vector).as_pointer())
        builder.store(args[2], pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), codegen


@intrinsic
def copy_eight(typingctx, source, source_offset, target, target_offset):
    """Eight elements from one array to another of the same dtype, whatever a vector holds."""

    def codegen(context, builder, sig, args):
        eight = ir.VectorType(llvm_scalar(sig.args[0].dtype), 8).as_pointer()
        pointers = [
            builder.bitcast(data_pointer(context, builder, sig.args[i], args[i], args[i + 1]), eight) for i in (0, 2)
        ]
        align = sig.args[0].dtype.bitwidth // 8
        builder.store(builder.load(pointers[0], align=align), pointers[1], align=align)
        return context.get_dummy_value()

    return signature(types.void, source, types.intp, target, types.intp), codegen


@intrinsic
def load_first(typingctx, array, offset, count):
    """A vector whose first `count` lanes come from the array, the others are zero."""
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        mask = first_lanes(builder, args[2], vector.lanes)
        return masked_load(builder, pointer, mask, llvm_type(vector), vector.dtype.bitwidth // 8)

    return signature(vector, array, types.intp, types.intp), codegen


@intrinsic
def store_first(typingctx, array, offset, value, count):
    """Store the first `count` lanes."""
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        mask = first_lanes(builder, args[3], vector.lanes)
        masked_store(builder, args[2], pointer, args[3], mask, vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector, types.intp), codegen


def typed_pointer(builder, address, llvm_type):
    """Emit the pointer to a value of a type at an address."""
    return builder.inttoptr(address, llvm_type.as_pointer())


def _convert(builder, value, source, target):
    """Emit the conversion of a scalar or a vector from the Numba type `source` to a float type, or a wider integer."""
    is_vector = isinstance(value.type, ir.VectorType)
    wanted = llvm_scalar(target)
    if is_vector:
        wanted = ir.VectorType(wanted, value.type.count)
    if source == target:
        return value
    if isinstance(source, types.Float):
        widens = target.bitwidth > source.bitwidth
        return builder.fpext(value, wanted) if widens else builder.fptrunc(value, wanted)
    signed = isinstance(source, types.Integer) and source.signed
    if isinstance(target, types.Integer):
        return builder.sext(value, wanted) if signed else builder.zext(value, wanted)
    return builder.sitofp(value, wanted) if signed else builder.uitofp(value, wanted)


@intrinsic
def load_at(typingctx, address, source, array, count):
    """`count` elements of type `source` at an address, as one vector of the array's dtype; the rest are zero."""
    vector = vector_of(array.dtype)
    source_type = source.dtype
    raw_type = ir.VectorType(llvm_scalar(source_type), vector.lanes)

    def codegen(context, builder, sig, args):
        pointer = typed_pointer(builder, args[0], raw_type.element)
        align = source_type.bitwidth // 8
        is_full = builder.icmp_signed(">=", args[3], ir.Constant(_INT64, vector.lanes))
        with builder.if_else(is_full) as (full, partial):
            with full:
                whole = builder.load(builder.bitcast(pointer, raw_type.as_pointer()), align=align)
                full_block = builder.block
            with partial:
                mask = first_lanes(builder, args[3], vector.lanes)
                some = masked_load(builder, pointer, mask, raw_type, align)
                partial_block = builder.block
        raw = builder.phi(raw_type)
        raw.add_incoming(whole, full_block)
        raw.add_incoming(some, partial_block)
        return _convert(builder, raw, source_type, vector.dtype)

    return signature(vector, types.intp, source, array, types.intp), codegen


@intrinsic
def element_at(typingctx, address, source, array):
    """The element of type `source` at an address, as a scalar of the array's dtype."""
    target = array.dtype
    source_type = source.dtype

    def codegen(context, builder, sig, args):
        pointer = typed_pointer(builder, args[0], llvm_scalar(source_type))
        return _convert(builder, builder.load(pointer), source_type, target)

    return signature(target, types.intp, source, array), codegen


@intrinsic
def put_at(typingctx, address, value, target):
    """Store a scalar, converted to the type `target`, at an address."""
    target_type = target.dtype

    def codegen(context, builder, sig, args):
        pointer = typed_pointer(builder, args[0], llvm_scalar(target_type))
        builder.store(context.cast(builder, args[1], value, target_type), pointer)
        return context.get_dummy_value()

    return signature(types.void, types.intp, value, target), codegen


def emit_prefetch(builder, pointer, to_write=False):
    """Emit llvm.prefetch of a byte pointer's cache line, to be read or written, and kept; it never faults."""
    function_type = ir.FunctionType(ir.VoidType(), [pointer.type, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    access, keep, data = (ir.Constant(_INT32, value) for value in (int(to_write), 3, 1))
    builder.call(function, [pointer, access, keep, data])
