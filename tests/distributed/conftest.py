"""Clusters that the tests share: one of threads, which starts at once, and one of processes, as in earnest."""

import dask
import pytest

from distributed import Client, LocalCluster

SETTINGS = {
    # Workers that a test kills are none the worse for it.
    "distributed.scheduler.allowed-failures": 20,
    "distributed.nanny.pre-spawn-environ.PYTHONWARNINGS": "default",
}


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
