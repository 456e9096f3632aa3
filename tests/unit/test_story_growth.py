"""A run of ten hours costs ten times what one of an hour does, and not a hundred times.

What is counted are the calls of functions, which are the same on every machine.
"""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from hawork.core.events import Event, EventKind
from hawork.panels.live_timeline import LiveTimeline
from hawork.story.timeline import Timeline
from hawork.story.verdict import judge

LONG = "f" * 32
"""A job that runs all the time."""


def hours(takeovers: int) -> Iterator[Event]:
    """In each minute a leader comes, finds the long job, and runs another one to its end."""
    at = 0.0

    def event(kind: EventKind, job_id: str | None = None, **facts: Any) -> Event:
        nonlocal at
        at += 1.0
        step = facts.pop("step", None)
        return Event(kind, "jm-1", 1e9 + at, at, session, job_id, step, facts)

    session = "s"
    yield event(EventKind.PROCESS_STARTED, role="jobmanager", pid=1)
    yield event(EventKind.LEADERSHIP_GRANTED)
    yield event(EventKind.JOB_ACKNOWLEDGED, LONG, name="long")
    for number in range(takeovers):
        session, job_id = f"{number:032x}", f"{number:08x}{'0' * 24}"
        yield event(EventKind.LEADERSHIP_GRANTED)
        yield event(EventKind.STEP_REACHED, step="takeover.graphs_recovered", job_ids=[LONG])
        yield event(
            EventKind.LEADERSHIP_CONFIRMED, component="rest_server", address="http://127.0.0.1:1"
        )
        yield event(EventKind.JOB_RESTORED, LONG, checkpoint_id=number or None)
        yield event(EventKind.JOB_STATUS, job_id, status="CREATED")
        yield event(EventKind.JOB_ACKNOWLEDGED, job_id, name="short")
        yield event(EventKind.JOB_STATUS, job_id, status="RUNNING")
        yield event(
            EventKind.POINTER_WRITTEN, LONG, namespace=f"checkpoints/{LONG}", operation="add",
            name=f"{number + 1:019d}", seconds=0.1,
        )  # fmt: skip
        yield event(EventKind.JOB_RESULT, job_id, application_status="SUCCEEDED")
        yield event(EventKind.JOB_STATUS, job_id, status="FINISHED")
        yield event(EventKind.LEADERSHIP_REVOKED)


def opened(events: Sequence[Event]) -> None:
    LiveTimeline(lambda known: list(events[known:])).advance(1e9)


def calls(action: Callable[[], object]) -> int:
    profile = cProfile.Profile()
    profile.runcall(action)
    return sum(entry.callcount for entry in profile.getstats())


@pytest.mark.parametrize("face", [judge, Timeline.of, opened])
def test_what_a_face_does_grows_with_the_events(face: Callable[[Sequence[Event]], object]) -> None:
    short, long = list(hours(50)), list(hours(400))
    few, many = (calls(lambda events=events: face(events)) for events in (short, long))
    assert many < 1.3 * few * len(long) / len(short)


def test_the_run_is_right() -> None:
    verdict = judge(hours(50))
    assert verdict.valid and verdict.judged >= 3, verdict
