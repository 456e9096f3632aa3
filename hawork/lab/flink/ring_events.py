"""Writing a ring: segments of events, each with what was so when it began, in bounded size."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hawork.core.clock import SYSTEM_CLOCK, Clock
from hawork.core.events import Event, EventKind
from hawork.core.private_files import private_directory
from hawork.core.redaction import Redaction
from hawork.lab.flink.events import WrittenEvents
from hawork.story import ring as rings
from hawork.story.beliefs import CLIENT
from hawork.story.bundle import seconds_of

_PARTS = 16
"""Segments of a ring: what is given up at once, when it is full, is one of them."""
_MOST_JOBS = 200
_MOST_KNOWN = 20_000
_TOLD_AGAIN = {
    EventKind.LEADERSHIP_GRANTED, EventKind.JOB_ACKNOWLEDGED, EventKind.JOB_RESTORED,
    EventKind.CHECKPOINT_COMPLETED, EventKind.LOG_LINE,
}  # fmt: skip
"""What happens once, and is told by each new watch."""


class RingEvents(WrittenEvents):
    """Appends events to a ring; what another watch has told there is not told twice.

    At most ``size`` bytes of events, and about ``keep`` seconds of them. An error of the disk never
    ends a watch: the oldest segment gives way, or the event is lost, and ``dropped`` counts it.
    """

    def __init__(
        self, ring: Path, redaction: Redaction, *, keep: float, size: int,
        clock: Clock = SYSTEM_CLOCK, told: Callable[[Event], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.ring = ring
        self.keep, self.size = keep, size
        self.dropped = 0
        self._clock = clock
        self._told = told
        self._redaction = redaction
        self._lock = threading.Lock()
        self._so = Standing()
        self._known: OrderedDict[tuple[object, ...], None] = OrderedDict()
        private_directory(ring / rings.EVENTS)
        before, _ = rings.read_events(ring)
        for event in before:
            self._so.see(event)
            self._note(event)
        last = before[-1].monotonic if before else float("-inf")
        watched = _watched(ring)
        last = max(last, watched or last)
        self.since = last if before else None
        """Until when another watch has recorded (seconds since 1970); ``None``: none has."""
        # One axis over all watches: about the seconds since 1970, and never back.
        self._shift = max(clock.time(), last) - clock.monotonic()
        super().__init__(lambda: self._clock.monotonic() + self._shift)
        self._number = _newest_number(ring)
        self._file: Any = None
        self._begun = self._written = 0.0
        self._torn = False
        self._rotate()
        if before:
            away = self._monotonic() - last
            self.write(EventKind.WATCH_STARTED, CLIENT, away=round(max(0.0, away), 3))

    def append(self, event: Event) -> None:
        event = Event.from_json(self._redaction.value(event.to_json()))
        with self._lock:
            if self._file is None or not self._note(event):
                return
            self._so.see(event)
            if self._written > self.size / _PARTS or self._old():
                self._rotate_if_possible()
            self._put(event.to_json())
        self._told(event)

    def recent(self) -> list[Event]:
        """What is so now, as events: the newest checkpoint of each job among them."""
        with self._lock:
            return self._so.events()

    def heartbeat(self) -> None:
        """Until now the cluster was watched, whether anything happened or not."""
        facts = {"wall": self._clock.time(), "monotonic": self._monotonic()}
        write_json(self.ring / rings.WATCHED, facts)
        with self._lock:
            if self._file is not None and self._old():
                self._rotate_if_possible()

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _note(self, event: Event) -> bool:
        """Whether it is news."""
        if event.kind not in _TOLD_AGAIN:
            return True
        key: tuple[object, ...] = (
            event.kind, event.process, event.session_id, event.job_id,
            event.facts.get("checkpoint_id"),
        )  # fmt: skip
        if event.kind is EventKind.JOB_ACKNOWLEDGED:
            key = (event.kind, event.job_id)
        elif event.kind is EventKind.LOG_LINE:
            key = (event.kind, event.process, round(event.wall, 3), event.facts.get("message"))
        if key in self._known:
            return False
        self._known[key] = None
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return True

    def _old(self) -> bool:
        return self._clock.monotonic() - self._begun > self.keep / _PARTS

    def _rotate(self) -> None:
        """Begin a segment with what is so now, and give up what is too much or too old.

        ``OSError`` when none can be begun: the present one goes on.
        """
        path = self.ring / rings.EVENTS / f"{self._number + 1:08d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if self._file is not None:
            self._file.close()
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._number += 1
        self._begun, self._torn = self._clock.monotonic(), False
        now, wall = self._monotonic(), self._clock.time()
        for event in self._so.events():
            self._put({rings.RESTATED: replace(event, monotonic=now, wall=wall).to_json()})
        self._written = 0  # else a long list of jobs would begin a segment with each event
        self._give_up()

    def _rotate_if_possible(self) -> None:
        try:
            self._rotate()
        except OSError:  # the disk is full, or no descriptor is left
            self._give_way()

    def _give_up(self, least: int = 1) -> None:
        """Remove the oldest segments, never the newest ``least``."""
        known = [(path, status) for path in rings.segments(self.ring) if (status := _status(path))]
        total = sum(status.st_size for _, status in known)
        for path, status in known[:-least]:
            old = self._clock.time() - status.st_mtime > self.keep
            if total <= self.size and not old:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= status.st_size

    def _put(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, default=str).encode() + b"\n"
        for attempt in (1, 2):
            # What a full disk has cut off costs itself, and not the next line, too.
            rest = b"\n" + line if self._torn else line
            try:
                written = self._file.write(rest)
                self._written += written
                if written:
                    self._torn = written < len(rest)
                if written == len(rest):
                    return
            except OSError:  # the disk is full, or was taken away
                pass
            if attempt == 1:
                self._give_way()
        self.dropped += 1

    def _give_way(self) -> None:
        """Let the oldest segment go: what happens now is worth more."""
        with contextlib.suppress(OSError, IndexError):
            rings.segments(self.ring)[:-1][0].unlink()


class Standing:
    """What is so at a moment, as the newest events that say it."""

    def __init__(self) -> None:
        self._told: dict[tuple[object, ...], Event] = {}

    def events(self) -> list[Event]:
        """In the order in which they happened."""
        return sorted(self._told.values(), key=lambda event: event.monotonic)

    def see(self, event: Event) -> None:
        kind, process, job = event.kind, event.process, event.job_id
        if kind is EventKind.WATCH_STARTED:
            # Who is there, and what it does, is told anew.
            kept = (EventKind.JOB_ACKNOWLEDGED, EventKind.ELECTION_SEEN)
            self._told = {key: each for key, each in self._told.items() if each.kind in kept}
        elif kind is EventKind.PROCESS_STARTED:
            self._told[kind, process] = event
            self._told.pop((EventKind.REST_SILENT, process), None)
        elif kind is EventKind.PROCESS_STOPPED:
            for gone in (EventKind.PROCESS_STARTED, EventKind.REST_SILENT):
                self._told.pop((gone, process), None)
        elif kind is EventKind.LEADERSHIP_GRANTED:
            self._told[kind, ""] = event
        elif kind is EventKind.LEADERSHIP_CONFIRMED:
            self._told[kind, event.facts.get("component")] = event
        elif kind is EventKind.LEADERSHIP_REVOKED:
            led = (EventKind.LEADERSHIP_GRANTED, EventKind.LEADERSHIP_CONFIRMED)
            self._told = {key: each for key, each in self._told.items() if each.kind not in led}
        elif kind is EventKind.REST_ANSWERED:
            self._told.pop((EventKind.REST_SILENT, process), None)
        elif kind in (EventKind.REST_SILENT, EventKind.STORE_CONNECTION, EventKind.ELECTION_SEEN):
            self._told[kind, process] = event
        elif kind is EventKind.TASKMANAGER_REGISTERED:
            self._told[kind, event.facts.get("taskmanager")] = event
        elif kind is EventKind.TASKMANAGER_LOST:
            self._told.pop((EventKind.TASKMANAGER_REGISTERED, event.facts.get("taskmanager")), None)
        elif job is not None and kind in _OF_JOBS:
            self._told[kind, job] = event
            self._forget_jobs()

    def _forget_jobs(self) -> None:
        jobs = dict.fromkeys(event.job_id for event in self._told.values() if event.job_id)
        if len(jobs) > _MOST_JOBS:
            oldest = next(iter(jobs))
            self._told = {key: each for key, each in self._told.items() if each.job_id != oldest}


_OF_JOBS = (
    EventKind.JOB_ACKNOWLEDGED, EventKind.JOB_STATUS, EventKind.JOB_PROGRESS,
    EventKind.JOB_RESTORED, EventKind.CHECKPOINT_COMPLETED,
)  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all; what cannot be written stays as it was."""
    part = path.with_name(f".{path.name}.part")
    with contextlib.suppress(OSError):
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file, default=str)
        part.replace(path)


def _status(path: Path) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        return path.stat()
    return None


def _newest_number(ring: Path) -> int:
    known = rings.segments(ring)
    return int(known[-1].stem) if known else 0


def _watched(ring: Path) -> float | None:
    try:
        found = json.loads((ring / rings.WATCHED).read_bytes())["monotonic"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return seconds_of(found)
