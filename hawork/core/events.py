"""Typed events: what happened, when, in which process, under which leadership.

Each process appends its events to one file of JSON lines in the run directory. Timeline,
panels, frames and test assertions read these files and nothing else.
"""

from __future__ import annotations

import enum
import errno
import json
import os
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
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
    PROCESS_EXITED = "process.exited"  # of, pid, status (seen by the supervisor)
    # of, pid, silent (which part), seconds: the watchdog is about to kill it
    PROCESS_HUNG = "process.hung"
    LEADERSHIP_GRANTED = "leadership.granted"
    # component, address; of a process of Flink that is published anew: again_after, the session
    # that was published in between
    LEADERSHIP_CONFIRMED = "leadership.confirmed"
    # reason; of a process that is only looked at: heard, the seconds since it answered last
    LEADERSHIP_REVOKED = "leadership.revoked"
    LEADERSHIP_RELEASED = "leadership.released"  # of (the process), by the supervisor
    LEADER_RETRIEVED = "leader.retrieved"  # component, address or None
    STEP_REACHED = "step.reached"  # what the step is about, such as checkpoint_id
    STEP_ARMED = "step.armed"  # the same, and action
    STEP_CONTINUED = "step.continued"
    POINTER_WRITTEN = "pointer.written"  # namespace, name, operation, seconds
    POINTER_REFUSED = "pointer.refused"  # namespace, name, operation, seconds, reason
    STATE_SET_ASIDE = "state.set_aside"  # what, reason
    JOB_ACKNOWLEDGED = "job.acknowledged"  # name
    JOB_STATUS = "job.status"  # status, reason; of hawork's own: name
    # moves, records (of this attempt), rate (records per second), seconds (since the last progress)
    JOB_PROGRESS = "job.progress"
    JOB_RESTORED = "job.restored"  # checkpoint_id, records, skipped
    CHECKPOINT_TRIGGERED = "checkpoint.triggered"  # checkpoint_id
    CHECKPOINT_COMPLETED = "checkpoint.completed"  # checkpoint_id, records, bytes, milliseconds
    CHECKPOINT_FAILED = "checkpoint.failed"  # checkpoint_id, reason
    TASK_STATUS = "task.status"  # attempt, index, status, reason; of Flink: vertex, index, status
    TASK_PROGRESSED = "task.progressed"  # index: its first record since it was deployed
    TASKMANAGER_REGISTERED = "taskmanager.registered"  # taskmanager, slots
    TASKMANAGER_LOST = "taskmanager.lost"  # taskmanager, reason
    JOB_RESULT = "job.result"  # application_status, state (dirty, clean)
    OUTPUT_COMPARED = "output.compared"  # records, lost, duplicated, different (by the lab)
    PREDICTION = "prediction"  # question, unit, guess or observed (by the lab, for a learner)
    FAULT = "fault"  # verb, target (written by the lab)
    NOTED = "noted"  # what, and what was seen (by the lab, of what no process tells)
    # state, session, session_timeout, requested_timeout, and a note when these two differ;
    # on Kubernetes a process of Flink has a holder, its identity in the election
    STORE_CONNECTION = "store.connection"
    # By one that looks at a cluster from outside, in the name of the JobManager that it asked:
    REST_SILENT = "rest.silent"  # address, reason, listens, heard (seconds since it answered last)
    REST_ANSWERED = "rest.answered"  # address, after it had been silent
    # standbys (None: the store does not tell), contenders, missing (no such cluster-id)
    ELECTION_SEEN = "election.seen"
    # what (the line is about), level, message, cause (of a stack trace below it); of a JobManager's
    # own log, laid beside the events
    LOG_LINE = "log.line"
    WATCH_STARTED = "watch.started"  # away: seconds since the watch before saw the cluster last
    HOST_STALLED = "host.stalled"  # seconds
    ERROR = "error"  # message

    def __str__(self) -> str:
        return self.value


_TOLD_ONCE = (EventKind.ERROR, EventKind.STATE_SET_ASIDE)
_TOLD_AGAIN = 3600.0  # seconds
_MOST_TOLD = 1000
_PASSING = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}\b|\d+(?= bytes free)")
"""What differs from one try to the next: the random part of a file's name, a disk's free bytes."""


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

    @property
    def job_name(self) -> str | None:
        """The name of its job, where it tells that."""
        if self.kind in (EventKind.JOB_ACKNOWLEDGED, EventKind.JOB_STATUS):
            return str(self.facts.get("name") or "") or None
        return None

    def __str__(self) -> str:
        facts = ", ".join(f"{name}={value}" for name, value in self.facts.items())
        at = time.strftime("%H:%M:%S", time.localtime(self.wall))
        return f"{at} {self.process}: {self.kind.value}" + (f" ({facts})" if facts else "")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What a notebook shows of ``lab.kill("leader")``, where that is a cell's last line."""
        printer.text(str(self))

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
    kept in memory only and ``dropped`` counts it: a full log must not stop a JobManager. A
    file that another process removed is made again. ``tell`` hears of either in one sentence, once.

    Errors and what was set aside are told once: what waits for a repair looks at it again and
    again, and finds the same. It is told again under another leadership, or an hour later.
    """

    def __init__(
        self,
        process: str,
        path: Path | None = None,
        clock: Clock = SYSTEM_CLOCK,
        keep: int = 1000,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.process = process
        self.dropped = 0
        self._clock = clock
        self._recent: deque[Event] = deque(maxlen=keep)
        self._told: OrderedDict[tuple[object, ...], float] = OrderedDict()
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._path = path
        self._torn = False
        self._trouble = False
        self._tell_trouble = tell
        if path is not None:
            self._open(path)

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
            if kind in _TOLD_ONCE and self._was_told(event):
                return
            self._recent.append(event)
            if self._descriptor is not None:
                self._write(line)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor, self._descriptor = self._descriptor, os.open(path, flags, 0o600)
        if descriptor is not None:
            os.close(descriptor)

    def _write(self, line: bytes) -> None:
        assert self._descriptor is not None and self._path is not None
        try:
            if os.fstat(self._descriptor).st_nlink == 0:
                self._open(self._path)
                self._say(f"event log {self._path} was removed, and goes on as a new file")
            rest = b"\n" + line if self._torn else line
            written = os.write(self._descriptor, rest)
            self._torn = written < len(rest)
            if self._torn:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.dropped += 1
            if not self._trouble:
                reason = error.strerror or error
                self._say(
                    f"event log {self._path} cannot be written ({reason}): events are kept in "
                    "memory only until it can"
                )
            self._trouble = True
        else:
            if self._trouble:
                self._say(
                    f"event log {self._path} is written again; {self.dropped} events are not in it"
                )
            self._trouble = False

    def _say(self, sentence: str) -> None:
        if self._tell_trouble is not None:
            self._tell_trouble(sentence)

    def _was_told(self, event: Event) -> bool:
        facts = json.dumps(event.facts, default=str, sort_keys=True)
        key = (event.kind, event.session_id, event.job_id, _PASSING.sub("#", facts))
        told_at = self._told.get(key)
        if told_at is not None and event.monotonic - told_at < _TOLD_AGAIN:
            return True
        self._told[key] = event.monotonic
        self._told.move_to_end(key)
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        return False

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
