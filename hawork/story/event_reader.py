"""The events of a run as they appear: each file is read on from where it was left."""

from __future__ import annotations

import bisect
import json
import threading
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind


def kind_of(name: EventKind | str) -> EventKind:
    """The kind of events of that name. ``LabError`` when there is none."""
    try:
        return EventKind(name)
    except ValueError:
        known = ", ".join(sorted(EventKind))
        raise LabError(f"there is no event {str(name)!r}: choose one of {known}") from None


class EventReader:
    """All events of a run directory, in the order in which they happened.

    ``events()`` is cheap when little is new, and safe to call from several threads.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._events: list[Event] = []
        self._arrived: list[Event] = []
        self._lock = threading.Lock()

    def events(self) -> list[Event]:
        with self._lock:
            for path in sorted(self._directory.glob("*.jsonl")):
                self._read_on(path)
            return list(self._events)

    def arrived(self, known: int) -> list[Event]:
        """What was read after the first ``known`` events, in the order in which it was read.

        For a caller that looks often: nothing is copied that was told before.
        """
        with self._lock:
            for path in sorted(self._directory.glob("*.jsonl")):
                self._read_on(path)
            return self._arrived[known:]

    def add(self, event: Event) -> None:
        """Take one that no file holds: its lab is closed."""
        with self._lock:
            self._take(event)

    def _read_on(self, path: Path) -> None:
        offset = self._offsets.get(path, 0)
        try:
            if path.stat().st_size <= offset:
                return
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return
        complete = data.rfind(b"\n") + 1
        self._offsets[path] = offset + complete
        for line in data[:complete].splitlines():
            try:
                event = Event.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue
            self._take(event)

    def _take(self, event: Event) -> None:
        self._arrived.append(event)
        # Files are read one after the other, so an older event may come later.
        bisect.insort(self._events, event, key=lambda known: known.monotonic)

    def first(self, kind: EventKind, process: str | None, after: Event | None) -> Event | None:
        """The first event of a kind, of one process or of any, after another one or ever."""
        since = after.monotonic if after is not None else 0.0
        for event in self.events():
            fits = event.kind is kind and process in (None, event.process)
            if fits and event.monotonic > since:
                return event
        return None
