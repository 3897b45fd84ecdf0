"""What a command says, on streams that may be closed, may lack letters, or whose reader may go away.

A reader that goes away, such as `head`, ends the report and nothing else: a model that was trained for an hour is saved
all the same.
"""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

INTERRUPTED = 130  # what a shell returns for a program that Ctrl-C ended
_state = {"is_broken": False}


def prepare_streams() -> None:
    """Make streams that cannot show some letters show their numbers; they would raise UnicodeEncodeError."""
    _state["is_broken"] = False
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def as_text(value: Any) -> Any:
    """Return what was typed, a text or a list of such, as UTF-8, which a locale without such letters does not read."""
    if isinstance(value, list):
        return [as_text(item) for item in value]
    try:
        return os.fsencode(value).decode() if isinstance(value, str) else value
    except UnicodeError:
        return value


def say(text: str = "", *, to: TextIO | None = None) -> None:
    """Print a line at once, on stdout unless `to` is another stream."""
    stream = sys.stdout if to is None else to
    if stream is None:  # closed before the program began
        return
    try:
        print(text, file=stream, flush=True)
    except BrokenPipeError:
        let_go(stream)


def write_data(text: str) -> None:
    """Write data to stdout: as UTF-8, whatever the terminal shows."""
    if sys.stdout is None:
        return
    try:
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            sys.stdout.write(text)
        else:
            sys.stdout.flush()
            buffer.write(text.encode())
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)


def let_go(stream: TextIO) -> None:
    """Send to nowhere what else is written to a stream whose reader has gone; Python itself flushes it at exit."""
    _state["is_broken"] = True
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def is_broken() -> bool:
    """Whether a reader has gone since `prepare_streams`."""
    return _state["is_broken"]


@contextmanager
def warnings_as_lines(command: str) -> Iterator[None]:
    """Show warnings as a line on stderr, without the line of source code."""

    def show(message: Any, category: Any, filename: Any, lineno: Any, file: Any = None, line: Any = None) -> None:
        say(f"{command}: warning: {message}", to=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield
