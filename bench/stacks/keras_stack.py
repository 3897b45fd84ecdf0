"""Keras 3 on TensorFlow by its own training methods, XLA-compiled: the fastest of fit and train_on_batch.

``fit`` gets a tf.data pipeline and runs a whole epoch in one graph call (steps_per_execution); ``train_on_batch`` is
faster where an epoch is too short to carry what fit does around it. Graphs without XLA are tried too.
"""

import keras
import numpy as np
import tensorflow as tf

from bench.peers import batches
from bench.peers.keras_peer import _limit
from bench.stacks.layers import Conv, Dense, Embed, Flatten, MaxPool, Mean, Recurrent, walk
from bench.stacks.suite import Fastest


def _layers(stack):
    kinds = keras.layers
    for layer, before in walk(stack.layers, stack.shape):
        rank = len(before) - 1
        if isinstance(layer, Dense):
            yield kinds.Dense(layer.units, activation=layer.activation)
        elif isinstance(layer, Conv):
            options = {"padding": layer.padding, "groups": layer.groups, "activation": layer.activation}
            if layer.groups == before[-1] == layer.filters and rank == 2:  # grouped Conv2D has no gradient on CPUs
                del options["groups"]
                yield kinds.DepthwiseConv2D(layer.size, layer.strides, **options)
            else:
                yield (kinds.Conv2D if rank == 2 else kinds.Conv1D)(layer.filters, layer.size, layer.strides, **options)
        elif isinstance(layer, MaxPool):
            yield (kinds.MaxPooling2D if rank == 2 else kinds.MaxPooling1D)(layer.size)
        elif isinstance(layer, Mean):
            yield (kinds.GlobalAveragePooling2D if rank == 2 else kinds.GlobalAveragePooling1D)()
        elif isinstance(layer, Flatten):
            yield kinds.Flatten()
        elif isinstance(layer, Embed):
            yield kinds.Embedding(layer.rows, layer.units)
        elif isinstance(layer, Recurrent):
            yield getattr(kinds, layer.cell)(layer.units)


class Model:
    def __init__(self, stack, data, jit, fits):
        self.stack, self.fits = stack, fits
        self.X, self.y = data
        self.model = keras.Sequential([keras.Input(stack.shape, dtype=self.X.dtype.name), *_layers(stack)])
        classes = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(
            optimizer=keras.optimizers.Adam(1e-3, epsilon=1e-8),
            loss=keras.losses.MeanSquaredError() if stack.loss == "mse" else classes,
            jit_compile=jit,
            steps_per_execution=stack.steps_per_epoch if fits else 1,
        )
        self.rng = np.random.default_rng(0)
        if fits:
            dataset = tf.data.Dataset.from_tensor_slices(data).cache().shuffle(len(self.y)).batch(stack.batch)
            self.dataset = dataset.prefetch(tf.data.AUTOTUNE)
        self.compiled_predict = tf.function(self._outputs, jit_compile=jit)

    def _outputs(self, x):
        z = self.model(x, training=False)
        return z if self.stack.loss == "mse" else tf.nn.softmax(z)

    def reset(self, weights):
        own = self.model.get_weights()
        self.model.set_weights([w.reshape(o.shape) for w, o in zip(weights, own, strict=True)])
        if self.model.optimizer.built:
            for variable in self.model.optimizer.variables:
                if variable is not self.model.optimizer._learning_rate:
                    variable.assign(keras.ops.zeros_like(variable))

    def train(self, n_epochs):
        if self.fits:
            return self.model.fit(self.dataset, epochs=n_epochs, shuffle=False, verbose=0).history["loss"][-1]
        loss = 0.0
        for _ in range(n_epochs):
            total = 0.0
            for rows in batches(self.rng.permutation(len(self.y)), self.stack.batch):
                self.model.reset_metrics()  # or the answer is a running mean
                total += len(rows) * float(self.model.train_on_batch(self.X[rows], self.y[rows]))
            loss = total / len(self.y)
        return loss

    def predict(self, X):
        return self.compiled_predict(X).numpy()


def build(stack, data, threads):
    _limit(threads)
    if stack.kind == "stack-predict":
        return Fastest(stack, {"graph": Model(stack, data, False, False), "XLA": Model(stack, data, True, False)})
    ways = {
        f"{'fit on tf.data' if fits else 'train_on_batch'}{', XLA' * jit}": Model(stack, data, jit, fits)
        for fits in (True, False)
        for jit in (True, False)
    }
    return Fastest(stack, ways)
