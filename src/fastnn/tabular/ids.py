"""Columns that tell rows apart and say nothing about them: row numbers, identifiers, names of everything.

A network would learn the order of the file from them: on a sorted table the row number is the answer.
"""

import re

import numpy as np

_FEWEST_ROWS = 50  # fewer say little about what a column is
_NEARLY_ALL = 0.99  # of the rows differ
_NEARLY_ALL_TEXTS = 0.95
_NAMES_OF_ROW_NUMBERS = ("", "unnamed: 0", "rownames", "row_names", "row", "_duplicated_0")
_NAME_OF_AN_ID = re.compile(r"(?:(?i:^|[_\s.-])(?i:id|uuid|guid|key|index|idx|nr|no)|[a-z](?:ID|Id|Key|Index))$")


def identifier(name: str, numbers: np.ndarray, is_first: bool) -> str | None:
    """Return why a column of numbers is left out as an identifier; None where it is none.

    Parameters
    ----------
    name : str
    numbers : ndarray of shape (n,), float64
        All rows, NaN where missing.
    is_first : bool
        Whether it is the table's first column.
    """
    known = numbers[~np.isnan(numbers)]
    if known.size < 2 or (known % 1 != 0).any():
        return None
    is_unnamed = name.strip().lower() in _NAMES_OF_ROW_NUMBERS
    if is_first and is_unnamed and known.size == numbers.size and (np.diff(known) > 0).all():
        return "a saved row number"
    if numbers.size < _FEWEST_ROWS:
        return None
    n_different = np.unique(known).size
    if n_different < _NEARLY_ALL * numbers.size:
        return None
    if is_unnamed or _NAME_OF_AN_ID.search(name):
        return "a different integer in every row: an identifier"
    counts_rows = known.min() in (0, 1) and known.max() - known.min() < 1.05 * known.size
    return "a number for each row" if counts_rows and n_different == known.size else None


def is_text_of_every_row(n_different: int, n_rows: int) -> bool:
    """Whether texts differ in so many rows that they name rows, rather than kinds of rows."""
    if n_different == n_rows:
        return n_rows >= _FEWEST_ROWS or n_rows > 32
    return n_rows >= _FEWEST_ROWS and n_different >= _NEARLY_ALL_TEXTS * n_rows
