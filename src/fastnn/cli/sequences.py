"""What `fastnn train` does with rows that follow each other in time, and `fastnn predict` with models of them."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import optimizers, series
from fastnn.callbacks import LiveView
from fastnn.cli import table as tables
from fastnn.cli.fitting import fit, save_curves, shown_by
from fastnn.cli.options import check_output, given_flags
from fastnn.cli.output import say
from fastnn.common.validation import check_integer, check_real
from fastnn.inputs.splits import split_off
from fastnn.layers import GRU, LSTM, CategoryEmbedding, Dense, Input, Layer
from fastnn.model.network import Network
from fastnn.series import SeriesModel
from fastnn.tabular.preprocessing import Preprocessing, without_values
from fastnn.tabular.reading import read_table
from fastnn.tabular.recipes import CATEGORY_UNITS
from fastnn.tabular.scoring import scores
from fastnn.training.trainer import Trainer

if TYPE_CHECKING:
    from polars import DataFrame

CELLS: dict[str, Any] = {"gru": GRU, "lstm": LSTM}
_OPTIONS = ("sequence_by", "order_by", "window", "horizon")
_OTHERS = (
    "activation", "dropout", "scale", "preset", "cv", "time_limit", "json", "report", "group", "time", "size",
    "colours",
)  # fmt: skip
_UNITS, _EPOCHS, _RATE, _LEAST_WINDOWS = [32], 50, 0.005, 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that go with rows in an order."""
    group = parser.add_argument_group("sequences", "where the rows of a table follow each other in time")
    group.add_argument("--sequence-by", metavar="COLUMN", help="rows of the same value are a sequence, with one target")
    group.add_argument("--order-by", metavar="COLUMN", help="times, which rise in a sequence or series")
    group.add_argument("--window", type=int, metavar="N", help="forecast one series: from how many rows")
    group.add_argument("--horizon", type=int, metavar="K", help="for how many rows later (default: 1)")


def are_meant(arguments: argparse.Namespace) -> bool:
    """Whether rows have an order; raises ValueError if options do not go together."""
    given = given_flags(arguments, _OPTIONS)
    if arguments.sequence_by is None and arguments.window is None:
        if given:
            raise ValueError(f"{given[0]} goes with --sequence-by or --window")
        if arguments.model in CELLS:
            raise ValueError(f"--model {arguments.model} goes with --sequence-by or --window")
        return False
    if not tables.is_table(arguments):
        raise ValueError(f"{given[0]} goes with a file, got {arguments.name!r}")
    if arguments.model not in (None, *CELLS):
        raise ValueError(f"--model must be gru or lstm for sequences, got {arguments.model}")
    if arguments.sequence_by is not None:
        if arguments.window is not None or arguments.horizon is not None:
            raise ValueError("--window and --horizon go with one series, not with --sequence-by")
        if arguments.order_by is None:
            raise ValueError("--sequence-by needs --order-by, the column of times")
    elif arguments.task == "classification":
        raise ValueError("--window forecasts numbers, not classes: leave --task classification out")
    if wrong := given_flags(arguments, _OTHERS):
        raise ValueError(f"{wrong[0]} does not go with --sequence-by or --window")
    return True


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Samples of shape (time, features) and their targets as the network learns them, and which are tested on."""

    table: "DataFrame"
    preprocessing: Preprocessing
    X: np.ndarray
    y: np.ndarray
    lengths: np.ndarray | None
    train: np.ndarray
    test: np.ndarray
    past: np.ndarray  # of forecasts: the target where a window ends, and `horizon` rows later
    future: np.ndarray
    scale: float = 1.0


def load(arguments: argparse.Namespace) -> Sequences:
    """Read a table, and make sequences or windows of its rows."""
    test_size = check_real("--test-size", arguments.test_size, 0.0, 1.0, closed="neither")
    check_output(tables.output_path(arguments))
    is_forecast = arguments.sequence_by is None
    if is_forecast:
        arguments.task = "regression"
        arguments.horizon = check_integer("--horizon", 1 if arguments.horizon is None else arguments.horizon, 1)
        check_integer("--window", arguments.window, 1)
    table, arguments.task = tables.read_with_target(Path(arguments.name), arguments)
    table = without_values(table, arguments.missing or ())
    return (_windows if is_forecast else _grouped)(table, arguments, test_size)


def _learn(table: "DataFrame", arguments: argparse.Namespace, rows: np.ndarray, keep: list[str]) -> Preprocessing:
    order = (arguments.sequence_by, arguments.order_by)
    return Preprocessing.learn(
        table, arguments.target, task=arguments.task, categorical=arguments.categorical or (),
        drop=list(dict.fromkeys([*(arguments.drop or ()), *(name for name in order if name is not None)])), rows=rows,
        missing=arguments.missing or (), dayfirst=arguments.dayfirst, keep=[*(arguments.keep_column or ()), *keep],
        embeds=True,
    )  # fmt: skip


def _grouped(table: "DataFrame", arguments: argparse.Namespace, test_size: float) -> Sequences:
    by, target = arguments.sequence_by, arguments.target
    rows = series.group_rows(table, by, arguments.order_by, arguments.dayfirst)
    values = table[target]
    for own in rows:
        found = values[own.tolist()].unique(maintain_order=True)
        if len(found) > 1 or found.null_count():
            shown = ", ".join("nothing" if value is None else repr(value) for value in found[:3])
            raise ValueError(
                f"{target!r} must be one value in all rows of a sequence, got {shown} in {table[by][int(own[0])]!r}"
            )
    if len(rows) < 4:
        raise ValueError(f"--sequence-by must make at least 4 sequences to train and test on, got {len(rows)}")
    firsts = table[[int(own[0]) for own in rows]]
    n_test = int(np.ceil(test_size * len(rows)))
    if n_test >= len(rows):
        raise ValueError(f"--test-size {test_size:g} leaves none of {len(rows)} sequences to train on")
    classes = firsts[target].cast(str).rank("dense").to_numpy().astype(np.int64)
    train, test = split_off(len(rows), n_test, classes if arguments.task == "classification" else None, arguments.seed)
    preprocessing = _learn(table, arguments, np.sort(np.concatenate([rows[i] for i in train])), [])
    X, lengths = series.padded(preprocessing.features(table), rows)
    y, none = preprocessing.targets(firsts), np.empty(0)
    return Sequences(firsts, preprocessing, X, y, lengths, train, test, none, none)


def _windows(table: "DataFrame", arguments: argparse.Namespace, test_size: float) -> Sequences:
    target, window, horizon = arguments.target, arguments.window, arguments.horizon
    values = series.check_series(table, target, arguments.order_by, arguments.dayfirst)
    n = len(values) - window - horizon + 1
    n_test = int(np.ceil(test_size * max(n, 0)))
    # Targets of training end before the first row that is tested on.
    n_train = n - n_test - horizon + 1
    if n_train < _LEAST_WINDOWS:
        least = int(np.ceil((_LEAST_WINDOWS + horizon) / (1 - test_size))) + window + horizon
        raise ValueError(
            f"the series is too short for --window {window} and --horizon {horizon}: about {least:,} rows are needed "
            f"to train and test, got {len(values):,}"
        )
    table = series.with_past(table, target)
    preprocessing = _learn(table, arguments, np.arange(n_train + window - 1), [series.past_name(target)])
    X = series.windows_of(preprocessing.features(table), window)[:n]
    past, future = values[window - 1 : window - 1 + n], values[window - 1 + horizon :]
    scale = float(np.std((future - past)[:n_train])) or preprocessing.deviation
    y = (future - past) / scale
    rows = np.arange(n)
    return Sequences(
        table, preprocessing, X, y, None, rows[:n_train], rows[n - n_test :], past, future, scale
    )  # fmt: skip


def make_trainer(data: Sequences, arguments: argparse.Namespace) -> Trainer:
    """Return the trainer that the arguments describe."""
    cell = CELLS[arguments.model or "gru"]
    units = _UNITS if arguments.hidden == arguments.parser.get_default("hidden") else arguments.hidden
    if not units:
        raise ValueError("--hidden must name the units of at least one recurrent layer, got none")
    layers: list[Layer] = [Input(data.X.shape[1:])]
    if data.preprocessing.categories:
        layers.append(CategoryEmbedding(data.preprocessing.categories, CATEGORY_UNITS))
    layers += [cell(n, return_sequences=i < len(units) - 1) for i, n in enumerate(units)]
    is_classes = bool(data.preprocessing.classes)
    layers.append(Dense(data.preprocessing.n_outputs, "softmax" if is_classes else "linear"))
    optimizer = optimizers.get(arguments.optimizer)
    rate = arguments.learning_rate
    if rate is None and arguments.optimizer == "adam":
        rate = _RATE
    if rate is not None:
        optimizer = dataclasses.replace(optimizer, learning_rate=rate)
    network = Network(layers, seed=arguments.seed)
    say(f"network: {(arguments.model or 'gru').upper()} of {', '.join(map(str, units))} units, "
        f"{network.n_parameters:,} parameters")  # fmt: skip
    loss = "categorical_crossentropy" if is_classes else "mse"
    return Trainer(network, loss=loss, optimizer=optimizer, metrics=["accuracy"] if is_classes else [])


def run(arguments: argparse.Namespace, view: LiveView | None) -> int:
    """Train, test, save and report; raises ValueError, TypeError or ImportError where that cannot begin."""
    data = load(arguments)
    epochs = _EPOCHS if arguments.epochs is None else arguments.epochs
    is_forecast = arguments.sequence_by is None
    what = "windows" if is_forecast else "sequences"
    steps = (
        f"{data.X.shape[1]} steps" if data.lengths is None else f"{data.lengths.min()} to {data.lengths.max()} steps"
    )
    say(f"{Path(arguments.name).name}: {len(data.X):,} {what} of {steps} of {data.X.shape[2]} features; "
        f"{len(data.train):,} to train, {len(data.test):,} to test")  # fmt: skip
    trainer = make_trainer(data, arguments)
    lengths = {} if data.lengths is None else {"lengths": data.lengths[data.train]}
    seconds, code = fit(
        trainer, data.X[data.train], data.y[data.train], epochs=epochs, batch_size=arguments.batch_size,
        validation_split=arguments.validation_size, n_threads=arguments.threads,
        verbose=0 if arguments.quiet or arguments.live else 1, callbacks=shown_by(arguments, view, epochs), **lengths,
    )  # fmt: skip
    model = SeriesModel(
        trainer.network, data.preprocessing, arguments.sequence_by, arguments.order_by, arguments.window or 0,
        arguments.horizon or 0, data.scale, arguments.dayfirst,
    )  # fmt: skip
    path = tables.output_path(arguments)
    model.save(path)
    lengths = {} if data.lengths is None else {"lengths": data.lengths[data.test]}
    outputs = trainer.predict(data.X[data.test], **lengths)
    for line in _scored(data, outputs, is_forecast):
        say(line)
    say(f"time: {seconds:.3f} s for {len(trainer.history.epoch):,} epochs")
    save_curves(trainer, arguments.name, arguments.plot)
    say(f"model: {path}")
    return code


def _scored(data: Sequences, outputs: np.ndarray, is_forecast: bool) -> list[str]:
    if is_forecast:
        past, future = data.past[data.test], data.future[data.test]
        error = np.abs(past + data.scale * outputs[:, 0] - future).mean()
        naive = np.abs(past - future).mean()
        return [f"test mean absolute error: {error:.4g}", f"the last value alone: {naive:.4g}"]
    table = data.table[data.test]
    values = scores(data.preprocessing, table, data.preprocessing.predictions(outputs))
    if data.preprocessing.classes:
        counts = np.bincount(data.y[data.train])
        trivial = float(np.mean(data.y[data.test] == counts.argmax()))
        return [f"test accuracy: {100 * values['accuracy']:.2f} %",
                f"the most frequent class alone: {100 * trivial:.2f} %"]  # fmt: skip
    y = data.y[data.test] * data.preprocessing.deviation
    trivial = float(np.abs(y - data.y[data.train].mean() * data.preprocessing.deviation).mean())
    return [f"test mean absolute error: {values['mae']:.4g}", f"the mean alone: {trivial:.4g}"]


def predict(model_path: Path, path: Path, missing: Any) -> dict[str, Any]:
    """Return the predictions of a model for a file, as named columns."""
    model = SeriesModel.load(model_path)
    preprocessing = model.preprocessing
    return model.predict(read_table(path, [*preprocessing.missing, *missing], preprocessing.texts))
