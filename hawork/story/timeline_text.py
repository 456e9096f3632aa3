"""A timeline in words: the moments worth telling, as plain text and as a table."""

from __future__ import annotations

import html
from dataclasses import dataclass

from hawork.story.timeline import LEADER_LANE, Timeline


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
    arrivals = {takeover.session_id: takeover for takeover in timeline.takeovers}
    for segment in timeline.segments:
        if segment.lane == LEADER_LANE:
            takeover = arrivals.get(segment.session_id or "")
            after = f", {takeover.seconds:.3f} s after {takeover.cause}" if takeover else ""
            session = f"leads with session id {segment.session_id}"
            told.append(Moment(segment.start, segment.label, f"{session}{after}"))
        elif segment.lane.startswith("job "):
            told.append(Moment(segment.start, segment.lane, segment.state))
        elif segment.state == "down":
            told.append(Moment(segment.start, segment.lane, "is down"))
    return sorted(told, key=lambda moment: moment.time)


def as_text(timeline: Timeline) -> str:
    """The story, one line per moment."""
    told = moments(timeline)
    if not told:
        return "nothing happened yet"
    width = max(len(moment.lane) for moment in told)
    return "\n".join(f"{each.time:8.3f} s  {each.lane:<{width}}  {each.text}" for each in told)


def as_table(timeline: Timeline) -> str:
    """The story as an HTML table without styles or scripts, so that it is never sanitised away."""
    rows = "".join(
        f"<tr><td>{each.time:.3f} s</td><td>{html.escape(each.lane)}</td>"
        f"<td>{html.escape(each.text)}</td></tr>"
        for each in moments(timeline)
    )
    return f"<table><tr><th>time</th><th>who</th><th>what</th></tr>{rows}</table>"
