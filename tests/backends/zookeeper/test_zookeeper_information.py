"""Leader information on a real server: Flink's bytes, fenced, guarded and found."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.exceptions import NoNodeError

from hawork.backends.zookeeper.client import ZooKeeperClient
from hawork.backends.zookeeper.supervision import release_leadership
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import (
    LeaderRetrievalError,
    LeadershipLostError,
    StoreUnavailableError,
)
from hawork.core.types import LeaderInformation
from hawork.ha.java_serialization import encode_leader_information
from hawork.ha.services import HighAvailabilityServices
from hawork.testing import RecordingContender, eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Contender, Observer

COMPONENT = "rest_server"


def publish(contender: Contender, address: str = "http://here:1") -> LeaderInformation:
    information = LeaderInformation(contender.granted(), address)
    contender.driver.publish_leader_information(COMPONENT, information)
    return information


def observe(cluster: ClusterUnderTest, **values: object) -> Observer:
    observer = Observer()
    cluster.open(**values).retrieval_driver(COMPONENT, observer)
    return observer


def test_the_znode_holds_flinks_bytes(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    information = publish(contender)
    data, stat = cluster.kazoo.get(cluster.paths.connection_info(COMPONENT))
    assert data == encode_leader_information(information)
    assert stat.ephemeralOwner == int(contender.driver.ticket()["session"], 16)


def test_retrieval_follows_the_leader(cluster: ClusterUnderTest) -> None:
    observer = observe(cluster)
    observer.wait_for(None)
    first, second = cluster.contender(), cluster.contender()
    observer.wait_for(publish(first))
    observer.wait_for(publish(first, "http://there:2"))
    release_leadership(cluster.config(), first.driver.ticket())
    observer.wait_for(publish(second, "http://elsewhere:3"))
    second.driver.close()
    observer.wait_for(None)
    assert observer.errors == []


def test_information_can_be_deleted_with_its_parent(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    information = publish(contender)
    for _ in range(2):
        contender.driver.delete_leader_information(COMPONENT, information.session_id)
    assert cluster.kazoo.exists(cluster.paths.component(COMPONENT)) is None


def test_a_deposed_leader_can_neither_publish_nor_delete(cluster: ClusterUnderTest) -> None:
    first, second = cluster.contender(), cluster.contender()
    old = publish(first)
    release_leadership(cluster.config(), first.driver.ticket())
    new = publish(second)
    with pytest.raises(LeadershipLostError):
        first.driver.publish_leader_information(COMPONENT, old)
    with pytest.raises(LeadershipLostError):
        first.driver.delete_leader_information(COMPONENT, old.session_id)
    with pytest.raises(LeadershipLostError):
        first.driver.publish_leader_information(
            COMPONENT, LeaderInformation(uuid.uuid4(), "http://nobody:1")
        )
    observe(cluster).wait_for(new)


def overwrite(cluster: ClusterUnderTest, path: str) -> None:
    other = encode_leader_information(LeaderInformation(uuid.uuid4(), "http://intruder:1"))
    cluster.kazoo.set(path, other)


def overwrite_with_garbage(cluster: ClusterUnderTest, path: str) -> None:
    cluster.kazoo.set(path, b"\xac\xed\x00\x05garbage")


def delete(cluster: ClusterUnderTest, path: str) -> None:
    cluster.kazoo.delete(path)


def make_persistent(cluster: ClusterUnderTest, path: str) -> None:
    data, _ = cluster.kazoo.get(path)
    # At once: the leader would write its own between a deletion and a creation.
    transaction = cluster.kazoo.transaction()
    transaction.delete(path)
    transaction.create(path, data)
    transaction.commit()


@pytest.mark.parametrize("meddle", [overwrite, overwrite_with_garbage, delete, make_persistent])
def test_a_foreign_change_is_corrected(
    cluster: ClusterUnderTest, meddle: Callable[[ClusterUnderTest, str], None]
) -> None:
    contender = RecordingContender()
    config = cluster.config()
    with HighAvailabilityServices(config, cluster.open(), SYSTEM_CLOCK) as ha:
        election = ha.leader_election(COMPONENT)
        election.start(contender)
        session_id = contender.wait_for_grant()
        election.confirm_leadership(session_id, "http://here:1").result()
        path = cluster.paths.connection_info(COMPONENT)
        original, before = cluster.kazoo.get(path)
        meddle(cluster, path)

        def corrected() -> bool:
            stat = cluster.kazoo.exists(path)
            return (
                stat is not None
                and stat.mzxid > before.mzxid
                and stat.ephemeralOwner == before.ephemeralOwner
                and cluster.kazoo.get(path)[0] == original
            )

        eventually(corrected)
        assert contender.errors == []


@pytest.mark.parametrize("removals", [1, 1000])
def test_a_parent_removed_while_its_child_is_created_is_no_fatal_error(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, removals: int
) -> None:
    contender = cluster.contender()
    session_id = contender.granted()
    left = removals
    ensure_path = ZooKeeperClient.ensure_path_async

    def removed_meanwhile(client: ZooKeeperClient, *path: Any, **more: Any) -> Any:
        nonlocal left
        if left == 0:
            return ensure_path(client, *path, **more)
        left -= 1
        result = client.handler.async_result()
        result.set_exception(NoNodeError())
        return result

    monkeypatch.setattr(ZooKeeperClient, "ensure_path_async", removed_meanwhile)
    information = LeaderInformation(session_id, "http://here:1")
    if removals == 1:
        contender.driver.publish_leader_information(COMPONENT, information)
        observe(cluster).wait_for(information)
    else:
        with pytest.raises(StoreUnavailableError, match="keeps removing what is above it"):
            contender.driver.publish_leader_information(COMPONENT, information)


def test_retrieval_tells_nobody_while_it_is_unsure(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    proxy, tolerant_proxy = cluster.proxy(), cluster.proxy()
    observer = observe(cluster, ZK_QUORUM=proxy.address)
    tolerant = observe(cluster, ZK_QUORUM=tolerant_proxy.address, ZK_TOLERATE_SUSPENDED=True)
    information = publish(contender)
    observer.wait_for(information)
    tolerant.wait_for(information)
    proxy.cut()
    tolerant_proxy.drop()
    observer.wait_for(None)
    proxy.heal()
    observer.wait_for(information)
    assert None not in tolerant.seen[tolerant.seen.index(information) :]
    tolerant_proxy.cut()  # for good: in the end nothing is sure
    tolerant.wait_for(None)
    tolerant_proxy.heal()
    tolerant.wait_for(information)


def test_foreign_bytes_are_a_clear_error_and_nobody_leads(cluster: ClusterUnderTest) -> None:
    observer = observe(cluster)
    path = cluster.paths.connection_info(COMPONENT)
    cluster.kazoo.create(path, b"\x00" * 200, makepath=True)
    eventually(lambda: observer.errors)
    assert isinstance(observer.errors[0], LeaderRetrievalError)
    assert path in str(observer.errors[0])
    assert observer.seen[-1] is None
    cluster.kazoo.set(path, b"")
    information = LeaderInformation(uuid.uuid4(), "http://flink:8081")
    cluster.kazoo.set(path, encode_leader_information(information))
    observer.wait_for(information)


def test_watches_do_not_pile_up(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    proxy = cluster.proxy()
    observer = observe(cluster, ZK_QUORUM=proxy.address)
    observer.wait_for(publish(contender))
    for _ in range(5):
        seen = len(observer.seen)
        proxy.drop()
        eventually(lambda seen=seen: len(observer.seen) > seen + 1)
    before, changes = len(observer.seen), len(contender.changes)
    for number in range(10):
        observer.wait_for(publish(contender, f"http://here:{number + 10}"))
    # One look for each change, and late ones for the last reconnections on a busy machine. A single
    # watch that was left behind would double them.
    assert len(observer.seen) - before <= 10 + 5
    assert len(contender.changes) - changes <= 2 * 10 + 5
