"""What a change of the leader cost, phase by phase: until it is found, and until work goes on.

A leader that is found is not yet progress. The job has to be restored and to run, and what it
writes is committed with a completed checkpoint: only then does a reader of the output see more
than before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hawork.core.events import Event, EventKind
from hawork.story.timeline import Timeline

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Failover:
    """One change of the leader; all times in seconds since the one before was hit or gave up.

    ``None`` for what did not happen under this leader. ``progress`` is the first checkpoint that
    was completed under it.
    """

    cause: str
    leader: str
    granted: float | None
    found: float
    restored: float | None
    running: float | None
    progress: float | None


def failovers(events: Sequence[Event]) -> list[Failover]:
    """Every change of the leader of a run, in order.

    >>> failovers([])
    []
    """
    timeline = Timeline.of(events)
    told = []
    for takeover in timeline.takeovers:
        lost_at = timeline.started + takeover.lost_at
        own = [e for e in events if e.session_id == takeover.session_id and e.monotonic >= lost_at]

        told.append(
            Failover(
                takeover.cause,
                takeover.process,
                _first(own, lost_at, EventKind.LEADERSHIP_GRANTED),
                takeover.seconds,
                _first(own, lost_at, EventKind.JOB_RESTORED),
                _first(own, lost_at, EventKind.JOB_STATUS, status="RUNNING"),
                _first(own, lost_at, EventKind.CHECKPOINT_COMPLETED),
            )
        )
    return told


def _first(events: Iterable[Event], since: float, kind: EventKind, **facts: str) -> float | None:
    """Seconds from ``since`` to the first event of a kind that says so."""
    for event in events:
        if event.kind is kind and facts.items() <= event.facts.items():
            return event.monotonic - since
    return None


def failovers_frame(events: Sequence[Event]) -> pandas.DataFrame:
    """The same as a frame, in seconds; a cell is empty where something did not happen."""
    import pandas

    names = list(Failover.__slots__)
    rows = [[_shown(getattr(each, name)) for name in names] for each in failovers(events)]
    return pandas.DataFrame(rows, columns=names, dtype=object)


def _shown(value: object) -> object:
    if value is None:
        return ""
    return round(value, 2) if isinstance(value, float) else value
