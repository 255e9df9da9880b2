"""A cluster of two worker processes on this machine for each file of tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
import pytest


@contextmanager
def start_cluster() -> Iterator[Any]:
    """Start workers; computations go to them only where their client is chosen."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def chosen(client: Any) -> Iterator[Any]:
    """Compute with a client."""
    with client.as_current(), dask.config.set(scheduler=client):
        yield client


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A client of the cluster that the tests of a file share.

    It would keep the process busy during the tests of others, some of which wait until it is idle.
    """
    with start_cluster() as client:
        yield client


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """The client of the shared cluster, which computes everything while a test runs."""
    with chosen(cluster):
        yield cluster


@pytest.fixture
def doomed_client() -> Iterator[Any]:
    """The client of a cluster that no other test needs."""
    with start_cluster() as client, chosen(client):
        yield client
