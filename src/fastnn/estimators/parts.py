"""What the classes of estimators provide, and `fastnn.estimators.base` puts together."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.solvers import Samples, TrainingCourse
from fastnn.estimators.tasks import FitTasks
from fastnn.layers import Layer
from fastnn.model.network import Network
from fastnn.training.trainer import Trainer


class Parts(ABC):
    """Which network is fitted, how it is trained, and what the targets are."""

    # --- the network and its training ---------------------------------------------------------------------------------

    @abstractmethod
    def _check_parameters(self) -> None:
        """Raise ValueError or TypeError where the constructor's parameters do not describe a network."""

    @abstractmethod
    def _check_goes_on(self, how: str) -> None:
        """Raise ValueError where they describe another network than the fitted one; `how` says why it must not be."""

    @abstractmethod
    def _make_layers(self, n_features: int, output: str) -> list[Layer]:
        """Return the layers of the network, whose output activation is `output`."""

    @abstractmethod
    def _make_network(self, samples: Samples, output: str, random_state: np.random.RandomState) -> Network:
        """Return a network with its initial parameters."""

    @abstractmethod
    def _make_trainer(self, reported_loss: ReportedLoss) -> Trainer:
        """Return a Trainer of `network_` at its beginning."""

    @abstractmethod
    def _how_to_train(self, n_samples: int, is_incremental: bool) -> TrainingCourse:
        """Return what `fit_stochastic` has to know of the constructor's parameters."""

    @abstractmethod
    def _most_epochs(self) -> int:
        """Return how many epochs a fit has at most."""

    def _is_stochastic(self) -> bool:
        """Whether a fit goes through the Trainer."""
        return True

    def _fit_at_once(self, samples: Samples, tasks: FitTasks | None) -> None:
        """Fit in another way than through the Trainer."""
        raise NotImplementedError

    def _slow_down(self) -> tuple[bool, str]:
        """Lower the learning rate where training stands still; return whether it was, else training ends, and a word.

        The word is added to the message that training stands still.
        """
        return False, ""

    def _after_epoch(self) -> None:  # noqa: B027
        """Change the learning rate after an epoch; most keep it."""

    def _as_padded(self, X: Any, lengths: Any, is_first: bool) -> tuple[Any, np.ndarray | None]:
        """Return sequences as long as each other, and how many steps of each count; None: all."""
        return X, lengths

    def _as_given(self, samples: Samples) -> Any:
        """Return samples in a form that `predict` takes without lengths."""
        return samples.X

    def _as_rows(self, X: Any, is_first: bool) -> Any:
        """Return samples of more than one axis as rows."""
        return X

    def _as_samples(self, X: Any) -> Any:
        """Return what `_as_rows` returned in the form that it was given."""
        return X

    # --- the targets --------------------------------------------------------------------------------------------------

    @abstractmethod
    def _learn_targets(self, y: Any, is_first: bool, is_incremental: bool) -> None:
        """Check y; in a first fit learn the form of the targets and n_outputs_ from it, later hold it to them."""

    @abstractmethod
    def _encode(self, y: Any) -> np.ndarray:
        """Return checked targets as the loss takes them."""

    @abstractmethod
    def _reported_loss(self, y: np.ndarray, weights: np.ndarray | None) -> ReportedLoss:
        """Return what is minimised on encoded targets."""

    @abstractmethod
    def _score_outputs(self, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
        """Return the score of the network's outputs against encoded targets: what `score` returns."""

    def _after_load(self) -> None:  # noqa: B027
        """Learn from `network_`, which was read from a file, what else `fit` sets."""
