"""What Apache Flink says in its log and nowhere else: grants, revocations, and why it ended.

A leader's address is published, its grant and its revocation are not: only the process itself
knows the moment. The lines are those of Flink 1.20's ``DefaultDispatcherRunner``,
``KubernetesLeaderElector`` and ``TaskExecutor`` and of ZooKeeper's ``ClientCnxn``, in the layout of
``hawork.core.flink.LOGGING``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hawork.core.events import EventKind
from hawork.core.types import RESOURCE_MANAGER

GRAPHS_RECOVERED = "takeover.graphs_recovered"
"""The one step of ``hawork.core.steps`` of which Flink tells that it has reached it."""
_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (\w+)\s+(\S+) (.*)")
_SESSION_ID = r"([0-9a-f-]{36})"
_PATTERNS: tuple[tuple[str, re.Pattern[str], EventKind], ...] = (
    (
        "DefaultDispatcherRunner",
        re.compile(rf"was granted leadership with leader id {_SESSION_ID}"),
        EventKind.LEADERSHIP_GRANTED,
    ),
    (
        "DefaultDispatcherRunner",
        re.compile(rf"was revoked the leadership with leader id {_SESSION_ID}"),
        EventKind.LEADERSHIP_REVOKED,
    ),
)
_CONNECTED = re.compile(r"Session establishment complete .*session id = (0x[0-9a-f]+)")
_IDENTITY = re.compile(rf"Create KubernetesLeaderElector on lock .*\({_SESSION_ID}\)")
_RECOVERED = re.compile(r"Successfully recovered (\d+) persisted job graphs")
_SUSPENDED = re.compile(r"\(([0-9a-f]{32})\) switched from state \w+ to SUSPENDED")
_HEARD = re.compile(r"Connecting to ResourceManager (\S+)\(([0-9a-f]{32})\)\.")
_STATE = re.compile(r"State change: (SUSPENDED|LOST|RECONNECTED)")
CAUSE = re.compile(r"(?:Caused by: )?((?:[a-z][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error))(?:: (.*))?")
_FATAL = re.compile(
    "Fatal error occurred in the cluster entrypoint|Could not start cluster entrypoint"
    "|Fatal error occurred while executing the TaskManager|Failed to start the TaskManagerRunner"
    "|Terminating TaskManagerRunner with exit code [1-9]|FATAL: Thread "
)
"""With these Flink's entry points tell that they end, and why."""
_ASKED = re.compile(r"RECEIVED SIGNAL \d+: (SIG\w+)\.")
_BEGINS = re.compile(r"^\S+ INFO\s+\S+\s+Starting \w+ \(Version: ", re.MULTILINE)
_EXPLAINED = 300  # characters of a reason


@dataclass(frozen=True, slots=True)
class LogEntry:
    """Something that happened in a Flink process; ``wall`` in seconds since 1970."""

    kind: EventKind
    wall: float
    session_id: str | None = None
    job_id: str | None = None
    step: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class LogReader:
    """The entries of one log as they appear: it is read on from where it was left."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._session_id: str | None = None
        self._last_id: str | None = None
        self._heard_of: str | None = None

    def read_on(self) -> Iterator[LogEntry]:
        """What is new and complete; nothing while there is no such file."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        complete = data.rfind(b"\n") + 1
        self._offset += complete
        for line in data[:complete].decode(errors="replace").splitlines():
            entry = self._entry(line)
            if entry is not None:
                yield entry

    def _entry(self, line: str) -> LogEntry | None:
        match = _LINE.match(line)
        if match is None:
            return None
        time_text, _, logger, message = match.groups()
        try:
            wall = datetime.fromisoformat(time_text).timestamp()
        except ValueError:
            return None
        for whose, pattern, kind in _PATTERNS:
            found = pattern.search(message) if logger == whose else None
            if found:
                granted = kind is EventKind.LEADERSHIP_GRANTED
                self._session_id = found[1] if granted else None
                self._last_id = found[1]
                return LogEntry(kind, wall, found[1])
        if logger == "ClientCnxn" and (found := _CONNECTED.search(message)):
            session = f"{int(found[1], 16):#x}"
            facts = {"state": "connected", "session": session}
            return LogEntry(EventKind.STORE_CONNECTION, wall, facts=facts)
        if logger == "KubernetesLeaderElector" and (found := _IDENTITY.match(message)):
            facts = {"state": "connected", "holder": found[1]}
            return LogEntry(EventKind.STORE_CONNECTION, wall, facts=facts)
        if logger == "ConnectionStateManager" and (found := _STATE.match(message)):
            facts = {"state": found[1].lower()}
            return LogEntry(EventKind.STORE_CONNECTION, wall, facts=facts)
        if logger == "TaskExecutor" and (found := _HEARD.match(message)):
            if found[2] == self._heard_of:  # it tries once more
                return None
            self._heard_of = found[2]
            heard = {"component": RESOURCE_MANAGER, "address": found[1]}
            return LogEntry(EventKind.LEADER_RETRIEVED, wall, _session_id(found[2]), facts=heard)
        if logger == "SessionDispatcherLeaderProcess" and (found := _RECOVERED.search(message)):
            counted = {"job_graphs": int(found[1])}
            return LogEntry(
                EventKind.STEP_REACHED, wall, self._session_id, step=GRAPHS_RECOVERED, facts=counted
            )
        if logger == "ExecutionGraph" and (found := _SUSPENDED.search(message)):
            return LogEntry(
                EventKind.JOB_STATUS, wall, self._last_id, found[1], facts={"status": "SUSPENDED"}
            )
        return None


def _session_id(resource_manager_id: str) -> str:
    """The leader session id in a ``ResourceManagerId``, which writes its lower half first."""
    return str(UUID(resource_manager_id[16:] + resource_manager_id[:16]))


def why_it_ended(text: str) -> str:
    """The reason in a log, in one line: the innermost cause of the error that Flink ended for.

    What is logged after that error is the end itself: threads that go on find the class loader of
    Pekko closed, and say ``ClassNotFoundException`` of whatever they come to next (FLINK-32314).

    >>> why_it_ended("x\\njava.lang.RuntimeException: a\\nCaused by: java.net.BindException: b\\n")
    'BindException: b'
    """
    lines = [line.strip() for line in _last_run(text).splitlines() if line.strip()]
    for index, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None:
            continue
        if (asked := _ASKED.match(found[4])) is not None:
            return f"it was asked to end ({asked[1]})"
        if _FATAL.match(found[4]):
            told = list(itertools.takewhile(lambda each: not _LINE.match(each), lines[index + 1 :]))
            return (_innermost(told) or found[4])[:_EXPLAINED]
    spoken = [line for line in lines if not line.startswith("at ")]
    return (_innermost(lines) or (spoken[-1] if spoken else "it printed nothing"))[:_EXPLAINED]


def _last_run(text: str) -> str:
    """A process that is started again goes on in the log of the one before."""
    begins = [match.start() for match in _BEGINS.finditer(text)]
    return text[begins[-1] :] if begins else text


def _innermost(lines: Sequence[str]) -> str:
    """The last cause that is told, ``""`` for none; an exception counts with its message only."""
    for line in reversed(lines):
        match = CAUSE.match(line)
        if match is not None and (match[2] or line.startswith("Caused by")):
            return f"{match[1].rpartition('.')[2]}: {match[2] or 'no message'}"
    return ""
