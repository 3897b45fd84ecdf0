"""What a processor offers, and the mode that it computes in.

Jobs
----
- `vector_registers`: how much of a tile fits into registers; `has_masked_stores`
- `flush_denormals`, `restore_denormals`: the mode for numbers too small to be normal
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

_INT32 = ir.IntType(32)


def vector_registers() -> int:
    """Return how many 64-byte values the host's vector registers hold at once: 32 (AVX-512), 16 or 8."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 32
    machine = llvm.get_process_triple().split("-")[0]
    return 8 if machine in ("aarch64", "arm64", "x86_64") else 4


def has_masked_stores() -> bool:
    """Whether a store of some lanes of a register is about as fast as one of all.

    AMD's Zen 3 takes some 11 cycles for each masked store (measured: bench/NOTES.md), and what has neither AVX nor
    AVX-512 asks lane by lane.
    """
    features = llvm.get_host_cpu_features()
    is_amd = llvm.get_host_cpu_name().startswith(("znver", "bdver", "btver"))
    return bool(features.get("avx512f") or (features.get("avx") and not is_amd))


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
