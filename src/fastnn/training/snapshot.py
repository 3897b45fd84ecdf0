"""The parameters that an epoch began with."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastnn.training.trainer import Trainer


class Snapshot:
    """Parameters and the number of updates that made them, to go back to where training fails.

    Moments are not kept, to save memory: where training returns to a snapshot they start over from zero, but for an
    average of the parameters. Copies go through views of the memory, the quickest way for small vectors.

    Parameters
    ----------
    trainer : Trainer
    snapshots : ndarray of shape (2, parameter_buffer.size)
        Where it lies,
    number : int
        in row 0 or 1. Kernels write to these too.
    """

    def __init__(self, trainer: "Trainer", snapshots: np.ndarray, number: int):
        self._trainer = trainer
        parameters, average = trainer.network.parameter_buffer, trainer.average
        self.number = number
        self._of_network, self._of_average = parameters.data, average.data
        self._parameters, self._average = snapshots[number].data, average.copy().data
        self.step, self._holds_average = trainer.step, trainer.holds_average
        self._parameters[:] = self._of_network

    def take(self) -> None:
        """Keep what the trainer has now."""
        trainer = self._trainer
        self._parameters[:] = self._of_network
        self.step = trainer.step
        if trainer.optimizer.use_ema:
            self._average[:] = self._of_average
            self._holds_average = trainer.holds_average

    def restore(self) -> None:
        """Give it back."""
        trainer = self._trainer
        self._of_network[:] = self._parameters
        trainer.moments.fill(0.0)
        self._of_average[:] = self._average
        trainer.step, trainer.holds_average = self.step, self._holds_average
