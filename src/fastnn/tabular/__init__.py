"""Tables: CSV and Parquet files as features and targets, and models that are saved with their preprocessing.

- `reading`: files as polars data frames
- `columns`: what becomes of one column: numbers scaled, categories one-hot or by rank; `dates`: of one of dates
- `preprocessing`: all columns and the target; plain, and JSON where it is saved
- `model`: a network with its preprocessing, in one file; `scoring`: how good its predictions are

polars comes with the extra "tables", and is imported when a file is read.
"""

from fastnn.tabular.model import TableModel
from fastnn.tabular.preprocessing import Preprocessing
from fastnn.tabular.reading import read_table

__all__ = ["Preprocessing", "TableModel", "read_table"]
