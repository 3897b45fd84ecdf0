"""Tables from files, as polars data frames, with errors that say what is wrong with the file."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polars import DataFrame, Series

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")  # texts that stand for no value in a CSV file
_SEPARATORS = (",", ";", "\t", "|")
_DECIMAL_COMMA = r"^\s*[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?\s*$"
_PERHAPS_THOUSANDS = r"^\s*[+-]?\d{1,3},\d{3}\s*$"


def import_polars() -> ModuleType:
    """Return polars, or raise ImportError that says how to get it."""
    try:
        import polars
    except ImportError:
        raise ImportError("tables are read with polars: pip install 'fastnn[tables]'") from None
    return polars


def read_table(path: str | Path, missing: Sequence[str] = ()) -> "DataFrame":
    """Return the table in a CSV (comma, semicolon, tab or bar) or Parquet file.

    Where commas do not separate columns they may be those of decimals: a column of such texts is one of numbers.

    Parameters
    ----------
    path : str or Path
        Its suffix says what it is: .csv, .tsv, .txt or .parquet.
    missing : sequence of str, default ()
        Texts that stand for no value in a CSV file, beside "", NA, N/A, NaN, NULL, None and ?.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    ValueError
        If the suffix is another, or the file is empty or no such table.
    ImportError
        If polars is missing.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"a table must be a file that ends in {', '.join(SUFFIXES)}, got {str(path)!r}")
    polars = import_polars()
    with path.open("rb") as file:
        start = file.readline(2**20)
    if not start.strip():
        raise ValueError(f"{path}: the file is empty")
    try:
        if path.suffix.lower() == ".parquet":
            frame = polars.read_parquet(path)
        else:
            # All rows are looked at before a column's type is settled, so that a word late in the file is no surprise.
            separator = _separator(start)
            frame = polars.read_csv(
                path, separator=separator, null_values=[*MISSING, *missing], infer_schema_length=None
            )
            if separator != ",":
                frame = frame.with_columns(_without_decimal_commas(column) for column in frame)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path}: not a table that can be read: {str(error).splitlines()[0]}") from None
    if frame.height == 0:
        raise ValueError(f"{path}: the table has no rows, only the columns {', '.join(frame.columns)}")
    return frame


def _separator(header: bytes) -> str:
    """Return what separates the columns: the most frequent candidate in the header, outside quotes."""
    plain = b"".join(header.split(b'"')[::2]).decode("utf-8", "replace")
    return max(_SEPARATORS, key=plain.count)


def _without_decimal_commas(values: "Series") -> "Series":
    """Return a column of texts such as "1,5" as numbers; any other, and one that may mean thousands, as it is."""
    import polars

    if values.dtype != polars.String:
        return values
    known = values.drop_nulls()
    with_comma = known.filter(known.str.contains(",", literal=True))
    if not len(with_comma) or not known.str.contains(_DECIMAL_COMMA).all():
        return values
    if with_comma.str.contains(_PERHAPS_THOUSANDS).all():
        return values
    return values.str.strip_chars().str.replace(",", ".", literal=True).cast(polars.Float64)
