"""What a column of texts holds: numbers and how they are written, booleans, or texts.

A column is of numbers only if all of its values are: one word makes texts of it, and `check_not_mixed` says so where
most are numbers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polars import Series

_CODE = r"^0\d+$"  # a number with a zero in front, as in postal codes
_THOUSANDS = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$"
_ONE_GROUP = r"^[+-]?\d{1,3},\d{3}$"  # thousands, or a decimal comma
_DECIMAL_COMMA = r"^[+-]?\d+(?:,\d+)?(?:[eE][+-]?\d+)?$"
_CURRENCY = r"^([+-]?)\s*[$€£¥]\s*([+-]?[\d.,]+)$|^([+-]?[\d.,]+)\s*[$€£¥]$"
_PERCENT = r"^([+-]?[\d.,]+(?:[eE][+-]?\d+)?)\s*%$"
_NUMBER_LIKE = r"^[+-]?\s*[$€£¥]?\s*[+-]?\d[\d.,' ]*\s*[%$€£¥]?$"
_BOOLEANS = ("true", "false", "True", "False", "TRUE", "FALSE")


def without_missing(values: "Series", missing: Sequence[str]) -> "Series":
    """Return texts without spaces around them, null where they stand for no value."""
    stripped = values.str.strip_chars()
    return stripped.set(stripped.is_in(list(missing)), None)


def as_typed(values: "Series", has_decimal_commas: bool = False) -> "Series":
    """Return a column of texts as what all of its values are: integers, numbers, booleans, or texts.

    Parameters
    ----------
    values : polars.Series of String
    has_decimal_commas : bool, default False
        Whether a comma may be that of decimals, because something else separates the columns.
    """
    import polars

    known = values.drop_nulls()
    if not len(known):
        return values
    if known.is_in(_BOOLEANS).all():
        return values.str.to_lowercase() == "true"
    if known.str.contains(_CODE).any() and known.str.len_chars().n_unique() == 1:
        return values
    plain = _plain(values, known, has_decimal_commas)
    for dtype in (polars.Int64, polars.Float64):
        numbers = plain.cast(dtype, strict=False)
        if numbers.null_count() == values.null_count():
            return numbers
    return values


def _plain(values: "Series", known: "Series", has_decimal_commas: bool) -> "Series":
    """Return texts without currency, percent and thousands, where all values are written so."""
    for pattern in (_PERCENT, _CURRENCY):
        is_decorated = known.str.contains(pattern)
        if is_decorated.any() and (is_decorated | (known == "0") | (known == "-")).all():
            inner = values.str.replace_all(r"[%$€£¥\s]", "")
            values = inner.set(values == "-", None) if (values == "-").any() else inner
            known = values.drop_nulls()
    with_comma = known.filter(known.str.contains(",", literal=True))
    if not len(with_comma):
        return values
    is_thousands = with_comma.str.contains(_THOUSANDS).all()
    if has_decimal_commas:
        if known.str.contains(_DECIMAL_COMMA).all() and not with_comma.str.contains(_ONE_GROUP).all():
            return values.str.replace(",", ".", literal=True)
        if is_thousands and not with_comma.str.contains(_ONE_GROUP).all():
            return values.str.replace_all(",", "", literal=True)
        return values
    return values.str.replace_all(",", "", literal=True) if is_thousands else values


def looks_like_numbers(values: "Series") -> "Series":
    """Return for each of a column's texts whether a person would take it for a number, however it is written."""
    return values.str.contains(_NUMBER_LIKE)
