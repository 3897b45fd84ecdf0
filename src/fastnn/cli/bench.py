"""`fastnn bench`: how fast this machine trains, against plain NumPy and scikit-learn."""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from fastnn.cli.info import cpu_name, versions_of
from fastnn.cli.options import check_output, check_plot


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "bench",
        help="time training steps against NumPy and scikit-learn",
        description="Measure how fast this machine trains, against plain NumPy and scikit-learn.",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every sample to a JSON file")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="save a chart (needs the extra 'plot')")
    parser.add_argument("--quick", action="store_true", help="the first three networks only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, show a table, write what is asked for."""
    from rich.console import Console
    from rich.table import Table

    from fastnn import benchmark

    try:
        check_plot(arguments.plot)
        if arguments.json is not None:
            check_output(arguments.json, "--json")
    except (ImportError, ValueError) as error:
        print(f"fastnn bench: error: {error}", file=sys.stderr)
        return 2
    machine = _machine()
    console = Console()
    console.print(
        f"{machine['cpu']}, Python {machine['python']}, {machine['versions']}; one thread each", highlight=False
    )
    table = Table(title="Microseconds a training step, and how many times fastnn's that is", title_justify="left")
    table.add_column("network", no_wrap=True)
    for heading in ("fastnn", "NumPy", "", "scikit-learn", ""):
        table.add_column(heading, justify="right")
    results = []
    workloads = benchmark.WORKLOADS[:3] if arguments.quick else benchmark.WORKLOADS
    for workload in workloads:
        with console.status(str(workload)):
            result = benchmark.measure(workload)
        results.append(result)
        cells = [f"{result.median('fastnn') * 1e6:.1f}"]
        for peer in benchmark.PEERS[1:]:
            cells += [f"{result.median(peer) * 1e6:.1f}", f"{result.ratio(peer):.1f}x"]
        table.add_row(str(workload), *cells)
    console.print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(benchmark.as_json(results, machine), indent=1) + "\n")
        console.print(f"wrote {arguments.json}")
    if arguments.plot is not None:
        benchmark.draw(results, str(arguments.plot), machine["cpu"])
        console.print(f"wrote {arguments.plot}")
    return 0


def _machine() -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "python": platform.python_version(),
        "versions": versions_of(("fastnn", "numpy", "scikit-learn", "numba")),
    }
