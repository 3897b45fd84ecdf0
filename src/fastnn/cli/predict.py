"""`fastnn predict`: predictions for the rows of a table, as CSV."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polars import DataFrame

    from fastnn.tabular import Preprocessing


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "predict",
        usage="fastnn predict MODEL FILE [options]",
        help="predict with a model that `fastnn train FILE` saved",
        description="Write the predictions for each row of a table as CSV; for classes with their probabilities. "
        "Where the table has the target too, a line says how good they are (on stderr, if predictions go to stdout).",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train FILE --target COLUMN` saved")
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a table with the same columns, with or without the target"
    )
    parser.add_argument("--missing", nargs="+", default=(), metavar="TEXT", help="what stands for no value")
    parser.add_argument("--output", "-o", type=Path, metavar="OUT.csv", help="where to write, if not to stdout")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict and write."""
    from fastnn.tabular import TableModel, read_table
    from fastnn.tabular.reading import import_polars

    try:
        polars = import_polars()
        model = TableModel.load(arguments.model)
        table = read_table(arguments.file, arguments.missing)
        predicted = model.predict(table)
    except (ValueError, ImportError) as error:
        arguments.parser.error(str(error))
    predictions = polars.DataFrame(predicted)
    if arguments.output is None:
        sys.stdout.write(predictions.write_csv())
    else:
        predictions.write_csv(arguments.output)
        print(f"{predictions.height:,} predictions: {arguments.output}")
    line = describe_scores(model.preprocessing, table, predicted)
    if line is not None:
        sys.stdout.flush()
        print(line, file=sys.stderr if arguments.output is None else sys.stdout)
    return 0


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
    told = ", ".join(texts[name].format(value).replace("%", " %") for name, value in values.items())
    rows = (
        f"{n_rows:,} rows" if n_rows == table.height else f"the {n_rows:,} of {table.height:,} rows that have a target"
    )
    return f"{told} ({rows})"
