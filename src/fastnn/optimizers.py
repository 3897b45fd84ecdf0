"""Optimizers by name and as objects: hyperparameters only, the arithmetic is in kernels/optimizers.py."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from fastnn.kernels import tables
from fastnn.validation import check_bool, check_choice, check_real


@dataclass(frozen=True)
class Optimizer:
    """Base of all optimizers: a frozen record of hyperparameters.

    `code` is the number kernels know it by, `n_slots` how many vectors of moments it keeps, and `hyperparameters`
    the numbers after the learning rate, in the order in which its kernel reads them.
    """

    learning_rate: float = 0.001

    code: ClassVar[tables.Optimizer]
    n_slots: ClassVar[int]

    @property
    def hyperparameters(self) -> tuple[float, ...]:
        return tuple(float(getattr(self, f.name)) for f in fields(self) if f.name != "learning_rate")

    @property
    def slots(self) -> int:
        """How many vectors of moments this instance keeps."""
        return self.n_slots

    @property
    def config(self) -> dict[str, Any]:
        """The optimizer as JSON types: its name and arguments."""
        return {"name": type(self).__name__.lower(), **{f.name: getattr(self, f.name) for f in fields(self)}}

    def _check(self, name: str, low: float, high: float = float("inf"), closed: str = "left") -> None:
        object.__setattr__(self, name, check_real(name, getattr(self, name), low, high, closed))


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's variant if wanted [1]_.

    v = momentum v - learning_rate g; w += v, or with Nesterov w += momentum v - learning_rate g. (Keras and
    scikit-learn have this form; PyTorch multiplies the whole velocity by the learning rate, which differs only when
    the rate changes.)

    Parameters
    ----------
    learning_rate : float, default 0.01
        Step length, > 0.
    momentum : float, default 0.0
        Share of the last change that is kept, in [0, 1).
    nesterov : bool, default False
        Whether the gradient counts as taken ahead of the momentum step.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    .. [1] I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013,
           eqs. 1-4.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    code: ClassVar[tables.Optimizer] = tables.Optimizer.SGD
    n_slots: ClassVar[int] = 1

    def __post_init__(self):
        self._check("learning_rate", 0.0, closed="neither")
        self._check("momentum", 0.0, 1.0)
        check_bool("nesterov", self.nesterov)

    @property
    def slots(self) -> int:
        return 1 if self.momentum else 0


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam [1]_: steps scaled by running means of the gradient and its square.

    Parameters
    ----------
    learning_rate : float, default 0.001
        Step length, > 0.
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of the two means, in [0, 1).
    epsilon : float, default 1e-7
        Added to the root (outside it, as in the paper's Algorithm 1), > 0.

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, Algorithm 1.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.Adam(0.002).beta_2
    0.999
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    code: ClassVar[tables.Optimizer] = tables.Optimizer.ADAM
    n_slots: ClassVar[int] = 2

    def __post_init__(self):
        self._check("learning_rate", 0.0, closed="neither")
        self._check("beta_1", 0.0, 1.0)
        self._check("beta_2", 0.0, 1.0)
        self._check("epsilon", 0.0, closed="neither")


def get(optimizer: "str | Optimizer | dict") -> Optimizer:
    """Return the optimizer for a name, an object, or the dict that a file holds.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> from fastnn import optimizers
    >>> optimizers.get("adam").learning_rate
    0.001
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    known = {cls.__name__.lower(): cls for cls in Optimizer.__subclasses__()}
    if isinstance(optimizer, dict):
        arguments = dict(optimizer)
        return known[check_choice("optimizer", arguments.pop("name", None), known)](**arguments)
    return known[check_choice("optimizer", optimizer, known)]()
