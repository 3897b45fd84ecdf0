"""What every layer is: an immutable record of arguments that knows how to write itself into a plan."""

from dataclasses import dataclass
from typing import Any

from fastnn.common.records import Record
from fastnn.common.validation import check_integer
from fastnn.engine.plan import PlanBuilder


@dataclass(frozen=True, repr=False)
class Layer(Record):
    """Base of all layers: immutable, comparable, printable, and built into a plan by `build`."""

    def build(self, plan: PlanBuilder) -> None:
        """Write this layer's ops and variables into the plan."""
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        """The layer as JSON types: its class name and arguments."""
        return {"layer": type(self).__name__, **self.arguments}


@dataclass(frozen=True, repr=False)
class Input(Layer):
    """The features that enter the network; always its first layer.

    Parameters
    ----------
    n_features : int
        Number of columns of X, >= 1.

    Raises
    ------
    ValueError
        If n_features < 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Input(64)
    Input(n_features=64)
    """

    n_features: int

    def __post_init__(self):
        object.__setattr__(self, "n_features", check_integer("n_features", self.n_features, 1))

    def build(self, plan: PlanBuilder) -> None:
        plan.set_input((self.n_features,))


__all__ = ["Input", "Layer"]
