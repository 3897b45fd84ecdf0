"""Activation functions by name, and as objects where one has a parameter."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.common.own_parts import check_own_name, compiled_for, find_part, reduce_by_path
from fastnn.common.validation import check_choice, check_real
from fastnn.kernels.compiled import activation_kind
from fastnn.kernels.ops.activation import ACTIVATIONS
from fastnn.kernels.units import OpKind

NAMES = ("linear", *ACTIVATIONS)


@dataclass(frozen=True, repr=False)
class ActivationFunction:
    """An activation without a parameter, known by its name.

    Parameters
    ----------
    name : str
        One of `fastnn.activations.NAMES`.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest.

    Examples
    --------
    >>> from fastnn.activations import ActivationFunction
    >>> ActivationFunction("tanh").name
    'tanh'
    """

    name: str

    def __post_init__(self):
        check_choice("activation", self.name, NAMES)

    def __repr__(self) -> str:
        return repr(self.name)  # as it is written down: Dense(3, activation="relu")

    @property
    def kind(self) -> OpKind | None:
        """The op that computes it; None for linear, which takes none."""
        return ACTIVATIONS.get(self.name)

    @property
    def value(self) -> float:
        """The number that its kernel reads."""
        return {"leaky_relu": 0.01, "elu": 1.0}.get(self.name, 0.0)

    @property
    def config(self) -> str | dict:
        """The form in which files keep the function."""
        return self.name


@dataclass(frozen=True)
class LeakyReLU(ActivationFunction):
    """max(z, 0) + negative_slope * min(z, 0).

    Parameters
    ----------
    negative_slope : float, default 0.01
        Slope for z < 0, in [0, inf).

    Raises
    ------
    ValueError
        If the slope is negative or not finite.

    References
    ----------
    .. [1] A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models",
           ICML 2013.

    Examples
    --------
    >>> import fastnn
    >>> layer = fastnn.Dense(8, activation=fastnn.activations.LeakyReLU(negative_slope=0.2))
    """

    negative_slope: float = 0.01
    name: ClassVar[str] = "leaky_relu"  # type: ignore[misc]

    def __init__(self, negative_slope: float = 0.01):
        object.__setattr__(self, "negative_slope", check_real("negative_slope", negative_slope, 0.0))

    @property
    def value(self) -> float:
        return self.negative_slope

    @property
    def config(self) -> dict[str, str | float]:
        return {"name": type(self).name, "negative_slope": self.negative_slope}


@dataclass(frozen=True)
class ELU(ActivationFunction):
    """z for z > 0, alpha * (e^z - 1) for z <= 0.

    Parameters
    ----------
    alpha : float, default 1.0
        The limit for z -> -inf is -alpha; in (0, inf).

    Raises
    ------
    ValueError
        If alpha is not positive and finite.

    References
    ----------
    .. [1] D.-A. Clevert, T. Unterthiner, S. Hochreiter, "Fast and Accurate Deep Network Learning by Exponential
           Linear Units (ELUs)", ICLR 2016, eq. 15.

    Examples
    --------
    >>> import fastnn
    >>> layer = fastnn.Dense(8, activation=fastnn.activations.ELU(alpha=0.5))
    """

    alpha: float = 1.0
    name: ClassVar[str] = "elu"  # type: ignore[misc]

    def __init__(self, alpha: float = 1.0):
        object.__setattr__(self, "alpha", check_real("alpha", alpha, 0.0, closed="neither"))

    @property
    def value(self) -> float:
        return self.alpha

    @property
    def config(self) -> dict[str, str | float]:
        return {"name": type(self).name, "alpha": self.alpha}


class Compiled(ActivationFunction):
    """An activation of your own, from two functions of numbers, compiled into the training kernel.

    fastnn compiles the loop around them, as a loop over vectors where the functions allow that, once, and keeps it on
    disk under the content of the functions. They run with threads and whole epochs in one call as fastnn's own do.

    Parameters
    ----------
    function : Numba function, or a function that Numba can compile
        y = function(x), of one number.
    slope : likewise
        dy/dx = slope(x, y).
    name : str or None, default None
        For messages, `explain` and files; None takes the function's.

    Raises
    ------
    TypeError
        If a function cannot be compiled; the message says why.
    ValueError
        If the name is that of another activation.

    Examples
    --------
    >>> import numba, fastnn
    >>> def squared_relu(x):
    ...     return x * x if x > 0 else 0.0
    >>> def squared_relu_slope(x, y):
    ...     return 2.0 * x if x > 0 else 0.0
    >>> own = fastnn.activations.Compiled(numba.njit(squared_relu), numba.njit(squared_relu_slope))
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.Activation(own)], dtype="float64")
    >>> network.predict([[3.0, -1.0]])
    array([[9., 0.]])
    """

    function: Any
    slope: Any
    _given: tuple[Any, Any]
    _kind: OpKind

    def __init__(self, function: Any, slope: Any, name: str | None = None):
        own = object.__setattr__
        own(self, "function", compiled_for(function, "x"))
        own(self, "slope", compiled_for(slope, "x, y"))
        own(
            self,
            "name",
            check_own_name("activation", getattr(function, "__name__", None) if name is None else name, NAMES),
        )
        own(self, "_kind", activation_kind(self.name, self.function, self.slope))
        own(self, "_given", (function, slope))

    @property
    def kind(self) -> OpKind:
        return self._kind

    @property
    def config(self) -> dict:
        return {"name": self.name, "compiled": True}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compiled) and (self.name, self._given) == (other.name, other._given)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple:
        return reduce_by_path(Compiled, self._given, self.name)

    def __deepcopy__(self, memo: dict) -> "Compiled":
        return self


_PARAMETRISED = {"leaky_relu": LeakyReLU, "elu": ELU}


def get(activation: "str | ActivationFunction | dict") -> ActivationFunction:
    """Return the activation for a name, an object, or the dict that a file holds.

    Parameters
    ----------
    activation : str, ActivationFunction or dict
        A name from `NAMES`, an instance, or ``{"name": ..., <parameter>: ...}``.

    Returns
    -------
    ActivationFunction

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither of the accepted types.

    Examples
    --------
    >>> from fastnn import activations
    >>> activations.get("elu").value
    1.0
    """
    if isinstance(activation, ActivationFunction):
        return activation
    if isinstance(activation, dict):
        arguments = dict(activation)
        if arguments.get("compiled") is True:
            return find_part("activation", Compiled, arguments.get("name"))
        name = check_choice("activation", arguments.pop("name", None), NAMES)
        return _PARAMETRISED[name](**arguments) if name in _PARAMETRISED else ActivationFunction(name, **arguments)
    if callable(activation):
        raise TypeError(
            f"activation must be a name such as 'relu', or activations.Compiled(function, slope) of functions of your "
            f"own, got {activation!r}"
        )
    name = check_choice("activation", activation, NAMES, {"swish": "silu", "hard_sigmoid": "sigmoid"})
    return _PARAMETRISED[name]() if name in _PARAMETRISED else ActivationFunction(name)
