"""Processes of a Flink cluster that was started elsewhere: what is known of them from outside.

No log is read and no process is asked, so a JobManager has the name of its REST endpoint, a
TaskManager its own id, and both begin when they are first seen.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping

from hawork.core.addresses import host_and_port, rest_address
from hawork.core.errors import RestError
from hawork.core.events import EventKind
from hawork.core.types import LeaderInformation
from hawork.lab.flink.events import FlinkEvents
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER

_FOUND_AGAIN_WITHIN = 60.0
"""Seconds: Flink's heartbeat.timeout, and a little more."""

_KNOCK_EVERY = 2.0
_KNOCK_SECONDS = 0.3
_MOST_KNOCKS = 8
"""At the doors of the latest that have led: pods come and go, each with another address."""


class ForeignProcesses:
    """Writes the events that the processes would write themselves, if they were of a lab."""

    def __init__(self, events: FlinkEvents) -> None:
        self._events = events
        self._leads: LeaderInformation | None = None
        self._sessions: dict[str, list[str]] = {}  # by whom each was used, the newest last
        self._alive: dict[str, bool] = {}
        self._addresses: dict[str, str] = {}
        self._listed: dict[str, tuple[str | None, float]] = {}  # under which session, and when
        self._knocked = float("-inf")
        self._lock = threading.Lock()

    def note_leader(self, now: LeaderInformation | None, *, blind: bool) -> None:
        """Who leads the REST endpoint; ``blind``: the store does not answer, so it is not known."""
        before = self._leads
        if before == now or (now is None and blind):
            return
        if before is not None:
            self._events.write(
                EventKind.LEADERSHIP_REVOKED, host_and_port(before.address),
                session_id=str(before.session_id), reason="its address is no longer published",
            )  # fmt: skip
        self._leads = now
        if now is None:
            return
        name, session_id = host_and_port(now.address), str(now.session_id)
        with self._lock:
            self._addresses.pop(name, None)  # the newest is the last one
            self._addresses[name] = now.address
        self._begins(name, JOB_MANAGER)
        if name not in self._sessions.setdefault(session_id, []):
            # The first time: what is published anew was not granted anew.
            self._sessions[session_id].append(name)
            self._events.write(EventKind.LEADERSHIP_GRANTED, name, session_id=session_id)

    def name_of(self, session_id: str) -> str | None:
        """Who leads, or led, under a session."""
        names = self._sessions.get(session_id)
        return names[-1] if names else None

    def knock(self) -> None:
        """Whether those that do not lead are there: a port that nothing listens on says it."""
        now = time.monotonic()
        if now - self._knocked < _KNOCK_EVERY:
            return
        self._knocked = now
        with self._lock:
            known = dict(list(self._addresses.items())[-_MOST_KNOCKS:])
        leads = self._leads
        for name, address in known.items():
            if leads is not None and leads.address == address:
                continue
            refused = _refuses(address)
            if refused:
                self._ends(name, "nothing listens at its REST endpoint")
            elif refused is False:
                self._begins(name, JOB_MANAGER)

    def note_taskmanagers(self, found: Mapping[str, int], session_id: str | None) -> None:
        """Those that a leader lists. One is lost when the leader that had listed it does no more.

        A new leader does not know all of them yet, and is given time.
        """
        now = time.monotonic()
        for name in found:
            self._listed[name] = session_id, now
            self._begins(name, TASK_MANAGER)
        for name, (by, seen) in self._listed.items():
            if name not in found and (by == session_id or now - seen > _FOUND_AGAIN_WITHIN):
                self._ends(name, "the leader no longer lists it")

    def _begins(self, name: str, role: str) -> None:
        with self._lock:
            if self._alive.get(name):
                return
            self._alive[name] = True
        self._events.write(EventKind.PROCESS_STARTED, name, role=role)

    def _ends(self, name: str, reason: str) -> None:
        with self._lock:
            if not self._alive.get(name):
                return
            self._alive[name] = False
        self._events.write(EventKind.PROCESS_STOPPED, name, reason=reason)


def _refuses(address: str) -> bool | None:
    """Whether nothing listens there; ``None``: it cannot be told from here."""
    try:
        known = rest_address(address)
        socket.create_connection((known.host, known.port), timeout=_KNOCK_SECONDS).close()
    except ConnectionRefusedError:
        return True
    except (OSError, RestError):
        return None
    return False
