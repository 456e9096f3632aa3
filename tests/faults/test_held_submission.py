"""A leader that stands at a step of a submission for longer than its client can wait."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hawork.client.cluster_client import ClusterClient
from hawork.client.submission import make_submission
from hawork.core.errors import JobSubmissionError, RestError
from hawork.core.jobs import JobStatus
from hawork.testing import eventually
from tests.faults.scenario import JOBS, Scenario
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import patient_store

__all__ = ["scenario", "shared_lab"]

IMPATIENT = {"rest.connection-timeout": "1500 ms", "rest.await-leader-timeout": "4 s"}

shared_lab = shared_lab_on(patient_store)


@pytest.mark.parametrize("step", ["submit.graph_written", "submit.acknowledged"])
def test_the_same_job_can_be_submitted_again(scenario: Scenario, step: str) -> None:
    lab = scenario.lab
    config = {"end": 100, "rate": 1000, "output": str(scenario.directory / "output")}
    submission = make_submission(f"{JOBS}:counts", config, 1, "100 ms")
    lab.arm(step, "hold")
    with (
        ClusterClient(lab.config.with_values(IMPATIENT)) as impatient,
        pytest.raises(RestError, match="no answer"),
    ):
        impatient.submit(submission)  # tries twice, and the second try waits for the first
    eventually(lambda: [held.step for held in lab.held()] == [step])
    lab.proceed()
    assert lab.client.submit(submission, again=True) == submission.job_id
    assert lab.client.wait(submission.job_id, timeout=60).status is JobStatus.FINISHED
    assert lab.client.submit(submission) == submission.job_id, "its end is the answer"
    with pytest.raises(JobSubmissionError, match="has ended before"):
        lab.client.submit(replace(submission, parallelism=2))
    scenario.check_exact_files(scenario.directory / "output", 100)
