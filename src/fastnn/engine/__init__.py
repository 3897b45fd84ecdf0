"""Python's side of a kernel call: plans, workspaces, compiled entry points, teams of threads. Nothing here computes.

Forks wait until no thread compiles or loads a kernel.

A child has one thread, and the locks as they were. If another thread held numba's, nobody in the child gives it back,
and the child's first kernel waits for ever.
"""

import os

from numba.core.compiler_lock import global_compiler_lock

_SECONDS = 60.0  # longer than any kernel compiles; after that a fork that may hang is better than none

_is_held = False


def _take() -> None:
    global _is_held
    lock = getattr(global_compiler_lock, "_lock", None)
    _is_held = lock is not None and lock.acquire(timeout=_SECONDS)


def _give_back() -> None:
    global _is_held
    if _is_held:
        _is_held = False
        global_compiler_lock._lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)
