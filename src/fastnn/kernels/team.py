"""What the threads of a team need to work as one: a barrier on memory that they share.

`shared` is an int64 array with one word a cache line: how many have arrived, how many rounds are over, whether the
team was dismissed, how often to poll before giving the core away, and what the caller wants of its helpers.

A helper enters a kernel once and stays: between two calls it waits in the kernel, without Python and its lock, for
the caller to come. Waking a sleeping thread takes 50 to 100 us, which is a whole step of many networks.

Why the barrier is right on machines that reorder memory accesses [1]_: each arrival is an atomic addition with
acquire and release semantics, so the last to arrive has seen all that the others wrote before; it publishes the new
round with a release store, and whoever reads that round with an acquire load sees all of it too. ARRIVED is put back
before the round is published, so nobody can arrive at the next barrier before. A thread may read ROUND before it
arrives, because the round cannot end without it.

Waiting goes in three stages: polling, for partners that are about as fast as this thread; giving the core away, for
partners that have none; and sleeping, because a scheduler may hand a core that was given away straight back.

Jobs
----
- `wait_for_all`: the barrier; writing to `shared[DISMISSED]` ends all waits, for good
- `open_call`, `wait_for_call`: how the caller's entry into a kernel begins the helpers' part of it; writing another
  number to `shared[GENERATION]` sends them back to Python

References
----------
.. [1] H.-J. Boehm, S. V. Adve, "Foundations of the C++ Concurrency Memory Model", PLDI 2008.
"""

import platform
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from fastnn.kernels.jit import inner
from fastnn.kernels.simd import data_pointer
from fastnn.kernels.tables import SHARED_SIZE

# A cache line apart: polling one does not slow writing another.
ARRIVED, ROUND, DISMISSED, POLLS, OPEN, STEPS, GENERATION = range(0, 56, 8)

YIELDS = 1000  # about a millisecond
NAP = 100  # microseconds, at a barrier
LINGER = 8  # between calls a helper polls so many times longer than at a barrier
SHORTEST_NAP, LONGEST_NAP = 50, 2000  # and then sleeps longer and longer: about an eighth of how long it has waited

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_IS_WINDOWS = sys.platform == "win32"
# LLVM's name and argument for "this loop waits": a sibling hyperthread gets the execution units meanwhile.
_X86, _ARM = ("llvm.x86.sse2.pause", ()), ("llvm.aarch64.hint", (1,))
_RELAX = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}.get(platform.machine().lower())


@intrinsic
def _fetch_add(typingctx, array, offset, value):
    """Atomically add to an element and return what was there before."""

    def codegen(context, builder, sig, args):
        pointer = data_pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

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


def _call(builder, name, return_type, arguments):
    function_type = ir.FunctionType(return_type, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), arguments)


@intrinsic
def _relax(typingctx):
    def codegen(context, builder, sig, args):
        if _RELAX is not None:
            name, arguments = _RELAX
            _call(builder, name, ir.VoidType(), [ir.Constant(_INT32, argument) for argument in arguments])
        return context.get_dummy_value()

    return signature(types.void), codegen


@intrinsic
def _give_core_away(typingctx):
    """sched_yield(2), so that a thread that waits for one without a core lets it have this one."""

    def codegen(context, builder, sig, args):
        _call(builder, "SwitchToThread" if _IS_WINDOWS else "sched_yield", _INT32, [])
        return context.get_dummy_value()

    return signature(types.void), codegen


@intrinsic
def _nap(typingctx, microseconds):
    def codegen(context, builder, sig, args):
        if _IS_WINDOWS:
            _call(builder, "Sleep", ir.VoidType(), [ir.Constant(_INT32, 1)])
        else:
            _call(builder, "usleep", _INT32, [builder.trunc(args[0], _INT32)])
        return context.get_dummy_value()

    return signature(types.void, types.int64), codegen


@inner
def wait_for_all(shared, n_threads):
    """Return True once all threads of the team have called this as often as the caller, False if it was dismissed.

    After False nothing that others read may be written. A team is dismissed only by a thread that is outside the
    kernels, so that no wait of that call can have been met: all its threads see False, at the first barrier.
    """
    if n_threads == 1:
        return True
    if _read(shared, DISMISSED) != 0:
        return False
    current = _read(shared, ROUND)
    if _fetch_add(shared, ARRIVED, 1) == n_threads - 1:
        _write(shared, ARRIVED, 0)
        _write(shared, ROUND, current + 1)
        return True
    polls = shared[POLLS]
    waits = 0
    while _read(shared, ROUND) == current:
        if _read(shared, DISMISSED) != 0:
            return _read(shared, ROUND) != current
        waits += 1
        if waits <= polls:
            _relax()
        elif waits <= polls + YIELDS:
            _give_core_away()
        else:
            _nap(NAP)
    return True


@inner
def open_call(shared, n_steps):
    """Begin a call, as its caller: the helpers do their part of up to `n_steps` batches."""
    _write(shared, STEPS, n_steps)
    _write(shared, OPEN, _read(shared, ROUND) + 1)


@inner
def wait_for_call(shared, generation):
    """Return how many steps the caller wants, as a helper between calls; -1 if it is to go back to Python.

    A call ends with a barrier. So the number of the round stands still between calls, and a call that was opened in
    this round has not begun for this helper.
    """
    polls = shared[POLLS] * LINGER
    waits = 0
    while _read(shared, OPEN) != _read(shared, ROUND) + 1:
        if _read(shared, DISMISSED) != 0 or _read(shared, GENERATION) != generation:
            return -1
        waits += 1
        if waits <= polls:
            _relax()
        else:
            _nap(min(SHORTEST_NAP + 6 * (waits - polls), LONGEST_NAP))
    # Once more: what was written before the call was opened is seen now. Old arguments, or a call that was given up?
    if _read(shared, DISMISSED) != 0 or _read(shared, GENERATION) != generation:
        return -1
    return shared[STEPS]


__all__ = [
    "ARRIVED", "DISMISSED", "GENERATION", "OPEN", "POLLS", "ROUND", "SHARED_SIZE", "STEPS", "open_call", "wait_for_all",
    "wait_for_call",
]  # fmt: skip
