"""Search for a recipe: hundreds of configurations that train many at once in one process, most of them briefly.

A configuration begins with few rows and few epochs. The best quarter at each rung goes on to the next, with more of
both: successive halving [1]_, without waiting for a rung to be full [2]_. The best on the highest rung trains on all
rows.

References
----------
.. [1] K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS
   2016; L. Li et al., "Hyperband", JMLR 2018, arXiv 1603.06560.
.. [2] L. Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, arXiv 1810.05934.
"""

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from fastnn.common.later import later
from fastnn.common.validation import check_choice, check_integer, check_real
from fastnn.engine.team import share_out
from fastnn.tabular import fitting
from fastnn.tabular.estimators import BaseTabular, TabularClassifier, TabularRegressor
from fastnn.tabular.preprocessing import TASKS, find_task
from fastnn.tabular.problem import Problem
from fastnn.tabular.recipes import ENCODED, MOST_ROWS_OF_MEMBERS, PLAIN, SMALL, Recipe, with_members
from fastnn.tabular.scorer import RUNGS, Scorer
from fastnn.training.many import Run, in_background

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from polars import DataFrame

KEPT = 4  # one of so many goes on to the next rung
METRICS = {
    "classification": ("log_loss", "accuracy", "roc_auc"),
    "regression": ("mse", "rmse", "mae", "r2"),
}
_GREATER_IS_BETTER = ("accuracy", "roc_auc", "r2")
_SHARE_TO_SEARCH = 0.7  # of the time; the rest is for the fit on all rows

SPACE: dict[str, Any] = {
    "encodes": [True, False],
    "hidden": [(units,) * depth for units in (64, 128, 256) for depth in (2, 3)],
    "dropout": [0.0, 0.05, 0.1, 0.2, 0.3],
    "learning_rate": (5e-4, 1e-2),
    "weight_decay": (0.01, 2.0),
    "label_smoothing": [0.0, 0.05, 0.1],
    "members": [1, 8],
}


@dataclass
class Trial:
    """A configuration, and how far it came.

    Attributes
    ----------
    recipe : Recipe
    scores : list of float
        Of the metric, one a rung.
    seconds : float
        Of training, all rungs together.
    """

    recipe: Recipe
    scores: list[float] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class TuneResult:
    """What `tune` found.

    Attributes
    ----------
    estimator : TabularClassifier or TabularRegressor
        With the best recipe, fitted to all rows.
    trials : list of Trial
        The best first.
    metric : str
    was_interrupted : bool
        Whether Ctrl-C ended the search.
    """

    estimator: BaseTabular
    trials: list[Trial]
    metric: str
    was_interrupted: bool = False

    def __repr__(self) -> str:
        best = f"best {self.metric} {self.best_score:.4g} of {len(self.trials)} trials"
        return f"<TuneResult: {best}; see estimator, table(), plot()>"

    @property
    def best_score(self) -> float:
        """The metric of the best configuration, on held-out rows at the highest rung that it reached."""
        return self.trials[0].scores[-1]

    def table(self) -> "DataFrame":
        """Return the trials as a data frame, the best first."""
        import polars

        return polars.DataFrame(
            [
                {
                    self.metric: trial.scores[-1], "rungs": len(trial.scores), "seconds": trial.seconds,
                    **{name: str(value) if name == "hidden" else value for name, value in asdict(trial.recipe).items()},
                }
                for trial in self.trials
            ]
        )  # fmt: skip

    def plot(self) -> "Figure":
        """Return a picture of the search: the metric of each configuration, rung by rung."""
        from fastnn.plotting.style import PALETTE, check_matplotlib, tidy

        check_matplotlib()
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        for trial in reversed(self.trials):
            is_best = trial is self.trials[0]
            axes.plot(
                range(1, len(trial.scores) + 1), trial.scores, marker="o", markersize=3,
                linewidth=2 if is_best else 0.7, color=PALETTE[1] if is_best else "gray",
                alpha=1.0 if is_best else 0.4,
                label="the best" if is_best else "others" if trial is self.trials[-1] else None,
            )  # fmt: skip
        axes.set(
            xticks=range(1, len(RUNGS) + 1), xlabel="rung (more rows and epochs from one to the next)",
            ylabel=f"{self.metric} on held-out rows",
        )  # fmt: skip
        tidy(axes)
        figure.legend(
            loc="outside upper center", ncols=2, frameon=False, title=f"{len(self.trials)} configurations"
        )  # fmt: skip
        return figure


def tune(
    X: Any, y: Any, *, task: str | None = None, time_limit: float | None = 30.0, n_trials: int | None = None,
    space: Mapping[str, Any] | None = None, metric: str | None = None, cv: int | None = None,
    n_jobs: int | None = None, client: Any = None, random_state: Any = None, **parameters: Any,
) -> TuneResult:  # fmt: skip
    """Search for the recipe that suits a table, and fit it.

    Parameters
    ----------
    X : data frame (pandas, polars, pyarrow) or array-like of shape (n, n_features)
    y : array-like of shape (n,)
        Classes, or the numbers to predict.
    task : "classification", "regression" or None, default None
        None: classification for texts, booleans, and integers of few different values, else regression.
    time_limit : float or None, default 30.0
        Seconds for search and fit; None needs `n_trials`.
    n_trials : int or None, default None
        Configurations to begin at most. With it, without a time limit and with one job, the same `random_state` gives
        the same result.
    space : mapping or None, default None
        Names of a `Recipe` and what they may be: a list of values, or a tuple (low, high) of which logarithms are drawn
        evenly. None: `fastnn.tabular.tuning.SPACE`, whose members have layers of 128 units at most, and are left out
        above 15,000 rows.
    metric : str or None, default None
        "log_loss", "accuracy" or "roc_auc" for classes; "mse", "rmse", "mae" or "r2" for numbers. None: the first.
    cv : int or None, default None
        Folds on which each configuration is scored; None holds out a fifth of the rows, at most 2,000.
    n_jobs : int or None, default None
        Configurations that train at once; None: as many as there are CPUs.
    client : distributed.Client or None, default None
        Has the threads of a Dask cluster's workers train configurations, one each, in place of `n_jobs` threads here;
        the table travels to each worker once. The fit on all rows is done here.
    random_state : int, RandomState or None, default None
    **parameters
        Of the estimator, such as `categorical` or `class_weight`.

    Returns
    -------
    TuneResult
        Its `estimator` is fitted. Ctrl-C ends the search, and gives the best that was found by then.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> result = fastnn.tune(X, X[:, 0] > 0, n_trials=4, time_limit=None, n_jobs=1, random_state=0)
    >>> len(result.trials), result.metric
    (4, 'log_loss')
    """
    started = time.monotonic()
    if time_limit is not None:
        check_real("time_limit", time_limit, 0.0, closed="neither")
    if n_trials is not None:
        check_integer("n_trials", n_trials, 1)
    elif time_limit is None:
        raise ValueError("time_limit or n_trials must be given: the search would not end")
    if cv is not None:
        check_integer("cv", cv, 2)
    if client is not None and n_jobs is not None:
        raise ValueError(f"n_jobs must be None with a client, whose workers have threads of their own, got {n_jobs}")
    n_jobs = fitting.n_threads_of(None if n_jobs is None else check_integer("n_jobs", n_jobs, 1))
    random = check_random_state(random_state)
    seed = int(random.randint(2**31 - 1))
    task = _task(y) if task is None else check_choice("task", task, TASKS)
    metric = METRICS[task][0] if metric is None else check_choice("metric", metric, METRICS[task])
    is_own = space is None
    space = _check_space(SPACE if space is None else space)
    cls = TabularClassifier if task == "classification" else TabularRegressor
    estimator = cls(random_state=seed, n_threads=n_jobs, **parameters)
    estimator._check_parameters()
    problem = estimator._learn_problem(X, y, None)
    if len(problem.X) < 10:
        raise ValueError(f"X must have at least 10 rows to be tuned on, got {len(problem.X)}")
    if is_own and len(problem.X) > MOST_ROWS_OF_MEMBERS:
        del space["members"]
    search = _Search(problem, space, metric, seed, cv, n_trials)
    search.narrows_members = is_own
    search.ends_at = None if time_limit is None else started + _SHARE_TO_SEARCH * time_limit
    run = Run()
    search.run = run
    there = contextlib.nullcontext() if client is None else later("ScoringOnWorkers")(client, search.scores)
    with there as workers, warnings.catch_warnings():
        stop = search.stop
        if workers is not None:
            search.scores, n_jobs, stop = workers.score, workers.n_threads, workers.stop
        warnings.filterwarnings("ignore", "Training was interrupted")
        in_background(lambda: share_out(lambda _: search.work(), range(n_jobs), n_jobs), run, stop=stop)
    trials = search.ranking()
    if not trials:
        raise (
            KeyboardInterrupt
            if run.is_stopped
            else ValueError(f"time_limit must leave time for one configuration, got {time_limit}")
        )
    left = None if time_limit is None else max(started + time_limit - time.monotonic(), 0.1)
    estimator.set_params(recipe=trials[0].recipe, time_limit=left)
    estimator.fit(X, y)
    estimator.set_params(time_limit=None)
    return TuneResult(estimator, trials, metric, run.is_stopped)


def _task(y: Any) -> str:
    import polars

    array = np.asarray(y.to_numpy() if hasattr(y, "to_numpy") else y)
    if array.dtype.kind not in "biuf":
        return "classification"
    return find_task(polars.Series("y", array.ravel()))


def _check_space(space: Mapping[str, Any]) -> dict[str, Any]:
    checked = {}
    known = [name for name in asdict(ENCODED) if name not in ("name", "logs")]
    for name, values in space.items():
        check_choice("a name in space", name, known)
        if isinstance(values, tuple):
            if len(values) != 2 or not all(isinstance(value, int | float) for value in values):
                raise ValueError(f"space[{name!r}] must be a list of values or a tuple (low, high), got {values!r}")
            if not 0 < values[0] < values[1]:
                raise ValueError(f"space[{name!r}] must have 0 < low < high, got {values!r}")
        elif not isinstance(values, Sequence) or isinstance(values, str) or not len(values):
            raise ValueError(f"space[{name!r}] must be a list of values or a tuple (low, high), got {values!r}")
        for value in values:
            replace(ENCODED, **{name: value})  # which checks it
        checked[name] = values
    return checked


class _Search:
    """What the workers of a search share: trials, rungs, and which of them is next."""

    def __init__(
        self, problem: Problem, space: dict[str, Any], metric: str, seed: int, cv: int | None, n_trials: int | None
    ):
        self.problem, self.space, self.metric, self.n_trials = problem, space, metric, n_trials
        self.run = Run()
        self.ends_at: float | None = None
        self.narrows_members = False  # whether ensembles have layers as in the recipes of the estimators
        self.trials: list[Trial] = []
        self._seed, self._rng = seed, np.random.default_rng([seed, 5])
        self._lock = threading.Lock()
        self._promoted: list[set[int]] = [set() for _ in RUNGS]
        self._busy: set[int] = set()
        self._paces: dict[int, float] = {}  # seconds for each row and epoch
        self._trainers: dict[int, Any] = {}
        scorer = Scorer.of(problem, metric, seed, cv)
        self._work = [rows * epochs for rows, epochs in scorer.rungs]
        self.scores: Callable[..., float | None] = scorer

    def work(self) -> None:
        """Train configurations until time or trials are over."""
        while not self._is_over():
            job = self._next()
            if job is None:
                if self._all_done():
                    return
                time.sleep(0.002)  # another worker's result decides what is next
                continue
            index, rung = job
            started = time.monotonic()
            score = self._score(self.trials[index].recipe, rung, index)
            with self._lock:
                trial, seconds = self.trials[index], time.monotonic() - started
                trial.seconds += seconds
                self._paces[index] = seconds / self._work[rung]
                self._busy.discard(index)
                if score is not None:
                    trial.scores.append(score)

    def stop(self) -> None:
        """End the trainings that run."""
        for trainer in list(self._trainers.values()):
            trainer.stop("interrupted")

    def _is_over(self) -> bool:
        return self.run.is_stopped or (self.ends_at is not None and time.monotonic() >= self.ends_at)

    def _all_done(self) -> bool:
        with self._lock:
            return not self._busy and self.n_trials is not None and len(self.trials) >= self.n_trials

    def _next(self) -> tuple[int, int] | None:
        """Return the next configuration and its rung: one that may go on, from the highest rung down, or a new one."""
        with self._lock:
            for rung in range(len(RUNGS) - 2, -1, -1):
                there = [i for i, trial in enumerate(self.trials) if len(trial.scores) > rung]
                there.sort(key=lambda i: self._key(self.trials[i].scores[rung]))
                begun_all = self.n_trials is not None and len(self.trials) >= self.n_trials
                n_on = -(-len(there) // KEPT) if begun_all else len(there) // KEPT
                for i in there[:n_on]:
                    if i not in self._promoted[rung] and i not in self._busy and self._has_time(i, rung + 1):
                        self._promoted[rung].add(i)
                        self._busy.add(i)
                        return i, rung + 1
            if self.n_trials is not None and len(self.trials) >= self.n_trials:
                return None
            self.trials.append(Trial(self._draw()))
            self._busy.add(len(self.trials) - 1)
            return len(self.trials) - 1, 0

    def _has_time(self, index: int, rung: int) -> bool:
        """Whether a configuration would be through with a rung in time: a training that is cut off has no score.

        The first rung is over soon, and says little about speed where it had kernels compiled.
        """
        if self.ends_at is None or rung < 2:
            return True
        return time.monotonic() + self._paces[index] * self._work[rung] < self.ends_at

    def _key(self, score: float) -> float:
        worst = float("inf")
        key = -score if self.metric in _GREATER_IS_BETTER else score
        return key if np.isfinite(key) else worst

    def _draw(self) -> Recipe:
        place = len(self.trials)
        is_regression = not self.problem.n_classes
        first = [ENCODED, PLAIN, SMALL]
        if self.narrows_members and "members" in self.space:
            first += [with_members(ENCODED), with_members(PLAIN)]
        if place < len(first):
            start = first[place]
            chosen = {name: self._value(values) for name, values in self.space.items() if self._is_outside(start, name)}
            recipe = replace(start, **chosen)
        else:
            values = {name: self._value(values) for name, values in self.space.items()}
            recipe = replace(ENCODED, name=f"trial {place}", **values)
            if self.narrows_members and recipe.members > 1:
                recipe = with_members(recipe)
        if self.problem.is_plain.all():
            recipe = replace(recipe, encodes=False)
        return replace(recipe, label_smoothing=0.0) if is_regression else recipe

    def _is_outside(self, recipe: Recipe, name: str) -> bool:
        value, values = getattr(recipe, name), self.space[name]
        return not values[0] <= value <= values[1] if isinstance(values, tuple) else value not in values

    def _value(self, values: Any) -> Any:
        if isinstance(values, tuple):
            return float(np.exp(self._rng.uniform(np.log(values[0]), np.log(values[1]))))
        value = values[int(self._rng.integers(len(values)))]
        return tuple(value) if isinstance(value, list) else value

    def _score(self, recipe: Recipe, rung: int, index: int) -> float | None:
        left = None if self.ends_at is None else self.ends_at - time.monotonic()
        return self.scores(recipe, rung, left, self._is_over, self._trainers, index)

    def ranking(self) -> list[Trial]:
        """Return the trials that were scored, those of the highest rung first, and the best of each rung before."""
        scored = [trial for trial in self.trials if trial.scores and np.isfinite(trial.scores[-1])]
        return sorted(scored, key=lambda trial: (-len(trial.scores), self._key(trial.scores[-1])))
