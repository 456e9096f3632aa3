"""Somebody deletes or overwrites znodes under a running cluster: said, and lived with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from hawork.backends.zookeeper.paths import ZNodePaths
from hawork.core.events import EventKind
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.contract.zookeeper_harness import delete_tree, shared_servers
from tests.faults.scenario import PATIENT, Scenario, wait_for_event
from tests.faults.stores import on_shared_zookeeper

GARBAGE = b"\xac\xed\x00\x05garbage"


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[Scenario]:
    # Neither is the leader that stands still to be replaced before its znodes are damaged, nor
    # the one whose znodes are deleted.
    options = {**on_shared_zookeeper(), **PATIENT}
    with LabCluster(2, 2, ha="zookeeper", directory=tmp_path / "lab", options=options) as lab:
        yield Scenario(lab, tmp_path)


@pytest.fixture
def kazoo() -> Iterator[KazooClient]:
    client = KazooClient(shared_servers().quorum, timeout=10)
    client.start()
    yield client
    client.stop()
    client.close()


def test_damaged_pointers_are_set_aside(scenario: Scenario, kazoo: KazooClient) -> None:
    """Of one job the graph, of another the newest checkpoint and the counter, and a result."""
    lab = scenario.lab
    lost = scenario.submit("copies", end=90_000, rate=2000)  # it must not end before
    job = scenario.submit("copies", end=9000, rate=1500, checkpoint_interval="300 ms")
    root = f"{ZNodePaths.of(lab.config).cluster}/hawork"
    stored = f"{root}/jobs/{job.job_id}/checkpoints"
    eventually(lambda: kazoo.exists(stored) and len(kazoo.get_children(stored)) > 1)
    leader = lab.leader()
    lab.pause(leader)
    *_, older, newest = sorted(kazoo.get_children(stored))
    kazoo.set(f"{stored}/{newest}", GARBAGE)
    kazoo.set(f"{root}/jobs/{job.job_id}/checkpoint_id_counter/counter", GARBAGE)
    kazoo.set(f"{root}/jobgraphs/{lost.job_id}", GARBAGE)
    kazoo.create(f"{root}/results/{'0' * 32}", GARBAGE, makepath=True)
    lab.kill(leader)
    graph = wait_for_event(lab, EventKind.STATE_SET_ASIDE, job_id=lost.job_id)
    assert f"jobgraphs/{lost.job_id}" in graph.facts["reason"]
    wait_for_event(lab, EventKind.STATE_SET_ASIDE, job_id="0" * 32)
    restored = wait_for_event(lab, EventKind.JOB_RESTORED, job_id=job.job_id)
    assert restored.facts["checkpoint_id"] == int(older)
    (said,) = restored.facts["skipped"]
    assert f"checkpoint {int(newest)}" in said
    scenario.check_exact_copies(job, 9000)
    wait_for_event(
        lab, EventKind.STATE_SET_ASIDE, what=f"checkpoint id counter of job {job.job_id}"
    )


def test_deleted_election_znodes_come_back(scenario: Scenario, kazoo: KazooClient) -> None:
    lab = scenario.lab
    job = scenario.submit(end=9000)
    wait_for_event(lab, EventKind.CHECKPOINT_COMPLETED)
    paths = ZNodePaths.of(lab.config)
    delete_tree(kazoo, f"{paths.cluster}/leader")
    wait_for_event(lab, EventKind.LEADERSHIP_REVOKED)
    scenario.check_exact(job, end=9000)
    scenario.check_nothing_left(job)
    scenario.check_verdict()


def test_a_cluster_goes_on_after_all_its_znodes_were_deleted(
    scenario: Scenario, kazoo: KazooClient
) -> None:
    """What was stored in them is lost, and said to be; new jobs run."""
    lab = scenario.lab
    job = scenario.submit(end=90_000)
    wait_for_event(lab, EventKind.CHECKPOINT_COMPLETED)
    leader = lab.leader()
    cluster = ZNodePaths.of(lab.config).cluster
    # The leader's own last: the next one would recover what is still there.
    for child in sorted(kazoo.get_children(cluster), key=lambda name: name == "leader"):
        delete_tree(kazoo, f"{cluster}/{child}")
    wait_for_event(lab, EventKind.LEADERSHIP_REVOKED, process=leader)
    scenario.check_exact(scenario.submit())
    said = wait_for_event(lab, EventKind.STATE_SET_ASIDE, job_id=job.job_id)
    assert "no job graph points to it" in said.facts["reason"]
    assert all(state.alive for state in lab.processes.values())
