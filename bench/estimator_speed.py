"""fastnn's estimators against scikit-learn's: whole fits and predictions, alternating in one process, one thread each.

    python -m bench.estimator_speed [--repeats 7] [--write]

Each row repeats "scikit-learn, then fastnn" and gives the medians and the median of the ratios. Both keep to the
calling thread, whose CPU time is what counts here: other processes on the machine do not. With --write the table goes
to bench/ESTIMATOR_SPEED.md.
"""

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sklearn
import sklearn.neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import fastnn

EPOCHS = 20
OUTPUT = Path(__file__).with_name("ESTIMATOR_SPEED.md")


@dataclass(frozen=True)
class Row:
    """One comparison: what is timed, and the ratio that issue and aim ask for."""

    name: str
    must: float
    aim: float
    prepare: Callable[[type], Callable[[], object]]
    calls: int = 1


def _digits(dtype):
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y


def _letters(dtype):
    """20,000 rows of 16 features in 26 classes, the shape of the letter recognition data."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(26, 16))
    y = generator.integers(26, size=20_000)
    return (centres[y] + generator.normal(size=(20_000, 16))).astype(dtype), y


def _fit(data, dtype, **parameters):
    def prepare(cls):
        X, y = data(dtype)
        estimator = cls(max_iter=EPOCHS, n_iter_no_change=EPOCHS + 1, random_state=0, **parameters)
        return lambda: estimator.fit(X, y)

    return prepare


def _predict(n_rows, dtype, method="predict"):
    def prepare(cls):
        X, y = _digits(dtype)
        estimator = cls(max_iter=2, random_state=0).fit(X, y)
        rows = np.ascontiguousarray(np.resize(X, (n_rows, X.shape[1])))
        return lambda: getattr(estimator, method)(rows)

    return prepare


ROWS = [
    Row("fit digits, float32", 4, 6, _fit(_digits, np.float32)),
    Row("fit digits, float64", 3, 3.5, _fit(_digits, np.float64)),
    Row("fit 20,000 x 16, 26 classes, float32", 4, 6, _fit(_letters, np.float32)),
    Row("fit 20,000 x 16, 26 classes, float64", 3, 3.5, _fit(_letters, np.float64)),
    Row("fit digits, batch 32, float32", 12, 18, _fit(_digits, np.float32, batch_size=32)),
    Row("fit 20,000 x 16, batch 32, float32", 12, 18, _fit(_letters, np.float32, batch_size=32)),
    Row("predict 1 row, float32", 8, 20, _predict(1, np.float32), 200),
    Row("predict 1 row, float64", 8, 20, _predict(1, np.float64), 200),
    Row("predict_proba 1 row, float64", 8, 20, _predict(1, np.float64, "predict_proba"), 200),
    Row("predict 100,000 rows, float32", 1.5, 1.5, _predict(100_000, np.float32)),
    Row("predict 100,000 rows, float64", 1.5, 1.5, _predict(100_000, np.float64)),
]


def _seconds(action, calls):
    started = time.thread_time()
    for _ in range(calls):
        action()
    return (time.thread_time() - started) / calls


def measure(row: Row, repeats: int) -> tuple[float, float, float]:
    """Return the medians of scikit-learn's and fastnn's seconds, and of their ratio."""
    theirs = row.prepare(sklearn.neural_network.MLPClassifier)
    ours = row.prepare(fastnn.MLPClassifier)
    theirs(), ours()
    pairs = [(_seconds(theirs, row.calls), _seconds(ours, row.calls)) for _ in range(repeats)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ["OMP_NUM_THREADS"] = "1"  # fastnn's predictions ask it at each call, BLAS has threadpool_limits
    lines = ["| | scikit-learn | fastnn | ratio | must | aim |", "|---|---|---|---|---|---|"]
    print("\n".join(lines))
    with threadpool_limits(1):
        for row in ROWS:
            theirs, ours, ratio = measure(row, arguments.repeats)
            times = f"{theirs * 1e6:,.0f} us | {ours * 1e6:,.1f} us"
            lines.append(f"| {row.name} | {times} | {ratio:.1f} | {row.must:g} | {row.aim:g} |")
            print(lines[-1], flush=True)
    if arguments.write:
        table = "\n".join(lines)
        OUTPUT.write_text(f"""# Speed of the estimators beside scikit-learn's

Written by `python -m bench.estimator_speed --write`. The default classifier (100 units, batch 200 unless said),
{EPOCHS} epochs; CPU time of one thread each, alternating, medians of {arguments.repeats} turns and of their ratios.

{table}

Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__},
fastnn {fastnn.__version__}.
""")


if __name__ == "__main__":
    main()
