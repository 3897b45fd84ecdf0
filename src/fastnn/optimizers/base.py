"""What all optimizers share: hyperparameters that are checked, and the fields that kernels read."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastnn import schedules
from fastnn.common.records import Record
from fastnn.common.validation import check_bool, check_real
from fastnn.kernels import constraints, tables
from fastnn.kernels.optimizers import average_parameters, decay_weights
from fastnn.kernels.units import Unit

_INFINITY = float("inf")
_CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")

# Ranges of hyperparameters: low, high, and which ends belong to it.
POSITIVE = (0.0, _INFINITY, "neither")
NOT_NEGATIVE = (0.0, _INFINITY, "left")
DECAY = (0.0, 1.0, "left")  # of a running mean


@dataclass(frozen=True, repr=False, kw_only=True)
class Optimizer(Record):
    """Base of all optimizers: a frozen record of hyperparameters; the arithmetic is in kernels/optimizers.py.

    A subclass declares `unit`, its compiled update; `n_slots`, how many vectors of moments it keeps;
    `ranges`, the range of each number; and `kernel_arguments`, in the order in which its kernel reads them.

    Parameters
    ----------
    learning_rate : float or Schedule
        Step length, > 0, or one of `fastnn.schedules`.
    clipvalue : float or None, default None
        Each element of the gradient is clipped to [-clipvalue, clipvalue].
    clipnorm : float or None, default None
        The gradient of each tensor is shortened to at most this norm.
    global_clipnorm : float or None, default None
        The whole gradient is shortened to at most this norm [1]_. At most one of the three.
    use_ema : bool, default False
        Whether to keep an exponential moving average of the parameters [2]_. Training goes on with the parameters
        themselves; from the end of each epoch on (in validation, in callbacks, after `fit`) the network holds the
        average, so what is set in the network between two epochs is the average, not what training goes on with.
    ema_momentum : float, default 0.99
        Share of the average that is kept at a step, in [0, 1).

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
    .. [2] B. T. Polyak, A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J. Control
           Optim. 30(4), 1992.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.SGD(0.1, global_clipnorm=1.0)
    SGD(learning_rate=0.1, global_clipnorm=1.0, momentum=0.0, nesterov=False)
    >>> network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)], dtype="float64")
    >>> network.set_weights([[[1.0]]])
    >>> trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.25, use_ema=True, ema_momentum=0.5))
    >>> history = trainer.fit([[1.0]], [0.0], epochs=3)  # w = 0.5, 0.25, 0.125; averages 0.5, 0.375, 0.25
    >>> network.get_weights(), trainer.average[:1]  # the network holds the average, the trainer w
    ([array([[0.25]])], array([0.125]))
    """

    learning_rate: Any = 0.001
    clipvalue: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99

    unit: ClassVar[Unit]
    n_slots: ClassVar[int]
    ranges: ClassVar[dict[str, tuple[float, float, str]]] = {}
    flags: ClassVar[tuple[str, ...]] = ()
    kernel_arguments: ClassVar[tuple[str, ...]]

    def __post_init__(self):
        object.__setattr__(self, "learning_rate", schedules.get("learning_rate", self.learning_rate))
        for name, (low, high, closed) in {"ema_momentum": DECAY, **self.ranges}.items():
            object.__setattr__(self, name, check_real(name, getattr(self, name), low, high, closed))
        for name in ("use_ema", *self.flags):
            object.__setattr__(self, name, check_bool(name, getattr(self, name)))
        given = [name for name in _CLIPS if getattr(self, name) is not None]
        for name in given:
            object.__setattr__(self, name, check_real(name, getattr(self, name), *POSITIVE))
        if len(given) > 1:
            raise ValueError(f"at most one of {', '.join(_CLIPS)} may be given, got {' and '.join(given)}")

    @property
    def slots(self) -> int:
        """How many vectors of moments this instance keeps; with `use_ema` the last is the average."""
        return self.n_slots + self.use_ema

    @property
    def hyperparameters(self) -> tuple[float, ...]:
        """The numbers beside the learning rate, in the order in which the kernel reads them."""
        return tuple(float(getattr(self, name)) for name in self.kernel_arguments)

    @property
    def decay(self) -> tuple[float, bool]:
        """Decoupled weight decay, and whether biases and the parameters of normalisation layers decay too."""
        return 0.0, False

    @property
    def job_fields(self) -> dict[str, Any]:
        """Everything that kernels have to know but the learning rate, as fields of a job's record."""
        hyperparameters = np.zeros(tables.N_HYPERPARAMETERS)
        hyperparameters[: len(self.hyperparameters)] = self.hyperparameters
        clips = {
            constraints.clip_by_value: self.clipvalue, constraints.clip_by_norm: self.clipnorm,
            constraints.clip_by_global_norm: self.global_clipnorm,
        }  # fmt: skip
        clip, limit = next(((unit, limit) for unit, limit in clips.items() if limit), (0, 0.0))
        return {
            "update": self.unit, "hyperparameters": hyperparameters, "clip": clip, "clip_limit": limit,
            "decay": decay_weights if self.decay[0] else 0, "weight_decay": self.decay[0],
            "decays_all": self.decay[1], "average": average_parameters if self.use_ema else 0,
            "average_momentum": self.ema_momentum,
        }  # fmt: skip

    @property
    def config(self) -> dict[str, Any]:
        """The optimizer as JSON types: its name and arguments."""
        return {"name": type(self).__name__.lower(), **self.arguments}
