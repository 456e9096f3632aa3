"""The lock on a real API server: Flink's format, handover, broken networks, wrong clocks."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator

import pytest

from hawork.backends.kubernetes.answers import ConfigMap
from hawork.backends.kubernetes.claims import Claims
from hawork.backends.kubernetes.guarded_map import GuardedMap
from hawork.backends.kubernetes.layout import LOCK
from hawork.backends.kubernetes.lock_record import UNREADABLE, Lock, timestamp
from hawork.backends.kubernetes.supervision import release_leadership
from hawork.core.errors import ConfigurationError, LeadershipLostError, StoreUnavailableError
from hawork.core.types import DISPATCHER, REST_SERVER, LeaderInformation, LeaderSessionID
from hawork.ha.pointer_store import JOB_GRAPHS
from hawork.testing import eventually
from tests.backends.kubernetes.kubernetes_setup import (
    LEASE,
    RETRY,
    ClusterUnderTest,
    SkewedClock,
)
from tests.contract.harness import Observer

LONGER_LEASE = 6.0
LONGER = {"K8S_LEASE_DURATION": f"{LONGER_LEASE:g} s", "K8S_RENEW_DEADLINE": "5 s"}
"""For a leader that has to renew its lease in time, however busy the machine is."""
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def test_the_lock_is_written_as_flink_writes_it(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    session_id = contender.wait_for_grant()
    assert re.fullmatch(
        rf'\{{"holderIdentity":"{session_id}","leaseDuration":2\.000000000,'
        rf'"acquireTime":"{TIME}","renewTime":"{TIME}","leaderTransitions":0\}}',
        cluster.lock_text(),
    )
    found = cluster.get()
    assert found is not None
    assert found["metadata"]["labels"] == {
        "app": cluster.cluster_id,
        "type": "flink-native-kubernetes",
        "configmap-type": "high-availability",
    }
    before = cluster.lock()
    eventually(lambda: cluster.lock()["renewTime"] > before["renewTime"])
    assert cluster.lock()["acquireTime"] == before["acquireTime"]


def test_addresses_are_written_as_flink_writes_them(cluster: ClusterUnderTest) -> None:
    contender = cluster.contender()
    session_id = contender.wait_for_grant()
    contender.driver.publish_leader_information(
        REST_SERVER, LeaderInformation(session_id, "http://10.0.0.7:8081")
    )
    key = "org.apache.flink.k8s.leader.restserver"
    assert cluster.data() == {key: f"{session_id},http://10.0.0.7:8081"}


def test_stopping_releases_the_lock_as_flink_does(cluster: ClusterUnderTest) -> None:
    # What it has for giving up the lock is a retry period.
    contender = cluster.contender(
        K8S_LEASE_DURATION="20 s", K8S_RENEW_DEADLINE="15 s", K8S_RETRY_PERIOD="5 s"
    )
    session_id = contender.wait_for_grant()
    contender.driver.publish_leader_information(
        "dispatcher", LeaderInformation(session_id, "http://here:1")
    )
    contender.driver.close()
    lock = cluster.lock()
    assert (lock["holderIdentity"], lock["leaseDuration"]) == ("", 1.0)
    assert lock["acquireTime"] == lock["renewTime"]
    assert cluster.data() == {}
    second = cluster.contender()
    assert second.wait_for_grant() != session_id
    assert cluster.lock()["leaderTransitions"] == 1


def test_a_supervisor_hands_over_at_once(cluster: ClusterUnderTest) -> None:
    slow = {"K8S_LEASE_DURATION": "60 s", "K8S_RENEW_DEADLINE": "50 s"}  # nobody waits for them
    first = cluster.contender(**slow)
    old, ticket = first.wait_for_grant(), first.driver.ticket()
    second = cluster.contender(**slow)
    assert release_leadership(cluster.config(**slow), ticket)
    first.wait_for_revoke()
    assert not first.driver.has_leadership(old)
    # The process was alive after all: it stands in the election again, with another ticket.
    eventually(lambda: first.tickets)
    assert first.tickets[-1] == first.driver.ticket() != ticket
    eventually(lambda: first.leads or second.leads)
    assert not release_leadership(cluster.config(**slow), ticket), "it works once"
    assert first.leads != second.leads


def test_a_lock_that_was_lost_before_the_grant_is_taken_by_another_identity(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what it once began would be its own again, after another leader's term."""
    claimed, claim_all = threading.Event(), Claims.claim_all

    def claim_late(claims: Claims, session_id: LeaderSessionID) -> None:
        assert claimed.wait(30)
        claim_all(claims, session_id)

    monkeypatch.setattr(Claims, "claim_all", claim_late)
    contender = cluster.contender()
    eventually(lambda: cluster.get() is not None)
    first = cluster.lock()["holderIdentity"]
    assert contender.driver.ticket()["holder"] == first
    cluster.patch(annotations={LOCK: cluster.lock_text().replace(first, "another-leader")})
    eventually(lambda: cluster.lock()["holderIdentity"] not in (first, "another-leader"))
    claimed.set()
    session_id = str(contender.wait_for_grant())
    assert session_id == cluster.lock()["holderIdentity"] == contender.tickets[-1]["holder"]
    assert session_id != first


def test_a_standby_that_may_not_write_keeps_its_identity(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each try of a day without a right would leave one behind."""
    refused = []

    def refuse(*_: object, **__: object) -> None:
        refused.append(1)
        raise StoreUnavailableError("no right to patch")

    with monkeypatch.context() as patched:
        patched.setattr(GuardedMap, "write", refuse)
        contender = cluster.contender()
        first = contender.driver.ticket()
        eventually(lambda: len(refused) >= 3)
        assert contender.driver.ticket() == first and not contender.tickets
    assert str(contender.wait_for_grant()) == first["holder"]


@pytest.mark.parametrize("ticket", [{}, {"type": "zookeeper", "session": "0x1"},
                                    {"type": "kubernetes", "holder": "nobody"}])  # fmt: skip
def test_nothing_else_is_a_ticket(cluster: ClusterUnderTest, ticket: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="not a ticket"):
        release_leadership(cluster.config(), ticket)


@pytest.mark.parametrize("duration", ["2", "2.000000000", '"PT2S"'])
def test_a_leader_that_is_flink_is_waited_for(cluster: ClusterUnderTest, duration: str) -> None:
    first = cluster.contender()
    first.wait_for_grant()
    first.driver.close()
    now = "2020-01-01T00:00:00.000000Z"  # wall clocks decide nothing
    cluster.patch(annotations={LOCK: (
        f'{{"holderIdentity":"flink","leaseDuration":{duration},"acquireTime":"{now}",'
        f'"renewTime":"{now}","leaderTransitions":7}}'
    )})  # fmt: skip
    began = time.monotonic()
    second = cluster.contender()
    session_id = second.wait_for_grant()
    assert second.times["grant", session_id] - began >= LEASE
    assert cluster.lock()["leaderTransitions"] == 8


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("4.000000000", 4.0), ('"PT15S"', 15.0), ('"PT1M0.5S"', 60.5), ('"PT2H"', 7200.0)],
)
def test_a_lease_is_written_by_several_flinks(written: str, seconds: float) -> None:
    text = (
        f'{{"holderIdentity":"flink","leaseDuration":{written},'
        '"acquireTime":"2026-11-26T14:30:51.107581Z","leaderTransitions":0}'
    )
    lock = Lock.of(ConfigMap("name", "uid", "1", {LOCK: text}))
    assert lock is not None
    assert (lock.holder, lock.lease_duration) == ("flink", seconds)


@pytest.mark.parametrize(
    "damage", ['"leaseDuration":NaN', '"leaseDuration":Infinity', '"leaderTransitions":1e999']
)
def test_a_number_that_is_none_makes_a_lock_unreadable(damage: str) -> None:
    text = f'{{"holderIdentity":"flink","leaseDuration":4.0,"acquireTime":"x",{damage}}}'
    lock = Lock.of(ConfigMap("name", "uid", "1", {LOCK: text}))
    assert lock is not None
    assert (lock.holder, lock.lease_duration) == (UNREADABLE, 0.0)


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nobody has claimed the jobs' ConfigMaps before it is set."""
    claim_all, go_on = Claims.claim_all, threading.Event()

    def slowly(claims: Claims, session_id: LeaderSessionID) -> None:
        assert go_on.wait(60)
        claim_all(claims, session_id)

    monkeypatch.setattr(Claims, "claim_all", slowly)
    yield go_on
    go_on.set()


def test_the_lock_is_renewed_while_the_jobs_are_claimed(
    cluster: ClusterUnderTest, go_on: threading.Event
) -> None:
    """With many jobs, or a slow server, that takes longer than a lease lasts."""
    try:
        first = cluster.contender(**LONGER)
        lock = eventually(lambda: cluster.get() and cluster.lock())
        second = cluster.contender(**LONGER)
        held = timestamp(time.time() + 1.5 * LONGER_LEASE)
        eventually(lambda: cluster.lock()["renewTime"] > held)
        assert not (first.leads or second.leads)
    finally:
        go_on.set()
    session_id = first.wait_for_grant()
    assert cluster.lock()["holderIdentity"] == lock["holderIdentity"] == str(session_id)
    assert not second.of("grant")


def test_a_lock_that_is_lost_while_the_jobs_are_claimed_grants_nothing(
    cluster: ClusterUnderTest, go_on: threading.Event
) -> None:
    try:
        contender = cluster.contender()
        eventually(lambda: cluster.get() is not None)
        other = {**cluster.lock(), "holderIdentity": "flink", "leaderTransitions": 1}
        cluster.patch(annotations={LOCK: json.dumps(other)})
        eventually(lambda: cluster.lock()["holderIdentity"] != "flink")
        assert not contender.of("grant")
    finally:
        go_on.set()
    session_id = contender.wait_for_grant()
    assert cluster.lock()["holderIdentity"] == str(session_id)


def test_flink_may_take_the_lock(cluster: ClusterUnderTest) -> None:
    """It judges by wall clocks; whoever loses the lock stops, however that came about."""
    contender = cluster.contender()
    old = contender.wait_for_grant()
    lock = {**cluster.lock(), "holderIdentity": "flink", "leaderTransitions": 1}
    cluster.patch(annotations={LOCK: json.dumps(lock)})
    contender.wait_for_revoke()
    with pytest.raises(LeadershipLostError, match="flink leads"):
        contender.pointers(JOB_GRAPHS).create("a", b"late", old)
    assert contender.wait_for_grant(different_from=old), "it does not renew"


def test_a_lock_that_cannot_be_read_is_outwaited(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    old = leader.wait_for_grant()
    began = time.monotonic()
    cluster.patch(annotations={LOCK: "{damaged"})
    leader.wait_for_revoke()
    after = leader.wait_for_grant(different_from=old)
    assert leader.times["grant", after] - began >= LEASE
    assert cluster.lock()["holderIdentity"] == str(after)


def test_a_deleted_map_comes_back_with_its_pointers(cluster: ClusterUnderTest) -> None:
    contenders = [cluster.contender() for _ in range(3)]
    leader = eventually(lambda: next((each for each in contenders if each.leads), None))
    assert leader is not None and leader.session_id is not None
    leader.pointers(JOB_GRAPHS).create("a", b"one", leader.session_id)
    (before,) = leader.pointers(JOB_GRAPHS).entries()
    known = [each.backend._claims.cluster for each in contenders]
    eventually(
        lambda: all(map_.known and "hawork.jobgraphs.a" in map_.known.data for map_ in known)
    )
    cluster.delete()
    eventually(lambda: cluster.data().get("hawork.jobgraphs.a"))
    assert list(cluster.open().pointers(JOB_GRAPHS).entries()) == [before]
    eventually(lambda: [each.leads for each in contenders].count(True) == 1)


def test_a_standby_that_has_not_seen_all_does_not_restore_a_deleted_map(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It made the map again at once, as it last knew it, and the newest jobs were gone."""
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    leader.pointers(JOB_GRAPHS).create("a", b"one", session_id)
    standby = cluster.contender()
    guarded = standby.backend._claims.cluster
    eventually(lambda: guarded.known is not None and "hawork.jobgraphs.a" in guarded.known.data)
    old, was_deleted = guarded.known, guarded.was_deleted
    assert old is not None
    monkeypatch.setattr(guarded, "saw", lambda _: None)
    monkeypatch.setattr(guarded, "was_deleted", lambda _: was_deleted(old))
    # The leader hears of it when it renews: the standby is told first.
    monkeypatch.setattr(leader.backend._claims.cluster, "was_deleted", lambda _: None)
    leader.pointers(JOB_GRAPHS).create("b", b"two", session_id)
    cluster.delete()
    eventually(lambda: cluster.data().get("hawork.jobgraphs.a"))
    assert cluster.data()["hawork.jobgraphs.b"]
    assert leader.wait_for_grant(different_from=session_id)


def test_a_map_deleted_while_nobody_could_see_it_comes_back(cluster: ClusterUnderTest) -> None:
    leader = cluster.proxied("jm-2")
    session_id = leader.wait_for_grant()
    leader.pointers(JOB_GRAPHS).create("a", b"one", session_id)
    proxy = cluster.control_plane.proxy("jm-2")
    proxy.cut()
    try:
        leader.wait_for_revoke()
        cluster.delete()
    finally:
        proxy.heal()
    leader.wait_for_grant(different_from=session_id)
    assert leader.pointers(JOB_GRAPHS).read("a").value == b"one"
    assert cluster.data()["hawork.jobgraphs.a"]


def test_whoever_was_cut_off_finds_the_leader_in_a_new_map(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    first = LeaderInformation(session_id, "http://here:1")
    leader.driver.publish_leader_information(DISPATCHER, first)
    file = str(cluster.control_plane.kubeconfig("tm-1", proxied=True))
    observer = Observer()
    driver = cluster.open(K8S_CONFIG_FILE=file).retrieval_driver(DISPATCHER, observer)
    observer.wait_for(first)
    proxy = cluster.control_plane.proxy("tm-1")
    proxy.cut()
    try:
        cluster.delete()
        again = leader.wait_for_grant(different_from=session_id)
        second = LeaderInformation(again, "http://here:2")
        leader.driver.publish_leader_information(DISPATCHER, second)
    finally:
        proxy.heal()
    observer.wait_for(second)
    driver.close()


def test_clocks_that_disagree_decide_nothing(cluster: ClusterUnderTest) -> None:
    skews = [0.0, 20.0, -20.0]
    lease = {"K8S_LEASE_DURATION": "10 s", "K8S_RENEW_DEADLINE": "8 s"}  # less than the skew
    contenders = [cluster.contender(SkewedClock(seconds), **lease) for seconds in skews]
    for _ in range(4):
        leader = eventually(lambda: next((each for each in contenders if each.leads), None))
        assert leader is not None
        # Several renewals, which to the others' clocks are long ago or yet to come.
        transitions, renewals = cluster.lock()["leaderTransitions"], set()
        while len(renewals) < 5:
            assert [each.leads for each in contenders].count(True) == 1
            renewals.add(cluster.lock()["renewTime"])
        assert cluster.lock()["leaderTransitions"] == transitions, "nobody was deposed"
        leader.driver.close()
        index = contenders.index(leader)
        contenders[index] = cluster.contender(SkewedClock(skews[index]), **lease)


def test_a_wall_clock_that_stands_still_decides_nothing(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each renewal was what was there already, so that none was seen, and the next one led."""
    monkeypatch.setattr(SkewedClock, "time", lambda _: 1_800_000_000.0)
    first = cluster.contender(SkewedClock(0.0), **LONGER)
    first.wait_for_grant()
    second = cluster.contender(SkewedClock(0.0), **LONGER)
    transitions, renewals = cluster.lock()["leaderTransitions"], set[str]()

    def renewed_for_longer_than_a_lease() -> bool:
        renewals.add(cluster.lock()["renewTime"])
        return len(renewals) > 1.2 * LONGER_LEASE / RETRY

    eventually(renewed_for_longer_than_a_lease)
    assert cluster.lock()["leaderTransitions"] == transitions
    assert first.leads and not second.leads


# --- broken networks -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "blackhole", "to_server", "from_server"])
def test_a_leader_that_is_cut_off_stops_before_another_begins(
    cluster: ClusterUnderTest, how: str
) -> None:
    first = cluster.proxied("jm-2")
    old = first.wait_for_grant()
    second = cluster.contender()
    proxy = cluster.control_plane.proxy("jm-2")
    try:
        if how.endswith("server"):
            proxy.one_way(blocked="upstream" if how == "to_server" else "downstream")
        else:
            getattr(proxy, how)()
        new = second.wait_for_grant()
        first.wait_for_revoke()
        assert not first.driver.has_leadership(old)
        if how != "from_server":
            # Its renewals may have arrived unanswered; else the belief ended long before.
            assert first.times["revoke", old] < second.times["grant", new]
    finally:
        proxy.heal()
    with pytest.raises(LeadershipLostError):
        first.pointers(JOB_GRAPHS).create("a", b"late", old)
    assert second.driver.has_leadership(new)


def test_a_standby_that_is_cut_off_takes_nothing(cluster: ClusterUnderTest) -> None:
    """It sees no renewals any more, and a lease goes by."""
    leader = cluster.contender()
    leader.wait_for_grant()
    standby = cluster.proxied("jm-2")
    eventually(lambda: standby.backend._watch.live)
    proxy = cluster.control_plane.proxy("jm-2")
    proxy.blackhole()
    try:
        later = timestamp(time.time() + 1.5 * LEASE)
        eventually(lambda: cluster.lock()["renewTime"] > later)
        assert not standby.of("grant")
    finally:
        proxy.heal()


def test_a_short_break_costs_nothing(cluster: ClusterUnderTest) -> None:
    contender = cluster.proxied("jm-2", **LONGER)
    session_id = contender.wait_for_grant()
    lock = cluster.lock()
    cluster.control_plane.proxy("jm-2").drop()
    eventually(lambda: cluster.lock()["renewTime"] > lock["renewTime"])
    assert contender.driver.has_leadership(session_id)
    assert not contender.of("revoke")
