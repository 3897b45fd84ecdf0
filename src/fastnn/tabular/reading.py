"""Tables from files, as polars data frames, with errors that say what is wrong with the file.

Text files are read as texts first; `texts` finds what their columns hold. So a column that is to be a category, and the
labels of classes, can keep the spelling of the file: 01, 2.50, True.
"""

import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from fastnn.tabular.texts import as_typed, without_missing

if TYPE_CHECKING:
    from polars import DataFrame

SUFFIXES = (
    ".csv", ".tsv", ".txt", ".parquet", ".tab", ".csv.gz", ".tsv.gz", ".feather", ".arrow", ".json", ".jsonl",
    ".ndjson",
)  # fmt: skip
MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")  # texts that stand for no value in a text file
_SEPARATORS = (",", ";", "\t", "|")
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def import_polars() -> ModuleType:
    """Return polars, or raise ImportError that says how to get it."""
    try:
        import polars
    except ImportError:
        raise ImportError("tables are read with polars: pip install 'fastnn[tables]'") from None
    return polars


def table_suffix(path: str | Path) -> str | None:
    """Return which of `SUFFIXES` a path ends in, the longest that does; None for any other."""
    name = Path(path).name.lower()
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default=None)


def read_table(path: str | Path, missing: Sequence[str] = (), texts: Sequence[str] = ()) -> "DataFrame":
    """Return the table in a text file (CSV and its like, JSON lines), or in a Parquet or Feather file.

    In text files, columns of numbers may have thousands separators (1,234), a currency ($1,234.50) or a percent sign
    (12.5%, which is 12.5). Where commas do not separate columns they may be those of decimals. Numbers that all have
    the same width and a zero in front, as postal codes do, stay texts.

    Parameters
    ----------
    path : str or Path
        Its suffix says what it is: .csv, .tsv, .tab, .txt (comma, semicolon, tab or bar; .csv.gz and .tsv.gz are
        compressed), .json (lines, or one array), .jsonl, .ndjson, .parquet, .feather or .arrow. Texts are UTF-8 or
        UTF-16; what is neither is taken for Latin-1 (Windows-1252).
    missing : sequence of str, default ()
        Texts that stand for no value, beside "", NA, N/A, NaN, NULL, None and ?; and numbers that do.
    texts : sequence of str, default ()
        Columns of a CSV file that stay as they are written.

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

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from fastnn.tabular import read_table
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "shops.csv")
    ...     _ = path.write_text('code, turnover\\n01, "$1,200"\\n02, $950.50\\n')
    ...     read_table(path).rows()
    [('01', 1200.0), ('02', 950.5)]
    """
    path = Path(path)
    suffix = table_suffix(path)
    if suffix is None:
        excel = "; save a spreadsheet as CSV" if path.suffix.lower() in (".xls", ".xlsx", ".ods") else ""
        raise ValueError(f"a table must be a file that ends in {', '.join(SUFFIXES)}, got {str(path)!r}{excel}")
    polars = import_polars()
    try:
        if suffix in (".parquet", ".feather", ".arrow"):
            _check_not_empty(path, path.stat().st_size)
            frame = polars.read_parquet(path) if suffix == ".parquet" else polars.read_ipc(path)
        else:
            data = _as_utf8(path, suffix)
            if suffix in (".json", ".jsonl", ".ndjson"):
                is_array = suffix == ".json" and data.lstrip().startswith(b"[")
                frame = (
                    polars.read_json(io.BytesIO(data))
                    if is_array
                    else polars.read_ndjson(data, infer_schema_length=None)
                )
            else:
                frame = _read_csv(data, missing, texts)
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path}: not a table that can be read: {str(error).splitlines()[0]}") from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path}: not a compressed file that can be read: {error}") from None
    if frame.height == 0:
        raise ValueError(f"{path}: the table has no rows, only the columns {', '.join(frame.columns)}")
    return frame


def _check_not_empty(path: Path, n_bytes: int) -> None:
    if not n_bytes:
        raise ValueError(f"{path}: the file is empty")


def _as_utf8(path: Path, suffix: str) -> bytes:
    """Return a text file's bytes as UTF-8, decompressed."""
    data = path.read_bytes()
    if suffix.endswith(".gz"):
        data = gzip.decompress(data)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"{path}: not text: its {encoding} ends or breaks at byte {error.start}") from None
        text = data.decode("cp1252", "replace")
        encoding = "cp1252"
    if "\0" in text[:10_000]:
        raise ValueError(f"{path}: not text: it holds bytes of zero; save it as UTF-8")
    _check_not_empty(path, len(text.strip()))
    return data if encoding == "utf-8" else text.encode()


def _read_csv(data: bytes, missing: Sequence[str], texts: Sequence[str]) -> "DataFrame":
    polars = import_polars()
    header = data[: data.find(b"\n") if b"\n" in data else None]
    separator = _separator(header)
    if separator.encode() + b" " in header:  # a quote after the space of "y, a, b" would be no quote to polars
        data = re.sub(re.escape(separator.encode()) + b' +"', separator.encode() + b'"', data)
    raw = polars.read_csv(data, separator=separator, infer_schema=False)
    names = [name.strip() for name in raw.columns]
    if len(set(names)) == len(names):
        raw.columns = names
    columns = []
    for column in raw:
        cleaned = without_missing(column, [*MISSING, *missing])
        columns.append(cleaned if column.name in texts else as_typed(cleaned, separator != ","))
    return polars.DataFrame(columns)


def _separator(header: bytes) -> str:
    """Return what separates the columns: the most frequent candidate in the header, outside quotes."""
    plain = b"".join(header.split(b'"')[::2]).decode("utf-8", "replace")
    return max(_SEPARATORS, key=plain.count)
