"""What `fastnn train` does with a folder of pictures, and `fastnn predict` with a model of them."""

import argparse
import csv
import io
from pathlib import Path

import numpy as np

from fastnn import datasets
from fastnn.cli import table
from fastnn.cli.options import check_output, given_flags
from fastnn.cli.output import say, write_data
from fastnn.common.validation import check_integer
from fastnn.datasets import Dataset
from fastnn.layers import Layer
from fastnn.pictures import CHANNELS, LARGEST_SIZE, PictureModel, as_features, read_folder

_OPTIONS = ("size", "colours")
# Options of tables and data sets, which folders have no use for.
_OTHERS = (
    *(name for name in table.OPTIONS if name != "output"),
    "scale", "preset", "cv", "time_limit", "json", "group", "time",
)  # fmt: skip
_DEFAULT_SIZE = (32, 32)
# Pooling goes on until an image is no larger than this.
_SMALL = 4
_MOST_FILTERS = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that go with a folder."""
    pictures = parser.add_argument_group("pictures", "where NAME is a folder with a folder of pictures for each class")
    pictures.add_argument(
        "--size", type=int, nargs="+", metavar="PIXELS", help="height and width to resize to (default: 32)"
    )
    pictures.add_argument(
        "--colours", choices=tuple(CHANNELS), help="default: colour, unless all pictures are grey"
    )  # fmt: skip


def is_folder(arguments: argparse.Namespace) -> bool:
    """Whether a folder is meant; raises ValueError if options for folders go with something else."""
    if arguments.name not in datasets.NAMES and Path(arguments.name).is_dir():
        if wrong := given_flags(arguments, _OTHERS):
            raise ValueError(f"{wrong[0]} does not go with a folder of pictures")
        return True
    if given := given_flags(arguments, _OPTIONS):
        raise ValueError(f"{given[0]} goes with a folder of pictures, got {arguments.name!r}")
    return False


def output_path(arguments: argparse.Namespace) -> Path:
    """Return where the model is saved: as asked, or by the folder's name in the current folder."""
    return arguments.output or Path(f"{Path(arguments.name).resolve().name}.safetensors")


def load(arguments: argparse.Namespace) -> Dataset:
    """Read a folder of pictures; X has the shape of images."""
    check_output(output_path(arguments))
    size = _size(arguments.size)
    folder = read_folder(arguments.name, size)
    counts = np.bincount(folder.y)
    if counts.min() < 2:
        name = folder.classes[int(counts.argmin())]
        raise ValueError(f"the class {name!r} must have at least 2 pictures, one of them to test on, got 1")
    colours = arguments.colours or ("grey" if folder.is_grey else "colour")
    X = as_features(folder.X, CHANNELS[colours])
    say(f"pictures: {size[0]} x {size[1]}, {colours}; classes: {', '.join(folder.classes)}")
    return Dataset(
        name=arguments.name, task="classification", X=X, y=folder.y, feature_names=(), class_names=folder.classes
    )  # fmt: skip


def _size(given: list[int] | None) -> tuple[int, int]:
    if given is None:
        return _DEFAULT_SIZE
    if len(given) > 2:
        raise ValueError(f"--size must be one number, or height and width, got {' '.join(map(str, given))}")
    height, width = (check_integer("--size", pixels, 1, LARGEST_SIZE) for pixels in (given * 2)[:2])
    return height, width


def convolutions(shape: tuple[int, ...], n_outputs: int) -> list[Layer]:
    """Return the layers of a small network of convolutions for images of a shape.

    Convolutions with twice as many filters and half the image each time, until the image is small, then a dense layer.

    Examples
    --------
    >>> len(convolutions((8, 8, 1), 10))
    9
    >>> [layer.filters for layer in convolutions((32, 32, 3), 2) if hasattr(layer, "filters")]
    [16, 32, 64, 64]
    """
    from fastnn.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D  # kernels that others do without

    filters, (height, width) = 16, shape[:2]
    layers: list[Layer] = [Input(shape), Conv2D(filters, 3, padding="same", activation="relu")]
    while max(height, width) > _SMALL and min(height, width) > 1:
        height, width = height // 2, width // 2
        filters = min(2 * filters, _MOST_FILTERS)
        layers += [MaxPooling2D(2), Conv2D(filters, 3, padding="same", activation="relu")]
    return [*layers, Flatten(), Dropout(0.4), Dense(64, "relu"), Dropout(0.4), Dense(n_outputs, "softmax")]


def predict(model_path: Path, paths: list[Path], output: Path | None) -> None:
    """Write the class of each picture with the probabilities of all, as CSV."""
    model = PictureModel.load(model_path)
    probabilities = model.predict(paths)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", "prediction", *(f"probability of {name}" for name in model.classes)])
    for path, row in zip(paths, probabilities, strict=True):
        writer.writerow([path, model.classes[int(row.argmax())], *(f"{value:.6g}" for value in row)])
    if output is None:
        write_data(text.getvalue())
    else:
        output.write_text(text.getvalue(), encoding="utf-8")
        say(f"{len(paths):,} predictions: {output}")
