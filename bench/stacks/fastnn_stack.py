"""fastnn through its public interface; a layer that it does not have yet is named, and the workload skipped."""

import fastnn
from bench.peers import Unsupported
from bench.stacks.layers import (
    Conv,
    ConvTranspose,
    Dense,
    Embed,
    Flatten,
    MaxPool,
    Mean,
    Recurrent,
    Reshape,
    walk,
)  # fmt: skip


def _make(name, *arguments, **options):
    if not hasattr(fastnn, name):
        raise Unsupported(f"fastnn has no {name} yet")
    return getattr(fastnn, name)(*arguments, **options)


def _activation(name):
    return fastnn.activations.LeakyReLU(0.2) if name == "leaky_relu" else name


def layers(described, shape, output="linear"):
    """fastnn's layers, the input first; ``output`` is the activation of the last."""
    made = [fastnn.Input(shape[0]) if len(shape) == 1 and not isinstance(described[0], Embed) else _input(shape)]
    for k, (layer, before) in enumerate(walk(described, shape)):
        rank = len(before) - 1
        activation = output if k == len(described) - 1 else getattr(layer, "activation", "linear")
        activation = _activation(activation)
        if isinstance(layer, Dense):
            made.append(fastnn.Dense(layer.units, activation=activation))
        elif isinstance(layer, Conv):
            options = {"strides": layer.strides, "padding": layer.padding, "groups": layer.groups}
            made.append(_make(f"Conv{rank}D", layer.filters, layer.size, activation=activation, **options))
        elif isinstance(layer, ConvTranspose):
            options = {"strides": layer.strides, "padding": "same", "activation": activation}
            made.append(_make("Conv2DTranspose", layer.filters, layer.size, **options))
        elif isinstance(layer, MaxPool):
            made.append(_make(f"MaxPooling{rank}D", layer.size))
        elif isinstance(layer, Mean):
            made.append(_make(f"GlobalAveragePooling{rank}D"))
        elif isinstance(layer, Flatten):
            made.append(_make("Flatten"))
        elif isinstance(layer, Reshape):
            made.append(_make("Reshape", layer.shape))
        elif isinstance(layer, Embed):
            made.append(_make("Embedding", layer.rows, layer.units))
        elif isinstance(layer, Recurrent):
            made.append(_make(layer.cell, layer.units))
    return made


def _input(shape):
    try:
        return fastnn.Input(shape)
    except (TypeError, ValueError):
        raise Unsupported("fastnn's Input takes no shape yet") from None


class Model:
    def __init__(self, stack, data, threads):
        self.X, self.y = data
        self.stack, self.threads = stack, threads
        self.loss = "mse" if stack.loss == "mse" else "categorical_crossentropy"
        output = "linear" if stack.loss == "mse" else "softmax"
        self.network = fastnn.Network(layers(stack.layers, stack.shape, output), seed=0)

    def reset(self, weights):
        self.network.set_weights(weights)
        self.trainer = fastnn.Trainer(self.network, optimizer=fastnn.optimizers.Adam(1e-3), loss=self.loss)

    def train(self, n_epochs):
        options = {"epochs": n_epochs, "batch_size": self.stack.batch, "n_threads": self.threads, "seed": 0}
        return self.trainer.fit(self.X, self.y, **options).history["loss"][-1]

    def predict(self, X):
        return self.network.predict(X)


class Gan:
    def __init__(self, workload, data, threads):
        self.X, self.workload, self.threads = data, workload, threads
        if not hasattr(fastnn, "GAN"):
            raise Unsupported("fastnn has no GAN yet")
        self.generator = fastnn.Network(layers(workload.generator, workload.noise, workload.output), seed=0)
        self.discriminator = fastnn.Network(layers(workload.discriminator, workload.sample, "sigmoid"), seed=1)

    def reset(self, weights):
        self.generator.set_weights(weights[0])
        self.discriminator.set_weights(weights[1])
        adam = [fastnn.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
        self.gan = fastnn.GAN(
            self.generator, self.discriminator, loss="non_saturating", generator_optimizer=adam[0],
            discriminator_optimizer=adam[1],
        )  # fmt: skip

    def train(self, n_epochs):
        options = {"epochs": n_epochs, "batch_size": self.workload.batch, "n_threads": self.threads, "seed": 0}
        self.gan.fit(self.X, verbose=0, **options)


def build(stack, data, threads):
    return Model(stack, data, threads)


def build_one(stack, data, threads):
    return Model(stack, data, 1)


def build_gan(workload, data, threads):
    return Gan(workload, data, threads)
