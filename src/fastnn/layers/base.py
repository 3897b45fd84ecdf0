"""What every layer is: an immutable record of arguments that knows how to write itself into a plan."""

from dataclasses import dataclass
from typing import Any

from fastnn.common.records import Record
from fastnn.common.validation import check_integer, check_shape
from fastnn.engine.plan import PlanBuilder


@dataclass(frozen=True, repr=False)
class Layer(Record):
    """Base of all layers: immutable, comparable, printable, and built into a plan by `build`.

    A layer with parameters has a keyword `trainable`: where it is False, training leaves its parameters as they are.
    """

    def build(self, plan: PlanBuilder) -> None:
        """Write this layer's ops and variables into the plan."""
        raise NotImplementedError

    @property
    def config(self) -> dict[str, Any]:
        """The layer as JSON types: its class name and arguments."""
        arguments = self.arguments
        if arguments.get("trainable") is True:  # as files of before were
            del arguments["trainable"]
        if arguments.get("stateful") is False:
            del arguments["stateful"]
        return {"layer": type(self).__name__, **arguments}


@dataclass(frozen=True, repr=False)
class Input(Layer):
    """The features that enter the network; always its first layer.

    Parameters
    ----------
    n_features : int or tuple of int
        Number of columns of X, >= 1; or the shape of one sample, such as (28, 28, 1) for images with one channel or
        (time, features) for sequences, channels last. X then has shape (n, *shape), or (n, product of the shape) with
        the numbers of a sample in C order.

    Raises
    ------
    ValueError, TypeError
        If a size is no integer >= 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Input(64)
    Input(n_features=64)
    >>> fastnn.Input((28, 28, 1)).shape
    (28, 28, 1)
    """

    n_features: Any

    def __post_init__(self):
        given = self.n_features
        if isinstance(given, (tuple, list)):
            object.__setattr__(self, "n_features", check_shape("n_features", given))
        else:
            object.__setattr__(self, "n_features", check_integer("n_features", given, 1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.n_features if isinstance(self.n_features, tuple) else (self.n_features,)

    def build(self, plan: PlanBuilder) -> None:
        plan.set_input(self.shape)


__all__ = ["Input", "Layer"]
