"""All that Flink tells of jobs: its overview alone has neither records nor checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hawork.client.flink_rest import FullDetails, in_full
from hawork.client.job_details import JobDetails
from hawork.core.errors import RestError
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID

FIRST, SECOND = "0" * 31 + "1", "0" * 31 + "2"


class Flink:
    """The leader's REST; ``records`` are those of each job that it knows."""

    def __init__(self) -> None:
        self.records = {FIRST: 0}
        self.ended: set[str] = set()
        self.asked: list[str] = []
        self.now = 100.0

    def overview(self) -> list[JobDetails]:
        return JobDetails.from_overview({"jobs": [self._job(job_id) for job_id in self.records]})

    def get(self, path: str) -> Mapping[str, Any]:
        job_id = path.split("/")[2]
        if job_id not in self.records:
            raise RestError(f"no job {job_id}", 404)
        if path.endswith("/checkpoints"):
            latest = {"completed": {"id": 7}, "restored": {"id": 4}}
            return {"counts": {"completed": 3}, "latest": latest}
        self.asked.append(job_id)
        vertex = {"id": "s", "parallelism": 1, "metrics": {"write-records": self.records[job_id]}}
        return {**self._job(job_id), "vertices": [vertex], "plan": {"nodes": [{"id": "s"}]}}

    def _job(self, job_id: str) -> dict[str, Any]:
        state = "FINISHED" if job_id in self.ended else "RUNNING"
        times = {"start-time": int(job_id), "end-time": -1, "duration": 5}
        return {"jid": job_id, "name": "flights", "state": state, **times}


@pytest.fixture
def flink() -> Flink:
    return Flink()


@pytest.fixture
def details(flink: Flink) -> FullDetails:
    return FullDetails(most=2, clock=lambda: flink.now)


def test_an_overview_is_filled_in(flink: Flink) -> None:
    flink.records[FIRST] = 12
    (told,) = flink.overview()
    assert (told.records, told.checkpoints) == (0, 0)
    (job,) = in_full(flink.get, [told])
    assert (job.records, job.checkpoints, job.latest_checkpoint_id) == (12, 3, 7)
    assert job.restored_checkpoint_id == 4


def test_a_job_that_went_is_left_out_and_silence_is_an_error(flink: Flink) -> None:
    overview = flink.overview()
    flink.records.clear()
    assert in_full(flink.get, overview) == []

    def silent(path: str) -> Mapping[str, Any]:
        raise RestError("no answer")

    with pytest.raises(RestError, match="no answer"):
        in_full(silent, overview)


def test_haworks_own_jobs_are_told_in_full_at_once(flink: Flink, details: FullDetails) -> None:
    own = JobDetails(JobID(SECOND), "flights", JobStatus.RUNNING, records=5)
    assert details.of(flink.get, [own]) == [own]
    assert flink.asked == []


def test_a_rate_is_that_of_the_last_seconds(flink: Flink, details: FullDetails) -> None:
    def rate() -> float:
        (job,) = details.of(flink.get, flink.overview())
        return job.records_per_second

    assert rate() == 0.0
    for _ in range(8):
        flink.now += 0.5
        flink.records[FIRST] += 50
        assert rate() == pytest.approx(100.0)
    for _ in range(8):
        flink.now += 0.5
        rate()
    assert rate() == 0.0, "it stands for longer than a rate looks back"
    flink.now, flink.records[FIRST] = flink.now + 0.5, 10
    assert rate() == 0.0, "a new attempt counts from zero"
    flink.now, flink.records[FIRST] = flink.now + 0.5, 20
    assert rate() == pytest.approx(20.0)


def test_a_job_that_has_ended_is_asked_for_once_and_stays(
    flink: Flink, details: FullDetails
) -> None:
    flink.ended.add(FIRST)
    for _ in range(3):
        assert [job.job_id for job in details.of(flink.get, flink.overview())] == [FIRST]
    assert flink.asked == [FIRST]
    del flink.records[FIRST]  # another leader
    assert [job.job_id for job in details.of(flink.get, flink.overview())] == [FIRST]
    flink.records |= {SECOND: 1, "0" * 31 + "3": 1}
    assert len(details.of(flink.get, flink.overview())) == 2, "the newest"
