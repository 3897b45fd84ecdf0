"""`python -m bench images`: what issue 16 asks of convolutions, as its part of RESULTS.md and raw/images.json.

Each workload is measured on its own, which takes up to two minutes of a quiet machine, and joins those that the file
holds already: ``-k "LeNet-5/32"`` measures one. The figures of a page may so come from several runs on one machine.
"""

import json
from pathlib import Path

from bench import report
from bench.catalogue import ALL
from bench.results import Table
from bench.stacks.targets import ISSUE_16

RAW = Path(__file__).parent / "raw" / "images.json"
SECTIONS = ("convolution", "cold")


def measure(words: list[str] | None, output: Path = RAW) -> None:
    """Measure the workloads whose names hold one of the words, and put them in the place of earlier figures."""
    from bench.measure import Settings
    from bench.run import choose, run

    known = [w for w in ALL if w.section in SECTIONS and "LSTM" not in w.name]
    for workload in choose(words, known):
        add(run([workload], Settings(1)), output)


def add(found: dict, output: Path = RAW) -> None:
    """Join a document of `bench.results` with the file."""
    if output.exists():
        before = json.loads(output.read_text())
        if before["machine_info"]["cpu_model"] != found["machine_info"]["cpu_model"]:
            raise ValueError(f"{output} was measured on another machine: move it away first")
        new = {entry["group"] for entry in found["benchmarks"]}
        found["benchmarks"] = [e for e in before["benchmarks"] if e["group"] not in new] + found["benchmarks"]
        found["skipped"] = {**before.get("skipped", {}), **found.get("skipped", {})}
    output.write_text(json.dumps(found, indent=1, allow_nan=False, default=float) + "\n")


def part(table: Table) -> str:
    """What stands in RESULTS.md."""
    workloads = table.workloads("convolution")
    return "\n".join(
        [
            f"Made by `python -m bench images`, one workload after the other. {report.conditions(table)}",
            "Medians; in brackets how many times fastnn's time of the same run. sgemm is the time of the step's flops "
            "at the rate of this machine's matrix product, measured beside it; PyTorch is the better of its usual "
            "layout and channels_last. Raw: [raw/images.json](raw/images.json).\n",
            report.comparison(table, workloads, table.peers(workloads)),
            "### What issue 16 asks for\n",
            report.verdicts(ISSUE_16, table),
        ]
    )


def write_page(path: Path = RAW) -> None:
    """RESULTS.md's part from the file."""
    report.insert(report.PAGE, "images", part(Table.read(path)))
