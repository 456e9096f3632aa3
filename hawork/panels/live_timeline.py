"""The timeline while it grows: what is over is told once, what goes on is a small table."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import groupby
from typing import Any

from hawork.core.events import Event
from hawork.story.beliefs import BELIEF_LANE, CLIENT_LANE, HOLDER_LANE, Beliefs
from hawork.story.facts import Facts
from hawork.story.job_lanes import progress_of
from hawork.story.segments import DOWN, LEADER_LANE, PAUSED, Mark, Segment
from hawork.story.timeline_builder import TimelineBuilder

SETTLE = 0.05
"""Seconds that an event waits for older ones: files are read one after the other."""

MOST_SEGMENTS = 2000
MOST_MARKS = 1000
"""More are merged or, for checkpoints, dropped, the oldest first; the log keeps everything."""

MOST_JOBS = 12
"""Jobs with a lane, the newest ones."""

MERGED = "merged"
_RUN = 8
_TRUTH = (HOLDER_LANE, LEADER_LANE, BELIEF_LANE, CLIENT_LANE)

Row = list[Any]
"""A segment as ``[lane, state, start, end, label, session id]``, a mark as ``[lane, kind, time,
label]``; times in milliseconds since the start."""


class LiveTimeline:
    """``arrived`` gives the events after the first ``n``, as ``EventReader.arrived`` does.

    Of more segments or marks than ``segments`` and ``marks`` the oldest are merged or dropped.
    """

    def __init__(
        self,
        arrived: Callable[[int], list[Event]],
        *,
        segments: int = MOST_SEGMENTS,
        marks: int = MOST_MARKS,
    ) -> None:
        self._arrived = arrived
        self._most_segments, self._most_marks = segments, marks
        self._events = 0
        self._waiting: list[Event] = []
        self._reset()

    def _reset(self) -> None:
        self._builder, self._beliefs = TimelineBuilder(), Beliefs()
        self.facts = Facts()
        self._last = float("-inf")
        self._told: list[Row] = []
        self._told_marks: list[Row] = []

    @property
    def started(self) -> float | None:
        """Monotonic time of the first event."""
        return self._builder.started

    def state(self, process: str) -> tuple[str, str | None] | None:
        """See ``TimelineBuilder.state``."""
        return self._builder.state(process)

    def role(self, process: str) -> str:
        """See ``TimelineBuilder.role``."""
        return self._builder.role(process)

    def processes(self) -> list[str]:
        """JobManagers and TaskManagers so far, in the order of their lanes."""
        names = self._builder.lanes()
        return [name for name in names if self._builder.role(name) in ("jobmanager", "taskmanager")]

    def life(self, process: str) -> str:
        """``running``, ``paused`` or ``exited``, by what was told so far."""
        told = self.state(process)
        return {DOWN: "exited", PAUSED: "paused"}.get(told[0] if told else DOWN, "running")

    def published(self) -> tuple[str, str] | None:
        """Who is found as the leader, and under which session id, by what was told so far."""
        for each in self._builder.going_on(self._last - (self.started or 0.0)):
            if each.lane == LEADER_LANE:
                return each.label, each.session_id or ""
        return None

    def milliseconds(self, now: float) -> int:
        """``now`` (monotonic seconds) on the timeline's axis."""
        return 0 if self.started is None else max(0, round((now - self.started) * 1000))

    def advance(self, now: float, *, last: bool = False) -> tuple[dict[str, list[Row]], bool]:
        """Read what happened; gives what is to be appended, and whether that is not enough.

        It is not when older rows were merged, or an event came later than ``SETTLE`` after a
        younger one: then a keyframe has to tell everything. ``last``: nothing is waited for.
        """
        fresh = self._arrived(self._events)
        self._events += len(fresh)
        waiting = sorted([*self._waiting, *fresh], key=lambda event: event.monotonic)
        until = float("inf") if last else now - SETTLE
        ready = [event for event in waiting if event.monotonic <= until]
        self._waiting = waiting[len(ready) :]
        again = bool(ready) and ready[0].monotonic < self._last
        if again:
            self._reset()
            held_back = {id(event) for event in self._waiting}
            known = self._arrived(0)[: self._events]
            ready = sorted(
                (event for event in known if id(event) not in held_back),
                key=lambda event: event.monotonic,
            )
        for event in ready:
            self._builder.see(event)
            self._beliefs.see(event)
            self.facts.see(event)
            self._last = event.monotonic
        added = {"segments": self._take_segments(), "marks": self._take_marks()}
        renamed, merged = self._rename(), self._merge()
        return added, again or renamed or merged

    def _rename(self) -> bool:
        """Give what was told of a job the name that is known only now."""
        names, rows = self._builder.renamed, [*self._told, *self._told_marks]
        old = [row for row in rows if row[0] in names]
        for row in old:
            row[0] = names[row[0]]
        names.clear()
        return bool(old)

    def _take_segments(self) -> list[Row]:
        over = [*self._builder.segments, *self._beliefs.segments]
        self._builder.segments.clear()
        self._beliefs.segments.clear()
        rows = [_row(segment) for segment in sorted(over, key=lambda each: each.end)]
        self._told.extend(rows)
        return rows

    def _take_marks(self) -> list[Row]:
        rows = [_mark(mark) for mark in self._builder.marks]
        self._builder.marks.clear()
        self._told_marks.extend(rows)
        return rows

    def section(self, now: float) -> dict[str, Any]:
        """Lanes and what goes on; changes only when something does, not as time passes."""
        if self.started is None:
            return {"lanes": [], "open": {}}
        moment = now - self.started
        lanes = [lane for lane in self._builder.lanes() if lane not in _TRUTH]
        jobs = [lane for lane in lanes if self._builder.role(lane) == "job"]
        hidden = {each for lane in jobs[:-MOST_JOBS] for each in (lane, progress_of(lane))}
        going_on: dict[str, Row] = {}
        for segment in (*self._builder.going_on(moment), *self._beliefs.going_on(moment)):
            if segment.lane in hidden:
                continue
            row = _row(segment)
            row[3] = -1
            several = segment.lane in (BELIEF_LANE, CLIENT_LANE)
            going_on[f"{segment.lane} {segment.label}" if several else segment.lane] = row
        shown = [[lane, "truth"] for lane in _TRUTH]
        shown += [[lane, self._builder.role(lane)] for lane in lanes if lane not in hidden]
        takeovers = [
            [each.process, round(each.lost_at * 1000), round(each.published_at * 1000), each.cause]
            for each in self._builder.takeovers[-200:]
        ]
        return {
            "lanes": shown, "open": going_on, "takeovers": takeovers, "wall": self._wall_ms(),
        }  # fmt: skip

    def _wall_ms(self) -> int:
        """This machine's clock at the start, as if it stood in UTC: a browser may be elsewhere."""
        wall = self._builder.wall
        offset = time.localtime(wall).tm_gmtoff
        return round((wall + offset) * 1000)

    def lists(self) -> dict[str, list[Row]]:
        """What a keyframe holds besides the section: everything that was told so far."""
        return {"segments": list(self._told), "marks": list(self._told_marks)}

    def _merge(self) -> bool:
        many = len(self._told) > self._most_segments
        if not many and len(self._told_marks) <= self._most_marks:
            return False
        if many:
            self._told = merge_oldest(self._told, self._most_segments // 2)
        if len(self._told_marks) > self._most_marks:
            self._told_marks = drop_oldest(self._told_marks, self._most_marks // 2)
        return True


def merge_oldest(rows: list[Row], keep: int) -> list[Row]:
    """All but the newest ``keep`` rows, in runs of one lane as one row each; then those."""
    old, new = rows[:-keep], rows[-keep:]
    merged = []
    for _, of_lane in groupby(sorted(old, key=lambda row: (row[0], row[2])), lambda row: row[0]):
        lane = list(of_lane)
        runs = (lane[at : at + _RUN] for at in range(0, len(lane), _RUN))
        merged += [run[0] if len(run) == 1 else _merged(run) for run in runs]
    return sorted(merged, key=lambda row: row[3]) + new


def _merged(run: list[Row]) -> Row:
    end = max(row[3] for row in run)
    changes = sum(int(row[4].split()[0]) if row[1] == MERGED else 1 for row in run)
    return [run[0][0], MERGED, run[0][2], end, f"{changes} states, merged", ""]


def drop_oldest(marks: list[Row], keep: int) -> list[Row]:
    """``keep`` marks: checkpoints go first, they are many and alike."""
    surplus = len(marks) - keep
    kept: list[Row] = []
    for mark in marks:
        if surplus > 0 and mark[1] == "checkpoint":
            surplus -= 1
        else:
            kept.append(mark)
    return kept[-keep:]


def _row(segment: Segment) -> Row:
    start, end = round(segment.start * 1000), round(segment.end * 1000)
    return [segment.lane, segment.state, start, end, segment.label, segment.session_id or ""]


def _mark(mark: Mark) -> Row:
    return [mark.lane, mark.kind, round(mark.time * 1000), mark.label]
