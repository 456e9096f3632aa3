"""The latch on a real server: order, handover, broken connections, lost sessions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from hawork.backends.zookeeper import client as zk
from hawork.backends.zookeeper.latch import LatchNode
from hawork.backends.zookeeper.paths import session_id_of
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.supervision import release_leadership
from hawork.core import options
from hawork.core.errors import ConfigurationError, LeadershipLostError
from hawork.core.types import LeaderInformation, LeaderSessionID
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.servers.tcp_proxy import TcpProxy
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Contender
from tests.contract.zookeeper_harness import delete_tree


def proxied(cluster: ClusterUnderTest, proxy: TcpProxy, *, tolerate: bool = False) -> Contender:
    return cluster.contender(ZK_QUORUM=proxy.address, ZK_TOLERATE_SUSPENDED=tolerate)


def next_one(
    cluster: ClusterUnderTest, leader: Contender, session_id: LeaderSessionID
) -> tuple[Contender, list[bool]]:
    """A standby, and whether ``leader`` believes that it leads as the standby is granted it."""
    standby, believed = cluster.contender(), list[bool]()
    standby.at_grant = lambda: believed.append(leader.driver.has_leadership(session_id))
    return standby, believed


def test_contenders_lead_in_the_order_of_joining(cluster: ClusterUnderTest) -> None:
    contenders = [cluster.contender() for _ in range(3)]
    session_ids = []
    for contender in contenders:
        session_ids.append(contender.granted())
        assert [each.leads for each in contenders].count(True) == 1
        contender.driver.close()
        assert not contender.leads
    assert len(set(session_ids)) == 3


def test_a_contender_is_an_empty_ephemeral_node_with_a_protected_name(
    cluster: ClusterUnderTest,
) -> None:
    contender = cluster.contender()
    session_id = contender.granted()
    (name,) = cluster.latch()
    data, stat = cluster.kazoo.get(f"{cluster.paths.latch}/{name}")
    assert name.startswith(f"_c_{session_id}-latch-")
    assert len(name.rpartition("-")[2]) == 10
    assert (data, stat.ephemeralOwner) == (b"", int(contender.driver.ticket()["session"], 16))


def test_contenders_of_curator_are_waited_for_and_wait(cluster: ClusterUnderTest) -> None:
    kazoo, paths = cluster.kazoo, cluster.paths
    kazoo.ensure_path(paths.latch)
    foreign = kazoo.create(
        f"{paths.latch}/_c_{UUID(int=7)}-latch-", b"", ephemeral=True, sequence=True
    )
    contender = cluster.contender()
    assert not contender.leads
    later = kazoo.create(
        f"{paths.latch}/_c_{UUID(int=1)}-latch-", b"", ephemeral=True, sequence=True
    )
    kazoo.delete(foreign)
    contender.granted()
    assert kazoo.exists(later) is not None


def test_a_change_of_the_predecessor_is_not_its_end(cluster: ClusterUnderTest) -> None:
    first, second = cluster.contender(), cluster.contender()
    first.granted()
    cluster.kazoo.set(f"{cluster.paths.latch}/{cluster.latch()[0]}", b"changed by somebody")
    first.driver.close()
    second.granted()


def test_closing_is_silent_and_leaves_nothing(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    session_id = contender.granted()
    contender.driver.publish_leader_information(
        "dispatcher", LeaderInformation(session_id, "http://here:1")
    )
    contender.driver.close()
    assert contender.kinds() == ["grant"]
    assert cluster.latch() == []
    assert cluster.kazoo.exists(cluster.paths.connection_info("dispatcher")) is None


def test_a_supervisor_hands_over_at_once(cluster: ClusterUnderTest) -> None:
    first, second = cluster.contender(), cluster.contender()
    old = first.granted()
    assert release_leadership(cluster.config(), first.driver.ticket())
    second.granted()
    assert not first.driver.has_leadership(old)
    first.revoked()
    # The process was alive after all: it stands at the end, with a ticket of its new session.
    eventually(lambda: len(cluster.latch()) == 2)
    eventually(lambda: first.tickets)
    assert first.tickets[-1] == first.driver.ticket()
    assert release_leadership(cluster.config(), first.tickets[-1])


def test_a_ticket_works_once_and_nothing_else_is_a_ticket(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    ticket = contender.driver.ticket()
    assert release_leadership(cluster.config(), ticket)
    assert not release_leadership(cluster.config(), ticket)
    for wrong in ({}, {"session": "x", "password": ""}, {"session": "0x1", "password": "zz"}):
        with pytest.raises(ConfigurationError, match="not a ticket"):
            release_leadership(cluster.config(), wrong)


def test_a_session_that_changes_while_joining_leaves_no_node_behind(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would never end, and nobody behind it would ever lead."""
    backend = cluster.open()
    (session_id, password), joins = backend._session.identity or (0, b""), backend._latch.join

    def join(node_id: UUID) -> LatchNode | None:
        monkeypatch.undo()
        return joins(node_id)

    monkeypatch.setattr(backend._latch, "join", join)
    monkeypatch.setattr(ZooKeeperSession, "identity", (session_id - 1, password))
    cluster.contend(backend).granted()
    assert len(cluster.latch()) == 1


def test_a_node_left_behind_in_ones_own_session_is_removed(cluster: ClusterUnderTest) -> None:
    backend = cluster.open()
    left = backend._latch.join(UUID(int=5))
    assert left is not None
    cluster.contend(backend, wait=False).granted()
    assert len(cluster.latch()) == 1
    assert cluster.kazoo.exists(left.path) is None


def test_a_broken_connection_revokes_at_once_and_costs_the_turn(
    cluster: ClusterUnderTest,
) -> None:
    proxy = cluster.proxy()
    first = proxied(cluster, proxy)
    old = first.granted()
    second = cluster.contender()
    proxy.cut()
    first.revoked()
    assert not first.driver.has_leadership(old)
    proxy.heal()
    new = second.granted()
    eventually(lambda: len(cluster.latch()) == 2)
    assert session_id_of(cluster.latch()[0]) == new


def test_a_lone_contender_leads_again_under_a_new_id(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    contender = proxied(cluster, proxy)
    old = contender.granted()
    pointers = cluster.open().pointers(JOB_GRAPHS)
    proxy.drop()
    contender.revoked()
    assert contender.granted() != old
    with pytest.raises(LeadershipLostError):
        pointers.create("job", b"", old)


def test_a_tolerated_suspension_changes_nothing(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    contender = proxied(cluster, proxy, tolerate=True)
    session_id = contender.granted()
    proxy.drop()
    information = LeaderInformation(session_id, "http://here:1")
    contender.driver.publish_leader_information("dispatcher", information)
    assert contender.leads
    assert contender.kinds() == ["grant"]


@pytest.mark.parametrize("break_it", ["cut", "blackhole", "upstream", "downstream"])
def test_belief_ends_before_another_one_leads(cluster: ClusterUnderTest, break_it: str) -> None:
    """Tolerant or not heard of: the deadline ends the belief, within the session timeout."""
    proxy = cluster.proxy()
    first = proxied(cluster, proxy, tolerate=True)
    old = first.granted()
    second, believed = next_one(cluster, first, old)
    if break_it in ("upstream", "downstream"):
        proxy.one_way(blocked=break_it)
    else:
        getattr(proxy, break_it)()
    first.revoked()
    assert not first.driver.has_leadership(old)
    second.granted()
    assert believed == [False]
    proxy.heal()
    eventually(lambda: len(cluster.latch()) == 2)
    assert second.leads


@pytest.mark.parametrize("hanging", ["a name", "a handshake"])
def test_what_hangs_on_the_way_to_a_server_revokes_a_leader_in_time(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """kazoo waits for it on its own thread; the belief ends on ours, and closing is bounded."""
    leader = cluster.contender(ZK_TOLERATE_SUSPENDED="true", ZK_MAX_CLOSE_WAIT="2 s")
    session_id = leader.granted()
    second, believed = next_one(cluster, leader, session_id)
    back, asked = threading.Event(), threading.Event()

    def hang(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            asked.set()
            assert back.wait(60)
            return real(*args, **named)

        return call

    if hanging == "a name":
        monkeypatch.setattr(socket, "getaddrinfo", hang(socket.getaddrinfo))
    else:  # TLS or SASL, say: whatever follows a connection
        monkeypatch.setattr(zk._Handler, "_connect", hang(zk._Handler._connect))
    try:
        leader.driver._session.drop()
        assert asked.wait(20)
        leader.revoked()
        assert not leader.driver.has_leadership(session_id)
        second.granted()
        assert believed == [False]
        leader.driver.close()
    finally:
        back.set()


def test_a_session_in_which_only_we_can_speak_ends(cluster: ClusterUnderTest) -> None:
    """Each try to connect would keep it, and our latch node, alive."""
    proxy = cluster.proxy()
    first = cluster.contender(ZK_QUORUM=proxy.address, ZK_CONNECTION_TIMEOUT="1 s")
    first.granted()
    second = cluster.contender()
    proxy.one_way(blocked="downstream")
    first.revoked()
    new = second.granted()
    proxy.heal()
    eventually(lambda: len(cluster.latch()) == 2)
    assert second.driver.has_leadership(new)


def test_an_unclear_creation_leaves_one_node(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    backend = cluster.open(ZK_QUORUM=proxy.address)
    cluster.kazoo.ensure_path(cluster.paths.latch)
    proxy.delay(0.3)
    contender = cluster.contend(backend, wait=False)
    # The node is there, the answer is still under way: now the connection breaks.
    eventually(lambda: cluster.latch())
    (created,) = cluster.latch()
    proxy.drop()
    proxy.heal()
    session_id = contender.granted()
    assert cluster.latch() == [created]
    assert session_id_of(created) == session_id


def test_a_removed_latch_node_ends_the_leadership(cluster: ClusterUnderTest) -> None:
    first, second = cluster.contender(), cluster.contender()
    old = first.granted()
    cluster.kazoo.delete(f"{cluster.paths.latch}/{cluster.latch()[0]}")
    second.granted()
    first.revoked()
    assert not first.driver.has_leadership(old)
    eventually(lambda: len(cluster.latch()) == 2)


def test_znodes_deleted_under_a_running_cluster_come_back(cluster: ClusterUnderTest) -> None:
    contenders = [cluster.contender() for _ in range(3)]
    contenders[0].granted()
    before = " ".join(cluster.latch())
    delete_tree(cluster.kazoo, cluster.paths.cluster)
    # Until its watch has told it, the old leader believes.
    (leader,) = eventually(
        lambda: [each for each in contenders if each.leads and str(each.session_id) not in before],
    )
    session_id = leader.granted()
    leader.driver.publish_leader_information(
        "dispatcher", LeaderInformation(session_id, "http://here:1")
    )
    leader.driver.close()
    others = [each for each in contenders if each is not leader]
    eventually(lambda: any(each.leads for each in others))


def test_closing_without_a_connection_gives_up_the_turn_later(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    first = proxied(cluster, proxy)
    first.granted()
    second = cluster.contender()
    proxy.cut()
    first.driver.close()
    proxy.heal()
    second.granted()
    eventually(lambda: len(cluster.latch()) == 1)


def test_a_root_of_somebody_else_is_a_clear_error(cluster: ClusterUnderTest) -> None:
    cluster.kazoo.create("/somebodys-file", b"not a directory of ours", makepath=True)
    backend = cluster.open(ZK_ROOT="/somebodys-file")
    contender = cluster.contend(backend, wait=False)
    contender.wait(lambda me: "error" in me.kinds())
    ((_, error, _),) = contender.calls
    assert isinstance(error, ConfigurationError)
    assert options.ZK_ROOT.key in str(error)
    cluster.kazoo.create("/somebodys-ephemeral", b"", ephemeral=True)
    other = cluster.contend(cluster.open(ZK_ROOT="/somebodys-ephemeral"), wait=False)
    other.wait(lambda me: "error" in me.kinds())


def test_a_standby_watches_its_predecessor_only(cluster: ClusterUnderTest) -> None:
    """Of 50 contenders a failover wakes one."""
    server = cluster.servers.names[0]
    contenders = [
        cluster.contender(ZK_SESSION_TIMEOUT="120 s", ZK_ENSEMBLE_TRACKER=False) for _ in range(50)
    ]
    contenders[0].granted()
    eventually(lambda: int(cluster.servers.metrics(server)["watch_count"]) == 50, timeout=60)
    before = requests(cluster)
    contenders[0].driver.close()
    contenders[1].granted()
    after = requests(cluster)
    busy = [session for session in before if after.get(session, 0) > before[session]]
    ours = {int(each.driver.ticket()["session"], 16) for each in contenders[:2]}
    known = {int(each.driver.ticket()["session"], 16) for each in contenders}
    assert set(busy) & known <= ours


def requests(cluster: ClusterUnderTest) -> dict[int, int]:
    """How many requests each session has sent, as the server counts."""
    counts = {}
    for line in cluster.servers.four_letters(cluster.servers.names[0], "cons").splitlines():
        facts = dict(
            fact.split("=", 1)
            for fact in line.partition("(")[2].rstrip(")").split(",")
            if "=" in fact
        )
        if "sid" in facts:
            counts[int(facts["sid"], 16)] = int(facts["recved"])
    return counts
