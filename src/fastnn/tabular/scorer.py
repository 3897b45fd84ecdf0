"""What a configuration is worth: trained on some of the rows, scored on others."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fastnn.inputs.splits import split_off
from fastnn.tabular import fitting, judging
from fastnn.tabular.fitting import Training
from fastnn.tabular.problem import Problem
from fastnn.tabular.recipes import Recipe
from fastnn.training.trainer import Trainer

# Rows, at most, and epochs. Each rung but the last takes four times the work of the one before: with a quarter of the
# configurations going on, all rungs take about as long.
RUNGS = ((2_000, 3), (4_000, 6), (8_000, 12), (30_000, 40))
_EPOCHS_OF_FEW_ROWS = (3, 8, 20, 40)  # at most, where a table has too few rows to make that much work
_HELD_OUT = 0.2
_MOST_HELD_OUT = 2_000


@dataclass(frozen=True)
class Scorer:
    """Scores configurations of one search. The same call gives the same score, in any thread and process.

    Attributes
    ----------
    problem : Problem
    metric : str
    seed : int
    parts : list of (rows to train on, rows held out)
    rungs : list of (rows, epochs)
    """

    problem: Problem
    metric: str
    seed: int
    parts: list[tuple[np.ndarray, np.ndarray]]
    rungs: list[tuple[int, int]]

    @classmethod
    def of(cls, problem: Problem, metric: str, seed: int, cv: int | None) -> "Scorer":
        """Draw which rows are held out: those of `cv` folds, or a fifth of all."""
        classes = problem.y if problem.n_classes else None
        n = len(problem.X)
        if cv is None:
            n_off = min(max(round(_HELD_OUT * n), 1), _MOST_HELD_OUT)
            parts = [split_off(n, n_off, classes, [seed, 6])]
        else:
            parts = fitting.folds(n, min(cv, n), classes, np.random.default_rng([seed, 6]))
        biggest = parts[0][0].size
        # Rungs that a small table cannot tell apart by rows still differ by epochs.
        rungs = []
        for (rows, epochs), most in zip(RUNGS, _EPOCHS_OF_FEW_ROWS, strict=True):
            n_rows = min(rows, biggest)
            rungs.append((n_rows, max(min(rows * epochs // n_rows, most), epochs)))
        return cls(problem, metric, seed, parts, rungs)

    def __call__(
        self, recipe: Recipe, rung: int, seconds: float | None, is_over: Callable[[], bool],
        register: dict[int, Trainer], key: int,
    ) -> float | None:  # fmt: skip
        """Return the metric of a configuration at a rung; None if it was ended by time, or by who asked.

        Parameters
        ----------
        recipe : Recipe
        rung : int
        seconds : float or None
            That are left for it.
        is_over : callable
            Whether the search has ended meanwhile.
        register : dict of int to Trainer
            Gets what trains under `key`, so that others can stop it.
        key : int
        """
        ends_at = None if seconds is None else time.monotonic() + seconds
        n_rows, epochs = self.rungs[rung]
        recipe = replace(recipe, epochs=epochs)
        scores = []
        for place, (train, test) in enumerate(self.parts):
            seed = int(np.random.SeedSequence([self.seed, 7, rung, place]).generate_state(1)[0]) % 2**31
            rows = train[:: max(train.size // n_rows, 1)][:n_rows]
            training = Training(recipe, rows, seed)
            left = None if ends_at is None else ends_at - time.monotonic()
            if left is not None and left <= 0:
                return None
            try:
                network = fitting.train_one(self.problem, training, left, register=register, key=key)
            except FloatingPointError:
                return float("nan")
            finally:
                register.pop(key, None)
            if is_over() or (ends_at is not None and time.monotonic() >= ends_at):
                return None
            outputs = fitting.outputs_of(self.problem, recipe, network, rows, test)
            scores.append(_metric(self.metric, self.problem, outputs, test))
        return float(np.mean(scores))


def _metric(name: str, problem: Problem, outputs: np.ndarray, rows: np.ndarray) -> float:
    y, weights = problem.y[rows], None if problem.weights is None else problem.weights[rows]
    if name == "log_loss":
        temperature = judging.find_temperature(outputs, y, weights)
        return judging.held_out_loss(problem, judging.soften(outputs, temperature), y, weights)
    if name == "accuracy":
        return float(np.average(outputs.argmax(axis=1) == y, weights=weights))
    if name == "roc_auc":
        from sklearn.metrics import roc_auc_score

        present = [c for c in range(problem.n_classes) if 0 < (y == c).sum() < y.size]
        return float(np.mean([roc_auc_score(y == c, outputs[:, c], sample_weight=weights) for c in present]))
    errors = outputs[:, 0] - y
    if name == "r2":
        return 1.0 - judging.held_out_loss(problem, outputs, y, weights)
    if name == "mae":
        return float(np.average(np.abs(errors), weights=weights))
    mse = float(np.average(errors**2, weights=weights))
    return mse if name == "mse" else mse**0.5
