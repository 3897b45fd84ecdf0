"""`python -m bench images` and `sequences`: what issues 16 and 17 ask for, as their parts of RESULTS.md and raw files.

Each workload takes up to a minute of a quiet machine, and its figures join those that the file holds already as soon
as they are there: an interrupt loses one workload, and ``-k "LeNet-5/32"`` measures one. So the figures of a part may
come from several runs on one machine; it says when the last was, and what the highest load before any of them was.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from bench import report, results
from bench.results import Table
from bench.stacks.targets import TARGETS
from bench.stacks.workloads import COLD, CONVOLUTION, RECURRENT, THREADED, Stack
from bench.targets import Target


@dataclass(frozen=True)
class Subject:
    """A part of RESULTS.md with a command and a raw file of its own."""

    name: str
    workloads: tuple[Stack, ...]  # on as many threads as each says
    wanted: list[Target]
    remark: str

    @property
    def raw(self) -> Path:
        return Path(__file__).parent / "raw" / f"{self.name}.json"

    def measure(self, words: list[str] | None = None, peers: list[str] | None = None, output: Path | None = None):
        """Measure the workloads whose names hold one of the words, and put them in the place of earlier figures.

        With ``peers`` and without ``output`` nothing is kept: it would tear apart what took turns.
        """
        import time

        from bench.crew import Crew
        from bench.measure import Settings
        from bench.run import choose, show

        chosen, load = choose(words, list(self.workloads)), results.load_average()
        started = time.perf_counter()
        if not chosen:
            raise ValueError(f"no workload of {self.name} has {' or '.join(words or [])}: {_names(self.workloads)}")
        for threads in sorted({workload.threads for workload in chosen}):
            with Crew(Settings(threads)) as crew:
                for workload in chosen:
                    if workload.threads == threads:
                        measured = crew.measure(workload, [p for p in workload.peers if not peers or p in peers])
                        show(measured, started)
                        if output or not peers:
                            add(results.document([measured], threads, load), output or self.raw)
        if not output and not peers:
            self.write_page()

    def part(self, table: Table) -> str:
        """What stands in RESULTS.md."""
        names = [workload.name for workload in self.workloads]
        by_steps = [name for name in names if (name, "sgemm") in table.entries]
        others = [name for name in names if (name, "fastnn") in table.entries and name not in by_steps]
        return "\n".join(
            [
                f"Made by `python -m bench {self.name}`. {report.conditions(table)}",
                "Medians; in brackets how many times fastnn's time of the same run. sgemm is the time of the flops at "
                f"the rate of this machine's matrix product, measured beside it; {self.remark} "
                f"Raw: [raw/{self.name}.json](raw/{self.name}.json).\n",
                report.comparison(table, by_steps, table.peers(by_steps)),
                report.comparison(table, others, table.peers(others)) if others else "",
                f"### What the issue on {self.name} asks for\n",
                report.verdicts(self.wanted, table),
            ]
        )

    def write_page(self) -> None:
        """RESULTS.md's part from the file."""
        report.insert(report.PAGE, self.name, self.part(Table.read(self.raw)))


def add(found: dict, output: Path) -> None:
    """Join a document of `bench.results` with the file."""
    for entry in found["benchmarks"]:
        entry["extra_info"] |= {"load_average": found["load_average"], "datetime": found["datetime"]}
    if output.exists():
        before = json.loads(output.read_text())
        if before["machine_info"]["cpu_model"] != found["machine_info"]["cpu_model"]:
            raise ValueError(f"{output} was measured on another machine: move it away first")
        new = {entry["group"] for entry in found["benchmarks"]}
        found["benchmarks"] = [e for e in before["benchmarks"] if e["group"] not in new] + found["benchmarks"]
        found["skipped"] = {**before.get("skipped", {}), **found.get("skipped", {})}
    threads = {entry["extra_info"]["threads"] for entry in found["benchmarks"]}
    found["machine_info"] |= dict.fromkeys(("threads", "cpus_used"), min(threads, default=1))
    found["load_average"] = max((e["extra_info"].get("load_average") or 0 for e in found["benchmarks"]), default=0)
    results.write(output, found)


def _names(workloads) -> str:
    return ", ".join(workload.name for workload in workloads)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("images", (*CONVOLUTION, THREADED[0], COLD[0]), TARGETS[16],
                "PyTorch is the better of its usual layout and channels_last."),
        Subject("sequences", (*RECURRENT, THREADED[1], COLD[1]), TARGETS[17],
                "PyTorch is the better of batch and time first, JAX of an epoch in one scan and a step a call."),
    )
}  # fmt: skip
