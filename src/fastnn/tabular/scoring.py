"""How good predictions are, where a table has the target too."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.tabular.values import as_numbers, as_texts, meaning

if TYPE_CHECKING:
    from polars import DataFrame, Series

    from fastnn.tabular.preprocessing import Preprocessing


def rows_with_target(preprocessing: "Preprocessing", table: "DataFrame") -> int:
    """Return how many rows of a table have a target."""
    name = preprocessing.target
    return table.height - table[name].null_count() if name in table.columns else 0


def scores(preprocessing: "Preprocessing", table: "DataFrame", predictions: dict[str, Any]) -> dict[str, float]:
    """Return how good predictions are, over the rows of a table that have a target.

    Parameters
    ----------
    preprocessing : Preprocessing
    table : polars.DataFrame
    predictions : dict of str to sequence
        What `TableModel.predict` returned for the table.

    Returns
    -------
    dict of str to float
        "accuracy" of classes; "r2", "mae", the mean absolute error, and "rmse" of numbers ("mae" alone for a single
        row). A class that the model does not know counts as wrong.

    Raises
    ------
    ValueError
        If no row has a target, a target is no number in a regression, or none is a class that the model knows.
    """
    name = preprocessing.target
    if not rows_with_target(preprocessing, table):
        raise ValueError(f"the table must have values of the target {name!r} to be scored, got none")
    rows = table[name].is_not_null().arg_true().to_list()
    if preprocessing.task == "classification":
        truth = _as_classes(table[name], preprocessing.classes, rows)
        predicted = [predictions["prediction"][row] for row in rows]
        return {"accuracy": float(np.mean([one == other for one, other in zip(truth, predicted, strict=True)]))}
    numbers = as_numbers(table[name])[rows]
    errors = numbers - np.asarray(predictions["prediction"])[rows]
    found = {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt((errors**2).mean()))}
    return {"r2": r2(numbers, errors), **found} if len(rows) > 1 else {"mae": found["mae"]}


def r2(truth: np.ndarray, errors: np.ndarray) -> float:
    """Return 1 - mean squared error / variance; for constant targets 1 where there is no error, else 0."""
    variance = float(np.var(truth))
    squared_error = float((errors**2).mean())
    return 1.0 - squared_error / variance if variance > 0 else float(squared_error == 0)


def _as_classes(values: "Series", classes: tuple[str, ...], rows: list[int]) -> list[str]:
    """Return the values of some rows as the model calls them: 1.0 is its class "1"."""
    by_meaning = {meaning(name): name for name in classes}
    texts: list[str] = as_texts(values)[rows].to_list()
    names = [text if text in classes else by_meaning.get(meaning(text), text) for text in texts]
    if not set(names) & set(classes):
        raise ValueError(
            f"column {values.name!r} must hold classes that the model knows ({', '.join(classes)}), "
            f"got {texts[0]!r} in row {rows[0] + 1}"
        )
    return names
