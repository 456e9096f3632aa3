"""A recorded run on the timeline panel, with a slider to go through it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.events import Event, read_events
from hawork.lab.panels.feed import Json
from hawork.lab.panels.live_timeline import LiveTimeline
from hawork.lab.panels.panel import Panel
from hawork.lab.timeline import Timeline
from hawork.lab.timeline_picture import mimebundle


def replay(run: Sequence[Event] | Path | str) -> Panel:
    """The timeline of a run that is over: its events, its directory, or its folder of events.

    >>> replay("runs/friday")                                              # doctest: +SKIP

    ``LabError`` when there are no events.
    """
    events = _events_of(run)

    def picture() -> dict[str, str]:
        return {key: str(value) for key, value in mimebundle(Timeline.of(events)).items()}

    try:
        from hawork.lab.panels.widgets import HubWidget, PanelWidget
    except ImportError:
        return Panel("replay", None, picture)
    hub = HubWidget()
    hub.send_keyframe(recorded(events))
    return Panel("replay", PanelWidget(hub, ["timeline"], replay=True), picture)


def recorded(events: Sequence[Event]) -> Json:
    """A keyframe with the whole run; what went on at its end is over."""
    ordered = sorted(events, key=lambda event: event.monotonic)
    timeline = LiveTimeline(lambda known: ordered[known:])
    end = ordered[-1].monotonic
    timeline.advance(end, last=True)
    state = {
        "timeline": timeline.section(end),
        "life": {"closed": True},
        "news": {"lines": []},
    }
    return {"seq": 0, "now": timeline.milliseconds(end), "state": state, "lists": timeline.lists()}


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
