"""bench/ under pytest-benchmark: the options that its users know work, and those that do nothing are named."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pytest_benchmark")
ROOT = Path(__file__).parents[2]
# One workload of one peer that compiles nothing.
CASE = ("bench/test_train_step.py", "-k", "gradient and numpy", "--bench-quick")


def call_pytest(*arguments):
    """Run pytest in a new process, in the repository's root, without what the calling session was given."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_results_are_saved_and_compared(tmp_path):
    storage = f"--benchmark-storage={tmp_path / 'storage'}"
    case = (*CASE, "--benchmark-only", storage)
    first = call_pytest(*case, "--benchmark-save=base", f"--benchmark-json={tmp_path / 'a.json'}")
    assert first.returncode == 0, first.stdout + first.stderr
    document = json.loads((tmp_path / "a.json").read_text())
    (entry,) = document["benchmarks"]
    assert entry["name"] == "test_train_step[24-8-2 loss and gradient-numpy]"
    assert entry["stats"]["rounds"] == len(entry["stats"]["data"]) == 3
    assert entry["stats"]["median"] == pytest.approx(entry["extra_info"]["seconds"])
    assert document["machine_info"]["node"] == ""
    assert document["load_average"] >= 0

    second = call_pytest(*case, "--benchmark-compare", "--benchmark-max-time=1")
    assert second.returncode == 0, second.stdout + second.stderr
    assert set(re.findall(r"gradient-numpy\] \((\w+)\)", second.stdout)) == {"0001_base", "NOW"}
    assert "machine_info is different" not in second.stdout + second.stderr
    assert "no effect on what is measured in turns: --benchmark-max-time\n" in second.stdout


def test_the_command_in_the_readme_finds_both_peers():
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if "run.py pytest bench" in line)
    assert line.startswith("python3 run.py pytest bench --benchmark-only ")
    done = call_pytest(*shlex.split(line)[3:], "--collect-only", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {match[1] for match in re.finditer(r"-(\w+)\]$", done.stdout, re.MULTILINE)}
    assert found == {"fastnn", "numpy"}


def test_tests_and_benchmarks_in_one_call():
    """The tests have imported NumPy long before: only the peers' processes are held to a CPU."""
    words = "gradient and numpy or test_pages_are_found"
    done = call_pytest("tests/test_docs.py", CASE[0], "-k", words, "--benchmark-disable", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bench-threads=0",), "--bench-threads=0, but this process may use"),
        (("-p", "no:benchmark"), "bench/ needs pytest-benchmark"),
    ],
)
def test_what_cannot_run_is_told(arguments, message):
    done = call_pytest("bench", "--collect-only", *arguments)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
