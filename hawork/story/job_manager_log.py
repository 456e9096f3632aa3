"""JobManager logs laid beside the events: the lines that matter, each as an event.

Understood are Flink's default layout (``log4j-console.properties``:
``%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %-60c %x - %m%n``), what ``kubectl logs`` puts before it
(``--timestamps``, ``--prefix``), layouts that have a time and a message in another order, and one
JSON object a line. What a line says is found in its message alone, so that it does not matter who
wrote it, and how. A log tells its own machine's clock, often without a time zone: see ``aligned``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from hawork.core.errors import ConfigurationError, LabError
from hawork.core.events import Event, EventKind
from hawork.core.user_files import expanded
from hawork.story.packed_files import DAMAGED, is_packed, open_unpacked, plain_name

LARGEST = 256 << 20
"""Bytes of a log that are read; of a longer one the newest."""
_LONGEST = 600
"""Characters of a message that are kept."""
_MOST = 5000
"""Entries of one log that are kept, the newest."""
_MOST_ANCHORS = 200
_PIECE = 1 << 20
_ENCODINGS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""By the first bytes: PowerShell's ``>`` writes UTF-16."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?(?![\w:])"
)
_CLOCK = re.compile(r"(\d\d:\d\d:\d\d)[.,](\d{1,9})(?![\w:])")
_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL)\b")
_PREFIX = re.compile(r"^\[pod/[^\]]{1,300}\] ")
_CAUSE = re.compile(
    r"^\s*(?:Caused by: )?((?:[a-z][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error))(: .*)?$"
)
_KEYS = {
    "time": ("@timestamp", "timestamp", "time", "instant"),
    "level": ("log.level", "level", "severity"),
    "message": ("message", "msg"),
    "thrown": ("error.stack_trace", "stack_trace", "exception", "thrown"),
}

_ID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
_JOB = r"([0-9a-f]{32})"
ANCHOR = "checkpoint completed"
"""Only read to find the time zone of a log: REST has told of these."""
_ANY_JOB = re.compile(r"\b[0-9a-f]{32}\b")
_SAYS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("granted", re.compile(rf"granted leadership with (?:leader|session) id {_ID}", re.I)),
    ("granted", re.compile(rf"was granted leadership.*?{_ID}", re.I)),
    ("revoked", re.compile(rf"revoked (?:the )?leadership(?:.*?{_ID})?", re.I)),
    ("lost leadership", re.compile(r"(?:lost leadership|Leadership .*lost|stopped leading)", re.I)),
    ("recovered jobs", re.compile(r"Successfully recovered \d+ persisted job graphs", re.I)),
    ("recovering jobs", re.compile(r"Recover(?:ing)? (?:all )?persisted job graphs", re.I)),
    ("restored", re.compile(rf"Restoring job {_JOB} from (?:Checkpoint (\d+))?", re.I)),
    (ANCHOR, re.compile(rf"Completed checkpoint (\d+) for job {_JOB}", re.I)),
    ("no checkpoint", re.compile(r"No checkpoint found during restore", re.I)),
    ("checkpoint failed", re.compile(
        r"Failed to trigger (?:or complete )?checkpoint|Checkpoint \d+ (?:expired|declined|of job "
        r"\S+ expired)|Decline checkpoint|Exceeded checkpoint tolerable failure|"
        r"Could not complete (?:snapshot|checkpoint)|Checkpoint Coordinator is suspending", re.I)),
    ("fatal", re.compile(
        r"Fatal error occurred|FATAL|OutOfMemoryError|Cluster entrypoint .*(?:failed|could not)|"
        r"Could not start cluster entrypoint|Terminating (?:the )?(?:JVM|\w*ClusterEntrypoint) "
        r"process with exit code|Uncaught exception", re.I)),
    ("cannot recover", re.compile(
        r"Could not (?:recover|retrieve|restore|find|instantiate|set up)\b|"
        r"Could not (?:start|create) the JobMaster|JobMaster for job \S+ failed|"
        r"FileNotFoundException|Unable to restore", re.I)),
    ("store connection", re.compile(
        r"State change: (?:SUSPENDED|LOST|RECONNECTED)|Connection to ZooKeeper (?:suspended|lost)|"
        r"Client session timed out|session .* has expired|ConfigMap .* (?:deleted|does not exist)",
        re.I)),
    ("job state", re.compile(
        rf"Job .*\({_JOB}\) switched from state \w+ to (?:FAILING|FAILED|RESTARTING|SUSPENDED|"
        r"RUNNING|FINISHED|CANCELED)", re.I)),
)  # fmt: skip
"""What is looked for in a message; the first one that is found says what the line is about."""
_QUIET = ("job state", "recovering jobs", "restored", "recovered jobs", "granted")


_Line = tuple[float, bool, str, str, str]
"""Wall-clock time, whether its zone is known, level, message and stack trace."""
_SLACK = 3600.0
_AGAIN = 10.0


class JobManagerLog:
    """One log as it grows: each call of ``read_on`` gives what is new.

    ``unread`` says what of it could not be read; empty for a whole one.

    ``name`` stands for the process; default: the file's name without its ending. A packed one is
    read once. ``LabError`` when there is no such file, ``ConfigurationError`` when nothing here
    unpacks it.
    """

    def __init__(self, path: Path | str, name: str = "") -> None:
        self._path = expanded(path)
        plain = plain_name(self._path.name)
        self.name = name or plain.removesuffix(".log").removesuffix(".txt")
        if not self._path.is_file():
            raise LabError(
                f"there is no log {self._path}: name a file, or what 'kubectl logs' wrote"
            )
        try:
            self._packed = is_packed(self._path)
            with self._path.open("rb") as file:
                head = file.read(2)
            open_unpacked(self._path).close()
        except OSError as error:
            raise LabError(f"{self._path} cannot be read: {error.strerror or error}") from None
        self._encoding = _ENCODINGS.get(head, "utf-8")
        self._damage = self.unread = ""
        width = 1 if self._encoding == "utf-8" else 2
        self._offset = max(0, self._path.stat().st_size - LARGEST) // width * width
        self._lines = LogLines(self.name, lambda: self._path.stat().st_mtime)

    @property
    def understood(self) -> bool:
        """Whether anything of it was an entry of a log so far."""
        return self._lines.entries > 0

    def read_on(self) -> list[Event]:
        """What is new and complete. A file that has become shorter is read anew: it was rotated.

        Of a packed one that is damaged what comes before, and an entry that says so.
        """
        data = self._unpacked() if self._packed else self._new_bytes()
        text = data.decode(self._encoding, "replace").removeprefix("\ufeff")
        found = list(self._lines.read(text.splitlines()))
        if text.strip() and not self._lines.entries:
            self.unread = f"{self._path} is not a JobManager's log: none of its lines has a time"
        elif self._lines.entries and not self._damage:
            self.unread = ""
        if self._damage:
            self.unread, self._damage = self._damage, ""
            last = found[-1].wall if found else self._path.stat().st_mtime
            facts = {"what": "cut off", "level": "WARN", "message": self.unread, "zone": True}
            found.append(Event(EventKind.LOG_LINE, self.name, last, last, facts=facts))
        anchors = [each for each in found if each.facts["what"] == ANCHOR]
        others = folded(each for each in found if each.facts["what"] != ANCHOR)
        return [*anchors[-_MOST_ANCHORS:], *others[-_MOST:]]

    def _new_bytes(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(LARGEST)
        except OSError:
            return b""  # it is being rotated, or went with its pod
        newline = "\n".encode(self._encoding)
        at = data.rfind(newline)
        while at > 0 and at % len(newline):  # it lies between two characters
            at = data.rfind(newline, 0, at + len(newline) - 1)
        complete = data[: at + len(newline)] if at >= 0 else b""
        self._offset += len(complete)
        return complete

    def _unpacked(self) -> bytes:
        if self._offset < 0:
            return b""
        self._offset = -1
        newest = bytearray()
        try:
            with open_unpacked(self._path) as file:
                # What 'read' has unpacked before an error, it would keep to itself.
                while piece := cast("Any", file).read1(_PIECE):
                    if not newest:
                        self._encoding = _ENCODINGS.get(piece[:2], "utf-8")
                    newest += piece
                    del newest[:-LARGEST]
        except DAMAGED as error:
            self._damage = f"{self._path} cannot be unpacked to its end: {error}"
        return bytes(newest)


def folded(entries: Iterable[Event]) -> list[Event]:
    """What is said again and again of one job is one entry, which tells how often."""
    found: list[Event] = []
    last: dict[tuple[object, ...], Event] = {}
    for entry in entries:
        key = (entry.process, entry.facts["what"], entry.job_id, entry.facts["level"])
        known = last.get(key)
        if known is not None and entry.wall - known.wall < _AGAIN and not entry.facts.get("cause"):
            known.facts["times"] = known.facts.get("times", 1) + 1
            continue
        last[key] = entry
        found.append(entry)
    return found


class LogLines:
    """Reads lines, in their order, into events of kind ``log.line``.

    ``newest`` tells, where lines have a clock and no date, when the last one was written.
    """

    def __init__(self, name: str, newest: Callable[[], float] = time.time) -> None:
        self._name = name
        self._newest = newest
        self.entries = 0
        """How many began so far, those that say nothing of note among them."""

    def read(self, lines: Iterable[str]) -> Iterator[Event]:
        """An entry is told when the next one begins: a stack trace may follow it."""
        waiting: Event | None = None
        for line in lines:
            entry = self._entry(line)
            if entry is None:
                if waiting is not None and (cause := _CAUSE.match(line)):
                    waiting.facts["cause"] = _cause(cause)
                continue
            self.entries += 1
            if waiting is not None:
                yield waiting
            waiting = entry if entry.facts["what"] else None
        if waiting is not None:
            yield waiting

    def _entry(self, line: str) -> Event | None:
        """What a line says; ``None`` when no entry begins with it."""
        found = _from_json(line) if line.lstrip().startswith("{") else _from_text(line)
        if found is None:
            found = self._without_date(line)
        if found is None:
            return None
        wall, zone, level, message, thrown = found
        what, match = _what(message, level)
        facts: dict[str, Any] = {
            "what": what, "level": level, "message": message[:_LONGEST], "zone": zone,
        }  # fmt: skip
        if thrown:
            causes = [each for each in map(_CAUSE.match, thrown.splitlines()) if each]
            if causes:
                facts["cause"] = _cause(causes[-1])
        for each in match.groups() if match is not None else ():
            if each is not None and each.isdigit():
                facts["checkpoint_id"] = int(each)
        named = [each for each in (match.groups() if match is not None else ()) if each]
        return Event(
            EventKind.LOG_LINE, self._name, wall, wall,
            session_id=next((each for each in named if len(each) == 36), None),
            job_id=job[0] if (job := _ANY_JOB.search(message)) else None, facts=facts,
        )  # fmt: skip

    def _without_date(self, line: str) -> _Line | None:
        """A layout that has the clock only: the line is at most a day older than the newest."""
        clock = _CLOCK.match(line)
        if clock is None or not _LEVEL.search(line[:80]):
            return None
        newest = self._newest()
        day = time.strftime("%Y-%m-%d", time.localtime(newest))
        found = _from_text(f"{day} {line}")
        if found is not None and found[0] > newest + _SLACK:
            found = (found[0] - 86400.0, *found[1:])
        return found


def _what(message: str, level: str) -> tuple[str, re.Match[str] | None]:
    for what, pattern in _SAYS:
        match = pattern.search(message)
        if match is not None:
            return what, match
    return ("error" if level in ("ERROR", "FATAL") else ""), None


def _from_text(line: str) -> _Line | None:
    """Its moment, whether that has a zone, level and message of a line that begins an entry."""
    rest = _PREFIX.sub("", line, count=1)  # kubectl logs --prefix
    stamp = _TIME.match(rest.lstrip("[( "))
    if stamp is None:
        stamp = _TIME.search(rest[:80])
        if stamp is None or not _LEVEL.search(rest[: stamp.end() + 60]):
            return None
    rest = rest[rest.index(stamp[0]) + len(stamp[0]) :]
    if stamp[4] and (own := _TIME.match(rest.lstrip())):
        rest = rest.lstrip()[own.end() :]  # kubectl logs --timestamps: the first one has a zone
    wall = _moment(stamp)
    if wall is None:
        return None
    level = _LEVEL.search(rest[:80])
    # Logger, context and message stand between " - " in Flink's layout; in others anything may.
    _, dash, message = rest.partition(" - ")
    if not dash:
        message = rest[level.end() :] if level else rest
    return wall, bool(stamp[4]), level[1] if level else "", message.strip(), ""


def _from_json(line: str) -> _Line | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    found = {name: _first(data, keys) for name, keys in _KEYS.items()}
    moment, zone = _json_moment(found["time"])
    if moment is None:
        return None
    level = str(found["level"] or "").upper()
    return moment, zone, level, str(found["message"] or ""), str(found["thrown"] or "")


def _cause(match: re.Match[str]) -> str:
    return f"{match[1].rpartition('.')[2]}{match[2] or ''}"[:_LONGEST]


def _first(data: Mapping[str, Any], keys: Iterable[str]) -> Any:
    for key in keys:
        if data.get(key) is not None:
            return data[key]
        outer, dot, inner = key.partition(".")
        if dot and isinstance(data.get(outer), dict) and data[outer].get(inner) is not None:
            return data[outer][inner]
    return None


def _json_moment(value: Any) -> tuple[float | None, bool]:
    if isinstance(value, dict):  # log4j2's Instant
        value = value.get("epochSecond")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (float(value) / 1000 if value > 1e11 else float(value)), True
    match = _TIME.match(str(value))
    return (None, False) if match is None else (_moment(match), bool(match[4]))


def _moment(match: re.Match[str]) -> float | None:
    """Seconds since 1970; a time without a zone is taken for one of this machine."""
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}")
        if zone:
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
        return moment.timestamp() + float(f"0.{fraction or 0}")
    except (ValueError, OverflowError, OSError):
        return None


# --- beside the events -------------------------------------------------------------------------

_QUARTER = 900.0


def aligned(entries: Iterable[Event], events: Iterable[Event]) -> list[Event]:
    """``entries`` on the axis of ``events``, whatever time zone their machine is in.

    What is older than the events by more than an hour is left out: a log may be of a month. A
    checkpoint, or a restore, of which both tell says by how many quarters of an hour a clock
    without a zone differs from ours. Without one it is taken for this machine's.
    """
    known = list(events)
    moments = {
        (event.job_id, event.facts.get("checkpoint_id"), event.kind): event.wall
        for event in known
        if event.kind in _BOTH.values()
    }
    anchor = known[-1].monotonic - known[-1].wall if known else 0.0
    since = min((event.wall for event in known), default=_SLACK) - _SLACK
    laid = (
        replace(entry, wall=entry.wall + shift, monotonic=entry.wall + shift + anchor)
        for log in _by_process(entries)
        for shift in (_shift(log, moments),)
        for entry in log
        if entry.facts.get("what") != ANCHOR
    )
    return [entry for entry in laid if entry.wall >= since]


_BOTH = {ANCHOR: EventKind.CHECKPOINT_COMPLETED, "restored": EventKind.JOB_RESTORED}


def _by_process(entries: Iterable[Event]) -> list[list[Event]]:
    logs: dict[str, list[Event]] = {}
    for entry in entries:
        logs.setdefault(entry.process, []).append(entry)
    return list(logs.values())


def _shift(log: Iterable[Event], moments: Mapping[tuple[Any, ...], float]) -> float:
    for entry in log:
        kind = _BOTH.get(str(entry.facts.get("what")))
        known = moments.get((entry.job_id, entry.facts.get("checkpoint_id"), kind))
        if known is not None and not entry.facts.get("zone"):
            return round((known - entry.wall) / _QUARTER) * _QUARTER
    return 0.0


def read_logs(paths: Iterable[Path | str]) -> list[Event]:
    """The entries of several logs, as they are now. ``LabError`` for a file that is not there,
    ``ConfigurationError`` for one of which nothing can be read.
    """
    found: list[Event] = []
    for log in [JobManagerLog(path) for path in paths]:
        found += log.read_on()
        if log.unread and not log.understood:
            raise ConfigurationError(log.unread)
    return found


def is_alarming(event: Event) -> bool:
    """Whether a line of a log tells that something went wrong."""
    return event.facts.get("what") not in _QUIET
