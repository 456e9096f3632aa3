"""Typed events: what happened, when, in which process, under which leadership.

Each process appends its events to one file of JSON lines in the run directory. Timeline,
panels, frames and test assertions read these files and nothing else.
"""

from __future__ import annotations

import enum
import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hawork.core.clock import SYSTEM_CLOCK, Clock


class EventKind(str, enum.Enum):
    """What happened. The comment lists the facts an event of the kind carries.

    >>> EventKind("leadership.granted") is EventKind.LEADERSHIP_GRANTED
    True
    """

    PROCESS_STARTED = "process.started"  # pid, role, address
    PROCESS_STOPPED = "process.stopped"  # pid, reason
    PROCESS_EXITED = "process.exited"  # pid, status (seen by the supervisor)
    LEADERSHIP_GRANTED = "leadership.granted"
    # component, address; of a process of Flink that is published anew: again_after, the session
    # that was published in between
    LEADERSHIP_CONFIRMED = "leadership.confirmed"
    LEADERSHIP_REVOKED = "leadership.revoked"  # reason
    LEADERSHIP_RELEASED = "leadership.released"  # of (the process), by the supervisor
    LEADER_RETRIEVED = "leader.retrieved"  # component, address or None
    STEP_REACHED = "step.reached"  # what the step is about, such as checkpoint_id
    STEP_ARMED = "step.armed"  # the same, and action
    STEP_CONTINUED = "step.continued"
    POINTER_WRITTEN = "pointer.written"  # namespace, name, operation, seconds
    POINTER_REFUSED = "pointer.refused"  # namespace, name, operation, seconds, reason
    STATE_SET_ASIDE = "state.set_aside"  # what, reason
    JOB_ACKNOWLEDGED = "job.acknowledged"  # name
    JOB_STATUS = "job.status"  # status, reason
    JOB_RESTORED = "job.restored"  # checkpoint_id, records, skipped
    CHECKPOINT_TRIGGERED = "checkpoint.triggered"  # checkpoint_id
    CHECKPOINT_COMPLETED = "checkpoint.completed"  # checkpoint_id, records, bytes, milliseconds
    CHECKPOINT_FAILED = "checkpoint.failed"  # checkpoint_id, reason
    TASK_STATUS = "task.status"  # attempt, index, status, reason
    TASKMANAGER_REGISTERED = "taskmanager.registered"  # taskmanager, slots
    TASKMANAGER_LOST = "taskmanager.lost"  # taskmanager, reason
    JOB_RESULT = "job.result"  # application_status, state (dirty, clean)
    OUTPUT_COMPARED = "output.compared"  # records, lost, duplicated, different (by the lab)
    PREDICTION = "prediction"  # question, unit, guess or observed (by the lab, for a learner)
    FAULT = "fault"  # verb, target (written by the lab)
    # state, session, session_timeout, requested_timeout, and a note when these two differ;
    # on Kubernetes a process of Flink has a holder, its identity in the election
    STORE_CONNECTION = "store.connection"
    HOST_STALLED = "host.stalled"  # seconds
    ERROR = "error"  # message

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``wall`` is in seconds since 1970, ``monotonic`` in seconds of the machine's monotonic
    clock (comparable between the processes of one machine); ``process`` is its name, such
    as ``jm-1``.
    """

    kind: EventKind
    process: str
    wall: float
    monotonic: float
    session_id: str | None = None
    job_id: str | None = None
    step: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "kind": self.kind.value,
            "process": self.process,
            "wall": round(self.wall, 6),
            "monotonic": round(self.monotonic, 6),
        }
        for name in ("session_id", "job_id", "step"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.facts:
            data["facts"] = self.facts
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Event:
        return cls(
            kind=EventKind(data["kind"]),
            process=data["process"],
            wall=data["wall"],
            monotonic=data["monotonic"],
            session_id=data.get("session_id"),
            job_id=data.get("job_id"),
            step=data.get("step"),
            facts=data.get("facts", {}),
        )


class EventSink(Protocol):
    """Where events go. Never raises and never blocks for long: it is called anywhere."""

    def emit(
        self,
        kind: EventKind,
        *,
        session_id: object = None,
        job_id: str | None = None,
        step: str | None = None,
        **facts: Any,
    ) -> None: ...


class EventLog:
    """Appends events to a file, and keeps the newest ones in memory.

    A line is written by one ``write`` call on a descriptor opened for appending, so that
    a crash leaves at most the last line incomplete. When the disk is full the event is
    kept in memory only and ``dropped`` counts it: a full log must not stop a JobManager.
    """

    def __init__(
        self,
        process: str,
        path: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        keep: int = 1000,
    ) -> None:
        self.process = process
        self.dropped = 0
        self._clock = clock
        self._recent: deque[Event] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._descriptor = os.open(path, flags, 0o600)

    def emit(
        self,
        kind: EventKind,
        *,
        session_id: object = None,
        job_id: str | None = None,
        step: str | None = None,
        **facts: Any,
    ) -> None:
        event = Event(
            kind=kind,
            process=self.process,
            wall=self._clock.time(),
            monotonic=self._clock.monotonic(),
            session_id=str(session_id) if session_id is not None else None,
            job_id=job_id,
            step=step,
            facts=facts,
        )
        line = (json.dumps(event.to_json(), default=str) + "\n").encode()
        with self._lock:
            self._recent.append(event)
            if self._descriptor is not None:
                try:
                    os.write(self._descriptor, line)
                except OSError:
                    self.dropped += 1

    def recent(self) -> list[Event]:
        with self._lock:
            return list(self._recent)

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


class NullEventSink:
    """Forgets every event; for services used without a run directory."""

    def emit(self, kind: EventKind, **_: Any) -> None:
        """Do nothing."""


def read_event_file(path: Path) -> Iterator[Event]:
    """The events of one file; an incomplete last line or an unknown kind is skipped."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            yield Event.from_json(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue


def read_events(directory: Path) -> list[Event]:
    """The events of all processes of a run, in the order in which they happened."""
    events = [
        event for path in sorted(directory.glob("*.jsonl")) for event in read_event_file(path)
    ]
    events.sort(key=lambda event: event.monotonic)
    return events
