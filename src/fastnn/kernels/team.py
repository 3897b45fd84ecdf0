"""What the threads of a team need to work as one: a barrier on memory that they share.

`shared` is an int64 array: [0] counts arrivals, [1] the rounds that are over, and [LOSSES + t] holds thread t's part
of a batch loss (as the bits of a float64), so that every thread comes to the same verdict on it.

Jobs
----
- `wait_for_all`: a barrier that spins briefly and then yields the core
- `pin_value`, `read_value`: publish a float64, read another thread's
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.jit import inner
from fastnn.kernels.simd import data_pointer

ARRIVED, ROUND = 0, 8  # a cache line apart
SPINS = 2000  # about 20 us of polling before the core is given away

_INT64 = ir.IntType(64)


@intrinsic
def _fetch_add(typingctx, array, offset, value):
    """Atomically add to an element and return what was there before."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return signature(types.int64, array, types.intp, types.int64), codegen


@intrinsic
def _read(typingctx, array, offset):
    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "acquire", 8)

    return signature(types.int64, array, types.intp), codegen


@intrinsic
def _write(typingctx, array, offset, value):
    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return signature(types.void, array, types.intp, types.int64), codegen


@intrinsic
def _yield_core(typingctx):
    """sched_yield(2), so that a thread that waits for one without a core lets it have this one."""

    def codegen(context, builder, sig, args):
        function_type = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, "sched_yield"), [])
        return context.get_dummy_value()

    return signature(types.void), codegen


@inner
def wait_for_all(shared, n_threads):
    """Return once all threads of the team have called this as often as the caller."""
    if n_threads == 1:
        return
    current = _read(shared, ROUND)
    if _fetch_add(shared, ARRIVED, 1) == n_threads - 1:
        _write(shared, ARRIVED, 0)
        _write(shared, ROUND, current + 1)
        return
    spins = 0
    while _read(shared, ROUND) == current:
        spins += 1
        if spins > SPINS:
            _yield_core()
