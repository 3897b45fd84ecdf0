"""A good citizen of the file system: the cache of compiled kernels, shared, empty, or nowhere to be written.

These compile kernels, so they last some seconds.
"""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from citizen import SOURCES, python

PROGRAM = """
    import sys, warnings
    warnings.simplefilter("always")
    import numpy as np
    import fastnn
    from fastnn.kernels import cache

    network = fastnn.Network.mlp(3, [4], 1, seed=0)
    print("cache:", cache.CACHE_FOLDER)
    print("installed:", fastnn.__file__)
    if {fits}:
        from fastnn.kernels.train import run

        fastnn.Trainer(network, loss="mse").fit(np.ones((64, 3), np.float32), np.ones(64, np.float32), epochs=2)
        print("from cache:", bool(run.stats.cache_hits))
    print("result:", network.predict(np.ones((1, 3), np.float32)).tobytes().hex())
"""


def report(done) -> dict[str, str]:
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


@pytest.fixture
def read_only_installation(tmp_path):
    """A copy of the package into which nobody can write compiled code, not even root: a file bars the folder's name."""
    site = tmp_path / "site"
    shutil.copytree(SOURCES / "fastnn", site / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (site / "fastnn", site / "fastnn" / "kernels"):
        (folder / "__pycache__").touch()
        folder.chmod(0o555)
    yield site
    for folder in (site / "fastnn", site / "fastnn" / "kernels"):
        folder.chmod(0o755)


def run_there(site, *, fits, **environment):
    code = PROGRAM.format(fits=fits)
    return python(code, PYTHONPATH=str(site), NUMBA_CACHE_DIR="", PYTHONDONTWRITEBYTECODE="1", **environment)


def test_two_processes_fill_an_empty_cache_at_once(read_only_installation, tmp_path):
    """In a read-only installation with a writable cache folder, which is what a server has."""
    cache = str(tmp_path / "cache")
    with ThreadPoolExecutor(2) as pool:
        first, second = (
            report(done)
            for done in pool.map(
                lambda _: run_there(read_only_installation, fits=True, XDG_CACHE_HOME=cache), range(2)
            )
        )  # fmt: skip
    for one in (first, second):
        assert one["installed"].startswith(str(read_only_installation))
        assert one["cache"].startswith(cache)
    assert first["result"] == second["result"]
    third = run_there(read_only_installation, fits=True, XDG_CACHE_HOME=cache)
    assert "RuntimeWarning" not in third.stderr
    assert report(third)["from cache"] == "True"
    assert report(third)["result"] == first["result"]


@pytest.mark.skipif(sys.platform == "win32", reason="LOCALAPPDATA is not to be bent")
def test_nowhere_to_write_warns_once_and_works(read_only_installation, tmp_path):
    bar = tmp_path / "a file"
    bar.touch()
    done = run_there(read_only_installation, fits=False, XDG_CACHE_HOME=str(bar), HOME=str(bar))
    assert report(done)["cache"] == "None"
    assert done.stderr.count("RuntimeWarning: fastnn found no writable folder") == 1
    assert "NUMBA_CACHE_DIR" in done.stderr
