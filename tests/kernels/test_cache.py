"""Compiled code: units for what a network has, from disk in the next process, never stale."""

import gc
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import termcolor
from numba.core.types.functions import BaseFunction
from numba.core.typing.context import BaseContext

import fastnn
from fastnn.kernels import cache, units
from support import rng


def use_everything(dtype, hidden, activation, output, loss, optimizer, X, y):
    network = fastnn.Network.mlp(X.shape[1], hidden, 3, activation=activation, output=output, dropout=0.2, dtype=dtype)
    trainer = fastnn.Trainer(network, loss=loss, optimizer=optimizer, metrics=["accuracy"])
    trainer.fit(X, y, epochs=2, batch_size=16, validation_split=0.2, sample_weight=np.ones(len(X)))
    network.predict(X)
    network.predict(X[:1].astype(dtype))
    network.loss_and_gradient(X, y, loss=loss)
    network.explain(X[0], y[0], loss=loss)


def compiled():
    """Which units were compiled or loaded for which dtypes."""
    found = [value for value in gc.get_objects() if type(value) is units.Unit]  # others may warn when asked
    return {(unit.name, str(dtype)) for unit in found for dtype in unit._addresses}


def test_a_second_architecture_compiles_nothing(dtype):
    """Another architecture of the same parts compiles nothing; another part is compiled for itself."""
    X = rng(1).uniform(0.1, 0.9, (50, 7))
    labels = rng(2).integers(0, 3, 50)
    # A narrow layer and a wide one: the gradient of their weights is computed by two units.
    use_everything(dtype, [5, 50], "relu", "softmax", "categorical_crossentropy", "adam", X, labels)
    before = compiled()
    use_everything(dtype, [40, 2, 70], "relu", "softmax", "categorical_crossentropy", "adam", 3 * X, labels)
    assert compiled() == before
    use_everything(dtype, [5], "mish", "softmax", "categorical_crossentropy", "lion", X, labels)
    new = {name for name, _ in compiled() - before}
    assert new <= {"mish_forward", "mish_row", "kept_slope_backward", "lion"}


def run_python(code, **environment):
    """Run a program in a process of its own and return what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


PROGRAM = """
import numpy as np, fastnn
network = fastnn.Network.mlp(2, [3], 1, dtype=DTYPE, seed=0)
fastnn.Trainer(network, loss="mse").fit(np.eye(2), np.ones(2))
network.predict(np.ones((300, 2)))
network.predict(np.ones((1, 2), DTYPE))
network.explain([1.0, 2.0], 1.0, loss="mse")
print("done")
"""


@pytest.mark.skipif(cache.CACHE_FOLDER is None, reason="no folder to keep compiled kernels in")
def test_kernels_come_from_disk_in_a_second_process(dtype, tmp_path):
    """It writes no file, and takes less time than it would to compile one product."""
    program = PROGRAM.replace("DTYPE", repr(dtype))
    exec(program, {"print": lambda *args: None})  # in this process: whatever is not on disk yet, is now
    folder = tmp_path / "fastnn"  # a copy of the cache, in which nobody else puts anything
    folder.mkdir()
    for path in cache.CACHE_FOLDER.glob(f"*{cache.STAMP}*.nbc"):
        shutil.copy(path, folder)
    files = {path.name: path.stat().st_mtime_ns for path in folder.glob("*")}
    source = pathlib.Path(fastnn.__file__).parents[1]
    assert run_python(program, PYTHONPATH=str(source), NUMBA_CACHE_DIR=str(tmp_path)) == ["done"]
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*")} == files


@pytest.mark.skipif(cache.CACHE_FOLDER is None, reason="no folder to keep compiled kernels in")
def test_kernels_from_disk_do_not_load_the_rest_of_numba():
    """What Numba needs to compile takes 0.2 s to import, more than all of a short training."""
    program = PROGRAM.replace("DTYPE", repr("float32")) + "import sys\nprint('numba.np.arraymath' in sys.modules)"
    exec(PROGRAM.replace("DTYPE", repr("float32")), {"print": lambda *args: None})  # now all of it is on disk
    source = pathlib.Path(fastnn.__file__).parents[1]
    assert run_python(program, PYTHONPATH=str(source)) == ["done", "False"]


# -- never stale -------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied_package(tmp_path):
    """The package in a folder of its own, where its sources can be edited."""
    source = pathlib.Path(fastnn.__file__).parent
    return shutil.copytree(source, tmp_path / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))


ASK = """
import numpy as np
from fastnn.kernels.sources import FINITE_TESTS, Source
is_finite = FINITE_TESTS[Source.FLOAT64, True]
x = np.ones((2, 3))
print(is_finite(x.ctypes.data, 24, 8, 2, 3), *is_finite.stats.cache_hits.values())
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


def test_the_stamp_changes_with_every_file(copied_package):
    """Those in subfolders as well."""
    folder = copied_package / "kernels"
    assert cache.content_stamp(folder) == cache.STAMP
    stamps, paths = {cache.STAMP}, sorted(folder.rglob("*.py"))
    assert folder / "ops" / "dense.py" in paths
    for path in paths:
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        stamps.add(cache.content_stamp(folder))
        path.write_bytes(original)
    assert len(stamps) == 1 + len(paths)
    (folder / "gemm.py").rename(folder / "product.py")
    assert cache.content_stamp(folder) not in stamps


def test_numba_and_the_collector_are_as_before_once_a_kernel_is_compiled():
    def state():
        return BaseContext.resolve_value_type, BaseFunction.get_call_type, type(termcolor()).__dict__.get("_markup")

    before = state()
    for is_enabled in (True, False):
        (gc.enable if is_enabled else gc.disable)()
        try:
            with pytest.raises(ZeroDivisionError), cache._quick_compilation():
                assert not gc.isenabled() and state()[:2] != before[:2]
                raise ZeroDivisionError
            assert gc.isenabled() == is_enabled
        finally:
            gc.enable()
    assert state() == before
