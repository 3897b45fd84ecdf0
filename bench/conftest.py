"""pytest-benchmark on top of crew.py: a workload is measured once, all its peers in turn; its tests then report it.

pytest-benchmark would run one test's rounds after the other's, minutes apart. So the first test of a workload measures
all peers of that workload that this session has collected, and every test replays its own samples into the
``benchmark`` fixture through a clock that moves only when told to. The JSON file is pytest-benchmark's own.
"""

import pytest

from bench.limits import limit_threads
from bench.replay import CLOCK


def pytest_addoption(parser):
    group = parser.getgroup("fastnn benchmarks")
    group.addoption("--bench-threads", type=int, default=1, help="CPUs and threads that every peer may use")
    group.addoption("--bench-quick", action="store_true", help="few short rounds: to see whether it runs")


def pytest_configure(config):
    limit_threads(config.getoption("--bench-threads"))


def pytest_ignore_collect(collection_path):
    """With --doctest-modules pytest would import every peer into this process."""
    return True if collection_path.suffix == ".py" and not collection_path.name.startswith("test_") else None


def pytest_benchmark_update_machine_info(config, machine_info):
    from bench.results import machine

    machine_info.update(machine(config.getoption("--bench-threads")))
    machine_info["node"] = ""  # the report names no host


@pytest.fixture(scope="session")
def crew(pytestconfig):
    from bench.crew import Crew
    from bench.measure import QUICK, Settings

    quick = QUICK if pytestconfig.getoption("--bench-quick") else {}
    with Crew(Settings(threads=pytestconfig.getoption("--bench-threads"), **quick)) as crew:
        yield crew


@pytest.fixture(scope="session")
def measured(crew, request):
    """measured(workload) -> Measurement, made on first use, with every peer that has a test in this session."""
    done = {}

    def measure(workload):
        if workload.name not in done:
            parameters = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
            peers = [p["peer"] for p in parameters if p.get("workload") == workload and "peer" in p]
            done[workload.name] = crew.measure(workload, list(dict.fromkeys(peers)))
        return done[workload.name]

    return measure


@pytest.fixture
def report(benchmark, measured):
    """report(workload, peer): hand that peer's samples of that workload to pytest-benchmark, or skip by name."""

    def run(workload, peer):
        result = measured(workload)
        if peer in result.skipped:
            stop = pytest.fail if result.skipped[peer].startswith("FAILED") else pytest.skip
            stop(f"{peer}: {result.skipped[peer]}")
        samples = iter(result.samples[peer])
        benchmark.group = workload.name
        benchmark.extra_info.update(result.extra[peer])

        def replay():
            CLOCK.now += next(samples)

        benchmark.pedantic(replay, rounds=len(result.samples[peer]), iterations=1)

    return run
