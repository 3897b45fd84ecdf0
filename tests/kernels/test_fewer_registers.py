"""Tiles for processors with half as many registers: LLVM is told that this one has no AVX-512."""

import os
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest

import fastnn

PROGRAM = """
import sys

import llvmlite.binding as llvm

real = llvm.get_host_cpu_features


def without_avx512():
    features = real()
    for name in features:
        if name.startswith("avx512") or name in ("evex512", "avx10.1-512"):
            features[name] = False
    return features


llvm.get_host_cpu_features = without_avx512
import numpy as np

import fastnn
from fastnn.kernels.processor import vector_registers

assert vector_registers() == 8
network = fastnn.Network.load(sys.argv[1])
X = np.load(sys.argv[2])
v = np.ones_like(network.predict(X))
np.savez(sys.argv[3], outputs=network.predict(X), by_inputs=network.vjp(X, v)[0], by_parameters=network.vjp(X, v)[1])
"""


@pytest.mark.skipif(not llvm.get_host_cpu_features().get("avx512f"), reason="there is no AVX-512 to leave out")
def test_convolutions_and_products_without_avx_512(tmp_path):
    layers = [
        fastnn.Input((9, 8, 3)), fastnn.Conv2D(17, 3, padding="same", activation="relu"),
        fastnn.Conv2D(6, (2, 3), strides=2), fastnn.Conv2D(6, 3, padding="same", groups=6), fastnn.Flatten(),
        fastnn.Dense(19),
    ]  # fmt: skip
    network = fastnn.Network(layers, seed=0)
    X = np.random.default_rng(0).normal(size=(70, 9, 8, 3)).astype("float32")
    network.save(tmp_path / "network")
    np.save(tmp_path / "X.npy", X)
    files = [tmp_path / name for name in ("network", "X.npy", "found.npz")]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", PROGRAM, *files], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(files[2])
    v = np.ones_like(network.predict(X))
    by_inputs, by_parameters = network.vjp(X, v)
    for name, expected in (
        ("outputs", network.predict(X)), ("by_inputs", by_inputs), ("by_parameters", by_parameters),
    ):  # fmt: skip
        np.testing.assert_allclose(found[name], expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
