"""A quick guard for CI: fastnn against the NumPy baseline, in this process, in turn: ``python -m bench.guard``.

It fails where fastnn is less than half as many times faster than it usually is, so that a lost vectorisation is caught
and a noisy machine is not. USUAL holds the ratios of a quiet machine; put new ones there when they rise.
"""

import sys

from bench.limits import limit_threads

USUAL = {"64-64-10/32": 6.0, "64-64-10/256": 2.0, "64-256-10/32": 3.0}


def main() -> int:
    limit_threads(1)
    from bench.crew import Crew
    from bench.measure import Settings
    from bench.worker import LocalWorker
    from bench.workloads import TRAIN

    failed = False
    with Crew(Settings(rounds=15, seconds=0.02), LocalWorker) as crew:
        for workload in TRAIN:
            if workload.name not in USUAL:
                continue
            result = crew.measure(workload, ["fastnn", "numpy"])
            if result.skipped:
                print(f"guard: {result.skipped}")
                return 2
            ratio, floor = result.median("numpy") / result.median("fastnn"), USUAL[workload.name] / 2
            verdict = "ok" if ratio >= floor else "TOO SLOW: was something no longer vectorised?"
            failed |= ratio < floor
            print(f"{workload.name}: {ratio:.2f}x NumPy (usually {USUAL[workload.name]}, at least {floor}): {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
