"""A cluster as its HA data tells it: who leads, which jobs, their checkpoints and results.

Facts only. What is wrong with them is said by the questions, what Flink does with them by
``recovery``. Whatever could not be looked at is ``None`` here and listed in ``not_looked_at``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from hawork.core.types import LeaderInformation
from hawork.inspect.checkpoints import CompletedCheckpoint
from hawork.inspect.configmaps import ConfigMap
from hawork.inspect.entries import Entry
from hawork.inspect.finding import Object
from hawork.inspect.job_graphs import JobGraphFacts
from hawork.inspect.own import OwnJobs
from hawork.inspect.pointers import FlinkPointer, LockRecord
from hawork.inspect.probes import Probes
from hawork.inspect.settings import Settings
from hawork.inspect.stored_files import StoredFiles
from hawork.inspect.versions import FlinkVersions
from hawork.inspect.znodes import ZooKeeperTree

__all__ = [
    "Backend", "Checkpoint", "Cluster", "Counter", "Fault", "JobGraph", "JobView", "LatchNode",
    "LeaderAddress", "Leadership", "LockNode", "LooseFile", "MissingState", "Moment", "NotLooked",
    "OtherCluster", "PointedFile", "ResultFile", "Savepoint", "StoredPointer", "job_of_component",
]  # fmt: skip

Backend: TypeAlias = Literal["zookeeper", "kubernetes", "embedded"]
Fault: TypeAlias = Literal["not-base64", "not-java"]


@dataclass(frozen=True, slots=True)
class Moment:
    """When the data was taken: not before ``earliest``, and not after ``latest``."""

    earliest: float | None = None
    latest: float | None = None


@dataclass(frozen=True, slots=True)
class NotLooked:
    """A source that was not there, or of which a part could not be read."""

    what: str
    why: str


@dataclass(slots=True)
class PointedFile:
    """The file that a pointer names. ``looked`` is ``False`` when no storage covers it."""

    name: str
    looked: bool
    size: int | None = None
    """Bytes it has; ``None``: it is not there, or was not looked at."""
    error: str = ""
    """Why its bytes are not what they should be."""
    offset: int | None = None

    @property
    def missing(self) -> bool:
        return self.looked and self.size is None

    @property
    def object(self) -> Object:
        return Object("file", self.name)


@dataclass(slots=True)
class StoredPointer:
    """A pointer: decoded, or with the reason why not.

    ``fault`` is ``not-base64`` (Kubernetes only) or ``not-java``: Flink treats the two differently.
    """

    entry: Entry
    pointer: FlinkPointer | None = None
    fault: Fault | None = None
    reason: str = ""
    marked: bool = False
    """Marked for deletion: the marker is set, or the znode has no ``locks`` child."""
    file: PointedFile | None = None
    moment: Literal["of its files", "before its files", "after its files"] = "of its files"
    """When the pointer was looked at: a leader may have gone on in between (``moments``)."""


@dataclass(slots=True)
class MissingState:
    """A file of state that is not there (``size`` is ``None``), or is shorter than ``wanted``."""

    name: str
    wanted: int
    size: int | None
    owner: str = ""


@dataclass(slots=True)
class Checkpoint(StoredPointer):
    """A checkpoint pointer, the file it leads to, and the files that one names."""

    checkpoint_id: int | None = None
    """The id in the pointer's name."""
    content: CompletedCheckpoint | None = None
    state_looked: bool = False
    missing: list[MissingState] = field(default_factory=list)
    metadata: Literal["there", "missing", "not looked"] = "not looked"
    metadata_name: str = ""
    metadata_error: str = ""
    metadata_differs: str = ""
    only_in_metadata: list[str] = field(default_factory=list)
    """Files of state that ``_metadata`` names and the file in storageDir does not."""

    @property
    def whole(self) -> bool:
        """Whether pointer, file and every file of state were looked at and are good."""
        return (
            self.pointer is not None
            and self.content is not None
            and self.file is not None
            and not self.file.error
            and not self.missing
        )


@dataclass(slots=True)
class JobGraph(StoredPointer):
    """The pointer of a job graph, or of an execution plan (Flink 2), and its file."""

    plan: bool = False
    content: JobGraphFacts | None = None
    artifacts: list[PointedFile] = field(default_factory=list)
    """The jars of the job."""


@dataclass(slots=True)
class Counter:
    """The checkpoint id counter: the *next* id. ``value`` is ``None`` when it cannot be read."""

    entry: Entry
    value: int | None
    reason: str = ""


@dataclass(slots=True)
class ResultFile:
    """A file of the JobResultStore; ``job_id`` from its name, ``content_id`` from inside."""

    name: str
    job_id: str
    dirty: bool
    content_id: str | None = None
    status: str | None = None
    error: str = ""
    modified: float | None = None

    @property
    def object(self) -> Object:
        return Object("file", self.name)


@dataclass(slots=True)
class Savepoint:
    """The snapshot that a job was first started from, which counts while it has no checkpoint."""

    url: str
    file: PointedFile
    """Its ``_metadata``."""
    checkpoint_id: int | None = None
    operator_ids: frozenset[str] = frozenset()
    state_looked: bool = False
    missing: list[MissingState] = field(default_factory=list)


@dataclass(slots=True)
class JobView:
    """All that is stored of one job."""

    job_id: str
    graphs: list[JobGraph] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    """In the order of their names, as Flink sorts them."""
    counter: Counter | None = None
    place: Object | None = None
    """Where its checkpoints are kept, whether it is there or not."""
    place_exists: bool = False
    dirty: ResultFile | None = None
    clean: ResultFile | None = None
    ended: bool = False
    """It ended, and was cleaned up, after the store was dumped (``moments``)."""
    torn: bool = False
    """Its checkpoint pointers were replaced while they were dumped (``moments``)."""
    never_pointed: bool = False
    """The store never had a checkpoint pointer of it: its first one was under way (``moments``)."""
    replaced_by: int | None = None
    """The newest checkpoint in a storage that was dumped after the store (``moments``)."""
    name_in_files: str = ""
    """Its name in a job graph that no pointer leads to."""
    savepoint: Savepoint | None = None
    """What it would begin with again; looked for only when no checkpoint pointer can be taken."""
    lost: bool = False
    """The store has nothing of it, and its files are this cluster's own (``lost_jobs``)."""

    @property
    def object(self) -> Object:
        return Object("job", self.job_id)

    @property
    def name(self) -> str:
        """The job's name, or the empty text when no job graph could be read."""
        for graph in self.graphs:
            if graph.content is not None:
                return graph.content.name or ""
        return self.name_in_files


@dataclass(slots=True)
class LatchNode:
    """A contender's node below ``leader/latch``."""

    entry: Entry
    sequence: int


_OF_JOB: Final = re.compile(r"(?:job-)?([0-9a-f]{32})")


def job_of_component(component: str) -> str | None:
    """The job whose leader this component is; ``None``: one of the cluster's own.

    Flink before 1.19 calls it by the id alone.

    >>> job_of_component("job-00000000000000000000000000000001")
    '00000000000000000000000000000001'
    """
    match = _OF_JOB.fullmatch(component)
    return match[1] if match else None


@dataclass(slots=True)
class LeaderAddress:
    """What a component published: ``information`` is ``None`` when it is empty or unreadable."""

    component: str
    entry: Entry
    information: LeaderInformation | None
    error: str = ""
    job_id: str | None = None


@dataclass(slots=True)
class Leadership:
    """The lock and what is published under it."""

    place: Object
    """The latch, or the ConfigMap of the cluster."""
    exists: bool = False
    created: float | None = None
    latch: list[LatchNode] = field(default_factory=list)
    """First the one that leads."""
    record: LockRecord | None = None
    record_error: str = ""
    addresses: list[LeaderAddress] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    """Ids of the jobs for which a leader was published, if only its place is left."""

    @property
    def held(self) -> bool:
        """Whether another process holds the lock, as far as the store says."""
        return bool(self.latch) or (self.record is not None and bool(self.record.holder))

    @property
    def lease_end(self) -> float | None:
        """When the lease runs out; ``None``: it is free, or does not say when."""
        record = self.record
        if record is None or not record.holder or record.renew_time is None:
            return None
        return record.renew_time + record.lease_duration

    def expired(self, moment: float | None) -> float | None:
        """Seconds since the lease certainly ran out, at ``moment``."""
        if self.lease_end is None or moment is None or moment <= self.lease_end:
            return None
        return moment - self.lease_end

    @property
    def record_refused(self) -> str:
        """Why Flink's elector cannot read the leader annotation; empty when it can."""
        return self.record_error or (self.record.refused if self.record is not None else "")

    @property
    def record_missing(self) -> bool:
        """Whether the ConfigMap of the lock is there without its leader annotation."""
        in_map = self.exists and self.place.kind == "configmap"
        return in_map and self.record is None and not self.record_error

    @property
    def published(self) -> list[LeaderAddress]:
        return [address for address in self.addresses if address.information is not None]


@dataclass(slots=True)
class LockNode:
    """A node below a pointer's ``locks``."""

    entry: Entry
    pointer: Entry
    job_id: str
    of_job_graph: bool


@dataclass(slots=True)
class LooseFile:
    """A file in the cluster's directory of storageDir that no pointer names."""

    name: str
    size: int
    modified: float | None
    kind: Literal["job graph", "execution plan", "completed checkpoint"]
    job_id: str | None = None
    checkpoint_id: int | None = None
    content: CompletedCheckpoint | None = None
    job_name: str = ""
    """That in a job graph."""
    later: bool = False
    """Of a job that was submitted after the store was dumped (``moments``)."""
    error: str = ""

    @property
    def object(self) -> Object:
        return Object("file", self.name)


@dataclass(slots=True)
class OtherCluster:
    """Another cluster in the same dump; ``urls`` are those of its pointers."""

    cluster_id: str
    objects: tuple[Object, ...]
    renewed: float | None = None
    urls: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Cluster:
    """Everything that was looked at."""

    backend: Backend | None = None
    cluster_id: str = ""
    root: str = ""
    """The znode of the cluster; empty on Kubernetes."""
    settings: Settings = field(default_factory=Settings)
    files: StoredFiles | None = None
    store_looked: bool = False
    storage_looked: bool = False
    """Whether the cluster's directory of storageDir was listed."""
    results_looked: bool = False
    leadership: Leadership | None = None
    jobs: dict[str, JobView] = field(default_factory=dict)
    results: list[ResultFile] = field(default_factory=list)
    locks: list[LockNode] = field(default_factory=list)
    loose: list[LooseFile] = field(default_factory=list)
    others: list[OtherCluster] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes by ConfigMap."""
    graphs_place: Object | None = None
    graphs_place_exists: bool = False
    checkpoint_folders: Mapping[str, list[int]] = field(default_factory=dict)
    """Ids of ``chk-<id>`` folders with a ``_metadata`` file, by job."""
    session_timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds that a ZooKeeper server granted, by session."""
    maps: tuple[ConfigMap, ...] = ()
    """The store as it was given, whole: ConfigMaps, or a tree."""
    tree: ZooKeeperTree | None = None
    store_moment: float | None = None
    """When the store was looked at, at the earliest: storageDir is dumped before or after it."""
    store_read: float | None = None
    """When the store was read, or its dump was written: at the latest."""
    original_times: bool = False
    """Whether the files' times are those at which they were written (``moments``)."""
    moment: Moment = field(default_factory=Moment)
    live: bool = False
    versions: FlinkVersions = field(default_factory=FlinkVersions)
    """Which releases may have run this cluster."""
    versions_because: list[str] = field(default_factory=list)
    not_looked_at: list[NotLooked] = field(default_factory=list)
    own: OwnJobs = field(default_factory=OwnJobs)
    """hawork's jobs, which lie apart from Flink's."""
    probes: Probes = field(default_factory=Probes)

    def job(self, job_id: str) -> JobView:
        """The view of a job, made if need be."""
        if job_id not in self.jobs:
            self.jobs[job_id] = JobView(job_id)
        return self.jobs[job_id]

    @property
    def of_hawork(self) -> bool:
        """Whether only hawork itself ran it, whose rules are others than Flink's."""
        return self.backend == "embedded" or (bool(self.own) and not self.stored_jobs)

    @property
    def stored_jobs(self) -> list[JobView]:
        """The jobs that the HA store knows."""
        return [job for job in self.jobs.values() if job.graphs or job.checkpoints
                or job.counter is not None or job.place_exists]  # fmt: skip

    @property
    def pointers(self) -> Iterator[StoredPointer]:
        for job in self.jobs.values():
            yield from job.graphs
            yield from job.checkpoints

    def place_of(self, job_id: str) -> Object:
        """Where the checkpoints of a job are kept in the store."""
        if self.backend == "kubernetes":
            return Object("configmap", f"{self.cluster_id}-{job_id}-config-map")
        return Object("znode", f"{self.root}/jobs/{job_id}")

    def loose_of(self, job_id: str, *, graphs: bool | None = None) -> list[LooseFile]:
        """Unreferenced files of a job: its job graphs, its checkpoints (``False``), or both."""
        return [
            file
            for file in self.loose
            if file.job_id == job_id
            and (graphs is None or graphs == (file.kind != "completed checkpoint"))
        ]

    def miss(self, what: str, why: str) -> None:
        """Note that something could not be looked at."""
        missed = NotLooked(what, why)
        if missed not in self.not_looked_at:
            self.not_looked_at.append(missed)
