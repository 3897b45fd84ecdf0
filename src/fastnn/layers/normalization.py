"""Layers that normalise activations, each with a learned scale gamma and shift beta of every unit."""

from dataclasses import KW_ONLY, dataclass
from math import ceil

from fastnn.common.validation import check_bool, check_real
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.batch_normalization import BATCH_NORMALIZATION, N_STATISTICS
from fastnn.kernels.ops.layer_normalization import LAYER_NORMALIZATION
from fastnn.layers.base import Layer


def _add_scale_and_shift(plan: PlanBuilder, scale: bool, center: bool) -> tuple[int, int]:
    """Reserve gamma and beta as far as they are wanted; return their offsets."""
    gamma = plan.add_variable("gamma", (plan.units,), "ones") if scale else -1
    beta = plan.add_variable("beta", (plan.units,), "zeros") if center else -1
    return gamma, beta


@dataclass(frozen=True, repr=False)
class LayerNormalization(Layer):
    """Each sample to mean 0 and variance 1 over its units, then gamma x_hat + beta [1]_.

    x_hat = (x - mean) / sqrt(variance + epsilon), the same in training and inference. PyTorch's epsilon is 1e-5.

    Parameters
    ----------
    epsilon : float, default 0.001
        Added to the variance, > 0 (Keras's default).
    center, scale : bool, default True
        Whether beta, gamma exist. They start at 0 and 1.
    trainable : bool, default True
        Whether training changes them.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    References
    ----------
    .. [1] J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.LayerNormalization(epsilon=1e-9)], dtype="float64")
    >>> network.predict(np.array([[1.0, 3.0], [50.0, 40.0]])).round(6)
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    _: KW_ONLY
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "epsilon", check_real("epsilon", self.epsilon, 0.0, closed="neither"))
        check_bool("center", self.center)
        check_bool("scale", self.scale)
        check_bool("trainable", self.trainable)

    def build(self, plan: PlanBuilder) -> None:
        gamma, beta = _add_scale_and_shift(plan, self.scale, self.center)
        plan.add_op(
            LAYER_NORMALIZATION, weights=gamma, bias=beta, value=self.epsilon, in_place=True,
            extra_units=plan.positions * (plan.units + 1),
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class BatchNormalization(Layer):
    """Each unit to mean 0 and variance 1 over the batch, then gamma x_hat + beta [1]_.

    In training the statistics are those of the whole batch, unweighted, however many threads share it; the variance
    is the biased one. Running statistics follow, running = momentum * running + (1 - momentum) * the batch's, and take
    their place in inference (`predict`, `evaluate`, `loss_and_gradient`). They are not trained: `get_weights` leaves
    them out, and `Network.state` holds them. (PyTorch keeps the unbiased variance, and its momentum is 1 - ours.)

    A batch of one row has no variance: `fit` raises ValueError where there would be one. The workspace holds a whole
    batch, so full-batch training on many rows takes the memory of their activations.

    Parameters
    ----------
    momentum : float, default 0.99
        Share of the running statistics that is kept at a step, in [0, 1).
    epsilon : float, default 0.001
        Added to the variance, > 0.
    center, scale : bool, default True
        Whether beta, gamma exist. They start at 0 and 1.
    trainable : bool, default True
        Whether training changes them. A layer that is not trained keeps its running statistics, and uses them in
        training too, as in Keras.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    References
    ----------
    .. [1] S. Ioffe, C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
           Covariate Shift", ICML 2015.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input(1), fastnn.BatchNormalization(momentum=0.5), fastnn.Dense(1)], seed=0)
    >>> history = fastnn.Trainer(network, loss="mse").fit(np.array([[1.0], [5.0]]), np.zeros(2))
    >>> network.state  # half-way from mean 0 and variance 1 to mean 3 and variance 4
    array([1.5, 2.5], dtype=float32)
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    _: KW_ONLY
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "momentum", check_real("momentum", self.momentum, 0.0, 1.0, closed="left"))
        object.__setattr__(self, "epsilon", check_real("epsilon", self.epsilon, 0.0, closed="neither"))
        check_bool("center", self.center)
        check_bool("scale", self.scale)
        check_bool("trainable", self.trainable)

    def build(self, plan: PlanBuilder) -> None:
        gamma, beta = _add_scale_and_shift(plan, self.scale, self.center)
        mean = plan.add_state("moving_mean", (plan.units,), "zeros")
        plan.add_state("moving_variance", (plan.units,), "ones")
        plan.add_op(
            BATCH_NORMALIZATION, weights=gamma, bias=beta, value=self.epsilon,
            details={"momentum": self.momentum, "state": mean}, in_place=True,
            extra_units=plan.positions * plan.units + N_STATISTICS * ceil(plan.units / PANEL),
        )  # fmt: skip


__all__ = ["BatchNormalization", "LayerNormalization"]
