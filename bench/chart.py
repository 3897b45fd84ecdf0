"""The chart: time per training step of every peer on the core workloads, on one logarithmic axis."""

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.peers import PEERS
from bench.results import Table

# Okabe and Ito's palette, told apart by colour-blind readers, with a marker each for print.
STYLES = {
    "fastnn": ("#D55E00", "D"),
    "numpy": ("#000000", "s"),
    "sklearn": ("#E69F00", "v"),
    "torch": ("#CC79A7", "o"),
    "torch-compile": ("#CC79A7", "p"),
    "jax": ("#0072B2", "^"),
    "keras": ("#009E73", "<"),
    "keras-fit": ("#009E73", ">"),
    "tensorflow": ("#56B4E9", "X"),
}


def draw(table: Table, path: Path, *, is_narrow: bool = False) -> None:
    """Write the chart to ``path``, whose suffix picks the format; a narrow one is for the width of a phone."""
    matplotlib.rcParams["svg.hashsalt"] = "fastnn"  # the same figures give the same file
    workloads = table.workloads("core")
    size = (4.2, 2.6 + 0.42 * len(workloads)) if is_narrow else (9, 1.2 + 0.42 * len(workloads))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    for row, workload in enumerate(workloads):
        limit = table.median(workload, "gemm")
        if limit:
            axes.plot([limit * 1e6] * 2, [row - 0.32, row + 0.32], color="#888888", linewidth=3, zorder=1)
        for peer, (color, marker) in STYLES.items():
            median = table.median(workload, peer)
            if median:
                axes.plot(median * 1e6, row, marker, color=color, markersize=9 if peer == "fastnn" else 7, alpha=0.9)
    axes.plot([], [], color="#888888", linewidth=3, label=PEERS["gemm"].title)
    for peer in table.peers(workloads):
        if peer in STYLES:
            color, marker = STYLES[peer]
            axes.plot([], [], marker, color=color, label=PEERS[peer].title)
    axes.set_xscale("log")
    axes.set_xlabel("µs per step (left is better)" if is_narrow
                    else "microseconds per training step (logarithmic; left is better)")  # fmt: skip
    axes.set_ylabel("network / rows a step")
    axes.set_yticks(range(len(workloads)), workloads)
    axes.invert_yaxis()
    axes.grid(axis="x", which="both", alpha=0.25)
    machine = f"{table.machine['cpu_model']}, {table.machine['threads']} thread(s)"
    axes.set_title(textwrap.fill(machine, 40) if is_narrow else machine, fontsize=9)
    if is_narrow:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    else:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
