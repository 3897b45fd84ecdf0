"""The one place for compiler flags and passes.

Jobs
----
- `kernel`: an entry point that Python calls. Compiled once, kept on disk.
- `unit`, `address_of`: a function that is compiled for itself and called by its address, see `kernels.units`.
- `inner`, `inlined`: a function that only kernels and units call. It is compiled into its callers.
"""

import numba
import numpy as np
from numba import types
from numba.core import ir, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass

from fastnn.kernels.cache import STAMP, attach_cache, compile_once

# "nnan" and "ninf" stay out: a NaN or an infinity has to be seen by the checks that stop a diverged training.
FASTMATH = frozenset({"contract", "reassoc", "nsz", "arcp", "afn"})
FLAGS = {"error_model": "numpy", "nogil": True, "boundscheck": False, "fastmath": set(FASTMATH)}
# Kernels allocate nothing, and whoever calls them holds their arrays. Counting references all the same, by atomic
# additions around every call, took a seventh of a small step (bench/NOTES.md).
_KERNEL_FLAGS = {**FLAGS, "_nrt": False}


class _UnitLibrary(JITCodeLibrary):
    """The code of a unit or kernel: optimised once, without Numba's second run and without LLVM's vectorisers.

    Numba optimises twice so that reference counts meet in one function; here there are none. Kernels name their vectors
    themselves.
    """

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False, opt=3)
        passes.run(self._final_module, builder)


@register_pass(mutates_CFG=False, analysis_only=False)
class _NarrowConstants(FunctionPass):
    """Makes floats that are written in a function float32 where its arguments are.

    To Numba every written number is a float64, and so is what is computed with one: half as many to a vector.
    """

    _name = "fastnn_narrow_constants"

    def __init__(self):
        super().__init__()

    def run_pass(self, state):
        if types.float32 not in state.args:
            return False
        for block in state.func_ir.blocks.values():
            for statement in block.body:
                value = getattr(statement, "value", None)
                if isinstance(value, (ir.Const, ir.Global, ir.FreeVar)) and type(value.value) is float:
                    statement.value = ir.Const(np.float32(value.value), value.loc)
        return True


def _short_pipeline(state, narrows=False):
    """Numba's passes without those that this code has no use for: closures, `with`, raising, inlining, annotations.

    Nor is there one that says where variables end: nothing is counted.
    """
    passes = PassManager("fastnn")
    passes.add_pass(untyped_passes.TranslateByteCode, "analyze bytecode")
    if narrows:
        passes.add_pass(_NarrowConstants, "narrow constants")
    passes.add_pass(untyped_passes.FixupArgs, "fix up arguments")
    passes.add_pass(untyped_passes.IRProcessing, "process IR")
    passes.add_pass(untyped_passes.GenericRewrites, "rewrite static indices")
    passes.add_pass(untyped_passes.ReconstructSSA, "single static assignment")
    passes.add_pass(untyped_passes.DeadBranchPrune, "prune branches")
    passes.add_pass(typed_passes.NopythonTypeInference, "infer types")
    passes.add_pass(typed_passes.PreLowerStripPhis, "remove phi nodes")
    passes.add_pass(typed_passes.NativeLowering, "lower")
    passes.add_pass(typed_passes.NoPythonBackend, "assemble")
    passes.finalize()
    state.type_annotation = None
    return [passes]


class _LoopLibrary(_UnitLibrary):
    """The code of a unit around a function of scalars, whose loops LLVM turns into loops over vectors."""

    def _optimize_final_module(self):
        passes, builder = self._codegen._module_pass_manager(loop_vectorize=True, slp_vectorize=False, opt=3)
        passes.run(self._final_module, builder)


class _UnitCompiler(Compiler):
    library_class = _UnitLibrary

    def define_pipelines(self):
        return _short_pipeline(self.state)

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)
        if library is None:
            self.state.library = self.library_class(self.state.targetctx.codegen(), "unit")
            self.state.library.enable_object_caching()


class _LoopCompiler(_UnitCompiler):
    library_class = _LoopLibrary


_UNIT_FLAGS = {**_KERNEL_FLAGS, "pipeline_class": _UnitCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def kernel(function):
    """Compile an entry point, with its machine code kept on disk."""
    dispatcher = numba.njit(**_KERNEL_FLAGS, pipeline_class=_UnitCompiler)(function)
    attach_cache(dispatcher, function)
    return dispatcher


def named(name):
    """Give a function that was built by another one a name of its own, under which the cache keeps it."""

    def rename(function):
        function.__name__ = function.__qualname__ = name
        return function

    return rename


def unit_of_scalars(function, stamp):
    """As `unit`, around functions of scalars that are not ours; `stamp` tells their content, None keeps no code."""
    dispatcher = numba.njit(**{**_UNIT_FLAGS, "pipeline_class": _LoopCompiler})(function)
    if stamp is not None:
        attach_cache(dispatcher, function, stamp=f"{STAMP}-{stamp}")
    return dispatcher


def unit(function):
    """Compile a function that is called by its address, with its machine code kept on disk."""
    dispatcher = numba.njit(**_UNIT_FLAGS)(function)
    attach_cache(dispatcher, function)
    return dispatcher


def address_of(dispatcher, sig) -> int:
    """Return where the code for a signature lies: compiled, or from the disk cache, if it is not loaded yet."""
    compile_once(dispatcher, sig)
    compiled = dispatcher.overloads[sig.args]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


class _NoEnvironments:
    """Stands for numba's code generator where it would bind a function to its Python environment."""

    def set_env(self, env_name, env):
        """Do nothing: kernels raise no exceptions and hold no Python objects, so none reads its environment."""


class _PartOfAKernel(JITCodeLibrary):
    """The code of an inner function: neither optimised nor assembled, since the kernel that it becomes part of is.

    Numba would optimise and assemble every function for itself, with all that it calls, over again at each level.
    Leaving that out took the first training from 13.4 to 7.3 s of CPU (bench/NOTES.md).
    """

    codegen = _NoEnvironments()

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name):
        """Return 0, numba's "no such symbol": Python cannot call an inner function."""
        return 0


class _InnerCompiler(Compiler):
    narrows = False

    def define_pipelines(self):
        return _short_pipeline(self.state, self.narrows)

    def __init__(self, typingctx, targetctx, library, args, return_type, flags, locals):
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)
        if library is None:
            self.state.library = _PartOfAKernel(self.state.targetctx.codegen(), "inner")


_INNER_FLAGS = {**_KERNEL_FLAGS, "pipeline_class": _InnerCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function):
    """Compile a function that only kernels call; the optimiser inlines it where it is small."""
    return numba.njit(**_INNER_FLAGS)(function)


class _NarrowingCompiler(_InnerCompiler):
    narrows = True


def inlined_scalars(function):
    """Compile a function of numbers that is not ours into its callers, in the precision of its arguments."""
    return numba.njit(forceinline=True, **{**_INNER_FLAGS, "pipeline_class": _NarrowingCompiler})(function)


def inlined(function):
    """Compile a function that is always inlined: arithmetic on vector registers."""
    return numba.njit(forceinline=True, **_INNER_FLAGS)(function)
