"""The command line; each command (`fastnn train`, `tune`, `predict`, ...) is a module of this package.

A command's module has `add_parser(commands)`, which declares its arguments and sets `run`, a function of the parsed
arguments that returns the exit code. A new command is such a module and its name in `_COMMANDS`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. Errors go to stderr.
"""

import argparse
import sys
from collections.abc import Sequence

from fastnn.cli import bench, describe, info, output, predict, train, tune

_COMMANDS = (train, tune, predict, describe, bench, info)


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
    output.prepare_streams()
    arguments = make_parser().parse_args(argv)
    for name, value in vars(arguments).items():
        setattr(arguments, name, value if name == "name" else output.as_text(value))  # that one is a path
    try:
        code = arguments.run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        output.let_go(sys.stdout)
        return 1
    except KeyboardInterrupt:
        output.say("fastnn: interrupted", to=sys.stderr)
        return 130
    except (FloatingPointError, OSError) as error:
        output.say(f"fastnn: error: {error}", to=sys.stderr)
        return 1
    return 1 if output.is_broken() and code == 0 else code
