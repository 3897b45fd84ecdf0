"""Measure workloads in their peers and print them; the JSON file grows with each, so that an interrupt loses little."""

import time
from pathlib import Path

from bench import results
from bench.catalogue import ALL
from bench.crew import Crew
from bench.measure import Measurement, Settings, quartile_range
from bench.workloads import Workload


def choose(words: list[str] | None, workloads: list[Workload] = ALL) -> list[Workload]:
    """Those whose name, kind or section contains one of the words; all of them without words."""
    return [w for w in workloads if any(word in f"{w.name} {w.kind} {w.section}" for word in words or [""])]


def show(result: Measurement, started: float) -> None:
    """Print it; ``started`` is time.perf_counter() when the run began."""
    print(f"{result.workload.name}  [{time.perf_counter() - started:.0f} s]")
    for peer, samples in result.samples.items():
        unit, scale = ("MB", 1e-6) if result.workload.kind == "memory" else ("us", 1e6)
        spread = quartile_range(samples) * scale
        print(f"    {peer:14} {result.median(peer) * scale:12.1f} {unit}  (IQR {spread:.1f})", flush=True)
    for peer, reason in result.skipped.items():
        print(f"    {peer:14} skipped: {reason}", flush=True)


def run(
    workloads: list[Workload], settings: Settings, peers: list[str] | None = None, output: Path | None = None
) -> dict:
    """Measure all of them, in those of ``peers`` that each names, and return the document of results.document."""
    measured, started, load = [], time.perf_counter(), results.load_average()
    found = results.document(measured, settings.threads, load)
    with Crew(settings) as crew:
        for workload in workloads:
            chosen = [p for p in workload.peers if not peers or p in peers]
            if not chosen:
                continue
            measured.append(crew.measure(workload, chosen))
            show(measured[-1], started)
            found = results.document(measured, settings.threads, load)
            if output:
                results.write(output, found)
    print(f"{len(measured)} workloads in {time.perf_counter() - started:.0f} s")
    return found
