"""An ensemble of three that loses servers, and a single one that is away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.core.errors import LabError
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.lab.nemesis.canary import PATH, Canary
from hawork.lab.nemesis.ensemble import entries_of_each, lasting_differences
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

    return eventually(leading)[0]


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
        eventually(lambda: servers.leader() is None)
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


@pytest.mark.slow
def test_servers_that_agree_differ_in_nothing_that_lasts(on_ensemble: ClusterUnderTest) -> None:
    servers = on_ensemble.servers
    backend = on_ensemble.open(ZK_TOLERATE_SUSPENDED=True, ZK_SESSION_TIMEOUT="20 s")
    session_id = on_ensemble.contend(backend).granted()
    backend.pointers(JOB_GRAPHS).create("job", b"1", session_id)
    servers.kill("zk-3")
    backend.pointers(JOB_GRAPHS).create("meanwhile", b"2", session_id)
    servers.restart("zk-3")
    held = entries_of_each(on_ensemble.config())
    assert [len(entries) > 2 for entries in held.values()] == [True] * 3
    assert lasting_differences(on_ensemble.config(), within=20) == []


def test_servers_that_hold_another_state_are_named(
    on_ensemble: ClusterUnderTest, tmp_path: Path
) -> None:
    """Two servers that know nothing of each other: no ensemble can be more at odds."""
    backend = on_ensemble.open()
    session_id = on_ensemble.contend(backend).granted()
    backend.pointers(JOB_GRAPHS).create("job", b"1", session_id)
    first = on_ensemble.servers.quorum.partition(",")[0]
    with ZooKeeperServers(tmp_path, 1) as other:
        config = on_ensemble.config(ZK_QUORUM=f"{first},{other.quorum}")
        found = lasting_differences(config, within=1.0)
    lacking = f"{other.quorum} lacks znode {on_ensemble.paths.pointers}/jobgraphs/job"
    assert any(each.startswith(lacking) for each in found)
    assert all(each.startswith(other.quorum) for each in found)


@pytest.mark.parametrize("back_to", [None, 3])
def test_a_store_that_forgets_acknowledged_writes_is_caught(
    own_cluster: ClusterUnderTest, back_to: int | None
) -> None:
    """What a client sees when the ensemble goes back to an earlier state (ZOOKEEPER-4643)."""
    canary = Canary(own_cluster.config())
    canary.start()
    eventually(lambda: canary.version >= 0)
    own_cluster.servers.kill()
    own_cluster.servers.restart()
    seen = canary.version
    eventually(lambda: canary.version >= seen + 10)
    assert canary.lost == []
    transaction = own_cluster.kazoo.transaction()
    transaction.delete(PATH)
    if back_to is not None:
        transaction.create(PATH, b"")
        for _ in range(back_to):
            transaction.set_data(PATH, b"")
    assert not any(isinstance(each, Exception) for each in transaction.commit())
    eventually(lambda: canary.lost)
    canary.end()
    (lost,) = canary.lost
    assert lost.endswith(f"its version is {-1 if back_to is None else back_to + 1}")
