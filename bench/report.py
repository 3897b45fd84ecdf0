"""Turn results (ours or pytest-benchmark's JSON) into Markdown and a chart: ``python -m bench.report [results.json]``.

Writes bench/RESULTS.md and bench/results.svg; with ``--readme README.md`` also the short table between that file's
lines ``<!-- bench:begin -->`` and ``<!-- bench:end -->``. Every figure comes from the one file that is named, but for
those of several threads, which are those of bench/threads.json (`bench.threads` makes it).
"""

import argparse
import sys
from pathlib import Path

from bench.peers import PEERS
from bench.results import Table
from bench.targets import ISSUE_7, TARGETS, Target

HERE = Path(__file__).parent
THREADS = HERE / "threads.json"
SECTIONS = {
    "core": "Training, time per step",
    "width": "Training 10-w-w-10 at 128 rows, time per step",
    "activation": "Every hidden activation, 64-64-10 at 32 rows, time per step",
    "optimizer": "Every optimizer, 64-64-10 at 32 rows, time per step",
    "layer": "Extra layers behind each hidden layer, 64-64-10 at 32 rows, time per step",
    "feature": "One feature of training at a time, Adam, 64-64-10 at 32 rows, time per step",
    "gradient": "Loss and gradient, called from Python",
    "predict": "Prediction, called from Python",
    "fit": "Whole fits",
    "epoch": "An epoch of one tiny step, and what callbacks add",
    "estimator": "MLPClassifier (fit: time per epoch; predict: per call)",
    "cold": "Cold start: a fresh process each time",
    "memory": "Peak memory of a fit beyond its data (784-512-512-10, batch 128, 20,000 rows)",
}


def format_value(value: float, unit: str = "s") -> str:
    """Three significant digits and a readable unit."""
    if unit == "bytes":
        return f"{value * 1e-6:.3g} MB"
    scale, name = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
    scaled = value * scale
    return f"{scaled:.0f} {name}" if scaled >= 100 else f"{scaled:.3g} {name}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def conditions(table: Table) -> str:
    """Machine and versions, in a paragraph."""
    machine = table.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    threads = machine["threads"]
    return (
        f"{machine['cpu_model']}, {machine['system']}; {threads} thread{'s'[: threads > 1]} on "
        f"{machine['cpus_used']} of {machine['cpus_present']} CPUs; {table.datetime}; {versions}.\n"
    )


def comparison(table: Table, workloads: list[str], peers: list[str]) -> str:
    """Workloads down, peers across: medians, and how many times fastnn's."""
    rows = []
    for workload in workloads:
        row = [workload]
        own = table.median(workload, "fastnn")
        for peer in peers:
            median = table.median(workload, peer)
            if median is None:
                row.append("")
                continue
            unit = table.entries[workload, peer]["extra_info"].get("unit", "s")
            times = f" ({median / own:.3g}x)" if own and peer != "fastnn" else ""
            row.append(format_value(median, unit) + times)
        rows.append(row)
    return markdown(["", *(PEERS[peer].title for peer in peers)], rows)


def details(table: Table) -> str:
    """Every entry: median, spread and distance to the limit."""
    rows = []
    for (workload, peer), entry in table.entries.items():
        stats, extra = entry["stats"], entry["extra_info"]
        unit = extra.get("unit", "s")
        rows.append(
            [
                workload,
                PEERS[peer].title,
                format_value(stats["median"], unit),
                f"{100 * stats['iqr'] / stats['median']:.1f} %",
                format_value(stats["min"], unit),
                str(stats["rounds"]),
                f"{extra['over_gemm']:.2f}" if "over_gemm" in extra else "",
                f"{extra['gflops']:.1f} ({100 * extra['share_of_peak']:.0f} %)" if "gflops" in extra else "",
                str(extra.get("method", extra.get("epochs_to_goal", ""))),
            ]
        )
    return markdown(
        ["workload", "peer", "median", "IQR", "minimum", "rounds", "over GEMM", "GFLOP/s (of peak)", "remark"], rows
    )


def targets(table: Table) -> str:
    """What the issues ask for, and what was measured."""
    return "\n".join(f"### Issue {issue}\n\n" + verdicts(wanted, table) for issue, wanted in TARGETS.items())


def verdicts(wanted: list[Target], table: Table) -> str:
    rows = []
    for target in wanted:
        value, verdict = target.verdict(table)
        sign = "≥" if target.more else "≤"
        shown = "" if value is None else f"{value:.3g} {target.unit}"
        rows.append([target.text, shown, f"{sign} {target.must:g}", f"{sign} {target.aim:g}", verdict])
    return markdown(["", "measured", "must", "aim", "reached"], rows)


def thread_targets(path: Path) -> str:
    """The same of several threads, which another program measures, perhaps on another machine."""
    if not path.exists():
        return "Not measured: `python -m bench.threads --write`.\n"
    table = Table.read(path)
    return f"{verdicts(ISSUE_7, table)}\nFrom [THREADS.md](THREADS.md): {conditions(table)}"


def results_page(table: Table, chart: str | None, note: str = "") -> str:
    """The whole of RESULTS.md."""
    parts = ["# Results\n", "Made by `python -m bench.report`; do not edit. " + conditions(table)]
    parts.append(
        "Medians; in brackets how many times fastnn's time of the same run. Peers are explained in "
        "[README.md](README.md). Several threads, and PyTorch and JAX with as many: [THREADS.md](THREADS.md); searches "
        "in threads: [SEARCHES.md](SEARCHES.md).\n"
    )
    if note:
        parts.append(f"**{note}**\n")
    if chart:
        parts.append(f"![time per training step of all peers]({chart})\n")
    for section, title in SECTIONS.items():
        workloads = table.workloads(section)
        if workloads:
            parts += [f"## {title}\n", comparison(table, workloads, table.peers(workloads))]
    parts += ["## What the issues ask for\n", targets(table), "### Issue 7\n"]
    parts += [f"<!-- threads:begin -->\n{thread_targets(THREADS)}<!-- threads:end -->\n"]
    parts += ["## Medians and spread\n", details(table)]
    if blas := {e["extra_info"]["blas"] for e in table.entries.values() if "blas" in e["extra_info"]}:
        parts.append("Bare GEMM is " + "; ".join(sorted(blas)) + ".\n")
    if table.skipped:
        reasons = sorted({f"{PEERS[p].title}: {why}" for skip in table.skipped.values() for p, why in skip.items()})
        parts.append("Skipped: " + "; ".join(reasons) + ".\n")
    return "\n".join(parts)


def readme_part(table: Table, note: str = "") -> str:
    workloads = table.workloads("core")
    remark = f"{note} " if note else ""
    return comparison(table, workloads, table.peers(workloads)) + "\n" + remark + "Medians. " + conditions(table)


def insert(path: Path, name: str, text: str) -> None:
    """Renew what stands between a Markdown file's marks of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text()
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no lines {begin} and {end}")
    before, after = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}{end}{after}")


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="?", type=Path, default=HERE / "results.json")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--chart", type=Path, default=HERE / "results.svg")
    parser.add_argument("--readme", type=Path, help="a Markdown file whose short table is renewed")
    parser.add_argument("--note", default="", help="a sentence on how the run was disturbed, if it was")
    arguments = parser.parse_args(argv)
    table = Table.read(arguments.results)
    try:
        from bench.chart import draw
    except ImportError:
        print("matplotlib is not installed: no chart")
        chart = None
    else:
        draw(table, arguments.chart)
        chart = arguments.chart.name
    arguments.output.write_text(results_page(table, chart, arguments.note))
    if arguments.readme:
        insert(arguments.readme, "bench", readme_part(table, arguments.note))
    return 0


if __name__ == "__main__":
    sys.exit(main())
