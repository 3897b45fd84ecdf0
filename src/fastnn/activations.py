"""Activation functions by name, and as objects where one has a parameter."""

from dataclasses import dataclass
from typing import ClassVar

from fastnn.common.validation import check_choice, check_real
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
        name = check_choice("activation", arguments.pop("name", None), NAMES)
        return _PARAMETRISED[name](**arguments) if name in _PARAMETRISED else ActivationFunction(name, **arguments)
    name = check_choice("activation", activation, NAMES)
    return _PARAMETRISED[name]() if name in _PARAMETRISED else ActivationFunction(name)
