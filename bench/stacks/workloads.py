"""What is measured beyond dense layers: the networks of issues 16 and 17, and the data each is given."""

import zlib
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.stacks.layers import (
    Conv,
    Dense,
    Embed,
    Flatten,
    Layer,
    MaxPool,
    Mean,
    Recurrent,
    Shape,
    forward_flops,
    output_shape,
)  # fmt: skip
from bench.workloads import Workload

PEERS = ("fastnn", "sgemm", "torch", "torch-compile", "jax", "keras")


@dataclass(frozen=True)
class Stack(Workload):
    """A network of any layers, trained with Adam on classes (softmax outputs) or numbers (mse)."""

    shape: Shape = ()  # of one sample
    layers: tuple[Layer, ...] = ()  # the last one without its activation
    threads: int = 1  # that `subjects` gives it
    peers: tuple[str, ...] = PEERS

    @property
    def n_outputs(self) -> int:
        return output_shape(self.layers, self.shape)[0]

    @property
    def step_flops(self) -> int:
        """Of a training step: forward, and twice as much backward (the first layer's input gradient counted too)."""
        return 3 * self.step_rows * forward_flops(self.layers, self.shape)

    @property
    def call_flops(self) -> int:
        """Of what is timed."""
        return self.n_rows * forward_flops(self.layers, self.shape) if self.kind == "stack-predict" else self.step_flops


LENET = (
    Conv(6, 5, activation="relu"), MaxPool(), Conv(16, 5, activation="relu"), MaxPool(), Flatten(),
    Dense(120, "relu"), Dense(84, "relu"), Dense(10),
)  # fmt: skip
MNIST_CNN = (
    Conv(32, 3, activation="relu"), MaxPool(), Conv(64, 3, activation="relu"), MaxPool(), Flatten(), Dense(10),
)  # fmt: skip
DIGITS_CNN = (
    Conv(16, 3, padding="same", activation="relu"), MaxPool(), Conv(32, 3, padding="same", activation="relu"),
    MaxPool(), Flatten(), Dense(10),
)  # fmt: skip
SIGNALS = (
    Conv(64, 3, activation="relu"), Conv(64, 3, activation="relu"), MaxPool(), Flatten(), Dense(100, "relu"), Dense(6),
)  # fmt: skip
SEPARABLE = (
    Conv(32, 3, padding="same", groups=32, activation="relu"), Conv(64, 1, activation="relu"), Mean(), Dense(10),
)  # fmt: skip


def _train(name, batch, shape, layers, section, n_rows=None, **kw):
    return Stack(
        f"{name}/{batch}",
        "stack-train",
        (),
        batch,
        n_rows or 8 * batch,
        section=section,
        shape=shape,
        layers=layers,
        **kw,
    )


def _recurrent(cell, units, shape, batch, n_outputs=10, **kw):
    name = f"{cell} {units} on {shape[0]} x {shape[1]}"
    return _train(name, batch, shape, (Recurrent(cell, units), Dense(n_outputs)), "recurrent", **kw)


CONVOLUTION = [
    _train("LeNet-5", 32, (28, 28, 1), LENET, "convolution"),
    _train("LeNet-5", 128, (28, 28, 1), LENET, "convolution"),
    _train("digits CNN", 32, (8, 8, 1), DIGITS_CNN, "convolution", 512),
    _train("Keras's MNIST CNN", 128, (28, 28, 1), MNIST_CNN, "convolution", 256),
    _train("Conv1D 128 x 9", 32, (128, 9), SIGNALS, "convolution"),
    _train("depthwise 3 x 3, then 1 x 1", 64, (14, 14, 32), SEPARABLE, "convolution"),
    *(
        Stack(f"predict LeNet-5, {rows}", "stack-predict", (), None, n, section="convolution", shape=(28, 28, 1),
              layers=LENET)
        for n, rows in ((1, "1 row"), (10_000, "10000 rows"))
    ),
]  # fmt: skip

RECURRENT = [
    _recurrent("LSTM", 64, (28, 28), 32),
    _recurrent("LSTM", 64, (28, 28), 128, n_rows=512),
    _recurrent("LSTM", 32, (50, 1), 32, n_outputs=1, loss="mse"),
    _recurrent("GRU", 64, (128, 9), 64, n_outputs=6, n_rows=256),
    _recurrent("SimpleRNN", 64, (28, 28), 32),
    _recurrent("LSTM", 128, (100, 32), 64, n_rows=128),
    _train("Embedding 10000 x 32, mean over 100", 64, (100,), (Embed(10_000, 32), Mean(), Dense(2)), "recurrent"),
    _recurrent("LSTM", 64, (28, 28), 1, n_rows=64),
    _recurrent("LSTM", 64, (28, 28), 8, n_rows=128),
]

COLD = [
    Stack(f"first fit, empty cache, {name}", "stack-first-fit-empty", (), 32, 64, section="cold", shape=(28, 28, *last),
          layers=layers, peers=("fastnn",))
    for name, last, layers in (
        ("LeNet-5", (1,), LENET), ("LSTM 64", (), (Recurrent("LSTM", 64), Dense(10))),
    )
]  # fmt: skip

# A batch is cut by panels of 32 rows, so one of 32 stays with one thread.
THREADED = [
    replace(stack, name=f"{stack.name} on two threads", section="threads", threads=2, peers=("fastnn", "fastnn-one"))
    for stack in (CONVOLUTION[1], RECURRENT[1])
]

STACKS = [*CONVOLUTION, *RECURRENT, *COLD]


@cache
def make_data(stack: Stack, n_rows: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """X (n_rows, *shape), float32 or, for an embedding, int32, and y: int64 classes, or float32 numbers for mse."""
    rng = np.random.default_rng(zlib.crc32(stack.name.encode()))
    n = n_rows or stack.n_rows
    if isinstance(stack.layers[0], Embed):
        X = rng.integers(stack.layers[0].rows, size=(n, *stack.shape)).astype(np.int32)
        return X, rng.integers(stack.n_outputs, size=n)
    X = rng.standard_normal((n, *stack.shape), dtype=np.float32)
    if stack.loss == "mse":
        return X, X.mean(axis=1)[:, : stack.n_outputs]
    # A random linear teacher, and one answer in five at random: there is something to learn, but not by heart.
    teacher = rng.standard_normal((X[0].size, stack.n_outputs), dtype=np.float32)
    y = np.argmax(X.reshape(n, -1) @ teacher, axis=1)
    random = rng.random(n) < 0.2
    y[random] = rng.integers(stack.n_outputs, size=int(random.sum()))
    return X, y
