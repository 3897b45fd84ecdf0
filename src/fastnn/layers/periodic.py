"""A layer that puts learned waves of every feature in its place."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastnn import initializers
from fastnn.common.validation import check_bool, check_integer, check_real
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.periodic import PERIODIC
from fastnn.layers.base import Layer, check_arguments


@dataclass(frozen=True, repr=False)
class Periodic(Layer):
    """Several learned mixtures of waves of every feature, in place of the feature.

    A feature x has waves cos(2 pi f x + phase), whose frequencies and phases are learned. A linear map of its own makes
    `units` numbers of them, with a bias; by default the first number is x itself, and the map makes the others. So it
    is the embedding "PBLD" of [1]_. Without phases each frequency has a cosine and a sine: with
    ``use_phase=False, keep_feature=False`` and ``Activation("relu")`` behind it, it is "PLR" of [2]_. Features should
    be scaled; frequencies begin near 0, since high ones learn noise.

    On samples of shape (..., features) the output is (..., features * units): those of the first feature come first.

    Parameters
    ----------
    units : int, default 4
        How many numbers stand in place of each feature, >= 1, with `keep_feature` >= 2.
    n_frequencies : int, default 16
        Of each feature, >= 1.
    frequency_scale : float, default 0.1
        Standard deviation of the normal numbers that frequencies begin with, > 0.
    use_phase : bool, default True
        Whether waves are cosines with a learned phase, from -pi to pi at first. False: a cosine and a sine for each
        frequency.
    keep_feature : bool, default True
        Whether the first of the numbers is the feature.
    kernel_initializer : str, default "glorot_uniform"
        One of `fastnn.initializers.NAMES` but "auto", for the map of each feature; biases start at 0.
    kernel_regularizer, bias_regularizer : L1L2, float or None, default None
        Penalties; a number means L2.
    kernel_constraint : MaxNorm or None, default None
        Limit of the norm of the kernel's columns.
    trainable : bool, default True
        Whether training changes any of it.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    References
    ----------
    .. [1] D. Holzmüller, L. Grinsztajn, I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
           Tabular Data", NeurIPS 2024, arXiv:2407.04491.
    .. [2] Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning",
           NeurIPS 2022, arXiv:2203.05556.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.Periodic(4), fastnn.Dense(1)], seed=0)
    >>> [tuple(weights.shape) for weights in network.get_weights()]
    [(2, 16), (2, 16), (2, 16, 3), (2, 3), (8, 1), (1,)]
    """

    units: int = 4
    n_frequencies: int = 16
    _: KW_ONLY
    frequency_scale: float = 0.1
    use_phase: bool = True
    keep_feature: bool = True
    kernel_initializer: str = "glorot_uniform"
    kernel_regularizer: Any = None
    bias_regularizer: Any = None
    kernel_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        for name in ("use_phase", "keep_feature"):
            object.__setattr__(self, name, check_bool(name, getattr(self, name)))
        object.__setattr__(self, "units", check_integer("units", self.units, 1))
        if self.units == 1 and self.keep_feature:
            raise ValueError("units must be >= 2 with keep_feature=True, for the first number is the feature, got 1")
        object.__setattr__(self, "n_frequencies", check_integer("n_frequencies", self.n_frequencies, 1))
        scale = check_real("frequency_scale", self.frequency_scale, 0.0, closed="neither")
        object.__setattr__(self, "frequency_scale", scale)
        check_arguments(self)

    def build(self, plan: PlanBuilder) -> None:
        n_features, learned = plan.units, self.units - self.keep_feature
        n_waves = self.n_frequencies * (1 if self.use_phase else 2)
        frequencies = plan.add_variable(
            "frequencies", (n_features, self.n_frequencies), f"{initializers.NORMAL}{self.frequency_scale!r}"
        )
        phases = plan.add_variable("phases", (n_features, n_waves), initializers.ANGLES) if self.use_phase else -1
        kernel = plan.add_variable(
            "kernel", (n_features, n_waves, learned), initializers.EACH + self.kernel_initializer, is_kernel=True,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )  # fmt: skip
        bias = plan.add_variable("bias", (n_features, learned), "zeros", regularizer=self.bias_regularizer)
        n_each = plan.positions * n_features * n_waves
        plan.add_op(
            PERIODIC, (*plan.shape[:-1], n_features * self.units), weights=kernel, bias=bias, needs_input=True,
            details={
                "n_frequencies": self.n_frequencies, "n_waves": n_waves, "frequencies": frequencies, "phases": phases,
                "n_kept": int(self.keep_feature),
            },
            extra_units=2 * n_each, flops=2 * n_each * learned,
        )  # fmt: skip


__all__ = ["Periodic"]
