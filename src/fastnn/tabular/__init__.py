"""Tables: files and data frames as features and targets, and models that are saved with their preprocessing.

- `reading`: files as polars data frames
- `columns`: what becomes of one column: numbers scaled, categories one-hot or numbered; `dates`: of one of dates;
  `values`: its values as numbers or texts
- `preprocessing`: all columns and the target; plain, and JSON where it is saved
- `texts`, `quantiles`: how values are written, how estimators see numbers
- `model`: networks with their preprocessing, in one file; `scoring`: how good its predictions are, and whether it was
  trained on the rows that it is scored on
- `estimators`: `TabularClassifier` and `TabularRegressor`, on `base`; `frames`, `recipes`, `problem`, `fitting` and
  `judging`: what they take, what is trained, and what is chosen by
- `tuning`: a search for a recipe, `fastnn.tune`

polars comes with the extra "tables", and is imported when a file is read.
"""

from fastnn.tabular.model import TableModel
from fastnn.tabular.preprocessing import Preprocessing
from fastnn.tabular.reading import read_table
from fastnn.tabular.recipes import Recipe

__all__ = ["Preprocessing", "Recipe", "TableModel", "read_table"]
