"""Where the time goes between the loss of a leader and the first record processed again."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import pytest
from lab_story import JOB, SESSIONS, Story, killed_leader
from matplotlib import image

from hawork.core.events import EventKind
from hawork.story.recovery import PHASES
from hawork.story.timeline import Timeline


def task(story: Story, at: float, kind: EventKind, session: str, **facts: Any) -> Story:
    return story.add(at, "jm-2", kind, job_id=JOB, session_id=session, **facts)


def taken_over() -> Story:
    """The leader is killed at 4 s; of two subtasks of its job the slower one runs at 4.5 s."""
    story, session = killed_leader(), SESSIONS["jm-2"]
    # The story's own events of the job name no session: they tell nothing of a term.
    task(story, 4.20, EventKind.JOB_RESTORED, session, checkpoint_id=4)
    task(story, 4.40, EventKind.TASK_STATUS, session, index=0, status="RUNNING")
    task(story, 4.50, EventKind.TASK_STATUS, session, index=1, status="RUNNING")
    task(story, 4.75, EventKind.TASK_PROGRESSED, session, index=1)
    task(story, 4.80, EventKind.TASK_PROGRESSED, session, index=0)
    return story


def test_each_phase_ends_where_the_next_one_begins() -> None:
    (row,) = Timeline.of(taken_over().events).recovery()
    assert (row.job, row.process, row.cause) == ("delays", "jm-2", "kill")
    assert row.phases == pytest.approx((0.02, 0.03, 0.15, 0.3, 0.25))
    assert row.total == pytest.approx(0.75) == pytest.approx(sum(row.phases))


def test_without_a_word_of_the_end_the_grant_ends_the_detection() -> None:
    """A session of Flink's expires: only the standby's grant tells of it."""
    events = [each for each in taken_over().events if each.kind != EventKind.LEADERSHIP_RELEASED]
    (row,) = Timeline.of(events).recovery()
    assert row.phases[:2] == pytest.approx((0.05, 0.0))
    assert row.total == pytest.approx(0.75)


def test_a_subtask_that_is_ahead_of_the_others_ends_the_restart() -> None:
    story = taken_over()
    task(story, 4.45, EventKind.TASK_PROGRESSED, SESSIONS["jm-2"], index=0)
    (row,) = Timeline.of(story.events).recovery()
    assert row.phases[3:] == pytest.approx((0.25, 0.0))


def test_what_was_not_seen_is_not_a_number() -> None:
    """A job that waits for slots, or one whose input had ended."""
    unseen = (EventKind.TASK_PROGRESSED, EventKind.TASK_STATUS)
    recovery = Timeline.of([e for e in taken_over().events if e.kind not in unseen]).recovery()
    (row,) = recovery
    assert row.phases[:3] == pytest.approx((0.02, 0.03, 0.15))
    assert [math.isnan(each) for each in (row.restart, row.replay, row.total)] == [True] * 3
    assert "not seen" in str(recovery)


def test_a_job_without_a_checkpoint_is_recovered_when_flink_says_its_first_status() -> None:
    events = [each for each in taken_over().events if each.kind is not EventKind.JOB_RESTORED]
    story = Story()
    story.events = events
    task(story, 4.30, EventKind.JOB_STATUS, SESSIONS["jm-2"], status="CREATED")
    (row,) = Timeline.of(story.events).recovery()
    assert row.recovery == pytest.approx(0.25)


def test_a_job_that_was_submitted_to_the_new_leader_recovers_from_nothing() -> None:
    story, other = taken_over(), "f" * 32
    for at, kind in ((5.0, EventKind.JOB_STATUS), (5.1, EventKind.JOB_ACKNOWLEDGED)):
        story.add(at, "jm-2", kind, job_id=other, session_id=SESSIONS["jm-2"], status="CREATED")
    assert [row.job for row in Timeline.of(story.events).recovery()] == ["delays"]


def test_a_job_that_had_ended_before_is_not_recovered() -> None:
    story = taken_over()
    story.add(
        5.0, "jm-2", EventKind.JOB_RESULT, job_id="e" * 32, session_id=SESSIONS["jm-2"],
        state="clean",
    )  # fmt: skip
    assert len(Timeline.of(story.events).recovery()) == 1


def test_it_has_the_faces_of_its_neighbours() -> None:
    recovery = Timeline.of(taken_over().events).recovery()
    frame = recovery.frame()
    assert list(frame.columns) == ["job", "process", "cause", "lost_at", *PHASES, "total"]
    assert frame.total[0] == pytest.approx(0.75)
    bundle = recovery._repr_mimebundle_()
    assert {"text/plain", "text/html", "image/png"} == set(bundle)
    picture = image.imread(io.BytesIO(base64.b64decode(str(bundle["image/png"]))))
    assert picture[0, 0, 3] == 0.0, "the ground is transparent: a page may be dark"
    assert "0.750" in str(bundle["text/plain"])
    for phase in PHASES:
        assert phase in str(bundle["text/html"])


def test_nothing_was_taken_over() -> None:
    recovery = Timeline.of([]).recovery()
    assert (str(recovery), len(recovery), len(recovery.frame())) == ("no job was taken over", 0, 0)
    assert "image/png" not in recovery._repr_mimebundle_()
