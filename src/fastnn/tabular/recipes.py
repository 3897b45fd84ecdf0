"""Recipes for networks on tables: what is fixed because it won on many tables, and what validation chooses.

The fixed part follows screenings that `bench/NOTES.md` reports: mish, label smoothing, AdamW with strong decay, warm-up
and cosine over 64 epochs. Whether numbers are encoded, and how large the network is, depends on the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.layers import Dense, Dropout, Input
from fastnn.layers.base import Layer
from fastnn.losses import CategoricalCrossentropy
from fastnn.model.network import Network
from fastnn.optimizers import AdamW
from fastnn.schedules import WarmupCosineDecay
from fastnn.training.trainer import Trainer

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


ENCODED = Recipe("encoded")
PLAIN = Recipe("plain", encodes=False)
SMALL = Recipe("small", encodes=False, hidden=(64, 64), dropout=0.2, weight_decay=1.0)


def candidates(preset: str, n_rows: int, is_encoded: bool) -> list[Recipe]:
    """Return the recipes among which validation chooses, the one that is taken without a choice first."""
    first = ENCODED if is_encoded else PLAIN
    if preset == "fast":
        return [first]
    found = [ENCODED, PLAIN] if is_encoded else [PLAIN]
    return [*found, SMALL] if n_rows <= 2000 else found


def batch_size(n_rows: int) -> int:
    """Return the samples a step: a power of two."""
    wanted = 2 ** round(math.log2(max(n_rows / _STEPS_AN_EPOCH, 1)))
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def make_trainer(
    recipe: Recipe, n_features: int, n_outputs: int, is_classification: bool, n_rows: int, seed: int
) -> Trainer:
    """Return a trainer for a recipe, with a new network."""
    layers: list[Layer] = [Input(n_features)]
    for units in recipe.hidden:
        layers.append(Dense(units, "mish"))
        if is_classification and recipe.dropout:
            layers.append(Dropout(recipe.dropout))
    layers.append(Dense(n_outputs, "softmax" if is_classification else "linear"))
    batch = batch_size(n_rows)
    n_steps = math.ceil(n_rows / batch) * recipe.epochs
    warmup = max(round(0.05 * n_steps), 1)
    rate = recipe.learning_rate * math.sqrt(batch / LARGEST_BATCH)
    return Trainer(
        Network(layers, seed=seed),
        loss=CategoricalCrossentropy(label_smoothing=recipe.label_smoothing) if is_classification else "mse",
        optimizer=AdamW(
            WarmupCosineDecay(rate, warmup, max(n_steps - warmup, 1), initial_learning_rate=rate / warmup), beta_2=0.95,
            weight_decay=recipe.weight_decay,
        ),
    )  # fmt: skip
