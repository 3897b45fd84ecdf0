"""pytest-benchmark on top of crew.py: a workload is measured once, all its peers in turn; its tests then report it.

pytest-benchmark would run one test's rounds after the other's, minutes apart. So the first test of a workload measures
all peers of that workload that this session has collected, and every test replays its own samples into the
``benchmark`` fixture through a clock that moves only when told to. Saving, comparing, grouping, sorting, histograms and
the JSON file are pytest-benchmark's own; what it would time, warm up or calibrate itself is replaced (see REPLACED).
"""

import pytest

from bench.limits import check_threads
from bench.replay import CLOCK

# Options of pytest-benchmark that say how to time: the turns of measure.py stand in their place.
REPLACED = (
    "min-time", "max-time", "min-rounds", "timer", "calibration-precision", "warmup", "warmup-iterations", "precision",
    "confidence", "disable-gc", "cprofile", "cprofile-loops", "cprofile-top", "cprofile-dump",
)  # fmt: skip


def pytest_addoption(parser):
    group = parser.getgroup("fastnn benchmarks")
    group.addoption("--bench-threads", type=int, default=1, help="CPUs and threads that every peer may use")
    group.addoption(
        "--bench-rounds", type=int, default=None, help="turns of each peer (default: 9; less for long ones)"
    )
    group.addoption("--bench-seconds", type=float, default=None, help="least time of a turn (default: 0.05)")
    group.addoption("--bench-quick", action="store_true", help="few short turns: to see whether it runs")


def pytest_configure(config):
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError(
            "bench/ needs pytest-benchmark: pip install -e '.[test]', or python3 run.py pytest bench"
        )
    try:
        check_threads(config.getoption("--bench-threads"))
    except ValueError as error:
        raise pytest.UsageError(f"--bench-{error}") from None


def _without_effect(config) -> list[str]:
    """The options of this call that have no effect here."""
    given = {str(argument).partition("=")[0] for argument in config.invocation_params.args}
    return [f"--benchmark-{name}" for name in REPLACED if f"--benchmark-{name}" in given]


def pytest_report_header(config):
    lines = ["bench: peers take turns; --bench-rounds, --bench-seconds, --bench-threads and --bench-quick say how"]
    if ignored := _without_effect(config):
        lines.append(f"bench: no effect on what is measured in turns: {', '.join(ignored)}")
    return lines


def pytest_ignore_collect(collection_path):
    """With --doctest-modules pytest would import every peer into this process."""
    return True if collection_path.suffix == ".py" and not collection_path.name.startswith("test_") else None


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    from bench.results import machine

    machine_info.update(machine(config.getoption("--bench-threads")))
    machine_info["node"] = ""  # the report names no host
    for changing in ("hz_actual", "hz_actual_friendly"):  # or no two runs would be of the same machine
        machine_info.get("cpu", {}).pop(changing, None)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(output_json):
    from bench.results import load_average

    output_json["load_average"] = load_average()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_benchmark_scale_unit(unit, benchmarks):
    """Memory is measured in bytes; pytest-benchmark's table would call them seconds."""
    if unit == "seconds" and all(b.get("extra_info", {}).get("unit") == "bytes" for b in benchmarks):
        return "MB, not ", 1e-6
    return None


def _settings(config):
    from bench.measure import ONCE, QUICK, Settings

    options = {}
    if config.getoption("--bench-quick"):
        options |= QUICK
    if (rounds := config.getoption("--bench-rounds")) is not None:
        options |= dict.fromkeys(("rounds", "slow_rounds", "process_rounds"), rounds)
    if (seconds := config.getoption("--bench-seconds")) is not None:
        options["seconds"] = seconds
    if config._benchmarksession.disabled:
        options |= ONCE
    return Settings(threads=config.getoption("--bench-threads"), **options)


@pytest.fixture(scope="session")
def crew(pytestconfig):
    from bench.crew import Crew

    with Crew(_settings(pytestconfig)) as crew:
        yield crew


@pytest.fixture(scope="session")
def measured(crew, request):
    """measured(workload, peer) -> Measurement, made on first use, with every peer that has a test in this session."""
    done = {}

    def measure(workload, peer):
        if request.config._benchmarksession.disabled:  # nothing to compare
            return crew.measure(workload, [peer])
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
        result = measured(workload, peer)
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
