"""What `fastnn train` does with a file in place of a data set's name: reads, splits and learns the preprocessing."""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.cli.options import check_output, given_flags
from fastnn.cli.output import say
from fastnn.common.validation import check_real
from fastnn.datasets import Dataset
from fastnn.inputs.splits import split_off
from fastnn.tabular.dates import as_days, find_order, holds_dates
from fastnn.tabular.preprocessing import TASKS, Preprocessing, find_task
from fastnn.tabular.reading import SUFFIXES, read_table, table_suffix
from fastnn.tabular.values import as_numbers, as_texts, unknown_column
from fastnn.training.history import History

if TYPE_CHECKING:
    from polars import DataFrame, Series

PRESETS = ("best", "fast", "plain")
OPTIONS = (
    "target",
    "task",
    "categorical",
    "drop",
    "keep_column",
    "missing",
    "dayfirst",
    "output",
    "report",
)  # those that need a file


def name_of(text: str) -> str:
    """Return the name of what is to be read; an empty one, as of a variable that is not set, is the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("must name what to read, got ''")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that go with a file."""
    table = parser.add_argument_group("table", "where NAME is a file; columns of numbers are scaled to unit variance")
    table.add_argument("--target", metavar="COLUMN", help="what to predict")
    table.add_argument("--task", choices=TASKS, help="default: by the values of the target")
    table.add_argument("--categorical", nargs="+", metavar="COLUMN", help="columns whose numbers are names")
    table.add_argument("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    table.add_argument(
        "--keep-column", nargs="+", metavar="COLUMN", help="columns to use although they look like identifiers"
    )
    table.add_argument(
        "--dayfirst", action=argparse.BooleanOptionalAction, help="what comes first in dates such as 1/2/2020"
    )
    table.add_argument("--missing", nargs="+", metavar="TEXT", help="what stands for no value, beside NA and the like")
    table.add_argument("--group", metavar="COLUMN", help="rows of the same value are tested on together")
    table.add_argument("--time", metavar="COLUMN", help="the last rows by this column are tested on")
    table.add_argument("--json", type=Path, metavar="FILE", help="write scores and importances to a JSON file")
    table.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page about the model")
    table.add_argument(
        "--output", "-o", type=Path, metavar="FILE",
        help="where to save the model (default: NAME's stem, the target and .safetensors, here)",
    )  # fmt: skip


def add_preset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fastnn train FILE` alone."""
    table = parser.add_argument_group("presets", "where NAME is a file")
    table.add_argument(
        "--preset",
        choices=PRESETS,
        help="best compares recipes and trains several networks, fast trains one, plain is the network described below "
        "(default: best, or plain where an option for it is given)",
    )
    table.add_argument("--time-limit", type=float, metavar="SECONDS", help="how long training may take")
    table.add_argument("--cv", type=int, metavar="K", help="also score K models, each on another part of the rows")


def is_table(arguments: argparse.Namespace) -> bool:
    """Whether a file is meant; raises ValueError if options for files go with the name of a data set."""
    if table_suffix(arguments.name) is not None:
        if arguments.target is None:
            raise ValueError("--target must name the column to predict")
        if arguments.scale is not None:
            raise ValueError("--scale goes with the data sets; columns of a file are scaled to unit variance")
        return True
    if given := given_flags(arguments, OPTIONS):
        raise ValueError(f"{given[0]} goes with a file that ends in {', '.join(SUFFIXES)}, got {arguments.name!r}")
    return False


@dataclass(frozen=True)
class TableData:
    """A table as training takes it.

    Attributes
    ----------
    data : Dataset
        All rows that have a target; X preprocessed, y as the network learns it.
    preprocessing : Preprocessing
        Learnt from the training rows.
    train_rows, test_rows : ndarray of int
    n_without_target : int
        Rows of the file that have no target, and are not used.
    """

    data: Dataset
    preprocessing: Preprocessing
    table: "DataFrame"
    train_rows: np.ndarray
    test_rows: np.ndarray
    n_without_target: int


def load(arguments: argparse.Namespace) -> TableData:
    """Read and split a table, class by class, and learn the preprocessing from its training rows."""
    path = Path(arguments.name)
    test_size = check_real("--test-size", arguments.test_size, 0.0, 1.0, closed="neither")
    check_output(output_path(arguments))
    if arguments.json is not None:
        check_output(arguments.json, "--json")
    if arguments.report is not None:
        from fastnn.reporting import check_extra

        check_extra()
        check_output(arguments.report, "--report")
    table, task = read_with_target(path, arguments)
    used = table[arguments.target].is_not_null().arg_true().to_numpy().astype(np.int64)
    if not used.size:
        raise ValueError(f"the target {arguments.target!r} must have values, got none")
    train_rows, test_rows = _split(table[used], task, arguments, test_size)
    # From the whole table, so that errors give row numbers of the file.
    preprocessing = Preprocessing.learn(
        table, arguments.target, task=task, categorical=arguments.categorical or (), drop=dropped(arguments),
        rows=used[train_rows], missing=arguments.missing or (), dayfirst=arguments.dayfirst,
        keep=arguments.keep_column or (), embeds=True,
    )  # fmt: skip
    data = Dataset(
        name=path.name, task="regression" if preprocessing.task == "regression" else "classification",
        X=preprocessing.features(table)[used], y=preprocessing.targets(table[used]),
        feature_names=tuple(column.name for column in preprocessing.columns), class_names=preprocessing.classes,
    )  # fmt: skip
    return TableData(data, preprocessing, table[used], train_rows, test_rows, table.height - used.size)


def read_with_target(path: Path, arguments: argparse.Namespace) -> "tuple[DataFrame, str | None]":
    """Return a table, and the task that its target makes; classes and categories keep the file's spelling.

    The task is None where the target holds dates, about which `Preprocessing.learn` has something to say.
    """
    texts, missing = list(arguments.categorical or ()), list(arguments.missing or ())
    table = read_table(path, missing, texts)
    for name in (
        arguments.target,
        *texts,
        *(arguments.drop or ()),
        *(arguments.keep_column or ()),
        *(name for name in (arguments.group, arguments.time) if name is not None),
    ):
        if name not in table.columns:
            raise unknown_column(name, table.columns, str(path))
    task = arguments.task
    if task is None and not holds_dates(table[arguments.target]):
        task = find_task(table[arguments.target])
    if task == "classification":
        table = read_table(path, missing, [*texts, arguments.target])
    return table, task


def dropped(arguments: argparse.Namespace) -> list[str]:
    """Return the columns that are left out as asked; groups are no features, since test rows have others."""
    groups = [] if arguments.group is None else [arguments.group]
    return list(dict.fromkeys([*(arguments.drop or ()), *groups]))


def _split(
    table: "DataFrame", task: str | None, arguments: argparse.Namespace, test_size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and to test on: class by class, by groups, or the last ones by time."""
    n = table.height
    n_test = int(np.ceil(test_size * n))
    if n_test >= n:
        raise ValueError(f"--test-size {test_size:g} leaves none of {n} rows to train on")
    if arguments.time is not None:
        times = table[arguments.time]
        order = np.argsort(as_days(times, find_order(times, arguments.dayfirst)) if holds_dates(times)
                           else as_numbers(times), kind="stable")  # fmt: skip
        return np.sort(order[:-n_test]), np.sort(order[-n_test:])
    if arguments.group is not None:
        return split_by_groups(group_numbers(table[arguments.group]), n_test, arguments.seed)
    classes = as_texts(table[arguments.target]).rank("dense").to_numpy().astype(np.int64)
    return split_off(n, n_test, classes if task == "classification" else None, arguments.seed)


def group_numbers(values: "Series") -> np.ndarray:
    """Return a number for each different value, missing ones being one of them."""
    return np.unique(as_texts(values).fill_null("").to_numpy(), return_inverse=True)[1]


def split_by_groups(groups: np.ndarray, n_off: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows that stay, rows split off): whole groups in random order until n_off rows are reached."""
    n_groups = groups.max() + 1
    if n_groups < 2:
        raise ValueError("--group must name a column of at least two different values")
    order = np.random.default_rng(seed).permutation(n_groups)
    counts = np.bincount(groups)[order]
    n_chosen = min(int(np.searchsorted(np.cumsum(counts), n_off)) + 1, n_groups - 1)
    is_off = np.isin(groups, order[:n_chosen])
    return np.flatnonzero(~is_off), np.flatnonzero(is_off)


def output_path(arguments: argparse.Namespace) -> Path:
    """Return where the model is saved: as asked, or by the names of table and target in the current folder."""
    if arguments.output is not None:
        return arguments.output
    name = Path(arguments.name).name
    stem = name[: -len(table_suffix(name) or "")]
    target = re.sub(r"[^\w.-]+", "_", arguments.target)
    return Path(os.fsdecode(f"{stem}-{target}.safetensors".encode(errors="surrogateescape")))  # UTF-8 in any locale


def describe(table: TableData) -> str:
    """Return what was done with the columns, in lines of text."""
    kinds: dict[str, list[str]] = {}
    for column in table.preprocessing.columns:
        kinds.setdefault(column.kind, []).append(column.name)
    names = {
        "number": "numbers",
        "quantile": "numbers",
        "one-hot": "categories",
        "category": "categories with a learned vector each",
        "rank": "categories by rank",
        "date": "dates",
    }
    lines = [f"{names[kind]}: {', '.join(columns)}" for kind, columns in kinds.items()]
    lines += [f"left out: {name} ({reason})" for name, reason in table.preprocessing.left_out.items()]
    if table.n_without_target:
        rows = "1 row" if table.n_without_target == 1 else f"{table.n_without_target:,} rows"
        lines.append(f"left out: {rows} without {table.preprocessing.target}")
    return "\n".join(lines)


def write_report(
    arguments: argparse.Namespace, model: Any, table: TableData, path: Path, history: History | None = None
) -> None:
    """Write the page about a model, measured on the rows that were held back, if that was asked for."""
    if arguments.report is None:
        return
    from fastnn.reporting import report

    target = table.preprocessing.target
    rows = table.table[table.test_rows]
    is_classification = table.preprocessing.task == "classification"
    y = np.array(as_texts(rows[target]).to_list()) if is_classification else as_numbers(rows[target])
    title = f"{Path(arguments.name).name}: {target}"
    report(model, rows.drop(target), y, title=title, model_path=path, history=history).save(arguments.report)
    say(f"page: {arguments.report}")
