"""How good predictions are, where a table has the target too."""

from typing import TYPE_CHECKING, Any

from fastnn.tabular.columns import as_numbers, as_texts

if TYPE_CHECKING:
    from polars import DataFrame, Series

    from fastnn.tabular.preprocessing import Preprocessing


def rows_with_target(preprocessing: "Preprocessing", table: "DataFrame") -> int:
    """Return how many rows of a table have a target."""
    name = preprocessing.target
    return table.height - table[name].null_count() if name in table.columns else 0


def scores(preprocessing: "Preprocessing", table: "DataFrame", predictions: dict[str, Any]) -> dict[str, float]:
    """Return what scikit-learn says about predictions, over the rows of a table that have a target.

    Parameters
    ----------
    preprocessing : Preprocessing
    table : polars.DataFrame
    predictions : dict of str to sequence
        What `TableModel.predict` returned for the table.

    Returns
    -------
    dict of str to float
        "accuracy" of classes; "r2" and "mae", the mean absolute error, of numbers ("mae" alone for a single row). A
        class that the model does not know counts as wrong.

    Raises
    ------
    ValueError
        If no row has a target, a target is no number in a regression, or none is a class that the model knows.
    """
    from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

    name = preprocessing.target
    if not rows_with_target(preprocessing, table):
        raise ValueError(f"the table must have values of the target {name!r} to be scored, got none")
    rows = table[name].is_not_null().arg_true().to_list()
    predicted = [predictions["prediction"][row] for row in rows]
    if preprocessing.task == "classification":
        return {"accuracy": float(accuracy_score(_as_classes(table[name], preprocessing.classes, rows), predicted))}
    truth = as_numbers(table[name])[rows]
    r2 = {"r2": float(r2_score(truth, predicted))} if len(rows) > 1 else {}
    return {**r2, "mae": float(mean_absolute_error(truth, predicted))}


def _as_classes(values: "Series", classes: tuple[str, ...], rows: list[int]) -> list[str]:
    """Return the values of some rows as the model calls them: 1.0 is its class "1"."""
    by_number = {_number(name): name for name in classes}
    texts: list[str] = as_texts(values)[rows].to_list()
    names = [text if text in classes else by_number.get(_number(text), text) for text in texts]
    if not set(names) & set(classes):
        raise ValueError(
            f"column {values.name!r} must hold classes that the model knows ({', '.join(classes)}), "
            f"got {texts[0]!r} in row {rows[0] + 1}"
        )
    return names


def _number(text: str) -> float | str:
    """Return the number that a text is, so that 1 and 1.0 are the same; the text itself if it is none."""
    try:
        return float(text)
    except ValueError:
        return text
