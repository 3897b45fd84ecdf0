"""`fastnn predict`: predictions for the rows of a table, as CSV."""

import argparse
import sys
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "predict",
        help="predict with a model that `fastnn train FILE` saved",
        description="Write the predictions for each row of a table as CSV; for classes with their probabilities.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train FILE --target COLUMN` saved")
    parser.add_argument("file", type=Path, metavar="FILE", help="a table with the same columns; the target may lack")
    parser.add_argument("--missing", nargs="+", default=(), metavar="TEXT", help="what stands for no value")
    parser.add_argument("--output", "-o", type=Path, metavar="OUT.csv", help="where to write, if not to stdout")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Predict and write."""
    from fastnn.tables import TableModel, read_table
    from fastnn.tables.reading import import_polars

    try:
        polars = import_polars()
        model = TableModel.load(arguments.model)
        predictions = polars.DataFrame(model.predict(read_table(arguments.file, arguments.missing)))
    except (ValueError, ImportError) as error:
        arguments.parser.error(str(error))
    if arguments.output is None:
        sys.stdout.write(predictions.write_csv())
    else:
        predictions.write_csv(arguments.output)
        print(f"{predictions.height:,} predictions: {arguments.output}")
    return 0
