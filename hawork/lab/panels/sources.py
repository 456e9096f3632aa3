"""The sections of a lab's panels: looked at only for panels that somebody asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from hawork.lab.panels.background import Background
from hawork.lab.panels.cluster_cards import cluster_section
from hawork.lab.panels.feed import Json
from hawork.lab.panels.job_rows import jobs_section
from hawork.lab.panels.live_timeline import LiveTimeline
from hawork.lab.panels.step_rows import StepRows
from hawork.lab.panels.store_rows import StoreRows
from hawork.lab.panels.watched import Watched

CLUSTER, TIMELINE, JOBS, STORE, STEPPER = "cluster", "timeline", "jobs", "store", "stepper"
PANELS = (CLUSTER, TIMELINE, JOBS, STORE, STEPPER)

JOBS_EVERY = 0.5
STORE_EVERY = 1.0
STEPS_EVERY = 0.25
"""Seconds between looks that ask a process, a store or the disk."""


class Sources:
    """Looks at one lab. ``want`` starts what a panel needs; ``close`` ends it."""

    def __init__(self, lab: Watched, timeline: LiveTimeline) -> None:
        self._lab = lab
        self._timeline = timeline
        self._steps = StepRows(lab, timeline)
        rows = StoreRows(lab)
        self._slow = {
            JOBS: Background(JOBS, lambda: jobs_section(lab), JOBS_EVERY),
            STORE: Background(STORE, rows.look, STORE_EVERY),
            STEPPER: Background(STEPPER, self._steps.look, STEPS_EVERY),
        }
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

    def sections(self, now: float) -> Mapping[str, Json]:
        """Everything but the timeline; ``now`` in monotonic seconds."""
        news = self._timeline.facts.news
        found: dict[str, Json] = {
            "news": {"lines": [[_clock(wall), text] for wall, text in list(news)[-5:]]}
        }
        if CLUSTER in self._wanted:
            found[CLUSTER] = cluster_section(self._lab, self._timeline)
        for name in (JOBS, STORE):
            if name in self._wanted:
                found[name] = self._slow[name].latest
        if STEPPER in self._wanted:
            found[STEPPER] = {**self._slow[STEPPER].latest, **self._steps.reached()}
        return found


def _clock(wall: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(wall))
