"""A lab of real Flink on Kubernetes HA: the same story, the same faults, ConfigMaps to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawork.core import options
from hawork.core.errors import LabError
from hawork.core.jobs import JobStatus
from hawork.lab import FlinkCluster, flights
from hawork.testing import eventually

SECONDS = 90  # for anything that a JVM does on a busy machine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def lab() -> Iterator[FlinkCluster]:
    with FlinkCluster(job_managers=2, task_managers=1, ha="kubernetes") as lab:
        yield lab


def test_the_flights_are_counted_once_over_a_crash(lab: FlinkCluster, tmp_path: Path) -> None:
    arrivals = flights.Arrivals(tmp_path / "arrivals")
    arrivals.bring(100_000)
    config = {"flights": arrivals.directory, "output": tmp_path / "output"}
    job = lab.submit(str(flights.FLINK_JOB), config, parallelism=2)
    job.output_until(lambda rows: len(rows) > 0, SECONDS).wait()
    before = lab.leader_information()

    def pointers() -> bool:
        """Job graph and checkpoint, each with its file, and the counter."""
        said = lab.store_rows()
        rows = dict(zip(said["name"], said["value"], strict=True))
        assert re.match(r"jm-\d; ", rows["control-plane.alpha.kubernetes.io/leader"])
        assert "submittedJobGraph" in rows[f"jobGraph-{job.job_id}"]
        checkpoints = [name for name in rows if name.startswith("checkpointID-")]
        assert checkpoints and "completedCheckpoint" in rows[checkpoints[-1]]
        assert "MISSING" not in " ".join(rows.values())
        assert re.fullmatch(r"next is \d+ \(of Flink\)", rows["counter"])
        return True

    eventually(pointers, timeout=SECONDS)  # a checkpoint may be subsumed while we look

    killed = lab.kill("leader")
    leader = lab.wait_for_leader(other_than=killed, timeout=SECONDS).wait()
    arrivals.bring_all()
    restored = lab.wait_for_event("job.restored", after=killed, timeout=SECONDS).wait()
    assert restored.process == leader
    after = lab.leader_information()
    assert before is not None and after is not None
    assert after.session_id != before.session_id
    job.output_until(lambda rows: rows["count"].sum() >= flights.DEPARTED, SECONDS).wait()
    assert job.stop().wait().status is JobStatus.FINISHED
    comparison = flights.compare(job.output())
    assert comparison.equal, comparison
    assert lab.verdict(comparison).valid
    (takeover,) = lab.timeline().takeovers[-1:]
    assert takeover.cause == "kill"
    assert takeover.seconds > 1.0, "a lease of 4 s cannot end at once"
    lab.restart(str(killed.facts["target"]))


def test_a_leader_that_is_cut_off_hears_of_it_when_it_is_back(lab: FlinkCluster) -> None:
    """Until then it goes on believing, whatever its renew deadline: its request hangs."""
    lab.leader(SECONDS)
    cut = lab.partition("leader", how="blackhole")
    target = str(cut.facts["target"])
    other = lab.wait_for_leader(other_than=cut, timeout=SECONDS).wait()
    lab.heal()
    lab.wait_for_event("leadership.revoked", target, cut, timeout=SECONDS).wait()
    assert lab.leader() == other


def test_a_paused_leader_believes_until_it_wakes(lab: FlinkCluster) -> None:
    """And who attaches sees the same leader as the lab, on a panel, too."""
    lab.leader(SECONDS)
    paused = lab.pause("leader")
    deposed = str(paused.facts["target"])
    other = lab.wait_for_leader(other_than=paused, timeout=SECONDS).wait()
    woken = lab.resume(deposed)
    lab.wait_for_event("leadership.revoked", deposed, woken, timeout=SECONDS).wait()
    assert lab.leader() == other
    with FlinkCluster.attach(lab.directory / "config.yaml") as view:
        assert view.leader(SECONDS)
        assert view.leader_information() == lab.leader_information()
        rows = view.store_rows()
        (lock,) = rows[rows.name.str.endswith("kubernetes.io/leader")].value
        assert lock.startswith(f"{view.leader()}; ")
        view.panels()
        assert view._panel_set is not None
        hub = view._panel_set.hub
        eventually(
            lambda: hub.keyframe["state"]["cluster"]["leader"] == view.leader(), timeout=SECONDS
        )
        assert hub.keyframe["state"]["cluster"]["store"]["kind"] == "kubernetes"
        # Its leader comes from a list already, its connection is one when the watch is open.
        eventually(
            lambda: hub.keyframe["state"]["cluster"]["store"]["state"] == "connected",
            timeout=SECONDS,
        )
        eventually(lambda: hub.keyframe["state"]["store"].get("rows"), timeout=SECONDS)
        assert view.verdict().valid


def test_a_given_cluster_is_left_as_it_was(lab: FlinkCluster) -> None:
    """A cluster-id belongs to one cluster; what a guest leaves under its own is removed."""
    lab.leader(SECONDS)
    namespace = lab.control_plane.namespace
    given = {
        options.K8S_CONFIG_FILE.key: str(lab.control_plane.kubeconfig("jm-3")),
        options.K8S_NAMESPACE.key: namespace,
    }
    taken = {**given, options.K8S_CLUSTER_ID.key: lab.config[options.K8S_CLUSTER_ID.key]}
    with pytest.raises(LabError, match=r"cluster-id lab is used .* kubernetes\.cluster-id, or"):
        FlinkCluster(1, 0, "kubernetes", options=taken).start()

    def maps() -> set[str]:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        found = lab.control_plane.admin.must("GET", path)["items"]
        return {each["metadata"]["name"] for each in found}

    before = maps()
    with FlinkCluster(1, 0, "kubernetes", options=given) as guest:
        assert guest.leader() == "jm-1"
        assert len(maps() - before) == 1
        with pytest.raises(LabError, match="not for a cluster that was given"):
            guest.partition("leader")
    assert maps() == before


def test_the_labs_supervisor_ends_the_wait() -> None:
    """Flink leaves the lock of a dead leader alone until its lease is over."""
    values = {
        options.K8S_LEASE_DURATION.key: "60 s",
        options.K8S_RENEW_DEADLINE.key: "50 s",
    }
    with FlinkCluster(2, 0, ha="kubernetes", supervisor=True, options=values) as lab:
        # The other one must be in the election before the leader dies.
        holders = lambda: {event.process for event in lab.event_list()  # noqa: E731
                           if event.facts.get("holder")}  # fmt: skip
        eventually(lambda: holders() == {"jm-1", "jm-2"}, timeout=SECONDS)
        killed = lab.kill("leader")
        lab.wait_for_leader(other_than=killed, timeout=SECONDS).wait()
        released = lab.wait_for_event("leadership.released", after=killed).wait()
        assert released.facts["of"] == killed.facts["target"]
        (takeover,) = lab.timeline().takeovers
        assert takeover.seconds < 40.0, "the lease would have lasted for 60 s"
