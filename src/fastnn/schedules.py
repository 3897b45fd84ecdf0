"""Learning rates that change with the step: every optimizer takes one as its `learning_rate`.

They are evaluated before each update inside the training kernel, and called with a step number (from 0) they return
its rate. A step is one update, so an epoch has ceil(n / batch_size) of them. Names and arguments are Keras's where it
has them.

To add one: its unit in kernels/schedules.py, and here its class and its line in `get`.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fastnn.common.records import Record
from fastnn.common.validation import check_bool, check_choice, check_integer, check_real
from fastnn.kernels import schedules as kernels
from fastnn.kernels import tables
from fastnn.kernels.units import Unit

_INFINITY = float("inf")
_FLOAT32 = np.dtype(np.float32)  # of the network whose job it is; rates are float64 in any case
_POSITIVE = (0.0, _INFINITY, "neither")
_NOT_NEGATIVE = (0.0, _INFINITY, "left")


@dataclass(frozen=True, repr=False)
class Schedule(Record):
    """Base of all schedules: a frozen record whose first argument is the rate and whose others go to the kernel.

    A subclass declares `unit`, its compiled formula, `ranges` of its numbers, and the least value of each
    whole number in `counts`; what is left is True or False.
    """

    unit: ClassVar[Unit]
    ranges: ClassVar[dict[str, tuple[float, float, str]]] = {}
    counts: ClassVar[dict[str, int]] = {}

    def __post_init__(self):
        for i, name in enumerate(self.arguments):
            value = getattr(self, name)
            if name in self.counts:
                value = check_integer(name, value, self.counts[name])
            elif name in self.ranges or i == 0:
                value = check_real(name, value, *self.ranges.get(name, _POSITIVE))
            else:
                value = check_bool(name, value)
            object.__setattr__(self, name, value)

    @cached_property
    def _job(self) -> np.ndarray:
        job = np.zeros(1, tables.JOBS[_FLOAT32])
        for name, value in self.job_fields.items():
            job[name] = value.address(_FLOAT32) if isinstance(value, Unit) else value
        return job

    @property
    def job_fields(self) -> dict[str, Any]:
        """Everything that kernels have to know, as fields of a job's record."""
        rate, *rest = self.arguments.values()
        values = np.zeros(tables.N_HYPERPARAMETERS)
        values[: len(rest)] = rest
        return {"schedule": self.unit, "schedule_values": values, "learning_rate": rate}

    @property
    def config(self) -> dict[str, Any]:
        """The schedule as JSON types: its class name and arguments."""
        return {"schedule": type(self).__name__, **self.arguments}

    def __call__(self, step: int) -> float:
        """Return the learning rate of update number `step`, from 0."""
        return self.rate_at(check_integer("step", step, 0))

    def rate_at(self, step: int) -> float:
        """Return the same for a number that needs no check."""
        return float(kernels.evaluate(self._job, step))


@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """The same rate at every step.

    Parameters
    ----------
    learning_rate : float
        >= 0.

    Examples
    --------
    >>> from fastnn.schedules import Constant
    >>> Constant(0.01)(1000)
    0.01
    """

    learning_rate: float

    ranges: ClassVar = {"learning_rate": _NOT_NEGATIVE}

    @property
    def job_fields(self) -> dict[str, Any]:
        """As for any schedule, but without values: this is set anew wherever a callback sets a rate."""
        return {"schedule": 0, "learning_rate": self.learning_rate}

    def rate_at(self, step: int) -> float:
        """Return the rate, whatever the step."""
        return self.learning_rate


@dataclass(frozen=True, repr=False)
class StepDecay(Schedule):
    """initial_learning_rate * drop ^ floor(step / every): a stair (PyTorch's StepLR).

    Parameters
    ----------
    initial_learning_rate : float
        Rate of the first step, > 0.
    drop : float, default 0.5
        Factor at each stair, > 0.
    every : int, default 1000
        Steps between two stairs, >= 1.

    Examples
    --------
    >>> from fastnn.schedules import StepDecay
    >>> schedule = StepDecay(0.1, drop=0.5, every=100)
    >>> schedule(99), schedule(100), schedule(200)
    (0.1, 0.05, 0.025)
    """

    initial_learning_rate: float
    drop: float = 0.5
    every: int = 1000

    unit: ClassVar = kernels.step_decay
    ranges: ClassVar = {"drop": _POSITIVE}
    counts: ClassVar = {"every": 1}


@dataclass(frozen=True, repr=False)
class ExponentialDecay(Schedule):
    """initial_learning_rate * decay_rate ^ (step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
        Rate of the first step, > 0.
    decay_steps : int
        Steps for one factor of `decay_rate`, >= 1.
    decay_rate : float
        > 0.
    staircase : bool, default False
        Whether only whole periods count.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> schedule = fastnn.schedules.ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)
    >>> schedule(100), schedule(200)
    (0.05, 0.025)
    >>> network = fastnn.Network.mlp(1, [8], 1, seed=0)
    >>> trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(schedule))
    >>> history = trainer.fit(np.ones((100, 1)), np.ones(100), epochs=10, batch_size=10)
    >>> trainer.learning_rate  # of the next step, number 100
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    unit: ClassVar = kernels.exponential_decay
    ranges: ClassVar = {"decay_rate": _POSITIVE}
    counts: ClassVar = {"decay_steps": 1}


@dataclass(frozen=True, repr=False)
class InverseTimeDecay(Schedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
        Rate of the first step, > 0.
    decay_steps : int
        Length of a period in steps, >= 1.
    decay_rate : float
        >= 0.
    staircase : bool, default False
        Whether only whole periods count.

    Examples
    --------
    >>> from fastnn.schedules import InverseTimeDecay
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=1.0)(10)
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    unit: ClassVar = kernels.inverse_time_decay
    ranges: ClassVar = {"decay_rate": _NOT_NEGATIVE}
    counts: ClassVar = {"decay_steps": 1}


@dataclass(frozen=True, repr=False)
class PolynomialDecay(Schedule):
    """From initial_learning_rate to end_learning_rate as (1 - step / decay_steps) ^ power; power 1 is a line.

    Parameters
    ----------
    initial_learning_rate : float
        Rate of the first step, > 0.
    decay_steps : int
        After how many steps it ends, >= 1; the rate stays there.
    end_learning_rate : float, default 0.0001
        >= 0.
    power : float, default 1.0
        > 0.

    Examples
    --------
    >>> from fastnn.schedules import PolynomialDecay
    >>> schedule = PolynomialDecay(0.5, decay_steps=100, end_learning_rate=0.0)
    >>> schedule(0), schedule(50), schedule(1000)
    (0.5, 0.25, 0.0)
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 0.0001
    power: float = 1.0

    unit: ClassVar = kernels.polynomial_decay
    ranges: ClassVar = {"end_learning_rate": _NOT_NEGATIVE, "power": _POSITIVE}
    counts: ClassVar = {"decay_steps": 1}


@dataclass(frozen=True, repr=False)
class CosineDecay(Schedule):
    """From initial_learning_rate to alpha * initial_learning_rate along half a cosine wave [1]_.

    Parameters
    ----------
    initial_learning_rate : float
        Rate of the first step, > 0.
    decay_steps : int
        After how many steps it ends, >= 1; the rate stays there.
    alpha : float, default 0.0
        The last rate as a share of the first, >= 0.

    References
    ----------
    .. [1] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, eq. 5.

    Examples
    --------
    >>> from fastnn.schedules import CosineDecay
    >>> schedule = CosineDecay(0.5, decay_steps=100)
    >>> schedule(0), schedule(50), schedule(100)
    (0.5, 0.25, 0.0)
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0

    unit: ClassVar = kernels.cosine_decay
    ranges: ClassVar = {"alpha": _NOT_NEGATIVE}
    counts: ClassVar = {"decay_steps": 1}


@dataclass(frozen=True, repr=False)
class WarmupCosineDecay(Schedule):
    """A line up to learning_rate in warmup_steps [1]_, then a `CosineDecay` of decay_steps.

    Keras writes it CosineDecay(initial_learning_rate, decay_steps, alpha, warmup_target, warmup_steps).

    Parameters
    ----------
    learning_rate : float
        The peak, > 0.
    warmup_steps : int
        Steps up to it, >= 0.
    decay_steps : int
        Steps down from it, >= 1.
    alpha : float, default 0.0
        The last rate as a share of the peak, >= 0.
    initial_learning_rate : float, default 0.0
        Rate of the first step, >= 0.

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2.

    Examples
    --------
    >>> from fastnn.schedules import WarmupCosineDecay
    >>> schedule = WarmupCosineDecay(0.5, warmup_steps=10, decay_steps=100)
    >>> schedule(0), schedule(5), schedule(10), schedule(60), schedule(110)
    (0.0, 0.25, 0.5, 0.25, 0.0)
    """

    learning_rate: float
    warmup_steps: int
    decay_steps: int
    alpha: float = 0.0
    initial_learning_rate: float = 0.0

    unit: ClassVar = kernels.warmup_cosine
    ranges: ClassVar = {"alpha": _NOT_NEGATIVE, "initial_learning_rate": _NOT_NEGATIVE}
    counts: ClassVar = {"warmup_steps": 0, "decay_steps": 1}


@dataclass(frozen=True, repr=False)
class OneCycle(Schedule):
    """Up to learning_rate and down to nearly nothing, each along half a cosine wave [1]_ (PyTorch's OneCycleLR).

    From learning_rate / div_factor up to learning_rate at step pct_start * total_steps - 1, down to learning_rate /
    div_factor / final_div_factor at step total_steps - 1, where it stays. The momentum is left alone.

    Parameters
    ----------
    learning_rate : float
        The peak, > 0.
    total_steps : int
        Length of the cycle, >= 2.
    pct_start : float, default 0.3
        Share of the way up, in [0, 1).
    div_factor, final_div_factor : float, default 25.0, 10000.0
        > 0.

    References
    ----------
    .. [1] L. N. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
           Rates", 2018.

    Examples
    --------
    >>> from fastnn.schedules import OneCycle
    >>> schedule = OneCycle(0.5, total_steps=10, pct_start=0.5, div_factor=5)
    >>> schedule(0), schedule(4)
    (0.1, 0.5)
    """

    learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    unit: ClassVar = kernels.one_cycle
    ranges: ClassVar = {"pct_start": (0.0, 1.0, "left"), "div_factor": _POSITIVE, "final_div_factor": _POSITIVE}
    counts: ClassVar = {"total_steps": 2}


_CLASSES = (
    Constant, StepDecay, ExponentialDecay, InverseTimeDecay, PolynomialDecay, CosineDecay, WarmupCosineDecay, OneCycle,
)  # fmt: skip
BY_NAME = {cls.__name__: cls for cls in _CLASSES}
NAMES = tuple(BY_NAME)


def get(name: str, learning_rate: Any) -> "float | Schedule":
    """Return a rate or a schedule for a number, a schedule, or the dict that a file holds; `name` is for errors.

    Raises
    ------
    ValueError, TypeError
        If it is neither, or not positive.

    Examples
    --------
    >>> from fastnn import schedules
    >>> schedules.get("learning_rate", {"schedule": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 10})
    CosineDecay(initial_learning_rate=0.1, decay_steps=10, alpha=0.0)
    """
    if isinstance(learning_rate, Schedule):
        return learning_rate
    if isinstance(learning_rate, dict):
        arguments = dict(learning_rate)
        return BY_NAME[check_choice("schedule", arguments.pop("schedule", None), BY_NAME)](**arguments)
    return check_real(name, learning_rate, *_POSITIVE)


__all__ = ["BY_NAME", "NAMES", "Schedule", "get", *NAMES]
