"""Workers hold their blocks, a network or two, and nothing more: a nanny's memory limit is respected."""

import os
import pathlib
import re
import sys

import dask.array as da
import numpy as np
import pytest

import fastnn
from distributed import Client, LocalCluster
from distributed_support import make_data, make_trainer
from fastnn import distributed as fd

BLOCK = 20_000_000  # bytes of features
N_BLOCKS = 6
LIMIT = 700_000_000  # with all imports and kernels a worker has some 300 MB before it has data


def make_block(number):
    rng = np.random.default_rng(number)
    X = rng.normal(size=(BLOCK // 1000, 250)).astype(np.float32)
    return X, np.argmax(X[:, :3], axis=1)


def peak():
    # Not the peak of getrusage: a process inherits that of the one that started it.
    status = pathlib.Path("/proc/self/status").read_text()
    return os.getpid(), 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
def test_a_worker_with_a_memory_limit_holds_its_blocks_once():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, memory_limit=LIMIT, dashboard_address=":0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        X, y = make_data(100)
        network = fastnn.Network.mlp(250, [16], 3, output="softmax", seed=0)
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
        fd.fit(make_trainer(), da.from_array(X), da.from_array(y), rounds=1, client=client)  # loads all code
        pairs = [client.submit(make_block, i) for i in range(N_BLOCKS)]
        xs, ys = ([client.submit(lambda pair, at=at: pair[at], pair) for pair in pairs] for at in (0, 1))
        client.gather(client.map(len, ys))
        pairs.clear()
        [(pid, before)] = client.run(peak).values()
        fd.fit(trainer, xs, ys, rounds=2, batch_size=512, client=client)
        fd.evaluate(trainer, xs, ys, client=client)
        [(same, after)] = client.run(peak).values()
    assert same == pid, "the nanny had to start the worker again"
    assert after - before < 2 * BLOCK
    assert after < LIMIT
