"""Vectors of one cache line (64 bytes) as a Numba type, so that a kernel says what is computed side by side.

LLVM's loop vectoriser stops working for reasons a reader cannot see (an index that might be negative, a short loop,
a preference for narrow registers). Kernels therefore name their vectors: `Vector` is LLVM's ``<16 x float>`` or
``<8 x double>``, which the backend maps to one AVX-512, two AVX or four NEON registers.

Jobs
----
- the type, its arithmetic, comparison and bit operators (scalars are broadcast)
- `load`, `store` and their masked forms, `load_at` (converting, from an address)
- `fma`, `select`, `minimum`, `maximum`, `sqrt`, `round_even`, `total` (horizontal sum), `lanes`, `iota`
- `flush_denormals`, `restore_denormals`: the processor's mode for numbers too small to be normal
- `transpose_block`: a square of lanes x lanes elements, in registers
"""

import operator

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

VECTOR_BYTES = 64

_INT32 = ir.IntType(32)
_INT64 = ir.IntType(64)
_CONTRACT = ("contract", "nsz")


class Vector(types.Type):
    """A vector register: `lanes` elements of the Numba scalar type `dtype`."""

    def __init__(self, dtype, lanes):
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype} x {lanes})")

    def with_dtype(self, dtype):
        return Vector(dtype, self.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm_type(fe_type))


def _llvm_scalar(dtype):
    if dtype == types.float32:
        return ir.FloatType()
    if dtype == types.float64:
        return ir.DoubleType()
    if dtype == types.boolean:
        return ir.IntType(1)
    return ir.IntType(dtype.bitwidth)


def _llvm_type(vector):
    return ir.VectorType(_llvm_scalar(vector.dtype), vector.lanes)


def lanes_of(dtype):
    """Return how many elements of a Numba scalar type fill one vector."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


def _vector_of(dtype):
    return Vector(dtype, lanes_of(dtype))


def _integer_of(vector):
    return vector.with_dtype(types.uint32 if vector.dtype == types.float32 else types.uint64)


def splat(builder, scalar, vector_type):
    """Emit the broadcast of one LLVM scalar to all lanes."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    mask = ir.Constant(ir.VectorType(_INT32, vector_type.count), None)
    return builder.shuffle_vector(first, undefined, mask)


def call_vector_intrinsic(builder, name, vector_type, arguments):
    """Emit a call of ``llvm.<name>`` whose arguments and result are of one vector type."""
    element = vector_type.element
    suffix = {"float": "f32", "double": "f64"}.get(str(element), str(element))
    function_type = ir.FunctionType(vector_type, [vector_type] * len(arguments))
    function = cgutils.get_or_insert_function(
        builder.module, function_type, f"llvm.{name}.v{vector_type.count}{suffix}"
    )
    return builder.call(function, arguments)


# --- operators ------------------------------------------------------------------------------------------------------


def _first_vector(args):
    return next((a for a in args if isinstance(a, Vector)), None)


@lower_cast(types.Number, Vector)
@lower_cast(types.Boolean, Vector)
def _broadcast_cast(context, builder, fromty, toty, value):
    scalar = context.cast(builder, value, fromty, toty.dtype)
    return splat(builder, scalar, _llvm_type(toty))


def _register_binary(function, emit_float, emit_int, returns_mask=False):
    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            vector = _first_vector(args)
            if vector is None or len(args) != 2 or kws:
                return None
            if not all(a == vector or isinstance(a, types.Number) for a in args):
                return None
            result = vector.with_dtype(types.boolean) if returns_mask else vector
            return signature(result, vector, vector)

    @lower_builtin(function, Vector, Vector)
    def _lower(context, builder, sig, args):
        emit = emit_float if isinstance(sig.args[0].dtype, types.Float) else emit_int
        if emit is None:
            raise NotImplementedError(f"{function} on {sig.args[0]}")
        return emit(builder, *args)


_register_binary(operator.add, lambda b, x, y: b.fadd(x, y, flags=_CONTRACT), lambda b, x, y: b.add(x, y))
_register_binary(operator.sub, lambda b, x, y: b.fsub(x, y, flags=_CONTRACT), lambda b, x, y: b.sub(x, y))
_register_binary(operator.mul, lambda b, x, y: b.fmul(x, y, flags=_CONTRACT), lambda b, x, y: b.mul(x, y))
_register_binary(operator.truediv, lambda b, x, y: b.fdiv(x, y), None)
_register_binary(operator.and_, None, lambda b, x, y: b.and_(x, y))
_register_binary(operator.or_, None, lambda b, x, y: b.or_(x, y))
_register_binary(operator.xor, None, lambda b, x, y: b.xor(x, y))
_register_binary(operator.lshift, None, lambda b, x, y: b.shl(x, y))
_register_binary(operator.rshift, None, lambda b, x, y: b.lshr(x, y))
for _function, _sign in (
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="), (operator.eq, "=="),
):  # fmt: skip
    _register_binary(
        _function,
        lambda b, x, y, sign=_sign: b.fcmp_ordered(sign, x, y),
        lambda b, x, y, sign=_sign: b.icmp_unsigned(sign, x, y),
        returns_mask=True,
    )


@infer_global(operator.neg)
class _NegTyping(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], Vector):
            return signature(args[0], args[0])
        return None


@lower_builtin(operator.neg, Vector)
def _lower_neg(context, builder, sig, args):
    return builder.fneg(args[0])


# --- elementwise functions ------------------------------------------------------------------------------------------


def _vector_intrinsic(name, n_arguments):
    """Build a function of `n_arguments` vectors (or scalars, broadcast) that maps to one LLVM intrinsic."""

    def typed(typingctx, *args):
        vector = _first_vector(args)
        if vector is None:
            return None
        sig = signature(vector, *([vector] * n_arguments))

        def codegen(context, builder, sig, values):
            return call_vector_intrinsic(builder, name, _llvm_type(vector), values)

        return sig, codegen

    by_count = {
        1: lambda typingctx, x: typed(typingctx, x),
        2: lambda typingctx, x, y: typed(typingctx, x, y),
        3: lambda typingctx, x, y, z: typed(typingctx, x, y, z),
    }
    function = by_count[n_arguments]
    function.__name__ = name
    return intrinsic(function)


fma = _vector_intrinsic("fma", 3)  # x * y + z, rounded once
sqrt = _vector_intrinsic("sqrt", 1)
absolute = _vector_intrinsic("fabs", 1)
copysign = _vector_intrinsic("copysign", 2)  # magnitude of x, sign of y


def _has_estimates(vector):
    return vector.dtype == types.float32 and vector_registers() == 32


@intrinsic
def reciprocal_sqrt_estimate(typingctx, x):
    """1 / sqrt(x): AVX-512's estimate (relative error below 2^-14) in float32 where there is one, else exact."""

    def codegen(context, builder, sig, args):
        if _has_estimates(x):
            return _emit_estimate(builder, "rsqrt14", args[0])
        vector_type = _llvm_type(x)
        one = splat(builder, ir.Constant(vector_type.element, 1.0), vector_type)
        return builder.fdiv(one, call_vector_intrinsic(builder, "sqrt", vector_type, args))

    return signature(x, x), codegen


@intrinsic
def reciprocal_estimate(typingctx, x):
    """1 / x: AVX-512's estimate (relative error below 2^-14) in float32 where there is one, else exact."""

    def codegen(context, builder, sig, args):
        if _has_estimates(x):
            return _emit_estimate(builder, "rcp14", args[0])
        vector_type = _llvm_type(x)
        return builder.fdiv(splat(builder, ir.Constant(vector_type.element, 1.0), vector_type), args[0])

    return signature(x, x), codegen


def _emit_estimate(builder, instruction, value):
    vector_type = value.type
    mask_type = ir.IntType(16)
    function_type = ir.FunctionType(vector_type, [vector_type, vector_type, mask_type])
    name = f"llvm.x86.avx512.{instruction}.ps.512"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [value, ir.Constant(vector_type, None), ir.Constant(mask_type, -1)])


@intrinsic
def select(typingctx, mask, x, y):
    """Lanes of x where the mask holds, else of y."""
    float_type = types.float32 if mask.lanes == lanes_of(types.float32) else types.float64
    vector = _first_vector((x, y)) or mask.with_dtype(float_type)

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return signature(vector, mask, vector, vector), codegen


def _minmax(sign):
    def typed(typingctx, x, y):
        vector = _first_vector((x, y))

        def codegen(context, builder, sig, args):
            # A NaN in x stays: the comparison is false and x is taken.
            return builder.select(builder.fcmp_ordered(sign, args[1], args[0]), args[1], args[0])

        return signature(vector, vector, vector), codegen

    return intrinsic(typed)


minimum = _minmax("<")
maximum = _minmax(">")


@intrinsic
def bits_of(typingctx, x):
    """The bit patterns of a float vector as unsigned integers of the same width."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], _llvm_type(sig.return_type))

    return signature(_integer_of(x), x), codegen


@intrinsic
def float_of(typingctx, bits):
    """The floats with the given bit patterns."""
    target = bits.with_dtype(types.float32 if bits.dtype.bitwidth == 32 else types.float64)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], _llvm_type(target))

    return signature(target, bits), codegen


@intrinsic
def total(typingctx, x):
    """The sum over the lanes, pairwise: a scalar of the vector's dtype."""

    def codegen(context, builder, sig, args):
        value = args[0]
        count = x.lanes
        while count > 1:
            count //= 2
            undefined = ir.Constant(value.type, ir.Undefined)
            half = ir.VectorType(_INT32, count)
            low = builder.shuffle_vector(value, undefined, ir.Constant(half, list(range(count))))
            high = builder.shuffle_vector(value, undefined, ir.Constant(half, list(range(count, 2 * count))))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(_INT32, 0))

    return signature(x.dtype, x), codegen


@intrinsic
def lanes(typingctx, array):
    """The number of lanes of a vector of the array's dtype: a constant."""
    count = lanes_of(array.dtype)

    def codegen(context, builder, sig, args):
        return ir.Constant(_INT64, count)

    return signature(types.intp, array), codegen


@intrinsic
def filled(typingctx, array, value):
    """A vector of the array's dtype with one value in every lane."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        scalar = context.cast(builder, args[1], value, vector.dtype)
        return splat(builder, scalar, _llvm_type(vector))

    return signature(vector, array, value), codegen


@intrinsic
def counters(typingctx, array, start):
    """The uint32 vector start, start + 1, ... with as many lanes as a vector of the array's dtype."""
    vector = Vector(types.uint32, lanes_of(array.dtype))

    def codegen(context, builder, sig, args):
        first = builder.trunc(args[1], _INT32)
        steps = ir.Constant(_llvm_type(vector), list(range(vector.lanes)))
        return builder.add(splat(builder, first, _llvm_type(vector)), steps)

    return signature(vector, array, types.int64), codegen


@intrinsic
def unit_interval(typingctx, array, bits):
    """Floats in [0, 1) of the array's dtype from the 24 high bits of each uint32 lane."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        target = _llvm_type(vector)
        shift = ir.Constant(args[1].type, [8] * vector.lanes)
        value = builder.uitofp(builder.lshr(args[1], shift), target)
        return builder.fmul(value, splat(builder, ir.Constant(target.element, 2.0**-24), target))

    return signature(vector, array, bits), codegen


# --- memory ---------------------------------------------------------------------------------------------------------


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


def masked_store(builder, value, pointer, mask, align):
    """Emit llvm.masked.store; lanes that are off touch no memory."""
    pointer_type = value.type.as_pointer()
    name = f"llvm.masked.store.v{value.type.count}{_suffix(value.type.element)}.p0"
    function_type = ir.FunctionType(ir.VoidType(), [value.type, pointer_type, _INT32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.call(function, [value, builder.bitcast(pointer, pointer_type), ir.Constant(_INT32, align), mask])


def _suffix(element):
    return {"float": "f32", "double": "f64"}.get(str(element), str(element))


@intrinsic
def load(typingctx, array, offset):
    """One full vector from a contiguous 1-D array."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], *args)
        pointer = builder.bitcast(pointer, _llvm_type(vector).as_pointer())
        return builder.load(pointer, align=vector.dtype.bitwidth // 8)

    return signature(vector, array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """One full vector into a contiguous 1-D array; a scalar is broadcast."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        pointer = builder.bitcast(pointer, _llvm_type(vector).as_pointer())
        builder.store(args[2], pointer, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector), codegen


@intrinsic
def load_first(typingctx, array, offset, count):
    """A vector whose first `count` lanes come from the array, the others are zero."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        mask = first_lanes(builder, args[2], vector.lanes)
        return masked_load(builder, pointer, mask, _llvm_type(vector), vector.dtype.bitwidth // 8)

    return signature(vector, array, types.intp, types.intp), codegen


@intrinsic
def store_first(typingctx, array, offset, value, count):
    """Store the first `count` lanes."""
    vector = _vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        mask = first_lanes(builder, args[3], vector.lanes)
        masked_store(builder, args[2], pointer, mask, vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, vector, types.intp), codegen


def _typed_pointer(builder, address, llvm_type):
    return builder.inttoptr(address, llvm_type.as_pointer())


def _convert(builder, value, source, target):
    """Emit the conversion of a scalar or a vector from the Numba type `source` to the float type `target`."""
    is_vector = isinstance(value.type, ir.VectorType)
    wanted = _llvm_scalar(target)
    if is_vector:
        wanted = ir.VectorType(wanted, value.type.count)
    if source == target:
        return value
    if isinstance(source, types.Float):
        widens = target.bitwidth > source.bitwidth
        return builder.fpext(value, wanted) if widens else builder.fptrunc(value, wanted)
    signed = isinstance(source, types.Integer) and source.signed
    return builder.sitofp(value, wanted) if signed else builder.uitofp(value, wanted)


@intrinsic
def load_at(typingctx, address, source, array, count):
    """`count` elements of type `source` at an address, as one vector of the array's dtype; the rest are zero."""
    vector = _vector_of(array.dtype)
    source_type = source.dtype
    raw_type = ir.VectorType(_llvm_scalar(source_type), vector.lanes)

    def codegen(context, builder, sig, args):
        pointer = _typed_pointer(builder, args[0], raw_type.element)
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
        pointer = _typed_pointer(builder, args[0], _llvm_scalar(source_type))
        return _convert(builder, builder.load(pointer), source_type, target)

    return signature(target, types.intp, source, array), codegen


@intrinsic
def put_at(typingctx, address, value, target):
    """Store a scalar, converted to the type `target`, at an address."""
    target_type = target.dtype

    def codegen(context, builder, sig, args):
        pointer = _typed_pointer(builder, args[0], _llvm_scalar(target_type))
        builder.store(context.cast(builder, args[1], value, target_type), pointer)
        return context.get_dummy_value()

    return signature(types.void, types.intp, value, target), codegen


@intrinsic
def transpose_block(typingctx, source, source_offset, source_stride, target, target_offset, target_stride):
    """Transpose a square block: target[j * target_stride + i] = source[i * source_stride + j], i, j < lanes.

    Quarters of vectors are put together as they are loaded, from rows `chunk` apart, which costs no shuffle; what is
    left is to transpose chunk x chunk blocks within the quarters of `chunk` vectors: half the shuffles of a network of
    log2(lanes) stages.
    """
    vector = _vector_of(source.dtype)
    n = vector.lanes
    chunk = n // 4
    align = vector.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        vector_type = _llvm_type(vector)
        chunk_type = ir.VectorType(vector_type.element, chunk)
        origin = data_pointer(context, builder, sig.args[0], args[0], args[1])
        destination = data_pointer(context, builder, sig.args[3], args[3], args[4])

        def at(base, stride, row, column, kind):
            offset = builder.add(builder.mul(stride, ir.Constant(_INT64, row)), ir.Constant(_INT64, column))
            return builder.bitcast(builder.gep(base, [offset]), kind.as_pointer())

        def shuffle(a, b, lanes):
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes))

        def quarters(row, column):
            """A vector whose quarter q is `chunk` elements of row `row + q * chunk`."""
            parts = [
                builder.load(at(origin, args[2], row + q * chunk, column, chunk_type), align=align) for q in range(4)
            ]
            halves = [shuffle(parts[q], parts[q + 1], list(range(2 * chunk))) for q in (0, 2)]
            return shuffle(halves[0], halves[1], list(range(n)))

        for column in range(0, n, chunk):
            rows = [quarters(row, column) for row in range(chunk)]
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
                builder.store(rows[i], at(destination, args[5], column + i, 0, vector_type), align=align)
        return context.get_dummy_value()

    sig = signature(types.void, source, types.intp, types.intp, target, types.intp, types.intp)
    return sig, codegen


def emit_prefetch(builder, pointer):
    """Emit llvm.prefetch of a byte pointer's cache line, to be read and kept; it never faults."""
    function_type = ir.FunctionType(ir.VoidType(), [pointer.type, _INT32, _INT32, _INT32])
    function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    read, keep, data = (ir.Constant(_INT32, value) for value in (0, 3, 1))
    builder.call(function, [pointer, read, keep, data])


# x86's MXCSR: flush-to-zero for results, denormals-are-zero for operands.
_FLUSH_BITS = 0x8040
_HAS_MXCSR = llvm.get_process_triple().split("-")[0] in ("x86_64", "i386", "i686")


def _emit_mxcsr(builder, instruction, slot):
    function_type = ir.FunctionType(ir.VoidType(), [slot.type])
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.sse.{instruction}"), [slot])


@intrinsic
def flush_denormals(typingctx):
    """Treat denormal numbers as 0 on this thread from here on; returns the mode before, for `restore_denormals`.

    Arithmetic on denormals is up to a hundred times slower, and products of small gradients, decaying moments and the
    outputs of a saturated softmax are full of them. Other machines than x86 keep their mode.
    """

    def codegen(context, builder, sig, args):
        if not _HAS_MXCSR:
            return ir.Constant(_INT32, 0)
        slot = cgutils.alloca_once(builder, _INT32)
        byte_slot = builder.bitcast(slot, ir.IntType(8).as_pointer())
        _emit_mxcsr(builder, "stmxcsr", byte_slot)
        before = builder.load(slot)
        builder.store(builder.or_(before, ir.Constant(_INT32, _FLUSH_BITS)), slot)
        _emit_mxcsr(builder, "ldmxcsr", byte_slot)
        return before

    return signature(types.int32), codegen


@intrinsic
def restore_denormals(typingctx, mode):
    """Put the mode back that `flush_denormals` returned."""

    def codegen(context, builder, sig, args):
        if _HAS_MXCSR:
            slot = cgutils.alloca_once(builder, _INT32)
            builder.store(args[0], slot)
            _emit_mxcsr(builder, "ldmxcsr", builder.bitcast(slot, ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return signature(types.void, types.int32), codegen


def vector_registers() -> int:
    """Return how many 64-byte values the host's vector registers hold at once: 32 (AVX-512), 16 or 8."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 32
    machine = llvm.get_process_triple().split("-")[0]
    return 8 if machine in ("aarch64", "arm64", "x86_64") else 4


FLOAT_TYPES = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}
