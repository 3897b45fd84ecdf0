"""What becomes of one column of a table: an encoder, learnt from the training rows, JSON where it is saved.

Numbers (and booleans) are brought to mean 0 and deviation 1, or, for the estimators, scaled by their quantiles and
encoded piecewise linearly; where one is missing the mean (or median) stands in, and a further feature says so if the
training rows lacked any. Texts are categories: up to `MOST_ONE_HOT` of them have a feature each; more become one
feature, their number by frequency, for which networks learn a vector, and which is scaled where none does. A category
that training did not see is all zeros, or the number behind the last one. Dates are the business of `dates`.
What tells rows apart, and nothing about them, as row numbers and identifiers do, is left out: a network would learn the
order of the file from it, which on a sorted table is the answer.
"""

import math
import re
import warnings
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastnn.tabular.dates import ORDERS, DateColumn, holds_dates, learn_dates
from fastnn.tabular.quantiles import QuantileColumn, learn_quantiles
from fastnn.tabular.values import as_numbers, as_texts, check_not_mixed, holds_numbers, is_number, meaning

if TYPE_CHECKING:
    from polars import Series

MOST_ONE_HOT = 200
MOST_EMBEDDED = 20_000  # rarer categories are as unknown ones
LONGEST_CATEGORY = 200  # characters; more is a text, not a category
NUMBER_STYLES = ("standard", "quantile", "encoded")

# Of identifiers.
_FEWEST_ROWS = 50  # fewer say little about what a column is
_NEARLY_ALL = 0.99  # of the rows differ
_NEARLY_ALL_TEXTS = 0.95
_NAMES_OF_ROW_NUMBERS = ("", "unnamed: 0", "rownames", "row_names", "row", "_duplicated_0")
_NAME_OF_AN_ID = re.compile(r"(?:(?i:^|[_\s.-])(?i:id|uuid|guid|key|index|idx|nr|no)|[a-z](?:ID|Id|Key|Index))$")


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
class CategoryColumn:
    """Categories, by the number of each, the most frequent first, for an embedding; others have the number behind."""

    kind: ClassVar[str] = "category"
    name: str
    categories: tuple[str | None, ...]

    n_features: ClassVar[int] = 1

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, 1)."""
        numbers = _category_numbers(values, self.categories)
        out[:, 0] = np.where(numbers < 0, len(self.categories), numbers)


@dataclass(frozen=True)
class RankColumn(CategoryColumn):
    """Categories by rank of frequency, scaled."""

    kind: ClassVar[str] = "rank"
    mean: float
    deviation: float

    def encode(self, values: "Series", out: np.ndarray) -> None:
        """Write the features of a column into ``out`` of shape (n, 1)."""
        super().encode(values, out)
        out[:] = (out - self.mean) / self.deviation


Column = NumberColumn | QuantileColumn | OneHotColumn | CategoryColumn | DateColumn


def learn_column(
    values: "Series",
    is_category: bool,
    rows: np.ndarray | None = None,
    *,
    numbers: str = "standard",
    embeds: bool = False,
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
    embeds : bool, default False
        Whether many categories become their number as it is, also with "standard".
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
        if not is_kept and (reason := _identifier(values.name, all_numbers, is_first)):
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
    if not is_category and not is_kept and _is_text_of_every_row(len(categories), len(texts)):
        return (
            "a different text in every row" if len(categories) == len(texts) else "a different text in nearly every row"
        )
    if len(categories) <= MOST_ONE_HOT:
        return OneHotColumn(values.name, tuple(categories))
    if max(len(text) for text in categories if text is not None) > LONGEST_CATEGORY:
        return "texts, not categories"
    if len(categories) > MOST_EMBEDDED:
        warnings.warn(
            f"column {values.name!r} has {len(categories):,} categories: all but the {MOST_EMBEDDED:,} most frequent "
            "are taken for one, as unknown ones are",
            stacklevel=4,
        )
    embedded = CategoryColumn(values.name, tuple(categories[:MOST_EMBEDDED]))
    if embeds or numbers != "standard":
        return embedded
    ranks = np.empty((len(texts), 1))
    embedded.encode(texts, ranks)
    return RankColumn(embedded.name, embedded.categories, float(ranks.mean()), float(ranks.std()))


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
    classes = (NumberColumn, QuantileColumn, OneHotColumn, CategoryColumn, RankColumn, DateColumn)
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


def _identifier(name: str, numbers: np.ndarray, is_first: bool) -> str | None:
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


def _is_text_of_every_row(n_different: int, n_rows: int) -> bool:
    """Whether texts differ in so many rows that they name rows, rather than kinds of rows."""
    if n_different == n_rows:
        return n_rows >= _FEWEST_ROWS or n_rows > 32
    return n_rows >= _FEWEST_ROWS and n_different >= _NEARLY_ALL_TEXTS * n_rows


def warn_if_strange(column: "Column", values: "Series") -> None:
    """Warn if a column of categories has values, and none of them is one that training saw."""
    if isinstance(column, OneHotColumn | CategoryColumn):
        known = values.drop_nulls()
        if len(known) and (_category_numbers(known, column.categories) < 0).all():
            seen = ", ".join(map(repr, [text for text in column.categories if text is not None][:5]))
            more = ", ..." if len(column.categories) > 5 else ""
            warnings.warn(
                f"column {values.name!r} holds no value that training saw: there it had {seen}{more}, here "
                f"{as_texts(known)[0]!r}",
                stacklevel=4,
            )
