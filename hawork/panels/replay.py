"""A recorded run on the panels, with one slider that moves them all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hawork.core.errors import LabError
from hawork.core.events import Event, read_events
from hawork.panels.feed import Json
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.moments import moments
from hawork.panels.panel import Panel
from hawork.story.run_bundle import RunBundle
from hawork.story.timeline import Timeline, as_text, mimebundle

SHOWN = ("cluster", "timeline", "jobs")
"""The panels that events alone can fill; store and stepper look at what is there now."""


def replay(run: RunBundle | Sequence[Event] | Path | str, *, ha: str = "") -> Panel:
    """A run that is over: a bundle, its events, its directory, or its folder of events.

    The slider goes through it: the timeline, the cards of the cluster and the jobs show what
    was known at that moment. ``ha`` is the type of the HA store, which events do not tell.

    >>> replay("runs/friday")                                              # doctest: +SKIP
    >>> replay(open_bundle("friday.zip"))                                  # doctest: +SKIP

    ``LabError`` when there are no events.
    """
    if isinstance(run, RunBundle):
        ha = ha or run.ha
        run = run.event_list()
    events = _events_of(run)

    def picture() -> dict[str, str]:
        return {key: str(value) for key, value in mimebundle(Timeline.of(events)).items()}

    try:
        from hawork.panels.widgets import HubWidget, PanelWidget
    except ImportError:
        return Panel("replay", None, picture)
    hub = HubWidget()
    hub.send_keyframe(recorded(events, ha))
    widget = PanelWidget(hub, list(SHOWN), lambda: as_text(Timeline.of(events)), replay=True)
    return Panel("replay", widget, picture)


def recorded(events: Sequence[Event], ha: str = "") -> Json:
    """A keyframe with the whole run and its moments; what went on at its end is over."""
    ordered = sorted(events, key=lambda event: event.monotonic)
    seen: list[Event] = []
    timeline = LiveTimeline(lambda known: seen[known:])
    through = moments(ordered, timeline, seen, ha)
    end = ordered[-1].monotonic
    state = {
        "timeline": timeline.section(end),
        "life": {"closed": True},
        "news": {"lines": []},
        "moments": through,
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
