"""How reads are put together into requests that a ZooKeeper server takes."""

from __future__ import annotations

from hawork.backends.zookeeper.multi_read import GET_DATA, MultiRead, _batches

LARGEST_PACKET = 0xFFFFF


def test_every_path_is_asked_for_once_and_in_order() -> None:
    paths = [f"/flink/cluster/jobgraphs/{number}" for number in range(1001)]
    batches = list(_batches(paths))
    assert [path for batch in batches for path in batch] == paths
    assert [len(batch) for batch in batches] == [250, 250, 250, 250, 1]
    assert list(_batches([])) == []


def test_no_request_is_longer_than_a_server_takes_however_long_the_paths_are() -> None:
    """It would close the connection, again and again."""
    paths = [f"/{'ä' * 20_000}/{number}" for number in range(100)]
    batches = list(_batches(paths))
    assert [path for batch in batches for path in batch] == paths
    assert all(len(MultiRead(GET_DATA, batch).serialize()) < LARGEST_PACKET for batch in batches)
