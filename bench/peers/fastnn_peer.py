"""fastnn through its public interface: Network, Trainer.fit, predict, loss_and_gradient.

``fit`` is called once for all epochs of a sample, as a program would; its checks of X and y are in the time.
"""

import fastnn
from bench.peers import Unsupported

OPTIMIZERS = {
    "sgd": ("SGD", {"learning_rate": 0.01}),
    "momentum": ("SGD", {"learning_rate": 0.01, "momentum": 0.9}),
    "nesterov": ("SGD", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
    "adam": ("Adam", {"learning_rate": 1e-3}),
    "amsgrad": ("Adam", {"learning_rate": 1e-3, "amsgrad": True}),
    "adamw": ("AdamW", {"learning_rate": 1e-3, "weight_decay": 0.01}),
    "rmsprop": ("RMSprop", {"learning_rate": 1e-3}),
    "adagrad": ("Adagrad", {"learning_rate": 1e-2}),
    "adadelta": ("Adadelta", {"learning_rate": 1.0}),
    "nadam": ("Nadam", {"learning_rate": 1e-3}),
    "adamax": ("Adamax", {"learning_rate": 1e-3}),
    "lion": ("Lion", {"learning_rate": 1e-4, "beta_1": 0.9, "beta_2": 0.99}),
}


# What switches a feature of the toolbox on: arguments of Dense, of the optimizer and of the Trainer.
_LONG = 1_000_000  # steps of a schedule
FEATURES = {
    "cosine schedule": ({}, {"learning_rate": fastnn.schedules.CosineDecay(1e-3, _LONG)}, {}),
    "one-cycle schedule": ({}, {"learning_rate": fastnn.schedules.OneCycle(1e-3, _LONG)}, {}),
    "L2 penalty": ({"kernel_regularizer": fastnn.L2(1e-4)}, {}, {}),
    "L1 and L2 penalty": ({"kernel_regularizer": fastnn.L1L2(1e-5, 1e-4), "bias_regularizer": 1e-4}, {}, {}),
    "max-norm": ({"kernel_constraint": fastnn.MaxNorm(2.0)}, {}, {}),
    "clipvalue": ({}, {"clipvalue": 0.1}, {}),
    "clipnorm": ({}, {"clipnorm": 0.1}, {}),
    "global_clipnorm": ({}, {"global_clipnorm": 0.1}, {}),
    "averaged weights": ({}, {"use_ema": True}, {}),
    "label smoothing": ({}, {}, {"loss": fastnn.losses.CategoricalCrossentropy(label_smoothing=0.1)}),
    "mixup": ({}, {}, {"mixup": 0.2}),
    None: ({}, {}, {}),
}


def _optimizer(workload):
    name = workload.optimizer
    cls, parameters = OPTIMIZERS[name]
    parameters = {**parameters, **FEATURES[workload.feature][1]}
    if not hasattr(fastnn.optimizers, cls):
        raise Unsupported(f"fastnn has no optimizer {cls} yet")
    try:
        return getattr(fastnn.optimizers, cls)(**parameters)
    except TypeError as missing:  # an option that is still to come
        raise Unsupported(f"fastnn: {missing}") from None


def _layers(workload):
    """Input, then Dense and the workload's extra layer for every hidden layer, then the output layer."""
    if workload.layer and not hasattr(fastnn, workload.layer):
        raise Unsupported(f"fastnn has no layer {workload.layer} yet")
    options = FEATURES[workload.feature][0]
    layers = [fastnn.Input(workload.sizes[0])]
    for units in workload.sizes[1:-1]:
        layers.append(fastnn.Dense(units, activation=workload.hidden, **options))
        if workload.layer:
            cls = getattr(fastnn, workload.layer)
            layers.append(cls(0.2) if workload.layer in ("Dropout", "GaussianNoise") else cls())
    output = "linear" if workload.loss == "mse" else "softmax"
    layers.append(fastnn.Dense(workload.sizes[-1], activation=output, **options))
    return layers


class Model:
    def __init__(self, workload, data, threads):
        self.X, self.y = data
        self.workload, self.threads = workload, threads
        self.network = fastnn.Network(_layers(workload), dtype=workload.dtype, seed=0)
        # As L-BFGS would have it: the data are checked once, not at each call.
        self.objective = fastnn.Objective(self.network, self.X, self.y, loss=workload.loss)
        self._new_trainer()

    def _new_trainer(self):
        options = {"loss": self.workload.loss, **FEATURES[self.workload.feature][2]}
        self.trainer = fastnn.Trainer(self.network, optimizer=_optimizer(self.workload), **options)

    def reset(self, weights):
        if not self.workload.layer:  # normalisation layers have weights of their own
            self.network.set_weights(weights)
        self._new_trainer()

    def train(self, n_epochs):
        history = self.trainer.fit(
            self.X,
            self.y,
            epochs=n_epochs,
            batch_size=self.workload.batch,
            shuffle=self.workload.batch is not None,
            n_threads=self.threads,
            seed=0,
        )
        return history.history["loss"][-1]

    def gradient(self):
        return self.objective()[0]

    def predict(self, X):
        return self.network.predict(X)


def build(workload, data, threads):
    return Model(workload, data, threads)
