"""The story of a run as a value: who was what, from when to when, and what happened.

Made from events and nothing else, so a run can be looked at long after its processes. It shows
itself as a picture with a table and a text beside it, so that it also shows where pictures or
scripts do not (an untrusted notebook, a screen reader, a terminal).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from hawork.core.events import Event
from hawork.story.beliefs import Beliefs
from hawork.story.display import clock_time, html_table, in_notebook, show
from hawork.story.picture import as_png
from hawork.story.recovery import Recoveries, recoveries_of
from hawork.story.segments import LEADER_LANE, LEADING, SILENT, STILL, Lanes, Takeovers
from hawork.story.timeline_builder import TimelineBuilder


@dataclass(frozen=True, slots=True)
class Timeline(Lanes):
    """Who led when, what was done to which process, what became of the jobs; draws itself."""

    recoveries: Recoveries = field(default_factory=Recoveries)

    @classmethod
    def of(cls, events: Sequence[Event], until: float | None = None) -> Timeline:
        """The timeline of a run's events, up to ``until`` (monotonic; default: all of it)."""
        if until is not None:
            events = [event for event in events if event.monotonic <= until]
        if not events:
            return cls((), (), (), Takeovers(), 0.0, 0.0)
        builder, beliefs = TimelineBuilder(), Beliefs()
        for event in events:
            builder.see(event)
            beliefs.see(event)
        started = events[0].monotonic
        end = (until if until is not None else events[-1].monotonic) - started
        segments = [*builder.segments, *builder.going_on(end)]
        return cls(
            lanes=builder.lanes(),
            segments=tuple(sorted(segments, key=lambda each: (each.start, each.lane))),
            marks=tuple(builder.marks),
            takeovers=Takeovers(builder.takeovers),
            started=started,
            end=end,
            wall=events[0].wall,
            beliefs=(*beliefs.segments, *beliefs.going_on(end)),
            recoveries=recoveries_of(events, builder.takeovers, started),
        )

    def recovery(self) -> Recoveries:
        """Each job under each new leader: from the loss of the one before to its first record
        processed again, split into detection, election, recovery, restart and replay.

        >>> lab.timeline().recovery().frame()                              # doctest: +SKIP
        """
        return self.recoveries

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        return mimebundle(self)

    def _ipython_display_(self) -> None:
        display_timeline(self)

    def __str__(self) -> str:
        return as_text(self)


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the story; ``time`` in seconds since the timeline's start."""

    time: float
    lane: str
    text: str


def moments(timeline: Timeline) -> list[Moment]:
    """Faults, leaders, restores and what became of the jobs, in their order."""
    told = [
        Moment(mark.time, mark.lane, mark.label)
        for mark in timeline.marks
        if mark.kind != "checkpoint"
    ]
    led: set[str | None] = set()
    down_until: dict[str, float] = {}
    arrivals = {takeover.session_id: takeover for takeover in timeline.takeovers}
    for segment in timeline.segments:
        if segment.lane == LEADER_LANE and segment.state == SILENT:
            said = "is published as the leader, and gives no answer"
            told.append(Moment(segment.start, segment.label, said))
        elif segment.lane == LEADER_LANE and segment.session_id in led:
            told.append(Moment(segment.start, segment.label, "leads, as before"))
        elif segment.lane == LEADER_LANE:
            led.add(segment.session_id)
            takeover = arrivals.get(segment.session_id or "")
            after = f", {takeover.seconds:.3f} s after {takeover.cause}" if takeover else ""
            session = f"leads with session id {segment.session_id}"
            told.append(Moment(segment.start, segment.label, f"{session}{after}"))
        elif segment.lane.startswith("job "):
            told.append(Moment(segment.start, segment.lane, segment.label or segment.state))
        elif segment.state == STILL:
            said = f"no progress for {segment.end - segment.start:.3f} s"
            told.append(Moment(segment.start, segment.lane, said))
        elif segment.state == "down" and segment.start != down_until.get(segment.lane):
            told.append(Moment(segment.start, segment.lane, "is down"))
        if segment.state == "down":
            down_until[segment.lane] = segment.end  # it may go on under another session
    return sorted(told, key=lambda moment: moment.time)


def as_text(timeline: Timeline) -> str:
    """The story, one line per moment."""
    told = moments(timeline)
    if not told:
        return "nothing happened yet"
    width = max(len(moment.lane) for moment in told)
    return "\n".join(
        f"{each.time:8.3f} s  {_clock(timeline, each.time)}  {each.lane:<{width}}  {each.text}"
        for each in told
    )


def as_table(timeline: Timeline) -> str:
    """The story as a table of HTML."""
    rows = [
        (f"{each.time:.3f} s", _clock(timeline, each.time), each.lane, each.text)
        for each in moments(timeline)
    ]
    return html_table(("time", "clock", "who", "what"), rows)


def _clock(timeline: Timeline, moment: float) -> str:
    return "" if timeline.wall is None else clock_time(timeline.wall + moment)


def mimebundle(timeline: Timeline) -> dict[str, object]:
    """PNG, HTML table and text; without matplotlib only the last two."""
    bundle: dict[str, object] = {"text/plain": as_text(timeline), "text/html": as_table(timeline)}
    try:
        png = as_png(timeline)
    except ImportError:
        return bundle
    picture = base64.b64encode(png).decode()
    # Who takes the HTML takes it alone, so it holds the picture, too.
    alternative = html.escape(_summary(timeline), quote=True)
    bundle["text/html"] = (
        f'<img alt="{alternative}" src="data:image/png;base64,{picture}">{_folded(timeline)}'
    )
    bundle["image/png"] = picture
    return bundle


def display_timeline(timeline: Timeline) -> None:
    """Show the picture, and below it the table, in the running cell.

    As two outputs: JupyterLab prefers HTML to a PNG, and takes the pictures out of the HTML
    of a notebook that is not trusted.
    """
    bundle = mimebundle(timeline)
    if "image/png" not in bundle or not in_notebook():
        show(bundle)
        return
    show({"image/png": bundle["image/png"], "text/plain": _summary(timeline)})
    show({"text/html": _folded(timeline), "text/plain": bundle["text/plain"]})


def _folded(timeline: Timeline) -> str:
    return f"<details><summary>The same as a table</summary>{as_table(timeline)}</details>"


def _summary(timeline: Timeline) -> str:
    terms = {
        each.session_id: each.label
        for each in timeline.segments
        if each.lane == LEADER_LANE and each.state == LEADING
    }
    leaders = terms.values()
    faults = sum(mark.kind == "fault" for mark in timeline.marks)
    return f"Timeline: leaders {', then '.join(leaders) or 'none'}; {faults} faults"
