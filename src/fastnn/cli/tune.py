"""`fastnn tune`: a search for the recipe that suits a table, and the model that follows it."""

import argparse
from pathlib import Path

from fastnn.cli import table
from fastnn.cli.options import check_plot

_METRICS = ("log_loss", "accuracy", "roc_auc", "mse", "rmse", "mae", "r2")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "tune",
        usage="fastnn tune FILE --target COLUMN [options]",
        help="search for the network that suits a table",
        description="Try many configurations on a table, most of them briefly, train the best one, test and save it "
        "for `fastnn predict`. Ctrl-C ends the search with the best so far.",
    )
    parser.add_argument("name", metavar="FILE", type=table.name_of, help="a table")
    table.add_arguments(parser)
    search = parser.add_argument_group("search")
    search.add_argument("--time-limit", type=float, default=30.0, metavar="SECONDS", help="of search and training")
    search.add_argument("--trials", type=int, metavar="N", help="configurations at most")
    search.add_argument("--metric", choices=_METRICS, help="what is best (default: log_loss or mse)")
    search.add_argument("--seed", type=int, default=0, metavar="N", help="of the split, the search and the networks")
    search.add_argument("--threads", type=int, metavar="N", help="configurations that train at once")
    search.add_argument("--test-size", type=float, default=0.2, metavar="SHARE", help="of the rows, held back")
    search.add_argument("--plot", type=Path, metavar="FILE", help="save a picture of the search")
    search.add_argument("--quiet", action="store_true", help="only the results")
    parser.set_defaults(run=run, parser=parser, scale=None, preset=None, cv=None)


def run(arguments: argparse.Namespace) -> int:
    """Search, train, test and report."""
    from fastnn.cli import best
    from fastnn.tabular.reading import SUFFIXES

    try:
        check_plot(arguments.plot)
        if table.table_suffix(arguments.name) is None:
            raise ValueError(f"FILE must end in {', '.join(SUFFIXES)}, got {arguments.name!r}")
        table.is_table(arguments)  # which says what it lacks
        return best.run(arguments, table.load(arguments), "tune")
    except (ValueError, TypeError, ImportError) as error:
        arguments.parser.error(str(error))
    return 2  # not reached: the parser's error ends the program
