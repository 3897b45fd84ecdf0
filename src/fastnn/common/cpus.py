"""How many CPUs this process may use, and how many threads a piece of work deserves."""

import contextlib
import ctypes
import os
import time
from pathlib import Path

# The C library's question for the CPU that a thread is on; None where it or its answer's use is missing.
_sched_getcpu = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None
_CGROUPS = Path("/sys/fs/cgroup")

# Below this many multiplications and additions for each thread a further one does not pay: between two barriers, and
# over the whole of a call, which has to start and end the threads. Measured: bench/RESULTS.md.
FLOPS_A_STEP = 6e6
FLOPS_A_CALL = 1e8


def available_cpus() -> int:
    """Return how many CPUs this process may keep busy.

    Its affinity counts, the CPU quota of its control groups, and OMP_NUM_THREADS, which joblib's worker processes set
    so that together they do not ask for more than there is.

    Returns
    -------
    int
        At least 1. Half a CPU of quota counts as none: a team that waits for a throttled thread gains nothing.

    References
    ----------
    .. [1] Linux kernel documentation, "Control Group v2", section "CPU Interface Files" (cpu.max); for version 1,
           "CFS Bandwidth Control" (cpu.cfs_quota_us).

    Examples
    --------
    >>> from fastnn.common.cpus import available_cpus
    >>> available_cpus() >= 1
    True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _current_quota()
    if quota is not None:
        count = min(count, int(quota))
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # a list names the levels of nested teams
    if asked.isdecimal():
        count = min(count, int(asked))
    return max(1, count)


_QUOTA_SECONDS = 1.0  # for so long a quota counts as known: its files take 80 us to read
_known_quota: tuple[float, float | None] = (-_QUOTA_SECONDS, None)  # when it was read, and what it was


def _current_quota() -> float | None:
    global _known_quota
    read_at, quota = _known_quota
    now = time.monotonic()
    if not 0.0 <= now - read_at < _QUOTA_SECONDS:
        quota = cpu_quota()
        _known_quota = now, quota
    return quota


def cpus_beside() -> set[int]:
    """Return the CPUs that this process may use but the one that the calling thread is on.

    Threads that work beside it should keep to them. A thread that is woken begins where its waker runs, and as threads
    that wait for each other give the core away in turns, a scheduler may leave them there while other cores are idle.

    Returns
    -------
    set of int
        Empty where there is no other, or the system cannot be asked.
    """
    return set() if _sched_getcpu is None else os.sched_getaffinity(0) - {_sched_getcpu()}


def keep_to(cpus: set[int]) -> None:
    """Let the calling thread run on these CPUs only; where the set is empty, as before."""
    if cpus:
        # A CPU may have been taken away meanwhile: then the thread stays where it may be, which is only slower.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


def threads_for(flops: float, *, n_parts: int, least: float) -> int:
    """Return how many threads to cut a piece of work over.

    Parameters
    ----------
    flops : float
        Floating-point operations of the whole.
    n_parts : int
        Into how many parts it can be cut.
    least : float
        Operations that are worth a thread: `FLOPS_A_STEP` or `FLOPS_A_CALL`.

    Returns
    -------
    int
        At least 1, at most the available CPUs.

    Examples
    --------
    >>> from fastnn.common.cpus import threads_for
    >>> threads_for(1e4, n_parts=8, least=1e6)
    1
    """
    most = min(n_parts, int(flops / least))
    return max(1, min(most, available_cpus())) if most > 1 else 1


def cpu_quota(process: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> float | None:
    """Return the CPUs that control groups (the limits of containers) allow, None without a limit.

    Parameters
    ----------
    process : Path
        Names the groups of this process, a line ``number:controllers:path`` a hierarchy.
    root : Path
        Where the hierarchies are mounted.
    """
    try:
        lines = process.read_text().splitlines()
    except OSError:  # not Linux
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            quotas += [_quota_v2(folder) for folder in _upwards(root, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_quota_v1(folder) for folder in _upwards(root / "cpu", path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """The group's folder and those above it: each may limit. In a container the named ones may not be visible."""
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except OSError:
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except OSError:
        return None
    return None if quota <= 0 else quota / period
