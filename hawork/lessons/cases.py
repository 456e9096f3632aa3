"""Checks of cases in which something is broken: find out what it was, or repair it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from hawork.core.events import EventKind
from hawork.lessons.check import Check, Point, answer, answers_of, safe

if TYPE_CHECKING:
    from hawork.lab.flink.cluster import FlinkCluster
    from hawork.lessons.incidents import Incident

__all__ = ["check_incident", "check_repair"]


@safe
def check_incident(incident: Incident, answers: Mapping[str, Any] | None) -> Check:
    """Which of the questions about a broken run are answered, and which rightly.

    >>> check_incident(incident, {"process": "jm-1", "what": "killed"})    # doctest: +SKIP
    """
    right = incident.answers()
    given, unknown = answers_of(answers, right)
    return Check(
        (
            *(
                answer(each, given.get(each, ...), right[each], incident.hints[each], _DEEDS)
                for each in right
            ),
            *unknown,
        )
    )


_DEEDS = {
    "kill": "killed", "sigkill": "killed", "dead": "killed", "died": "killed",
    "pause": "paused", "sigstop": "paused", "stopped": "paused",
}  # fmt: skip


@safe
def check_repair(lab: FlinkCluster) -> Check:
    """Does a cluster lead again whose JobManagers had all ended because of half a result?

    >>> check_repair(lab)                                                  # doctest: +SKIP
    """
    ended = started = leads = False
    for event in lab.event_list():
        if event.kind is EventKind.PROCESS_EXITED and event.facts["of"].startswith("jm"):
            ended, started, leads = True, False, False
        elif event.kind is EventKind.FAULT and event.facts["verb"] == "restart":
            started |= ended and event.facts["target"].startswith("jm")
        elif event.kind is EventKind.LEADERSHIP_CONFIRMED:
            leads = started
    folder = lab.directory / "storage" / "job-result-store"
    halves = _halves(folder)
    kept = _Evidence.of(folder).looked_at(halves)
    return Check(
        (
            (f"every job result is a whole file{_but_for(halves)}", not halves),
            *kept,
            ("a JobManager was started after the last one had ended", started),
            ("and a leader is there", leads),
        )
    )


def _halves(folder: Path) -> list[Path]:
    """The files that hold no JSON."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            found.append(path)
    return found


def _but_for(halves: list[Path]) -> str:
    return f", but for {', '.join(path.name for path in halves)}" if halves else ""


class _Evidence:
    """The damaged files that a check has seen, held open: where they are now, and if they are.

    A file that is moved within its file system keeps its name somewhere; one that is deleted, or
    moved to another file system, has none. Of what was never seen nothing is said.
    """

    _known: ClassVar[dict[Path, _Evidence]] = {}

    def __init__(self) -> None:
        self._files: dict[Path, tuple[BinaryIO, bytes]] = {}

    @classmethod
    def of(cls, folder: Path) -> _Evidence:
        return cls._known.setdefault(folder, cls())

    def looked_at(self, halves: list[Path]) -> list[Point]:
        """A point for each file that was seen damaged before and is not there any more."""
        for path in halves:
            if path in self._files:
                self._files.pop(path)[0].close()
            file = path.open("rb")
            self._files[path] = file, file.read()
        gone = {path: seen for path, seen in self._files.items() if path not in halves}
        return [_kept(path, *seen) for path, seen in gone.items()]


def _kept(path: Path, file: BinaryIO, content: bytes) -> Point:
    wish = f"{path.name} is kept, so that an operator can find out how it came about"
    if os.fstat(file.fileno()).st_nlink == 0:
        deleted = "it was deleted, or moved to another file system; damage it again, and move it"
        return f"{wish}: {deleted} within this one", False
    file.seek(0)
    if file.read() != content:
        return f"{wish}: it was written over; damage it again, and move it", False
    return wish, True
