"""JAX: a whole epoch in one jitted lax.scan, Optax's optimizers, donated state.

Measured here on 64-64-10 at 32: gathering each batch inside the scan 17.1 us a step, gathering the epoch beforehand
18.6; with ``optax.flatten`` (one vector of moments, fewer and larger fusions) 15.7, so that is used; unrolling the scan
and XLA's 512-bit vectors changed nothing. The permutation comes from NumPy: XLA's CPU sort is slower. Where the batch
is the whole data set, all epochs asked for run in one call, or a call's dispatch would be charged to every step.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.peers import lookup

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "softplus": jax.nn.softplus,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "softmax": jax.nn.softmax,
}
OPTIMIZERS = {
    "sgd": lambda: optax.sgd(0.01),
    "momentum": lambda: optax.sgd(0.01, momentum=0.9),
    "nesterov": lambda: optax.sgd(0.01, momentum=0.9, nesterov=True),
    "adam": lambda: optax.adam(1e-3),
    "amsgrad": lambda: optax.amsgrad(1e-3),
    "adamw": lambda: optax.adamw(1e-3, weight_decay=0.01),
    "rmsprop": lambda: optax.rmsprop(1e-3),
    "adagrad": lambda: optax.adagrad(1e-2),
    "adadelta": lambda: optax.adadelta(1.0),
    "nadam": lambda: optax.nadam(1e-3),
    "adamax": lambda: optax.adamax(1e-3),
    "lion": lambda: optax.lion(1e-4),
}


class Model:
    def __init__(self, workload, data, threads):
        jax.config.update("jax_enable_x64", workload.dtype == "float64")
        activation = lookup(ACTIVATIONS, workload.hidden, "activation", "JAX")
        self.optimizer = optax.flatten(lookup(OPTIMIZERS, workload.optimizer, "optimizer", "Optax")())
        self.X, self.y = jnp.asarray(data[0]), jnp.asarray(data[1])
        self.batch, self.n_rows = workload.batch, workload.n_rows
        self.rng = np.random.default_rng(0)
        softmax = workload.loss != "mse"

        def forward(parameters, x):
            for W, b in parameters[:-1]:
                x = activation(x @ W + b)
            W, b = parameters[-1]
            return x @ W + b

        def loss(parameters, x, y):
            z = forward(parameters, x)
            if softmax:
                return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
            return jnp.square(z - y).mean()

        def step(state, x, y):
            parameters, moments = state
            value, gradient = jax.value_and_grad(loss)(parameters, x, y)
            updates, moments = self.optimizer.update(gradient, moments, parameters)
            return (optax.apply_updates(parameters, updates), moments), value

        @partial(jax.jit, donate_argnums=0)
        def epoch(state, X, y, order):
            state, losses = jax.lax.scan(lambda s, rows: step(s, X[rows], y[rows]), state, order)
            return state, losses.mean()

        @partial(jax.jit, donate_argnums=0)
        def full_batch(state, X, y, n_steps):
            zero = jnp.zeros((), X.dtype)
            return jax.lax.fori_loop(0, n_steps, lambda _, carry: step(carry[0], X, y), (state, zero))

        self.epoch, self.full_batch, self.one_step = epoch, full_batch, jax.jit(step)
        self.loss_and_gradient = jax.jit(jax.value_and_grad(loss))
        self.compiled_predict = jax.jit(lambda p, x: jax.nn.softmax(forward(p, x)) if softmax else forward(p, x))

    def reset(self, weights):
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in zip(weights[0::2], weights[1::2], strict=True)]
        self.state = parameters, self.optimizer.init(parameters)

    def train(self, n_epochs):
        if self.batch is None:
            self.state, loss = self.full_batch(self.state, self.X, self.y, n_epochs)
            return float(loss)
        whole = self.n_rows - self.n_rows % self.batch
        loss = float("nan")
        for _ in range(n_epochs):
            order = self.rng.permutation(self.n_rows).astype(np.int32)
            self.state, loss = self.epoch(self.state, self.X, self.y, order[:whole].reshape(-1, self.batch))
            if whole < self.n_rows:
                rest = order[whole:]
                self.state, _ = self.one_step(self.state, self.X[rest], self.y[rest])
        return float(loss)

    def gradient(self):
        loss, gradient = self.loss_and_gradient(self.state[0], self.X, self.y)
        jax.block_until_ready(gradient)
        return loss

    def predict(self, X):
        return np.asarray(self.compiled_predict(self.state[0], X))


def build(workload, data, threads):
    return Model(workload, data, threads)
