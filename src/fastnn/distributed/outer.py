"""An optimizer for the averaged step: where the shards went together is taken as a gradient [1]_.

References
----------
.. [1] A. Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023, algorithm 1.
"""

from typing import Any

import numpy as np

from fastnn.callbacks import Callback
from fastnn.optimizers import SGD
from fastnn.schedules import Schedule


def check_outer(outer: Any) -> "SGD | None":
    """Return the argument `outer` of fit, or raise TypeError or ValueError."""
    if outer is None:
        return None
    if not isinstance(outer, SGD):
        raise TypeError(f"outer must be a fastnn.SGD, usually with momentum and nesterov=True, or None, got {outer!r}")
    for name in ("clipvalue", "clipnorm", "global_clipnorm"):
        if getattr(outer, name) is not None:
            raise ValueError(f"outer must not clip, got {name}={getattr(outer, name)}")
    if outer.use_ema:
        raise ValueError("outer must not have use_ema; the trainer's own optimizer may")
    return outer


class OuterStep(Callback):
    """Keeps the velocity of the averaged step; a callback, so that checkpoints hold it.

    Parameters
    ----------
    optimizer : SGD
    """

    def __init__(self, optimizer: SGD):
        self._optimizer = optimizer
        self._velocity: np.ndarray | None = None
        self._step = 0

    def step(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Return what the optimizer makes of `after`, the average that the shards made of `before`."""
        optimizer = self._optimizer
        rate = optimizer.learning_rate
        rate = rate.rate_at(self._step) if isinstance(rate, Schedule) else rate
        change = after - before
        change *= rate
        if optimizer.momentum:
            if self._velocity is None:
                self._velocity = np.zeros_like(change)
            self._velocity *= optimizer.momentum
            self._velocity += change
            if optimizer.nesterov:
                change += optimizer.momentum * self._velocity
            else:
                change[:] = self._velocity
        self._step += 1
        return before + change

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"step": self._step}
        if self._velocity is not None:
            state["velocity"] = self._velocity.copy()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step = int(state["step"])
        velocity = state.get("velocity")
        if velocity is not None:
            network = self.trainer.network
            velocity = np.array(velocity, network.dtype)
            if velocity.shape != (network.n_parameters,):
                raise ValueError(f"velocity must have shape ({network.n_parameters},), got {velocity.shape}")
        self._velocity = velocity
