"""Moments in a lab, as its events tell them: seconds of the machine's monotonic clock."""

from __future__ import annotations

from hawork.core.events import Event, EventKind
from hawork.lab import LabCluster
from hawork.testing import eventually

PUBLISHED = "takeover.published"


def wait_for_event(
    lab: LabCluster,
    kind: EventKind,
    after: Event | float,
    process: str | None = None,
    step: str | None = None,
) -> Event:
    """The first event of a kind after another one; of one process and step, or of any."""
    since = after if isinstance(after, float) else after.monotonic

    def found() -> Event | None:
        for event in lab.event_list():
            fits = event.kind is kind and process in (None, event.process)
            if fits and step in (None, event.step) and event.monotonic > since:
                return event
        return None

    event = eventually(found, timeout=60.0)
    assert event is not None
    return event


def wait_until_published(lab: LabCluster, after: Event | float) -> Event:
    """A leader's address is published."""
    return wait_for_event(lab, EventKind.STEP_REACHED, after, step=PUBLISHED)


def wait_until_started(lab: LabCluster, after: Event | float, process: str) -> Event:
    """A process has started: its options are read, it is about to open the HA store."""
    return wait_for_event(lab, EventKind.PROCESS_STARTED, after, process)
