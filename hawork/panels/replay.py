"""A recorded run on the panels, with one slider that moves them all.

The sections are those of a lab that runs, made from events alone, so the same views draw them.
They are sent once, as merge patches with the time of each; a view goes to a moment by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hawork.core.calls import checked
from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind, read_events
from hawork.core.jobs import JobStatus
from hawork.core.types import ProcessState
from hawork.panels.cluster_cards import recorded_section
from hawork.panels.feed import Json, merge_patch
from hawork.panels.job_rows import MOST_JOBS
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.panel import Panel
from hawork.story.bundle import RunBundle
from hawork.story.recorded import Recorded
from hawork.story.ring import is_ring, open_ring
from hawork.story.terms import Terms
from hawork.story.timeline import Timeline, as_text, mimebundle

SHOWN = ("cluster", "timeline", "jobs")
"""The panels that events alone can fill; store and stepper look at what is there now."""

MOST_MOMENTS = 2000
"""Of a longer run those of one two-thousandth of it are one: a slider has no more places."""

_ENDED = {status.value for status in JobStatus if status.globally_terminal}
_NEWS = 5


@checked
def replay(run: Recorded | Sequence[Event] | Path | str, *, ha: str = "") -> Panel:
    """A recorded run: a bundle, a cluster so far, events, a run directory or its events folder.

    The slider goes through it: the timeline, the cards of the cluster and the jobs show what
    was known at that moment. ``ha`` is the type of the HA store, which events do not tell.

    >>> replay("runs/friday")                                              # doctest: +SKIP
    >>> replay(open_bundle("friday.zip"))                                  # doctest: +SKIP

    ``LabError`` when there are no events.
    """
    if isinstance(run, (str, Path)) and is_ring(run):
        run = open_ring(run)
    if isinstance(run, RunBundle):
        ha = ha or run.ha
    until = None
    if isinstance(run, Recorded):
        until, run = run.recorded_until(), run.event_list()
    events = _events_of(run)

    def picture() -> dict[str, str]:
        return {key: str(value) for key, value in mimebundle(Timeline.of(events)).items()}

    try:
        from hawork.panels.widgets import HubWidget, PanelWidget
    except ImportError:
        return Panel("replay", None, picture)
    hub = HubWidget()
    hub.send_keyframe(recorded(events, ha, until=until))
    widget = PanelWidget(hub, list(SHOWN), lambda: as_text(Timeline.of(events)), replay=True)
    return Panel("replay", widget, picture)


def recorded(
    events: Sequence[Event], ha: str = "", most: int = MOST_MOMENTS, until: float | None = None
) -> Json:
    """A keyframe with the whole run and its moments; what went on at its end is over.

    ``until`` (monotonic) is its end; default: the last event.
    """
    ordered = sorted(events, key=lambda event: event.monotonic)
    seen: list[Event] = []
    timeline = LiveTimeline(lambda known: seen[known:])
    through = moments(ordered, timeline, seen, ha, most)
    end = max(ordered[-1].monotonic, until or 0.0)
    lists, section = timeline.lists(), timeline.section(end)
    told = {row[0] for row in (*lists["segments"], *section["open"].values())}
    # What no event of the run tells of, such as what a client sees, has no lane.
    section["lanes"] = [each for each in section["lanes"] if each[1] != "truth" or each[0] in told]
    state = {
        "timeline": section,
        "life": {"closed": True},
        "news": {"lines": []},
        "moments": through,
    }
    return {"seq": 0, "now": timeline.milliseconds(end), "state": state, "lists": lists}


def _events_of(run: Sequence[Event] | Path | str) -> list[Event]:
    if not isinstance(run, (str, Path)):
        events = list(run)
        if not events:
            raise LabError("there is nothing to replay: the run has no events")
        return events
    directory = Path(run)
    inner = directory / "events"
    found = read_events(inner if inner.is_dir() else directory)
    if not found:
        raise LabError(f"there is nothing to replay: no events (*.jsonl) in {directory}")
    return found


def moments(
    events: Sequence[Event],
    timeline: LiveTimeline,
    seen: list[Event],
    ha: str,
    most: int = MOST_MOMENTS,
) -> Json:
    """Feed ``events``, in their order, to ``timeline`` by way of ``seen``; returns the moments.

    Each is ``[milliseconds since the start, merge patch]``, in their order, from an empty state.
    ``ha`` is the type of the HA store, empty when it is not known.
    """
    processes, jobs = _Processes(), _Jobs()
    shown: Json = {}
    found: list[list[Any]] = []
    for group in _groups(events, most):
        seen.extend(group)
        for event in group:
            processes.see(event)
            jobs.see(event)
        now = group[-1].monotonic
        timeline.advance(now, last=True)
        news = list(timeline.facts.news)[-_NEWS:]
        state = {
            "cluster": recorded_section(processes.states(timeline), timeline, ha or "not recorded"),
            "jobs": jobs.section(),
            "news": {"lines": [[_clock(wall), text] for wall, text in news]},
        }
        patch = merge_patch(shown, state)
        if patch:
            found.append([timeline.milliseconds(now), patch])
            shown = state
    return {"patches": found}


def _groups(events: Sequence[Event], most: int) -> Iterator[list[Event]]:
    start, end = events[0].monotonic, events[-1].monotonic
    if len(events) <= most:
        yield from ([event] for event in events)
        return
    tick = (end - start) / most or 1.0
    for _, group in groupby(events, lambda event: int((event.monotonic - start) / tick)):
        yield list(group)


class _Processes:
    """Which processes there are, by what they and the supervisor said."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._status: dict[str, int | None] = {}

    def see(self, event: Event) -> None:
        if event.kind is EventKind.PROCESS_STARTED:
            self._pids[event.process] = _number(event.facts.get("pid")) or 0
            self._status.pop(event.process, None)
        elif event.kind is EventKind.PROCESS_EXITED:
            self._status[str(event.facts.get("of"))] = _number(event.facts.get("status"))

    def states(self, timeline: LiveTimeline) -> list[ProcessState]:
        """In the order of the timeline's lanes; the timeline knows who is paused or down."""
        return [
            ProcessState(name, self._pids.get(name, 0), timeline.life(name), self._status.get(name))
            for name in timeline.processes()
        ]


class _Jobs:
    """What the events say of each job; records are those of its last checkpoint."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._by: dict[str, str | None] = {}
        self._terms = Terms()

    def see(self, event: Event) -> None:
        facts, kind = event.facts, event.kind
        self._terms.see(event)
        if event.job_id is None or self._terms.deposed(event.session_id):
            return  # a deposed leader suspends what is no longer its own
        row = self._row(event.job_id)
        row["name"] = event.job_name or row["name"]
        if kind is EventKind.JOB_STATUS:
            row["status"] = str(facts.get("status"))
            row["ended"] = row["status"] in _ENDED
            row["restarts"] += row["status"] == JobStatus.RESTARTING.value
            row["failure"] = str(facts.get("reason") or "")
        elif kind is EventKind.JOB_RESTORED:
            self._count_anew(event, row)
            number = _number(facts.get("checkpoint_id"))
            if number is not None:
                row["restored"] = number
                row["records"] = _number(facts.get("records")) or row["records"]
        elif kind is EventKind.CHECKPOINT_COMPLETED:
            self._count_anew(event, row)
            row["checkpoints"] += 1
            row["records"] = _number(facts.get("records")) or row["records"]
            number = _number(facts.get("checkpoint_id"))
            if number is not None:
                row["latest"] = number
        elif kind is EventKind.JOB_PROGRESS:
            row["records"] = _number(facts.get("records")) or row["records"]
            row["rate"] = round(facts.get("rate") or 0)
        elif kind is EventKind.JOB_RESULT:
            row["result"] = f"{facts.get('application_status')}, {facts.get('state')}"

    def section(self) -> Json:
        order = list(self._rows)[-MOST_JOBS:]
        note = "Records are those of the last checkpoint at this moment." if order else ""
        return {"jobs": {job: dict(self._rows[job]) for job in order}, "order": order, "note": note}

    def _row(self, job_id: str) -> dict[str, Any]:
        empty = {
            "name": job_id[:8], "status": "", "ended": False, "records": 0, "rate": 0,
            "checkpoints": 0, "restarts": 0, "failure": "",
        }  # fmt: skip
        return self._rows.setdefault(job_id, empty)

    def _count_anew(self, event: Event, row: dict[str, Any]) -> None:
        """Checkpoints are counted by leader, as a leader that is asked counts them."""
        if self._by.get(event.job_id or "") != event.process:
            self._by[event.job_id or ""] = event.process
            row["checkpoints"] = 0


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _clock(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
