"""Which status of a job may follow which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hawork.core.jobs import ApplicationStatus, JobStatus
from hawork.runtime.job_lifecycle import TRANSITIONS, JobLifecycle

STATUSES = st.lists(st.sampled_from(list(JobStatus)), max_size=40)


def test_every_status_has_a_row() -> None:
    assert set(TRANSITIONS) == set(JobStatus)


def test_globally_terminal_statuses_are_final() -> None:
    for status in JobStatus:
        if status.globally_terminal:
            assert not TRANSITIONS[status]
            assert ApplicationStatus.of(status).job_status is status


def test_the_usual_story() -> None:
    job = JobLifecycle(1)
    story = (JobStatus.CREATED, JobStatus.RUNNING, JobStatus.RESTARTING, JobStatus.CREATED,
             JobStatus.RUNNING, JobStatus.FINISHED)  # fmt: skip
    assert all(job.move(status, now) for now, status in enumerate(story, start=2))
    assert job.terminal
    assert job.timestamps[JobStatus.RUNNING] == 6


@given(STATUSES)
def test_nothing_follows_a_terminal_status_and_refused_moves_change_nothing(
    wanted: list[JobStatus],
) -> None:
    job = JobLifecycle(0)
    for now, status in enumerate(wanted, start=1):
        before, times = job.status, dict(job.timestamps)
        moved = job.move(status, now)
        assert moved == (status in TRANSITIONS[before])
        if moved:
            assert job.status is status
            assert job.timestamps[status] == now
        else:
            assert job.status is before
            assert job.timestamps == times
        assert not (before.globally_terminal and moved)


@given(STATUSES)
def test_finished_is_only_reached_from_running(wanted: list[JobStatus]) -> None:
    job = JobLifecycle(0)
    visited = [job.status]
    for status in wanted:
        if job.move(status, 0):
            visited.append(status)
    if JobStatus.FINISHED in visited:
        assert visited[visited.index(JobStatus.FINISHED) - 1] is JobStatus.RUNNING
