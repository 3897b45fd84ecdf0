"""The values of a column: what they are, and as numbers or texts; errors that name the column and the row."""

import difflib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.tabular.texts import looks_like_numbers

if TYPE_CHECKING:
    from polars import Series

_LEAST_NUMERIC = 0.5  # a text column more than half of whose values are numbers is taken for a mistake


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that float64 holds with room to spare."""
    return type(value) in (int, float) and abs(value) <= 1e300


def check_outputs(outputs: np.ndarray, what: str) -> None:
    """Raise ValueError if a network's output for a row (or what else) is NaN: its likeliest class would be a guess."""
    is_lost = np.isnan(outputs).any(axis=1)
    if is_lost.any():
        raise ValueError(f"the table holds values so large that {what} {int(is_lost.argmax())} has no prediction")


def holds_numbers(values: "Series") -> bool:
    """Whether polars took the column for numbers or booleans."""
    import polars

    return values.dtype.is_numeric() or values.dtype == polars.Boolean


def as_numbers(values: "Series") -> np.ndarray:
    """Return a column as float64, NaN where missing, or raise ValueError at the first text or infinity."""
    import polars

    numbers = values.cast(polars.Float64, strict=False)
    lost = (numbers.is_null() & values.is_not_null()).arg_true()
    if len(lost):
        row = lost[0]
        raise ValueError(f"column {values.name!r} must hold numbers, got {values[row]!r} in row {row + 1}")
    array = numbers.fill_null(math.nan).to_numpy()
    infinite = np.flatnonzero(np.isinf(array))
    if infinite.size:
        raise ValueError(f"column {values.name!r} must be finite, got {array[infinite[0]]} in row {infinite[0] + 1}")
    return array


def as_texts(values: "Series") -> "Series":
    """Return a column of texts, numbers, booleans or dates as texts, or raise ValueError."""
    import polars

    kinds = (polars.String, polars.Categorical, polars.Enum, polars.Boolean, polars.Date, polars.Datetime)
    if not (values.dtype in kinds or values.dtype.is_numeric() or values.dtype == polars.Null):
        raise ValueError(
            f"column {values.name!r} must hold numbers, texts or dates, got {values.dtype}; make columns of such "
            "out of it, or leave it out (drop)"
        )
    return values.cast(polars.String)


def check_not_mixed(values: "Series") -> None:
    """Raise ValueError if a text column holds mostly numbers, or numbers in a form that is not understood."""
    import polars

    texts = as_texts(values)
    known = texts.drop_nulls()
    is_number = known.str.strip_chars().cast(polars.Float64, strict=False).is_not_null()
    ways_out = "take it for categories (categorical) or leave it out (drop)"
    n_numbers = int(is_number.sum())
    if _LEAST_NUMERIC * len(known) < n_numbers < len(known):
        is_text = texts.is_not_null() & texts.str.strip_chars().cast(polars.Float64, strict=False).is_null()
        row = is_text.arg_true()[0]
        raise ValueError(
            f"column {values.name!r} mixes numbers and text: {n_numbers:,} of {len(known):,} values are numbers, "
            f"{texts[row]!r} in row {row + 1} is not; correct it, name what stands for no value (missing), {ways_out}"
        )
    looks = looks_like_numbers(texts) & texts.str.contains(r"[,%$€£¥' ]")
    n_look = int(looks.sum())
    if n_look and n_look + n_numbers > _LEAST_NUMERIC * len(known):
        row = looks.arg_true()[0]
        raise ValueError(
            f"column {values.name!r} must hold numbers in one form, got {texts[row]!r} in row {row + 1}, which may be "
            f"meant for one; write them as 1234.5, {ways_out}"
        )


def unknown_column(name: str, columns: "list[str]", where: str) -> ValueError:
    """Return an error about a column that is not there, to be raised."""
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    return ValueError(f"there is no column {name!r} in {where}, which has {shown}{hint}")


def meaning(text: str) -> Any:
    """Return what a text says, however it is spelled: 1, 1.0 and 01 are a number, True and TRUE the same word."""
    stripped = text.strip()
    try:
        return float(stripped)
    except ValueError:
        return stripped.lower() if stripped.lower() in ("true", "false") else stripped
