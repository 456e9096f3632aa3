"""Jobs as values: graph, status, result and completed checkpoint."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawork.core.types import JobID, StateHandle

JsonObject = dict[str, Any]


class JobStatus(str, enum.Enum):
    """Flink's ``JobStatus``.

    FINISHED, CANCELED and FAILED are *globally terminal*: the job is over and its HA data
    goes. SUSPENDED is terminal for one JobManager only: another one recovers the job.
    """

    INITIALIZING = "INITIALIZING"
    CREATED = "CREATED"
    RUNNING = "RUNNING"
    FAILING = "FAILING"
    FAILED = "FAILED"
    CANCELLING = "CANCELLING"
    CANCELED = "CANCELED"
    FINISHED = "FINISHED"
    RESTARTING = "RESTARTING"
    SUSPENDED = "SUSPENDED"
    RECONCILING = "RECONCILING"

    @property
    def globally_terminal(self) -> bool:
        return self in _GLOBALLY_TERMINAL

    def __str__(self) -> str:
        return self.value


_GLOBALLY_TERMINAL = frozenset({JobStatus.FINISHED, JobStatus.CANCELED, JobStatus.FAILED})


class ApplicationStatus(str, enum.Enum):
    """How a job ended, in the JobResultStore's words (Flink's ``ApplicationStatus``)."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"

    @property
    def job_status(self) -> JobStatus:
        """The globally terminal status; ``ValueError`` for UNKNOWN, as in Flink."""
        if self is ApplicationStatus.UNKNOWN:
            raise ValueError("application status UNKNOWN stands for no job status")
        return JobStatus.FINISHED if self is ApplicationStatus.SUCCEEDED else JobStatus(self.value)

    @classmethod
    def of(cls, status: JobStatus) -> ApplicationStatus:
        if not status.globally_terminal:
            raise ValueError(f"{status} is not globally terminal")
        return cls.SUCCEEDED if status is JobStatus.FINISHED else cls(status.value)


@dataclass(frozen=True, slots=True)
class RestartStrategy:
    """What happens after a task failed; delays in seconds.

    ``type`` is ``none``, ``fixed-delay`` or ``exponential-delay``, the other fields are
    those of Flink's options ``restart-strategy.<type>.*``.
    """

    type: str = "exponential-delay"
    attempts: int | None = None
    delay: float = 1.0
    initial_backoff: float = 1.0
    max_backoff: float = 60.0
    backoff_multiplier: float = 1.5
    reset_backoff_threshold: float = 3600.0
    jitter_factor: float = 0.1

    def to_json(self) -> JsonObject:
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RestartStrategy:
        return cls(**{name: data[name] for name in cls.__slots__ if name in data})


@dataclass(frozen=True, slots=True)
class JobGraph:
    """All that is needed to run a job again: what to run, on what, and how safely.

    ``artifact`` points to the zip in the blob store that holds ``entry_point``
    (``module:function``); ``config`` is the JSON object handed to that function.
    ``checkpoint_interval`` and ``checkpoint_timeout`` are in seconds, ``submitted_at`` in
    milliseconds since 1970.
    """

    job_id: JobID
    name: str
    entry_point: str
    artifact: StateHandle
    config: JsonObject = field(default_factory=dict)
    parallelism: int = 1
    checkpoint_interval: float | None = None
    checkpoint_timeout: float = 600.0
    retained_checkpoints: int = 1
    restart_strategy: RestartStrategy = field(default_factory=RestartStrategy)
    submitted_at: int = 0

    def to_json(self) -> JsonObject:
        data: JsonObject = {name: getattr(self, name) for name in self.__slots__}
        data["artifact"] = self.artifact.to_json()
        data["restart_strategy"] = self.restart_strategy.to_json()
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JobGraph:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` when ``data`` is no job graph."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        known["job_id"] = JobID(data["job_id"])
        known["artifact"] = StateHandle.from_json(data["artifact"])
        known["restart_strategy"] = RestartStrategy.from_json(data.get("restart_strategy", {}))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended (Flink's ``JobResult``); ``net_runtime`` in milliseconds.

    ``accumulators`` maps names to base64 text and ``failure_cause`` is kept as it stands in
    the file: both may hold Java objects, which are carried along and never decoded.
    """

    job_id: JobID
    application_status: ApplicationStatus
    net_runtime: int = 0
    accumulators: Mapping[str, str] = field(default_factory=dict)
    failure_cause: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SubtaskState:
    """One subtask's share of a checkpoint.

    ``position`` is where its source goes on, ``records`` how many records it has read,
    ``state`` its keyed state (inline, or in the file ``handle`` points to) and ``pending``
    the names of the sink's files that this checkpoint commits. All of it is JSON.
    """

    index: int
    attempt: str
    records: int
    position: Any
    state: Any = None
    handle: StateHandle | None = None
    pending: tuple[str, ...] = ()
    finished: bool = False

    def to_json(self) -> JsonObject:
        data: JsonObject = {name: getattr(self, name) for name in self.__slots__}
        data["handle"] = self.handle.to_json() if self.handle else None
        data["pending"] = list(self.pending)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SubtaskState:
        known = {name: data[name] for name in cls.__slots__ if name in data}
        handle = data.get("handle")
        known["handle"] = StateHandle.from_json(handle) if handle else None
        known["pending"] = tuple(data.get("pending", ()))
        return cls(**known)


@dataclass(frozen=True, slots=True)
class CompletedCheckpoint:
    """A checkpoint that every subtask has acknowledged; times in milliseconds since 1970."""

    job_id: JobID
    checkpoint_id: int
    triggered_at: int
    completed_at: int
    subtasks: tuple[SubtaskState, ...]
    session_id: str = ""

    @property
    def records(self) -> int:
        return sum(subtask.records for subtask in self.subtasks)

    @property
    def finished(self) -> bool:
        """Whether every subtask had read its whole input."""
        return all(subtask.finished for subtask in self.subtasks)

    def to_json(self) -> JsonObject:
        return {
            "job_id": self.job_id,
            "checkpoint_id": self.checkpoint_id,
            "triggered_at": self.triggered_at,
            "completed_at": self.completed_at,
            "session_id": self.session_id,
            "subtasks": [subtask.to_json() for subtask in self.subtasks],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CompletedCheckpoint:
        return cls(
            job_id=JobID(data["job_id"]),
            checkpoint_id=data["checkpoint_id"],
            triggered_at=data["triggered_at"],
            completed_at=data["completed_at"],
            session_id=data.get("session_id", ""),
            subtasks=tuple(SubtaskState.from_json(item) for item in data["subtasks"]),
        )
