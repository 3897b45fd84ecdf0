"""Turn results (ours or pytest-benchmark's JSON) into Markdown.

RESULTS.md is one page of parts, each between marks of its name and written by the command that measured it, from one
JSON file under bench/raw/. README.md has a part of the same kind.
"""

from pathlib import Path

from bench.peers import PEERS
from bench.results import Table
from bench.stacks.targets import TARGETS as STACK_TARGETS
from bench.targets import TARGETS, Target

HERE = Path(__file__).parent
PAGE = HERE / "RESULTS.md"
README = HERE.parent / "README.md"
ONE_THREAD, THREADS = HERE / "raw" / "one-thread.json", HERE / "raw" / "threads.json"
GANS = HERE / "raw" / "gans.json"
NOT_IN_README = ("keras-fit", "tensorflow")  # other ways to use Keras: RESULTS.md has them
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
    "convolution": "Convolutions, time per training step with Adam, or per prediction",
    "recurrent": "Recurrence and embeddings, time per training step with Adam",
    "gan": "GANs, time per step of both networks",
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
    load = "" if table.load is None else f"load average {table.load:.2f} at the start; "
    note = f" **{table.note}**" if table.note else ""
    return (
        f"{machine['cpu_model']}, {machine['system']}; {threads} thread{'s'[: threads > 1]} on "
        f"{machine['cpus_used']} of {machine['cpus_present']} CPUs; {load}{table.datetime}; {versions}.{note}\n"
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
            if peer == "sgemm" and not table.entries[workload, peer]["extra_info"]["flops"]:
                row.append("none")
                continue
            unit = table.entries[workload, peer]["extra_info"].get("unit", "s")
            times = f" ({median / own:.3g}x)" if own and peer != "fastnn" else ""
            row.append(format_value(median, unit) + times)
        rows.append(row)
    return markdown(["", *(PEERS[peer].title for peer in peers)], rows)


def _rate(extra: dict) -> str:
    if not extra.get("gflops"):
        return ""
    return f"{extra['gflops']:.1f}" + (f" ({100 * extra['share_of_peak']:.0f} %)" if "share_of_peak" in extra else "")


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
                f"{extra['over_flops']:.2f}" if "over_flops" in extra else "",
                _rate(extra),
                str(extra.get("method", extra.get("epochs_to_goal", ""))),
            ]
        )
    return markdown(
        [
            "workload",
            "peer",
            "median",
            "IQR",
            "minimum",
            "rounds",
            "over GEMM",
            "over flops",
            "GFLOP/s (of peak)",
            "remark",
        ],
        rows,
    )


def verdicts(wanted: list[Target], table: Table) -> str:
    """What an issue asks for, and what was measured."""
    rows = []
    for target in wanted:
        value, verdict = target.verdict(table)
        sign = "≥" if target.more else "≤"
        shown = "" if value is None else f"{value:.3g} {target.unit}"
        rows.append([target.text, shown, f"{sign} {target.must:g}", f"{sign} {target.aim:g}", verdict])
    return markdown(["", "measured", "must", "aim", "reached"], rows)


def one_thread_part(table: Table, chart: str | None) -> str:
    """All that one run of one thread measured."""
    parts = [
        f"Made by `python -m bench all`. {conditions(table)}",
        "Medians; in brackets how many times fastnn's time of the same run. Peers are explained in "
        "[README.md](README.md); raw: [raw/one-thread.json](raw/one-thread.json).\n",
    ]
    if chart:
        parts.append(f"![time per training step of all peers]({chart})\n")
    for section, title in SECTIONS.items():
        workloads = table.workloads(section)
        if workloads:
            parts += [f"### {title}\n", comparison(table, workloads, table.peers(workloads))]
    for issue, wanted in (TARGETS | STACK_TARGETS).items():
        parts += [f"### What issue {issue} asks for\n", verdicts(wanted, table)]
    parts += ["### Medians and spread\n", details(table)]
    if blas := {e["extra_info"]["blas"] for e in table.entries.values() if "blas" in e["extra_info"]}:
        parts.append("Bare GEMM is " + "; ".join(sorted(blas)) + ".\n")
    if table.skipped:
        reasons = sorted({f"{PEERS[p].title}: {why}" for skip in table.skipped.values() for p, why in skip.items()})
        parts.append("Skipped: " + "; ".join(reasons) + ".\n")
    return "\n".join(parts)


def gans_part(table: Table) -> str:
    """What a run of the GANs alone measured."""
    workloads = table.workloads("gan")
    parts = [
        f"Made by `python -m bench gans`. {conditions(table)}",
        comparison(table, workloads, table.peers(workloads)),
        "### What issue 18 asks for\n",
        verdicts(STACK_TARGETS[18], table),
        details(table),
    ]
    return "\n".join(parts)


def readme_part(table: Table) -> str:
    workloads = table.workloads("core")
    peers = [peer for peer in table.peers(workloads) if peer not in NOT_IN_README]
    where = conditions(table).split("; load")[0]
    return comparison(table, workloads, peers) + f"\n{where}; {table.datetime[:10]}. Versions: RESULTS.md.\n"


def insert(path: Path, name: str, text: str) -> None:
    """Renew what stands between a Markdown file's marks of that name."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    page = path.read_text()
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"{path} must have {begin} and {end} once each")
    before, after = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}{end}{after}")


def write_pages(path: Path = ONE_THREAD) -> None:
    """RESULTS.md's part of one thread, its chart and README.md's table, from the JSON file."""
    table = Table.read(path)
    try:
        from bench.chart import draw
    except ImportError:
        print("matplotlib is not installed: no chart")
        chart = None
    else:
        chart = HERE / "results.svg"
        draw(table, chart)
    insert(PAGE, "one-thread", one_thread_part(table, chart and chart.name))
    insert(README, "bench", readme_part(table))
