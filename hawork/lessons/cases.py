"""Checks of cases in which something is broken: find out what it was, or repair it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hawork.core.events import EventKind
from hawork.lessons.check import Check, answer, answers_of, safe

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
    halves = _halves(lab.directory / "storage" / "job-result-store")
    return Check(
        (
            (f"every job result is a whole file{_but_for(halves)}", not halves),
            ("a JobManager was started after the last one had ended", started),
            ("and a leader is there", leads),
        )
    )


def _halves(folder: Path) -> list[str]:
    """The names of the files that hold no JSON."""
    found = []
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            found.append(path.name)
    return found


def _but_for(names: list[str]) -> str:
    return f", but for {', '.join(names)}" if names else ""
