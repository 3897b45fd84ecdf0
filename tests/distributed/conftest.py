"""Clusters that the tests share: one of threads, which starts at once, and one of processes, as in earnest."""

import contextlib
import os

import dask
import pytest

from distributed import Client, LocalCluster

SETTINGS = {
    # Workers that a test kills are none the worse for it.
    "distributed.scheduler.allowed-failures": 20,
    "distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": "default",
}


NAMES = [*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONWARNINGS"]
BEFORE = {name: os.environ.get(name) for name in NAMES}


@pytest.fixture(autouse=True)
def environment():
    """Nannies leave their workers' variables in this process: with OMP_NUM_THREADS=1 later tests would have one CPU."""
    yield
    for name, value in BEFORE.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def client():
    """Two workers of this process."""
    with (
        dask.config.set(SETTINGS),
        LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def two_processes():
    with (
        contextlib.suppress(KeyError),  # Dask's own, where a worker that was killed goes while the cluster closes
        dask.config.set(SETTINGS),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def processes():
    """Two processes of one thread each."""
    yield from two_processes()


@pytest.fixture(scope="session")
def victims():
    """Two more, that may be killed: their nannies start them again."""
    yield from two_processes()
