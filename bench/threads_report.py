"""The part of RESULTS.md on threads, and the figures that issue 7 asks for, from what threads.py measured."""

import datetime
import inspect
from dataclasses import dataclass

from bench.report import conditions, markdown, verdicts
from bench.results import Table
from bench.targets import ISSUE_7, MANY
from bench.threads_model import Model
from fastnn.kernels.gemm import PANEL


@dataclass
class Measured:
    """What threads.py found; times are (median, least) microseconds by what was measured."""

    k: int  # threads: all CPUs
    workloads: list  # name, threads that n_threads=None takes, times of "one", "all" and "none"
    table: dict  # (sizes, batch): times by number of threads
    crowds: dict  # by number of threads
    barrier: float  # us
    models: list[Model]
    many: dict
    short_fits: dict  # by epochs: times by number of threads
    peers: dict  # workload: seconds of a step by peer, all with k threads
    machine: dict  # results.machine
    load: float  # load average before


def figures(measured: Measured) -> dict:
    """The medians, in seconds, as a document that `results.Table` reads."""
    medians = [(name, key, 1e-6 * times[key][0]) for name, _, times in measured.workloads for key in times]
    medians += [(MANY, key, 1e-6 * times[0]) for key, times in measured.many.items()]
    medians += [
        (f"{name}, all threads", p, seconds) for name, by in measured.peers.items() for p, seconds in by.items()
    ]
    return {
        "machine_info": measured.machine,
        "load_average": measured.load,
        "datetime": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "benchmarks": [
            {"extra_info": {"workload": workload, "peer": key, "section": "threads"}, "stats": {"median": seconds}}
            for workload, key, seconds in medians
        ],
    }


def report(measured: Measured, document: dict) -> str:
    """The part as Markdown; `document` is what `figures` made."""
    k, table, models, many = measured.k, measured.table, measured.models, measured.many
    batches = list(dict.fromkeys(batch for _, batch in table))
    names = {model.sizes: "-".join(map(str, model.sizes)) for model in models}
    peers = list(dict.fromkeys(peer for by in measured.peers.values() for peer in by))
    cores, large = (16, 64), (128, 512, 2048, 8192)
    parts = [
        "Made by `python -m bench threads`. " + conditions(Table(document)),
        "Medians of alternating turns, microseconds "
        "a step, Adam, float32. Quietest: by the fastest turn of each, which on a shared machine comes nearest to what "
        "all cores to oneself would give.\n",
        f"### One thread, {k} threads, and the automatic choice\n",
        markdown(
            ["network/batch", "1 thread", f"{k} threads", "speedup", "quietest", "None takes", "None", "speedup"],
            [
                [
                    workload, f"{t['one'][0]:.1f}", f"{t['all'][0]:.1f}", f"{t['one'][0] / t['all'][0]:.2f}",
                    f"{t['one'][1] / t['all'][1]:.2f}", str(chosen), f"{t['none'][0]:.1f}",
                    f"{t['one'][0] / t['none'][0]:.2f}",
                ]
                for workload, chosen, t in measured.workloads
            ],
        ),
        "### Whole fits of 64-256-10 at 256 rows, by the number of their epochs of 8 steps\n",
        "Starting and ending a team costs some tenths of a millisecond a fit, and the first steps find nothing in the "
        "caches.\n",
        markdown(
            ["epochs", *map(str, measured.short_fits)],
            [
                ["1 thread, ms", *(f"{t[1][0] / 1e3:.2f}" for t in measured.short_fits.values())],
                [f"{k} threads, ms", *(f"{t[k][0] / 1e3:.2f}" for t in measured.short_fits.values())],
                ["speedup", *(f"{t[1][0] / t[k][0]:.2f}" for t in measured.short_fits.values())],
            ],
        ),
        f"### Against PyTorch and JAX with {k} threads\n",
        "Set up as [README.md](README.md) says; in brackets how many times fastnn's time.\n",
        markdown(
            ["network/batch", *peers],
            [
                [name, *(f"{1e6 * by[p]:.1f} ({by[p] / by['fastnn']:.2f}x)" if p in by else "" for p in peers)]
                for name, by in measured.peers.items()
            ],
        ),
        "### Efficiency as threads outnumber the batch\n",
        f"Speedup with {k} threads over {k}: 1 would be perfect. A batch is cut by panels of {PANEL} rows, so one of "
        f"{PANEL} stays with one thread.\n",
        markdown(
            ["network", *(f"{batch} rows" for batch in batches)],
            [
                [name, *(f"{table[s, b][1][0] / table[s, b][k][0] / min(k, -(-b // PANEL)):.2f}" for b in batches)]
                for s, name in names.items()
            ],
        ),
        f"784-256-10 at 2,048 rows with far more threads than the {k} cores, which they share without a livelock.\n",
        markdown(
            ["threads", *map(str, measured.crowds)],
            [["time over 1 thread's", *(f"{t[0] / measured.crowds[1][0]:.2f}" for t in measured.crowds.values())]],
        ),
        f"### On paper: 16 and 64 cores\n\n{inspect.cleandoc(Model.__doc__)}\n",
        f"A barrier of {k} threads took {measured.barrier:.2f} us. Fitted:\n",
        markdown(
            ["network", "row, us", "fixed, us", "update, us", "line, ns", "largest error"],
            [
                [
                    names[m.sizes], f"{m.row:.3f}", f"{m.fixed:.1f}", f"{m.update:.1f}", f"{1e3 * m.line:.1f}",
                    f"{max(abs(m.step(n, b) / table[m.sizes, b][n][0] - 1) for b in batches for n in (1, k)):.0%}",
                ]
                for m in models
            ],
        ),
        "Speedup over one thread that the model gives (not measured: no such machine was at hand). It assumes that a "
        "line costs the same from every core, which sockets do not.\n",
        markdown(
            ["network", *(f"{n} cores, {b} rows" for n in cores for b in large)],
            [[names[m.sizes], *(f"{m.step(1, b) / m.step(n, b):.1f}" for n in cores for b in large)] for m in models],
        ),
        "So beyond a few cores one small network is the wrong thing to cut: `fit_many` has no barrier and moves no "
        "lines.\n",
        "### Many networks: 64 of 64-64-10 on digits, 20 epochs at 32\n",
        markdown(
            ["", "ms a network", "quietest"],
            [
                [
                    text, f"{many[key][0] / 1e3:.2f} ({many['alone'][0] / many[key][0]:.2f}x)",
                    f"{many[key][1] / 1e3:.2f} ({many['alone'][1] / many[key][1]:.2f}x)",
                ]
                for key, text in (
                    ("alone", "`Trainer.fit`, one after the other"), ("one", "`fit_many`, n_jobs=1"),
                    ("all", f"`fit_many`, {k} CPUs"),
                )
            ],
        ),
        "### What issue 7 asks for\n",
        verdicts(ISSUE_7, Table(document)),
    ]  # fmt: skip
    return "\n".join(parts)
