"""Tables: fastnn's estimators beside boosting and other networks, all with their defaults.

    python -m bench.tables                       # every set and installed peer: TABLES.md, raw/tables.json
    python -m bench.tables --missing             # the pairs that raw/tables.json lacks, the smallest sets first
    python -m bench.tables -k vehicle -p fastnn  # some of them, printed; with --write they make the page

Each pair of a peer and a set has a process of its own, so that its peak of memory is its own; what fastnn compiles is
warmed up on other data before the clock starts. A quarter of the rows is held back, three times, by other seeds; for
TabM, whose fits take minutes, once. Scores are means; where two peers are compared, of the splits that both have.
Seconds are medians, since PyTorch loads its libraries in the first fit. Beside those on the clock stand the process's
seconds of CPU, all threads together: other work on the machine changes those less. For one thread on one CPU each:

    OMP_NUM_THREADS=1 taskset -c 1 python -m bench.tables

The sets come with packages, see `tables_sets`. RealMLP and TabM need PyTorch: pip install --no-deps pytabkit, and
torch, pytorch-lightning, torchmetrics, tabm and rtdl_num_embeddings.

What has been measured stays in raw/tables.json; a run replaces the pairs that it measures again.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.tables_sets import SETS, load

HERE = Path(__file__).parent
RAW, PAGE = HERE / "raw" / "tables.json", HERE / "TABLES.md"
SEEDS = (0, 1, 2)
FEW_SPLITS = {"TabM": 1}

# --- peers ------------------------------------------------------------------------------------------------------------


def _fastnn(is_classification: bool, seed: int) -> Any:
    from fastnn import TabularClassifier, TabularRegressor

    return (TabularClassifier if is_classification else TabularRegressor)(random_state=seed)


def _hist_gradient_boosting(is_classification: bool, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    cls = HistGradientBoostingClassifier if is_classification else HistGradientBoostingRegressor
    return cls(random_state=seed, categorical_features="from_dtype")


def _lightgbm(is_classification: bool, seed: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if is_classification else LGBMRegressor)(random_state=seed, verbose=-1)


def _realmlp(is_classification: bool, seed: int) -> Any:
    from pytabkit import RealMLP_TD_S_Classifier, RealMLP_TD_S_Regressor

    cls = RealMLP_TD_S_Classifier if is_classification else RealMLP_TD_S_Regressor
    return cls(random_state=seed, device="cpu", verbosity=0)


def _tabm(is_classification: bool, seed: int) -> Any:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    cls = TabM_D_Classifier if is_classification else TabM_D_Regressor
    return cls(random_state=seed, device="cpu", verbosity=0)


def _sklearn_mlp(is_classification: bool, seed: int) -> Any:
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    return make_pipeline(columns, (MLPClassifier if is_classification else MLPRegressor)(random_state=seed))


PEERS: dict[str, tuple[str, Callable[[bool, int], Any]]] = {
    "fastnn": ("fastnn", _fastnn),
    "HistGradientBoosting": ("sklearn", _hist_gradient_boosting),
    "LightGBM": ("lightgbm", _lightgbm),
    "RealMLP-TD-S": ("pytabkit", _realmlp),
    "TabM": ("tabm", _tabm),
    "scikit-learn MLP": ("sklearn", _sklearn_mlp),
}
WITHOUT_MISSING = ("RealMLP-TD-S", "TabM")  # they refuse numbers that are missing: medians take their place
_UNCOMPILED = WITHOUT_MISSING  # PyTorch compiles nothing, and a warm-up of theirs would take as long as the fit


def measure(peer: str, name: str, n_splits: int) -> list[dict[str, float]]:
    """Return score, log loss, seconds and peak of memory of each seed, in this process."""
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split

    warnings.simplefilter("ignore")
    X, y, is_classification = load(name)
    for column in X.columns:
        if X[column].dtype.kind not in "biuf":
            X[column] = X[column].astype("category")
    make = PEERS[peer][1]
    rng = np.random.default_rng(0)
    few = X.iloc[rng.permutation(len(X))[:60]].copy()
    if peer not in _UNCOMPILED:
        make(is_classification, 0).fit(few, np.arange(60) % 2 if is_classification else rng.normal(size=60))
    found = []
    for seed in SEEDS[:n_splits]:
        parts = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=y if is_classification else None)
        X_train, X_test, y_train, y_test = parts
        if peer in WITHOUT_MISSING:
            medians = X_train.median(numeric_only=True)
            X_train, X_test = X_train.fillna(medians), X_test.fillna(medians)
        started, cpu_started = time.perf_counter(), time.process_time()
        estimator = make(is_classification, seed).fit(X_train, y_train)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        result = {"score": float(estimator.score(X_test, y_test)), "seconds": seconds, "cpu_seconds": cpu_seconds}
        if is_classification:
            probabilities = np.asarray(estimator.predict_proba(X_test), np.float64)
            probabilities /= probabilities.sum(axis=1, keepdims=True)
            result["log_loss"] = float(log_loss(y_test, probabilities, labels=np.unique(y_train)))
        found.append(result)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return [{**one, "megabytes": peak, "rows": len(X), "columns": X.shape[1], "load": busy} for one in found]


def run(
    sets: list[str], peers: list[str], timeout: float, n_splits: int | None, only_missing: bool = False
) -> Iterator[dict[str, Any]]:
    """Measure every pair, each in a process of its own, and give after each set what came of it so far."""
    results: dict[str, Any] = json.loads(RAW.read_text())["results"] if RAW.exists() else {}
    results = {name: of_set for name, of_set in results.items() if name in SETS}
    for name in sets:
        for peer in peers:
            if only_missing and peer in results.get(name, {}):
                continue
            splits = str(n_splits or FEW_SPLITS.get(peer, len(SEEDS)))
            command = [sys.executable, "-m", "bench.tables", "--one", peer, name, "--splits", splits]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
            except subprocess.TimeoutExpired:
                print(f"{name} {peer}: more than {timeout:g} s", flush=True)
                continue
            if done.returncode:
                print(f"{name} {peer}: {done.stderr.strip().splitlines()[-1:]}", flush=True)
                continue
            results.setdefault(name, {})[peer] = json.loads(done.stdout.splitlines()[-1])
            first = results[name][peer]
            score, seconds, cpu = (np.mean([one[key] for one in first]) for key in ("score", "seconds", "cpu_seconds"))
            print(f"{name:>14} {peer:<22} {score:.4f} {seconds:7.2f} s, {cpu:7.2f} s of CPU", flush=True)
        yield {"machine": machine(), "results": results}


def machine() -> dict[str, Any]:
    """Return where this ran and with what."""
    import importlib.metadata as metadata

    from fastnn.cli.info import cpu_name
    from fastnn.common.cpus import available_cpus

    packages = ("fastnn", "numpy", "scikit-learn", "lightgbm", "pytabkit", "torch", "pandas")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    return {
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "affinity": available_cpus(),
        "load": load,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        "versions": versions, "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }  # fmt: skip


def page(raw: dict[str, Any]) -> str:
    """Return TABLES.md."""
    results = raw["results"]
    peers = [peer for peer in PEERS if any(peer in of_set for of_set in results.values())]
    # Slow peers have few sets or splits: ranks are among those that have all of them.
    most = max(len(splits) for of_set in results.values() for splits in of_set.values())
    ranked = [peer for peer in peers if all(len(of_set.get(peer, ())) == most for of_set in results.values())]

    def mean(name: str, peer: str, key: str, other: str | None = None) -> float:
        splits = results[name][peer]
        return float(np.mean([one[key] for one in splits[: len(results[name][other or peer])]]))

    def median(name: str, peer: str, key: str) -> float:
        return float(np.median([one[key] for one in results[name][peer]]))

    def table(title: str, cell: Callable[[str, str], str]) -> list[str]:
        lines = [
            f"\n## {title}\n",
            "| set | rows x columns | " + " | ".join(peers) + " |",
            "|---|---|" + "---:|" * len(peers),
        ]
        for name, of_set in results.items():
            one = next(iter(of_set.values()))[0]
            cells = [cell(name, peer) if peer in of_set else "" for peer in peers]
            lines.append(f"| {name} | {one['rows']:,} x {one['columns']} | " + " | ".join(cells) + " |")
        return lines

    def score(name: str, peer: str) -> str:
        best = max(mean(name, other, "score") for other in results[name] if len(results[name][other]) > 1)
        text = f"{mean(name, peer, 'score'):.4f}"
        return f"**{text}**" if mean(name, peer, "score") == best else text

    def loss(name: str, peer: str) -> str:
        return f"{mean(name, peer, 'log_loss'):.4f}" if "log_loss" in results[name][peer][0] else ""

    def error(name: str, peer: str, other: str | None = None) -> float:
        return max(1 - mean(name, peer, "score", other), 1e-4)

    def totals(of_sets: list[str], peer: str, key: str) -> str:
        mine, other = (sum(median(name, p, key) for name in of_sets) for p in ("fastnn", peer))
        return f"{other:.1f} ({mine:.1f})"

    ranks: dict[str, list[float]] = {peer: [] for peer in ranked}
    for name in results:
        errors = np.array([error(name, peer) for peer in ranked])
        order = (errors[:, None] > errors).sum(axis=1) + ((errors[:, None] == errors).sum(axis=1) - 1) / 2 + 1
        for peer, rank in zip(ranked, order, strict=True):
            ranks[peer].append(rank)
    rows = []
    for peer in peers:
        common = [name for name, of_set in results.items() if {peer, "fastnn"} <= of_set.keys()]
        pairs = [(error(name, "fastnn", peer), error(name, peer)) for name in common]
        is_better = [mine < other for mine, other in pairs]
        multiple = math.exp(np.mean([math.log(other / mine) for mine, other in pairs]))
        times = [totals(common, peer, key) for key in ("cpu_seconds", "seconds")]
        rank = f"{np.mean(ranks[peer]):.2f}" if peer in ranks else ""
        cells = [str(len(common)), rank, f"{multiple:.2f}", "" if peer == "fastnn" else str(sum(is_better)), *times]
        rows.append(f"| {peer} | " + " | ".join(cells) + " |")
    loads = [one["load"] for of_set in results.values() for splits in of_set.values() for one in splits]
    missing = [name for name in (*SETS, *PEERS) if name not in results and name not in peers] or ["none"]
    info = raw["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    lines = [
        "# Tables: fastnn beside boosting and other networks",
        "",
        "Written by `python -m bench.tables`, which says how it measures; raw figures in",
        "[raw/tables.json](raw/tables.json).",
        f"All peers have their defaults (OMP_NUM_THREADS: {info['threads'] or 'not set'}; a process may use",
        f"{info['affinity']} of {info['cpus']} CPUs). Scores are means of {len(SEEDS)} splits, a quarter of the rows",
        "held back, those of TabM of the first alone; seconds are medians.",
        f"{info['cpu']}, Python {info['python']},",
        f"{versions}; {info['date']}.",
        "",
        f"At the ends of the measurements the load average was {min(loads):.1f} to {max(loads):.1f}: where it is",
        "above the number of CPUs other work ran beside. Seconds then compare with each other only roughly, those of",
        "CPU better.",
        "",
        f"{len(results)} of the {len(SETS)} sets that the program knows were run; not run: {', '.join(missing)}.",
        "",
        "## In short",
        "",
        f"Mean ranks are among the {len(ranked)} that have all splits of all sets. Beside them the geometric mean",
        "of a peer's error (1 - accuracy, or 1 - R2) by fastnn's, on how many sets fastnn is better, and seconds of",
        "a fit of each set, in brackets those of fastnn on the same sets. The best is of the peers with all splits.",
        "",
        "| | sets | mean rank | error by fastnn's | fastnn is better on | seconds of CPU | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]  # fmt: skip
    lines += table("Accuracy, or R2 (the best in bold)", score)
    lines += table("Log loss", loss)
    lines += table("Seconds of a fit", lambda name, peer: f"{median(name, peer, 'seconds'):.2f}")
    lines += table(
        "Seconds of CPU of a fit",
        lambda name, peer: f"{median(name, peer, 'cpu_seconds'):.2f}",
    )
    lines += table("Peak of the process's memory, MB", lambda name, peer: f"{mean(name, peer, 'megabytes'):.0f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description="Tables: fastnn beside its peers.")
    parser.add_argument("-k", dest="sets", action="append", choices=SETS, help="a set (default: all)")
    parser.add_argument("-p", dest="peers", action="append", choices=list(PEERS), help="a peer (default: all)")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SET"), help=argparse.SUPPRESS)
    parser.add_argument("--missing", action="store_true", help="only what the raw figures lack")
    parser.add_argument("--write", action="store_true", help="write the page also where only some were chosen")
    parser.add_argument("--splits", type=int, help="how often rows are held back (default: see above)")
    parser.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="of a peer on a set")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.splits or len(SEEDS))))
        return
    installed = [peer for peer, (module, _) in PEERS.items() if importlib.util.find_spec(module) is not None]
    writes = arguments.write or not (arguments.sets or arguments.peers)
    sets, peers = arguments.sets or list(SETS), arguments.peers or installed
    if arguments.missing:
        sets.sort(key=lambda name: load(name)[0].size)
    for raw in run(sets, peers, arguments.timeout, arguments.splits, arguments.missing):
        if writes:  # after each set, so that an interrupted run leaves what it has
            RAW.write_text(json.dumps(raw, indent=1) + "\n")
            PAGE.write_text(page(raw))


if __name__ == "__main__":
    main()
