"""The two ways to fit: epochs of stochastic steps through the Trainer, and L-BFGS over the full-batch gradient."""

import math
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from fastnn.callbacks import Callback
from fastnn.engine.python_loss import make_workspace
from fastnn.engine.team import Team
from fastnn.engine.workspace import threads_to_train
from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.stopping import StoppingRule
from fastnn.estimators.tasks import FitTasks
from fastnn.inputs.data import Data, DataSpec, check_data
from fastnn.kernels import tables
from fastnn.model.network import Network
from fastnn.training.trainer import Trainer

_DIVERGED = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)

_STOPPED_BY_CALLBACK = 99  # scipy's status after StopIteration


@dataclass(frozen=True)
class Samples:
    """Features, targets as the loss takes them, weights or None, and targets as the user gave them; n rows each.

    Class weights count in `weights`, with which training works, and not in `given_weights`, with which validation does.
    """

    X: Any  # an ndarray, or a CSR matrix
    y: np.ndarray
    weights: np.ndarray | None
    targets: Any
    given_weights: np.ndarray | None = None
    lengths: np.ndarray | None = None  # how many steps of each sequence count

    def __len__(self) -> int:
        return self.X.shape[0]

    def take(self, rows: np.ndarray) -> "Samples":
        """Return a copy of some rows."""
        weights, given, lengths = (
            None if a is None else a[rows] for a in (self.weights, self.given_weights, self.lengths)
        )
        return Samples(self.X[rows], self.y[rows], weights, self.targets[rows], given, lengths)

    def for_validation(self) -> "Samples":
        """Return the same without class weights."""
        return replace(self, weights=self.given_weights)


@dataclass(frozen=True)
class TrainingCourse:
    """How a fit goes through the Trainer: what the constructor's parameters say of it.

    Attributes
    ----------
    epochs : int
        At most.
    batch_size : int or None
    is_incremental : bool
        Whether it is one of many calls of partial_fit.
    stops_by_loss : bool
        Whether training without early stopping ends where the training loss stands still.
    must_converge : bool
        Whether to warn where the last epoch comes before that.
    verbose : int
        The Trainer's; `StoppingRule` prints in scikit-learn's way.
    """

    epochs: int
    batch_size: int | None
    is_incremental: bool
    stops_by_loss: bool = False
    must_converge: bool = False
    verbose: int = 0


def fit_stochastic(
    estimator: Any,
    trainer: Trainer,
    samples: Samples,
    held_out: Samples | None,
    reported_loss: ReportedLoss,
    callbacks: list[Callback],
    course: TrainingCourse,
) -> None:
    """Train until the stopping rule is met, for at most so many epochs as the course says."""
    score = validation_data = None
    if held_out is not None:
        score = partial(estimator._score_samples, held_out)
        validation_data = (held_out.X, held_out.y, held_out.weights, held_out.lengths)
    rule = StoppingRule(estimator, reported_loss, len(samples), score, course.stops_by_loss)
    estimator.n_iter_ = 0
    try:
        trainer.fit(
            samples.X, samples.y, epochs=course.epochs, batch_size=course.batch_size, sample_weight=samples.weights,
            shuffle=bool(estimator.shuffle), callbacks=[rule, *callbacks],
            validation_data=validation_data, verbose=course.verbose, n_threads=estimator.n_threads,
            seed=estimator._seed, lengths=samples.lengths,
        )  # fmt: skip
    except FloatingPointError as error:
        raise ValueError(_DIVERGED) from error
    finally:
        if estimator.early_stopping:
            np.copyto(trainer.network.parameters, estimator._best_parameters)
            np.copyto(trainer.network.state, estimator._best_state)
    if rule.has_diverged:
        best = estimator.best_validation_score_
        kept = f"those with the best validation score, {best:g}" if best > -math.inf else "those it began with"
        warnings.warn(f"{_DIVERGED} The weights are {kept}.", ConvergenceWarning, stacklevel=4)
    was_cut_short = rule.has_stopped or course.is_incremental or trainer.history.stop_reason is not None
    if course.must_converge and estimator.n_iter_ == course.epochs and not was_cut_short:
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({course.epochs}) reached and the optimization hasn't converged "
            "yet.",
            ConvergenceWarning,
            stacklevel=4,
        )


class FullBatch:
    """Loss and gradient over all samples as a function of a parameter vector: what scipy's optimizers call.

    Parameters
    ----------
    network : Network
        Its parameters are overwritten by each call.
    reported_loss : ReportedLoss
    data : Data
    team : Team
        The threads that work on it.
    """

    def __init__(self, network: Network, reported_loss: ReportedLoss, data: Data, team: Team):
        self._network = network
        self._data = data
        self._workspace = make_workspace(reported_loss.loss, network.plan, network.dtype, n_rows=data.n_rows, team=team)
        self._workspace.set_data(data.x, data.y)
        self._workspace.set(
            mode=tables.Mode.GRADIENT, batch_size=data.n_rows,
            **reported_loss.loss.job_fields(network.plan.output_activation),
        )  # fmt: skip
        self._no_moments = np.empty(0, network.dtype)

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the loss, penalties included, and its gradient in float64."""
        network, workspace = self._network, self._workspace
        network.parameters[:] = vector
        workspace.begin()
        workspace.run(1, network.parameter_buffer, self._no_moments, sample_weight=self._data.weights)
        sums = workspace.totals()
        loss = sums[tables.Sum.LOSS] / sums[tables.Sum.WEIGHT]
        return loss, workspace.gradients[: network.n_parameters].astype(np.float64)


def fit_lbfgs(
    estimator: Any, network: Network, samples: Samples, reported_loss: ReportedLoss, tasks: FitTasks | None = None
) -> None:
    """Minimise the full-batch loss with scipy's L-BFGS-B [1]_.

    References
    ----------
    .. [1] R. H. Byrd, P. Lu, J. Nocedal, "A Limited Memory Algorithm for Bound Constrained Optimization", SIAM
           Journal on Scientific and Statistical Computing 16(5), 1995.
    """
    data = check_data(DataSpec.of(network, reported_loss.loss), samples.X, samples.y, samples.weights)
    n_threads = threads_to_train(network.plan, network.dtype, data.n_rows, estimator.n_threads)
    with Team(n_threads, is_wanted=estimator.n_threads is not None) as team:
        result = scipy.optimize.minimize(
            FullBatch(network, reported_loss, data, team),
            network.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=None if tasks is None else tasks.on_iteration,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
    estimator.n_iter_ = min(result.nit, estimator.max_iter)
    network.parameters[:] = result.x
    if not np.isfinite(network.parameters).all():
        raise ValueError(_DIVERGED)
    logs = {"loss": float(result.fun)}
    if reported_loss.excess:
        weights = samples.weights
        error = network.predict(samples.X) - samples.y
        logs["mse"] = float(np.average((error * error).mean(axis=1), weights=weights))
    estimator.loss_ = reported_loss.reported(logs)
    if result.status not in (0, _STOPPED_BY_CALLBACK):
        advice = ""
        if estimator.n_iter_ == estimator.max_iter:
            advice = f"\nIncrease the number of iterations to improve the convergence (max_iter={estimator.max_iter})."
        warnings.warn(
            f"lbfgs failed to converge after {estimator.n_iter_} iteration(s) (status={result.status}):\n"
            f"{result.message}\n{advice}\nScaling the features usually helps; see "
            "https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
            stacklevel=4,
        )
