"""Belief against truth: who holds the lock, who thinks it leads, and what a client sees.

Made from events, like the timeline, and drawn on its axis. The lock is held from a grant until
the leadership is released, revoked or granted to another; what a process believes ends when it
is told or dies, and a paused process goes on believing without knowing anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hawork.core.events import Event, EventKind
from hawork.story.segments import LEADING, PAUSED, Segment
from hawork.story.terms import Terms

HOLDER_LANE = "holds the lock"
BELIEF_LANE = "thinks it leads"
CLIENT_LANE = "a client sees"
STALE = "no longer true"
"""The state of a belief, or of a client's view, that names who does not hold the lock."""

CLIENT = "lab"
"""The process whose leader retrieval is shown: the lab's own client."""


class Beliefs:
    """Reads events in their order; ``segments`` holds what is over, ``going_on`` the rest.

    Times are in seconds since ``started``, which is the first event's moment.
    """

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.started: float | None = None
        self._terms = Terms()
        self._believers: dict[str, str] = {}
        self._paused: set[str] = set()
        self._holder: tuple[str, str] | None = None
        self._seen: str | None = None
        self._open: dict[tuple[str, str], Segment] = {}

    def see(self, event: Event) -> None:
        if self.started is None:
            self.started = event.monotonic
        self._learn(event)
        self._show(event.monotonic - self.started)

    def going_on(self, now: float) -> Iterator[Segment]:
        """Every belief that has not ended, as if it did now."""
        for each in self._open.values():
            yield replace(each, end=now)

    def _learn(self, event: Event) -> None:
        self._terms.see(event)
        kind, process = event.kind, event.process
        if kind is EventKind.LEADERSHIP_GRANTED and event.session_id:
            self._believers[process] = event.session_id
            self._holder = (process, event.session_id)
        elif kind in (EventKind.LEADERSHIP_REVOKED, EventKind.PROCESS_STOPPED):
            self._believers.pop(process, None)
            self._paused.discard(process)
            self._release(process)
        elif kind is EventKind.LEADERSHIP_RELEASED:
            self._release(str(event.facts.get("of")))
        elif kind is EventKind.PROCESS_EXITED:
            # The lock of a dead process is held until it is given up or taken.
            self._believers.pop(str(event.facts.get("of")), None)
            self._paused.discard(str(event.facts.get("of")))
        elif kind is EventKind.REST_SILENT and not event.facts.get("listens", True):
            self._believers.pop(process, None)
        elif kind is EventKind.REST_ANSWERED:
            if event.session_id and self._terms.owners.get(event.session_id) == process:
                self._believers[process] = event.session_id
        elif kind is EventKind.PROCESS_STARTED:
            self._believers.pop(process, None)
            self._paused.discard(process)
        elif kind is EventKind.FAULT:
            self._fault(str(event.facts.get("verb")), str(event.facts.get("target")))
        elif kind is EventKind.STEP_ARMED and event.facts.get("action") == "pause":
            self._paused.add(process)
        elif kind is EventKind.STEP_CONTINUED:
            self._paused.discard(process)
        elif kind is EventKind.LEADER_RETRIEVED and process == CLIENT:
            self._seen = event.session_id

    def _fault(self, verb: str, target: str) -> None:
        if verb == "pause":
            self._paused.add(target)
        elif verb == "resume":
            self._paused.discard(target)

    def _release(self, process: str) -> None:
        if self._holder is not None and self._holder[0] == process:
            self._holder = None

    def _show(self, now: float) -> None:
        """End what is shown and no longer so, begin what is so and not shown."""
        wanted: dict[tuple[str, str], tuple[str, str]] = {}
        held = self._holder[1] if self._holder else None
        if self._holder is not None:
            wanted[HOLDER_LANE, self._holder[0]] = (LEADING, self._holder[1])
        for process, session in self._believers.items():
            state = LEADING if session == held else STALE
            wanted[BELIEF_LANE, process] = (PAUSED if process in self._paused else state, session)
        if self._seen is not None:
            owner = self._terms.owners.get(self._seen, "unknown")
            wanted[CLIENT_LANE, owner] = (LEADING if self._seen == held else STALE, self._seen)
        for key, shown in list(self._open.items()):
            if wanted.get(key) != (shown.state, shown.session_id):
                del self._open[key]
                if now > shown.start:
                    self.segments.append(replace(shown, end=now))
        for (lane, process), (state, session) in wanted.items():
            if (lane, process) not in self._open:
                self._open[lane, process] = Segment(lane, state, now, now, session, process)
