"""Compiled code: one kernel for every architecture, from disk in the next process, never stale."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.kernels import data, jit, random, rows, trace, train
from support import rng

ENTRY_POINTS = (train.run, train.predict, rows.predict_rows, trace.trace, data.has_only_finite, random.shuffle)


def use_everything(dtype, hidden, activation, output, loss, optimizer, X, y):
    network = fastnn.Network.mlp(X.shape[1], hidden, 3, activation=activation, output=output, dropout=0.2, dtype=dtype)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=optimizer, metrics=["accuracy"])
    trainer.fit(X, y, epochs=2, batch_size=16, validation_split=0.2, sample_weight=np.ones(len(X)))
    network.predict(X)
    network.predict(X[:1].astype(dtype))
    network.loss_and_gradient(X, y, loss=loss)
    network.explain(X[0], y[0], loss=loss)


def compiled():
    return {entry.py_func.__name__: list(entry.signatures) for entry in ENTRY_POINTS}


def test_a_second_architecture_compiles_nothing(dtype):
    """Nor do other losses, optimizers, dtypes, memory orders and kinds of target."""
    X = rng(1).uniform(0.1, 0.9, (50, 7))
    labels, values = rng(2).integers(0, 3, 50), rng(2).uniform(0.1, 0.9, (50, 3))
    use_everything(dtype, [5], "relu", "softmax", "categorical_crossentropy", "adam", X, labels)
    before = compiled()
    use_everything(dtype, [], "relu", "sigmoid", "log_loss", "sgd", X.astype("float32"), values)
    use_everything(dtype, [3, 40, 2], "mish", "linear", "huber", fastnn.SGD(0.01, momentum=0.9), X[::-2], values[::-2])
    use_everything(dtype, [64], "tanh", "softplus", "poisson", "adam", np.asfortranarray(X), values.astype("float32"))
    use_everything(dtype, [2], "elu", "softmax", "mse", "adam", (255 * X).astype("uint8"), values)
    network, weights = fastnn.Network.mlp(7, [2], 3, dtype=dtype), np.ones(50)
    weights.flags.writeable = False
    fastnn.Trainer(network, loss="mse").fit(X, values, sample_weight=weights)
    assert compiled() == before


def run_python(code, **environment):
    """Run a program in a process of its own and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


PROGRAM = """
import numpy as np, fastnn
from fastnn.kernels import data, jit, random, rows, trace, train
network = fastnn.Network.mlp(2, [3], 1, dtype=DTYPE, seed=0)
fastnn.Trainer(network, loss="mse").fit(np.eye(2), np.ones(2))
network.predict(np.ones((300, 2)))
network.predict(np.ones((1, 2), DTYPE))
network.explain([1.0, 2.0], 1.0, loss="mse")
for entry in (train.run, train.predict, rows.predict_rows, trace.trace, data.has_only_finite, random.shuffle):
    print(sum(entry.stats.cache_hits.values()), sum(entry.stats.cache_misses.values()))
"""


@pytest.mark.skipif(jit.CACHE_FOLDER is None, reason="no folder to keep compiled kernels in")
def test_kernels_come_from_disk_in_a_second_process(dtype, tmp_path):
    program = PROGRAM.replace("DTYPE", repr(dtype))
    exec(program, {"print": lambda *args: None})  # in this process: whatever is not on disk yet, is now
    folder = tmp_path / "fastnn"  # a copy of the cache, in which nobody else puts anything
    folder.mkdir()
    for path in jit.CACHE_FOLDER.glob(f"*{jit.STAMP}*.nb[ci]"):
        shutil.copy(path, folder)
    files = set(folder.glob("*"))
    source = pathlib.Path(fastnn.__file__).parents[1]
    counts = run_python(program, PYTHONPATH=str(source), NUMBA_CACHE_DIR=str(tmp_path))
    hits, misses = counts[::2], counts[1::2]
    assert misses == ["0"] * len(ENTRY_POINTS)
    assert hits == ["1"] * len(ENTRY_POINTS)
    assert {path.name for path in set(folder.glob("*")) - files} == set()


# -- never stale -------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied_package(tmp_path):
    """The package in a folder of its own, where its sources can be edited."""
    source = pathlib.Path(fastnn.__file__).parent
    return shutil.copytree(source, tmp_path / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))


ASK = """
import numpy as np
from fastnn.kernels.data import has_only_finite
x = np.ones((2, 3))
print(has_only_finite(x.ctypes.data, 24, 8, 1, 2, 3, True), *has_only_finite.stats.cache_hits.values())
"""

# A sum that is always 1, where the check for NaN expects 0 of finite numbers.
ANOTHER_TOTAL = '''

from numba.core.typing import signature
from numba.extending import intrinsic


@intrinsic
def total(typingctx, x):
    """Not the sum over the lanes."""

    def codegen(context, builder, sig, args):
        return context.get_constant(x.dtype, 1.0)

    return signature(x.dtype, x), codegen
'''


def test_an_edited_callee_is_never_stale(copied_package, tmp_path):
    """The function that changes lives in another file than the kernel that is cached."""
    environment = {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_python(ASK, **environment) == ["True"]
    assert run_python(ASK, **environment) == ["True", "1"]
    with (copied_package / "kernels" / "simd.py").open("a") as file:
        file.write(ANOTHER_TOTAL)
    assert run_python(ASK, **environment) == ["False"]


def test_the_stamp_changes_with_every_file(copied_package, monkeypatch):
    folder = copied_package / "kernels"
    monkeypatch.setattr(jit, "_FOLDER", folder)
    assert jit.content_stamp() == jit.STAMP
    stamps = {jit.STAMP}
    for path in sorted(folder.glob("*.py")):
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        stamps.add(jit.content_stamp())
        path.write_bytes(original)
    assert len(stamps) == 1 + len(list(folder.glob("*.py")))
    (folder / "gemm.py").rename(folder / "product.py")
    assert jit.content_stamp() not in stamps


def test_without_a_folder_to_write_to_there_is_a_warning(monkeypatch):
    monkeypatch.setattr(jit, "_is_writable", lambda folder: False)
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR"):
        assert jit._find_cache_folder() is None


def test_where_kernels_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert jit._find_cache_folder() == tmp_path / "fastnn"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(jit, "_is_writable", lambda folder: "__pycache__" not in folder.parts)
    assert jit._find_cache_folder() == tmp_path / "xdg" / "fastnn"
