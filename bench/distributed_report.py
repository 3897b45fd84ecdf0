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
    "On the table, which no network of this size can learn by heart, that is the loss of the plain fit, or less. The digits "
    "are learnt by heart: a training loss of 0.00005 says how far the logits have grown, which is a matter of steps, and "
    "differs between seeds by a factor of 3. There 3 % cannot be told from chance, and we count it as missed. No form of some "
    "60 has both losses. For the test loss smaller batches are best: of 8 rows, rate 0.008, once a pass, `outer=SGD(0.7, "
    "momentum=0.5, nesterov=True)`: 0.0166 and 0.0161 with two seeds, and the training loss 0.00025 in both. For the "
    "training loss more momentum: batches of 4 rows, 4 rounds a pass, rate 0.004 and momentum 0.9: 0.00002 and 0.00001, with "
    "0.08 and 0.16 on the test. The larger rate and "
    "`outer` stay off by default: none is right for every problem, and a rate is the user's.",
    "",
    "Moments: where a round is long (ten times as long as Adam's first moment lasts: 100 steps), the first begins with 0, and "
    "of the second each kernel's means by rows and by columns travel, a few numbers, and are multiplied again. Else, and with "
    "other optimizers, they are averaged whole. Either way a round depends on nothing but its start and the data, so that a "
    "shard can be computed again anywhere; moments kept by shards would be lost with a worker. On the table the summary is as "
    "good as both in all forms that were tried (NOTES.md). In short rounds it is not: with 9 steps a round the digits' test "
    "loss doubled, for the first moment is worth ten steps. So in long rounds one vector travels up and down, 2 (N - 1) times "
    "a round between N workers, whose chunks lie side by side: less than parameters x 2 x N. With Adam in short rounds it is "
    "three times as much.",
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


def _moved(what: str, moved: float) -> str:
    reached = "must" if moved <= 2 * 2 else "missed"
    return f"| moved between two workers in a round, in parameters: {what} | {moved:.2f} | 4 | | {reached} |"


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
            f"{statistics.median(speed['two']):.2f} s; two threads waited {100 * statistics.median(speed['waiting'][1]):.0f} % "
            f"of a round, one {100 * statistics.median(speed['waiting'][0]):.0f} %) | 1.7x | 1.9x | "
            f"{_verdict(ratio, 1.7, 1.9, more=True)} |"
        )
        plain = speed["plain"]
        lines.append(
            f"| for comparison: two plain processes without Dask, the same fits | {statistics.median(plain):.2f}x "
            f"({min(plain):.2f} to {max(plain):.2f}) | | | |"
        )
        lines.append(_moved("64-256-10, Adam, in these 10 rounds", speed["moved"] / speed["parameters"]))
    if over:
        for name, found in over["forms"].items():
            value, low = statistics.median(found["beside"]), min(found["beside"])
            lines.append(
                f"| a round beside its compute, parameters of 1 MB, {name} | {_ms(value)} (best {_ms(low)}) | 60 ms | "
                f"20 ms | {_verdict(value, 0.06, 0.02)} |"
            )
            lines.append(_moved(f"1 MB, {name}", found["moved"]))
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
        beside = statistics.median(over["forms"]["SGD"]["beside"])
        lines += [
            "",
            "## On paper",
            "",
            "Not measured: a model for clusters that we do not have. A worker has one shard of 62,500 rows "
            f"({_ms(compute)} of compute, as measured here) or of 6,250,000; the vector is the measured one of "
            f"{speed['parameters'] / 1e6:.2f} MB; the overhead of a round is the measured {_ms(beside)}; a hop takes 0.5 ms "
            "and 1 GB/s, the scheduler 0.3 ms a task, both assumed.",
            "",
            "| workers | a round, 62,500 rows each | compute's share | a round, 6,250,000 rows each | compute's share |",
            "|---|---|---|---|---|",
        ]
        for workers in (16, 256, 4096):
            small, large = (model(c, speed["parameters"], beside, workers) for c in (compute, 100 * compute))
            lines.append(
                f"| {workers:,} | {_ms(small[0])} | {100 * small[1]:.0f} % | {large[0]:.2f} s | {100 * large[1]:.0f} % |"
            )
        lines += [
            "",
            "The scheduler, which is one process, is what ends this: at thousands of workers a round has to have "
            "seconds of compute, by more rows a shard or more `epochs_per_round`.",
        ]
    return "\n".join(lines) + "\n"
