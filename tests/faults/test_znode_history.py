"""The witness sees what it is there to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.lab.nemesis.znodes import check_history
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest
from tests.contract.zookeeper_harness import shared_servers


@pytest.fixture
def cluster() -> Iterator[ClusterUnderTest]:
    cluster = ClusterUnderTest(shared_servers())
    yield cluster
    cluster.close()


def unfenced(cluster: ClusterUnderTest, path: str) -> None:
    cluster.kazoo.set(path, b"somebody else")


def deleted(cluster: ClusterUnderTest, path: str) -> None:
    cluster.kazoo.delete(path)


def fenced_by_a_standby(cluster: ClusterUnderTest, path: str) -> None:
    transaction = cluster.kazoo.transaction()
    transaction.check(f"{cluster.paths.latch}/{cluster.latch()[1]}", -1)
    transaction.set_data(path, b"too early")
    assert all(not isinstance(result, Exception) for result in transaction.commit())


@pytest.mark.parametrize("write", [unfenced, deleted, fenced_by_a_standby])
def test_a_write_of_somebody_else_is_found(
    cluster: ClusterUnderTest, write: Callable[[ClusterUnderTest, str], None]
) -> None:
    backend = cluster.open()
    leader = cluster.contend(backend)
    session_id = leader.granted()
    cluster.contender()
    pointers = backend.pointers(JOB_GRAPHS)
    pointers.create("job", b"1", session_id)
    pointers.create("other", b"1", session_id)
    pointers.delete("other", session_id)
    data = cluster.servers.data("zk-1")
    assert check_history(data, cluster.paths) == 4  # their parent is made by a leader, too
    write(cluster, f"{cluster.paths.pointers}/jobgraphs/job")
    with pytest.raises(AssertionError):
        check_history(data, cluster.paths)
