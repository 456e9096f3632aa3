"""An ensemble of three that loses servers, and a single one that is away for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hawork.core.errors import LabError
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.servers.zookeeper.ensemble import ZooKeeperServers
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import SESSION_TIMEOUT, ClusterUnderTest, Contender


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServers]:
    with ZooKeeperServers(tmp_path_factory.mktemp("ensemble"), 3) as servers:
        yield servers


@pytest.fixture
def on_ensemble(ensemble: ZooKeeperServers) -> Iterator[ClusterUnderTest]:
    ensemble.restart()
    cluster = ClusterUnderTest(ensemble)
    yield cluster
    ensemble.resume()
    ensemble.restart()
    cluster.close()


def leader_of(contenders: list[Contender]) -> Contender:
    """The one that leads, once somebody does."""

    def leading() -> list[Contender]:
        leaders = [each for each in contenders if each.leads]
        assert len(leaders) <= 1
        return leaders

    return eventually(leading, timeout=30)[0]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_losing_one_server_of_three(on_ensemble: ClusterUnderTest, role: str) -> None:
    servers = on_ensemble.servers
    # Longer than the servers need to elect one of them.
    values = {"ZK_TOLERATE_SUSPENDED": True, "ZK_SESSION_TIMEOUT": "20 s"}
    backends = [on_ensemble.open(**values) for _ in range(3)]
    contenders = [on_ensemble.contend(backend, wait=False) for backend in backends]
    leader = leader_of(contenders)
    session_id = leader.granted()
    pointers = backends[contenders.index(leader)].pointers(JOB_GRAPHS)
    pointers.create("before", b"1", session_id)
    name = next(name for name in servers.names if servers.role(name) == role)
    servers.kill(name)
    # The connection moves to another server, the session and the leadership live on.
    pointers.create("meanwhile", b"2", session_id)
    assert leader_of(contenders) is leader
    assert leader.granted() == session_id
    assert [entry for entry, _ in pointers.entries()] == ["before", "meanwhile"]


@pytest.mark.slow
def test_without_a_quorum_nobody_leads_and_then_somebody_does(
    on_ensemble: ClusterUnderTest,
) -> None:
    servers = on_ensemble.servers
    contenders = [on_ensemble.contend(on_ensemble.open(), wait=False) for _ in range(3)]
    leader = leader_of(contenders)
    old = leader.granted()
    leading = servers.leader()
    for name in servers.names:
        if name != leading:
            servers.kill(name)
    leader.revoked()
    eventually(lambda: not any(each.leads for each in contenders))
    with pytest.raises(LabError, match="no ZooKeeper server leads"):
        eventually(lambda: servers.leader() is None, timeout=10)
    servers.restart()
    assert leader_of(contenders).granted() != old


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [0.5, 3.0])
def test_an_outage_of_the_only_server(own_cluster: ClusterUnderTest, sessions: float) -> None:
    """At no moment do two lead, and afterwards one does without anybody's help."""
    servers = own_cluster.servers
    contenders = [own_cluster.contender() for _ in range(3)]
    leader_of(contenders).granted()
    servers.pause()
    with pytest.raises(AssertionError):  # watch for as long as the outage lasts
        eventually(
            lambda: [each.leads for each in contenders].count(True) > 1,
            timeout=SESSION_TIMEOUT * sessions,
        )
    servers.resume()
    leader_of(contenders)
