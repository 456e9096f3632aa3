"""What was recorded of a cluster: its events, as a list, as a frame, and as a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hawork.core.events import Event
from hawork.story.timeline import Timeline

if TYPE_CHECKING:
    import pandas

    from hawork.story.event_reader import EventReader


class Recorded:
    """The part of a lab, and of a cluster that was attached to, that tells what happened.

    All of it works after ``close``, too.
    """

    _reader: EventReader
    _closed_at: float | None

    def event_list(self) -> list[Event]:
        """Every event of every process so far, in the order in which they happened.

        >>> [event.kind.value for event in lab.event_list()][:2]           # doctest: +SKIP
        ['process.started', 'process.started']
        """
        return self._reader.events()

    def events(self) -> pandas.DataFrame:
        """The same as a frame: seconds since the start, process, kind, step, facts.

        >>> lab.events().query("kind == 'leadership.granted'")             # doctest: +SKIP
        """
        from hawork.story.frames import events_frame

        return events_frame(self._reader.events())

    def timeline(self) -> Timeline:
        """Who led when, what was done to whom, what became of the jobs; draws itself.

        >>> lab.timeline().takeovers[-1].seconds                           # doctest: +SKIP
        0.031
        """
        return Timeline.of(self._reader.events(), self._closed_at)
