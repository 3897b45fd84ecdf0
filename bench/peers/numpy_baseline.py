"""Plain NumPy as a careful engineer writes it; `fastnn bench` measures against the same code."""

from bench.peers import Unsupported
from fastnn.benchmark.numpy_baseline import ACTIVATIONS, OPTIMIZERS, Network, aligned_empty


def build(workload, data, threads):
    for what, name, known in (
        ("activation", workload.hidden, ACTIVATIONS),
        ("optimizer", workload.optimizer, OPTIMIZERS),
    ):
        if name not in known:
            raise Unsupported(f"NumPy baseline has no {what} {name}")
    rows = min(workload.n_rows, 256) if workload.kind == "predict" else workload.step_rows
    return Network(workload, data, rows)


__all__ = ["Network", "aligned_empty", "build"]
