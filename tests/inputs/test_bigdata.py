"""Files larger than memory: a process that may not hold them trains on them, from their mapping.

Two limits hold while a child process works. RLIMIT_DATA is one on memory of the process's own: a copy of the file
fails at once. Pages of a mapped file are the system's, which takes them back when it needs them. Where memory is plenty
it need not, so the child does it in the system's place: a thread all the time, and a callback after every step of
training. What the system records as the most that was ever resident, mapped pages included, must then stay within the
limit too: nothing in fastnn needs more of the file to be there at once.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA covers mapped memory on Linux only")

PROGRAM = """
import contextlib, mmap, os, pathlib, resource, sys, threading
import numpy as np, fastnn

width, limit = 256, 96 * 2**20
n = 410 * 2**20 // (width * np.dtype(dtype).itemsize)
folder = pathlib.Path(sys.argv[1])

def own_memory():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if "kB" in line}

def trainer():
    network = fastnn.Network.mlp(width, [4], 1, seed=0)
    return fastnn.Trainer(network, loss="mse", metrics=["mae"])

few, targets = np.zeros((256, width), dtype), np.zeros((256, 1), "float32")
warm = trainer()
warm.fit(few, targets, validation_split=0.5, n_threads=1)  # kernels and threads are there before the limit
warm.evaluate(few, targets), warm.network.predict(few)

for name, columns in (("X", width), ("y", 1)):
    with (folder / name).open("wb") as file:
        file.truncate(n * columns * 4)  # a hole: it takes no room on the disk
X = np.memmap(folder / "X", dtype, "r", shape=(n, width))
y = np.memmap(folder / "y", "float32", "r", shape=(n, 1))
assert X.nbytes > 4 * limit

X._mmap.madvise(mmap.MADV_RANDOM)  # a row that is read brings its page, not a megabyte around it

def take_pages_back(*arguments):
    X._mmap.madvise(mmap.MADV_DONTNEED)

def take_pages_back_for_ever():
    while not is_done.wait(0.001):
        take_pages_back()

with contextlib.suppress(OSError):  # else from the start of the process
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the most that was resident is counted from here
before = own_memory()
resource.setrlimit(resource.RLIMIT_DATA, (before["VmData"] + limit, before["VmData"] + limit))
try:
    X.astype("float32")
except MemoryError:
    pass
else:
    sys.exit("the limit does not hold, so that this test says nothing")

is_done = threading.Event()
system = threading.Thread(target=take_pages_back_for_ever)
system.start()
os.setpriority(os.PRIO_PROCESS, 0, 5)  # of this thread: the other stands for the kernel, which does not wait for a core
try:
    work(X, y, trainer())
finally:
    is_done.set()
    system.join()
after = own_memory()
assert after["RssAnon"] - before["RssAnon"] < limit, (before, after)
assert after["VmHWM"] - before["VmHWM"] < limit, (before, after)
print(round((after["VmHWM"] - before["VmHWM"]) / 2**20), "MiB")
"""


def run(tmp_path, work, dtype="float32"):
    work = f"dtype = {dtype!r}\n" + textwrap.dedent(work)
    program = PROGRAM.replace("width, limit", work + "\nwidth, limit", 1)
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # two cores may be all there are
    command = [sys.executable, "-c", program, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=one_thread)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(" MiB\n")


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_file_larger_than_the_limit_is_trained_on_evaluated_and_predicted(tmp_path, dtype):
    work = """
    def work(X, y, trainer):
        after_each_step = fastnn.callbacks.LambdaCallback(on_train_batch_end=take_pages_back)
        options = {"validation_data": (X[:30_000], y[:30_000]), "callbacks": [after_each_step]}
        history = trainer.fit(X, y, batch_size=512, n_threads=1, **options)
        assert len(history.history["val_loss"]) == 1
        assert set(trainer.evaluate(X, y)) == {"loss", "mae"}
        assert trainer.network.predict(X).shape == (len(X), 1)
    """
    run(tmp_path, work, dtype)


def test_a_number_that_is_not_finite_is_found_within_the_limit(tmp_path):
    work = """
    def work(X, y, trainer):
        np.memmap(X.filename, "float32", "r+", shape=X.shape)[len(X) - 2, 3] = np.nan
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
        assert trainer.step == 2 * (41 * 3 + 3)
    """
    run(tmp_path, work)
