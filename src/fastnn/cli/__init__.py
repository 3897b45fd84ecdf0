"""The command line; each command (`fastnn train`, `predict`, `bench`, `info`) is a module of this package.

A command's module has `add_parser(commands)`, which declares its arguments and sets `run`, a function of the parsed
arguments that returns the exit code. A new command is such a module and its name in `_COMMANDS`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Errors go to stderr.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from fastnn.cli import bench, info, predict, train

_COMMANDS = (train, predict, bench, info)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    import fastnn

    parser = argparse.ArgumentParser(prog="fastnn", description="Neural networks at the speed of your CPU.")
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str or None, default None
        The arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 done, 1 failed, 130 interrupted.

    Raises
    ------
    SystemExit
        With code 2 for wrong usage, and 0 for --help and --version.

    Examples
    --------
    >>> from fastnn.cli import main
    >>> main(["info"])  # doctest: +ELLIPSIS
    fastnn          ...
    0
    """
    arguments = make_parser().parse_args(argv)
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of a pipe, such as head, has gone. Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return 130
    except (FloatingPointError, OSError) as error:
        print(f"fastnn: error: {error}", file=sys.stderr)
        return 1
