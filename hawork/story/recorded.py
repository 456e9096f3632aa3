"""What was recorded of a cluster: its events, as a list, as a frame, as a timeline, judged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hawork.core.calls import checked_calls
from hawork.core.events import Event

if TYPE_CHECKING:
    import pandas

    from hawork.story.timeline import Timeline
    from hawork.story.verdict import Verdict


@checked_calls
class Recorded(ABC):
    """A run that is going on or over, told by its events alone."""

    _closed_at: float | None = None
    """Monotonic seconds at which recording ended; ``None``: with the last event."""

    @abstractmethod
    def event_list(self) -> list[Event]:
        """Every event of every process so far, in the order in which they happened.

        >>> [event.kind.value for event in lab.event_list()][:2]           # doctest: +SKIP
        ['process.started', 'process.started']
        """

    def events(self) -> pandas.DataFrame:
        """The same as a frame: seconds since the start, process, kind, step, facts.

        >>> lab.events().query("kind == 'leadership.granted'")             # doctest: +SKIP
        """
        from hawork.story.frames import events_frame

        return events_frame(self.event_list())

    def timeline(self) -> Timeline:
        """Who led when, what was done to whom, what became of the jobs; draws itself.

        >>> lab.timeline().takeovers[-1].seconds                           # doctest: +SKIP
        0.031
        """
        from hawork.story.timeline import Timeline

        return Timeline.of(self.event_list(), self.recorded_until())

    def recorded_until(self) -> float | None:
        """Monotonic seconds; ``None``: with the last event."""
        return self._closed_at

    def failovers(self) -> pandas.DataFrame:
        """What each change of the leader cost, in seconds from the fault: until a leader was
        granted and found, the job restored and running, and the first checkpoint completed.

        >>> lab.failovers()[["cause", "found", "progress"]]                # doctest: +SKIP
        """
        from hawork.story.failovers import failovers_frame

        return failovers_frame(self.event_list())

    def verdict(self) -> Verdict:
        """Whether the run was right, by its events; judged now.

        >>> open_bundle("friday.zip").verdict().valid                      # doctest: +SKIP
        """
        from hawork.story.verdict import judge

        return judge(self.event_list())
