"""What commands ask of their options: which were given, and whether the files that they name can be written."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path


def flag(name: str) -> str:
    """Return how an option is typed.

    Examples
    --------
    >>> flag("keep_column")
    '--keep-column'
    """
    return f"--{name.replace('_', '-')}"


def given_flags(arguments: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Return which of the options have another value than their default, as they are typed."""
    default_of = arguments.parser.get_default
    return [flag(name) for name in names if getattr(arguments, name) != default_of(name)]


def check_output(path: Path, option: str = "--output") -> None:
    """Raise before any work starts if a file could not be written after it."""
    folder = path.absolute().parent
    try:
        is_folder = path.is_dir()
    except OSError as error:  # a name that is too long
        raise ValueError(f"{option} must be a file that may be written, got {str(path)!r}: {error.strerror}") from None
    if is_folder or not folder.is_dir():
        raise ValueError(f"{option} must be a file in a folder that exists, got {str(path)!r}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} must be a file, got {str(path)!r}, which is a device or a pipe")
    # Root may write to every file; one that nobody is meant to write to is not replaced for root either.
    is_read_only = path.exists() and not (os.access(path, os.W_OK) and path.stat().st_mode & 0o222)
    if not os.access(folder, os.W_OK) or is_read_only:
        raise ValueError(f"{option} must be a file that may be written, got {str(path)!r}")


def check_plot(path: Path | None) -> None:
    """Raise before any work starts if the picture could not be saved after it."""
    if path is None:
        return
    from fastnn.plotting import check_matplotlib, picture_formats

    check_matplotlib()
    if path.suffix.lower().lstrip(".") not in picture_formats():
        raise ValueError(f"--plot must end in one of {', '.join(picture_formats())}, got {str(path)!r}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--plot must lie in a folder that exists, got {str(path)!r}")
    check_output(path, "--plot")
