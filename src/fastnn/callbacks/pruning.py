"""Ending unpromising trials of a hyperparameter search early."""

from typing import Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.common.attributes import Checked


def _check_name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str such as 'val_loss', got {value!r}")
    return value


class OptunaPruning(Callback):
    """Reports each epoch to an Optuna trial, and ends the trial where Optuna's pruner says so [1]_.

    Parameters
    ----------
    trial : optuna.trial.Trial
        The trial of the objective function that this callback trains in.
    monitor : str, default "val_loss"
        What to report: a name in the logs of an epoch. In fastnn's estimators "val_loss" and "val_score" are there with
        `X_val` and `y_val` or with early stopping.

    Raises
    ------
    optuna.TrialPruned
        In an epoch after which the trial is not worth going on with; let it pass through the objective function.
    KeyError
        If `monitor` is not among the logs.

    References
    ----------
    .. [1] T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.

    Examples
    --------
    ::

        def objective(trial):
            alpha = trial.suggest_float("alpha", 1e-6, 1.0, log=True)
            clf = fastnn.MLPClassifier(alpha=alpha, callbacks=[OptunaPruning(trial, "val_score")])
            return clf.fit(X, y, X_val=X_val, y_val=y_val).validation_scores_[-1]

        study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
        study.optimize(objective, n_trials=50)

    `examples/search_hyperparameters.py` is a whole program.
    """

    _is_strict: ClassVar[bool] = True
    monitor = Checked(_check_name)

    def __init__(self, trial: Any, monitor: str = "val_loss"):
        self._trial = trial
        self.monitor = monitor
        self._n_reported = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.monitor not in logs:
            if self.monitor in self.trainer.log_names:  # an epoch without validation
                return
            raise KeyError(f"monitor must be one of {', '.join(map(repr, logs))}, got {self.monitor!r}")
        self._trial.report(logs[self.monitor], self._n_reported)
        self._n_reported += 1
        if self._trial.should_prune():
            import optuna

            raise optuna.TrialPruned(f"{self.monitor} is {logs[self.monitor]:g} after {self._n_reported} epochs")
