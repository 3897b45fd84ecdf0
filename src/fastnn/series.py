"""Tables whose rows follow each other in time: sequences with a target each, and one series to forecast."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.files import container
from fastnn.files.container import SavedFile, shown
from fastnn.files.persistence import member, network_part, read_network
from fastnn.layers import Input
from fastnn.model.network import Network
from fastnn.tabular.dates import as_days, find_order, holds_dates
from fastnn.tabular.model import read_preprocessing
from fastnn.tabular.preprocessing import Preprocessing, warn_of_nothing, without_values
from fastnn.tabular.values import as_numbers, as_texts, check_outputs, unknown_column

if TYPE_CHECKING:
    from polars import DataFrame

_LARGEST_GAP = 1.5  # usual steps; months differ by less


def times_of(table: "DataFrame", column: str, dayfirst: bool | None = None) -> np.ndarray:
    """Return a column of numbers or dates as float64, or raise ValueError where one is missing."""
    if column not in table.columns:
        raise unknown_column(column, table.columns, "the table")
    values = table[column]
    times = as_days(values, find_order(values, dayfirst)) if holds_dates(values) else as_numbers(values)
    lost = np.flatnonzero(np.isnan(times))
    if lost.size:
        raise ValueError(f"the times in {column!r} must all be there, got none in row {lost[0] + 1}")
    return times


def check_times(table: "DataFrame", column: str, rows: np.ndarray, times: np.ndarray, where: str) -> None:
    """Raise ValueError unless times rise over these rows."""
    falls = np.flatnonzero(np.diff(times[rows]) <= 0)
    if falls.size:
        before, after = rows[falls[0]], rows[falls[0] + 1]
        raise ValueError(
            f"the times in {column!r} must rise {where}, got {table[column][int(after)]} in row {after + 1} after "
            f"{table[column][int(before)]} in row {before + 1}; sort the rows, and leave out what is there twice"
        )


def check_gaps(table: "DataFrame", column: str, times: np.ndarray) -> None:
    """Raise ValueError where a step of time is longer than usual."""
    steps = np.diff(times)
    usual = float(np.median(steps)) if steps.size else 0.0
    gaps = np.flatnonzero(steps > _LARGEST_GAP * usual)
    if gaps.size:
        row = int(gaps[0])
        raise ValueError(
            f"the times in {column!r} must have no gap, got {table[column][row + 1]} in row {row + 2} after "
            f"{table[column][row]}, {steps[row] / usual:.3g} times the usual step; fill in the rows that are missing, "
            "or leave --order-by out to take the rows as they follow each other"
        )


def group_rows(table: "DataFrame", by: str, order: str, dayfirst: bool | None = None) -> list[np.ndarray]:
    """Return the row numbers of each sequence, in the order in which sequences first appear.

    Raises
    ------
    ValueError
        If a name or a time is missing, or the times of a sequence do not rise.
    """
    if by not in table.columns:
        raise unknown_column(by, table.columns, "the table")
    times = times_of(table, order, dayfirst)
    names = as_texts(table[by])
    if names.null_count():
        raise ValueError(f"the column {by!r} must name every row's sequence, got none in row "
                         f"{names.is_null().arg_true()[0] + 1}")  # fmt: skip
    numbers = names.rank("dense").to_numpy().astype(np.int64) - 1
    rows = np.split(np.argsort(numbers, kind="stable"), np.cumsum(np.bincount(numbers))[:-1])
    rows.sort(key=lambda own: own[0])
    for own in rows:
        check_times(table, order, own, times, f"within the sequence {names[int(own[0])]!r}")
    return rows


def padded(features: np.ndarray, rows: Sequence[np.ndarray], least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the sequences that rows form, (n, steps, n_features), 0 behind their ends, and their lengths.

    There are as many steps as the longest has, and `least` at least.
    """
    lengths = np.array([own.size for own in rows])
    X = np.zeros((len(rows), max(least, lengths.max()), features.shape[1]), features.dtype)
    for sequence, own in zip(X, rows, strict=True):
        sequence[: own.size] = features[own]
    return X, lengths


def windows_of(features: np.ndarray, window: int) -> np.ndarray:
    """Return all windows of consecutive rows, a view of shape (n - window + 1, window, n_features)."""
    return np.lib.stride_tricks.sliding_window_view(features, window, axis=0).swapaxes(1, 2)


@dataclass(frozen=True)
class SeriesModel:
    """A recurrent network and how it wants its tables: what `fastnn train FILE --sequence-by` or `--window` saves.

    Attributes
    ----------
    network : Network
    preprocessing : Preprocessing
    by : str or None
        The column that names a row's sequence; None: the table is one series, which is forecast.
    order : str or None
        The column of times; None, for one series only: rows follow each other.
    window, horizon : int
        Rows that a forecast is made from, and how many rows later it is for; 0 where there are sequences.
    scale : float
        What an output of 1 means: a change of the target by so much.
    dayfirst : bool or None
        What comes first in times such as 1/2/2020; None: as they show themselves.

    Examples
    --------
    >>> import fastnn, polars
    >>> from fastnn.series import SeriesModel
    >>> from fastnn.tabular import Preprocessing
    >>> table = polars.DataFrame({"who": ["a", "a", "b"], "day": [1, 2, 1], "x": [0.5, 1.5, 1.0], "y": [1.5, 1.5, 2.5]})
    >>> preprocessing = Preprocessing.learn(table, "y", task="regression", drop=["who", "day"])
    >>> network = fastnn.Network([fastnn.Input((2, 1)), fastnn.GRU(4), fastnn.Dense(1)], seed=0)
    >>> list(SeriesModel(network, preprocessing, "who", "day").predict(table)["who"])
    ['a', 'b']
    """

    network: Network
    preprocessing: Preprocessing
    by: str | None
    order: str | None
    window: int = 0
    horizon: int = 0
    scale: float = 1.0
    dayfirst: bool | None = None

    def predict(self, table: "DataFrame") -> dict[str, Any]:
        """Return predictions as named columns, the first of them the sequences' names, or the times of forecasts.

        Parameters
        ----------
        table : polars.DataFrame
            With the columns that training used.

        Returns
        -------
        dict of str to sequence
            A value for each sequence, in the order in which they first appear; or for each row that ends a window.

        Raises
        ------
        ValueError
            If a column is missing, times do not rise or have a gap, or the series is shorter than the window.
        """
        if self.by is not None:
            assert self.order is not None
            rows = group_rows(table, self.by, self.order, self.dayfirst)
            X, lengths = padded(self.preprocessing.features(table), rows, self.network.plan.input_shape[0])
            outputs = _for_steps(self.network, X.shape[1]).predict(X, lengths=lengths)
            check_outputs(outputs, "sequence")
            names = table[self.by][[int(own[0]) for own in rows]]
            is_empty = self.preprocessing.empty_rows(table)
            warn_of_nothing(np.array([is_empty[own].all() for own in rows]), "sequence", lambda i: repr(names[i]))
            return {self.by: names, **self.preprocessing.predictions(outputs)}
        features, past = series_features(self.preprocessing, table, self.order, self.dayfirst)
        if len(past) < self.window:
            raise ValueError(f"a series must have at least {self.window} rows, the window, got {len(past)}")
        outputs = self.network.predict(np.ascontiguousarray(windows_of(features, self.window)))
        check_outputs(outputs, "window")
        change, first = outputs[:, 0], self.window - 1
        at = {} if self.order is None else {self.order: table[self.order][first:]}
        return {**at, "prediction": past[first:] + self.scale * change.astype(np.float64)}

    def save(self, path: str | os.PathLike) -> None:
        """Write the model to one file, whole or not at all; `Network.load` reads its network alone."""
        part, arrays = network_part(self.network)
        series = {"by": self.by, "order": self.order, "window": self.window, "horizon": self.horizon,
                  "scale": self.scale, "dayfirst": self.dayfirst}  # fmt: skip
        document = {"kind": "series", "network": part, "table": self.preprocessing.config, "series": series}
        container.write(path, document, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SeriesModel":
        """Return the model in a file.

        Raises
        ------
        FileFormatError
            If the file is damaged, or holds something else.
        OSError
            If it cannot be read.
        """
        with container.reading(path) as file:
            return cls.read(file)

    @classmethod
    def read(cls, file: SavedFile) -> "SeriesModel":
        """Return the model in an open file."""
        if file.document.get("kind") != "series":
            raise file.error("it holds no model of series; `fastnn train FILE --window N` writes one")
        preprocessing = read_preprocessing(file)
        part = member(file, file.document, "series", dict)
        by, order, window, horizon, scale = (part.get(name) for name in ("by", "order", "window", "horizon", "scale"))
        is_whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (window, horizon))
        dayfirst = part.get("dayfirst")
        is_known = (
            isinstance(by, str | None)
            and isinstance(order, str | None)
            and isinstance(scale, float)
            and np.isfinite(scale)
        )
        if not (is_whole and is_known and isinstance(dayfirst, bool | None) and scale > 0):
            raise file.error(f"series must say by, order, window, horizon, scale and dayfirst, got {shown(part)}")
        if (by is None) != (window > 0 and horizon > 0) or (by is not None and order is None):
            raise file.error(f"series must have either by and order, or window and horizon, got {shown(part)}")
        network = read_network(Network, file)
        shape, n_outputs = network.plan.input_shape, network.plan.output_shape
        if len(shape) != 2 or shape[1] != preprocessing.n_features or n_outputs != (preprocessing.n_outputs,):
            raise file.error(f"its network, of {shape} to {n_outputs}, does not suit its table")
        if by is None and (shape[0] != window or preprocessing.classes):
            raise file.error(f"its network takes {shape[0]} steps, not the window {window}")
        return cls(network, preprocessing, by, order, window, horizon, scale, dayfirst)


def past_name(target: str) -> str:
    """Return the name of the column that holds the target as it was, of which forecasts are made."""
    return f"{target} (until now)"


def with_past(table: "DataFrame", target: str) -> "DataFrame":
    """Return a table with the target as a column to predict from."""
    if target not in table.columns:
        raise unknown_column(target, table.columns, "the table")
    return table.with_columns(table[target].alias(past_name(target)))


def series_features(
    preprocessing: Preprocessing, table: "DataFrame", order: str | None, dayfirst: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of one series, and its target in every row, which must be there."""
    table = with_past(without_values(table, preprocessing.missing), preprocessing.target)
    past = check_series(table, preprocessing.target, order, dayfirst)
    return preprocessing.features(table), past


def check_series(table: "DataFrame", target: str, order: str | None, dayfirst: bool | None) -> np.ndarray:
    """Return the target of one series, or raise ValueError if values are missing or times fall or have a gap."""
    past = as_numbers(table[target])
    lost = np.flatnonzero(np.isnan(past))
    if lost.size:
        raise ValueError(f"the series {target!r} must have no gap, got no value in row {lost[0] + 1}")
    if order is not None:
        times = times_of(table, order, dayfirst)
        check_times(table, order, np.arange(table.height), times, "from row to row")
        check_gaps(table, order, times)
    return past


def _for_steps(network: Network, steps: int) -> Network:
    """Return the network for sequences of up to so many steps; weights of recurrent layers suit any."""
    most, n_features = network.plan.input_shape
    if steps <= most:
        return network
    longer = Network([Input((steps, n_features)), *network.layers[1:]], dtype=str(network.dtype))
    longer.set_weights(network.get_weights())
    return longer


__all__ = ["SeriesModel"]
