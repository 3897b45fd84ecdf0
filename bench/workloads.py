"""What is measured: one table of workloads, and the data each of them is given.

Every peer gets the same arrays, starts from the same weights, shuffles every epoch (unless the batch is the whole data
set, where order means nothing) and reports the mean training loss of its last epoch, as a fit does.
"""

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np

EVERY_TRAINER = (
    "fastnn", "gemm", "numpy", "sklearn", "torch", "torch-compile", "jax", "keras", "keras-fit", "tensorflow",
)  # fmt: skip
QUICK_TRAINERS = ("fastnn", "gemm", "numpy", "sklearn", "torch", "jax")  # those that build in about a second
VARIANT_TRAINERS = ("fastnn", "gemm", "torch", "jax")  # those that have nearly every activation and optimizer
PREDICTORS = ("fastnn", "numpy", "sklearn", "torch", "torch-compile", "jax", "keras", "onnxruntime")

ACTIVATIONS = (
    "linear", "relu", "leaky_relu", "tanh", "sigmoid", "elu", "selu", "softplus", "gelu", "silu", "mish", "softmax",
)  # fmt: skip
OPTIMIZERS = (
    "sgd", "momentum", "nesterov", "adam", "amsgrad", "adamw", "rmsprop", "adagrad", "adadelta", "nadam", "adamax",
    "lion",
)  # fmt: skip
CALLBACKS = (
    "EarlyStopping", "ReduceLROnPlateau", "LearningRateScheduler", "CSVLogger", "TerminateOnNaN", "TimeLimit",
    "LambdaCallback",
)  # fmt: skip
FEATURES = (
    "cosine schedule", "one-cycle schedule", "L2 penalty", "L1 and L2 penalty", "max-norm", "clipvalue", "clipnorm",
    "global_clipnorm", "averaged weights", "label smoothing", "mixup",
)  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One thing to measure, in all its peers, in one alternating run."""

    name: str
    kind: str  # a key of suites.SUITES: what is timed, and per what
    sizes: tuple[int, ...] = (64, 64, 10)  # units of every layer, inputs first
    batch: int | None = 32  # rows a step; None: all rows
    n_rows: int = 2048  # a multiple of batch, so that a step is a step
    hidden: str = "relu"
    optimizer: str = "adam"
    dtype: str = "float32"
    loss: str = "categorical_crossentropy"  # with softmax outputs and integer labels; or "mse" with linear outputs
    layer: str | None = None  # a fastnn layer class put behind every hidden layer
    callback: str | None = None  # a fastnn callback class that watches
    validates: bool = False  # whether each epoch is evaluated too
    feature: str | None = None  # one of FEATURES, which only fastnn knows how to switch on
    section: str = "core"  # where the report puts it
    peers: tuple[str, ...] = EVERY_TRAINER

    @property
    def steps_per_epoch(self) -> int:
        return 1 if self.batch is None else -(-self.n_rows // self.batch)

    @property
    def step_rows(self) -> int:
        return self.batch or self.n_rows

    @property
    def gemm_flops(self) -> int:
        """Floating-point operations of one step's matrix products: X W, A' D, and D W' but for the first layer."""
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        return sum(2 * self.step_rows * i * o * (3 if k else 2) for k, (i, o) in enumerate(pairs))

    def __str__(self) -> str:
        return self.name


def _train(network: str, batch: int | None, n_rows: int, tag: str = "", **kw) -> Workload:
    sizes = tuple(int(units) for units in network.split("-"))
    return Workload(f"{network}/{batch or n_rows}{tag}", "train", sizes, batch, n_rows, **kw)


TRAIN = [
    _train("64-64-10", 32, 2048),
    _train("64-64-10", 256, 2048),
    _train("64-256-10", 32, 2048),
    _train("64-256-10", 256, 2048),
    _train("784-32-32-10", 16, 4096),
    _train("784-256-10", 128, 4096),
    _train("784-512-512-10", 128, 4096),
    _train("24-8-2", None, 200, hidden="tanh", loss="mse"),
    _train("4-32-16-4", None, 10_000, loss="mse"),
    _train("64-64-10", 32, 2048, " float64", dtype="float64", peers=QUICK_TRAINERS),
    _train("64-64-10", 256, 2048, " float64", dtype="float64", peers=QUICK_TRAINERS),
    *(
        _train(f"10-{w}-{w}-10", 128, 4096, section="width", peers=QUICK_TRAINERS)
        for w in (8, 16, 32, 64, 128, 256, 512)
    ),
    *(
        _train("64-64-10", 32, 2048, f" {a}", hidden=a, section="activation", peers=VARIANT_TRAINERS)
        for a in ACTIVATIONS
    ),
    *(
        _train("64-64-10", 32, 2048, f" {o}", optimizer=o, section="optimizer", peers=VARIANT_TRAINERS)
        for o in OPTIMIZERS
    ),
    *(
        _train("64-64-10", 32, 2048, f" {name}", layer=name, section="layer", peers=VARIANT_TRAINERS[:3])
        for name in ("Dropout", "GaussianNoise", "LayerNormalization", "BatchNormalization")
    ),
    *(
        _train("64-64-10", 32, 2048, f" {name}", feature=name, section="feature", peers=("fastnn",))
        for name in FEATURES
    ),
    Workload(
        "24-8-2 loss and gradient", "gradient", (24, 8, 2), None, 200, hidden="tanh", loss="mse",
        section="gradient", peers=("fastnn", "gemm", "numpy", "torch", "torch-compile", "jax"),
    ),
]  # fmt: skip

PREDICT = [
    Workload(f"predict 64-64-10, {rows}", "predict", n_rows=n, section="predict", peers=PREDICTORS)
    for n, rows in ((1, "1 row"), (32, "32 rows"), (100_000, "100000 rows"))
]

ESTIMATOR = {"section": "estimator", "peers": ("fastnn", "sklearn")}
FIT = [
    Workload("digits to 97 %", "digits", n_rows=1437, section="fit", peers=EVERY_TRAINER[:1] + EVERY_TRAINER[2:]),
    Workload(
        "tutorial, 1000 epochs", "tutorial", batch=None, n_rows=1437, hidden="sigmoid", optimizer="sgd",
        section="fit", peers=("fastnn", "numpy"),
    ),
    *(
        Workload(f"MLPClassifier {data}/{batch} {dtype}", "estimator", sizes, batch, n, dtype=dtype, **ESTIMATOR)
        for data, sizes, n in (("digits", (64, 100, 10), 1797), ("20000x16x26", (16, 100, 26), 20_000))
        for batch, dtype in ((200, "float32"), (200, "float64"), (32, "float32"))
    ),
    *(
        Workload(f"MLPClassifier.predict, {rows}{tag}", "estimator-predict", (64, 100, 10), 200, n, dtype=dtype,
                 **ESTIMATOR)
        for n, rows in ((1, "1 row"), (100_000, "100000 rows"))
        for dtype, tag in (("float32", ""), ("float64", " float64"))
    ),
]  # fmt: skip

COLD = ("fastnn", "sklearn", "torch", "jax", "keras")
COLD_START = [
    Workload("import", "import", section="cold", peers=("numba", *COLD)),
    Workload("first fit, warm cache", "first-fit", section="cold", peers=COLD),
    Workload("first fit, empty cache", "first-fit-empty", section="cold", peers=("fastnn",)),
    Workload("memory of a fit", "memory", (784, 512, 512, 10), 128, 20_000, section="memory", peers=COLD),
]

TINY = {
    "kind": "epoch", "sizes": (4, 4, 1), "batch": None, "n_rows": 16, "loss": "mse", "section": "epoch",
    "peers": ("fastnn",),
}  # fmt: skip
EPOCHS = [
    Workload("epoch of one tiny step", **TINY),
    Workload("epoch of one tiny step, validation", validates=True, **TINY),
    *(Workload(f"epoch of one tiny step, {name}", callback=name, **TINY) for name in CALLBACKS),
]

DENSE = [*TRAIN, *PREDICT, *FIT, *EPOCHS, *COLD_START]


@cache
def make_data(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """X (n_rows, sizes[0]) and y: integer labels (n_rows,), or targets (n_rows, sizes[-1]) for mse.

    Gaussian inputs labelled by a random linear teacher, so that there is something to learn, and noise, so that it is
    not learnt within a sample: a loss of 1e-8 means denormal gradients, and a step of any peer takes twice as long.
    """
    rng = np.random.default_rng(zlib.crc32(workload.name.encode()))
    dtype = np.dtype(workload.dtype)
    X = rng.standard_normal((workload.n_rows, workload.sizes[0])).astype(dtype)
    teacher = rng.standard_normal((workload.sizes[0], workload.sizes[-1])) / np.sqrt(workload.sizes[0])
    targets = X @ teacher + 0.5 * rng.standard_normal((workload.n_rows, workload.sizes[-1]))
    if workload.loss == "mse":
        return X, targets.astype(dtype)
    y = np.argmax(targets, axis=1)
    random = rng.random(workload.n_rows) < 0.2
    y[random] = rng.integers(0, workload.sizes[-1], int(random.sum()))
    return X, y.astype(np.int64)


@cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits in [0, 1]: X_train (1437, 64), X_test (360, 64), y_train, y_test; float64."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return tuple(train_test_split(X / 16.0, y.astype(np.int64), test_size=0.2, random_state=0, stratify=y))


def initial_weights(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """[W1, b1, W2, b2, ...] with W of shape (fan_in, fan_out), Glorot-uniform, and b = 0."""
    rng = np.random.default_rng(seed)
    weights = []
    for fan_in, fan_out in zip(workload.sizes, workload.sizes[1:], strict=False):
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        weights.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(workload.dtype))
        weights.append(np.zeros(fan_out, workload.dtype))
    return weights
