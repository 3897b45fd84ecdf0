"""`fastnn train FILE` with the presets best and fast: the estimators for tables, and a report of what they can do."""

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.callbacks import Callback, LiveView
from fastnn.callbacks.curves import FitsInTerminal
from fastnn.cli import table
from fastnn.cli.output import INTERRUPTED, say, warnings_as_lines
from fastnn.cli.table import TableData
from fastnn.common.validation import check_integer
from fastnn.tabular.estimators import BaseTabular, TabularClassifier, TabularRegressor
from fastnn.tabular.model import sketch_rows
from fastnn.tabular.scoring import r2
from fastnn.tabular.values import as_numbers, as_texts

if TYPE_CHECKING:
    from fastnn.tabular.tuning import TuneResult

MOST_CLASSES_SHOWN = 12
MOST_COLUMNS_SHOWN = 10
_MOST_TRIALS_SHOWN = 5


def run(
    arguments: argparse.Namespace, loaded: TableData, preset: str, view: LiveView | None = None
) -> int:  # fmt: skip
    """Train, save, report; returns the exit code. Raises ValueError for wrong usage."""
    frame, target = loaded.table, loaded.preprocessing.target
    is_classification = loaded.preprocessing.task == "classification"
    say(table.describe(loaded))
    kind = f"{len(loaded.preprocessing.classes)} classes" if is_classification else "regression"
    say(
        f"{loaded.data.name}: {frame.height:,} samples of {loaded.data.X.shape[1]} features, {kind}; "
        f"{loaded.train_rows.size:,} to train, {loaded.test_rows.size:,} to test"
    )
    y = np.array(as_texts(frame[target]).to_list()) if is_classification else as_numbers(frame[target])
    X = frame.drop(target)
    search: TuneResult | None = None
    report: dict[str, Any] = {"target": target, "task": loaded.preprocessing.task, "preset": preset}
    callbacks: list[Callback] = []
    if view is not None:
        say(f"live: {view.url}")
        callbacks.append(view)
    with warnings_as_lines("fastnn train"), contextlib.ExitStack() as endings:
        if preset != "tune" and arguments.live:
            callbacks.append(endings.enter_context(contextlib.closing(FitsInTerminal())))
        if arguments.cv is not None:
            report["cv"] = _cross_validate(arguments, loaded, X, y, preset, callbacks)
            say("cross-validation: " + ", ".join(
                f"{_NAMES[name]} {np.mean(values):.4f} +- {np.std(values):.4f}" for name, values in report["cv"].items()
            ))  # fmt: skip
        started = time.perf_counter()
        if preset == "tune":
            search = _tune(arguments, loaded, X[loaded.train_rows], y[loaded.train_rows], report)
            estimator = search.estimator
        else:
            estimator = make_estimator(arguments, loaded, preset)
            estimator.fit(X[loaded.train_rows], y[loaded.train_rows], callbacks=callbacks)
        endings.close()
        report["seconds"] = time.perf_counter() - started
        report.update(_scores(estimator, X, y, loaded.train_rows, loaded.test_rows))
    report["recipe"] = estimator.recipe_.name
    importance = zip(estimator.feature_names_, estimator.permutation_importance_.tolist(), strict=True)
    report["importance"] = dict(sorted(importance, key=lambda item: -item[1]))
    preprocessing = replace(estimator.model_.preprocessing, target=target, left_out=loaded.preprocessing.left_out)
    model = replace(estimator.model_, preprocessing=preprocessing, report=report)
    model = replace(model, trained_rows=sketch_rows(preprocessing, frame[loaded.train_rows]))
    path = table.output_path(arguments)
    model.save(path)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(report, is_quiet=arguments.quiet)
    if arguments.json is not None:
        say(f"report: {arguments.json}")
    if search is not None and arguments.plot is not None:
        search.plot().savefig(arguments.plot, dpi=150)
        say(f"search: {arguments.plot}")
    say(f"model: {path}")
    table.write_report(arguments, estimator, loaded, path)
    return INTERRUPTED if estimator._was_interrupted else 0


def _tune(
    arguments: argparse.Namespace, loaded: TableData, X: Any, y: np.ndarray, report: dict[str, Any]
) -> "TuneResult":
    """Search for a recipe, show the best ones, and return what was found."""
    from fastnn.tabular.tuning import tune

    options = make_estimator(arguments, loaded, "best").get_params()
    for name in ("time_limit", "n_threads", "recipe", "random_state"):
        del options[name]
    result = tune(
        X, y, task=loaded.preprocessing.task, time_limit=arguments.time_limit, n_trials=arguments.trials,
        metric=arguments.metric, n_jobs=arguments.threads, random_state=arguments.seed, **options,
    )  # fmt: skip
    if result.was_interrupted:
        say("fastnn tune: interrupted; what follows is the best so far", to=sys.stderr)
    n_through = sum(len(trial.scores) == len(result.trials[0].scores) for trial in result.trials)
    say(f"{len(result.trials)} configurations, {n_through} on the highest rung; by {result.metric} the best are")
    for trial in result.trials[:_MOST_TRIALS_SHOWN]:
        recipe = trial.recipe
        sizes, is_encoded = "-".join(map(str, recipe.hidden)), "encoded" if recipe.encodes else "not encoded"
        if recipe.members > 1:
            sizes = f"{recipe.members} members of {sizes}"
        say(
            f"  {trial.scores[-1]:.4f}  {sizes}, {is_encoded}, dropout {recipe.dropout:g}, "
            f"rate {recipe.learning_rate:.2g}, decay {recipe.weight_decay:.2g}"
        )
    report["trials"] = [
        {"scores": trial.scores, "seconds": trial.seconds, **asdict(trial.recipe)} for trial in result.trials
    ]
    return result


def make_estimator(arguments: argparse.Namespace, loaded: TableData, preset: str) -> BaseTabular:
    """Return the estimator that the arguments describe."""
    left_out = [name for name in loaded.preprocessing.left_out if name in loaded.table.columns]
    used = [column.name for column in loaded.preprocessing.columns]
    cls = TabularClassifier if loaded.preprocessing.task == "classification" else TabularRegressor
    return cls(
        preset=preset, time_limit=arguments.time_limit, random_state=arguments.seed, n_threads=arguments.threads,
        categorical=[name for name in arguments.categorical or () if name in used], drop=left_out, keep=used,
        missing=arguments.missing or (), dayfirst=arguments.dayfirst,
    )  # fmt: skip


def _cross_validate(
    arguments: argparse.Namespace, loaded: TableData, X: Any, y: np.ndarray, preset: str, callbacks: list[Callback]
) -> dict[str, list[float]]:
    """Return the scores of each of K models on the part of the rows that it was not trained on."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    n_folds = check_integer("--cv", arguments.cv, 2, min(X.height, 1000))
    groups, rows = None, np.arange(X.height)
    if arguments.time is not None:
        rows = np.concatenate([loaded.train_rows, loaded.test_rows])  # the last ones are last
        folds: Any = TimeSeriesSplit(n_folds)
    elif arguments.group is not None:
        groups, folds = table.group_numbers(X[arguments.group]), GroupKFold(n_folds)
    else:
        kind = StratifiedKFold if loaded.preprocessing.classes else KFold
        folds = kind(n_folds, shuffle=True, random_state=arguments.seed)
    found: dict[str, list[float]] = {}
    for place, (train, test) in enumerate(folds.split(rows, y[rows], groups)):
        own = [callback.copy_for(f"fold {place + 1}", 1) for callback in callbacks]
        estimator = make_estimator(arguments, loaded, preset)
        estimator.fit(X[rows[train]], y[rows[train]], callbacks=own)
        if estimator._was_interrupted:
            raise KeyboardInterrupt
        scores = _scores(estimator, X, y, rows[train], rows[test])["test"]
        for name, value in scores.items():
            if name in _NAMES and value is not None:
                found.setdefault(name, []).append(value)
    return found


_NAMES = {
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "r2": "R2",
    "mae": "MAE",
    "rmse": "RMSE",
}


def _scores(
    estimator: BaseTabular, X: Any, y: np.ndarray, train_rows: np.ndarray, test_rows: np.ndarray
) -> dict[str, Any]:
    """Return scores on test rows, and those of the trivial answer: the most frequent class, or the mean."""
    train, test = y[train_rows], y[test_rows]
    if isinstance(estimator, TabularRegressor):
        errors = test - estimator.predict(X[test_rows])
        return {"test": _of_errors(test, errors), "trivial": _of_errors(test, test - train.mean())}
    assert isinstance(estimator, TabularClassifier)
    from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, roc_auc_score

    probabilities = np.asarray(estimator.predict_proba(X[test_rows]), np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    classes = estimator.classes_
    predicted = classes[probabilities.argmax(axis=1)]
    _, counts = np.unique(train, return_counts=True)
    present = np.isin(classes, test)
    auc = None
    if present.sum() > 1:
        each = [roc_auc_score(test == classes[i], probabilities[:, i]) for i in np.flatnonzero(present)]
        auc = float(np.mean(each))
    precision, recall, f1, support = precision_recall_fscore_support(test, predicted, labels=classes, zero_division=0)
    shares = np.tile(counts / counts.sum(), (test.size, 1))
    return {
        "test": {
            "accuracy": float(np.mean(predicted == test)),
            "log_loss": float(log_loss(test, probabilities, labels=classes)), "roc_auc": auc,
        },
        "trivial": {
            "accuracy": float(np.mean(test == classes[counts.argmax()])),
            "log_loss": float(log_loss(test, shares, labels=classes)),
        },
        "classes": {
            str(name): {"precision": p, "recall": r, "f1": f, "rows": n}
            for name, p, r, f, n in zip(
                classes, precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True
            )
        },
        "confusion": confusion_matrix(test, predicted, labels=classes).tolist(),
    }  # fmt: skip


def _of_errors(truth: np.ndarray, errors: np.ndarray) -> dict[str, float]:
    return {
        "r2": r2(truth, errors), "mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean())),
    }  # fmt: skip


def show(report: dict[str, Any], is_quiet: bool = False) -> None:
    """Print a report."""
    test, trivial = report["test"], report["trivial"]
    if "accuracy" in test:
        say(f"test accuracy: {100 * test['accuracy']:.2f} %")
        auc = "" if test["roc_auc"] is None else f", ROC AUC: {test['roc_auc']:.4f}"
        say(f"log loss: {test['log_loss']:.4f}{auc}")
        say(f"the most frequent class alone: {100 * trivial['accuracy']:.2f} %")
        if not is_quiet and len(report["classes"]) <= MOST_CLASSES_SHOWN:
            _show_classes(report["classes"], report["confusion"])
    else:
        say(f"test R2: {test['r2']:.4f}")
        say(f"MAE: {test['mae']:.4g}, RMSE: {test['rmse']:.4g}")
        say(f"the mean alone: {trivial['r2']:.4f}, MAE: {trivial['mae']:.4g}, RMSE: {trivial['rmse']:.4g}")
    if not is_quiet:
        shown = [(name, value) for name, value in report["importance"].items() if value > 0][:MOST_COLUMNS_SHOWN]
        if shown:
            say("columns by importance: " + ", ".join(f"{name} {value:.3g}" for name, value in shown))
    say(f"time: {report['seconds']:.2f} s, recipe: {report['recipe']}")


def _show_classes(classes: dict[str, dict[str, float]], confusion: list[list[int]]) -> None:
    width = max(len("class"), *(len(name) for name in classes))
    cell = max(6, *(len(name) for name in classes)) + 2
    say(f"{'class':<{width}}  precision  recall     f1    rows | predicted as")
    say(" " * width + " " * 35 + " |" + "".join(f"{name:>{cell}}" for name in classes))
    for (name, values), row in zip(classes.items(), confusion, strict=True):
        numbers = f"{values['precision']:>11.3f}{values['recall']:>8.3f}{values['f1']:>7.3f}{values['rows']:>8,}"
        say(f"{name:<{width}}{numbers}  |" + "".join(f"{count:>{cell},}" for count in row))
