"""The peers: one module each, imported only when measured, each with a builder ``build(workload, data, threads)``.

A builder returns an object with those of these methods that its library can offer:

    train(n_epochs) -> float    n_epochs of shuffled minibatches; the mean training loss of the last one
    predict(X) -> ndarray       NumPy rows in, NumPy rows out, after the output activation
    gradient() -> float         the loss over all rows, and its gradient computed (only its loss is handed back)
    reset(weights) -> None      start again from these weights, with a fresh optimizer and nothing compiled anew

and may set ``extra``, a dict for the JSON file. It raises Unsupported where its library has no such thing.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class Unsupported(Exception):
    """The library has no such activation, optimizer or dtype."""


@dataclass(frozen=True)
class Peer:
    title: str  # in tables and charts
    module: str  # in this package
    builder: str  # a function of that module
    needs: tuple[str, ...]  # what must be importable

    def missing(self) -> list[str]:
        return [name for name in self.needs if importlib.util.find_spec(name) is None]

    def build(self, workload, data, threads: int):
        return getattr(self.load(), self.builder)(workload, data, threads)

    def load(self):
        return importlib.import_module(f"{__name__}.{self.module}")


PEERS = {
    "fastnn": Peer("fastnn", "fastnn_peer", "build", ("fastnn",)),
    "fastnn-one": Peer("fastnn, one thread", "fastnn_peer", "build", ("fastnn",)),  # of stacks/suite.py
    "gemm": Peer("bare GEMM", "gemm", "build", ("numba", "scipy")),
    "sgemm": Peer("flops at sgemm's rate", "gemm", "build", ("numba", "scipy")),  # timed by stacks/suite.py
    "numpy": Peer("NumPy", "numpy_baseline", "build", ("numpy",)),
    "sklearn": Peer("scikit-learn", "sklearn_peer", "build", ("sklearn",)),
    "torch": Peer("PyTorch", "torch_eager", "build", ("torch",)),
    "torch-compile": Peer("torch.compile", "torch_compile", "build", ("torch",)),
    "jax": Peer("JAX", "jax_scan", "build", ("jax", "optax")),
    "keras": Peer("Keras, tuned", "keras_peer", "build_tuned", ("keras", "tensorflow")),
    "keras-fit": Peer("Keras fit", "keras_peer", "build_fit", ("keras", "tensorflow")),
    "tensorflow": Peer("tf.function", "keras_peer", "build_loop", ("keras", "tensorflow")),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime_peer", "build", ("onnx", "onnxruntime")),
    "numba": Peer("numba", "gemm", "build", ("numba",)),  # only its import is measured
}


def batches(order: np.ndarray, size: int):
    """Cut a permutation into batches, the last one possibly smaller."""
    return (order[start : start + size] for start in range(0, len(order), size))


def lookup(table: dict[str, Callable], name: str, what: str, library: str):
    """The entry, or Unsupported in words."""
    if name not in table:
        raise Unsupported(f"{library} has no {what} {name!r}")
    return table[name]
