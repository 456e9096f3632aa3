"""Two runs of the same experiment, one above the other."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace

from hawork.story.segments import Mark, Takeovers
from hawork.story.timeline import Timeline, as_text, mimebundle

_MARGIN = 2.0  # seconds before the first fault


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Timelines under their names, each from just before its first fault, on one scale.

    >>> print(SideBySide({"hawork": Timeline.of([])}))
    hawork
    nothing happened yet
    """

    timelines: Mapping[str, Timeline]

    def __str__(self) -> str:
        return "\n\n".join(f"{name}\n{as_text(each)}" for name, each in self.timelines.items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        longest = max((_length(each) for each in self.timelines.values()), default=0.0)
        names = tuple({lane for each in self.timelines.values() for lane in each.lanes})
        faces = {
            name: mimebundle(_shown(timeline, longest, names))["text/html"]
            for name, timeline in self.timelines.items()
        }
        return "".join(f"<h4>{html.escape(name)}</h4>{face}" for name, face in faces.items())


def _start(timeline: Timeline) -> float:
    faults: list[Mark] = [mark for mark in timeline.marks if mark.kind == "fault"]
    return max(min((mark.time for mark in faults), default=0.0) - _MARGIN, 0.0)


def _length(timeline: Timeline) -> float:
    return timeline.end - _start(timeline)


def _shown(timeline: Timeline, length: float, names: tuple[str, ...] = ()) -> Timeline:
    """The part that matters; the shorter run leaves room at its end.

    All of them have room for the ``names`` of all lanes, so that a second is as wide, and begins
    at the same place, in each.
    """
    if not timeline.lanes:
        return timeline
    begin = _start(timeline)
    return replace(
        timeline,
        begin=begin,
        beside=names,
        end=begin + length,
        segments=tuple(
            replace(each, start=max(each.start, begin))
            for each in timeline.segments
            if each.end > begin
        ),
        marks=tuple(mark for mark in timeline.marks if mark.time >= begin),
        takeovers=Takeovers(each for each in timeline.takeovers if each.published_at > begin),
    )
