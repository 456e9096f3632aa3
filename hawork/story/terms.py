"""Who held which session: one fold of the events, for everything that asks for it."""

from __future__ import annotations

from collections.abc import Iterable

from hawork.core.events import Event, EventKind
from hawork.core.types import REST_SERVER


class Terms:
    """Reads events in their order. A term is a leader session id, granted to one process."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.owners: dict[str, str] = {}
        """The process to which each leader session id was granted last."""
        self.connections: dict[str, str] = {}
        """Sessions with the store, in their order, and the processes that had them."""
        self.holders: dict[str, str] = {}
        """Processes by the name under which they stand for a lock."""
        self.published: str | None = None
        """The session id of the leader whose address was published last."""
        self._deposed: set[str] = set()
        for event in events:
            self.see(event)

    def see(self, event: Event) -> None:
        facts = event.facts
        if event.kind is EventKind.LEADERSHIP_GRANTED and event.session_id:
            self.owners[event.session_id] = event.process
        elif event.kind is EventKind.LEADERSHIP_CONFIRMED:
            if facts.get("component") == REST_SERVER and event.session_id != self.published:
                if self.published is not None:
                    self._deposed.add(self.published)
                self.published = event.session_id
                self._deposed.discard(event.session_id or "")
        elif event.kind is EventKind.STORE_CONNECTION:
            if facts.get("session"):
                self.connections[str(facts["session"])] = event.process
            if facts.get("holder"):
                self.holders[str(facts["holder"])] = event.process

    def deposed(self, session_id: str | None) -> bool:
        """Whether another leader was published since: what this one says counts no more."""
        return session_id in self._deposed

    def processes(self) -> dict[str, str]:
        """Processes by everything that stands for them in a store."""
        return {**self.owners, **self.holders, **self.connections}
