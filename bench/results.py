"""Measurements as JSON in pytest-benchmark's layout, and back: the report reads our files and pytest-benchmark's."""

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
from pathlib import Path

from bench.measure import Measurement, quartile_range

PACKAGES = (
    "fastnn", "numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "jax", "jaxlib", "optax", "keras",
    "tensorflow", "tensorflow-cpu", "onnxruntime",
)  # fmt: skip


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        pairs = (line.split(":", 1) for line in lines[: lines.index("")] if ":" in line)
        fields = {key.strip(): value.strip() for key, value in pairs}
        family = "/".join(fields[key] for key in ("cpu family", "model", "stepping"))
        return f"{fields['model name']} (family/model/stepping {family})"
    except (OSError, KeyError, ValueError):
        return platform.processor() or platform.machine()


def machine(threads: int) -> dict:
    """What a reader needs to judge the figures; nothing that names the host, nothing that changes between two runs."""
    return {
        "cpu_model": _cpu_model(),
        "system": platform.system(),
        "release": platform.release(),
        "cpus_used": threads if hasattr(os, "sched_setaffinity") else os.cpu_count(),
        "cpus_present": os.cpu_count(),
        "threads": threads,
        "versions": versions(),
    }


def load_average() -> float | None:
    """Processes that wanted a CPU in the last minute: near 0 before a run that is worth comparing."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _statistics(samples: list[float]) -> dict:
    return {
        "min": min(samples),
        "max": max(samples),
        "mean": statistics.fmean(samples),
        "stddev": statistics.stdev(samples) if len(samples) > 1 else 0.0,
        "median": statistics.median(samples),
        "iqr": quartile_range(samples),
        "rounds": len(samples),
        "data": samples,
    }


def entries(result: Measurement) -> list[dict]:
    """pytest-benchmark's record of each peer."""
    name = result.workload.name
    return [
        {
            "group": name,
            "name": f"{result.workload.kind}[{name}-{peer}]",
            "params": {"workload": name, "peer": peer},
            "extra_info": result.extra[peer],
            "stats": _statistics(samples),
        }
        for peer, samples in result.samples.items()
    ]


def document(results: list[Measurement], threads: int, load: float | None) -> dict:
    """What is written as JSON; ``load`` is the load average from before the run."""
    return {
        "machine_info": machine(threads),
        "load_average": load,
        "datetime": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "benchmarks": [entry for result in results for entry in entries(result)],
        "skipped": {result.workload.name: result.skipped for result in results if result.skipped},
    }


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False, default=float) + "\n")


class Table:
    """A results file, looked up by workload and peer."""

    def __init__(self, document: dict):
        self.machine = document["machine_info"]
        self.datetime = document["datetime"]
        self.load = document.get("load_average")
        self.note = document.get("note", "")
        self.skipped = document.get("skipped", {})
        self.entries = {}
        for entry in document["benchmarks"]:
            extra = entry["extra_info"]
            self.entries[extra["workload"], extra["peer"]] = entry

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Of a file of ours or of pytest-benchmark's; ValueError where it is neither."""
        try:
            return cls(json.loads(path.read_text()))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not a results file: {error}") from None
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a results file of bench/ or of its pytest-benchmark: no {error}") from None

    def median(self, workload: str, peer: str = "fastnn") -> float | None:
        entry = self.entries.get((workload, peer))
        return None if entry is None else entry["stats"]["median"]

    def workloads(self, section: str) -> list[str]:
        return list(dict.fromkeys(w for (w, _), e in self.entries.items() if e["extra_info"]["section"] == section))

    def peers(self, workloads: list[str]) -> list[str]:
        return list(dict.fromkeys(p for (w, p) in self.entries if w in workloads))
