"""Pointers on a real server: fenced, versioned, and honest about unclear outcomes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from hawork.backends.zookeeper import pointer_store
from hawork.backends.zookeeper.latch import Fence
from hawork.backends.zookeeper.pointer_store import ZooKeeperPointerStore
from hawork.backends.zookeeper.services import ZooKeeperBackend
from hawork.backends.zookeeper.session import ZooKeeperSession
from hawork.backends.zookeeper.supervision import release_leadership
from hawork.core.errors import (
    AlreadyExistsError,
    HighAvailabilityError,
    LeadershipLostError,
    NotExistError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
    VersionMismatchError,
)
from hawork.core.types import NO_LEADERSHIP, JobID, LeaderSessionID
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, checkpoints, counters
from hawork.testing import eventually
from tests.backends.zookeeper.zookeeper_setup import ClusterUnderTest, Contender

JOB = JobID("0000000000000000000000000000000a")


class Leader:
    """A backend that leads, perhaps behind a proxy."""

    def __init__(self, cluster: ClusterUnderTest, **values: object) -> None:
        self.backend: ZooKeeperBackend = cluster.open(**values)
        self.contender: Contender = cluster.contend(self.backend, wait=False)
        self.session_id: LeaderSessionID = self.contender.granted()
        self.pointers: ZooKeeperPointerStore = self.backend.pointers(JOB_GRAPHS)


@pytest.fixture
def leader(cluster: ClusterUnderTest) -> Leader:
    return Leader(cluster)


def test_many_namespaces_are_read_together(leader: Leader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer_store, "_BATCH", 3)
    namespaces = [checkpoints(JobID(f"{number:032x}")) for number in range(8)]
    for number, namespace in enumerate(namespaces[1:], 1):
        store = leader.backend.pointers(namespace)
        for entry in range(number % 3):
            store.create(f"{entry:019d}", f"{number}-{entry}".encode(), leader.session_id)
    found = leader.backend.entries_of(namespaces)
    assert list(found) == [leader.backend.pointers(each).entries() for each in namespaces]
    assert [len(entries) for entries in found] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert leader.backend.entries_of([]) == []


def test_pointers_stand_below_a_child_of_their_own(
    cluster: ClusterUnderTest, leader: Leader
) -> None:
    for namespace, name in (
        (JOB_GRAPHS, JOB), (RESULTS, JOB), (checkpoints(JOB), f"{1:019d}"),
        (counters(JOB), "counter"),
    ):  # fmt: skip
        leader.backend.pointers(namespace).create(name, b"{}", leader.session_id)
    root = f"{cluster.paths.cluster}/hawork"
    for path in (
        f"jobgraphs/{JOB}",
        f"results/{JOB}",
        f"jobs/{JOB}/checkpoints/0000000000000000001",
        f"jobs/{JOB}/checkpoint_id_counter/counter",
    ):
        data, stat = cluster.kazoo.get(f"{root}/{path}")
        assert (data, stat.ephemeralOwner) == (b"{}", 0)
    assert set(cluster.kazoo.get_children(cluster.paths.cluster)) == {"hawork", "leader"}


def test_the_option_for_job_graphs_is_honoured(cluster: ClusterUnderTest) -> None:
    leader = Leader(cluster, ZK_JOBGRAPHS="/my/graphs")
    leader.pointers.create(JOB, b"{}", leader.session_id)
    assert cluster.kazoo.exists(f"{cluster.paths.cluster}/hawork/my/graphs/{JOB}")


def test_a_deposed_leader_changes_nothing(cluster: ClusterUnderTest, leader: Leader) -> None:
    leader.pointers.create("kept", b"1", leader.session_id)
    kept = leader.pointers.read("kept")
    assert kept is not None
    standby = cluster.contender()
    release_leadership(cluster.config(), leader.contender.driver.ticket())
    standby.granted()
    pointers = leader.pointers
    writes: list[Callable[[LeaderSessionID], object]] = [
        lambda session_id: pointers.create("new", b"", session_id),
        lambda session_id: pointers.replace("kept", kept.version, b"2", session_id),
        lambda session_id: pointers.replace("kept", kept.version + 1, b"2", session_id),
        lambda session_id: pointers.delete("kept", session_id),
        lambda session_id: leader.backend.drop(JOB_GRAPHS, session_id),
    ]
    for write in writes:
        for session_id in (leader.session_id, uuid.uuid4(), NO_LEADERSHIP):
            with pytest.raises(LeadershipLostError):
                write(session_id)
    assert list(leader.pointers.entries()) == [("kept", kept)]


def test_another_process_writes_under_the_leadership_it_is_told(
    cluster: ClusterUnderTest, leader: Leader
) -> None:
    other = cluster.open().pointers(JOB_GRAPHS)
    other.create("from-elsewhere", b"1", leader.session_id)
    standby = cluster.contender()
    waiting = cluster.latch()[1].removeprefix("_c_")[:36]
    with pytest.raises(LeadershipLostError):
        other.create("too-early", b"", uuid.UUID(waiting))
    assert not standby.leads


def test_a_version_is_never_used_again(leader: Leader) -> None:
    leader.pointers.create("name", b"1", leader.session_id)
    first = leader.pointers.read("name")
    assert first is not None
    leader.pointers.delete("name", leader.session_id)
    leader.pointers.create("name", b"2", leader.session_id)
    with pytest.raises(VersionMismatchError):
        leader.pointers.replace("name", first.version, b"3", leader.session_id)
    with pytest.raises(NotExistError):
        leader.pointers.replace("absent", first.version, b"3", leader.session_id)


def test_of_concurrent_writers_one_wins(leader: Leader) -> None:
    leader.pointers.create("name", b"0", leader.session_id)
    entry = leader.pointers.read("name")
    assert entry is not None
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            leader.pointers.replace("name", entry.version, b"%d" % number, leader.session_id)
            outcomes.append("replaced")
        except VersionMismatchError:
            outcomes.append("refused")
        try:
            leader.pointers.create("created", b"%d" % number, leader.session_id)
            outcomes.append("created")
        except AlreadyExistsError:
            outcomes.append("existed")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("replaced") == outcomes.count("created") == 1


@pytest.mark.parametrize(
    "name", ["a b", "ä", "a/b", "%2F", ".", "..", "zookeeper", "x" * 200, "a\nb", "\U0001f600"]
)
def test_odd_names_are_kept_exactly(leader: Leader, name: str) -> None:
    leader.pointers.create(name, b"1", leader.session_id)
    entry = leader.pointers.read(name)
    assert entry is not None
    assert [found for found, _ in leader.pointers.entries()] == [name]
    assert leader.pointers.delete(name, leader.session_id)


def test_a_child_below_an_entry_is_named_and_nothing_hangs(
    cluster: ClusterUnderTest, leader: Leader
) -> None:
    """Somebody's hand has put it there: an entry of ours has none."""
    store = leader.backend.pointers(checkpoints(JOB))
    for name in ("1", "2", "3"):
        store.create(name, b"x", leader.session_id)
    child = f"{store.parent}/2/child"
    cluster.kazoo.create(child)
    with pytest.raises(StoreUnavailableError, match=r"/2 cannot be removed.*deleteall"):
        store.delete("2", leader.session_id)
    with pytest.raises(StoreUnavailableError, match=r"/2 cannot be removed.*deleteall"):
        leader.backend.drop(checkpoints(JOB), leader.session_id)
    cluster.kazoo.delete(child)
    leader.backend.drop(checkpoints(JOB), leader.session_id)
    assert store.entries() == []


def test_a_cluster_that_is_in_use_is_not_removed_in_part_and_silently(
    cluster: ClusterUnderTest, leader: Leader, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = cluster.open()
    delete = other._delete

    def joined_meanwhile(path: str) -> None:
        if path.endswith("/latch"):
            cluster.kazoo.create(f"{path}/somebody")
        delete(path)

    monkeypatch.setattr(other, "_delete", joined_meanwhile)
    with pytest.raises(PossibleInconsistentStateError, match="stop the cluster's JobManagers"):
        other.drop(None, None)
    monkeypatch.undo()
    cluster.kazoo.delete(f"{cluster.paths.latch}/somebody")


def test_a_thousand_entries_in_order(leader: Leader) -> None:
    store = leader.backend.pointers(checkpoints(JOB))
    for number in reversed(range(1000)):
        store.create(f"{number:019d}", b"%d" % number, leader.session_id)
    assert [entry.value for _, entry in store.entries()] == [b"%d" % n for n in range(1000)]
    leader.backend.drop(checkpoints(JOB), leader.session_id)
    assert store.entries() == []
    leader.backend.drop(checkpoints(JOB), leader.session_id)


def test_dropping_a_jobs_namespaces_leaves_nothing_of_the_job(
    cluster: ClusterUnderTest, leader: Leader
) -> None:
    for namespace in (checkpoints(JOB), counters(JOB)):
        leader.backend.pointers(namespace).create("1", b"", leader.session_id)
    for namespace in (checkpoints(JOB), counters(JOB)):
        leader.backend.drop(namespace, leader.session_id)
    assert cluster.kazoo.get_children(f"{cluster.paths.cluster}/hawork/jobs") == []


def test_dropping_everything_removes_empty_parents_only(cluster: ClusterUnderTest) -> None:
    root = f"/root-{uuid.uuid4().hex[:8]}"
    leader = Leader(cluster, ZK_ROOT=root)
    leader.pointers.create("name", b"", leader.session_id)
    other = f"{root}/other-cluster"
    cluster.kazoo.create(other, b"")
    leader.contender.driver.close()
    leader.backend.drop(None, None)
    assert cluster.kazoo.get_children(root) == ["other-cluster"]
    cluster.kazoo.delete(other)
    leader.backend.drop(None, None)


# --- unclear outcomes -------------------------------------------------------------------

Write = Callable[[Leader, int], object]
WRITES: dict[str, Write] = {
    "create": lambda leader, _: leader.pointers.create("new", b"v", leader.session_id),
    "replace": lambda leader, version: leader.pointers.replace(
        "old", version, b"v", leader.session_id
    ),
    "delete": lambda leader, _: leader.pointers.delete("old", leader.session_id),
}


class Unclear:
    """A leader whose next transaction meets a network that breaks in one direction."""

    def __init__(self, cluster: ClusterUnderTest, direction: str, **values: object) -> None:
        self.proxy = cluster.proxy()
        self.leader = Leader(
            cluster,
            ZK_QUORUM=self.proxy.address,
            ZK_TOLERATE_SUSPENDED=True,
            **{"ZK_SESSION_TIMEOUT": "20 s", **values},  # so that no check of ours comes first
        )
        self.leader.pointers.create("old", b"o", self.leader.session_id)
        self.before = self.leader.pointers.entries()
        latch = self.leader.backend._latch
        commit = latch.commit

        def commit_behind_a_wall(*arguments: Any) -> list[Any]:
            latch.commit = commit  # type: ignore[method-assign]
            self.proxy.one_way(blocked=direction)
            return commit(*arguments)

        latch.commit = commit_behind_a_wall  # type: ignore[method-assign]

    def start(self, write: Write) -> None:
        self.outcome: list[object] = []

        def run() -> None:
            try:
                self.outcome.append(write(self.leader, self.before[0][1].version))
            except HighAvailabilityError as error:
                self.outcome.append(error)

        self.thread = threading.Thread(target=run)
        self.thread.start()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_whose_answer_was_lost_is_found_to_have_landed(
    cluster: ClusterUnderTest, write: Write
) -> None:
    unclear = Unclear(cluster, "downstream")
    elsewhere = cluster.open().pointers(JOB_GRAPHS)
    unclear.start(write)
    eventually(lambda: elsewhere.entries() != unclear.before)
    unclear.proxy.drop()
    unclear.proxy.heal()
    unclear.thread.join()
    assert unclear.outcome in ([None], [True])


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("tries", [1, 2])
def test_a_write_that_never_arrived_is_sent_again_but_not_for_ever(
    cluster: ClusterUnderTest, write: Write, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unclear = Unclear(cluster, "upstream")
    monkeypatch.setattr(pointer_store, "_TRIES", tries)
    unclear.start(write)
    # What the proxy holds back is lost when its connections are broken.
    eventually(lambda: unclear.proxy.held_back("upstream") > 0)
    unclear.proxy.drop()
    unclear.proxy.heal()
    unclear.thread.join()
    if tries == 1:
        assert isinstance(unclear.outcome[0], StoreUnavailableError)
        assert unclear.leader.pointers.entries() == unclear.before
    else:
        assert unclear.outcome in ([None], [True])
        assert unclear.leader.pointers.entries() != unclear.before


def test_a_write_that_cannot_be_read_back_stays_unclear(cluster: ClusterUnderTest) -> None:
    unclear = Unclear(cluster, "downstream", ZK_CONNECTION_TIMEOUT="1 s")
    elsewhere = cluster.open().pointers(JOB_GRAPHS)
    unclear.start(WRITES["create"])
    eventually(lambda: elsewhere.read("new"))
    unclear.proxy.cut()
    unclear.thread.join()
    assert isinstance(unclear.outcome[0], PossibleInconsistentStateError)


def test_without_a_connection_nothing_is_written(cluster: ClusterUnderTest) -> None:
    proxy = cluster.proxy()
    leader = Leader(cluster, ZK_QUORUM=proxy.address, ZK_CONNECTION_TIMEOUT="1 s")
    proxy.cut()
    leader.contender.revoked()
    for write in WRITES.values():
        with pytest.raises((StoreUnavailableError, LeadershipLostError)):
            write(leader, 1)


def test_a_write_of_an_earlier_session_is_refused_although_its_latch_node_is_there(
    cluster: ClusterUnderTest,
) -> None:
    """n3-60106: the servers were away, the leadership was revoked, and the process had another
    session when they came back; they kept its old latch node for a session timeout."""
    earlier, later = cluster.open(), cluster.open()
    path = f"{cluster.paths.latch}/late"
    held = earlier._latch.fence(cluster.contend(earlier).granted())
    with pytest.raises(LeadershipLostError, match="of session 0x"):
        later._latch.commit(held, lambda transaction: transaction.create(path, b""), path)
    assert cluster.kazoo.exists(held.path)
    assert not cluster.kazoo.exists(path)
    earlier._latch.commit(held, lambda transaction: transaction.create(path, b""), path)
    assert cluster.kazoo.exists(path)


@pytest.mark.parametrize("known", ["the earlier one", "none"])
def test_the_session_counts_in_which_a_write_is_sent(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    """The thread that writes stood still after it had looked whose session it is."""
    earlier, later = cluster.open(), cluster.open()
    path = f"{cluster.paths.latch}/late"
    held = earlier._latch.fence(cluster.contend(earlier).granted())
    seen = None if known == "none" else (held.owner, b"")
    monkeypatch.setattr(ZooKeeperSession, "identity", property(lambda _: seen))
    with pytest.raises(LeadershipLostError, match="of session 0x"):
        later._latch.commit(held, lambda transaction: transaction.create(path, b""), path)
    assert not cluster.kazoo.exists(path)
    later._latch.commit(Fence(held.path), lambda tx: tx.create(path, b""), path)
    assert cluster.kazoo.exists(path)
