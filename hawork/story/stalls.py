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
        self._told: dict[str, tuple[float, float]] = {}
        """The last stall of each process that told of one: from when to when."""

    def see(self, event: Event) -> None:
        self._recent.append((event.monotonic, event.process))
        if event.kind is EventKind.HOST_STALLED:
            self._told[event.process] = _stall(event)

    def is_of_the_process(self, event: Event) -> bool:
        """Whether other processes went on while the one that tells of a stall stood still."""
        if event.kind is not EventKind.HOST_STALLED:
            return False
        began, ended = _stall(event)
        edge = (ended - began) * _EDGE
        return any(
            began + edge < at < ended - edge and who != event.process for at, who in self._recent
        )

    def is_of_the_machine(self, event: Event) -> bool:
        """Whether another process told of a stall for most of the same time."""
        if event.kind is not EventKind.HOST_STALLED:
            return False
        began, ended = _stall(event)
        return any(
            min(ended, until) - max(began, since) > (ended - began) / 2
            for who, (since, until) in self._told.items()
            if who != event.process
        )


def _stall(event: Event) -> tuple[float, float]:
    """From when to when, on the monotonic clock."""
    return event.monotonic - float(event.facts.get("seconds", 0.0)), event.monotonic
