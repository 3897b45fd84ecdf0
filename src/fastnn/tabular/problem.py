"""What is learnt from a table, and what screening found out about it."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from fastnn.model.network import Network
from fastnn.tabular.recipes import Recipe


@dataclass
class Problem:
    """What is learnt: encoded rows, targets and weights, and which features each recipe sees.

    Attributes
    ----------
    X : ndarray of shape (n, n_features), float32
        With the encodings.
    y : ndarray of shape (n,)
        Class numbers (int64), or numbers as they are (float64).
    n_classes : int
        0 in a regression.
    weights : ndarray of shape (n,) or None
    is_plain : ndarray of bool, shape (n_features,)
        Features that are no encoding.
    categories : dict of int to int
        Features that are numbers of categories, and how many each has.
    """

    X: np.ndarray
    y: np.ndarray
    n_classes: int
    weights: np.ndarray | None
    is_plain: np.ndarray
    categories: dict[int, int] = field(default_factory=dict)

    @property
    def n_outputs(self) -> int:
        return self.n_classes or 1

    def features(self, recipe: Recipe, X: np.ndarray) -> np.ndarray:
        """Return the features that a recipe sees."""
        return X if recipe.encodes or self.is_plain.all() else np.ascontiguousarray(X[:, self.is_plain])

    def of_rows(self, rows: np.ndarray) -> "Problem":
        """Return the problem of some of its rows."""
        return replace(
            self, X=self.X[rows], y=self.y[rows], weights=None if self.weights is None else self.weights[rows]
        )

    def products_of(self, recipe: Recipe) -> int:
        """Return the multiplications that a row takes on its way through a recipe's network."""
        sizes = [len(self.is_plain) if recipe.encodes else int(self.is_plain.sum()), *recipe.hidden, self.n_outputs]
        return recipe.members * sum(before * after for before, after in pairwise(sizes))

    def categories_of(self, recipe: Recipe) -> dict[int, int]:
        """Return which of the features that a recipe sees are categories."""
        before = np.cumsum(np.ones_like(self.is_plain) if recipe.encodes else self.is_plain) - 1
        return {int(before[feature]): n for feature, n in self.categories.items()}


@dataclass
class Choice:
    """What screening found.

    Attributes
    ----------
    recipe : Recipe
    temperature : float
        By which log probabilities are divided.
    losses : dict of str to float
        The loss of each recipe on held-out rows: log loss, or mean squared error by the target's variance.
    problem : Problem or None
        What it was screened on.
    rows : ndarray of int
        Rows of it that `network` was not trained on.
    network : Network or None
        One that was trained with the recipe.
    trained_rows : ndarray of int
        Rows of the problem that it was trained on.
    was_interrupted : bool
        Whether Ctrl-C ended screening: then `network` is what there is.
    """

    recipe: Recipe
    temperature: float = 1.0
    losses: dict[str, float] = field(default_factory=dict)
    problem: Problem | None = None
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    network: Network | None = None
    trained_rows: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    was_interrupted: bool = False


def scale_targets(
    problem: Problem, recipe: Recipe, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, float, float]:
    """Return targets as a network learns them, and the mean and deviation that scale them; classes as they are."""
    if problem.n_classes:
        return y, 0.0, 1.0
    values = np.log1p(y) if recipe.logs else y
    mean = float(np.average(values, weights=weights))
    deviation = float(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    return (values - mean) / (deviation or 1.0), mean, deviation or 1.0


def unscale(recipe: Recipe, outputs: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Return a regression's outputs on the target's own scale."""
    values = outputs.astype(np.float64) * deviation + mean
    # Beyond the logarithms of training e^x would soon be beyond everything.
    return np.expm1(np.minimum(values, mean + 20.0 * deviation)) if recipe.logs else values
