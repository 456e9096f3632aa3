"""Jobs that are wrong or misbehave: one clear sentence, and every other job goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hawork.client.submission import JobSubmission
from hawork.core.errors import ConfigurationError, HaworkError, JobSubmissionError
from hawork.core.jobs import JobStatus, RestartStrategy
from hawork.core.types import JobID
from hawork.job import pack_artifact, read_output
from hawork.lab import LabCluster
from hawork.testing import eventually
from tests.faults.scenario import JOBS, PATIENT, Scenario

ONCE = RestartStrategy("fixed-delay", attempts=1, delay=0.05)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    """One cluster for all of these: nothing they do may harm it."""
    directory = tmp_path_factory.mktemp("bad-jobs")
    options = {**PATIENT, "slot.request.timeout": "5 s"}
    with LabCluster(1, 1, directory=directory / "lab", options=options, slots=3, keep=True) as lab:
        scenario = Scenario(lab, directory)
        good = scenario.submit("endless", rate=500, parallelism=1)
        yield scenario
        assert good.details.status is JobStatus.RUNNING, "however long the others took"
        good.cancel()
        assert good.wait(timeout=60).restarts == 0, "the good job did not notice anything"
        found = sorted(row["number"] for row in read_output(Path(good.config["output"])))
        assert found and found == list(range(len(found)))


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("raises", "number 10 is one too many"),
        ("exits", "ended with status 3"),
        ("quits", "had enough"),
        ("missing", "missing"),
        ("not_a_function", "not_a_function"),
    ],
)
def test_user_code_that_fails_fails_its_job_only(
    shared: Scenario, function: str, reason: str
) -> None:
    job = shared.submit(function, parallelism=1, restart_strategy=ONCE)
    details = job.wait(timeout=120)
    assert details.status is JobStatus.FAILED
    assert details.failure is not None
    assert reason in details.failure
    assert "\n" not in details.failure


def test_user_code_that_hangs_is_ended_by_the_checkpoint_timeout(shared: Scenario) -> None:
    submission = JobSubmission(
        artifact=pack_artifact(JOBS),
        entry_point="counting:hangs",
        config={"output": str(shared.directory / "hangs")},
        checkpoint_interval=0.1,
        checkpoint_timeout=0.5,
        restart_strategy=ONCE,
    )
    job_id = shared.lab.client.submit(submission)
    details = shared.lab.client.wait(job_id, timeout=120)
    assert details.status is JobStatus.FAILED
    assert "its user code may hang" in str(details.failure)


def test_user_code_that_cannot_be_imported(shared: Scenario) -> None:
    for source, reason in (
        ("import no_such_package_here\ndef build(config): ...", "no_such_package_here"),
        ("def build(config:\n", "syntax"),
        ("raise RuntimeError('at import')\ndef build(config): ...", "at import"),
        ("def build(config): return 7", "7"),
    ):
        submission = JobSubmission(
            pack_artifact({"broken.py": source}), "broken:build", restart_strategy=ONCE
        )
        details = shared.lab.client.wait(shared.lab.client.submit(submission), timeout=120)
        assert details.status is JobStatus.FAILED
        assert reason in str(details.failure).lower()


def test_more_parallelism_than_slots_waits_says_why_and_fails(shared: Scenario) -> None:
    job = shared.submit("counts", parallelism=4, restart_strategy=RestartStrategy("none"))
    while not (failure := job.details.failure):
        time.sleep(0.02)
    assert "needs 4 slots" in failure
    assert "of 3 are free" in failure
    details = job.wait(timeout=120)
    assert details.status is JobStatus.FAILED
    assert "no slots in 5 s" in str(details.failure)


GOOD = pack_artifact({"good.py": "def build(config): ..."})


@pytest.mark.parametrize(
    ("fields", "kind", "parts"),
    [
        ({"parallelism": 0}, JobSubmissionError, ["parallelism is 0", "1 to 32768"]),
        ({"parallelism": "two"}, JobSubmissionError, ["parallelism is 'two'", "whole number"]),
        ({"checkpoint_interval": -1}, JobSubmissionError, ["checkpoint_interval is -1"]),
        ({"entry_point": "good"}, HaworkError, ["'good'", "module:function"]),
        ({"entry_point": "other:build"}, HaworkError, ["'other'", "good"]),
        ({"entry_point": ""}, JobSubmissionError, ["entry_point is missing"]),
        ({"config": "text"}, JobSubmissionError, ["config is 'text'", "JSON object"]),
        (
            {"restart_strategy": RestartStrategy("sometimes")},
            JobSubmissionError,
            ["restart_strategy.type is 'sometimes'"],
        ),
        ({"artifact": b"no zip"}, HaworkError, ["artifact"]),
        ({"retained_checkpoints": 0}, JobSubmissionError, ["retained_checkpoints is 0"]),
    ],
)
def test_a_wrong_submission_is_refused_in_one_sentence(
    shared: Scenario, fields: dict[str, Any], kind: type[Exception], parts: list[str]
) -> None:
    good = [shared.lab.jobs[0].job_id]
    eventually(lambda: jobs_stored(shared) == good)  # that of an earlier test is on its way out
    submission = JobSubmission(**{"artifact": GOOD, "entry_point": "good:build", **fields})
    with pytest.raises(kind) as caught:
        shared.lab.client.submit(submission)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert jobs_stored(shared) == good, "nothing of it is kept"


def test_a_job_id_is_used_once(shared: Scenario) -> None:
    job_id = JobID.random()
    config: dict[str, Any] = {"end": 100, "rate": 10_000, "output": str(shared.directory / "once")}
    submission = JobSubmission(pack_artifact(JOBS), "counting:counts", config=config, job_id=job_id)
    assert shared.lab.client.submit(submission) == job_id
    assert shared.lab.client.submit(submission) == job_id, "the same again is acknowledged again"
    other = JobSubmission(GOOD, "good:build", job_id=job_id)
    with pytest.raises(JobSubmissionError, match=job_id):
        shared.lab.client.submit(other)
    shared.lab.client.wait(job_id, timeout=120)
    assert shared.lab.client.submit(submission) == job_id, "its end is the answer"
    assert shared.lab.client.job(job_id).status is JobStatus.FINISHED
    shared.check_exact_files(Path(config["output"]), 100)
    with pytest.raises(JobSubmissionError, match="has ended before"):
        shared.lab.client.submit(replace(submission, name="another"))


def test_what_is_no_job_id_is_refused_before_anything_is_sent(shared: Scenario) -> None:
    with pytest.raises(ConfigurationError, match="32 hexadecimal"):
        shared.lab.client.job("nonsense")
    with pytest.raises(HaworkError, match="is not known"):
        shared.lab.client.job("0" * 32)


def test_a_second_run_into_the_same_output_is_refused(shared: Scenario) -> None:
    output = str(shared.directory / "twice")
    config = {"end": 100, "rate": 10_000, "output": output}

    def run() -> Any:
        submission = JobSubmission(
            pack_artifact(JOBS), "counting:counts", config=config, restart_strategy=ONCE
        )
        return shared.lab.client.wait(shared.lab.client.submit(submission), timeout=120)

    assert run().status is JobStatus.FINISHED
    second = run()
    assert second.status is JobStatus.FAILED
    assert output in str(second.failure)
    shared.check_exact_files(Path(output), 100)


def test_of_two_jobs_with_one_output_the_second_is_refused(shared: Scenario) -> None:
    first = shared.submit("endless", rate=500, parallelism=1)
    output = Path(first.config["output"])
    link = shared.directory / "another-way"
    link.symlink_to(output)
    eventually(lambda: first.details.checkpoints > 0)
    config = {**first.config, "output": str(link)}
    second = shared.lab.submit(f"{JOBS}:endless", config=config, parallelism=1)
    details = second.wait(timeout=120)
    assert details.status is JobStatus.FAILED
    assert f"belongs to job {first.job_id}" in str(details.failure)
    assert first.details.status is JobStatus.RUNNING
    first.cancel()
    assert first.wait(timeout=60).restarts == 0
    found = sorted(row["number"] for row in read_output(output))
    assert found and found == list(range(len(found)))


def jobs_stored(scenario: Scenario) -> list[str]:
    return sorted(path.name for path in (scenario.lab.directory / "storage/lab/jobs").iterdir())
