"""When stochastic training ends: scikit-learn's rules, as a callback of the Trainer.

After each epoch the training loss (or with early stopping the validation score) is compared with the best so far.
More than `n_iter_no_change` epochs without an improvement of `tol` end training, or with the adaptive learning rate
divide the rate by 5.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.estimators.reported_loss import ReportedLoss


class StoppingRule(Callback):
    """Keeps the estimator's curves and counters, and decides after each epoch whether training goes on.

    Parameters
    ----------
    estimator : estimator
        Read for its parameters; written to: n_iter_, t_, loss_, loss_curve_ and all that follows from them.
    reported_loss : ReportedLoss
        How to report the loss.
    n_samples : int
        Samples an epoch.
    score : callable of no arguments or None
        Returns the score on the held-out samples; None where there are none.
    stops_by_loss : bool
        Whether training without early stopping ends where the training loss stands still, and each epoch is printed in
        scikit-learn's way.

    Attributes
    ----------
    has_stopped : bool
        Whether the rule ended training before its last epoch.
    has_diverged : bool
        Whether training ended with a loss that is not finite, and the best weights so far are kept.
    """

    def __init__(
        self,
        estimator: Any,
        reported_loss: ReportedLoss,
        n_samples: int,
        score: Callable[[], float] | None,
        stops_by_loss: bool,
    ):
        self._estimator = estimator
        # What an epoch changes is written past the estimator's check of assignments, which takes longer than the rest.
        self._learned = vars(estimator)
        self._reported_loss = reported_loss
        self._n_samples = n_samples
        self._score = score
        self._stops_by_loss = stops_by_loss
        self._prints = stops_by_loss and estimator.verbose
        self.has_stopped = self.has_diverged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        estimator, learned = self._estimator, self._learned
        learned["n_iter_"] += 1
        learned["t_"] += self._n_samples
        loss = learned["loss_"] = self._reported_loss.reported(logs)
        learned["loss_curve_"].append(loss)
        if self._prints:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if self._score is not None:
            self._validate(self._score(), logs)
        if estimator.early_stopping:
            is_better = self._compare_score(estimator.validation_scores_[-1])
        else:
            is_better = self._compare_loss(loss)
        learned["_no_improvement_count"] = 0 if is_better else learned["_no_improvement_count"] + 1
        estimator._after_epoch()
        may_stop = estimator.early_stopping or self._stops_by_loss
        if may_stop and estimator._no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down()

    def on_divergence(self, epoch: int, message: str) -> bool:
        """With early stopping end with the best weights, as scikit-learn does; else leave it an error."""
        estimator = self._estimator
        if not estimator.early_stopping:
            return False
        self.has_diverged = True
        estimator.n_iter_ += 1
        estimator.t_ += self._n_samples
        estimator.loss_ = math.nan
        for curve in (estimator.loss_curve_, estimator.validation_scores_, estimator.validation_loss_curve_):
            curve.append(math.nan)
        return True

    def _validate(self, score: float, logs: dict[str, float]) -> None:
        estimator = self._estimator
        logs["val_score"] = score  # for the callbacks that come after
        estimator.validation_scores_.append(score)
        estimator.validation_loss_curve_.append(self._reported_loss.reported(logs, "val_"))
        if self._prints:
            print(f"Validation score: {score:f}")

    def _compare_loss(self, loss: float) -> bool:
        learned = self._learned
        best = learned["best_loss_"]
        # A NaN loss is neither better nor worse: as in scikit-learn it does not count as a standstill.
        is_better = not loss > best - self._estimator.tol
        if loss < best:
            learned["best_loss_"] = loss
        return is_better

    def _compare_score(self, score: float) -> bool:
        estimator = self._estimator
        is_better = not score < estimator.best_validation_score_ + estimator.tol
        if score > estimator.best_validation_score_:
            estimator.best_validation_score_ = score
            np.copyto(estimator._best_parameters, self.trainer.network.parameters)
            np.copyto(estimator._best_state, self.trainer.network.state)
        return is_better

    def _stop_or_slow_down(self) -> None:
        estimator, trainer = self._estimator, self.trainer
        what = "Validation score" if estimator.early_stopping else "Training loss"
        patience = f"for {estimator.n_iter_no_change} consecutive epochs."
        message = f"{what} did not improve more than tol={estimator.tol:f} {patience}"
        goes_on, word = estimator._slow_down()
        if self._prints:
            print(message + word if goes_on else f"{message}{word} Stopping.")
        if goes_on:
            estimator._no_improvement_count = 0
            return
        self.has_stopped = trainer.stop_training = True
