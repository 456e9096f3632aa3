"""What Flink tells of jobs, one by one: its overview has neither records nor checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from hawork.client.flink_rest import Get, job_details
from hawork.client.job_details import JobDetails
from hawork.core.errors import RestError
from hawork.core.types import JobID

_NOT_FOUND = 404
_RATE_SECONDS = 3.0
"""What a rate is taken over: Flink gathers the numbers of records by and by."""


def in_full(get: Get, jobs: Iterable[JobDetails]) -> list[JobDetails]:
    """``jobs`` of an overview, with all that can be told of them; those that went are left out.

    ``RestError`` when there is no answer.
    """
    found = []
    for job in jobs:
        if not job.foreign:
            found.append(job)
            continue
        try:
            found.append(job_details(get, job.job_id))
        except RestError as error:
            if error.status != _NOT_FOUND:
                raise
    return found


class FullDetails:
    """Looks at the jobs of one cluster again and again, at the ``most`` newest of them.

    A job of Flink that has ended is asked for once, and stays: its leader may forget it. Its
    records per second come from one look to the next, as Flink tells none.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._ended: dict[JobID, JobDetails] = {}
        self._counts: dict[JobID, list[tuple[float, int]]] = {}

    def of(self, get: Get, overview: Iterable[JobDetails]) -> list[JobDetails]:
        """The jobs in the order in which they began; ``get`` asks whoever leads now."""
        newest = _in_order(overview)[-self._most :]
        asked = in_full(get, (job for job in newest if job.job_id not in self._ended))
        found = {**self._ended, **{job.job_id: self._with_rate(job) for job in asked}}
        shown = _in_order(found.values())[-self._most :]
        self._ended = {
            job.job_id: job for job in shown if job.foreign and job.status.globally_terminal
        }
        known = {job.job_id for job in shown}
        self._counts = {job_id: each for job_id, each in self._counts.items() if job_id in known}
        return shown

    def _with_rate(self, job: JobDetails) -> JobDetails:
        if not job.foreign or job.status.globally_terminal:
            return job
        now = self._clock()
        counts = self._counts.setdefault(job.job_id, [])
        if counts and job.records < counts[-1][1]:
            counts.clear()  # a new attempt counts from zero
        counts.append((now, job.records))
        # The newest that is old enough is the first, so that a rate has its whole time.
        while len(counts) > 2 and now - counts[1][0] >= _RATE_SECONDS:
            del counts[0]
        since, records = counts[0]
        passed = now - since
        return replace(
            job, records_per_second=(job.records - records) / passed if passed > 0 else 0.0
        )


def _in_order(jobs: Iterable[JobDetails]) -> list[JobDetails]:
    return sorted(jobs, key=lambda job: job.start_time)
