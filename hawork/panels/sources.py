"""The sections of a lab's panels: looked at only for panels that are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from hawork.client.flink_rest import FullDetails
from hawork.core.clock import SYSTEM_CLOCK
from hawork.panels.background import Background
from hawork.panels.cluster_cards import cluster_section
from hawork.panels.cluster_source import ClusterSource, SteppedSource
from hawork.panels.feed import Json
from hawork.panels.inspection_rows import inspection_section
from hawork.panels.job_rows import MOST_JOBS, jobs_section
from hawork.panels.live_timeline import LiveTimeline
from hawork.panels.step_rows import StepRows
from hawork.panels.store_rows import StoreRows
from hawork.story.segments import DOWN

CLUSTER, TIMELINE, JOBS, STORE, STEPPER = "cluster", "timeline", "jobs", "store", "stepper"
INSPECTION = "inspection"
END = "end"
"""There once nothing looks any more; says so to panels of which no section does."""

JOBS_EVERY = 0.5
STORE_EVERY = 1.0
STEPS_EVERY = 0.25
INSPECTION_EVERY = 3.0
"""Seconds between looks that ask a process, a store or the disk."""

_CLOSED = "This lab is closed: this is what it was."
_REPLAYED = f"{_CLOSED} The slider of the timeline goes through it."


class Sources:
    """Look at one cluster. ``want`` starts what a panel needs; ``close`` ends it.

    ``quick`` gives sections that cost nothing, ``slow`` those that have to be asked for;
    a section may have both. ``ended`` is what becomes of all when nothing looks any more.
    """

    def __init__(
        self,
        timeline: LiveTimeline,
        quick: Mapping[str, Callable[[], Json]],
        slow: Mapping[str, Background],
        ended: Callable[[Mapping[str, Json]], dict[str, Json]],
    ) -> None:
        self._timeline = timeline
        self._quick = quick
        self._slow = slow
        self.ended = ended
        self._wanted: set[str] = set()

    def want(self, name: str) -> None:
        self._wanted.add(name)
        if name in self._slow:
            self._slow[name].start()

    def close(self) -> None:
        for background in self._slow.values():
            background.close()

    def look_once(self, names: Iterable[str]) -> None:
        """Look at what is slow now, on this thread: for a view that is not live."""
        for name in names:
            if name in self._slow:
                self._slow[name].look_once()

    def wait_for_first(self, names: Iterable[str], seconds: float) -> None:
        """Until each of ``names`` has been looked at once, and at most for ``seconds``.

        A leader that stands still does not answer: its section is then left empty.
        """
        end = SYSTEM_CLOCK.monotonic() + seconds
        for name in names:
            if name in self._slow:
                self._slow[name].wait_for_first(max(0.0, end - SYSTEM_CLOCK.monotonic()))

    def sections(self) -> Mapping[str, Json]:
        """Everything but the timeline."""
        news = self._timeline.facts.news
        found: dict[str, Json] = {
            "news": {"lines": [[_clock(wall), text] for wall, text in list(news)[-5:]]}
        }
        for name in self._wanted - {TIMELINE}:
            slow = self._slow[name].latest if name in self._slow else {}
            found[name] = {**slow, **(self._quick[name]() if name in self._quick else {})}
        return found


def lab_sources(
    lab: ClusterSource, stepped: SteppedSource | None, timeline: LiveTimeline
) -> Sources:
    """What the panels of a lab show; a stepper when its steps can be armed."""
    rows, details = StoreRows(lab, lab.directory / "storage"), FullDetails(MOST_JOBS)
    held = stepped.held if stepped is not None else list
    quick: dict[str, Callable[[], Json]] = {CLUSTER: partial(cluster_section, lab, timeline, held)}
    slow = {
        JOBS: Background(JOBS, lambda: jobs_section(lab, details), JOBS_EVERY),
        STORE: Background(STORE, rows.look, STORE_EVERY),
        INSPECTION: Background(
            INSPECTION, lambda: inspection_section(lab.inspect()), INSPECTION_EVERY
        ),
    }
    if stepped is not None:
        steps = StepRows(lab, stepped, timeline)
        quick[STEPPER] = steps.reached
        slow[STEPPER] = Background(STEPPER, steps.look, STEPS_EVERY)
    return Sources(timeline, quick, slow, ended=_ended)


def _ended(sections: Mapping[str, Json]) -> dict[str, Json]:
    """The same when every process has ended: no process leads or stands at a step.

    Each section says so; that its buttons do nothing any more the views know by themselves,
    but for those of the cards.
    """
    over: Json = {"error": "", "note": _CLOSED}
    more: dict[str, Json] = {
        JOBS: {}, INSPECTION: {}, STORE: {"gone": {}}, STEPPER: {"held": [], "armed": []},
    }  # fmt: skip
    found = {
        name: {**section, **over, **more[name]} if name in more else section
        for name, section in sections.items()
    }
    if CLUSTER in found:
        found[CLUSTER] = {**_down(found[CLUSTER]), **over}
    return {**found, END: {"note": _REPLAYED}}


def _down(cluster: Json) -> Json:
    cards = {
        name: {**card, "state": DOWN, "leads": False, "buttons": _off(card["buttons"])}
        for name, card in cluster["cards"].items()
    }
    store = {**cluster["store"], "buttons": _off(cluster["store"]["buttons"])}
    gone = {"leader": "", "session": "", "address": "", "cards": cards, "store": store}
    return {**cluster, **gone}


def _off(buttons: list[list[Any]]) -> list[list[Any]]:
    return [[verb, label, False] for verb, label, _ in buttons]


def _clock(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
