# ruff: noqa: E501 - lines of a page are long
"""The page that bench/distributed.py writes, from what it measured; and a model on paper for larger clusters."""

import math
import statistics
from typing import Any

BEST = "16 rounds a pass, rate 0.004, outer Nesterov"

LESSONS = [
    "In equal passes 16 shards take a sixteenth of the steps of a plain fit one after the other, so each step has to go "
    "further. Three things together make that good, and none does alone: as many rounds a pass as shards "
    "(`rounds_per_epoch=16`), a learning rate times the square root of the shards (0.004 for 0.001: Adam's steps shrink as "
    "the noise that they average grows), and `outer=SGD(0.7, momentum=0.9, nesterov=True)`.",
    "",
    "This form was chosen on this very table, out of some 30 (NOTES.md), with one seed; the plain fit has its default rate, "
    "0.001, and was not tuned. So it shows that 16 shards need not lose, not that these numbers suit other data.",
    "",
    "On the table, which no network of this size can learn by heart, that is the loss of the plain fit. The digits are "
    "learnt by heart: a training loss of 0.00005 says how far the logits have grown, which is a matter of steps, and "
    "differs between seeds by a factor of 3. There 3 % cannot be told from chance, and we count it as missed; the shards' "
    "training loss stays four to twelve times higher, and momentum over rounds makes the test loss worse. Best on digits was the larger rate alone, without "
    "`outer`. So both stay off by default: neither is right for every problem, and a rate is the user's.",
    "",
    "Moments are averaged: then a round depends on nothing but its start and the data, so that a shard can be "
    "computed again anywhere, and one shard is the plain fit. Keeping them by shards changes the loss by less than another "
    "seed does, but moments that stay with their shards would be lost with a worker. New moments each round do as well once "
    "a pass, and diverge at 16 rounds a pass (1.02 on the table). So with Adam three vectors travel, where with SGD one does, "
    "2 (N - 1) times a round between N workers: at most parameters x 2 x N with SGD without momentum only.",
]


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms"


def _verdict(value: float, must: float, aim: float, *, more: bool = False) -> str:
    reached = (lambda limit: value >= limit) if more else (lambda limit: value <= limit)
    return "aim" if reached(aim) else "must" if reached(must) else "missed"


def model(compute: float, vector: int, overhead: float, workers: int) -> tuple[float, float]:
    """Return the seconds of a round on paper, and the share of it that is compute.

    Every worker computes as long as one here. The start is fetched from those that have it (their number doubles with
    each hop), averages meet in a tree: 2 log2(workers) hops of the vector at 1 GB/s and 0.5 ms each. The scheduler
    takes 0.3 ms a task, and there are two a worker.
    """
    hop = vector / 1e9 + 0.5e-3
    seconds = compute + overhead + 2 * math.ceil(math.log2(workers)) * hop + 2 * workers * 0.3e-3
    return seconds, compute / seconds


def _load(raw: dict[str, Any]) -> str:
    return " and ".join(f"{raw[name]['load'][0]:.1f} ({name})" for name in ("speed", "overhead") if name in raw)


def report(raw: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Training on a Dask cluster, measured",
        "",
        "Written by `python -m bench.distributed`. Two worker processes of one thread, scheduler and client share one "
        f"machine ({raw['machine']}) and talk over loopback. Figures are medians, what is compared was measured "
        "in turns, and other programs were paused where they could be; the load average was "
        f"{_load(raw)}. Client and scheduler need the two processors as well as the workers.",
        "",
        "| what | measured | must | aim | reached |",
        "|---|---|---|---|---|",
    ]
    speed, over = raw.get("speed"), raw.get("overhead")
    if speed:
        ratios = [one / two for one, two in zip(speed["one"], speed["two"], strict=True)]
        ratio = statistics.median(ratios)
        lines.append(
            f"| 10 rounds, 64-256-10, 1,000,000 rows in 16 chunks: two processes against one | {ratio:.2f}x "
            f"({min(ratios):.2f} to {max(ratios):.2f}; {statistics.median(speed['one']):.2f} s against "
            f"{statistics.median(speed['two']):.2f} s) | 1.7x | 1.9x | {_verdict(ratio, 1.7, 1.9, more=True)} |"
        )
    if over:
        for name in ("sgd", "adam"):
            value = statistics.median(over[name]["beside"])
            low = min(over[name]["beside"])
            what = "SGD: 1 MB travels" if name == "sgd" else "Adam: 3 MB travel"
            lines.append(
                f"| a round beside its compute, parameters of 1 MB, {what} | {_ms(value)} (best {_ms(low)}) | 60 ms | "
                f"20 ms | {_verdict(value, 0.06, 0.02)} |"
            )
            moved = over[name]["moved"] / over[name]["parameters"]
            lines.append(
                f"| moved between two workers in a round, in parameters ({name}) | {moved:.2f} | 4 | | "
                f"{'must' if moved <= 4 else 'missed'} |"
            )
    for name, forms in raw.get("losses", {}).items():
        for at, kind in ((0, "training"), (1, "test")):
            plain = forms["plain fit"][at]
            others = [forms[f"plain fit, seed {seed}"][at] / plain - 1 for seed in (1, 2)]
            change = forms[BEST][at] / plain - 1
            lines.append(
                f"| {kind} loss after 10 passes, 16 shards against plain fit, {name} | {100 * change:+.1f} % (plain fit "
                f"with two other seeds: {100 * others[0]:+.1f} and {100 * others[1]:+.1f} %) | 3 % | 1 % | "
                f"{_verdict(change, 0.03, 0.01)} |"
            )
    for phase, found in raw.get("kills", {}).items():
        lines.append(
            f"| kill -9 of a worker in the phase {phase!r} of a fit, {found['times']} times: the same bits | "
            f"{'all' if found['passed'] else 'not all'} ({found['seconds']:.0f} s) | all | | "
            f"{'must' if found['passed'] else 'missed'} |"
        )
    if "losses" in raw:
        lines += ["", "## What gives the loss of a plain fit", ""]
        lines.append("Loss after 10 passes of Adam, 64-64-10, batches of 32, 16 shards: training / test.")
        names = list(raw["losses"])
        lines += ["", "| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for label in raw["losses"][names[0]]:
            cells = [f"{raw['losses'][name][label][0]:.4g} / {raw['losses'][name][label][1]:.4g}" for name in names]
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
        lines += ["", *LESSONS]
    if speed and over:
        compute = statistics.median(speed["one"]) / 10 / 16
        beside = statistics.median(over["sgd"]["beside"])
        lines += [
            "",
            "## On paper",
            "",
            "Not measured: a model for clusters that we do not have. A worker has one shard of 62,500 rows "
            f"({_ms(compute)} of compute, as measured here) or of 6,250,000; the vector is the measured one of "
            f"{speed['vector'] / 1e6:.2f} MB; the overhead of a round is the measured {_ms(beside)}; a hop takes 0.5 ms "
            "and 1 GB/s, the scheduler 0.3 ms a task, both assumed.",
            "",
            "| workers | a round, 62,500 rows each | compute's share | a round, 6,250,000 rows each | compute's share |",
            "|---|---|---|---|---|",
        ]
        for workers in (16, 256, 4096):
            small, large = (model(c, speed["vector"], beside, workers) for c in (compute, 100 * compute))
            lines.append(
                f"| {workers:,} | {_ms(small[0])} | {100 * small[1]:.0f} % | {large[0]:.2f} s | {100 * large[1]:.0f} % |"
            )
        lines += [
            "",
            "The scheduler, which is one process, is what ends this: at thousands of workers a round has to have "
            "seconds of compute, by more rows a shard or more `epochs_per_round`.",
        ]
    return "\n".join(lines) + "\n"
