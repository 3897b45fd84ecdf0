"""`fastnn predict`: predictions for the rows of a table, as CSV."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.cli import pictures, sequences
from fastnn.cli.options import check_output
from fastnn.cli.output import say, warnings_as_lines, write_data
from fastnn.files import container

if TYPE_CHECKING:
    from polars import DataFrame

    from fastnn.tabular import Preprocessing


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "predict",
        usage="fastnn predict MODEL FILE... [options]",
        help="predict with a model that `fastnn train` saved",
        description="Write the predictions for each row of a table, or for each of some pictures, as CSV; for classes "
        "with their probabilities. "
        "Where the table has the target too, a line says how good they are (on stderr, if predictions go to stdout).",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train` saved")
    parser.add_argument(
        "files", type=Path, metavar="FILE", nargs="+",
        help="a table with the same columns, with or without the target; or pictures",
    )  # fmt: skip
    parser.add_argument("--missing", nargs="+", default=(), metavar="TEXT", help="what stands for no value")
    parser.add_argument(
        "--output", "-o", type=Path, metavar="OUT", help="where to write, if not to stdout: .csv, .parquet, ..."
    )
    parser.add_argument("--keep", nargs="+", default=(), metavar="COLUMN", help="columns of FILE to copy to the output")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict and write."""
    try:
        kind = _kind_of(arguments.model)
        if kind == "pictures":
            _predict_pictures(arguments)
            return 0
        if len(arguments.files) > 1:
            raise ValueError(f"FILE must be one table, got {len(arguments.files)}: {arguments.model} predicts tables")
        if kind == "series":
            _predict_sequences(arguments)
            return 0
    except (ValueError, ImportError) as error:
        arguments.parser.error(str(error))
    return _predict_table(arguments)


def _kind_of(path: Path) -> str | None:
    """Return what kind of model a file holds; None for one that cannot be read."""
    try:
        with container.reading(path) as file:
            return file.document.get("kind")
    except (OSError, ValueError):
        return None


def _predict_sequences(arguments: argparse.Namespace) -> None:
    from fastnn.tabular.reading import import_polars

    if arguments.keep:
        raise ValueError(f"--keep goes with a prediction for every row; {arguments.model} predicts sequences")
    if arguments.output is not None:
        _check_writer(arguments.output)
    with warnings_as_lines("fastnn predict"):
        predicted = sequences.predict(arguments.model, arguments.files[0], arguments.missing)
    _write(import_polars().DataFrame(predicted), arguments.output)


def _check_writer(path: Path) -> None:
    check_output(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(f"--output must end in {', '.join(_WRITERS)}, got {str(path)!r}")


def _predict_pictures(arguments: argparse.Namespace) -> None:
    for name in ("missing", "keep"):
        if getattr(arguments, name):
            raise ValueError(f"--{name} goes with a table; {arguments.model} predicts pictures")
    if arguments.output is not None:
        check_output(arguments.output)
        if arguments.output.suffix.lower() != ".csv":
            raise ValueError(f"--output must end in .csv for pictures, got {str(arguments.output)!r}")
    pictures.predict(arguments.model, arguments.files, arguments.output)


def _predict_table(arguments: argparse.Namespace) -> int:
    from fastnn.tabular import TableModel, read_table
    from fastnn.tabular.reading import import_polars
    from fastnn.tabular.values import unknown_column

    (file,) = arguments.files
    try:
        polars = import_polars()
        if arguments.output is not None:
            _check_writer(arguments.output)
        model = TableModel.load(arguments.model)
        preprocessing = model.preprocessing
        table = read_table(file, [*preprocessing.missing, *arguments.missing], preprocessing.texts)
        for name in arguments.keep:
            if name not in table.columns:
                raise unknown_column(name, table.columns, str(file))
        with warnings_as_lines("fastnn predict"):
            predicted = model.predict(table)
    except (ValueError, ImportError) as error:
        arguments.parser.error(str(error))
    kept = table.select(arguments.keep)
    _write(polars.concat([kept, polars.DataFrame(predicted)], how="horizontal"), arguments.output)
    line = describe_scores(preprocessing, table, predicted)
    if line is not None:
        stream = sys.stderr if arguments.output is None else None
        say(line, to=stream)
        share = model.share_trained_on(table)
        if share > _SHARE_TO_TELL:
            say(
                f"the model was trained on {share:.0%} of these rows: the score flatters it".replace("%", " %"),
                to=stream,
            )
    return 0


_WRITERS = {
    ".csv": "write_csv", ".tsv": "write_csv", ".txt": "write_csv", ".parquet": "write_parquet", ".feather": "write_ipc",
    ".arrow": "write_ipc", ".json": "write_ndjson", ".jsonl": "write_ndjson", ".ndjson": "write_ndjson",
}  # fmt: skip
_SHARE_TO_TELL = 0.05  # as many rows may be like those of training by chance


def _write(predictions: "DataFrame", path: Path | None) -> None:
    """Write a table in the form that the suffix names, or to stdout as CSV."""
    if path is None:
        write_data(predictions.write_csv())
        return
    suffix = path.suffix.lower()
    options = {"separator": "\t"} if suffix == ".tsv" else {}
    getattr(predictions, _WRITERS[suffix])(path, **options)
    say(f"{predictions.height:,} predictions: {path}")


def describe_scores(preprocessing: "Preprocessing", table: "DataFrame", predicted: dict[str, Any]) -> str | None:
    """Return a line about how good predictions are, or why that cannot be said; None for a table without targets."""
    from fastnn.tabular.scoring import rows_with_target, scores

    n_rows = rows_with_target(preprocessing, table)
    if not n_rows:
        return None
    try:
        values = scores(preprocessing, table, predicted)
    except ValueError as error:
        return f"not scored: {error}"
    texts = {"accuracy": "accuracy: {:.2%}", "r2": "R2: {:.4f}", "mae": "mean absolute error: {:.4g}"}
    told = ", ".join(text.format(values[name]).replace("%", " %") for name, text in texts.items() if name in values)
    rows = (
        f"{n_rows:,} rows" if n_rows == table.height else f"the {n_rows:,} of {table.height:,} rows that have a target"
    )
    return f"{told} ({rows})"
