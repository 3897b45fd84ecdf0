"""Test accuracy and time of `fastnn train digits` with convolutions and with dense layers, over ten seeds.

    python -m bench.digits_cnn

A seed decides the split into training and test samples, the weights and the order. The network was chosen by
cross-validation within the training samples of seed 0 (bench/NOTES.md), never by test samples of that seed. One thread.
"""

import contextlib
import io
import re
import statistics

from fastnn.cli import main

SEEDS = range(10)


def results(model: str, seed: int) -> tuple[float, float]:
    """Return the test accuracy in per cent, and the seconds that training took."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = main(["train", "digits", "--model", model, "--seed", str(seed), "--threads", "1", "--quiet"])
    if code:
        raise RuntimeError(f"fastnn train returned {code}")
    accuracy = re.search(r"test accuracy: ([\d.]+) %", output.getvalue())
    seconds = re.search(r"time: ([\d.]+) s", output.getvalue())
    assert accuracy is not None and seconds is not None
    return float(accuracy[1]), float(seconds[1])


if __name__ == "__main__":
    for model in ("mlp", "cnn"):
        accuracies, seconds = zip(*(results(model, seed) for seed in SEEDS), strict=True)
        print(
            f"{model}: median test accuracy {statistics.median(accuracies):.2f} % (from {min(accuracies):.2f} to "
            f"{max(accuracies):.2f}, seed 0: {accuracies[0]:.2f}), median time {statistics.median(seconds):.3f} s"
        )
