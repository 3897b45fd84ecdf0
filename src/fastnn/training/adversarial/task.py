"""What a GAN is made of, checked: two networks that fit together, and the numbers that their training follows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.common.validation import as_array, as_features, check_choice, check_integer, check_not_empty, check_real
from fastnn.engine.adversaries import LOSSES, NOISES, has_exact_penalty
from fastnn.engine.rows import Rows
from fastnn.inputs.data import DataSpec, check_batches
from fastnn.inputs.targets import as_targets, finite_rows
from fastnn.model.network import Network

_MEANT = {
    **dict.fromkeys(("bce", "BCE", "binary_crossentropy", "log_loss", "vanilla", "minimax"), "non_saturating"),
    **dict.fromkeys(("wgan", "WGAN", "wgan-gp", "critic"), "wasserstein"),
    **dict.fromkeys(("lsgan", "LSGAN", "mse"), "least_squares"),
}
_OUTPUTS = {"non_saturating": ("linear", "sigmoid"), "least_squares": ("linear", "sigmoid"), "wasserstein": ("linear",)}
# What activations at the generator's end can give.
_RANGES = {"sigmoid": (0.0, 1.0), "softmax": (0.0, 1.0), "tanh": (-1.0, 1.0)}
_ANY_NUMBERS, _CLASSES = losses.get("mse"), losses.get("categorical_crossentropy")


@dataclass(frozen=True)
class GanTask:
    """Everything but data and optimizers that decides what training does.

    Attributes
    ----------
    generator, discriminator : Network
    loss, noise : str
    discriminator_steps : int
    label_smoothing, gradient_penalty : float
    n_conditions : int
        Numbers that are joined to the inputs of both networks; 0: none.
    sample_shape : tuple of int
        Of a real sample.
    """

    generator: Network
    discriminator: Network
    loss: str
    noise: str
    discriminator_steps: int
    label_smoothing: float
    gradient_penalty: float
    n_conditions: int
    sample_shape: tuple[int, ...]

    @classmethod
    def of(
        cls, generator: Any, discriminator: Any, loss: Any, noise: Any, discriminator_steps: Any, label_smoothing: Any,
        gradient_penalty: Any,
    ) -> "GanTask":  # fmt: skip
        """Return what a user asks for, checked, or raise ValueError or TypeError."""
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(network, Network):
                raise TypeError(f"{name} must be a fastnn.Network, got {network!r}")
        if generator is discriminator:
            raise ValueError("generator and discriminator must be two networks, got the same one twice")
        if generator.dtype != discriminator.dtype:
            raise ValueError(
                f"generator and discriminator must have the same dtype, got {generator.dtype} and {discriminator.dtype}"
            )
        for name, network in (("generator", generator), ("discriminator", discriminator)):
            if network.plan.carried_units or network.plan.n_categories:
                raise ValueError(
                    f"{name} must have no stateful layer, whose states go on from one sequence, and no Embedding, "
                    f"which takes integers and gives no gradient of them; got {network!r}"
                )
            if not any(variable.is_trained for variable in network.plan.variables):
                raise ValueError(f"{name} must have a layer that is trained, got {network!r}")
        loss = check_choice("loss", loss, LOSSES, _MEANT)
        noise = check_choice("noise", noise, NOISES, {"gaussian": "normal"})
        steps = check_integer("discriminator_steps", discriminator_steps, 1)
        smoothing = check_real("label_smoothing", label_smoothing, 0.0, 1.0, closed="left")
        penalty = check_real("gradient_penalty", gradient_penalty, 0.0)
        if discriminator.n_outputs != 1:
            raise ValueError(f"discriminator must have one output, got {discriminator.n_outputs}")
        activation = discriminator.plan.output_activation
        if activation not in _OUTPUTS[loss]:
            accepted = " or ".join(map(repr, _OUTPUTS[loss]))
            raise ValueError(f"discriminator must end in activation {accepted} for loss {loss!r}, got {activation!r}")
        if smoothing and loss == "wasserstein":
            raise ValueError(f"label_smoothing must be 0 for loss 'wasserstein', which has no labels, got {smoothing}")
        takes_logits = loss == "non_saturating" and activation == "sigmoid"
        if penalty and not has_exact_penalty(discriminator.plan, without_last=takes_logits):
            raise ValueError(
                f"gradient_penalty must be 0 for this discriminator, got {penalty}: the gradient of a gradient is "
                "exact for Dense, Conv1D, Conv2D, Flatten, Reshape, Dropout and average pooling with linear, relu and "
                f"leaky_relu alone, and it has {discriminator!r}"
            )
        n_conditions, shape = _conditions(generator, discriminator)
        return cls(generator, discriminator, loss, noise, steps, smoothing, penalty, n_conditions, shape)

    @property
    def dtype(self) -> np.dtype:
        """Of both networks."""
        return self.generator.dtype

    @property
    def n_noise(self) -> int:
        """How many random numbers make a sample."""
        return self.generator.n_inputs - self.n_conditions

    @property
    def log_names(self) -> tuple[str, ...]:
        """What the logs of an epoch hold."""
        accuracies = () if self.loss == "wasserstein" else ("real_accuracy", "made_accuracy")
        return ("generator_loss", "discriminator_loss", *accuracies, "diversity")

    @property
    def settings(self) -> dict[str, Any]:
        """The same for kernels."""
        real, made, wanted = (-1.0, 1.0, -1.0) if self.loss == "wasserstein" else (1.0 - self.label_smoothing, 0.0, 1.0)
        shape = self.discriminator.plan.input_shape
        has_logits = self.loss == "non_saturating"
        return {
            "n_noise": self.n_noise, "n_conditions": self.n_conditions, "channels": shape[-1] - self.n_conditions,
            "positions": math.prod(shape[:-1]), "steps_of_judge": self.discriminator_steps,
            "real_target": real, "made_target": made, "wanted_target": wanted,
            # Means over real and made samples: of their sum for "wasserstein", of their mean for the others.
            "judge_scale": 2.0 if self.loss == "wasserstein" else 1.0,
            "generator_scale": 0.5 if self.loss == "least_squares" else 1.0,
            "threshold": 0.0 if has_logits else 0.5, "gradient_penalty": self.gradient_penalty,
        }  # fmt: skip

    # --- data -------------------------------------------------------------------------------------------------------

    def check_samples(self, X: Any) -> Rows:
        """Return real samples that kernels can read, or raise ValueError or TypeError."""
        array = as_features("X", X, self.sample_shape, self.dtype)
        check_not_empty("X", array)
        rows = finite_rows("X", array, self.dtype)
        activation = self.generator.plan.output_activation
        low, high = _RANGES.get(activation, (-math.inf, math.inf))
        if rows.array.min() < low or rows.array.max() > high:
            wrong = rows.array.min() if rows.array.min() < low else rows.array.max()
            raise ValueError(
                f"X must lie in [{low:g}, {high:g}], as the samples of a generator that ends in {activation!r} do, "
                f"got {wrong}: scale X, or give the generator another activation at its end"
            )
        return rows

    def check_batches(self, n_rows: int, batch_size: int | None) -> None:
        """Raise ValueError if a batch would have one row only, and a layer needs the variance over the batch."""
        for network in (self.generator, self.discriminator):
            check_batches(DataSpec.of(network, _ANY_NUMBERS), n_rows, batch_size)

    def check_conditions(self, y: Any, n_samples: int) -> Rows | None:
        """Return the conditions of so many samples, or raise ValueError or TypeError."""
        if not self.n_conditions:
            if y is not None:
                raise ValueError(
                    "y must be None: the networks take no condition. With k classes the generator needs k inputs more "
                    "than noise, and the discriminator k more (in the last axis) than a sample has"
                )
            return None
        if y is None:
            raise ValueError(
                f"y must be given: the discriminator takes {self.n_conditions} numbers beside a sample, a condition"
            )
        array = as_array("y", y)
        is_classes = array.ndim == 1 and self.n_conditions > 1
        return as_targets(
            "y", array, n_samples, (self.n_conditions,), _CLASSES if is_classes else _ANY_NUMBERS, self.dtype
        )

    def condition_rows(self, y: Any, n_samples: int) -> np.ndarray | None:
        """Return the conditions as rows of numbers, classes as one-hot rows."""
        if self.n_conditions > 1 and np.ndim(y) == 0 and y is not None:
            y = np.full(n_samples, y)
        rows = self.check_conditions(y, n_samples)
        return None if rows is None else self.as_rows(rows)

    def as_rows(self, conditions: Rows) -> np.ndarray:
        """Return checked conditions as rows of the networks' dtype."""
        array = conditions.array
        if array.ndim == 1:
            return np.eye(self.n_conditions, dtype=self.dtype)[array]
        return array.astype(self.dtype)

    def draw(self, n: int, random: np.random.Generator) -> np.ndarray:
        """Return noise for n samples."""
        shape = (n, self.n_noise)
        values = random.standard_normal(shape) if self.noise == "normal" else random.uniform(-1.0, 1.0, shape)
        return values.astype(self.dtype)

    def make(self, noise: np.ndarray, conditions: np.ndarray | None) -> np.ndarray:
        """Return the generator's samples for rows of noise, of shape (n, *generator.output_shape)."""
        inputs = noise if conditions is None else np.hstack([noise, conditions])
        return self.generator.predict(inputs).reshape(len(noise), *self.generator.plan.output_shape)


def _conditions(generator: Network, discriminator: Network) -> tuple[int, tuple[int, ...]]:
    """Return how many numbers a condition has, and the shape of a sample, or raise ValueError."""
    shape, n_made = discriminator.plan.input_shape, generator.n_outputs
    positions = math.prod(shape[:-1])
    channels = n_made // positions
    n_conditions = shape[-1] - channels
    if channels * positions != n_made or n_conditions < 0 or channels == 0:
        raise ValueError(
            f"discriminator must take what the generator makes, {n_made} numbers, or those and in the last axis the "
            f"numbers of a condition; got inputs of shape {shape}"
        )
    if n_conditions and (len(generator.plan.input_shape) > 1 or generator.n_inputs <= n_conditions):
        raise ValueError(
            f"generator must take noise and the {n_conditions} numbers of a condition, which the discriminator takes "
            f"too: Input(n) with n > {n_conditions}; got inputs of shape {generator.plan.input_shape}"
        )
    return n_conditions, generator.plan.output_shape if len(shape) == 1 else (*shape[:-1], channels)
