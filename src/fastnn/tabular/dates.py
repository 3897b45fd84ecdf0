"""Columns of dates: how far along time goes, and where in the year, the week and the day it is.

A date gives the days since 1970, scaled, so that a trend can be learnt, and for each period the sine and cosine of
where in it the date lies, so that the last day of a year is beside the first. Texts are dates year first (as ISO 8601
writes them [1]_), with the month as an English word, or day and month before the year: which of them comes first is
seen where one is above 12, and has to be said where none is. Clocks count as written; zones do not.

References
----------
.. [1] ISO 8601-1:2019, "Date and time - Representations for information interchange".
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from polars import Series

PERIODS = (365.2425, 7.0, 1.0)  # days: the Gregorian year in the mean, the week, the day
_SECONDS_A_DAY = 86_400.0

ORDERS = ("ymd", "dmy", "mdy")
_AS_WRITTEN = {"ymd": "", "dmy": " or 31/1/2024", "mdy": " or 1/31/2024"}

_WITH_CLOCK = r"^(.*?[\dA-Za-z])(?:(?:T|,?\s+)(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?$"
_SECONDS_OF_GROUP = {2: 3600.0, 3: 60.0, 4: 1.0}
_YEAR_FIRST = r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})$"
_YEAR_LAST = r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})$"
_NAMED = ("%d %b %Y", "%b %d %Y")  # after months were cut to three letters
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_LIKE_A_DATE = (
    r"(?i)^\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    rf"|\d{{1,2}}[- ]{_MONTH}[- ,]+\d{{4}}|{_MONTH}[ ]\d{{1,2}},?[ ]\d{{4}})(?:[T ,].*)?$"
)
_LEAST_DATES = 0.5  # a text column more than half of whose values look like dates is taken for dates


@dataclass(frozen=True)
class DateColumn:
    """Dates: (days - mean) / deviation, sine and cosine for each period, and 1 where missing if `tells_missing`.

    Missing ones are 0 in all other features. Without `has_time` the period of a day is left out.
    """

    kind: ClassVar[str] = "date"
    name: str
    mean: float
    deviation: float
    has_time: bool
    tells_missing: bool
    order: str = "ymd"  # of texts; "dmy" and "mdy" read those year first as well

    @property
    def n_features(self) -> int:
        return 1 + 2 * len(self._periods) + self.tells_missing

    @property
    def _periods(self) -> tuple[float, ...]:
        return PERIODS if self.has_time else PERIODS[:-1]

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, n_features)."""
        days = as_days(values, self.order)
        is_missing = np.isnan(days)
        out[:, 0] = (days - self.mean) / self.deviation
        for i, period in enumerate(self._periods):
            angle = 2.0 * math.pi * (days % period) / period
            out[:, 1 + 2 * i], out[:, 2 + 2 * i] = np.sin(angle), np.cos(angle)
        out[is_missing] = 0.0
        if self.tells_missing:
            out[:, -1] = is_missing


def learn_dates(values: "Series", rows: np.ndarray, dayfirst: bool | None = None) -> "DateColumn | str":
    """Return the encoder for a column of dates, learnt from some of its rows, or the reason to leave it out."""
    order = find_order(values, dayfirst)
    days = as_days(values, order)[rows]
    is_missing = np.isnan(days)
    known = days[~is_missing]
    if known.size == 0:
        return "no values"
    if known.min() == known.max() and not is_missing.any():
        return "always the same value"
    deviation = float(known.std())
    has_time = bool((known % 1.0 != known[0] % 1.0).any())
    return DateColumn(values.name, float(known.mean()), deviation or 1.0, has_time, bool(is_missing.any()), order)


def holds_dates(values: "Series") -> bool:
    """Whether a column is one of dates, or a text column most of whose values look like some."""
    import polars

    if values.dtype in (polars.Date, polars.Datetime):
        return True
    if values.dtype != polars.String:
        return False
    known = values.drop_nulls()
    return int(known.str.contains(_LIKE_A_DATE).sum()) > _LEAST_DATES * len(known)


def find_order(values: "Series", dayfirst: bool | None = None) -> str:
    """Return which of `ORDERS` a column of dates is written in.

    Raises
    ------
    ValueError
        If day and month may be either, and `dayfirst` does not say it.
    """
    import polars

    if values.dtype != polars.String:
        return "ymd"
    dates = values.drop_nulls().str.strip_chars().str.extract(_WITH_CLOCK, 1)
    dates = dates.filter(dates.str.contains(_YEAR_LAST))
    if not len(dates):
        return "ymd"
    if dayfirst is not None:
        return "dmy" if dayfirst else "mdy"
    first, second = (dates.str.extract(_YEAR_LAST, group).cast(polars.Int64) for group in (1, 2))
    if (first > 12).any() or dates.str.contains(".", literal=True).all():
        return "dmy"
    if (second > 12).any():
        return "mdy"
    raise ValueError(
        f"column {values.name!r} must show whether the day or the month comes first, got {dates[0]!r} and no date with "
        "a day above 12; say it (dayfirst), take them for categories (categorical), or leave it out (drop)"
    )


def as_days(values: "Series", order: str = "ymd") -> np.ndarray:
    """Return a column as days since 1970-01-01, float64, NaN where missing, or raise ValueError at what is no date."""
    import polars

    if values.dtype == polars.Date:
        days = values.to_physical().cast(polars.Float64)
    elif values.dtype == polars.Datetime:
        clock = values.dt.replace_time_zone(None).cast(polars.Datetime("us"))
        days = clock.to_physical().cast(polars.Float64) / (1e6 * _SECONDS_A_DAY)
    else:
        days = _days_of_texts(values.cast(polars.String), order)
    lost = (days.is_null() & values.is_not_null()).arg_true()
    if len(lost):
        row = lost[0]
        raise ValueError(
            f"column {values.name!r} must hold dates such as 2024-01-31 or 31 Jan 2024 12:30{_AS_WRITTEN[order]}, got "
            f"{values[row]!r} in row {row + 1}; rewrite them year first, or take them for categories (categorical), or "
            "leave it out (drop)"
        )
    return days.fill_null(math.nan).to_numpy()


def _days_of_texts(texts: "Series", order: str) -> "Series":
    import polars

    stripped = texts.str.strip_chars()
    dates = stripped.str.extract(_WITH_CLOCK, 1)
    in_order = dates.str.replace(_YEAR_FIRST, "$1-$2-$3")
    if order != "ymd":
        in_order = in_order.str.replace(_YEAR_LAST, "$3-$2-$1" if order == "dmy" else "$3-$1-$2")
    days = in_order.str.to_date("%Y-%m-%d", strict=False)
    if days.null_count() > texts.null_count():
        words = dates.str.replace_all(r"[-,/\s]+", " ").str.replace(r"([A-Za-z]{3})[A-Za-z]*", "$1")
        for form in _NAMED:
            named = words.str.to_date(form, strict=False)
            days = days.zip_with(days.is_not_null(), named)
    in_days = days.to_physical().cast(polars.Float64)
    for group, seconds in _SECONDS_OF_GROUP.items():
        part = stripped.str.extract(_WITH_CLOCK, group).cast(polars.Float64).fill_null(0.0)
        in_days = in_days + part * (seconds / _SECONDS_A_DAY)
    return in_days
