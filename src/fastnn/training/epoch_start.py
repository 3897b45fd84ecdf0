"""The parameters that an epoch began with."""

import numpy as np

from fastnn.training.state import TrainingState


class EpochStart:
    """Parameters, and the number of updates that made them, to go back to where training fails.

    Moments are not kept, to save memory: where training returns to an epoch's start they begin again from zero, but
    for an average of the parameters. Copies go through views of the memory, the quickest way for small vectors.

    Parameters
    ----------
    state : TrainingState
    memory : ndarray of shape (2, parameter_buffer.size)
        Room for the parameters of two epochs' starts. Kernels that fuse epochs write to it too.
    number : int
        The row that belongs to this one.
    """

    def __init__(self, state: TrainingState, memory: np.ndarray, number: int):
        self._state = state
        parameters, average = state.network.parameter_buffer, state.average
        self.number = number
        self._of_network, self._of_average = parameters.data, average.data
        self._parameters, self._average = memory[number].data, average.copy().data
        self.step, self._holds_average = state.step, state.holds_average
        self._parameters[:] = self._of_network

    def take(self) -> None:
        """Keep what the network and the state have now."""
        state = self._state
        self._parameters[:] = self._of_network
        self.step = state.step
        if state.optimizer.use_ema:
            self._average[:] = self._of_average
            self._holds_average = state.holds_average

    def restore(self) -> None:
        """Give it back."""
        state = self._state
        self._of_network[:] = self._parameters
        state.moments.fill(0.0)
        self._of_average[:] = self._average
        state.step, state.holds_average = self.step, self._holds_average
