"""What becomes of one column of a table: an encoder, learnt from the training rows, JSON where it is saved.

Numbers (and booleans) are brought to mean 0 and deviation 1, or, for the estimators, scaled by their quantiles and
encoded piecewise linearly; where one is missing the mean (or median) stands in, and a further feature says so if the
training rows lacked any. Texts are categories: up to `MOST_ONE_HOT` of them have a feature each; more become one
feature, the rank by frequency, scaled. A category that training did not see is all zeros, or the last rank. Dates are
the business of `dates`. What tells rows apart, and nothing about them, is left out: `ids`.
"""

import difflib
import math
import warnings
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn.tabular.dates import ORDERS, DateColumn, holds_dates, learn_dates
from fastnn.tabular.ids import identifier, is_text_of_every_row
from fastnn.tabular.quantiles import QuantileColumn, learn_quantiles
from fastnn.tabular.texts import looks_like_numbers

if TYPE_CHECKING:
    from polars import Series

MOST_ONE_HOT = 200
MOST_RANKS = 2000  # rarer categories share the last rank
LONGEST_CATEGORY = 200  # characters; more is a text, not a category
NUMBER_STYLES = ("standard", "quantile", "encoded")
_LEAST_NUMERIC = 0.5  # a text column more than half of whose values are numbers is taken for a mistake


@dataclass(frozen=True)
class NumberColumn:
    """Numbers: (x - mean) / deviation, and 1 where missing if `tells_missing`."""

    kind: ClassVar[str] = "number"
    name: str
    mean: float
    deviation: float
    tells_missing: bool

    @property
    def n_features(self) -> int:
        return 1 + self.tells_missing

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, n_features)."""
        self.encode_numbers(as_numbers(values), out)

    def encode_numbers(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Write the features of numbers, NaN where missing, into ``out`` of shape (n, n_features)."""
        is_missing = np.isnan(numbers)
        out[:, 0] = np.where(is_missing, 0.0, (numbers - self.mean) / self.deviation)
        if self.tells_missing:
            out[:, 1] = is_missing


@dataclass(frozen=True)
class OneHotColumn:
    """Categories, one feature each; None among them stands for missing values."""

    kind: ClassVar[str] = "one-hot"
    name: str
    categories: tuple[str | None, ...]

    @property
    def n_features(self) -> int:
        return len(self.categories)

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, n_features)."""
        numbers = _category_numbers(values, self.categories)
        out[:] = numbers[:, None] == np.arange(len(self.categories))


@dataclass(frozen=True)
class RankColumn:
    """Categories by rank of frequency, the most frequent first; unknown ones have the last rank."""

    kind: ClassVar[str] = "rank"
    name: str
    categories: tuple[str | None, ...]
    mean: float
    deviation: float

    n_features: ClassVar[int] = 1

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, 1)."""
        numbers = _category_numbers(values, self.categories)
        out[:, 0] = (np.where(numbers < 0, len(self.categories), numbers) - self.mean) / self.deviation


Column = NumberColumn | QuantileColumn | OneHotColumn | RankColumn | DateColumn


def learn_column(
    values: "Series",
    is_category: bool,
    rows: np.ndarray | None = None,
    *,
    numbers: str = "standard",
    dayfirst: bool | None = None,
    is_first: bool = False,
    is_kept: bool = False,
) -> "Column | str":
    """Return the encoder for a column, learnt from some of its rows (None: all), or the reason to leave it out.

    Parameters
    ----------
    values : polars.Series
    is_category : bool
        Whether its values are names, also if they are numbers or dates.
    rows : ndarray of int or None, default None
    numbers : "standard", "quantile" or "encoded", default "standard"
        How numbers become features: see `NumberColumn` and `QuantileColumn`, with or without its encoding.
    dayfirst : bool or None, default None
        Which of day and month comes first in dates such as 1/2/2020; None: as the column's own values say.
    is_first : bool, default False
        Whether it is the table's first column, where saved row numbers stand.
    is_kept : bool, default False
        Whether it is used also if it looks like an identifier.

    Raises
    ------
    ValueError
        If the column, in whatever row, mixes numbers and text, or holds what is neither, nor a date that can be read.
    """
    chosen = np.arange(len(values)) if rows is None else rows
    if values[chosen].null_count() == chosen.size:
        return "no values"
    if not is_category and holds_numbers(values):
        all_numbers = as_numbers(values)
        if not is_kept and (reason := identifier(values.name, all_numbers, is_first)):
            return reason
        known = all_numbers[chosen]
        if numbers == "standard" or values.dtype == _boolean():
            return _learn_numbers(values.name, known)
        return learn_quantiles(values.name, known, is_encoded=numbers == "encoded")
    if not is_category and holds_dates(values):
        return learn_dates(values, chosen, dayfirst)
    if not is_category:
        check_not_mixed(values)
    texts = as_texts(values)[chosen]
    counts = texts.value_counts().rows()
    ranked = sorted(counts, key=lambda item: (-item[1], item[0] is not None, item[0] or ""))
    categories = [text for text, _ in ranked]
    if len(categories) == 1:
        return "always the same value"
    if not is_category and not is_kept and is_text_of_every_row(len(categories), len(texts)):
        return (
            "a different text in every row" if len(categories) == len(texts) else "a different text in nearly every row"
        )
    if len(categories) <= MOST_ONE_HOT:
        return OneHotColumn(values.name, tuple(categories))
    if max(len(text) for text in categories if text is not None) > LONGEST_CATEGORY:
        return "texts, not categories"
    kept = tuple(categories[:MOST_RANKS])
    ranks = _category_numbers(texts, kept)
    ranks = np.where(ranks < 0, len(kept), ranks)
    return RankColumn(values.name, kept, float(ranks.mean()), float(ranks.std()))


def _boolean() -> Any:
    import polars

    return polars.Boolean


def _learn_numbers(name: str, numbers: np.ndarray) -> "NumberColumn | str":
    is_missing = np.isnan(numbers)
    if is_missing.all():
        return "no values"
    known = numbers[~is_missing]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(known.mean()), float(known.std())
    if known.min() == known.max() or not deviation > 0:
        if not is_missing.any():
            return "always the same value"
        deviation = 1.0
    if not math.isfinite(mean) or not math.isfinite(deviation):
        raise ValueError(f"column {name!r} must have numbers whose squares float64 holds, got {np.abs(known).max():g}")
    return NumberColumn(name, mean, deviation, bool(is_missing.any()))


def column_config(column: Column) -> dict[str, Any]:
    """Return a column as JSON types."""
    return {"kind": column.kind, **asdict(column)}


def column_from_config(config: Any) -> Column:
    """Return the column that `column_config` described, or raise ValueError."""
    classes = (NumberColumn, QuantileColumn, OneHotColumn, RankColumn, DateColumn)
    kinds: dict[str, Any] = {cls.kind: cls for cls in classes}
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str) or config["kind"] not in kinds:
        raise ValueError(f"a column must have a kind of {', '.join(kinds)}")
    members = {name: value for name, value in config.items() if name != "kind"}
    cls = kinds[config["kind"]]
    known = {item.name: item.default for item in fields(cls)}
    # Members with a default came later: older files lack them.
    if not {name for name, default in known.items() if default is MISSING} <= members.keys() <= known.keys():
        raise ValueError(f"a column of kind {cls.kind!r} has the wrong members")
    if not isinstance(members["name"], str):
        raise ValueError("the name of a column must be a text")
    for name in ("mean", "deviation", "median", "factor"):
        if name in members and not is_number(members[name]):
            raise ValueError(f"{name} of column {members['name']!r} must be a number")
    for name in ("deviation", "factor"):
        if not members.get(name, 1.0) > 0:
            raise ValueError(f"the {name} of column {members['name']!r} must be positive")
    for name in ("tells_missing", "has_time"):
        if type(members.get(name, True)) is not bool:
            raise ValueError(f"{name} of column {members['name']!r} must be true or false")
    if members.get("order", "ymd") not in ORDERS:
        raise ValueError(f"the order of column {members['name']!r} must be one of {', '.join(ORDERS)}")
    if "edges" in members:
        edges = members["edges"]
        if not isinstance(edges, list) or not all(map(is_number, edges)) or not (np.diff(edges) > 0).all():
            raise ValueError(f"the edges of column {members['name']!r} must be ascending numbers")
        members["edges"] = tuple(edges)
    if "categories" in members:
        categories = members["categories"]
        is_sound = isinstance(categories, list) and all(text is None or isinstance(text, str) for text in categories)
        if not is_sound or len(set(categories)) != len(categories) or not categories:
            raise ValueError(f"categories of column {members['name']!r} must be different texts")
        members["categories"] = tuple(categories)
    return cls(**members)


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that float64 holds with room to spare."""
    return type(value) in (int, float) and abs(value) <= 1e300


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


def _category_numbers(values: "Series", categories: tuple[str | None, ...]) -> np.ndarray:
    """Return each value's place among the categories, -1 for those that are not among them.

    Files spell the same value in several ways: pandas writes the store 4 as 4.0 where another row has none. So a text
    that is no category may be one as a number, if that leaves no choice.
    """
    import polars

    texts = as_texts(values)
    known = [text for text in categories if text is not None]
    places = [place for place, text in enumerate(categories) if text is not None]
    numbers = texts.replace_strict(known, places, default=-1, return_dtype=polars.Int64)
    of_missing = categories.index(None) if None in categories else -1
    found = np.where(texts.is_null().to_numpy(), of_missing, numbers.to_numpy()).astype(np.int64)
    unknown = texts.is_not_null() & (numbers < 0)
    if unknown.any():
        by_meaning: dict[Any, int] = {}
        for text, place in zip(known, places, strict=True):
            by_meaning[meaning(text)] = -1 if meaning(text) in by_meaning else place
        strange = texts.filter(unknown).unique().to_list()
        place_of = {text: by_meaning.get(meaning(text), -1) for text in strange}
        found[unknown.to_numpy()] = [place_of[text] for text in texts.filter(unknown)]
    return found


def meaning(text: str) -> Any:
    """Return what a text says, however it is spelled: 1, 1.0 and 01 are a number, True and TRUE the same word."""
    stripped = text.strip()
    try:
        return float(stripped)
    except ValueError:
        return stripped.lower() if stripped.lower() in ("true", "false") else stripped


def warn_if_strange(column: "Column", values: "Series") -> None:
    """Warn if a column of categories has values, and none of them is one that training saw."""
    if isinstance(column, OneHotColumn | RankColumn):
        known = values.drop_nulls()
        if len(known) and (_category_numbers(known, column.categories) < 0).all():
            seen = ", ".join(map(repr, [text for text in column.categories if text is not None][:5]))
            more = ", ..." if len(column.categories) > 5 else ""
            warnings.warn(
                f"column {values.name!r} holds no value that training saw: there it had {seen}{more}, here "
                f"{as_texts(known)[0]!r}",
                stacklevel=4,
            )
