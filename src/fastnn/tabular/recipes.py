"""Recipes for networks on tables: what is fixed because it won on many tables, and what validation chooses.

The fixed part follows screenings that `bench/NOTES.md` reports: mish, label smoothing, AdamW with strong decay, warm-up
and cosine over 64 epochs. Whether numbers are encoded, and how large the network is, depends on the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.layers import CategoryEmbedding, Dense, Dropout, Ensemble, Input
from fastnn.layers.base import Layer
from fastnn.losses import CategoricalCrossentropy
from fastnn.model.network import Network
from fastnn.optimizers import AdamW
from fastnn.schedules import WarmupCosineDecay
from fastnn.training.trainer import Trainer

CATEGORY_UNITS = 16  # of the vector of a category
LARGEST_BATCH, SMALLEST_BATCH = 256, 32
_STEPS_AN_EPOCH = 24  # that a batch size aims at, until it reaches its limits: 6,000 rows have batches of 256


@dataclass(frozen=True)
class Recipe:
    """How a network for a table is made and trained.

    Attributes
    ----------
    name : str
    encodes : bool
        Whether numbers have their piecewise-linear encoding beside them.
    hidden : tuple of int
        Units of the hidden layers.
    dropout : float
        After each of them, in classification; regression has none.
    learning_rate, weight_decay : float
        Of AdamW; the rate is that of batches of 256, and goes by the square root of the batch size.
    epochs : int
    label_smoothing : float
    logs : bool
        Whether a regression learns the logarithm of its target.
    members : int
        Networks in one that share their kernels, each trained for itself: see `fastnn.Ensemble`. Their mean predicts.
    """

    name: str
    encodes: bool = True
    hidden: tuple[int, ...] = (256, 256, 256)
    dropout: float = 0.1
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.3
    epochs: int = 64
    label_smoothing: float = 0.1
    logs: bool = False
    members: int = 1

    def __post_init__(self):
        object.__setattr__(self, "encodes", check_bool("encodes", self.encodes))
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise TypeError(f"hidden must be a sequence of integers, got {self.hidden!r}")
        hidden = tuple(check_integer("an item of hidden", units, 1) for units in self.hidden)
        object.__setattr__(self, "hidden", hidden)
        check_real("dropout", self.dropout, 0.0, 1.0, closed="left")
        check_real("learning_rate", self.learning_rate, 0.0, closed="neither")
        check_real("weight_decay", self.weight_decay, 0.0)
        check_integer("epochs", self.epochs, 1)
        check_real("label_smoothing", self.label_smoothing, 0.0, 1.0, closed="left")
        object.__setattr__(self, "logs", check_bool("logs", self.logs))
        check_integer("members", self.members, 1)


ENCODED = Recipe("encoded")
PLAIN = Recipe("plain", encodes=False)
SMALL = Recipe("small", encodes=False, hidden=(64, 64), dropout=0.2, weight_decay=1.0)

MOST_ROWS_OF_MEMBERS = 15_000  # larger tables leave an ensemble little to gain
_MEMBERS = 8  # of half the width they take the time of two networks
_EPOCHS_OF_MEMBERS = 40
_NARROW = 128


def narrowed(recipe: Recipe) -> Recipe:
    """Return a recipe with layers of half the width: three times as quick, and nearly the same recipe is the best."""
    return replace(recipe, hidden=tuple(min(units, _NARROW) for units in recipe.hidden))


def with_members(recipe: Recipe) -> Recipe:
    """Return a recipe as an ensemble of narrow members, which share their kernels."""
    epochs = min(recipe.epochs, _EPOCHS_OF_MEMBERS)
    return replace(narrowed(recipe), name=f"{recipe.name} ensemble", members=_MEMBERS, epochs=epochs)


def candidates(preset: str, is_encoded: bool) -> list[Recipe]:
    """Return the recipes among which validation chooses: the first, unless another is better by more than chance."""
    if preset == "fast":
        return [ENCODED if is_encoded else PLAIN]
    return [PLAIN, ENCODED, SMALL] if is_encoded else [PLAIN, SMALL]


def batch_size(n_rows: int, members: int = 1) -> int:
    """Return the samples a step: a power of two, for an ensemble twice as many, which two threads can share."""
    wanted = 2 ** round(math.log2(max(n_rows / _STEPS_AN_EPOCH, 1)))
    batch = max(wanted, SMALLEST_BATCH)
    return min(batch if members == 1 else 2 * batch, LARGEST_BATCH)


def make_trainer(
    recipe: Recipe, n_features: int, categories: dict[int, int], n_outputs: int, is_classification: bool, n_rows: int,
    seed: int,
) -> Trainer:  # fmt: skip
    """Return a trainer for a recipe, with a new network."""
    layers: list[Layer] = []
    for units in recipe.hidden:
        layers.append(Dense(units, "mish"))
        if is_classification and recipe.dropout:
            layers.append(Dropout(recipe.dropout))
    layers.append(Dense(n_outputs, "softmax" if is_classification else "linear"))
    if recipe.members > 1:
        layers = [Ensemble(layers, recipe.members, average=False)]
    if categories:
        layers.insert(0, CategoryEmbedding(categories, CATEGORY_UNITS))
    batch = batch_size(n_rows, recipe.members)
    n_steps = math.ceil(n_rows / batch) * recipe.epochs
    warmup = max(round(0.05 * n_steps), 1)
    rate = recipe.learning_rate * math.sqrt(batch / LARGEST_BATCH)
    return Trainer(
        Network([Input(n_features), *layers], seed=seed),
        loss=CategoricalCrossentropy(label_smoothing=recipe.label_smoothing) if is_classification else "mse",
        optimizer=AdamW(
            WarmupCosineDecay(rate, warmup, max(n_steps - warmup, 1), initial_learning_rate=rate / warmup), beta_2=0.95,
            weight_decay=recipe.weight_decay,
        ),
    )  # fmt: skip


def targets_of_members(recipe: Recipe, y: np.ndarray, n_classes: int) -> np.ndarray:
    """Return targets for the outputs of a recipe's network: class numbers or numbers, once for each member."""
    if recipe.members == 1:
        return y
    rows = np.eye(n_classes, dtype=np.float32)[y] if n_classes else y.astype(np.float32)[:, None]
    return np.repeat(rows[:, None, :], recipe.members, axis=1)


def averaged(network: Network) -> Network:
    """Return a network whose output is the mean of its members; one without members as it is."""
    last = network.layers[-1]
    if not isinstance(last, Ensemble) or last.average:
        return network
    found = Network([*network.layers[:-1], replace(last, average=True)], dtype=network.dtype, seed=network.seed)
    found.parameters[:] = network.parameters
    return found
