"""The two networks of a GAN as workloads of issue 18: what is trained, on which samples, and its arithmetic.

A step of both networks, the same for every peer: the discriminator is trained on a batch of real rows and as many made
ones (their generator's gradient is not taken), with binary cross-entropy; then the generator on a new batch of noise,
with the loss that does not saturate, -log D(G(z)). Adam with a rate of 2e-4 and beta_1 = 0.5 for both; noise is normal.
"""

from dataclasses import dataclass

import numpy as np

from bench.stacks.layers import (
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Layer,
    Reshape,
    Shape,
    forward_flops,
    initial_weights,
)
from bench.workloads import Workload

RATE, BETA_1 = 2e-4, 0.5


@dataclass(frozen=True)
class Gan(Workload):
    generator: tuple[Layer, ...] = ()
    discriminator: tuple[Layer, ...] = ()  # one logit
    noise: Shape = ()
    sample: Shape = ()
    output: str = "linear"  # the generator's activation at its end
    peers: tuple[str, ...] = ("fastnn", "sgemm", "torch", "torch-compile", "jax")

    @property
    def call_flops(self) -> int:
        """Of a step: G made two batches and learnt from one; D saw three batches, learnt from two, passed one back."""
        g = forward_flops(self.generator, self.noise)
        d = forward_flops(self.discriminator, self.sample)
        return self.step_rows * ((2 + 2) * g + (3 + 2 * 2 + 1) * d)

    def data(self) -> np.ndarray:
        """Real samples (n_rows, *sample), float32."""
        rng = np.random.default_rng(0)
        if self.sample == (2,):  # a ring of eight Gaussians
            angle = rng.integers(8, size=self.n_rows) * np.pi / 4
            ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
            return (ring + 0.05 * rng.standard_normal(ring.shape)).astype(np.float32)
        from sklearn.datasets import load_digits

        X = load_digits().data[: self.n_rows] / 16
        return X.reshape(self.n_rows, *self.sample).astype(np.float32)

    def weights(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        generator = initial_weights(self.generator, self.noise, seed=0)
        return generator, initial_weights(self.discriminator, self.sample, seed=1)


def _gan(name, batch, n_rows, generator, discriminator, noise, sample, **kw):
    return Gan(
        f"{name}/{batch}", "gan", (), batch, n_rows, section="gan", generator=generator, discriminator=discriminator,
        noise=noise, sample=sample, **kw,
    )  # fmt: skip


GANS = [
    _gan(
        "GAN 32-128-128-64 against 64-128-128-1", 64, 1792,
        (Dense(128, "relu"), Dense(128, "relu"), Dense(64)),
        (Dense(128, "leaky_relu"), Dense(128, "leaky_relu"), Dense(1)), (32,), (64,), output="sigmoid",
    ),
    _gan(
        "GAN 16-64-2 against 2-64-64-1", 256, 2048,
        (Dense(64, "relu"), Dense(2)), (Dense(64, "leaky_relu"), Dense(64, "leaky_relu"), Dense(1)), (16,), (2,),
    ),
    _gan(
        "DCGAN on 8 x 8 digits", 64, 1792,
        (Dense(4 * 4 * 32, "relu"), Reshape((4, 4, 32)), ConvTranspose(16, 4, 2, "relu"), Conv(1, 3, padding="same")),
        (
            Conv(16, 4, 2, "same", activation="leaky_relu"), Conv(32, 4, 2, "same", activation="leaky_relu"), Flatten(),
            Dense(1),
        ),
        (32,), (8, 8, 1), output="sigmoid",
    ),
]  # fmt: skip
