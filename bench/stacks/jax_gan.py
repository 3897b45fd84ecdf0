"""JAX: an epoch of a GAN's steps in one jitted lax.scan, or a jitted step for each batch, whichever is faster."""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from bench.stacks.gan import BETA_1, RATE
from bench.stacks.jax_stack import ACTIVATIONS, forward


class Model:
    def __init__(self, workload, data, threads):
        self.workload, self.X = workload, jnp.asarray(data)
        self.rng = np.random.default_rng(0)
        self.optimizer = optimizer = optax.flatten(optax.adam(RATE, b1=BETA_1))
        batch = workload.batch
        cross_entropy = optax.sigmoid_binary_cross_entropy
        judged = jnp.concatenate([jnp.ones((batch, 1)), jnp.zeros((batch, 1))])
        judge = partial(forward, workload.discriminator, workload.sample)

        def make(generator, z):
            return ACTIVATIONS[workload.output](forward(workload.generator, workload.noise, generator, z))

        def discriminator_loss(discriminator, made, real):
            return cross_entropy(judge(discriminator, jnp.concatenate([real, made])), judged).mean()

        def generator_loss(generator, discriminator, z):
            return cross_entropy(judge(discriminator, make(generator, z)), jnp.ones((batch, 1))).mean()

        def updated(loss, weights, moments, *rest):
            value, gradient = jax.value_and_grad(loss)(weights, *rest)
            updates, moments = optimizer.update(gradient, moments, weights)
            return optax.apply_updates(weights, updates), moments, value

        def step(state, real):
            generator, discriminator, of_generator, of_discriminator, key = state
            key, first, second = jax.random.split(key, 3)
            made = make(generator, jax.random.normal(first, (batch, *workload.noise)))
            discriminator, of_discriminator, a = updated(
                discriminator_loss, discriminator, of_discriminator, made, real
            )
            z = jax.random.normal(second, (batch, *workload.noise))
            generator, of_generator, b = updated(generator_loss, generator, of_generator, discriminator, z)
            return (generator, discriminator, of_generator, of_discriminator, key), (a, b)

        self.epoch = jax.jit(
            lambda state, X, order: lax.scan(lambda s, rows: step(s, X[rows]), state, order), donate_argnums=0
        )
        self.one_step = jax.jit(lambda state, X, rows: step(state, X[rows]), donate_argnums=0)
        self.scans = True
        self.reset(workload.weights())
        self.scans = min((True, False), key=self._seconds)

    def _seconds(self, scans):
        self.scans = scans
        self.train(1)
        start = time.perf_counter()
        self.train(3)
        return time.perf_counter() - start

    def reset(self, weights):
        generator, discriminator = ([jnp.array(w) for w in ws] for ws in weights)
        moments = self.optimizer.init(generator), self.optimizer.init(discriminator)
        self.state = generator, discriminator, *moments, jax.random.key(0)

    def train(self, n_epochs):
        for _ in range(n_epochs):
            order = self.rng.permutation(len(self.X)).astype(np.int32).reshape(-1, self.workload.batch)
            if self.scans:
                self.state, losses = self.epoch(self.state, self.X, order)
                continue
            for rows in order:
                self.state, losses = self.one_step(self.state, self.X, rows)
        return [float(jnp.ravel(loss)[-1]) for loss in losses]


def build(workload, data, threads):
    return Model(workload, data, threads)
