"""scikit-learn's own callbacks (`sklearn.callback`, from 1.9 on): every epoch or iteration is a task of the fit."""

from copy import deepcopy
from typing import Any

import numpy as np

from fastnn.callbacks import Callback

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""


class FitTasks(Callback):
    """Tells scikit-learn's callbacks of the beginning and end of a fit and of each epoch in it.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        What is fitted.
    data : dict
        "X", "y" and "metadata", as the hooks get them.
    max_iter : int
        Most epochs to come.
    """

    def __init__(self, estimator: Any, data: dict[str, Any], max_iter: int):
        self._estimator = estimator
        self._data = data
        self._fit = estimator._init_callback_context(max_subtasks=max_iter)
        self._fit.call_on_fit_task_begin(estimator=estimator, **data)

    @staticmethod
    def wanted(estimator: Any) -> bool:
        """Whether there is a callback to tell, or a meta-estimator that follows the tasks."""
        return hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx")

    def on_epoch_begin(self, epoch: int) -> None:
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self._end_epoch(self._estimator.network_.parameters):
            self.trainer.stop_training = True

    def on_iteration(self, vector: np.ndarray) -> None:
        """Run after each iteration of L-BFGS, which ended at the parameters `vector`; scipy's callback."""
        self.on_epoch_begin(0)
        if self._end_epoch(vector):
            raise StopIteration

    def _end_epoch(self, vector: np.ndarray) -> bool:
        def fitted() -> dict[str, Any]:
            network = deepcopy(self._estimator.network_)
            network.parameters[:] = vector
            return {"network_": network}

        return self._epoch.call_on_fit_task_end(
            estimator=self._estimator, **self._data, reconstruction_attributes=fitted
        )

    def finish(self) -> None:
        """Run after the fit."""
        self._fit.call_on_fit_task_end(estimator=self._estimator, **self._data, reconstruction_attributes={})
