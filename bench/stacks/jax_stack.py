"""JAX: convolutions by lax.conv_general_dilated (NHWC), recurrence by lax.scan over time, Adam of Optax.

Two ways, of which the faster counts: a whole epoch in one jitted lax.scan, or one jitted step called for each batch.
Convolutions are slow inside a loop of XLA's CPU backend (digits CNN: 5.0 ms a step against 1.0). The product of all
steps' inputs is taken once, before the scan over time, and Adam's moments are one vector (optax.flatten).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from bench.stacks.layers import Conv, ConvTranspose, Dense, Embed, Flatten, MaxPool, Mean, Reshape, walk
from bench.stacks.suite import Fastest

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=0.2),
}
NUMBERS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


def forward(layers, shape, weights, x):
    """The outputs before softmax."""
    left = iter(weights)
    for layer, before in walk(layers, shape):
        rank = len(before) - 1
        if isinstance(layer, Dense):
            x = ACTIVATIONS[layer.activation](x @ next(left) + next(left))
        elif isinstance(layer, Conv):
            kernel, bias, steps = next(left), next(left), (layer.strides,) * rank
            x = lax.conv_general_dilated(
                x, kernel, steps, layer.padding.upper(), dimension_numbers=NUMBERS[rank],
                feature_group_count=layer.groups,
            )  # fmt: skip
            x = ACTIVATIONS[layer.activation](x + bias)
        elif isinstance(layer, ConvTranspose):
            kernel, bias, steps = next(left), next(left), (layer.strides,) * 2
            x = lax.conv_transpose(x, kernel, steps, "SAME", dimension_numbers=NUMBERS[2], transpose_kernel=True)
            x = ACTIVATIONS[layer.activation](x + bias)
        elif isinstance(layer, MaxPool):
            window = (1, *(layer.size,) * rank, 1)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        elif isinstance(layer, Mean):
            x = x.mean(axis=tuple(range(1, x.ndim - 1)))
        elif isinstance(layer, Flatten):
            x = x.reshape(len(x), -1)
        elif isinstance(layer, Reshape):
            x = x.reshape(len(x), *layer.shape)
        elif isinstance(layer, Embed):
            x = next(left)[x]
        else:
            x = _recurrent(layer, x, next(left), next(left), next(left))
    return x


def _recurrent(layer, x, kernel, recurrent, bias):
    inputs = jnp.swapaxes(x, 0, 1) @ kernel + (bias[0] if layer.cell == "GRU" else bias)
    zero = jnp.zeros((len(x), layer.units), x.dtype)

    def simple(h, z):
        return jnp.tanh(z + h @ recurrent), None

    def lstm(state, z):
        h, c = state
        i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    def gru(h, zs):
        z, r, n = jnp.split(zs, 3, axis=1)
        hz, hr, hn = jnp.split(h @ recurrent + bias[1], 3, axis=1)
        update = jax.nn.sigmoid(z + hz)
        return update * h + (1 - update) * jnp.tanh(n + jax.nn.sigmoid(r + hr) * hn), None

    if layer.cell == "LSTM":
        return lax.scan(lstm, (zero, zero), inputs)[0][0]
    return lax.scan(gru if layer.cell == "GRU" else simple, zero, inputs)[0]


class Model:
    def __init__(self, stack, data, scans):
        self.stack, self.scans = stack, scans
        self.X, self.y = jnp.asarray(data[0]), jnp.asarray(data[1])
        self.optimizer = optax.flatten(optax.adam(1e-3))
        self.rng = np.random.default_rng(0)
        outputs = partial(forward, stack.layers, stack.shape)

        def loss(weights, x, y):
            z = outputs(weights, x)
            if stack.loss == "mse":
                return jnp.square(z - y).mean()
            return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

        def step(state, x, y):
            weights, moments = state
            value, gradient = jax.value_and_grad(loss)(weights, x, y)
            updates, moments = self.optimizer.update(gradient, moments, weights)
            return (optax.apply_updates(weights, updates), moments), value

        @partial(jax.jit, donate_argnums=0)
        def epoch(state, X, y, order):
            state, losses = lax.scan(lambda s, rows: step(s, X[rows], y[rows]), state, order)
            return state, losses.mean()

        @partial(jax.jit, donate_argnums=0)
        def one_step(state, X, y, rows):
            return step(state, X[rows], y[rows])

        self.epoch, self.one_step = epoch, one_step
        self.compiled_predict = jax.jit(
            lambda weights, x: outputs(weights, x) if stack.loss == "mse" else jax.nn.softmax(outputs(weights, x))
        )

    def reset(self, weights):
        weights = [jnp.array(w) for w in weights]
        self.state = weights, self.optimizer.init(weights)

    def train(self, n_epochs):
        loss = float("nan")
        for _ in range(n_epochs):
            order = self.rng.permutation(len(self.y)).astype(np.int32).reshape(-1, self.stack.batch)
            if self.scans:
                self.state, loss = self.epoch(self.state, self.X, self.y, order)
                continue
            losses = []
            for rows in order:
                self.state, loss = self.one_step(self.state, self.X, self.y, rows)
                losses.append(loss)
            loss = jnp.stack(losses).mean()
        return float(loss)

    def predict(self, X):
        return np.asarray(self.compiled_predict(self.state[0], X))


def build(stack, data, threads):
    if stack.kind == "stack-predict":
        return Model(stack, data, scans=False)
    return Fastest(stack, {"scan": Model(stack, data, True), "steps": Model(stack, data, False)})
