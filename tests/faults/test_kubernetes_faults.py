"""The network, the API server and its etcd fail: on Kubernetes every job still ends exact."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from hawork.lab.job import Job
from hawork.testing import eventually
from tests.contract.kubernetes_server import shared_control_plane
from tests.faults.scenario import FAST, Scenario, wait_for_event
from tests.faults.stores import on_shared_kubernetes
from tests.kept_runs import check_kept_run

LEASE = 2.0
OPTIONS = {
    **FAST,
    "high-availability.kubernetes.leader-election.lease-duration": "2 s",
    "high-availability.kubernetes.leader-election.renew-deadline": "1500 ms",
    "high-availability.kubernetes.leader-election.retry-period": "250 ms",
}
PATIENT = {
    **OPTIONS,
    "high-availability.kubernetes.leader-election.lease-duration": "60 s",
    "high-availability.kubernetes.leader-election.renew-deadline": "50 s",
}
"""For what has nothing to do with a lease that ends, however busy the machine is."""
END = 9000


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    """One cluster on a control plane of its own, for all faults one after another."""
    directory = tmp_path_factory.mktemp("kubernetes")
    with LabCluster(3, 2, ha="kubernetes", directory=directory / "lab", options=OPTIONS) as lab:
        yield Scenario(lab, directory)


@pytest.fixture
def scenario(kubernetes: Scenario) -> Iterator[Scenario]:
    """The same, with everything healed and everybody back afterwards."""
    yield kubernetes
    lab = kubernetes.lab
    lab.heal()
    for name, state in lab.processes.items():
        if state.state == "paused":
            lab.resume(name)
        elif state.state == "exited":
            fault = lab.restart(name)
            # Started in the next test's outage, it would be right to refuse to.
            lab.wait_for_event(EventKind.PROCESS_STARTED, name, after=fault).wait()
    lab.leader()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Scenario]:
    """A cluster of its own, whose leases do not end."""
    directory = tmp_path / "lab"
    with LabCluster(2, 2, ha="kubernetes", directory=directory, options=PATIENT) as lab:
        yield Scenario(lab, tmp_path)


def running_job(scenario: Scenario) -> Job:
    """A job of some seconds that has completed a checkpoint."""
    job = scenario.submit(end=END)
    wait_for_event(scenario.lab, EventKind.CHECKPOINT_COMPLETED, job_id=str(job.job_id))
    return job


def check(scenario: Scenario, job: Job) -> None:
    scenario.check_exact(job, end=END)
    scenario.check_nothing_left(job)
    scenario.check_verdict()


def revoked_after(lab: LabCluster, fault: Event) -> Event:
    name = fault.facts["target"]
    return lab.wait_for_event(EventKind.LEADERSHIP_REVOKED, name, after=fault).wait()


def pass_seconds(seconds: float) -> None:
    """The fault lasts this long; that is the scenario, not a way to synchronise."""
    time.sleep(seconds)


def test_kill_the_leader(scenario: Scenario, tmp_path: Path) -> None:
    job = running_job(scenario)
    fault = scenario.lab.kill("leader")
    scenario.lab.wait_for_leader(other_than=fault).wait()
    check(scenario, job)
    tokens = tuple(map(scenario.lab.control_plane.token, ("jm-1", "lab", "admin")))
    kept = check_kept_run(scenario.lab, tmp_path, secrets=tokens)
    assert kept.verdict().valid
    assert "kill" in [takeover.cause for takeover in kept.timeline().takeovers]
    assert set(kept.store_rows().table) == {"lab-cluster-config-map"}


def test_pause_the_leader_past_its_lease(scenario: Scenario) -> None:
    lab = scenario.lab
    job = running_job(scenario)
    fault = lab.pause("leader")
    lab.wait_for_leader(other_than=fault).wait()
    lab.resume(fault.facts["target"])
    revoked_after(lab, fault)
    check(scenario, job)


@pytest.mark.parametrize("how", ["cut", "blackhole", "to_store", "from_store"])
def test_partition_of_the_leader(scenario: Scenario, how: str) -> None:
    lab = scenario.lab
    job = running_job(scenario)
    fault = lab.partition("leader", how)
    lab.wait_for_leader(other_than=fault).wait()
    lab.heal()
    revoked_after(lab, fault)
    check(scenario, job)


def test_partition_of_a_standby_disturbs_nobody(patient: Scenario) -> None:
    lab = patient.lab
    job = running_job(patient)
    leader = lab.leader()
    lab.partition(next(name for name in ("jm-1", "jm-2") if name != leader))
    check(patient, job)
    assert lab.leader() == leader


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "how", "leases"),
    [
        *((*outage, leases)
          for outage in (("api", "kill"), ("api", "pause"), ("etcd", "pause"))
          for leases in (0.5, 3.0)),
        ("etcd", "kill", 3.0),
    ],
)  # fmt: skip
def test_outage(scenario: Scenario, server: str, how: str, leases: float) -> None:
    job = running_job(scenario)
    scenario.lab.store_outage(server, how)
    pass_seconds(leases * LEASE)
    scenario.lab.heal()
    check(scenario, job)


def test_a_leader_without_a_right_makes_room(scenario: Scenario) -> None:
    lab = scenario.lab
    job = running_job(scenario)
    fault = lab.revoke_right("leader", "patch")
    lab.wait_for_leader(other_than=fault).wait()
    revoked_after(lab, fault)
    lab.grant_right(fault.facts["target"], "patch")
    check(scenario, job)


def test_outdated_watches_list_again(scenario: Scenario) -> None:
    lab = scenario.lab
    job = running_job(scenario)
    lab.outdate_watches()
    check(scenario, job)


def test_what_lies_in_the_config_maps_can_be_read(scenario: Scenario) -> None:
    lab = scenario.lab

    def can_be_read() -> bool:
        leader, information = lab.leader(), lab.leader_information()
        assert information is not None
        rows = lab.store_rows()
        assert set(rows.table) == {"lab-cluster-config-map"}
        values = dict(zip(rows.name, rows.value, strict=True))
        holder, lock = lock_of(lab)
        assert (holder, lock["holderIdentity"]) == (leader, str(information.session_id))
        return values["org.apache.flink.k8s.leader.restserver"].endswith(information.address)

    eventually(can_be_read)  # on a busy machine another one may begin to lead meanwhile


def test_what_cannot_be_done_is_refused_with_the_reason(scenario: Scenario) -> None:
    lab = scenario.lab
    before = faults(lab)
    with pytest.raises(LabError, match="on Kubernetes there are none: a leadership lasts as long"):
        lab.expire_session()
    with pytest.raises(LabError, match="tm-1 cannot be cut off from the store"):
        lab.partition("tm-1")
    with pytest.raises(LabError, match="there is no server 'zk-1': use api or etcd"):
        lab.store_outage("zk-1")
    with pytest.raises(LabError, match="there is no outage 'flood': choose one of pause, kill"):
        lab.store_outage(how="flood")
    with pytest.raises(LabError, match="no process 'jm-9'"):
        lab.revoke_right("jm-9")
    assert faults(lab) == before, "what was refused has not happened"


def faults(lab: LabCluster) -> list[Event]:
    return [event for event in lab.event_list() if event.kind is EventKind.FAULT]


def test_without_a_supervisor_the_lease_decides(tmp_path: Path) -> None:
    """On a given API server; its owner finds nothing of the lab there afterwards."""
    control_plane = shared_control_plane()
    given = {
        **OPTIONS,
        "kubernetes.config.file": str(control_plane.kubeconfig("jm-1")),
        "kubernetes.namespace": control_plane.namespace,
    }
    with LabCluster(
        3, 2, ha="kubernetes", directory=tmp_path / "lab", options=given, supervisor=False
    ) as lab:
        scenario = Scenario(lab, tmp_path)
        job = running_job(scenario)
        renewed_at = renewal(lab)
        fault = lab.kill("leader")
        lab.wait_for_leader(other_than=fault).wait()
        granted = [e for e in lab.event_list() if e.kind is EventKind.LEADERSHIP_GRANTED]
        # Not before the lease of the dead leader ran out, which it renewed then, or later.
        assert granted[-1].wall - renewed_at > LEASE
        check(scenario, job)
        for verb in (lab.partition, lab.store_outage, lab.heal):
            with pytest.raises(LabError, match="not for a cluster that was given"):
                verb()
        with pytest.raises(LabError, match="this lab has no control plane"):
            lab.outdate_watches()
        assert maps_of(lab)
    assert not maps_of(lab)


def renewal(lab: LabCluster) -> float:
    """When the leader renewed its lease last, by the wall clock."""
    return datetime.fromisoformat(lock_of(lab)[1]["renewTime"]).timestamp()


def lock_of(lab: LabCluster) -> tuple[str, dict[str, Any]]:
    """Who holds the lock, and its record."""
    rows = lab.store_rows()
    values = dict(zip(rows.name, rows.value, strict=True))
    name, _, record = values["control-plane.alpha.kubernetes.io/leader"].partition("; ")
    return name, json.loads(record)


def maps_of(lab: LabCluster) -> str:
    """The names of a lab's ConfigMaps on the shared API server."""
    control_plane = shared_control_plane()
    path = f"/api/v1/namespaces/{control_plane.namespace}/configmaps"
    prefix = f"{lab.config['kubernetes.cluster-id']}-"
    found = control_plane.admin.must("GET", path)["items"]
    names = (each["metadata"]["name"] for each in found)
    return " ".join(name for name in names if name.startswith(prefix))


SKEWED = """
import os, sys, time
argv, real = " ".join(sys.orig_argv), time.time
if "hawork.runtime" in argv and "jobmanager" in argv:
    seconds = {"jm-2": 20.0, "jm-3": -20.0}
    skew = next((seconds[name] for name in seconds if name in argv), 0.0)
    time.time = lambda: real() + skew
"""


def test_clocks_that_disagree_cost_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every JobManager leads once, each with another idea of what time it is."""
    (tmp_path / "skew").mkdir()
    (tmp_path / "skew" / "sitecustomize.py").write_text(SKEWED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "skew"), prepend=os.pathsep)
    given = {**FAST, **on_shared_kubernetes()}
    with LabCluster(
        3, 2, ha="kubernetes", directory=tmp_path / "lab", options=given, supervisor=False
    ) as lab:
        scenario = Scenario(lab, tmp_path)
        job = running_job(scenario)
        led = {}
        for _ in range(2):
            fault = lab.kill("leader")
            led[fault.facts["target"]] = fault
            lab.wait_for_leader(other_than=fault).wait()
        assert len({*led, lab.leader()}) == 3
        clocks = {e.process: e.wall - e.monotonic for e in lab.event_list()}
        assert max(clocks.values()) - min(clocks.values()) > 39
        check(scenario, job)
