"""A client that asks once and never again: its job is absent or complete, never half."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from pathlib import Path

import pytest

from hawork.client.submission import JobSubmission
from hawork.client.token import read_token
from hawork.core.errors import JobNotFoundError
from hawork.core.types import JobID
from hawork.job import pack_artifact
from hawork.testing import eventually
from tests.faults.scenario import JOBS, Scenario
from tests.faults.shared_lab import scenario, shared_lab_on
from tests.faults.stores import patient_store

__all__ = ["scenario", "shared_lab"]

shared_lab = shared_lab_on(patient_store)

STORED_AT = {
    "submit.artifact_stored": False,
    "submit.graph_written": False,
    "submit.pointer_added": True,
    "submit.acknowledged": True,
}


def ask_once(scenario: Scenario, submission: JobSubmission) -> None:
    """Send the submission to the present leader, which dies before it answers."""
    information = scenario.lab.leader_information()
    assert information is not None
    url = urllib.parse.urlsplit(information.address)
    parts = (
        ("request", json.dumps(submission.to_request()).encode()),
        ("artifact", submission.artifact),
    )
    body = b"".join(
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + part + b"\r\n"
        for name, part in parts
    )
    headers = {
        "Authorization": f"Bearer {read_token(scenario.lab.config)}",
        "Content-Type": "multipart/form-data; boundary=x",
    }
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=60)
    try:
        connection.request("POST", "/v1/jobs", body + b"--x--\r\n", headers)
        with pytest.raises((OSError, http.client.HTTPException)):
            connection.getresponse()
    finally:
        connection.close()


def everything_of(scenario: Scenario, job_id: JobID) -> list[str]:
    storage = scenario.lab.directory / "storage" / "lab" / "jobs" / job_id
    files = [str(path) for path in storage.rglob("*")] if storage.exists() else []
    rows = [str(row) for row in scenario.lab.store_rows().to_dict("records") if job_id in str(row)]
    return files + rows


@pytest.mark.parametrize("step", STORED_AT)
def test_a_job_that_was_not_acknowledged_is_absent_or_complete(
    scenario: Scenario, step: str
) -> None:
    output = scenario.directory / "output"
    job_id = JobID.random()
    submission = JobSubmission(
        pack_artifact(JOBS),
        "counting:counts",
        config={"end": 3000, "rate": 3000, "output": str(output)},
        parallelism=2,
        checkpoint_interval=0.1,
        job_id=job_id,
    )
    first = scenario.lab.leader()
    scenario.lab.arm(step, "crash")
    ask_once(scenario, submission)
    scenario.check_reached(step, "crash")
    scenario.lab.wait_for_leader(other_than=first).wait()
    if STORED_AT[step]:
        details = scenario.lab.client.wait(job_id, timeout=60)
        assert details.failure is None or details.status.value == "FINISHED"
        scenario.check_exact_files(Path(output), 3000)
    else:
        with pytest.raises(JobNotFoundError):
            scenario.lab.client.job(job_id)
        eventually(lambda: not everything_of(scenario, job_id))
        assert not output.exists()
