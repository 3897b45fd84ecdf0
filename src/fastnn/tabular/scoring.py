"""How good predictions are, where a table has the target too, and whether the model was trained on its rows.

A sketch of the training rows travels with a model. A row's hash comes from its features and its target. The smallest
hashes are a random sample of the rows [1]_; those of another table that are as small are either among them or were not
trained on.

References
----------
.. [1] Z. Bar-Yossef et al., "Counting Distinct Elements in a Data Stream", RANDOM 2002.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.tabular.values import as_numbers, as_texts, meaning

if TYPE_CHECKING:
    from polars import DataFrame, Series

    from fastnn.tabular.preprocessing import Preprocessing

SKETCH_SIZE = 1000
_LEAST_DIFFERENT = 0.9  # of the training rows; else new rows are like old ones by chance


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


def hash_rows(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return a 63-bit hash for each row of float32 features and its target, the same on every machine."""
    columns = np.arange(1, features.shape[1] + 2, dtype=np.uint64)
    factors = _mix(columns) | np.uint64(1)
    hashes = np.ascontiguousarray(targets, np.float32).view(np.uint32).astype(np.uint64) * factors[-1]
    for i in range(features.shape[1]):
        values = np.ascontiguousarray(features[:, i] + np.float32(0.0))  # -0.0 becomes 0.0
        hashes = hashes + _mix(values.view(np.uint32).astype(np.uint64) + factors[i])
    return (_mix(hashes) >> np.uint64(1)).astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """Return values whose bits all depend on all bits: the end of splitmix64 (S. Vigna, 2015)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def sketch(hashes: np.ndarray) -> np.ndarray:
    """Return the smallest different hashes, ascending; none where many rows are alike."""
    different = np.unique(hashes)
    return different[:SKETCH_SIZE] if different.size >= _LEAST_DIFFERENT * hashes.size else different[:0]


def share_seen(hashes: np.ndarray, sketched: np.ndarray) -> float:
    """Return which share of rows was trained on, by the sketch of the training rows; 0 without one."""
    if sketched.size == 0:
        return 0.0
    # A sketch that is not full holds all rows.
    compared = hashes if sketched.size < SKETCH_SIZE else hashes[hashes <= sketched[-1]]
    return float(np.isin(compared, sketched).mean()) if compared.size else 0.0
