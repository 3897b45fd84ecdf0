"""A small training that the test_citizen_* files do in all kinds of processes and threads; children import it."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

import fastnn

SOURCES = Path(fastnn.__file__).parents[1]


def make_trainer(seed: int = 0, units: int = 32) -> fastnn.Trainer:
    network = fastnn.Network.mlp(16, [units], 3, output="softmax", seed=seed)
    return fastnn.Trainer(network, loss="categorical_crossentropy")


def make_data(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.standard_normal((n, 16)).astype(np.float32), generator.integers(0, 3, n)


def train(seed: int = 0, n_threads: int = 2) -> bytes:
    """The bits of the parameters after a short fit."""
    trainer = make_trainer(seed)
    trainer.fit(*make_data(), epochs=3, batch_size=128, n_threads=n_threads)
    return trainer.network.parameters.tobytes()


def python(code: str, *, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter; an environment variable that is "" is taken out."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCES), str(Path(__file__).parent)]), **environment}
    variables = {name: value for name, value in variables.items() if value != ""}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=variables, capture_output=True, text=True, timeout=timeout,
        check=False,
    )  # fmt: skip
