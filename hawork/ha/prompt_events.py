"""Events of threads that must not be late."""

from __future__ import annotations

from typing import Any

from hawork.core.events import EventKind, EventSink
from hawork.ha.bounded_calls import BoundedCalls, CallHangsError, NoThreadError

_PATIENCE = 0.5  # seconds


class PromptEvents:
    """An event sink that does not wait for a log whose disk hangs.

    While one event is on its way there, further ones are dropped: a reader of that log must
    mend its disk first, and the leader must hear in time that it does not. Where no thread is
    left, an event is written at once: what it tells of goes on in any case.
    """

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._calls = BoundedCalls("leader-events")

    def emit(self, kind: EventKind, **facts: Any) -> None:
        try:
            self._calls.call(lambda: self._events.emit(kind, **facts), _PATIENCE)
        except NoThreadError:
            self._events.emit(kind, **facts)
        except CallHangsError:
            pass

    def close(self) -> None:
        self._calls.close()
