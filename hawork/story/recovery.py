"""From the loss of a leader to the first record processed again: where the time goes.

Made from events, like the timeline; the same for hawork and for real Flink. Each job under each
new leader is a row, and its time to progress is split where another party has its turn:

``detection``
    until the lost leader's leadership is over: the supervisor gave it up, or it stepped back.
    Where nothing tells of that, as when a session expires, until the next leader is granted.
``election``
    until the next leader is granted.
``recovery``
    until the leader has read the job and chosen its checkpoint.
``restart``
    until all subtasks run.
``replay``
    until the first record is processed again.
"""

from __future__ import annotations

import base64
import html
import io
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hawork.core.events import Event, EventKind
from hawork.core.whole_imports import import_whole
from hawork.story.display import html_table
from hawork.story.picture import DPI, GREEN, INK, ORANGE, PURPLE, SKY, VERMILION, WIDTH
from hawork.story.segments import Takeover

if TYPE_CHECKING:
    import pandas

PHASES = ("detection", "election", "recovery", "restart", "replay")
_STYLES = ((VERMILION, "xx"), (ORANGE, "...."), (SKY, ""), (PURPLE, "////"), (GREEN, ""))


@dataclass(frozen=True, slots=True)
class JobRecovery:
    """How one job came back under one new leader, in seconds; ``nan`` for what was not seen."""

    job: str
    job_id: str
    process: str
    session_id: str
    cause: str
    lost_at: float
    """In seconds since the timeline's start."""
    detection: float
    election: float
    recovery: float
    restart: float
    replay: float
    total: float
    """The time to progress."""

    @property
    def phases(self) -> tuple[float, ...]:
        """In the order of ``PHASES``."""
        return self.detection, self.election, self.recovery, self.restart, self.replay


@dataclass(frozen=True, slots=True)
class Recoveries:
    """Every job under every new leader of a run; shows itself as a picture and a table."""

    rows: tuple[JobRecovery, ...] = ()

    def __iter__(self) -> Iterator[JobRecovery]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self) -> pandas.DataFrame:
        """One row per job and takeover, with the seconds of each phase.

        >>> lab.timeline().recovery().frame()                              # doctest: +SKIP
        """
        import pandas

        columns = ("job", "process", "cause", "lost_at", *PHASES, "total")
        return pandas.DataFrame(
            [[getattr(each, column) for column in columns] for each in self.rows],
            columns=list(columns),
        ).round(4)

    def __str__(self) -> str:
        if not self.rows:
            return "no job was taken over"
        head, *lines = [("job", "new leader", "after", *PHASES, "total"), *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *lines)
        )

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, object]:
        table = html_table(
            ("job", "new leader", "after", *PHASES, "total"), map(_cells, self.rows),
            "Seconds from the loss of the leader to the first record processed again",
        )  # fmt: skip
        bundle: dict[str, object] = {"text/plain": str(self), "text/html": table}
        if not self.rows:
            return bundle
        try:
            picture = base64.b64encode(as_png(self.rows)).decode()
        except ImportError:
            return bundle
        alternative = html.escape(str(self), quote=True)
        bundle["text/html"] = (
            f'<img alt="{alternative}" src="data:image/png;base64,{picture}">{table}'
        )
        bundle["image/png"] = picture
        return bundle


def recoveries_of(
    events: Sequence[Event], takeovers: Iterable[Takeover], started: float
) -> Recoveries:
    """The recoveries of a run from its events and its changes of the leader."""
    names: dict[str, str] = {}
    grants: dict[str, float] = {}
    ends: list[float] = []
    jobs: defaultdict[str, defaultdict[str, _Job]] = defaultdict(lambda: defaultdict(_Job))
    for event in events:
        session_id, job_id = event.session_id or "", event.job_id or ""
        if event.job_name:
            names.setdefault(job_id, event.job_name)
        if event.kind is EventKind.LEADERSHIP_GRANTED:
            grants.setdefault(session_id, event.monotonic)
        elif event.kind in _ENDS:
            ends.append(event.monotonic)
        elif job_id and session_id:
            jobs[session_id][job_id].see(event)
    ends.sort()
    rows: list[JobRecovery] = []
    for takeover in takeovers:
        granted = grants.get(takeover.session_id)
        if granted is None:
            continue
        lost = takeover.lost_at + started
        later = bisect_left(ends, lost)
        over = min(ends[later], granted) if later < len(ends) else granted
        for job_id, job in jobs[takeover.session_id].items():
            if not job.taken_over:
                continue
            moments = lost, over, granted, *job.moments
            seconds = [_between(begin, end) for begin, end in pairwise(moments)]
            rows.append(
                JobRecovery(
                    names.get(job_id) or job_id[:8], job_id, takeover.process, takeover.session_id,
                    takeover.cause, takeover.lost_at, total=moments[-1] - lost,
                    **dict(zip(PHASES, seconds, strict=True)),
                )
            )  # fmt: skip
    return Recoveries(tuple(rows))


_ENDS = (EventKind.LEADERSHIP_RELEASED, EventKind.LEADERSHIP_REVOKED)


class _Job:
    """What is seen of one job under one leader. Moments are monotonic, ``nan`` when not seen."""

    def __init__(self) -> None:
        self._acknowledged = False
        self._restored = self._status = self._progressed = math.nan
        self._running: dict[tuple[object, object], float] = {}

    def see(self, event: Event) -> None:
        now, kind = event.monotonic, event.kind
        if kind is EventKind.JOB_ACKNOWLEDGED:
            self._acknowledged = True
        elif kind is EventKind.JOB_RESTORED:
            self._restored = _earlier(self._restored, now)
        elif kind is EventKind.JOB_STATUS:
            self._status = _earlier(self._status, now)
        elif kind is EventKind.TASK_PROGRESSED:
            self._progressed = _earlier(self._progressed, now)
        elif kind is EventKind.TASK_STATUS and event.facts.get("status") == "RUNNING":
            subtask = event.facts.get("vertex"), event.facts.get("index")
            self._running[subtask] = _earlier(self._running.get(subtask, math.nan), now)

    @property
    def taken_over(self) -> bool:
        """And not submitted to this leader, or ended before it."""
        if not math.isnan(self._restored):
            return True
        return not self._acknowledged and not math.isnan(self._status)

    @property
    def moments(self) -> tuple[float, float, float]:
        """When it was restored, ran and progressed."""
        # Flink says nothing of a checkpoint where there is none.
        restored = self._status if math.isnan(self._restored) else self._restored
        all_running = max(self._running.values(), default=math.nan)
        # One subtask may be ahead of the others.
        return restored, _earlier(all_running, self._progressed), self._progressed


def _between(begin: float, end: float) -> float:
    seconds = end - begin
    return seconds if math.isnan(seconds) else max(0.0, seconds)


def _earlier(one: float, other: float) -> float:
    """The earlier of two moments that may be ``nan``."""
    known = [each for each in (one, other) if not math.isnan(each)]
    return min(known, default=math.nan)


def _cells(row: JobRecovery) -> tuple[str, ...]:
    return row.job, row.process, row.cause, *map(_seconds, (*row.phases, row.total))


def _seconds(value: float) -> str:
    return "not seen" if math.isnan(value) else f"{value:.3f}"


def as_png(rows: Sequence[JobRecovery]) -> bytes:
    """One bar per row, a piece per phase. ``ImportError`` when matplotlib is not installed."""
    import_whole("matplotlib.backends.backend_agg", "matplotlib.figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(WIDTH, 1.2 + 0.42 * len(rows)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.subplots()
    axes.patch.set_alpha(0.0)
    for number, row in enumerate(rows):
        begin = 0.0
        for seconds, (colour, pattern) in zip(row.phases, _STYLES, strict=True):
            if not math.isnan(seconds):
                axes.barh(
                    number, seconds, 0.56, left=begin, color=colour, hatch=pattern,
                    edgecolor="#444444", linewidth=0.4,
                )  # fmt: skip
                begin += seconds
        axes.annotate(
            _seconds(row.total) if math.isnan(row.total) else f"{row.total:.3f} s",
            (begin, number), xytext=(4, -3), textcoords="offset points", fontsize=8, color=INK,
        )  # fmt: skip
    axes.set_yticks(
        range(len(rows)), [f"{row.job}\non {row.process}, after {row.cause}" for row in rows],
        fontsize=8,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set_xlabel("seconds since the leader was lost", color=INK)
    axes.tick_params(axis="both", colors=INK)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.margins(x=0.08)
    handles: list[Any] = [
        Patch(facecolor=colour, hatch=pattern, edgecolor="#444444", label=phase)
        for phase, (colour, pattern) in zip(PHASES, _STYLES, strict=True)
    ]
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, fontsize=8,
        frameon=False, labelcolor=INK,
    )  # fmt: skip
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()
