"""Everything behind the panels of one cluster: controller and hub are made when first asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hawork.core import options
from hawork.core.clock import SYSTEM_CLOCK
from hawork.core.errors import LabError
from hawork.core.events import Event
from hawork.panels.cluster_source import AttachedSource, ClusterSource, SteppedSource
from hawork.panels.commands import perform
from hawork.panels.controller import Controller
from hawork.panels.feed import Json
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.panel import Panel, StaticView
from hawork.panels.replay import recorded
from hawork.panels.sources import TIMELINE, Sources, lab_sources
from hawork.panels.static_views import static_views
from hawork.panels.view_sources import cancel, view_sources
from hawork.story.timeline import Timeline, mimebundle

_FIRST_LOOK = 2.0
"""Seconds that displaying a panel waits for its first look at the leader and the store."""


class PanelSet:
    """The panels of one cluster share it; ``close`` ends it with the lab, or with the view.

    ``arrived`` gives the events after the first ``n``, ``sources`` what there is to see, and
    ``perform`` does what a button asks for. ``replayed`` is the type of the HA store when
    the events tell the whole story: a closed lab's panels then become a replay.
    """

    def __init__(
        self,
        arrived: Callable[[int], list[Event]],
        sources: Callable[[LiveTimeline], Sources],
        perform: Callable[[Mapping[str, Any]], str],
        replayed: str | None = None,
    ) -> None:
        self._arrived = arrived
        self._timeline = LiveTimeline(arrived)
        self._sources = sources(self._timeline)
        self._perform = perform
        self.hub: Any = None
        self._controller: Controller | None = None
        self._last: dict[str, Json] = {}
        self._replayed = replayed
        self._closed = False
        self._closed_at = 0.0

    @classmethod
    def of_lab(cls, lab: ClusterSource, steps: SteppedSource | None = None) -> PanelSet:
        """Of a lab, whose buttons do what its methods do; ``steps`` when it can arm any."""
        sources = partial(lab_sources, lab, steps)
        kind = lab.config.get_option(options.HA_TYPE)
        return cls(lab.arrived_events, sources, partial(perform, lab), kind)

    @classmethod
    def of_view(cls, view: AttachedSource) -> PanelSet:
        """Of an attached cluster, which is only looked at."""
        return cls(view.arrived_events, partial(view_sources, view), partial(cancel, view))

    def panel(self, *names: str, beside: bool = False) -> Panel:
        """A panel of these sections. Without anywidget it is the static one.

        ``beside`` docks it beside the notebook, where the front end has such a place.
        """
        for name in names:
            self._sources.want(name)
        try:
            from hawork.panels.widgets import HubWidget, PanelWidget
        except ImportError:
            return Panel(names[0], None, self._static_view(names))
        if self.hub is None:
            self.hub = HubWidget(self.ask)
            self._controller = Controller(
                self._timeline, self._sections, self._perform, self.hub, epilogue=self._recorded
            )
            self._controller.tick()
            self._controller.start()
        made = self._static_view(names)
        widget = PanelWidget(self.hub, list(names), lambda: made()["text/plain"], beside=beside)
        return Panel(", ".join(names), widget, made)

    def close(self, at: float | None = None) -> None:
        """The last state stays in the views; ``at`` is the monotonic time at which it was seen."""
        self._closed, self._closed_at = True, SYSTEM_CLOCK.monotonic() if at is None else at
        self._sources.close()
        if self._controller is not None:
            self._controller.close()
        self._last = self._sources.ended(self._last)

    def ask(self, request: Any) -> None:
        """What a button asks for; anything may come from a browser."""
        if self._controller is not None and isinstance(request, dict):
            self._controller.enqueue(request)

    def _sections(self) -> dict[str, Json]:
        if self._closed:
            return self._sources.ended(self._last)
        # A lab may be closed on another thread just now: what was seen last stays.
        with contextlib.suppress(LabError):
            self._last = dict(self._sources.sections())
        return self._last

    def _recorded(self) -> dict[str, Json]:
        """Every moment of a lab that is closed, and which was the last before it ended."""
        if self._replayed is None:
            return {}
        moments = recorded(self._arrived(0), self._replayed)["state"]["moments"]
        life = {"closed": True, "at": self._timeline.milliseconds(self._closed_at)}
        return {"moments": moments, "life": life}

    def _static_view(self, names: tuple[str, ...]) -> StaticView:
        def make() -> dict[str, str]:
            if self._controller is None and not self._closed:
                # This is all that is shown, so that what has just happened belongs to it.
                self._timeline.advance(SYSTEM_CLOCK.monotonic(), last=True)
                self._sources.look_once(names)
            elif not self._closed:
                # The notebook keeps what is shown first; a reader without a kernel has no more.
                self._sources.wait_for_first(names, _FIRST_LOOK)
            self._sections()
            found = static_views(self._last, [name for name in names if name != TIMELINE])
            if TIMELINE not in names:
                return found
            # They arrive file by file; a story is told in the order in which it happened.
            events = sorted(self._arrived(0), key=lambda event: event.monotonic)
            story = mimebundle(Timeline.of(events))
            if len(names) == 1:
                return {key: str(value) for key, value in story.items()}
            return {key: f"{story[key]}\n{found[key]}" for key in ("text/plain", "text/html")}

        return make
