"""Two results files side by side, or one beside what this machine measures now."""

from bench.report import format_value, markdown
from bench.results import Table


def pairs(before: Table, after: Table, peers: list[str]) -> list[tuple[str, str, float, float, bool]]:
    """(workload, peer, median before, median after, do the middle halves of the samples lie apart?)."""
    found = []
    for (workload, peer), old in before.entries.items():
        new = after.entries.get((workload, peer))
        if new is None or (peers and peer not in peers):
            continue
        a, b = old["stats"], new["stats"]
        apart = abs(b["median"] - a["median"]) > (a.get("iqr", 0.0) + b.get("iqr", 0.0)) / 2
        found.append((workload, peer, a["median"], b["median"], apart))
    return found


def machines_differ(before: Table, after: Table) -> str:
    """A sentence where the files come from different machines or numbers of threads, or nothing."""
    for key, what in (("cpu_model", "processor"), ("threads", "number of threads")):
        old, new = before.machine.get(key), after.machine.get(key)
        if old != new:
            return f"Not the same {what}: {old} before, {new} after; the ratios say little about the code."
    return ""


def report(before: Table, after: Table, peers: list[str]) -> tuple[str, float]:
    """Markdown, and the largest ratio among rows whose samples lie apart (1 without any)."""
    rows, worst = [], 1.0
    for workload, peer, old, new, apart in pairs(before, after, peers):
        unit = before.entries[workload, peer]["extra_info"].get("unit", "s")
        times = [format_value(old, unit), format_value(new, unit), f"{new / old:.3f}"]
        rows.append([f"{workload}, {peer}", *times, "" if apart else "within the spread"])
        if apart:
            worst = max(worst, new / old)
    return markdown(["", "before", "after", "ratio", ""], rows), worst
