"""What users hold as tables, as polars data frames: pandas, polars, pyarrow, NumPy, lists."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.validation import is_sparse
from fastnn.tabular.reading import import_polars

if TYPE_CHECKING:
    from polars import DataFrame, Series


def as_frame(X: Any) -> "tuple[DataFrame, tuple[str, ...]]":
    """Return features as a data frame, and the columns whose dtype says that they are categories.

    Columns without a name are x0, x1, and so on; other names are texts.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, is sparse, complex or not two-dimensional, or has no rows or no columns.
    """
    polars = import_polars()
    if isinstance(X, polars.LazyFrame):
        X = X.collect()
    if isinstance(X, polars.DataFrame):
        frame = X
    elif hasattr(X, "iloc") and hasattr(X, "columns"):
        return _from_pandas(X)
    elif type(X).__module__.partition(".")[0] == "pyarrow":
        frame = polars.from_arrow(X)
        if not isinstance(frame, polars.DataFrame):
            raise TypeError(f"X must be a table of several columns, got {type(X).__name__}")
    else:
        frame = _from_array(X)
    _check_size(frame.height, frame.width)
    categories = (polars.Categorical, polars.Enum)
    return frame, tuple(name for name in frame.columns if frame[name].dtype in categories)


def _check_size(n_rows: int, n_columns: int) -> None:
    if not n_columns:
        raise ValueError(
            f"X must have columns, got 0 feature(s) (shape=({n_rows}, 0)) while a minimum of 1 is required."
        )
    if not n_rows:
        raise ValueError(
            f"X must have rows, got 0 sample(s) (shape=(0, {n_columns})) while a minimum of 1 is required."
        )


def _from_pandas(X: Any) -> "tuple[DataFrame, tuple[str, ...]]":
    polars = import_polars()
    _check_size(*X.shape)
    columns, categories = [], []
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        raise ValueError(f"X must have columns of different names, got {', '.join(names)}")
    for place, name in enumerate(names):
        values = X.iloc[:, place]
        dtype = values.dtype
        if hasattr(dtype, "categories"):  # an interval, for one, is a text as a category
            categories.append(name)
            dtype = None
        kind = getattr(dtype, "kind", "O")
        if kind in "biufmM" and getattr(dtype, "tz", None) is None and isinstance(dtype, np.dtype):
            columns.append(_series(name, values.to_numpy()))
        elif kind == "M":  # with a zone: clocks count as written
            columns.append(_series(name, values.dt.tz_localize(None).to_numpy()))
        elif kind in "biuf":  # pandas' own dtypes, which know missing values
            is_missing = values.isna().to_numpy()
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            column = _series(name, numbers)
            is_bool = kind == "b" and not is_missing.all()
            columns.append(column.cast(polars.Boolean) if is_bool and not is_missing.any() else column)
        else:
            columns.append(_from_objects(name, values.astype(object).where(values.notna(), None).tolist()))
    return polars.DataFrame(columns), tuple(categories)


def _series(name: str, values: np.ndarray) -> "Series":
    polars = import_polars()
    if values.dtype.kind == "m":
        return polars.Series(name, values / np.timedelta64(1, "s"))
    if values.dtype.kind == "M":
        return polars.Series(name, values.astype("datetime64[us]"))
    if values.dtype == np.float16 or values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    return polars.Series(name, np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False)))


def _from_objects(name: str, values: list[Any]) -> "Series":
    """Return Python objects as a column: of what they all are, else of texts."""
    import datetime

    polars = import_polars()
    known = [value for value in values if value is not None and value == value]  # NaN is missing
    if any(isinstance(value, complex) and not isinstance(value, float) for value in known):
        raise ValueError(f"Complex data not supported: column {name!r} of X holds {known[0]!r}")
    for kinds in ((bool, np.bool_), (int, float, np.number), (datetime.date,)):
        if known and all(isinstance(value, kinds) for value in known):
            values = [value if value is not None and value == value else None for value in values]
            return polars.Series(name, values, strict=False)
    for value in known:
        if isinstance(value, dict | list | set | tuple | np.ndarray):
            raise TypeError(f"column {name!r} of X must hold numbers, texts or dates: argument must be a string or a "
                            f"number, got {value!r}")  # fmt: skip
    texts = [str(value) if value is not None and value == value else None for value in values]
    return polars.Series(name, texts, dtype=polars.String)


def _from_array(X: Any) -> "DataFrame":
    polars = import_polars()
    if is_sparse(X):
        raise TypeError(
            f"X must be a table: sparse data was passed, got {type(X).__name__}; X.toarray() makes it dense"
        )
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X must hold numbers, texts or dates, got {array.dtype}")
    if array.ndim != 2:
        raise ValueError(
            f"X must be 2-D, a row for each sample, got shape {array.shape}. Reshape your data: Expected 2D array"
        )
    _check_size(*array.shape)
    columns = []
    for i in range(array.shape[1]):
        values, name = array[:, i], f"x{i}"
        columns.append(_series(name, values) if values.dtype.kind in "biufmM" else _from_objects(name, values.tolist()))
    return polars.DataFrame(columns)
