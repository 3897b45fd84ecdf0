"""Measure everything and write one JSON file: ``python -m bench.run [--quick] [--threads N] [-k WORD] [-p PEER]``.

Needs no pytest. Peers that are not installed are skipped by name. See README.md.
"""

import argparse
import sys
import time
from pathlib import Path

from bench import results
from bench.crew import Crew
from bench.limits import check_threads
from bench.measure import QUICK, Settings, quartile_range
from bench.workloads import ALL

HERE = Path(__file__).parent


def _arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results.json")
    parser.add_argument("--threads", type=int, default=1, help="CPUs and threads that every peer may use (default 1)")
    parser.add_argument(
        "-k", "--keyword", action="append", help="only workloads whose name, kind or section contains it"
    )
    parser.add_argument("-p", "--peer", action="append", help="only these peers; may be repeated")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to see whether it runs, not to compare")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    arguments = _arguments(argv)
    check_threads(arguments.threads)
    load = results.load_average()
    settings = Settings(threads=arguments.threads, **(QUICK if arguments.quick else {}))
    words = arguments.keyword or [""]
    chosen = [w for w in ALL if any(word in f"{w.name} {w.kind} {w.section}" for word in words)]
    measured, started = [], time.perf_counter()
    with Crew(settings) as crew:
        for workload in chosen:
            peers = [p for p in workload.peers if not arguments.peer or p in arguments.peer]
            if not peers:
                continue
            result = crew.measure(workload, peers)
            measured.append(result)
            print(f"{workload.name}  [{time.perf_counter() - started:.0f} s]")
            for peer, samples in result.samples.items():
                unit, scale = ("MB", 1e-6) if workload.kind == "memory" else ("us", 1e6)
                spread = quartile_range(samples) * scale
                print(f"    {peer:14} {result.median(peer) * scale:12.1f} {unit}  (IQR {spread:.1f})", flush=True)
            for peer, reason in result.skipped.items():
                print(f"    {peer:14} skipped: {reason}")
            results.write(arguments.output, measured, arguments.threads, load)  # so that an interrupt loses little
    print(f"{arguments.output}: {len(measured)} workloads in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
