"""Pointers in ConfigMaps: claims, lost answers, other writers, size, meddling hands."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from hawork.backends.kubernetes import claims
from hawork.backends.kubernetes.answers import ConfigMap, OutcomeUnknownError
from hawork.backends.kubernetes.client import METADATA, KubernetesClient
from hawork.backends.kubernetes.guarded_map import LARGEST, size_of
from hawork.backends.kubernetes.layout import CLAIMED_BY, MADE_BY
from hawork.core.errors import (
    AlreadyExistsError,
    LeadershipLostError,
    PossibleInconsistentStateError,
    StoreUnavailableError,
)
from hawork.core.types import JobID, LeaderInformation
from hawork.ha.pointer_store import JOB_GRAPHS, RESULTS, checkpoints, counters
from hawork.inspect.kubernetes import read_entries
from hawork.testing import eventually
from tests.backends.kubernetes import kubernetes_setup
from tests.backends.kubernetes.kubernetes_setup import ClusterUnderTest

JOB = JobID("0" * 31 + "a")
OTHER = JobID("0" * 31 + "b")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here waits for a lease to end."""
    for name, seconds in (("LEASE", 20.0), ("RENEW", 15.0), ("RETRY", 1.0)):
        monkeypatch.setattr(kubernetes_setup, name, seconds)


def test_pointers_are_readable_and_beside_flinks(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    cluster.patch(data={f"jobGraph-{JOB}": "flink's"})
    leader.pointers(JOB_GRAPHS).create(JOB, b'{"path": "jobs/x"}', session_id)
    leader.pointers(JOB_GRAPHS).create("odd", b"\xff\x00", session_id)
    data = cluster.data()
    assert data[f"hawork.jobgraphs.{JOB}"].partition(",")[2] == '{"path": "jobs/x"}'
    assert data["hawork.jobgraphs.odd"].partition(";")[2] == "base64,/wA="
    leader.backend.drop(JOB_GRAPHS, session_id)
    assert cluster.data() == {f"jobGraph-{JOB}": "flink's"}


def test_a_job_has_a_map_of_its_own_until_its_last_entry_goes(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    leader.pointers(checkpoints(JOB)).create("1", b"{}", session_id)
    leader.pointers(counters(JOB)).create("next", b"2", session_id)
    name = cluster.names.job_map(JOB)
    found = cluster.get(name)
    assert found is not None
    assert found["metadata"]["annotations"] == {CLAIMED_BY: str(session_id)}
    assert found["metadata"]["labels"]["configmap-type"] == "high-availability"
    assert cluster.data() == {f"hawork.jobs.{JOB}": ""}
    leader.backend.drop(checkpoints(JOB), session_id)
    assert set(cluster.data(name)) == {"hawork.counters.next"}
    leader.backend.drop(counters(JOB), session_id)
    assert cluster.get(name) is None
    assert cluster.data() == {}


@pytest.mark.parametrize("accept", [METADATA, "application/json"])
def test_what_is_known_after_a_write_is_what_is_there(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    """The metadata is what most servers answer; some answer the whole map all the same."""
    monkeypatch.setattr("hawork.backends.kubernetes.client.METADATA", accept)
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    cluster.patch(data={f"jobGraph-{JOB}": "flink's"})
    pointers = leader.pointers(JOB_GRAPHS)
    for name in ("a", "b"):
        pointers.create(name, b"one", session_id)
    pointers.replace("a", dict(pointers.entries())["a"].version, b"two", session_id)
    pointers.delete("b", session_id)
    known, found = leader.backend._claims.cluster.known, cluster.get()
    assert known is not None and found is not None
    assert known.data == found["data"]
    assert known.data.keys() == {f"jobGraph-{JOB}", "hawork.jobgraphs.a"}
    assert known.annotations.keys() == found["metadata"]["annotations"].keys()


def test_what_flink_keeps_for_a_job_stays(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    leader.pointers(checkpoints(JOB)).create("1", b"{}", session_id)
    name = cluster.names.job_map(JOB)
    cluster.patch(name, data={"counter": "17"})
    leader.backend.drop(checkpoints(JOB), session_id)
    assert cluster.data(name) == {"counter": "17"}


def test_the_maps_of_flink_2_are_seen(cluster: ClusterUnderTest) -> None:
    """They lack a label, and share the others with a map that is not HA data."""
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    leader.pointers(checkpoints(JOB)).create("1", b"one", session_id)
    maps = [cluster.names.cluster_map, cluster.names.job_map(JOB)]
    for name in maps:
        cluster.patch(name, labels={"configmap-type": None})
    other = f"flink-config-{cluster.cluster_id}"
    cluster.create(other, {})
    cluster.patch(other, data={"config.yaml": "x" * 2000})
    entries = read_entries(cluster.config())
    assert list(dict.fromkeys(entry.name for entry in entries)) == maps
    fullest = leader.backend.fullest()
    assert fullest.what.removeprefix("ConfigMap ") in maps
    assert fullest.size < 2000


def test_a_deposed_leader_cannot_write_to_a_job_it_knew(cluster: ClusterUnderTest) -> None:
    first = cluster.contender()
    old = first.wait_for_grant()
    pointers = first.pointers(checkpoints(JOB))
    pointers.create("1", b"one", old)
    second = cluster.contender()
    first.driver.close()
    new = second.wait_for_grant()
    found = cluster.get(cluster.names.job_map(JOB))
    assert found is not None
    assert found["metadata"]["annotations"][CLAIMED_BY] == str(new), "before the grant was told"
    for write in (
        lambda: pointers.create("2", b"late", old),
        lambda: pointers.delete("1", old),
        lambda: first.backend.drop(checkpoints(JOB), old),
        lambda: first.pointers(counters(OTHER)).create("next", b"1", old),
    ):
        with pytest.raises(LeadershipLostError):
            write()
    assert cluster.get(cluster.names.job_map(OTHER)) is None
    assert [name for name, _ in second.pointers(checkpoints(JOB)).entries()] == ["1"]
    second.pointers(checkpoints(JOB)).create("2", b"two", new)


def test_a_job_whose_map_is_not_there_yet_gets_it_from_the_next_leader(
    cluster: ClusterUnderTest,
) -> None:
    """Else the deposed one could create it later, in its own name."""
    first = cluster.contender()
    old = first.wait_for_grant()
    first.pointers(checkpoints(JOB)).create("1", b"one", old)
    cluster.delete(cluster.names.job_map(JOB))
    second = cluster.contender()
    first.driver.close()
    new = second.wait_for_grant()
    found = cluster.get(cluster.names.job_map(JOB))
    assert found is not None
    assert found["metadata"]["annotations"] == {CLAIMED_BY: str(new)}
    with pytest.raises(LeadershipLostError):
        first.pointers(checkpoints(JOB)).create("2", b"late", old)


@pytest.mark.parametrize("dies", [False, True], ids=["wakes up", "dies"])
def test_a_map_created_too_late_gives_no_right_to_write(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    """The leader sleeps just before it creates the map, until the job has ended under another."""
    first, job_map = cluster.contender(), cluster.names.job_map(JOB)
    old = first.wait_for_grant()
    client = first.backend._claims._client
    create = client.create
    followers = []

    def late(body: Mapping[str, Any], timeout: float | None = None) -> ConfigMap:
        second = cluster.contender()
        first.driver.close()
        new = second.wait_for_grant()
        followers.append((second, new))
        second.pointers(checkpoints(JOB)).create("1", b"one", new)
        second.backend.drop(checkpoints(JOB), new)
        assert cluster.get(job_map) is None
        created = create(body, timeout)
        if dies:
            raise KeyboardInterrupt
        return created

    monkeypatch.setattr(client, "create", late)
    with pytest.raises(KeyboardInterrupt if dies else LeadershipLostError):
        first.pointers(checkpoints(JOB)).create("1", b"late", old)
    found = cluster.get(job_map)
    if dies:  # there is an empty map, which says nothing to nobody
        assert found is not None
        assert found["metadata"]["annotations"] == {MADE_BY: str(old)}
        assert not found.get("data")
    else:
        assert found is None
    with pytest.raises(LeadershipLostError):
        first.pointers(checkpoints(JOB)).create("2", b"late", old)
    ((second, new),) = followers
    second.pointers(checkpoints(JOB)).create("1", b"another job", new)
    assert cluster.data(job_map).keys() == {"hawork.checkpoints.1"}


@pytest.mark.parametrize("jobs", [True, False], ids=["with jobs", "without"])
def test_a_map_that_was_made_too_late_goes_with_the_next_takeover(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch, jobs: bool
) -> None:
    """Its maker died, or was refused as it removed it; Flink makes such maps, too."""
    monkeypatch.setattr(claims, "_AFTER_TAKEOVER", (0.0, 0.0))
    first = cluster.contender()
    old = first.wait_for_grant()
    if jobs:
        first.pointers(checkpoints(JOB)).create("1", b"one", old)
    late, of_flink = (cluster.names.job_map(JobID(digit * 32)) for digit in "ef")
    cluster.create(late, {MADE_BY: str(old)})
    cluster.create(of_flink, {})
    second = cluster.contender()
    first.driver.close()
    second.wait_for_grant()
    eventually(lambda: cluster.get(late) is None)
    assert cluster.get(of_flink) is not None
    assert (cluster.get(cluster.names.job_map(JOB)) is not None) is jobs


def test_a_map_that_was_made_too_late_goes_when_the_server_refuses_once(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had stayed until the takeover after that. Found by the simulation, twice in 100,000."""
    monkeypatch.setattr(claims, "_AFTER_TAKEOVER", (0.0, 0.0))
    refused: list[str] = []
    delete = KubernetesClient.delete

    def refuse_once(client: KubernetesClient, found: ConfigMap) -> None:
        if not refused:
            refused.append(found.name)
            raise StoreUnavailableError("the server is asked to wait")
        delete(client, found)

    monkeypatch.setattr(KubernetesClient, "delete", refuse_once)
    late = cluster.names.job_map(JobID("e" * 32))
    cluster.create(late, {MADE_BY: "a leader of before"})
    cluster.contender().wait_for_grant()
    eventually(lambda: cluster.get(late) is None)
    assert refused == [late]


def test_a_map_deleted_under_its_leader_is_restored(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    pointers = leader.pointers(checkpoints(JOB))
    pointers.create("1", b"one", session_id)
    (before,) = pointers.entries()
    cluster.delete(cluster.names.job_map(JOB))
    pointers.create("2", b"two", session_id)
    assert pointers.entries()[0] == before
    assert set(cluster.data(cluster.names.job_map(JOB))) == {
        "hawork.checkpoints.1", "hawork.checkpoints.2",
    }  # fmt: skip


def test_a_claim_removed_by_hand_is_made_again(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    leader.pointers(checkpoints(JOB)).create("1", b"one", session_id)
    cluster.patch(cluster.names.job_map(JOB), annotations={CLAIMED_BY: None})
    leader.pointers(checkpoints(JOB)).create("2", b"two", session_id)
    assert len(leader.pointers(checkpoints(JOB)).entries()) == 2


def test_other_writers_cost_a_try_and_no_more(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    pointers, enough = leader.pointers(JOB_GRAPHS), threading.Event()

    def meddle() -> None:
        while not enough.is_set():
            cluster.patch(annotations={"somebody": uuid.uuid4().hex})
            enough.wait(0.01)

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for number in range(30):
            pointers.create(str(number), b"x", session_id)
    finally:
        enough.set()
        meddler.join()
    assert len(cluster.open().pointers(JOB_GRAPHS).entries()) == 30
    assert leader.driver.has_leadership(session_id)


def test_damaged_values_are_told_apart_from_the_rest(cluster: ClusterUnderTest) -> None:
    leader = cluster.contender()
    session_id = leader.wait_for_grant()
    pointers = leader.pointers(JOB_GRAPHS)
    pointers.create("good", b"{}", session_id)
    cluster.patch(data={"hawork.jobgraphs.bad": "not ours", "hawork.jobgraphs.b64": "1;base64,%"})
    reader = cluster.open().pointers(JOB_GRAPHS)
    found = dict(reader.entries())
    assert found["good"].value == b"{}"
    assert found["bad"].value == b"not ours"
    assert found["b64"].value == b"1;base64,%"
    eventually(lambda: pointers.read("bad"))
    pointers.replace("bad", found["bad"].version, b"mended", session_id)
    assert pointers.delete("b64", session_id)


# --- lost answers --------------------------------------------------------------------------

RARE = {"K8S_LEASE_DURATION": "4 s", "K8S_RENEW_DEADLINE": "3 s", "K8S_RETRY_PERIOD": "2500 ms"}
"""The write goes out on the connection that is open. A renewal that is under way would have it,
and another one cannot be opened while answers are held back."""


def test_a_write_whose_answer_is_lost_is_in_doubt_and_then_found(
    cluster: ClusterUnderTest,
) -> None:
    leader = cluster.proxied("jm-2", **RARE)
    session_id = leader.wait_for_grant()
    pointers, proxy = leader.pointers(RESULTS), cluster.control_plane.proxy("jm-2")
    proxy.one_way(blocked="downstream")
    try:
        with pytest.raises(PossibleInconsistentStateError, match="unknown whether"):
            pointers.create("a", b"one", session_id)
        leader.wait_for_revoke()
    finally:
        proxy.heal()
    # It did arrive, and the map shows it, to whoever leads by now.
    assert cluster.data()["hawork.results.a"].endswith(",one")
    again = leader.wait_for_grant(different_from=session_id)
    with pytest.raises(AlreadyExistsError):
        pointers.create("a", b"two", again)


def test_a_write_whose_answer_is_lost_is_read_back(cluster: ClusterUnderTest) -> None:
    """The connection breaks after the request was sent, and a new one is let through."""
    leader = cluster.proxied(
        "jm-2", K8S_LEASE_DURATION="30 s", K8S_RENEW_DEADLINE="30 s", K8S_RETRY_PERIOD="25 s"
    )
    session_id = leader.wait_for_grant()
    pointers, proxy = leader.pointers(RESULTS), cluster.control_plane.proxy("jm-2")
    proxy.one_way(blocked="downstream")
    done: list[BaseException | None] = []

    def create() -> None:
        try:
            pointers.create("a", b"one", session_id)
            done.append(None)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            done.append(error)

    writer = threading.Thread(target=create)
    writer.start()
    eventually(lambda: "hawork.results.a" in cluster.data())
    proxy.heal()
    proxy.drop()
    writer.join(20)
    assert done == [None]
    found = pointers.read("a")
    assert found is not None and found.value == b"one"


def test_a_write_that_was_not_sent_is_not_in_doubt(cluster: ClusterUnderTest) -> None:
    leader = cluster.proxied("jm-2")
    session_id = leader.wait_for_grant()
    proxy = cluster.control_plane.proxy("jm-2")
    proxy.close()
    with pytest.raises((StoreUnavailableError, PossibleInconsistentStateError)):
        leader.pointers(RESULTS).create("a", b"one", session_id)
    del cluster.control_plane._proxies["jm-2"]
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        leader.pointers(RESULTS).create("b", b"two", session_id)
    assert cluster.data() == {}


def test_writes_that_may_arrive_late_are_in_doubt(
    cluster: ClusterUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None was there when it was read back; the last one may be on its way, and valid still."""
    leader = cluster.contender(K8S_MAX_RETRIES=1)
    session_id = leader.wait_for_grant()
    pointers = leader.pointers(RESULTS)

    def lost(*_: object) -> None:
        raise OutcomeUnknownError("no answer in time")

    monkeypatch.setattr(leader.backend._claims.cluster._client, "patch", lost)
    try:
        with pytest.raises(PossibleInconsistentStateError, match="unknown whether"):
            pointers.create("a", b"one", session_id)
    finally:
        monkeypatch.undo()


# --- size ----------------------------------------------------------------------------------


def test_a_full_map_refuses_clearly_and_goes_on(cluster: ClusterUnderTest) -> None:
    # A megabyte goes to and fro with each write: this is not about time.
    leader = cluster.contender(
        K8S_LEASE_DURATION="30 s", K8S_RENEW_DEADLINE="30 s", K8S_RETRY_PERIOD="5 s"
    )
    session_id = leader.wait_for_grant()
    pointers, chunk = leader.pointers(JOB_GRAPHS), b"x" * 100_000
    stored = 0
    with pytest.raises(StoreUnavailableError, match=r"would take \d+ bytes, and \d+ is the most"):
        for stored in range(12):
            pointers.create(f"job-{stored}", chunk, session_id)
    assert stored >= 9
    assert len(pointers.entries()) == stored
    assert size_of(cluster.data()) < LARGEST
    # The leader is found, and jobs can end, all the same.
    leader.driver.publish_leader_information(
        "dispatcher", LeaderInformation(session_id, "http://here:1")
    )
    assert pointers.delete("job-0", session_id)
    pointers.create("job-new", b"x" * 50_000, session_id)
