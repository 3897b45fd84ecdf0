"""What `fastnn train` does with a file in place of a data set's name: reads, splits and learns the preprocessing."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastnn.common.validation import check_real
from fastnn.datasets import Dataset
from fastnn.inputs.splits import split_off
from fastnn.tabular.columns import as_texts, unknown_column
from fastnn.tabular.preprocessing import TASKS, Preprocessing, find_task
from fastnn.tabular.reading import SUFFIXES, read_table

if TYPE_CHECKING:
    from polars import Series

_OPTIONS = ("target", "task", "categorical", "drop", "missing", "output")  # those that need a file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that go with a file."""
    table = parser.add_argument_group("table", "where NAME is a file; columns of numbers are scaled to unit variance")
    table.add_argument("--target", metavar="COLUMN", help="what to predict")
    table.add_argument("--task", choices=TASKS, help="default: by the values of the target")
    table.add_argument("--categorical", nargs="+", metavar="COLUMN", help="columns whose numbers are names")
    table.add_argument("--drop", nargs="+", metavar="COLUMN", help="columns to leave out")
    table.add_argument("--missing", nargs="+", metavar="TEXT", help="what stands for no value, beside NA and the like")
    table.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="where to save the model (default: NAME's stem + .safetensors, here)",
    )


def is_table(arguments: argparse.Namespace) -> bool:
    """Whether a file is meant; raises ValueError if options for files go with the name of a data set."""
    if Path(arguments.name).suffix.lower() in SUFFIXES:
        if arguments.target is None:
            raise ValueError("--target must name the column to predict")
        if arguments.scale is not None:
            raise ValueError("--scale goes with the data sets; columns of a file are scaled to unit variance")
        return True
    given = [name for name in _OPTIONS if getattr(arguments, name) is not None]
    if given:
        raise ValueError(f"--{given[0]} goes with a file that ends in {', '.join(SUFFIXES)}, got {arguments.name!r}")
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
    train_rows: np.ndarray
    test_rows: np.ndarray
    n_without_target: int


def load(arguments: argparse.Namespace) -> TableData:
    """Read and split a table, class by class, and learn the preprocessing from its training rows."""
    path = Path(arguments.name)
    test_size = check_real("--test-size", arguments.test_size, 0.0, 1.0, closed="neither")
    check_output(output_path(arguments))
    table = read_table(path, arguments.missing or ())
    if arguments.target not in table.columns:
        raise unknown_column(arguments.target, table.columns, str(path))
    used = table[arguments.target].is_not_null().arg_true().to_numpy().astype(np.int64)
    if not used.size:
        raise ValueError(f"the target {arguments.target!r} must have values, got none")
    train_rows, test_rows = _split(table[used][arguments.target], arguments, test_size)
    # From the whole table, so that errors give row numbers of the file.
    preprocessing = Preprocessing.learn(
        table, arguments.target, task=arguments.task, categorical=arguments.categorical or (),
        drop=arguments.drop or (), rows=used[train_rows],
    )  # fmt: skip
    data = Dataset(
        name=path.name, task="regression" if preprocessing.task == "regression" else "classification",
        X=preprocessing.features(table)[used], y=preprocessing.targets(table[used]),
        feature_names=tuple(column.name for column in preprocessing.columns), class_names=preprocessing.classes,
    )  # fmt: skip
    return TableData(data, preprocessing, train_rows, test_rows, table.height - used.size)


def _split(target: "Series", arguments: argparse.Namespace, test_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and to test on, drawn class by class where there are classes."""
    n_test = int(np.ceil(test_size * len(target)))
    if n_test >= len(target):
        raise ValueError(f"--test-size {test_size:g} leaves none of {len(target)} rows to train on")
    is_class = (arguments.task or find_task(target)) == "classification"
    classes = as_texts(target).rank("dense").to_numpy().astype(np.int64) if is_class else None
    return split_off(len(target), n_test, classes, arguments.seed)


def output_path(arguments: argparse.Namespace) -> Path:
    """Return where the model is saved: as asked, or by the table's name in the current folder."""
    return arguments.output or Path(Path(arguments.name).stem + ".safetensors")


def check_output(path: Path) -> None:
    """Raise before any work starts if the model could not be saved after it."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"--output must be a file in a folder that exists, got {str(path)!r}")


def describe(table: TableData) -> str:
    """Return what was done with the columns, in lines of text."""
    kinds: dict[str, list[str]] = {}
    for column in table.preprocessing.columns:
        kinds.setdefault(column.kind, []).append(column.name)
    names = {"number": "numbers", "one-hot": "categories", "rank": "categories by rank", "date": "dates"}
    lines = [f"{names[kind]}: {', '.join(columns)}" for kind, columns in kinds.items()]
    lines += [f"left out: {name} ({reason})" for name, reason in table.preprocessing.left_out.items()]
    if table.n_without_target:
        rows = "1 row" if table.n_without_target == 1 else f"{table.n_without_target:,} rows"
        lines.append(f"left out: {rows} without {table.preprocessing.target}")
    return "\n".join(lines)
