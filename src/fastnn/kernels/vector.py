"""Vectors of one cache line (64 bytes) as a Numba type, with their arithmetic.

`Vector` is LLVM's ``<16 x float>`` or ``<8 x double>`` (and the integers and masks that go with them), which the
backend maps to one AVX-512, two AVX or four NEON registers.

Jobs
----
- the type, and the number of lanes a dtype has
- arithmetic, comparison and bit operators (scalars are broadcast)
- `fma`, `select`, `minimum`, `maximum`, `sqrt`, `absolute`, `copysign`, the reciprocal estimates
- `total` (horizontal sum), `filled`, `lanes`, `counters`, `unit_interval`, `bits_of`, `float_of`
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model

from fastnn.kernels.processor import vector_registers

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
        super().__init__(dmm, fe_type, llvm_type(fe_type))


def llvm_scalar(dtype):
    if dtype == types.float32:
        return ir.FloatType()
    if dtype == types.float64:
        return ir.DoubleType()
    if dtype == types.boolean:
        return ir.IntType(1)
    return ir.IntType(dtype.bitwidth)


def llvm_type(vector):
    return ir.VectorType(llvm_scalar(vector.dtype), vector.lanes)


def lanes_of(dtype):
    """Return how many elements of a Numba scalar type fill one vector."""
    return VECTOR_BYTES * 8 // dtype.bitwidth


def vector_of(dtype):
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
    return splat(builder, scalar, llvm_type(toty))


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
            return call_vector_intrinsic(builder, name, llvm_type(vector), values)

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


def has_estimates() -> bool:
    """Whether the processor has the estimates of AVX-512."""
    return vector_registers() == 32


@intrinsic
def reciprocal_sqrt_estimate(typingctx, x):
    """1 / sqrt(x) with a relative error below 2^-14, where `has_estimates`."""
    return _estimate(x, "rsqrt14")


@intrinsic
def reciprocal_estimate(typingctx, x):
    """1 / x with a relative error below 2^-14, where `has_estimates`."""
    return _estimate(x, "rcp14")


def _estimate(x, instruction):
    def codegen(context, builder, sig, args):
        vector_type, mask_type = llvm_type(x), ir.IntType(x.lanes)
        function_type = ir.FunctionType(vector_type, [vector_type, vector_type, mask_type])
        name = f"llvm.x86.avx512.{instruction}.{'ps' if x.lanes == 16 else 'pd'}.512"
        function = cgutils.get_or_insert_function(builder.module, function_type, name)
        return builder.call(function, [args[0], ir.Constant(vector_type, None), ir.Constant(mask_type, -1)])

    return signature(x, x), codegen


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
        return builder.bitcast(args[0], llvm_type(sig.return_type))

    return signature(_integer_of(x), x), codegen


@intrinsic
def float_of(typingctx, bits):
    """The floats with the given bit patterns."""
    target = bits.with_dtype(types.float32 if bits.dtype.bitwidth == 32 else types.float64)

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], llvm_type(target))

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
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        scalar = context.cast(builder, args[1], value, vector.dtype)
        return splat(builder, scalar, llvm_type(vector))

    return signature(vector, array, value), codegen


@intrinsic
def counters(typingctx, array, start):
    """The uint32 vector start, start + 1, ... with as many lanes as a vector of the array's dtype."""
    vector = Vector(types.uint32, lanes_of(array.dtype))

    def codegen(context, builder, sig, args):
        first = builder.trunc(args[1], _INT32)
        steps = ir.Constant(llvm_type(vector), list(range(vector.lanes)))
        return builder.add(splat(builder, first, llvm_type(vector)), steps)

    return signature(vector, array, types.int64), codegen


@intrinsic
def unit_interval(typingctx, array, bits):
    """Floats in [0, 1) of the array's dtype from the 24 high bits of each uint32 lane."""
    vector = vector_of(array.dtype)

    def codegen(context, builder, sig, args):
        target = llvm_type(vector)
        shift = ir.Constant(args[1].type, [8] * vector.lanes)
        value = builder.uitofp(builder.lshr(args[1], shift), target)
        return builder.fmul(value, splat(builder, ir.Constant(target.element, 2.0**-24), target))

    return signature(vector, array, bits), codegen
