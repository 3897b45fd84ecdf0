"""From a table to features and targets, and from outputs to predictions: learnt once, applied alike ever after."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.validation import check_bool, check_choice, check_finite
from fastnn.tabular.columns import (
    NUMBER_STYLES,
    CategoryColumn,
    Column,
    RankColumn,
    column_config,
    column_from_config,
    learn_column,
    warn_if_strange,
)
from fastnn.tabular.dates import holds_dates
from fastnn.tabular.values import (
    as_numbers,
    as_texts,
    check_not_mixed,
    holds_numbers,
    is_number,
    meaning,
    unknown_column,
)

if TYPE_CHECKING:
    from polars import DataFrame, Series

TASKS = ("classification", "regression")
MOST_CLASSES_OF_INTEGERS = 20  # integers with more different values, or few rows for each, are quantities
_ROWS_A_CLASS = 5


@dataclass(frozen=True)
class Preprocessing:
    """How rows of a table become features, and outputs predictions.

    Attributes
    ----------
    target : str
        The column that is predicted.
    task : "classification" or "regression"
    columns : tuple of Column
        What becomes of each column that is used, in the order of the features.
    left_out : dict of str to str
        Columns that are not used, and why.
    classes : tuple of str
        The target's classes, in the order of the outputs; empty for regression.
    mean, deviation : float
        Of the target in a regression, which is trained scaled.
    missing : tuple of str
        Texts (and the numbers that they are) that stand for no value, beside a table's own.
    logs : bool
        Whether a regression learns log(1 + target); mean and deviation are those of the logarithm.

    Examples
    --------
    >>> import polars
    >>> from fastnn.tabular import Preprocessing
    >>> table = polars.DataFrame({"size": [1.0, 2.0, None], "colour": ["red", "blue", "red"], "ripe": ["y", "n", "y"]})
    >>> preprocessing = Preprocessing.learn(table, "ripe")
    >>> preprocessing.task, preprocessing.classes, preprocessing.n_features
    ('classification', ('n', 'y'), 4)
    >>> preprocessing.features(table)
    array([[-1.,  0.,  1.,  0.],
           [ 1.,  0.,  0.,  1.],
           [ 0.,  1.,  1.,  0.]], dtype=float32)
    """

    target: str
    task: str
    columns: tuple[Column, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    mean: float = 0.0
    deviation: float = 1.0
    missing: tuple[str, ...] = ()
    logs: bool = False

    @classmethod
    def learn(
        cls,
        table: "DataFrame",
        target: str,
        *,
        task: str | None = None,
        categorical: Sequence[str] = (),
        drop: Sequence[str] = (),
        rows: np.ndarray | None = None,
        missing: Sequence[str] = (),
        dayfirst: bool | None = None,
        keep: Sequence[str] = (),
        numbers: str = "standard",
        embeds: bool = False,
    ) -> "Preprocessing":
        """Return the preprocessing for a table.

        Parameters
        ----------
        table : polars.DataFrame
        target : str
            The column to predict.
        task : "classification", "regression" or None, default None
            None: classification for texts, booleans, and integers of few different values, else regression.
        categorical : sequence of str, default ()
            Columns whose numbers are names, not quantities.
        drop : sequence of str, default ()
            Columns to leave out.
        rows : ndarray of int or None, default None
            Row numbers to learn scales and categories from (None: all); the classes are those of all rows.
        missing : sequence of str, default ()
            Texts that stand for no value, and numbers that do; kept for later tables.
        dayfirst : bool or None, default None
            Which of day and month comes first in dates such as 1/2/2020; None: as a column's own values say.
        keep : sequence of str, default ()
            Columns to use although they look like identifiers.
        numbers : "standard", "quantile" or "encoded", default "standard"
            How numbers become features: mean 0 and deviation 1; or scaled by quantiles, without or with a
            piecewise-linear encoding. Other than "standard" implies `embeds`.
        embeds : bool, default False
            Whether more than 200 categories become their number as it is, for a network whose first layer is a
            `fastnn.CategoryEmbedding` of `categories`. False: they become their rank by frequency, with a warning.

        Raises
        ------
        ValueError
            If a column is missing or mixes numbers and text, the target is constant or does not suit the task, or no
            column is left to learn from.
        """
        check_choice("numbers", numbers, NUMBER_STYLES)
        check_bool("embeds", embeds)
        for name in (target, *categorical, *drop, *keep):
            if name not in table.columns:
                raise unknown_column(name, table.columns, "the table")
        if task is None and holds_dates(table[target]):
            raise ValueError(
                f"the target {target!r} holds dates, which cannot be predicted; make numbers of them, such as days, or "
                "say that they are classes (task 'classification')"
            )
        task = find_task(table[target]) if task is None else check_choice("task", task, TASKS)
        table = without_values(table, missing)
        values = table[target].drop_nulls()
        mean, deviation = 0.0, 1.0
        classes: tuple[str, ...] = ()
        if task == "classification":
            if target not in categorical and not holds_numbers(values):
                check_not_mixed(table[target])
            classes = _classes(values)
        else:
            known = as_numbers(table[target]) if rows is None else as_numbers(table[target])[rows]
            mean, deviation = target_scale(target, known[~np.isnan(known)])
        columns, left_out = learn_columns(
            table, target, categorical=categorical, drop=drop, rows=rows, dayfirst=dayfirst, keep=keep,
            numbers=numbers, embeds=embeds,
        )  # fmt: skip
        ranked = [repr(column.name) for column in columns if isinstance(column, RankColumn)]
        if ranked:
            warnings.warn(
                f"more than 200 categories become one number, their rank by frequency: {', '.join(ranked)}; for a "
                "learned vector each give embeds=True, and the network "
                "fastnn.CategoryEmbedding(preprocessing.categories, 16) as its first layer",
                stacklevel=2,
            )
        return cls(target, task, columns, left_out, classes, mean, deviation, tuple(missing))

    @property
    def n_features(self) -> int:
        return sum(column.n_features for column in self.columns)

    @property
    def categories(self) -> dict[int, int]:
        """Features that are numbers of categories, and how many each has: what `fastnn.CategoryEmbedding` takes."""
        return categories_of(self.columns)

    @property
    def n_outputs(self) -> int:
        """One a class, or one."""
        return len(self.classes) or 1

    @property
    def texts(self) -> list[str]:
        """Columns that are read as they are written: categories, and classes."""
        names = [column.name for column in self.columns if column.kind in ("one-hot", "category", "rank")]
        return [*names, self.target] if self.classes else names

    def features(self, table: "DataFrame") -> np.ndarray:
        """Return the features of a table, float32 of shape (n, n_features).

        Raises
        ------
        ValueError
            If a column is missing, or holds text in place of numbers, or numbers that float32 cannot hold.

        Warns
        -----
        UserWarning
            If there are columns that training did not see, which are ignored, or a column of categories has none that
            training saw.
        """
        known = {column.name for column in self.columns} | self.left_out.keys() | {self.target}
        unknown = [name for name in table.columns if name not in known]
        if unknown:
            warnings.warn(f"columns that the model was trained without are ignored: {', '.join(unknown)}", stacklevel=2)
        return encode(self.columns, without_values(table, self.missing))

    def empty_rows(self, table: "DataFrame") -> np.ndarray:
        """Return, for each row of a table, whether it has no value in any column that is used."""
        table = without_values(table, self.missing)
        is_empty = np.ones(table.height, bool)
        for column in self.columns:
            if not is_empty.any():
                break
            values = table[column.name]
            is_missing = values.is_null()
            if values.dtype.is_float():
                is_missing |= values.is_nan().fill_null(True)
            is_empty &= is_missing.to_numpy()
        return is_empty

    def targets(self, table: "DataFrame") -> np.ndarray:
        """Return a table's targets, none of which is missing: class numbers (int64), or scaled numbers (float64).

        Raises
        ------
        ValueError
            If a class is unknown or a value is no number.
        """
        values = table[self.target]
        if self.task == "regression":
            numbers = as_numbers(values)
            return ((np.log1p(np.maximum(numbers, -0.999)) if self.logs else numbers) - self.mean) / self.deviation
        texts = _spelled(as_texts(values), self.classes)
        unknown = (~texts.is_in(list(self.classes))).arg_true()
        if len(unknown):
            row = unknown[0]
            known = ", ".join(self.classes)
            raise ValueError(f"the target must be one of {known}, got {texts[row]!r} in row {row + 1}")
        return texts.replace_strict(list(self.classes), list(range(len(self.classes)))).to_numpy()

    def predictions(self, outputs: np.ndarray) -> dict[str, Any]:
        """Return a network's outputs as named columns: "prediction", and for classes a probability each."""
        if self.task == "regression":
            return {"prediction": self.numbers(outputs)}
        best = outputs.argmax(axis=1)
        columns: dict[str, Any] = {"prediction": [self.classes[number] for number in best]}
        columns.update({f"probability of {name}": outputs[:, i] for i, name in enumerate(self.classes)})
        return columns

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Return a network's outputs as numbers on the target's own scale."""
        values = outputs[:, 0].astype(np.float64) * self.deviation + self.mean
        # Beyond the logarithms of training e^x would soon be beyond everything.
        return np.expm1(np.minimum(values, self.mean + 20.0 * self.deviation)) if self.logs else values

    @property
    def config(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {
            "target": self.target, "task": self.task, "columns": [column_config(column) for column in self.columns],
            "left_out": self.left_out, "classes": list(self.classes), "mean": self.mean, "deviation": self.deviation,
            "missing": list(self.missing), "logs": self.logs,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Any) -> "Preprocessing":
        """Return the preprocessing that `config` described, or raise ValueError."""
        members = {"target": str, "task": str, "columns": list, "left_out": dict, "classes": list}
        # Members that came later than the first release have a default: older files lack them.
        late = {"missing", "logs"}
        known = {item.name for item in fields(cls)}
        if not isinstance(config, dict) or not known - late <= config.keys() <= known:
            raise ValueError(f"a preprocessing must have the members {', '.join(cls.__dataclass_fields__)}")
        for name, kind in members.items():
            if type(config[name]) is not kind:
                raise ValueError(f"{name!r} must be of type {kind.__name__}")
        check_choice("task", config["task"], TASKS)
        missing = config.get("missing", [])
        if not isinstance(missing, list):
            raise ValueError("'missing' must be a list")
        if type(config.get("logs", False)) is not bool:
            raise ValueError("'logs' must be true or false")
        texts = [*config["classes"], *config["left_out"], *config["left_out"].values(), *missing]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("'classes', 'left_out' and 'missing' must hold texts")
        n_classes = len(set(config["classes"]))
        if n_classes != len(config["classes"]) or (n_classes < 2 if config["task"] == TASKS[0] else n_classes):
            raise ValueError("'classes' must hold at least two different texts for a classification, else none")
        if not is_number(config["mean"]) or not is_number(config["deviation"]):
            raise ValueError("'mean' and 'deviation' must be numbers")
        if not config["deviation"] > 0:
            raise ValueError("'deviation' must be positive")
        columns = tuple(column_from_config(column) for column in config["columns"])
        if not columns:
            raise ValueError("'columns' must hold at least one")
        names = [config["target"], *(column.name for column in columns)]
        if len(set(names)) != len(names):
            raise ValueError("'columns' must have different names, none of them the target's")
        return cls(**{**config, "columns": columns, "classes": tuple(config["classes"]), "missing": tuple(missing)})


def learn_columns(
    table: "DataFrame",
    target: str | None,
    *,
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
    rows: np.ndarray | None = None,
    dayfirst: bool | None = None,
    keep: Sequence[str] = (),
    numbers: str = "standard",
    embeds: bool = False,
) -> tuple[tuple[Column, ...], dict[str, str]]:
    """Return the encoders of a table's columns, and of those that are left out the reason."""
    columns, left_out = [], {name: "as asked" for name in drop}
    for place, name in enumerate(table.columns):
        if name != target and name not in left_out:
            column = learn_column(
                table[name], name in categorical, rows, numbers=numbers, embeds=embeds, dayfirst=dayfirst,
                is_first=place == 0, is_kept=name in keep,
            )  # fmt: skip
            if isinstance(column, str):
                left_out[name] = column
            else:
                columns.append(column)
    if not columns:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        what = "the target" if target is None else repr(target)
        raise ValueError(f"there is no column to predict {what} from" + (f" ({reasons})" if reasons else ""))
    return tuple(columns), left_out


def categories_of(columns: Sequence[Column]) -> dict[int, int]:
    """Return which features of columns are numbers of categories, and how many each has."""
    starts = np.cumsum([0, *(column.n_features for column in columns)]).tolist()
    return {
        first: len(column.categories) for first, column in zip(starts, columns, strict=False)
        if isinstance(column, CategoryColumn) and not isinstance(column, RankColumn)
    }  # fmt: skip


def encode(columns: Sequence[Column], table: "DataFrame") -> np.ndarray:
    """Return the features that columns make of a table, float32 of shape (n, n_features), or raise ValueError."""
    missing = [column.name for column in columns if column.name not in table.columns]
    if missing:
        raise unknown_column(missing[0], table.columns, "the table")
    features = np.empty((table.height, sum(column.n_features for column in columns)), np.float32)
    first = 0
    for column in columns:
        warn_if_strange(column, table[column.name])
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused by row
            column.encode(table[column.name], features[:, first : first + column.n_features])
        first += column.n_features
    check_finite("the features of the table", features)
    return features


def warn_of_nothing(is_empty: np.ndarray, what: str, name: Callable[[int], Any]) -> None:
    """Warn where a prediction rests on no value: a network is sure of something there all the same."""
    if is_empty.any():
        n, first = int(is_empty.sum()), int(is_empty.argmax())
        has = f"1 {what} has" if n == 1 else f"{n:,} {what}s have"
        warnings.warn(
            f"{has} no value in any column that the model uses (the first: {name(first)}): however sure its prediction "
            "looks, it rests on nothing",
            stacklevel=3,
        )


def without_values(table: "DataFrame", missing: Sequence[str]) -> "DataFrame":
    """Return a table in which texts, and the numbers that they are, stand for no value."""
    import polars

    if not missing:
        return table
    numbers = [float(text) for text in missing if _is_float(text)]
    cleaned = []
    for values in table:
        if values.dtype.is_numeric() and numbers:
            values = values.set(values.cast(polars.Float64).is_in(numbers).fill_null(False), None)
        elif values.dtype == polars.String:
            values = values.set(values.is_in(list(missing)).fill_null(False), None)
        cleaned.append(values)
    return polars.DataFrame(cleaned)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def target_scale(name: str, numbers: np.ndarray) -> tuple[float, float]:
    """Return mean and deviation of a regression's target, or raise ValueError where it cannot be scaled by them."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(numbers.mean()), float(numbers.std())
    if not np.isfinite(mean) or not np.isfinite(deviation) or deviation > 1e300 or abs(mean) > 1e300:
        worst = numbers[np.abs(numbers).argmax()]
        raise ValueError(f"the target {name!r} must have numbers whose squares float64 holds, got {worst:g}")
    if not deviation > 0:
        raise ValueError(f"the target {name!r} must vary, got {numbers[0]:g} in every row")
    return mean, deviation


def _spelled(texts: "Series", classes: tuple[str, ...]) -> "Series":
    """Return texts in the spelling of the classes that they mean: 1.0 is the class 1, or 01."""
    strange = texts.filter(~texts.is_in(list(classes))).unique().drop_nulls().to_list()
    if not strange:
        return texts
    by_meaning = {meaning(name): name for name in classes}
    known = {text: by_meaning[meaning(text)] for text in strange if meaning(text) in by_meaning}
    return texts.replace(known) if known else texts


def find_task(values: "Series") -> str:
    """Return "classification" for texts, booleans, and integers of few different values, else "regression"."""
    import polars

    if not values.dtype.is_numeric():
        return "classification"
    known = values.drop_nulls()
    n_different = known.n_unique()
    is_few = n_different <= min(MOST_CLASSES_OF_INTEGERS, len(known) // _ROWS_A_CLASS)
    is_integral = values.dtype.is_integer() or bool((known.cast(polars.Float64) % 1 == 0).all())
    return "classification" if is_few and is_integral else "regression"


def _classes(values: "Series") -> tuple[str, ...]:
    """Return the classes as texts, in the order of their numbers if they are numbers, else of the alphabet."""
    if len(values) == 0:
        raise ValueError(f"the target {values.name!r} must have values, got none")
    texts = as_texts(values).unique().sort().to_list()
    # Numbers in their order, also where the file's spelling was kept: 2, 9, 10.
    are_numbers = all(isinstance(meaning(text), float) for text in texts)
    classes = tuple(sorted(texts, key=meaning)) if are_numbers else tuple(texts)
    if len(classes) == 1:
        raise ValueError(f"the target {values.name!r} must have at least two classes, got {classes[0]!r} in every row")
    if len(classes) > max(2, len(values) // 2):
        raise ValueError(
            f"the target {values.name!r} has {len(classes):,} classes in {len(values):,} rows, too many to learn; "
            "for numbers the task is regression"
        )
    return classes
