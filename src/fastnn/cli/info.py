"""`fastnn info`: what runs here, with what, and where compiled kernels are kept."""

import argparse
import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path

from fastnn.cli.output import say

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "threadpoolctl", "rich")
EXTRA_PACKAGES = ("matplotlib", "safetensors", "onnx", "polars")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser("info", help="versions, CPU, BLAS, threads, and whether kernels are compiled")
    parser.set_defaults(run=run)


def versions_of(packages: Iterable[str]) -> str:
    """Return "numpy 2.4.6, onnx not installed"."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def cpu_name() -> str:
    """Return the processor's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def blas_libraries() -> dict[str, str]:
    """Return the BLAS that NumPy and SciPy each bring: "openblas 0.3.31 (SkylakeX), 2 threads"."""
    import numpy
    import scipy.linalg
    from threadpoolctl import threadpool_info

    found = {}
    for package in (numpy, scipy):
        # A wheel's own libraries lie beside the package, in numpy.libs and scipy.libs.
        prefix = str(Path(package.__path__[0]))
        for library in threadpool_info():
            if library["user_api"] == "blas" and library["filepath"].startswith(prefix):
                kind = f" ({library['architecture']})" if library.get("architecture") else ""
                found[package.__name__] = (
                    f"{library['internal_api']} {library['version']}{kind}, {library['num_threads']} threads"
                )
    return found


def cached_kernels() -> dict[str, list[str]]:
    """Return the dtypes for which the walks over a network lie compiled on disk and can be loaded here."""
    from numba.core.registry import cpu_target

    from fastnn.kernels.cache import KernelCache
    from fastnn.kernels.train import predict, run

    here = cpu_target.target_context.codegen().magic_tuple()
    dtypes = {}
    for dispatcher in (run, predict):
        # The folder also holds code that was compiled for other processors, when it is shared.
        kept = dispatcher._cache.kept() if isinstance(dispatcher._cache, KernelCache) else []
        found = {str(jobs[0].dtype.typeof("element")) for jobs, _, processor in kept if processor == here}
        dtypes[dispatcher.__name__] = sorted(found)
    return dtypes


def run(arguments: argparse.Namespace) -> int:
    """Print the report."""
    from llvmlite import binding

    import fastnn
    from fastnn.common.cpus import available_cpus
    from fastnn.kernels.cache import CACHE_FOLDER, STAMP

    kernels = ", ".join(f"{name} ({', '.join(dtypes)})" for name, dtypes in cached_kernels().items() if dtypes)
    blas = blas_libraries()
    rows = [
        ("fastnn", f"{fastnn.__version__} in {Path(fastnn.__file__).parent}"),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        ("packages", versions_of(PACKAGES)),
        ("extras", versions_of(EXTRA_PACKAGES)),
        ("CPU", f"{cpu_name()}, compiled for as {binding.get_host_cpu_name()}"),
        ("threads", f"as many as pay, up to {available_cpus()} (affinity, CPU quotas and OMP_NUM_THREADS count)"),
        ("NumPy's BLAS", blas.get("numpy", "not found")),
        ("SciPy's BLAS", blas.get("scipy", "not found")),
        ("", "training uses neither: fastnn's products are its own"),
        ("kernel cache", "none: no writable folder was found" if CACHE_FOLDER is None else str(CACHE_FOLDER)),
        ("kernels", f"compiled: {kernels}" if kernels else "not compiled yet: the first training does it, once"),
        ("kernel sources", STAMP),
    ]
    for name, value in rows:
        say(f"{name:<15} {value}")
    return 0
