"""Layers that treat each feature for itself."""

from dataclasses import KW_ONLY, dataclass

from fastnn.common.validation import check_bool
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.scale import SCALE
from fastnn.layers.base import Layer


@dataclass(frozen=True, repr=False)
class Scale(Layer):
    """Each feature times a factor that is learnt, which starts at 1 [1]_.

    On samples of several axes it works on the last, with the same factors everywhere. In front of a network it lets
    training turn features up and down, faster than the first kernel could.

    Parameters
    ----------
    trainable : bool, default True
        Whether training changes the factors.

    Raises
    ------
    TypeError
        If `trainable` is no bool.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
           Tabular Data", NeurIPS 2024 (arXiv 2407.04491), sec. 3.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input(3), fastnn.Scale(), fastnn.Dense(1)], seed=0)
    >>> network.get_weights()[0]
    array([1., 1., 1.], dtype=float32)
    """

    _: KW_ONLY
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "trainable", check_bool("trainable", self.trainable))

    def build(self, plan: PlanBuilder) -> None:
        factors = plan.add_variable("scale", (plan.units,), "ones")
        plan.add_op(SCALE, weights=factors, needs_input=True)


__all__ = ["Scale"]
