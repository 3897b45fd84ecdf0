"""Searches over hyperparameters in threads: what joblib's threading backend gains where the kernels release the GIL.

Each row repeats "one job, threads, processes" and gives the medians of the wall-clock seconds and of the ratios, so it
needs as many idle CPUs as jobs. Processes (loky) are started before the first turn, and have compiled kernels on disk.
Every network computes in one thread of its own.
"""

import os
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import sklearn
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - makes the next import possible
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from threadpoolctl import threadpool_limits

import fastnn
from fastnn import MLPClassifier

GRID = {"hidden_layer_sizes": [(50,), (100,), (50, 50)], "learning_rate_init": [1e-3, 3e-3]}
WIDER = {"hidden_layer_sizes": [(50,), (100,), (200,), (50, 50)], "learning_rate_init": [3e-4, 1e-3, 3e-3, 1e-2]}


def _digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def _many_rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(26, 16))
    y = generator.integers(26, size=20_000)
    return (centres[y] + generator.normal(size=(20_000, 16))).astype(np.float32), y


def _classifier(epochs: int, **parameters: object) -> MLPClassifier:
    return MLPClassifier(max_iter=epochs, n_iter_no_change=1000, random_state=0, **parameters)


def _grid(**parameters: object) -> Callable[[], object]:
    X, y = _digits()
    search = GridSearchCV(_classifier(100, **parameters), GRID, cv=3, refit=False)
    return lambda: search.fit(X, y).cv_results_["mean_test_score"]


def _halving() -> Callable[[], object]:
    X, y = _digits()
    search = HalvingRandomSearchCV(
        _classifier(1), WIDER, resource="max_iter", min_resources=18, max_resources=162, n_candidates=16, cv=3,
        refit=False, random_state=0,
    )  # fmt: skip
    return lambda: search.fit(X, y).best_score_


def _cross_validation() -> Callable[[], object]:
    X, y = _many_rows()
    return lambda: cross_val_score(_classifier(30), X, y, cv=4)


ROWS = {
    "GridSearchCV, digits, 6 candidates x 3 folds x 100 epochs": _grid,
    "the same, batch 32": lambda: _grid(batch_size=32),
    "HalvingRandomSearchCV, digits, 16 candidates x 3 folds, 18 to 162 epochs": _halving,
    "cross_val_score, 20,000 x 16 rows, 26 classes, 4 folds x 30 epochs": _cross_validation,
}


def measure(action: Callable[[], object], jobs: int, repeats: int) -> tuple[float, float, float, float, float]:
    """Return the medians of the seconds of one job, threads and processes, and of the ratios of both to one."""
    ways = [("threading", 1), ("threading", jobs), ("loky", jobs)]
    seconds: list[list[float]] = []
    for turn in range(repeats + 1):
        row, results = [], []
        for backend, n_jobs in ways:
            with parallel_config(backend=backend, n_jobs=n_jobs):
                started = time.perf_counter()
                results.append(action())
                row.append(time.perf_counter() - started)
        for result in results[1:]:
            np.testing.assert_array_equal(results[0], result)  # the same scores, to the last bit
        if turn:  # the first one starts processes and reads kernels from disk
            seconds.append(row)
    one, threads, processes = (statistics.median(times) for times in zip(*seconds, strict=True))
    by_threads, by_processes = (statistics.median(row[0] / row[i] for row in seconds) for i in (1, 2))
    return one, threads, processes, by_threads, by_processes


def part(jobs: int, repeats: int) -> str:
    """The part of RESULTS.md on searches, measured now."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    os.environ["PYTHONWARNINGS"] = "ignore:Stochastic Optimizer"  # in the processes too
    os.environ["OMP_NUM_THREADS"] = "1"
    lines = [f"| | 1 job | {jobs} threads | gain | {jobs} processes | gain |", "|---|---|---|---|---|---|"]
    with threadpool_limits(1):
        for name, prepare in ROWS.items():
            one, threads, processes, by_threads, by_processes = measure(prepare(), jobs, repeats)
            in_threads, in_processes = f"{threads:.2f} s | {by_threads:.2f}", f"{processes:.2f} s | {by_processes:.2f}"
            lines.append(f"| {name} | {one:.2f} s | {in_threads} | {in_processes} |")
            print(lines[-1], flush=True)
    table = "\n".join(lines)
    return f"""Made by `python -m bench threads`: wall-clock time with joblib's threading backend, where all jobs share
one process and its data, and with its processes (loky); alternating, medians of {repeats} turns and of their ratios to
one job, on {jobs} CPUs. The scores are the same bits each way. float32, one thread a network.

{table}

scikit-learn {sklearn.__version__}, fastnn {fastnn.__version__}.
"""
