"""A takeover with many stored jobs, each with a checkpoint, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

JOBS = 1000


@dataclass(frozen=True)
class Takeover:
    """Seconds from the kill of a leader to what the next one did."""

    leader: str
    killed: str
    published: float
    restored: float


def take_over(lab: LabCluster, jobs: int = JOBS) -> Takeover:
    """Kill the leader, wait until another one has restored all jobs."""
    killed = lab.leader()
    fault = lab.kill(killed)
    published = wait_until_published(lab, fault)
    restored = wait_until_restored(lab, jobs, published.process, published.session_id)
    return Takeover(
        published.process,
        killed,
        published.monotonic - fault.monotonic,
        restored.monotonic - fault.monotonic,
    )


def start_again(lab: LabCluster, takeover: Takeover) -> None:
    """The leader that was killed stands by, for the next takeover."""
    wait_until_started(lab, lab.restart(takeover.killed), takeover.killed)


def take_over_often(lab: LabCluster, times: int, jobs: int = JOBS) -> list[Takeover]:
    """Takeovers of a lab that has begun, one after the other; each time all stand by again."""
    wait_until_restored(lab, jobs, lab.leader())
    seen = []
    for _ in range(times):
        seen.append(take_over(lab, jobs))
        start_again(lab, seen[-1])
    return seen


def print_takeovers(title: str, seen: Sequence[Takeover]) -> None:
    table = Table(title, "s", first="until")
    table.add("the new leader's address is published", [each.published for each in seen], 3.0)
    table.add("the last job is restored", [each.restored for each in seen], 3.0)
    table.print()


def store_jobs(stores: LeaderStores, jobs: int) -> None:
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


def wait_until_restored(
    lab: LabCluster, jobs: int, leader: str, session_id: str | None = None
) -> Event:
    """The event of the last of all jobs that a leader restored in its present term."""
    known, found = 0, list[Event]()

    def last() -> Event | None:
        nonlocal known
        arrived = lab.arrived_events(known)
        known += len(arrived)
        found.extend(
            event
            for event in arrived
            if event.kind is EventKind.JOB_RESTORED
            and event.process == leader
            and session_id in (None, event.session_id)
        )
        assert len(found) <= jobs, "a job is restored once in a term"
        return found[-1] if len(found) == jobs else None

    event = eventually(last, timeout=300.0, interval=0.2)
    assert event is not None
    return event
