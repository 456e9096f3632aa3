"""Whether a run that was watched from outside ends in silence, and since when."""

from __future__ import annotations

from collections.abc import Iterable

from hawork.core.events import Event, EventKind
from hawork.core.types import REST_SERVER


def unheard_since(events: Iterable[Event]) -> float | None:
    """When a leader answered last (seconds since 1970), if none does at the end of ``events``.

    ``None`` when one does, or when none was asked.
    """
    silent: dict[str, float] = {}
    leader: str | None = None
    led, lost = False, None
    for event in events:
        kind, process = event.kind, event.process
        heard = event.wall - float(event.facts.get("heard") or 0.0)
        if kind is EventKind.REST_SILENT:
            silent[process] = heard
        elif kind in (EventKind.REST_ANSWERED, EventKind.PROCESS_STARTED):
            silent.pop(process, None)
        elif kind is EventKind.LEADERSHIP_CONFIRMED and event.facts.get("component") == REST_SERVER:
            leader, led, lost = process, True, None
        elif kind is EventKind.LEADERSHIP_REVOKED and process == leader and "heard" in event.facts:
            leader, lost = None, silent.get(process, heard)
    if leader is not None:
        return silent.get(leader)
    return lost if led else max(silent.values(), default=None)
