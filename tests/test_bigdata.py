"""Files larger than memory: a process that may not hold them trains on them, from their mapping.

The limit is on memory of the process's own (RLIMIT_DATA). Pages of a mapped file are the system's: it takes them back
when it needs them, whoever reads the file.
"""

import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers mapped memory on Linux only")

PROGRAM = """
import pathlib, resource, sys
import numpy as np, fastnn

n, width, limit = 300_000, 256, 64 * 2**20
folder = pathlib.Path(sys.argv[1])

def own_memory():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if "kB" in line}

def trainer():
    network = fastnn.Network.mlp(width, [4], 1, seed=0)
    return fastnn.Trainer(network, loss="mse", metrics=["mae"])

few = np.zeros((256, width), "float32")
warm = trainer()
warm.fit(few, few[:, 0], validation_split=0.5, n_threads=1)  # kernels and threads are there before the limit
warm.evaluate(few, few[:, 0]), warm.network.predict(few)

for name, columns in (("X", width), ("y", 1)):
    with (folder / name).open("wb") as file:
        file.truncate(n * columns * 4)  # a hole: it takes no room on the disk
X = np.memmap(folder / "X", "float32", "r", shape=(n, width))
y = np.memmap(folder / "y", "float32", "r", shape=(n, 1))
assert X.nbytes > 4 * limit

before = own_memory()
resource.setrlimit(resource.RLIMIT_DATA, (before["VmData"] + limit, before["VmData"] + limit))
try:
    X.copy()
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold, so that this test says nothing")

work(X, y, trainer())
after = own_memory()
assert after["RssAnon"] - before["RssAnon"] < limit, (before, after)
print("done")
"""


def run(tmp_path, work):
    program = PROGRAM.replace("n, width, limit", textwrap.dedent(work) + "\nn, width, limit", 1)
    result = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n"


def test_a_file_larger_than_the_limit_is_trained_on_evaluated_and_predicted(tmp_path):
    work = """
    def work(X, y, trainer):
        history = trainer.fit(X, y, batch_size=4096, epochs=2, validation_split=0.1, n_threads=1)
        assert len(history.history["val_loss"]) == 2
        assert set(trainer.evaluate(X, y)) == {"loss", "mae"}
        assert trainer.network.predict(X).shape == (len(X), 1)
    """
    run(tmp_path, work)


def test_a_number_that_is_not_finite_is_found_within_the_limit(tmp_path):
    work = """
    def work(X, y, trainer):
        X = np.memmap(X.filename, "float32", "r+", shape=X.shape)
        X[len(X) - 2, 3] = np.nan
        try:
            trainer.fit(X, y)
        except ValueError as error:
            assert f"row {len(X) - 2}, column 3" in str(error), error
        else:
            raise AssertionError("NaN was not found")
    """
    run(tmp_path, work)


def test_a_stream_of_blocks_read_from_a_file_holds_few_of_them(tmp_path):
    work = """
    def work(X, y, trainer):
        def blocks():
            for first in range(0, len(X), 10_000):  # 10 MB each, copied into memory of the process's own
                yield np.array(X[first : first + 10_000]), np.array(y[first : first + 10_000])
        trainer.fit(blocks, batch_size=4096, epochs=2, n_threads=1)
        assert trainer.step == 2 * 30 * 3
    """
    run(tmp_path, work)
