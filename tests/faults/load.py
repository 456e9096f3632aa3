"""Several jobs at a time, new ones as others end, and all that must be true of each."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hawork.core.errors import HaworkError, JobNotFoundError
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus
from hawork.job import read_output
from hawork.lab.job import Job
from tests.faults.scenario import Scenario

_ENDS = {status.value for status in JobStatus if status.globally_terminal}


@dataclass
class SubmittedJob:
    """A job and what was asked of it."""

    job: Job
    function: str
    end: int
    cancel: Future[Any] | None = None


class Load:
    """Keeps ``at_once`` jobs in the cluster, of random kinds, sizes and speeds."""

    def __init__(self, scenario: Scenario, source: random.Random, at_once: int = 3) -> None:
        self.jobs: list[SubmittedJob] = []
        self.ended: Counter[JobStatus] = Counter()
        self._scenario = scenario
        self._random = source
        self._at_once = at_once
        self._background = ThreadPoolExecutor(4, thread_name_prefix="cancel")

    def top_up(self) -> None:
        """Submit jobs until enough are there; now and then cancel one."""
        ended = self._seen_ending()
        open_jobs = [each for each in self.jobs if each.job.job_id not in ended]
        for _ in range(self._at_once - len(open_jobs)):
            self._submit()
        if open_jobs and self._random.random() < 0.04:
            victim = self._random.choice(open_jobs)
            if victim.cancel is None:
                victim.cancel = self._background.submit(self._cancel, victim.job)

    def check(self) -> None:
        """Every job has come to its end as it must, with the exact output."""
        self._background.shutdown(wait=True)
        for each in self.jobs:
            if each.cancel is not None:
                each.cancel.result()
            self._check(each)

    def _submit(self) -> None:
        function = self._random.choice(("counts", "copies"))
        end = self._random.choice((0, 1, 300, 2000, 4000))
        job = self._scenario.submit(
            function,
            end=end,
            rate=self._random.choice((1000, 2000, 6000)),
            parallelism=self._random.choice((1, 2)),
            checkpoint_interval=f"{self._random.choice((40, 100, 300))} ms",
            wait=False,
        )
        self.jobs.append(SubmittedJob(job, function, end))

    @staticmethod
    def _cancel(job: Job) -> None:
        job.acknowledged(timeout=90.0).wait()
        job.cancel()

    def _check(self, each: SubmittedJob) -> None:
        job, scenario = each.job, self._scenario
        try:
            job.acknowledged(timeout=60.0).wait()
        except HaworkError as error:
            self._check_unacknowledged(each, error)
            return
        details = job.wait(timeout=90.0, progress=False)
        self.ended[details.status] += 1
        canceled = each.cancel is not None and details.status is JobStatus.CANCELED
        assert canceled or details.status is JobStatus.FINISHED, f"{job}: {details.failure}"
        output = Path(job.config["output"])
        if each.function == "copies":
            numbers = sorted(row["number"] for row in read_output(output))
            assert len(numbers) == len(set(numbers)), f"{job}: output is there twice"
            assert canceled or numbers == list(range(each.end)), f"{job}: {len(numbers)} numbers"
        elif not canceled:
            scenario.check_exact_files(output, each.end)
        if canceled:
            # What a crashed attempt wrote and nobody committed stays in the output's .pending
            # when there is no attempt to be stopped: only the job's own code knows of it.
            scenario.check_no_ha_data_left(job)
        else:
            scenario.check_nothing_left(job)

    def _check_unacknowledged(self, each: SubmittedJob, error: HaworkError) -> None:
        """Absent or complete, never half; whichever it is, it was not promised."""
        try:
            self._scenario.lab.client.job(each.job.job_id)
        except JobNotFoundError:
            raise AssertionError(f"{each.job} was refused for no fault of its own") from error
        raise AssertionError(f"{each.job} is there but was never acknowledged") from error

    def _seen_ending(self) -> set[str]:
        return {
            event.job_id
            for event in self._scenario.lab.event_list()
            if event.job_id is not None
            and (
                event.kind is EventKind.JOB_RESULT
                or (event.kind is EventKind.JOB_STATUS and event.facts.get("status") in _ENDS)
            )
        }
