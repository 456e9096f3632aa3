"""Everything behind the panels of one lab: sources, controller and hub, made when first asked."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

from hawork.core.errors import LabError
from hawork.lab.panels.commands import perform
from hawork.lab.panels.controller import Controller
from hawork.lab.panels.faces import face
from hawork.lab.panels.feed import Json
from hawork.lab.panels.live_timeline import LiveTimeline
from hawork.lab.panels.panel import Face, Panel
from hawork.lab.panels.sources import TIMELINE, Sources
from hawork.lab.panels.watched import Watched
from hawork.lab.timeline import DOWN, Timeline
from hawork.lab.timeline_picture import mimebundle


class Station:
    """The panels of one lab share it; ``close`` ends it with the lab."""

    def __init__(self, lab: Watched) -> None:
        self._lab = lab
        self._timeline = LiveTimeline(lab.arrived_events)
        self._sources = Sources(lab, self._timeline)
        self._hub: Any = None
        self._controller: Controller | None = None
        self._last: dict[str, Json] = {}
        self._closed = False

    def panel(self, *names: str) -> Panel:
        """A panel of these sections. Without anywidget it is the static one."""
        for name in names:
            self._sources.want(name)
        try:
            from hawork.lab.panels.widgets import HubWidget, PanelWidget
        except ImportError:
            return Panel(names[0], None, self._face(names))
        if self._hub is None:
            self._hub = HubWidget(self._enqueue)
            self._controller = Controller(
                self._timeline, self._sections, partial(perform, self._lab), self._hub
            )
            self._controller.tick()
            self._controller.start()
        made = self._face(names)
        widget = PanelWidget(self._hub, list(names), lambda: made()["text/plain"])
        return Panel(", ".join(names), widget, made)

    def close(self) -> None:
        """The last state stays in the views."""
        self._closed = True
        self._sources.close()
        if self._controller is not None:
            self._controller.close()

    def _enqueue(self, request: Any) -> None:
        if self._controller is not None and isinstance(request, dict):
            self._controller.enqueue(request)

    def _sections(self, now: float) -> dict[str, Json]:
        if self._closed:
            return ended(self._last)
        # A lab may be closed on another thread just now: what was seen last stays.
        with contextlib.suppress(LabError):
            self._last = dict(self._sources.sections(now))
        return self._last

    def _face(self, names: tuple[str, ...]) -> Face:
        def make() -> dict[str, str]:
            if self._controller is None:
                self._timeline.advance(time.monotonic())
                self._sources.look_once(names)
                self._sections(time.monotonic())
            found = face(self._last, [name for name in names if name != TIMELINE])
            if TIMELINE not in names:
                return found
            # They arrive file by file; a story is told in the order in which it happened.
            events = sorted(self._lab.arrived_events(0), key=lambda event: event.monotonic)
            story = mimebundle(Timeline.of(events))
            if len(names) == 1:
                return {key: str(value) for key, value in story.items()}
            return {key: f"{story[key]}\n{found[key]}" for key in ("text/plain", "text/html")}

        return make


def ended(sections: dict[str, Json]) -> dict[str, Json]:
    """The same when every process has ended: nobody leads, no button does anything."""
    cluster = sections.get("cluster")
    if cluster is None:
        return sections
    cards = {
        name: {**card, "state": DOWN, "leads": False, "buttons": _off(card["buttons"])}
        for name, card in cluster["cards"].items()
    }
    store = {**cluster["store"], "buttons": _off(cluster["store"]["buttons"])}
    gone = {"leader": "", "session": "", "address": "", "cards": cards, "store": store}
    return {**sections, "cluster": {**cluster, **gone}}


def _off(buttons: list[list[Any]]) -> list[list[Any]]:
    return [[verb, label, False] for verb, label, _ in buttons]
