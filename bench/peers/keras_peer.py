"""Keras 3 on TensorFlow, three ways, because they differ a hundredfold and each is somebody's "Keras".

keras-fit    ``model.fit(X, y, batch_size=...)``, as tutorials and most programs have it.
keras        the fastest that Keras's own training methods offer, found anew for each workload: ``fit`` on a tf.data
             pipeline with jit_compile and steps_per_execution (a whole epoch in one graph call), or, where an epoch is
             too short to carry fit's 15 to 40 ms of work per epoch, ``train_on_batch`` with jit_compile.
tensorflow   a training loop written by hand: Keras's layers, loss and optimizer in one XLA-compiled tf.function that
             runs an epoch. It is no longer Keras's training API, but it's what an expert can get out of TensorFlow.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from bench.peers import Unsupported, batches, lookup

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1e-3, epsilon=1e-8),
}


def _limit(threads):
    """TensorFlow accepts this only before its first operation; later calls must ask for the same."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)


class Model:
    jit = True

    def __init__(self, workload, data, threads):
        _limit(threads)
        if workload.dtype != "float32" or workload.layer:
            raise Unsupported("float32 and plain layers only here")
        self.X, self.y = data
        self.workload, self.batch = workload, workload.step_rows
        self.make_optimizer = lookup(OPTIMIZERS, workload.optimizer, "optimizer", "keras_peer.py")
        self.softmax = workload.loss != "mse"
        self.model = keras.Sequential(
            [keras.Input((workload.sizes[0],))]
            + [keras.layers.Dense(units, activation=workload.hidden) for units in workload.sizes[1:-1]]
            + [keras.layers.Dense(workload.sizes[-1])]
        )
        losses = keras.losses
        self.loss = losses.SparseCategoricalCrossentropy(True) if self.softmax else losses.MeanSquaredError()
        self.rng = np.random.default_rng(0)
        self.steps_per_execution = 1
        self.compiled_predict = tf.function(self._outputs, jit_compile=True)
        self._compile()

    def _compile(self):
        self.model.compile(
            optimizer=self.make_optimizer(),
            loss=self.loss,
            jit_compile=self.jit,
            steps_per_execution=self.steps_per_execution,
        )

    def reset(self, weights):
        self.model.set_weights(weights)
        if self.model.optimizer.built:
            for variable in self.model.optimizer.variables:
                if variable is not self.model.optimizer._learning_rate:
                    variable.assign(keras.ops.zeros_like(variable))

    def _outputs(self, x):
        z = self.model(x, training=False)
        return tf.nn.softmax(z) if self.softmax else z

    def predict(self, X):
        return self.compiled_predict(X).numpy()


class Fit(Model):
    jit = "auto"

    def train(self, n_epochs):
        shuffle = self.workload.batch is not None
        history = self.model.fit(self.X, self.y, batch_size=self.batch, epochs=n_epochs, shuffle=shuffle, verbose=0)
        return history.history["loss"][-1]


class Tuned(Model):
    def __init__(self, workload, data, threads):
        super().__init__(workload, data, threads)
        candidates = {"train_on_batch": self._train_on_batch, "fit on tf.data": self._fit_dataset}
        times = {}
        for name, train in candidates.items():
            if name == "fit on tf.data":
                self._prepare_dataset()
            train(1)
            start = time.perf_counter()
            train(3)
            times[name] = time.perf_counter() - start
        fastest = min(times, key=times.get)
        self.extra = {"method": fastest}
        self.train = candidates[fastest]
        if fastest == "train_on_batch":
            self.steps_per_execution = 1
            self._compile()

    def _prepare_dataset(self):
        dataset = tf.data.Dataset.from_tensor_slices((self.X, self.y)).cache()
        if self.workload.batch is None:
            dataset = dataset.batch(self.batch).cache()
        else:
            dataset = dataset.shuffle(self.workload.n_rows).batch(self.batch)
        self.dataset = dataset.prefetch(tf.data.AUTOTUNE)
        self.steps_per_execution = self.workload.steps_per_epoch
        self._compile()

    def _fit_dataset(self, n_epochs):
        return self.model.fit(self.dataset, epochs=n_epochs, shuffle=False, verbose=0).history["loss"][-1]

    def _train_on_batch(self, n_epochs):
        loss = 0.0
        for _ in range(n_epochs):
            if self.workload.batch is None:
                loss = self.model.train_on_batch(self.X, self.y)
                continue
            total = 0.0
            for rows in batches(self.rng.permutation(len(self.X)), self.batch):
                total += len(rows) * self.model.train_on_batch(self.X[rows], self.y[rows])
            loss = total / len(self.X)
        return float(loss)


class Loop(Model):
    def __init__(self, workload, data, threads):
        super().__init__(workload, data, threads)
        self.X, self.y = tf.constant(self.X), tf.constant(self.y)
        self.model.optimizer.build(self.model.trainable_variables)
        self.epoch = tf.function(self._epoch, jit_compile=True)
        self.one_step = tf.function(self._step, jit_compile=True)
        self.full_batch = tf.function(self._full_batch, jit_compile=True)

    def _step(self, x, y):
        with tf.GradientTape() as tape:
            loss = self.loss(y, self.model(x, training=True))
        variables = self.model.trainable_variables
        self.model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def _epoch(self, order):
        total = tf.constant(0.0)
        for k in tf.range(tf.shape(order)[0]):
            total += self._step(tf.gather(self.X, order[k]), tf.gather(self.y, order[k]))
        return total / tf.cast(tf.shape(order)[0], tf.float32)

    def _full_batch(self, n_steps):
        loss = tf.constant(0.0)
        for _ in tf.range(n_steps):
            loss = self._step(self.X, self.y)
        return loss

    def train(self, n_epochs):
        if self.workload.batch is None:
            return float(self.full_batch(tf.constant(n_epochs)))
        whole = len(self.X) - len(self.X) % self.batch
        loss = float("nan")
        for _ in range(n_epochs):
            order = self.rng.permutation(len(self.X)).astype(np.int32)
            loss = self.epoch(order[:whole].reshape(-1, self.batch))
            if whole < len(order):
                self.one_step(tf.gather(self.X, order[whole:]), tf.gather(self.y, order[whole:]))
        return float(loss)


def build_fit(workload, data, threads):
    return Fit(workload, data, threads)


def build_tuned(workload, data, threads):
    return (Tuned if workload.kind != "predict" else Model)(workload, data, threads)


def build_loop(workload, data, threads):
    return Loop(workload, data, threads)
