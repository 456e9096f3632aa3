"""Processes of a Flink cluster that was started elsewhere: what is known of them from outside.

No log is read and no process is asked, so a JobManager has the name of its REST endpoint, a
TaskManager its own id, and both begin when they are first seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from hawork.client.flink_rest import ask
from hawork.client.tls import RestTrust
from hawork.core.addresses import host_and_port
from hawork.core.errors import RestError
from hawork.core.events import EventKind
from hawork.core.types import LeaderInformation
from hawork.lab.flink.endpoints import Endpoints, gives_no_answer
from hawork.lab.flink.events import WrittenEvents
from hawork.lab.processes import JOB_MANAGER, TASK_MANAGER

_FOUND_AGAIN_WITHIN = 60.0
"""Seconds: Flink's heartbeat.timeout, and a little more."""

KNOCK_EVERY = 2.0
_KNOCK_SECONDS = 1.0
_KNOCK_AT = "/config"
"""What a standby answers, too, if only that it does not lead."""
_MOST_KNOCKS = 8
"""At the doors of the latest that have led: pods come and go, each with another address."""


class ForeignProcesses:
    """Writes the events that the processes would write themselves, if they were of a lab."""

    def __init__(self, events: WrittenEvents, endpoints: Endpoints, trust: RestTrust) -> None:
        self._events = events
        self._endpoints = endpoints
        self._trust = trust
        self._leads: LeaderInformation | None = None
        self._sessions: dict[str, list[str]] = {}  # by whom each was used, the newest last
        self._alive: dict[str, bool] = {}
        self._addresses: dict[str, str] = {}
        self._listed: dict[str, tuple[str | None, float]] = {}  # under which session, and when
        self._lock = threading.Lock()

    def note_leader(self, now: LeaderInformation | None, *, blind: bool) -> None:
        """Who leads the REST endpoint; ``blind``: the store does not answer, so it is not known."""
        before = self._leads
        if before == now or (now is None and blind):
            return
        if before is not None:
            name = host_and_port(before.address)
            self._events.write(
                EventKind.LEADERSHIP_REVOKED, name, session_id=str(before.session_id),
                reason="its address is no longer published",
                heard=self._endpoints.seconds(name),
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
        """Whether those that do not lead are there; takes as long as the slowest of them.

        A port that nothing listens on says that its process has ended. The leader is asked anyway.
        """
        with self._lock:
            known = dict(list(self._addresses.items())[-_MOST_KNOCKS:])
        for name, address in known.items():
            leads = self._leads
            if leads is not None and leads.address == address:
                continue
            try:
                ask(address, _KNOCK_AT, _KNOCK_SECONDS, trust=self._trust)
            except RestError as error:
                if gives_no_answer(error):
                    self._silent(name, address, error)
                    continue
            self._endpoints.answered(name, address, None)
            self._begins(name, JOB_MANAGER)

    def _silent(self, name: str, address: str, error: RestError) -> None:
        self._endpoints.silent(name, address, None, error)
        heard = self._endpoints.of(name)
        if heard is not None and not heard.listens:
            self._ends(name, "nothing listens at its REST endpoint")

    def note_taskmanagers(
        self, found: Mapping[str, int], told_by: str, session_id: str | None
    ) -> None:
        """Those that a leader lists. One is lost when the leader that had listed it does no more.

        A new leader does not know all of them yet, and is given time.
        """
        now = time.monotonic()
        for name in found:
            self._listed[name] = session_id, now
            self._begins(name, TASK_MANAGER, told_by=told_by)
        for name, (by, seen) in self._listed.items():
            if name not in found and (by == session_id or now - seen > _FOUND_AGAIN_WITHIN):
                self._ends(name, "the leader no longer lists it")

    def _begins(self, name: str, role: str, **facts: Any) -> None:
        with self._lock:
            if self._alive.get(name):
                return
            self._alive[name] = True
        self._events.write(EventKind.PROCESS_STARTED, name, role=role, **facts)

    def _ends(self, name: str, reason: str) -> None:
        with self._lock:
            if not self._alive.get(name):
                return
            self._alive[name] = False
        self._events.write(EventKind.PROCESS_STOPPED, name, reason=reason)
