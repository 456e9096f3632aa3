"""A client that cancels its jobs, and submits them again whatever it was answered.

It does so at any moment, and mostly as soon as there is another leader. A job may end as canceled
then: with a part of its output, each record of that once. The same submission, repeated, is never
told to take another job id.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from hawork.core.errors import AlreadyExistsError, DuplicateJobSubmissionError, JobNotFoundError
from hawork.core.jobs import ApplicationStatus
from hawork.core.types import JobID, LeaderInformation
from hawork.ha.job_result_json import decode_job_result
from hawork.simulation import checker, schedule
from hawork.simulation.cluster import Cluster, Submission, _artifact
from hawork.simulation.task_manager import Output

_CANCEL, _SUBMIT = "cancel", "submit"


class ImpatientCluster(Cluster):
    """A cluster with such a client."""

    def start(self) -> None:
        super().start()
        self.task_manager.output = OutputOfCanceled(self)
        random = self._impatience = Random(f"x{self.world.random.random()}")
        for job in self.jobs:
            if random.random() < 0.7:
                for _ in range(random.choice((1, 1, 2, 3))):
                    self._later(job, random.random() * random.choice((0.5, 2, 8)), _CANCEL)
            for _ in range(random.choice((0, 1, 3))):
                self._later(job, random.random() * random.choice((1, 4, 10)), _SUBMIT)

    def _later(self, job: Submission, seconds: float, what: str) -> None:
        act = functools.partial(self._act, job, what)
        self.world.scheduler.at(job.at + seconds, act)

    def notify_leader(self, information: LeaderInformation | None) -> None:
        super().notify_leader(information)
        if information is None or not hasattr(self, "_impatience"):
            return
        for job in self.jobs:
            chance = self._impatience.random()
            if chance < 0.7:
                act = functools.partial(self._act, job, _CANCEL if chance < 0.3 else _SUBMIT)
                self.world.scheduler.at(self.world.latency(), act)

    def _act(self, job: Submission, what: str) -> None:
        leader = self._leader
        manager = None if leader is None else self._at_address(leader.address)
        if manager is None or not manager.running:
            return

        known = job.acknowledged

        def answered(found: Any) -> None:
            if job.job_id in self.world.robbed:
                return
            if isinstance(found, DuplicateJobSubmissionError | AlreadyExistsError):
                self.world.violated(f"the same submission, repeated, was refused: {found}")
            if isinstance(found, JobNotFoundError) and known:
                self.world.violated(f"a job that was acknowledged is unknown: {found}")

        if what == _CANCEL:
            manager.ask(lambda dispatcher: dispatcher.cancel(job.job_id), answered)
        else:
            manager.submit(self._request(job), _artifact(), answered)

    def remembered(self, job_id: str) -> set[str]:
        """How the job ended, as far as that is remembered."""
        files = self.result_files.files
        ends = [json.loads(files[name]) for name in files if f"/{job_id}.json" in name]
        return {each["result"]["application-status"] for each in ends}


class OutputOfCanceled(Output):
    """Output of which a job that was canceled may have a part."""

    def __init__(self, cluster: ImpatientCluster) -> None:
        super().__init__()
        self._cluster = cluster

    def problem(self, job_id: str, parallelism: int, records: int) -> str | None:
        if "CANCELED" not in self._cluster.remembered(job_id):
            return super().problem(job_id, parallelism, records)
        for index in range(parallelism):
            position = 0
            parts = [each for each in self.final.values() if each[:2] == (job_id, index)]
            for _, _, begin, end in sorted(parts):
                if begin != position:
                    return f"records of subtask {index} are lost or there twice at {position}"
                position = end
        return None


def _results(cluster: ImpatientCluster, job_id: JobID) -> list[str]:
    ends = cluster.remembered(job_id)
    if len(ends) != 1:
        return [f"job {job_id} is remembered to have ended in {len(ends)} ways"]
    if cluster.keeps_results:
        payload = cluster.result_files.files.get(f"{job_id}.json")
        if payload is None:
            return [f"job {job_id} has no clean result"]
        result = decode_job_result("the result", payload)
        if {result.application_status.value} != ends:
            return [f"job {job_id} ended as {result.application_status.value} and as {ends}"]
    ended = {ApplicationStatus.SUCCEEDED.value, ApplicationStatus.CANCELED.value}
    return [] if ends <= ended else [f"job {job_id} ended as {ends}"]


@contextmanager
def impatient_client() -> Iterator[None]:
    """Give each cluster that is simulated such a client."""
    with (
        patch.object(schedule, "Cluster", ImpatientCluster),
        patch.object(checker, "_results", _results),
    ):
        yield
