"""`fastnn train`: scales and splits data, trains a network on it, tests it, and says how fast that was."""

import argparse
import contextlib
import copy
import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastnn import datasets, optimizers
from fastnn.callbacks import LiveView
from fastnn.cli import pictures, sequences, splitting, table
from fastnn.cli.fitting import fit, save_curves, shown_by
from fastnn.cli.info import cached_kernels
from fastnn.cli.options import check_plot, given_flags
from fastnn.cli.output import say
from fastnn.cli.table import TableData
from fastnn.common.validation import check_choice, check_integer, check_real
from fastnn.datasets import Dataset
from fastnn.layers import CategoryEmbedding, Flatten, Input, Layer
from fastnn.losses import CategoricalCrossentropy
from fastnn.model.network import Network
from fastnn.pictures import PictureModel
from fastnn.schedules import CosineDecay
from fastnn.tabular import TableModel
from fastnn.tabular.model import sketch_rows
from fastnn.tabular.recipes import CATEGORY_UNITS
from fastnn.tabular.scoring import r2
from fastnn.training.trainer import Trainer

MODELS = ("mlp", "cnn", "gru", "lstm")
SCALES = ("minmax", "standard", "none")
_REHEARSAL_ROWS = 128


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "train",
        help="train a network on a data set, a table or a folder of pictures, and test it",
        description="Train a network on a data set, on a CSV or Parquet file, or on a folder with a folder of pictures "
        "for each class, and print its accuracy (or R2) on samples it has not seen. What was trained on a file or a "
        "folder is saved with its preprocessing, for `fastnn predict`.",
        usage="fastnn train NAME [options]",
        formatter_class=_Defaults,
    )
    known = f"a file, a folder, or a data set: {', '.join(datasets.NAMES)}"
    parser.add_argument("name", metavar="NAME", type=table.name_of, help=known)
    table.add_arguments(parser)
    table.add_preset_arguments(parser)
    pictures.add_arguments(parser)
    sequences.add_arguments(parser)
    network = parser.add_argument_group("network")
    network.add_argument(
        "--model", choices=MODELS, help="mlp, dense layers, cnn, convolutions for digits and folders of pictures, or "
        "gru or lstm, recurrent layers for sequences (default: cnn for a folder, gru for sequences, else mlp)",
    )  # fmt: skip
    network.add_argument("--hidden", type=int, nargs="*", default=[128, 64], metavar="UNITS", help="hidden layers")
    network.add_argument("--activation", default="relu", metavar="NAME", help="of the hidden layers")
    network.add_argument("--dropout", type=float, default=0.2, metavar="RATE", help="after each hidden layer")
    training = parser.add_argument_group("training")
    training.add_argument("--epochs", type=int, metavar="N", help="passes over the data (default: 100; cnn: 60)")
    training.add_argument("--batch-size", type=_batch_size, default=32, metavar="N", help="samples a step, or 'full'")
    training.add_argument("--optimizer", default="adam", metavar="NAME", help="how steps are taken")
    training.add_argument("--learning-rate", type=float, metavar="RATE", help="default: the optimizer's own")
    training.add_argument("--seed", type=int, default=0, metavar="N", help="of the split, the weights and the order")
    training.add_argument(
        "--threads", type=int, metavar="N", help="threads to train with (default: as the work asks for)"
    )
    training.add_argument("--test-size", type=float, default=0.2, metavar="SHARE", help="of the samples, held back")
    training.add_argument("--validation-size", type=float, default=0.1, metavar="SHARE", help="of the rest, watched")
    training.add_argument("--scale", choices=SCALES, help="features to 0..1 (the default), or to unit variance")
    output = parser.add_argument_group("output")
    output.add_argument("--plot", type=Path, metavar="FILE", help="save the learning curves as a picture")
    output.add_argument("--live", action="store_true", help="draw the loss in the terminal while training runs")
    output.add_argument(
        "--live-port", type=int, metavar="PORT", help="show training in a browser, on this port of 127.0.0.1; 0: any"
    )
    output.add_argument("--quiet", action="store_true", help="no progress, only the results")
    parser.set_defaults(run=run, parser=parser)


_OF_PLAIN = (
    "hidden", "activation", "dropout", "epochs", "batch_size", "optimizer", "learning_rate", "validation_size", "plot",
)  # fmt: skip
_OF_PRESETS = ("cv", "time_limit", "json")


def _preset(arguments: argparse.Namespace) -> str:
    """Return the preset, as asked or by the options that are given; raises ValueError where they do not go together."""
    plain, of_presets = given_flags(arguments, _OF_PLAIN), given_flags(arguments, _OF_PRESETS)
    preset = arguments.preset or ("plain" if plain else "best")
    wrong = of_presets if preset == "plain" else plain
    if wrong:
        reason = f" since {plain[0]} is given" if arguments.preset is None else ""
        goes_with = "best and fast" if preset == "plain" else "plain"
        raise ValueError(f"{wrong[0]} goes with the preset {goes_with}, not {preset}{reason}")
    return preset


class _Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _batch_size(text: str) -> int | None:
    if text == "full":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer or 'full', got {text!r}") from None


@dataclasses.dataclass(frozen=True)
class Split:
    """Scaled samples to train with and to test with."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


@dataclasses.dataclass(frozen=True)
class Source:
    """What is trained on: a data set, a folder of pictures, or a table."""

    data: Dataset
    split: Split
    table: TableData | None = None
    is_folder: bool = False


# Images among the data sets: the shape of one, and the largest number in it.
_IMAGES = {"digits": ((8, 8, 1), 16.0)}
_EPOCHS = {"mlp": 100, "cnn": 60}
_OF_MLP = ("hidden", "activation", "dropout", "scale")
# Chosen with the network by cross-validation within the training digits of seed 0: see bench/NOTES.md.
_CNN_RATE, _CNN_SMOOTHING = 0.003, 0.1


def choose_model(arguments: argparse.Namespace, *, is_folder: bool) -> None:
    """Set `model` and `epochs` where they were not given; raise ValueError where the model does not suit the data."""
    if arguments.model is None:
        arguments.model = "cnn" if is_folder else "mlp"
    if arguments.epochs is None:
        arguments.epochs = _EPOCHS[arguments.model]
    if arguments.model == "mlp":
        return
    if not is_folder and arguments.name not in _IMAGES:
        raise ValueError(f"--model cnn goes with images: {', '.join(_IMAGES)}, or a folder; got {arguments.name!r}")
    if wrong := given_flags(arguments, _OF_MLP):
        raise ValueError(f"{wrong[0]} goes with the model mlp, not cnn")


def load_images(name: str) -> Dataset:
    """Return a data set of images with X of shape (n, height, width, channels), from 0 to 1."""
    data = datasets.load(name)
    shape, largest = _IMAGES[name]
    return dataclasses.replace(data, X=(data.X / largest).reshape(-1, *shape))


def split_and_scale(data: Dataset, test_size: float, scale: str, seed: int) -> Split:
    """Hold back test samples, class by class, and scale all features by what the training samples are like."""
    is_regression = data.task == "regression"
    test_size = check_real("--test-size", test_size, 0.0, 1.0, closed="neither")
    rows, test_rows = splitting.test_rows(data.y, test_size, seed, by_class=not is_regression)
    y, y_test = data.y[rows], data.y[test_rows]
    if is_regression:
        mean, deviation = y.mean(), y.std()
        y, y_test = (y - mean) / deviation, (y_test - mean) / deviation
    X, X_test = splitting.scale(scale, data.X[rows], data.X[test_rows])
    return Split(X, y, X_test, y_test)


def load(arguments: argparse.Namespace, *, is_folder: bool, is_table: bool) -> Source:
    """Read what NAME is, and hold back rows to test on."""
    if is_table:
        loaded = table.load(arguments)
        say(table.describe(loaded))
        data, rows, test_rows = loaded.data, loaded.train_rows, loaded.test_rows
        return Source(data, Split(data.X[rows], data.y[rows], data.X[test_rows], data.y[test_rows]), loaded)
    scale = "none"
    if is_folder:
        data = pictures.load(arguments)
    elif arguments.model == "cnn":
        data = load_images(arguments.name)
    else:
        check_choice("NAME, where it is no file or folder,", arguments.name, datasets.NAMES)
        data, scale = datasets.load(arguments.name), arguments.scale or "minmax"
    split = split_and_scale(data, arguments.test_size, scale, arguments.seed)
    return Source(data, split, is_folder=is_folder)


def make_trainer(source: Source, arguments: argparse.Namespace) -> Trainer:
    """Return the trainer that the arguments describe; features of a table may be numbers of categories."""
    data, categories = source.data, {} if source.table is None else source.table.preprocessing.categories
    is_regression = data.task == "regression"
    optimizer = optimizers.get(arguments.optimizer)
    if arguments.learning_rate is not None:
        optimizer = dataclasses.replace(optimizer, learning_rate=arguments.learning_rate)
    if arguments.model == "cnn":
        return _make_cnn_trainer(data, len(source.split.X), optimizer, arguments)
    network = Network.mlp(
        math.prod(data.X.shape[1:]), arguments.hidden, data.n_outputs, activation=arguments.activation,
        dropout=arguments.dropout, output="linear" if is_regression else "softmax", seed=arguments.seed,
    )  # fmt: skip
    first: Layer | None = Flatten() if data.X.ndim > 2 else None
    if categories:
        first = CategoryEmbedding(categories, CATEGORY_UNITS)
    if first is not None:
        network = Network([Input(data.X.shape[1:]), first, *network.layers[1:]], seed=arguments.seed)
    return Trainer(
        network, loss="mse" if is_regression else "categorical_crossentropy", optimizer=optimizer,
        metrics=["r2" if is_regression else "accuracy"],
    )  # fmt: skip


def _make_cnn_trainer(data: Dataset, n_samples: int, optimizer: Any, arguments: argparse.Namespace) -> Trainer:
    network = Network(pictures.convolutions(data.X.shape[1:], data.n_outputs), seed=arguments.seed)
    n_samples -= int(np.ceil(arguments.validation_size * n_samples))
    steps = max(1, arguments.epochs * -(-n_samples // (arguments.batch_size or n_samples)))
    rate = optimizer.learning_rate
    if arguments.learning_rate is None and arguments.optimizer == "adam":
        rate = _CNN_RATE
    optimizer = dataclasses.replace(optimizer, learning_rate=CosineDecay(rate, steps))
    return Trainer(network, loss=CategoricalCrossentropy(_CNN_SMOOTHING), optimizer=optimizer, metrics=["accuracy"])


def prepare_kernels(trainer: Trainer, split: Split, options: dict[str, Any], *, is_watched: bool = False) -> float:
    """Load the kernels, or compile them where that was never done, and return the seconds it took.

    A copy of the network is trained on a few rows, so that the times printed later are those of training alone. Wrong
    options are found here too: the trainer checks them before it starts.
    """
    started = time.perf_counter()
    rehearsal = Trainer(
        copy.deepcopy(trainer.network), loss=trainer.loss, optimizer=trainer.optimizer, metrics=trainer.metrics
    )
    few = slice(_REHEARSAL_ROWS)
    rehearsal.fit(split.X[few], split.y[few], **{**options, "epochs": min(options["epochs"], 1), "verbose": 0})
    rehearsal.evaluate(split.X_test[few], split.y_test[few])
    if is_watched:  # a live page shows the norms of gradients
        rehearsal.network.loss_and_gradient(split.X[few], split.y[few], loss=rehearsal.loss)
    return time.perf_counter() - started


def _describe(data: Dataset, split: Split, trainer: Trainer, arguments: argparse.Namespace) -> str:
    network = trainer.network
    kind = f"{data.n_outputs} classes" if data.class_names else "regression"
    if arguments.model == "cnn":
        from fastnn.layers import Conv2D

        filters = [str(layer.filters) for layer in network.layers if isinstance(layer, Conv2D)]
        sizes, hidden = "convolutions of " + ", ".join(filters), " filters"
    else:
        sizes = "-".join(map(str, [network.n_inputs, *arguments.hidden, network.n_outputs]))
        hidden = f" {arguments.activation}, dropout {arguments.dropout:g}" if arguments.hidden else " linear"
    optimizer = trainer.optimizer
    rate = optimizer.learning_rate
    rates = f"{rate.initial_learning_rate:g} falling to 0" if isinstance(rate, CosineDecay) else f"{rate:g}"
    batches = "full batches" if arguments.batch_size is None else f"batches of {arguments.batch_size}"
    return (
        f"{data.name}: {len(data.X):,} samples of {network.n_inputs} features, {kind}; "
        f"{len(split.X):,} to train, {len(split.X_test):,} to test\n"
        f"network: {sizes}{hidden}, {network.n_parameters:,} parameters; "
        f"{type(optimizer).__name__} at {rates}, {batches}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, test and report; a live page is served until then, also where an error ends it."""
    with contextlib.ExitStack() as pages:
        return _run(arguments, pages)


def _run(arguments: argparse.Namespace, pages: contextlib.ExitStack) -> int:
    view: LiveView | None = None
    try:
        check_plot(arguments.plot)
        check_integer("seed", arguments.seed, 0, 2**32 - 1)
        if arguments.epochs is not None:
            check_integer("epochs", arguments.epochs, 1)
        are_sequences = sequences.are_meant(arguments)
        is_folder = not are_sequences and pictures.is_folder(arguments)
        if arguments.model == "cnn" and not is_folder and table.table_suffix(arguments.name) is not None:
            raise ValueError("--model cnn goes with images, not with a table")
        is_table = not is_folder and not are_sequences and table.is_table(arguments)
        preset = _preset(arguments) if is_table else "plain"
        if arguments.live_port is not None:  # the many fits of a preset are named by their recipes
            name = arguments.name if preset == "plain" else None
            view = pages.enter_context(LiveView(arguments.live_port, name=name))
        if are_sequences:
            return sequences.run(arguments, view)
        if preset != "plain":
            from fastnn.cli import best

            return best.run(arguments, table.load(arguments), preset, view)
        choose_model(arguments, is_folder=is_folder)
        source = load(arguments, is_folder=is_folder, is_table=is_table)
        trainer = make_trainer(source, arguments)
        say(_describe(source.data, source.split, trainer, arguments))
        if "float32" not in cached_kernels()["run"]:
            say("compiling the kernels: some seconds, once on this machine")
        seconds = prepare_kernels(trainer, source.split, _fit_options(arguments), is_watched=view is not None)
    except (ValueError, TypeError, ImportError) as error:
        arguments.parser.error(str(error))
    except (MemoryError, OverflowError):
        arguments.parser.error(f"--hidden asks for more memory than there is: {' '.join(map(str, arguments.hidden))}")
    say(f"kernels ready after {seconds:.2f} s")
    return _train(trainer, source, arguments, view)


def _fit_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `Trainer.fit` is told."""
    return {
        "epochs": arguments.epochs, "batch_size": arguments.batch_size,
        "validation_split": arguments.validation_size, "n_threads": arguments.threads,
        "verbose": 0 if arguments.quiet or arguments.live else 1,
    }  # fmt: skip


def _train(trainer: Trainer, source: Source, arguments: argparse.Namespace, view: LiveView | None) -> int:
    """Train, save what is to be saved, and report; returns the exit code."""
    split = source.split
    if view is not None:
        view.sample = split.X[:_REHEARSAL_ROWS], split.y[:_REHEARSAL_ROWS]
    callbacks = shown_by(arguments, view, arguments.epochs)
    seconds, code = fit(trainer, split.X, split.y, callbacks=callbacks, **_fit_options(arguments))
    model, path = _save(trainer, source, arguments)  # before the report, which a picture or a closed pipe may end
    report(trainer, split, seconds, arguments)
    if path is not None:
        say(f"model: {path}")
        if source.table is not None:
            table.write_report(arguments, model, source.table, path, trainer.history)
    return code


def _save(trainer: Trainer, source: Source, arguments: argparse.Namespace) -> tuple[Any, Path | None]:
    """Save a model of a folder or a table, and return it and its path; networks of data sets are not kept."""
    if source.is_folder:
        path = pictures.output_path(arguments)
        model: Any = PictureModel(trainer.network, source.data.class_names)
    elif source.table is not None:
        path = table.output_path(arguments)
        preprocessing, rows = source.table.preprocessing, source.table.table[source.table.train_rows]
        model = TableModel(trainer.network, preprocessing, sketch_rows(preprocessing, rows))
    else:
        return None, None
    model.save(path)
    return model, path


def report(trainer: Trainer, split: Split, seconds: float, arguments: argparse.Namespace) -> None:
    """Print what the network can do and how long it took; save the curves if that was asked for."""
    results = trainer.evaluate(split.X_test, split.y_test)
    if "accuracy" in results:
        classes, counts = np.unique(split.y, return_counts=True)
        trivial = float(np.mean(split.y_test == classes[counts.argmax()]))
        say(f"test accuracy: {100 * results['accuracy']:.2f} %")
        say(f"the most frequent class alone: {100 * trivial:.2f} %")
    else:
        trivial = r2(split.y_test, split.y_test - split.y.mean())
        say(f"test R2: {results['r2']:.4f}")
        say(f"the mean alone: {trivial:.4f}")
    epochs = len(trainer.history.epoch)
    if epochs:
        n_validation = int(np.ceil(arguments.validation_size * len(split.X)))
        rate = epochs * (len(split.X) - n_validation) / seconds
        say(
            f"time: {seconds:.3f} s for {epochs:,} epochs, {1e3 * seconds / epochs:.3f} ms an epoch, "
            f"{rate:,.0f} samples a second"
        )
    save_curves(trainer, arguments.name, arguments.plot)
