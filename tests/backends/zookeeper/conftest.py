"""A real server for the ZooKeeper tests, and a cluster of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest
from tests.contract.zookeeper_harness import TELLING, shared_servers


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    """On the server that all tests share, for those that leave it alone."""
    cluster = ClusterUnderTest(shared_servers())
    yield cluster
    cluster.close()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    """On a server of its own, to be stopped and killed."""
    with ZooKeeperServers(tmp_path / "zookeeper", properties=TELLING) as servers:
        cluster = ClusterUnderTest(servers)
        yield cluster
        cluster.close()
