"""The flights as a job that runs beside a lesson, for readers who take their time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hawork.core.errors import JobNotFoundError, LabError
from hawork.core.jobs import JobStatus
from hawork.lessons.streams import FlightsStream


class PaperJob:
    """A job that is in one state."""

    def __init__(self, status: JobStatus) -> None:
        self.status = status
        self.asked_for = 0

    @property
    def details(self) -> PaperJob:
        return self

    async def running(self, records: int) -> None:
        self.asked_for = records


def stream_of(status: JobStatus) -> FlightsStream:
    stream: Any = object.__new__(FlightsStream)
    stream.job = PaperJob(status)
    return stream  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELED])
def test_a_reader_who_comes_back_late_is_told_which_cell_to_run(status: JobStatus) -> None:
    with pytest.raises(LabError) as told:
        asyncio.run(stream_of(status).running())
    assert f"has ended meanwhile ({status})" in str(told.value)
    assert "run the cell with flights_stream again, and then this one" in str(told.value)


def test_a_job_that_runs_or_restarts_is_waited_for() -> None:
    for status in (JobStatus.RUNNING, JobStatus.RESTARTING):
        stream: Any = stream_of(status)
        job = asyncio.run(stream.running())
        assert job.asked_for == 1_000


def test_a_leader_that_does_not_have_the_job_yet_is_waited_for() -> None:
    """Flink publishes the address of REST first, and recovers its jobs then."""

    class Unknown(PaperJob):
        @property
        def details(self) -> PaperJob:
            raise JobNotFoundError("the leader does not know the job")

    stream: Any = stream_of(JobStatus.RUNNING)
    stream.job = Unknown(JobStatus.RUNNING)
    assert asyncio.run(stream.running()).asked_for == 1_000
