"""Events as a pandas frame, in words a reader can follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hawork.core.events import Event

if TYPE_CHECKING:
    import pandas

COLUMNS = ("seconds", "process", "kind", "step", "session_id", "job_id", "facts", "wall")


def events_frame(events: Sequence[Event], start: float | None = None) -> pandas.DataFrame:
    """One row per event; ``seconds`` counts from ``start`` (monotonic; default: the first event).

    ``facts`` is text.

    The index is the wall-clock-free order in which things happened.
    """
    import pandas

    if start is None:
        start = events[0].monotonic if events else 0.0
    rows = [
        (
            round(event.monotonic - start, 4),
            event.process,
            event.kind.value,
            event.step or "",
            event.session_id or "",
            event.job_id or "",
            ", ".join(f"{name}={value}" for name, value in event.facts.items()),
            pandas.Timestamp(event.wall, unit="s"),
        )
        for event in events
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))
