"""How many CPUs this process may use, and how many threads a piece of work deserves."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """Return how many CPUs this process may keep busy: its affinity, and the CPU quota of its control groups.

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
    >>> from fastnn.cpus import available_cpus
    >>> available_cpus() >= 1
    True
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return count if quota is None else max(1, min(count, int(quota)))


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
