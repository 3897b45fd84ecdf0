"""Hold a peer's process to a number of threads, before any numerical library is imported.

PyTorch, OpenBLAS, MKL, TensorFlow and numba each have a switch for their own pool; XLA's CPU client has none that it
keeps to, but sizes its pool by the CPUs the process may run on. So the process gives up the other CPUs first (on
Linux), which binds every peer alike, and the switches are set besides, so that no pool is larger than can be used.
"""

import os
import sys

POOL_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
NUMERICAL = ("numpy", "scipy", "numba", "torch", "jax", "tensorflow", "onnxruntime")


def check_threads(threads: int) -> None:
    """Raise ValueError where there are not that many CPUs."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 1 <= threads <= cpus:
        raise ValueError(f"threads={threads}, but this process may use {cpus} CPU{'s'[: cpus > 1]}")


def limit_threads(threads: int) -> None:
    """Let this process, and the processes it starts, use ``threads`` CPUs and as many threads a pool."""
    early = [name for name in NUMERICAL if name in sys.modules]
    if early:
        raise RuntimeError(f"limit_threads must come before the import of {', '.join(early)}")
    check_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-threads:])  # the last ones: interrupts tend to land on the first
    for name in POOL_VARIABLES:
        os.environ[name] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
