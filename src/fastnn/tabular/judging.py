"""How good outputs are on rows that were held out: losses, the temperature that suits them, importances of columns."""

from collections.abc import Sequence

import numpy as np

from fastnn.tabular.problem import Choice, Problem, scale_targets, unscale


def held_out_loss(problem: Problem, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return log loss, or the mean squared error by the target's variance."""
    if problem.n_classes:
        return _log_loss(outputs, y, weights)
    errors = np.average((outputs[:, 0] - y) ** 2, weights=weights)
    return float(errors / (np.average((y - np.average(y, weights=weights)) ** 2, weights=weights) or 1.0))


def _log_loss(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    of_class = np.take_along_axis(probabilities.astype(np.float64), y[:, None], axis=1)[:, 0]
    return float(np.average(-np.log(np.maximum(of_class, 1e-12)), weights=weights))


def soften(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities with their logarithms divided by a temperature."""
    if temperature == 1.0:
        return probabilities
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def find_temperature(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the temperature of the least log loss on held-out rows [1]_, between 1/4 and 4.

    References
    ----------
    .. [1] C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    grid = 2.0 ** np.linspace(-2.0, 2.0, 41)
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    logits -= logits.max(axis=1, keepdims=True)
    of_class = np.take_along_axis(logits, y[:, None], axis=1)[:, 0]

    def loss(place: int) -> float:
        sums = np.exp(logits / grid[place]).sum(axis=1)
        return float(np.average(np.log(sums) - of_class / grid[place], weights=weights))

    low, high = 0, len(grid) - 1
    while low < high:  # convex in 1 / temperature: it falls, then it rises
        middle = (low + high) // 2
        low, high = (low, middle) if loss(middle) <= loss(middle + 1) else (middle + 1, high)
    return float(grid[low])


def importances(choice: Choice, blocks: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Return how much the loss on held-out rows grows when a column's values are shuffled among them.

    Parameters
    ----------
    choice : Choice
        Its network predicts the rows that it was not trained on.
    blocks : sequence of ndarray of int
        The features of each column.
    seed : int
    """
    problem, network = choice.problem, choice.network
    assert problem is not None and network is not None
    rng = np.random.default_rng([seed, 4])
    rows = choice.rows[: max(min(choice.rows.size, 200_000 // max(len(blocks), 1)), 1)]
    X, y = problem.X[rows], problem.y[rows]
    weights = None if problem.weights is None else problem.weights[rows]
    recipe = choice.recipe
    _, mean, deviation = scale_targets(problem, recipe, problem.y, problem.weights)

    def loss(features: np.ndarray) -> float:
        outputs = network.predict(problem.features(recipe, features))
        if not problem.n_classes:
            outputs = unscale(recipe, outputs, mean, deviation)
        return held_out_loss(problem, outputs, y, weights)

    base = loss(X)
    found = np.zeros(len(blocks))
    for i, block in enumerate(blocks):
        shuffled = X.copy()
        shuffled[:, block] = X[rng.permutation(len(X))][:, block]
        found[i] = loss(shuffled) - base
    return found
