"""Optimizers that users write."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.common.own_parts import check_own_name, compiled_for, reduce_by_path
from fastnn.common.validation import check_integer
from fastnn.kernels.compiled import update_unit_of
from fastnn.kernels.units import Unit
from fastnn.optimizers.base import Optimizer

_SLOTS = ("", "m", "m, v", "m, v, u")
_NAMES = ("sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "adamax", "lion")


@dataclass(frozen=True, repr=False, eq=False, init=False)
class Compiled(Optimizer):
    """An optimizer of your own, from one function of numbers, compiled into the training kernel.

    Parameters
    ----------
    step : Numba function, or a function that Numba can compile
        The new parameter and moments of one element: ``w = step(w, g, rate, t)`` without moments, else ``w, m =
        step(w, g, m, rate, t)`` and so on, for parameter w, gradient g, the moments, which start at 0, the learning
        rate of this step and its number t, from 1. Hyperparameters are constants of the function.
    n_slots : int
        How many moments an element has, from 0 to 3.
    learning_rate : float or Schedule, default 0.001
        Step length, > 0.
    name : str or None, default None
        For messages and files; None takes the function's.
    clipvalue, clipnorm, global_clipnorm, use_ema, ema_momentum
        As for every `Optimizer`; by keyword only.

    Raises
    ------
    TypeError
        If the function cannot be compiled; the message says why.
    ValueError
        If the name is that of another optimizer, or a number is out of its range.

    Examples
    --------
    >>> import fastnn
    >>> def momentum_step(w, g, m, rate, t):
    ...     m = 0.9 * m - rate * g
    ...     return w + m, m
    >>> own = fastnn.optimizers.Compiled(momentum_step, 1, learning_rate=0.1)
    >>> network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)], dtype="float64")
    >>> network.set_weights([[[1.0]]])
    >>> history = fastnn.Trainer(network, loss="mse", optimizer=own).fit([[1.0]], [0.0])
    >>> float(network.parameters[0].round(6))  # 1 - 0.1 * 2
    0.8
    """

    step: Any
    n_slots: int  # type: ignore[misc]
    name: str

    kernel_arguments: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, step: Any, n_slots: int, *, learning_rate: Any = 0.001, name: str | None = None,
        clipvalue: float | None = None, clipnorm: float | None = None, global_clipnorm: float | None = None,
        use_ema: bool = False, ema_momentum: float = 0.99,
    ):  # fmt: skip
        super().__init__(
            learning_rate=learning_rate, clipvalue=clipvalue, clipnorm=clipnorm, global_clipnorm=global_clipnorm,
            use_ema=use_ema, ema_momentum=ema_momentum,
        )  # fmt: skip
        own = object.__setattr__
        own(self, "step", step)
        slots = check_integer("n_slots", n_slots, 0, 3)
        numbers = ", ".join(filter(None, ("w, g", _SLOTS[slots], "rate, t")))
        result = ", ".join(filter(None, ("w", _SLOTS[slots])))
        function = compiled_for(step, numbers, result)
        name = getattr(step, "__name__", None) if name is None else name
        own(self, "name", check_own_name("optimizer", name, _NAMES))
        own(self, "n_slots", slots)
        own(self, "_unit", update_unit_of(self.name, function, slots))

    @property
    def unit(self) -> Unit:  # type: ignore[override]
        """Its compiled update."""
        return self._unit  # type: ignore[attr-defined]

    @property
    def config(self) -> dict[str, Any]:
        """The optimizer as JSON types: its name; the function is the user's to keep."""
        return {"name": self.name, "compiled": True}

    def __repr__(self) -> str:
        """Return its name, not a function's address, which is another in every process."""
        return f"Compiled({self.name}, n_slots={self.n_slots}, learning_rate={self.learning_rate!r})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compiled) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.name, self.n_slots))

    def __reduce__(self) -> tuple:
        options = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "step"
        }  # fmt: skip
        rebuild, (_, paths, *_) = reduce_by_path(Compiled, (self.step,))
        return rebuild, (_Options(options), paths)

    def __deepcopy__(self, memo: dict) -> "Compiled":
        return self


@dataclass(frozen=True)
class _Options:
    """Makes a `Compiled` optimizer with the options of the one that was pickled."""

    options: dict[str, Any]

    def __call__(self, step: Any) -> Compiled:
        return Compiled(step, **self.options)


__all__ = ["Compiled"]
