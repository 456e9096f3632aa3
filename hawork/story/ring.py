"""A cluster recorded beforehand: a run bundle as a folder, in a ring of bounded size.

::

    ring/
      ring.json             format, hawork's version, the cluster; marks the folder as a ring
      watched.json          until when it was watched
      options.json          the cluster's options; secrets are left out
      store.json, storage.json   rows of the HA store and files of storageDir, as seen last
      events/<number>.jsonl segments; the oldest goes when the ring is full
      cases/<UTC time>.zip  the HA data as 'hawork inspect --save' keeps it

A segment begins with what was so when it began, restated, so that the oldest one that is left tells
a whole story. Of all others that is passed over. ``monotonic`` is one axis over all watches, also
over restarts of the machine. Nothing in a ring is executed; a damaged line costs itself.
"""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hawork.core.errors import LabError
from hawork.core.events import Event
from hawork.core.user_files import expanded, is_file
from hawork.story.bundle import LARGEST, RunBundle, event_of, seconds_of

RING, WATCHED = "ring.json", "watched.json"
OPTIONS, STORE, STORAGE = "options.json", "store.json", "storage.json"
EVENTS, CASES = "events", "cases"
FORMAT = 1
RESTATED = "restated"
"""The key under which a segment holds an event of before."""
_SEGMENT = re.compile(r"\d{8}\.jsonl")
_CASE = re.compile(r"\d{8}-\d{6}\.zip")
_CASE_TIME = "%Y%m%d-%H%M%S"


def is_ring(path: Path | str) -> bool:
    """Whether ``hawork watch`` made this folder."""
    return is_file(expanded(path) / RING)


def segments(ring: Path) -> list[Path]:
    """The segments of events, the oldest first."""
    try:
        return sorted(each for each in (ring / EVENTS).iterdir() if _SEGMENT.fullmatch(each.name))
    except OSError:
        return []


def cases(ring: Path) -> list[Path]:
    """The cases, the oldest first; a case that is being written is none yet."""
    try:
        return sorted(each for each in (ring / CASES).iterdir() if _CASE.fullmatch(each.name))
    except OSError:
        return []


def case_name(wall: float) -> str:
    """The name of a case that was taken at ``wall`` (seconds since 1970).

    >>> case_name(0.0)
    '19700101-000000.zip'
    """
    return f"{time.strftime(_CASE_TIME, time.gmtime(wall))}.zip"


def case_of(path: Path | str, at: float | None = None) -> Path:
    """The newest case of a ring, or the newest that is not younger than ``at``.

    ``LabError`` when there is none.
    """
    ring = expanded(path)
    found = [each for each in cases(ring) if at is None or _taken(each) <= at]
    if not found:
        when = "" if at is None else f" from before {time.strftime('%F %T', time.localtime(at))}"
        raise LabError(f"{ring} has no case of the HA data{when}: the store did not answer then")
    return found[-1]


def _taken(case: Path) -> float:
    return calendar.timegm(time.strptime(case.stem, _CASE_TIME))


@dataclass(frozen=True, repr=False)
class RingBundle(RunBundle):
    """What a ring holds now, with everything that ``RunBundle`` can be asked."""

    until: float | None = None
    """On the axis of the events: until when the cluster was watched."""

    def recorded_until(self) -> float | None:
        return self.until


def open_ring(path: Path | str) -> RingBundle:
    """Read what ``hawork watch`` has kept so far; it may be at work.

    ``LabError`` when the folder is not a ring of this format, or holds no event.
    """
    ring = expanded(path)
    about = described(ring)
    if about.get("format") != FORMAT:
        raise LabError(
            f"{ring} is a ring of format {about.get('format')!r}, and this hawork reads "
            f"{FORMAT}: open it with the hawork that wrote it"
        )
    missing: dict[str, str] = {}
    events, damaged = read_events(ring)
    if damaged:
        missing[EVENTS] = f"{damaged:,} lines are damaged and were passed over"
    if not events:
        raise LabError(f"{ring} holds no event yet: nothing was seen of the cluster")
    watched = _object(ring / WATCHED)
    until = seconds_of(watched.get("monotonic"))
    rows = {name: _rows(ring / name) for name in (STORAGE, STORE)}
    missing |= {name: "it was not seen" for name, found in rows.items() if found is None}
    return RingBundle(
        seconds_of(watched.get("wall")) or events[-1].wall,
        str(about.get("hawork", "")), str(about.get("cluster", "")), missing,
        {str(key): str(value) for key, value in _object(ring / OPTIONS).items()},
        tuple(events), rows[STORAGE] or (), rows[STORE] or (),
        until if until is not None and until > events[-1].monotonic else None,
    )  # fmt: skip


def described(ring: Path) -> dict[str, Any]:
    """What the folder says of itself; empty when it is damaged."""
    return _object(ring / RING)


def read_events(ring: Path) -> tuple[list[Event], int]:
    """All events in their order, and the number of lines that are damaged."""
    found: list[Event] = []
    damaged = size = 0
    for number, segment in enumerate(segments(ring)):
        try:
            size += segment.stat().st_size
            if size > LARGEST:
                raise LabError(f"{ring} holds more than {LARGEST:,} bytes of events: remove some")
            data = segment.read_bytes()
        except OSError:
            continue  # it was the oldest, and went just now
        complete = data[: data.rfind(b"\n") + 1]
        for event, restated in _lines(complete):
            if event is None:
                damaged += 1
            elif not restated or number == 0:
                found.append(event)
    found.sort(key=lambda event: event.monotonic)
    return found, damaged


def _lines(data: bytes) -> Iterator[tuple[Event | None, bool]]:
    since: Event | None = None
    for line in data.splitlines():
        restated = False
        try:
            read = json.loads(line)
            if isinstance(read, dict) and RESTATED in read:
                restated, read = True, read[RESTATED]
            event = event_of(read)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            yield None, False
            continue
        if restated:
            # It was so when the segment began; when it became so is not in the ring any more.
            since = since or event
            event = replace(event, monotonic=max(event.monotonic, since.monotonic))
        yield event, restated


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is none, or it is damaged."""
    try:
        read = _json(path)
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _json(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} is too large")
    return json.loads(path.read_bytes())


def _rows(path: Path) -> tuple[dict[str, Any], ...] | None:
    try:
        return tuple(map(dict, _json(path)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
