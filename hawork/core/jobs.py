"""Jobs as values: graph, status, result and completed checkpoint."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hawork.core.json_fields import JsonFields
from hawork.core.types import JobID, StateHandle

JsonObject = dict[str, Any]

RESTART_STRATEGIES = ("none", "fixed-delay", "exponential-delay")
MOST_SUBTASKS = 32768
MOST_RETAINED = 1000
MOST_SECONDS = 1e9
_INSTANT = 1e-9  # seconds; an interval is more than nothing


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

    >>> RestartStrategy("fixed-delay", attempts=3, delay=10.0).attempts
    3
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
    def from_json(cls, data: object) -> RestartStrategy:
        """Raises ``ValueError`` when ``data`` is not a restart strategy."""
        fields, plain = JsonFields("restart_strategy", data), cls()
        kind = fields.text("type", plain.type)
        if kind not in RESTART_STRATEGIES:
            raise ValueError(
                f"restart_strategy.type is {kind[:60]!r}: write {', '.join(RESTART_STRATEGIES)}"
            )
        return cls(
            type=kind,
            attempts=fields.whole("attempts") if fields.has("attempts") else None,
            delay=fields.number("delay", plain.delay),
            initial_backoff=fields.number("initial_backoff", plain.initial_backoff),
            max_backoff=fields.number("max_backoff", plain.max_backoff),
            backoff_multiplier=fields.number("backoff_multiplier", plain.backoff_multiplier),
            reset_backoff_threshold=fields.number(
                "reset_backoff_threshold", plain.reset_backoff_threshold
            ),
            jitter_factor=fields.number("jitter_factor", plain.jitter_factor),
        )


@dataclass(frozen=True, slots=True)
class JobGraph:
    """All that is needed to run a job again: what to run, on what, and how safely.

    ``artifact`` points to the zip in the blob store that holds ``entry_point``
    (``module:function``); ``config`` is the JSON object handed to that function.
    ``checkpoint_interval`` and ``checkpoint_timeout`` are in seconds, ``submitted_at`` in
    milliseconds since 1970. ``request`` is a digest of what the client sent, without what the
    JobManager's own options added to it; empty where it is not known.
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
    request: str = ""

    def to_json(self) -> JsonObject:
        data: JsonObject = {name: getattr(self, name) for name in self.__slots__}
        data["artifact"] = self.artifact.to_json()
        data["restart_strategy"] = self.restart_strategy.to_json()
        return data

    def digest(self) -> str:
        """The same for the same job, whenever it is submitted and wherever it is stored."""
        own = {**self.to_json(), "artifact": self.artifact.sha256, "submitted_at": None}
        del own["request"]
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()

    @property
    def submission(self) -> str:
        """By what the submission is known again when the job has ended."""
        return self.request or self.digest()

    def is_of(self, submission: str) -> bool:
        """Whether it comes of the same submission, by which a client asks again for its answer.

        A leader with other defaults may have made another job of it.
        """
        return submission in (self.request, self.digest())

    def is_submitted_again(self, again: JobGraph) -> bool:
        """Whether ``again`` is the same submission, or that of the same job."""
        return self.is_of(again.submission) or self.digest() == again.digest()

    @classmethod
    def from_json(cls, data: object) -> JobGraph:
        """Raises ``KeyError``, ``ValueError`` or ``ConfigurationError`` for any other data."""
        fields = JsonFields("the job graph", data)
        interval = None
        if fields.has("checkpoint_interval"):
            interval = fields.number("checkpoint_interval", least=_INSTANT, most=MOST_SECONDS)
        return cls(
            job_id=JobID(fields.text("job_id")),
            name=fields.text("name"),
            entry_point=fields.text("entry_point"),
            artifact=StateHandle.from_json(fields.object("artifact")),
            config=fields.object("config", {}),
            parallelism=fields.whole("parallelism", 1, least=1, most=MOST_SUBTASKS),
            checkpoint_interval=interval,
            checkpoint_timeout=fields.number(
                "checkpoint_timeout", 600.0, least=_INSTANT, most=MOST_SECONDS
            ),
            retained_checkpoints=fields.whole(
                "retained_checkpoints", 1, least=1, most=MOST_RETAINED
            ),
            restart_strategy=RestartStrategy.from_json(fields.object("restart_strategy", {})),
            submitted_at=fields.whole("submitted_at", 0),
            request=fields.text("request", ""),
        )


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
    def from_json(cls, data: object) -> SubtaskState:
        """Raises ``KeyError`` or ``ValueError`` when ``data`` is none."""
        fields = JsonFields("a subtask's state", data)
        pending = fields.items("pending", ())
        if not all(isinstance(name, str) for name in pending):
            raise ValueError(f"pending is {pending!r:.80}, not a list of texts")
        return cls(
            index=fields.whole("index", most=MOST_SUBTASKS),
            attempt=fields.text("attempt"),
            records=fields.whole("records"),
            position=fields.any("position"),
            state=fields.any("state") if fields.has("state") else None,
            handle=StateHandle.from_json(fields.any("handle")) if fields.has("handle") else None,
            pending=tuple(pending),
            finished=fields.flag("finished", False),
        )


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
    def from_json(cls, data: object) -> CompletedCheckpoint:
        """Raises ``KeyError``, ``ValueError`` or ``ConfigurationError`` when it is none."""
        fields = JsonFields("the checkpoint", data)
        subtasks = tuple(SubtaskState.from_json(item) for item in fields.items("subtasks"))
        indexes = sorted(each.index for each in subtasks)
        if not subtasks or indexes != list(range(len(subtasks))):
            raise ValueError(f"subtasks has the indexes {indexes[:20]}: each once, from 0 on")
        return cls(
            job_id=JobID(fields.text("job_id")),
            checkpoint_id=fields.whole("checkpoint_id", least=1),
            triggered_at=fields.whole("triggered_at"),
            completed_at=fields.whole("completed_at"),
            session_id=fields.text("session_id", ""),
            subtasks=subtasks,
        )
