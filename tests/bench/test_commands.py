"""python -m bench: its commands, the results files that it reads, and the one page that it writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report
from bench.__main__ import main
from bench.catalogue import ALL
from bench.measure import Measurement
from bench.results import Table, document, write
from bench.subjects import SUBJECTS, add

BENCH = Path(__file__).parents[2] / "bench"
WORKLOAD = next(workload for workload in ALL if workload.name == "64-64-10/32")


def saved(path, seconds, **changes):
    """A results file with samples of fastnn and NumPy on one workload."""
    samples = {"fastnn": seconds, "numpy": [6e-5, 6e-5, 6e-5]}
    extra = {
        peer: {"workload": WORKLOAD.name, "peer": peer, "kind": "train", "section": "core", "threads": 1}
        for peer in samples
    }
    content = document([Measurement(WORKLOAD, 1, samples, {"jax": "jax not installed"}, extra)], 1, 0.25)
    content["machine_info"] |= changes
    write(path, content)
    return path


def test_two_files_are_compared(tmp_path, capsys):
    old = saved(tmp_path / "old.json", [10e-6, 10.1e-6, 9.9e-6])
    new = saved(tmp_path / "new.json", [13e-6, 13.1e-6, 12.9e-6])
    assert main(["compare", str(old), str(new)]) == 0
    printed = capsys.readouterr().out
    assert "| 64-64-10/32, fastnn | 10 µs | 13 µs | 1.300 |  |" in printed
    assert "| 64-64-10/32, numpy | 60 µs | 60 µs | 1.000 | within the spread |" in printed
    assert "Not the same" not in printed
    assert main(["compare", str(old), str(new), "--fail", "1.2"]) == 1
    assert main(["compare", str(old), str(new), "--fail", "1.4"]) == 0
    assert main(["compare", str(old), str(new), "--fail", "1.2", "-p", "numpy"]) == 0


def test_differences_within_the_spread_fail_nothing(tmp_path):
    old = saved(tmp_path / "old.json", [8e-6, 10e-6, 14e-6])
    new = saved(tmp_path / "new.json", [8e-6, 11e-6, 14e-6])
    assert main(["compare", str(old), str(new), "--fail", "1.01"]) == 0


def test_another_machine_is_told(tmp_path, capsys):
    old = saved(tmp_path / "old.json", [1e-5], cpu_model="another")
    assert main(["compare", str(old), str(saved(tmp_path / "new.json", [1e-5]))]) == 0
    assert "Not the same processor: another before" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "[]", '{"benchmarks": []}', '{"machine_info": {}, "datetime": "", "benchmarks": [{}]}']
)
def test_what_is_no_results_file_is_named(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"python -m bench compare: .*other\.json: not a results file"):
        main(["compare", str(path)])
    with pytest.raises(SystemExit, match=r"missing\.json: not a results file"):
        main(["compare", str(tmp_path / "missing.json")])


def test_numbers_of_threads_are_checked():
    with pytest.raises(SystemExit, match="python -m bench quick: threads=0, but this process may use"):
        main(["quick", "--threads", "0"])


def test_a_part_of_a_run_does_not_replace_the_whole():
    with pytest.raises(SystemExit, match="needs -o FILE"):
        main(["all", "-k", "64-64-10/32"])


def test_quick_measures_and_prints_a_table(tmp_path, capsys):
    assert main(["quick", "-k", "loss and gradient", "-p", "numpy", "-o", str(tmp_path / "out.json")]) == 0
    assert re.search(r"\| 24-8-2 loss and gradient \| [\d.]+ µs \|", capsys.readouterr().out)
    table = Table.read(tmp_path / "out.json")
    assert list(table.entries) == [("24-8-2 loss and gradient", "numpy")]


def test_the_check_of_ci_runs():
    """In a new process, which it holds to a CPU, and without its measurements, which take time."""
    code = "from bench import __main__; __main__.USUAL.clear(); print(__main__.main(['quick', '--check']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=BENCH.parent, capture_output=True, text=True)
    assert done.stdout == "0\n", done.stderr
    assert "python -m bench quick --check" in (BENCH.parent / ".ci" / "run").read_text()


def test_the_committed_results_are_the_page():
    """The raw file reads, names workloads that exist, and the page's part was written from it."""
    table = Table.read(report.ONE_THREAD)
    assert {workload for workload, _ in table.entries} <= {workload.name for workload in ALL}
    part = report.one_thread_part(table, "results.svg")
    shown = report.PAGE.read_text(encoding="utf-8")
    for name in ("one-thread", "scores", "threads", "searches"):
        assert shown.count(f"<!-- {name}:begin -->") == shown.count(f"<!-- {name}:end -->") == 1
    between = shown.split("<!-- one-thread:begin -->\n")[1].split("<!-- one-thread:end -->")[0]
    # What issues ask for changes with the code, without a new run.
    assert between.split("### What issue")[0] == part.split("### What issue")[0]


def test_a_page_without_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Results\n<!-- one-thread:begin -->\n")
    with pytest.raises(ValueError, match="must have <!-- one-thread:begin --> and <!-- one-thread:end --> once each"):
        report.insert(page, "one-thread", "text\n")
    page.write_text("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n")
    report.insert(page, "x", "new\n")
    assert page.read_text() == "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nb\n"


def test_raw_files_name_no_host():
    for path in (BENCH / "raw").glob("*.json"):
        assert json.loads(path.read_text()).get("machine_info", {}).get("node", "") == ""


def test_modules_are_short():
    long = {path.name: n for path in BENCH.rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert long == {}


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_has_a_row_for_all_that_its_issue_asks(name):
    subject = SUBJECTS[name]
    samples = {
        (workload.name, peer): {"extra_info": {"workload": workload.name, "peer": peer}, "stats": {"median": 1.0}}
        for workload in subject.workloads
        for peer in workload.peers
    }
    table = Table({"machine_info": {}, "datetime": "", "benchmarks": list(samples.values())})
    assert [target.text for target in subject.wanted if target.verdict(table)[0] is None] == []
    shown = report.PAGE.read_text(encoding="utf-8")
    assert shown.count(f"<!-- {name}:begin -->") == shown.count(f"<!-- {name}:end -->") == 1


def test_figures_of_a_subject_join_those_before(tmp_path):
    """Each workload in the place of its earlier figures; the page says when the last was and the highest load."""
    raw, images = tmp_path / "images.json", SUBJECTS["images"]
    lenet, larger = images.workloads[:2]

    def measured(workload, seconds, load, threads=1):
        extra = {"workload": workload.name, "section": workload.section, "threads": threads}
        extras = {"fastnn": extra | {"peer": "fastnn"}, "sgemm": extra | {"peer": "sgemm", "flops": 1}}
        add(
            document([Measurement(workload, threads, {peer: [seconds] for peer in extras}, {}, extras)], threads, load),
            raw,
        )

    measured(lenet, 1.0, 0.25)
    measured(larger, 2.0, 4.0, threads=2)
    measured(lenet, 3.0, 0.5)
    table = Table.read(raw)
    assert (table.median(lenet.name), table.median(larger.name), table.load) == (3.0, 2.0, 4.0)
    part = images.part(table)
    assert f"| {lenet.name} | 3 s | 3 s (1x) |" in part
    assert "1 thread on 1 of" in part
    assert "load average 4.00" in part
    assert f"| {larger.name} on two threads against fastnn-one |  | ≥ 1.7 | ≥ 1.9 | not measured |" in part
    raw.write_text(raw.read_text().replace(document([], 1, 0)["machine_info"]["cpu_model"], "another"))
    with pytest.raises(ValueError, match="was measured on another machine"):
        measured(lenet, 1.0, 0.25)


def test_a_subject_without_such_a_workload():
    with pytest.raises(SystemExit, match=r"python -m bench images: no workload of images has tables: LeNet-5/32, "):
        main(["images", "-k", "tables"])
