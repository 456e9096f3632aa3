"""A real server for the ZooKeeper tests, and a cluster of its own for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.security import OPEN_ACL_UNSAFE

from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest
from tests.contract.zookeeper_harness import TELLING, shared_servers


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    """On the server that all tests share, for those that leave it alone."""
    cluster = ClusterUnderTest(shared_servers())
    yield cluster
    open_again(cluster)
    cluster.close()


def open_again(cluster: ClusterUnderTest) -> None:
    """What a test has closed off would stand in the way of one that looks at all clusters."""
    kazoo = cluster.kazoo
    kazoo.add_auth("digest", "operator:own")
    with contextlib.suppress(NoNodeError):
        kazoo.set_acls(cluster.paths.cluster, OPEN_ACL_UNSAFE)


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[ClusterUnderTest]:
    """On a server of its own, to be stopped and killed."""
    with ZooKeeperServers(tmp_path / "zookeeper", properties=TELLING) as servers:
        cluster = ClusterUnderTest(servers)
        yield cluster
        cluster.close()
