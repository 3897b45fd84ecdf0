"""`fastnn describe`: what is in the file of a model of a table."""

import argparse
from pathlib import Path

from fastnn.cli.output import say


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "describe",
        usage="fastnn describe MODEL",
        help="what is in a model that `fastnn train FILE` saved",
        description="Show what a model predicts, from which columns, and how good it was on rows that were held back.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="what `fastnn train FILE --target COLUMN` saved")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what there is."""
    from fastnn.tabular import TableModel

    try:
        model = TableModel.load(arguments.model)
    except ValueError as error:
        arguments.parser.error(str(error))
    preprocessing, network = model.preprocessing, model.network
    classes = f" of {', '.join(preprocessing.classes)}" if preprocessing.classes else ""
    say(f"predicts {preprocessing.target}: {preprocessing.task}{classes}")
    for column in preprocessing.columns:
        features = "1 feature" if column.n_features == 1 else f"{column.n_features} features"
        say(f"  {column.name}: {column.kind}, {features}")
    for name, reason in preprocessing.left_out.items():
        say(f"  {name}: left out ({reason})")
    if preprocessing.missing:
        say(f"stand for no value: {', '.join(preprocessing.missing)}")
    count = f"{1 + len(model.others)} networks" if model.others else "1 network"
    say(f"{count} of {network.n_inputs} inputs, {network.n_outputs} outputs and {network.n_parameters:,} parameters")
    if model.report:
        from fastnn.cli.best import show

        try:
            show(model.report)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            arguments.parser.error(f"{arguments.model}: its report is damaged")
    return 0
