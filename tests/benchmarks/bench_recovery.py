"""A takeover with 1,000 stored jobs, all of which have to be read and restored."""

from __future__ import annotations

from pathlib import Path

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.events import Event, EventKind
from hawork.core.jobs import CompletedCheckpoint, JobGraph, SubtaskState
from hawork.core.types import JobID
from hawork.ha.leader_stores import LeaderStores
from hawork.job import pack_artifact
from hawork.lab import LabCluster
from hawork.lab.flights import JOB
from hawork.testing import eventually
from tests.benchmarks.figures import Table
from tests.benchmarks.lab_events import wait_until_published, wait_until_started
from tests.benchmarks.leading import leadership

JOBS = 1000
TAKEOVERS = 5


def test_recovery_of_many_jobs(tmp_path: Path) -> None:
    """Without TaskManagers: the jobs are restored, and wait for slots."""
    table = Table(f"Takeover with {JOBS:,} stored jobs, each with a checkpoint", "s", first="until")
    published, restored = [], []
    lab = LabCluster(2, 0, directory=tmp_path)
    try:
        with leadership(lab.config) as (_, stores):
            store_jobs(stores)
        lab.start()
        _wait_until_restored(lab, lab.leader())
        for _ in range(TAKEOVERS):
            leader = lab.leader()
            begin = lab.kill(leader)
            takeover = wait_until_published(lab, begin)
            last = _wait_until_restored(lab, takeover.process, takeover.session_id)
            published.append(takeover.monotonic - begin.monotonic)
            restored.append(last.monotonic - begin.monotonic)
            wait_until_started(lab, lab.restart(leader), leader)
    finally:
        lab.close()
    table.add("the new leader's address is published", published, at_most=3.0)
    table.add("the last job is restored", restored, at_most=3.0)
    table.print()


def store_jobs(stores: LeaderStores, jobs: int = JOBS) -> None:
    """Put jobs and their checkpoints where a leader that ran them would have put them."""
    artifact = pack_artifact(JOB)
    now = round(SYSTEM_CLOCK.time() * 1000)
    for number in range(jobs):
        job_id = JobID.random()
        stores.job_graphs.announce(job_id)
        stores.job_graphs.put(
            JobGraph(
                job_id,
                name=f"flights-{number}",
                entry_point=f"{JOB.stem}:delays",
                artifact=stores.blobs.put(job_id, artifact),
                config={"flights": "/data/flights.csv", "output": f"/data/output-{number}"},
                parallelism=2,
                checkpoint_interval=10.0,
                submitted_at=now,
            )
        )
        subtasks = tuple(
            SubtaskState(index, "attempt", 1000, {"checkpoint_id": 1, "record": 0, "source": 0}, {})
            for index in range(2)
        )
        stores.completed_checkpoints(job_id, retained=1).add(
            CompletedCheckpoint(job_id, 1, now, now, subtasks)
        )


def _wait_until_restored(lab: LabCluster, leader: str, session_id: str | None = None) -> Event:
    """The event of the last of all jobs that a leader restored in its present term."""

    def found() -> Event | None:
        restored = [
            event
            for event in lab.event_list()
            if event.kind is EventKind.JOB_RESTORED
            and event.process == leader
            and session_id in (None, event.session_id)
        ]
        assert len(restored) <= JOBS, "a job is restored once in a term"
        return restored[-1] if len(restored) == JOBS else None

    event = eventually(found, timeout=120.0, interval=0.05)
    assert event is not None
    return event
