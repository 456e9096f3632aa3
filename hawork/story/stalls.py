"""Whether the machine stood still, or only the process whose clock jumped."""

from __future__ import annotations

from collections import deque

from hawork.core.events import Event, EventKind

_REMEMBERED = 500
_EDGE = 0.25
"""Share of the time, at either end, in which events of others prove nothing: who stood still wakes
up at about the same moment, and says so later than it happened."""


class Stalls:
    """Fed with events in their order by ``see``."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)

    def see(self, event: Event) -> None:
        self._recent.append((event.monotonic, event.process))

    def is_of_the_process(self, event: Event) -> bool:
        """Whether other processes went on while the one that tells of a stall stood still."""
        if event.kind is not EventKind.HOST_STALLED:
            return False
        seconds = float(event.facts.get("seconds", 0.0))
        begin = event.monotonic - seconds * (1 - _EDGE)
        end = event.monotonic - seconds * _EDGE
        return any(begin < at < end and who != event.process for at, who in self._recent)
