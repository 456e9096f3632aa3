"""A cluster in memory whose stores tests can lead, fail and damage."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.configuration import Configuration
from hawork.core.events import EventKind, EventLog
from hawork.core.jobs import (
    ApplicationStatus,
    CompletedCheckpoint,
    JobGraph,
    JobResult,
    SubtaskState,
)
from hawork.core.types import JobID, LeaderSessionID, StateHandle
from hawork.ha.job_files import JobFiles
from hawork.ha.leader_stores import LeaderStores
from hawork.ha.pointer_store import Namespace, PointerStore
from hawork.runtime.resource_manager import ResourceManager
from hawork.runtime.term import Term
from hawork.testing import (
    FailingPointers,
    FailingStorage,
    Failures,
    InMemoryBackend,
    InMemoryCluster,
    InMemoryStorage,
    RecordingSteps,
)

JOB = JobID("0" * 31 + "a")
OTHER_JOB = JobID("0" * 31 + "b")


class FailingBackend(InMemoryBackend):
    """A backend in memory whose pointers fail as planned."""

    def __init__(self, cluster: InMemoryCluster, failures: Failures) -> None:
        super().__init__(cluster)
        self._failures = failures

    def pointers(self, namespace: Namespace) -> PointerStore:  # type: ignore[override]
        return FailingPointers(super().pointers(namespace), self._failures)

    def drop(self, namespace: Namespace | None, session_id: LeaderSessionID | None) -> None:
        drop = super().drop
        self._failures.run("drop", lambda: drop(namespace, session_id))


@dataclass
class World:
    """What outlives a leader: HA store, storageDir and JobResultStore directory."""

    cluster: InMemoryCluster = field(default_factory=InMemoryCluster)
    files: InMemoryStorage = field(default_factory=InMemoryStorage)
    result_files: InMemoryStorage = field(default_factory=InMemoryStorage)
    failures: Failures = field(default_factory=Failures)
    steps: RecordingSteps = field(default_factory=RecordingSteps)
    events: EventLog = field(default_factory=lambda: EventLog("test"))

    def lead(self, **values: Any) -> LeaderStores:
        """The stores of a new leader; those of the one before are deposed."""
        return self.stores(self.cluster.lead(), **values)

    def stores(self, session_id: LeaderSessionID, **values: Any) -> LeaderStores:
        # Nothing is remembered unless a test wants it: an id may be used again at once.
        values = {"hawork.job-result-store.expiration-time": "0 s", **values}
        return LeaderStores(
            Configuration(values),
            FailingBackend(self.cluster, self.failures),
            session_id,
            FailingStorage(self.files, self.failures),
            FailingStorage(self.result_files, self.failures),
            self.steps,
            self.events,
        )

    def term(self, io: Executor, **values: Any) -> Term:
        """A new leader's term, with a resource manager that has no TaskManager."""
        stores = self.lead(**values)
        resources = ResourceManager(stores.session_id, 60.0, SYSTEM_CLOCK, self.events)
        return Term(
            stores.session_id, stores, resources, Configuration(values), SYSTEM_CLOCK,
            self.events, self.steps, io,
        )  # fmt: skip

    def pointers(self, namespace: Namespace) -> dict[str, bytes]:
        backend = self.cluster.backend()
        return {name: entry.value for name, entry in backend.pointers(namespace).entries()}

    def kinds(self, kind: EventKind) -> list[dict[str, Any]]:
        return [event.facts for event in self.events.recent() if event.kind is kind]

    def damage(self, path: str) -> None:
        self.files.files[path] = self.files.files[path][:-1] + b"?"

    def close(self) -> None:
        self.cluster.close()


def graph(job_id: JobID = JOB, name: str = "flights") -> JobGraph:
    return JobGraph(
        job_id=job_id,
        name=name,
        entry_point="flights:delays",
        artifact=StateHandle(f"jobs/{job_id}/blob/x", 1, "x"),
    )


def result(job_id: JobID = JOB, status: str = "SUCCEEDED", net_runtime: int = 42) -> JobResult:
    return JobResult(job_id, ApplicationStatus(status), net_runtime)


def checkpoint(
    checkpoint_id: int, job_id: JobID = JOB, handle: StateHandle | None = None
) -> CompletedCheckpoint:
    subtask = SubtaskState(index=0, attempt="a1", records=7, position=7, handle=handle)
    return CompletedCheckpoint(job_id, checkpoint_id, 1, 2, (subtask,))


def state_file(world: World, name: str, job_id: JobID = JOB) -> StateHandle:
    return JobFiles(world.files, job_id).write_state(name.encode(), name)
