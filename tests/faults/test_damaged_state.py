"""Files and rows that are missing, cut short or altered: said, set aside, never fatal."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import hawork
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus
from hawork.core.types import JobID
from hawork.lab import LabCluster
from hawork.lab.job import Job
from hawork.testing import eventually
from tests.faults.scenario import FAST, PATIENT, Scenario, wait_for_event
from tests.faults.shared_lab import SharedLab, shared_lab_on
from tests.faults.stores import patient_store

CHECKPOINT = "completedCheckpoint"
END = 9000  # six seconds: a busy machine, too, completes two checkpoints before


patient_lab, shared_lab = shared_lab_on(patient_store), shared_lab_on(patient_store)
"""A leader that stands still is not replaced before its state is damaged: leases do not end."""


@pytest.fixture
def patient(
    patient_lab: SharedLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    """On a cluster in which damaged entries of scenarios before stay."""
    with patient_lab.scenario(tmp_path, request) as scenario:
        yield scenario


@pytest.fixture
def shared(
    shared_lab: SharedLab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scenario]:
    with shared_lab.scenario(tmp_path, request) as scenario:
        yield scenario


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def remove(path: Path) -> None:
    path.unlink()


def job_directory(scenario: Scenario, job_id: str) -> Path:
    return scenario.lab.directory / "storage" / "lab" / "jobs" / job_id


def checkpoint_files(scenario: Scenario, job_id: str) -> list[tuple[int, Path]]:
    """The files that pointers point to: one that was just written may not be among them."""
    with hawork.open_ha_services(scenario.lab.config) as ha:
        stores = ha.stores(hawork.NO_LEADERSHIP)
        stored = stores.completed_checkpoints(JobID(job_id), 1).all_ids()
    found = []
    for path in job_directory(scenario, job_id).glob(f"{CHECKPOINT}*"):
        try:
            found.append((int(json.loads(path.read_bytes())["checkpoint_id"]), path))
        except (OSError, ValueError):
            continue
    return sorted(each for each in found if each[0] in stored)


@pytest.mark.parametrize("damage", [truncate, alter, remove])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    patient: Scenario, damage: object
) -> None:
    """The output stays exact, although the newest checkpoint had committed some of it."""
    job = patient.submit("copies", end=END, rate=1500, checkpoint_interval="300 ms")
    eventually(lambda: len(checkpoint_files(patient, job.job_id)) >= 2)
    leader = patient.lab.leader()
    patient.lab.pause(leader)
    (older, _), (newest, path) = checkpoint_files(patient, job.job_id)[-2:]
    damage(path)  # type: ignore[operator]
    patient.lab.kill(leader)
    event = patient.wait_for_event(EventKind.JOB_RESTORED)
    assert event.facts["checkpoint_id"] == older
    (said,) = event.facts["skipped"]
    assert f"checkpoint {newest}" in said
    assert path.name in said
    patient.check_exact_copies(job, END)
    patient.check_nothing_left(job)


def test_a_job_none_of_whose_checkpoints_is_readable_waits_and_loses_nothing(
    patient: Scenario,
) -> None:
    """Starting anew would repeat output, failing would delete what can be repaired."""
    job = patient.submit("copies", end=END, rate=1500, checkpoint_interval="300 ms")
    other = patient.submit("counts", end=3000, rate=3000)
    eventually(lambda: checkpoint_files(patient, job.job_id))
    leader = patient.lab.leader()
    patient.lab.pause(leader)
    damaged = [path for _, path in checkpoint_files(patient, job.job_id)]
    saved = patient.directory / "saved"
    saved.mkdir()
    for path in damaged:
        shutil.copy(path, saved)
        truncate(path)
    patient.lab.kill(leader)
    patient.check_exact(other)
    details = eventually(lambda: job.details if job.details.failure else None)
    assert details is not None
    assert not details.status.globally_terminal
    assert "checkpoints is readable" in str(details.failure)
    for path in damaged:
        shutil.copy(saved / path.name, path)
    patient.check_exact_copies(job, END)


@pytest.mark.parametrize("damage", [truncate, alter, remove])
def test_a_damaged_job_graph_is_reported_and_kept_and_the_others_run(
    patient: Scenario, damage: object
) -> None:
    job = patient.submit("counts", end=90_000, rate=2000)  # it must not end before
    other = patient.submit("counts", end=4000, rate=2000)
    leader = patient.lab.leader()
    patient.lab.pause(leader)
    (path,) = job_directory(patient, job.job_id).glob("submittedJobGraph*")
    damage(path)  # type: ignore[operator]
    patient.lab.kill(leader)
    event = patient.wait_for_event(EventKind.STATE_SET_ASIDE, job_id=job.job_id)
    assert path.name in event.facts["reason"]
    patient.check_exact(other, 4000)
    assert job_directory(patient, job.job_id).exists(), "what is in doubt is kept"
    rows = str(patient.lab.store_rows().to_dict("records"))
    assert job.job_id in rows


def point(scenario: Scenario, job: Job, path: str) -> None:
    """Let the job's pointer in the HA store name another file."""
    (database,) = (scenario.lab.directory / "storage").rglob("ha.db")
    value = json.dumps({"format": 1, "path": path, "size": 1, "sha256": "x"}).encode()
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        sql = "UPDATE pointer SET value = ? WHERE namespace = 'jobgraphs' AND name = ?"
        assert connection.execute(sql, (value, job.job_id)).rowcount == 1
        connection.commit()


@pytest.mark.parametrize("scenario", [PATIENT], indirect=True)
def test_damaged_entries_of_every_kind_cost_their_own_jobs_only(scenario: Scenario) -> None:
    """The first removed all of storageDir; each of the others ended or held up every leader."""
    surrogate, piped = (
        scenario.submit("counts", end=90_000, rate=100, parallelism=1) for _ in range(2)
    )
    short = scenario.submit("counts", end=3000, rate=1000, parallelism=1)
    point(scenario, short, "")  # before it has ended
    scenario.check_exact(short, 3000)
    scenario.check_nothing_left(short)
    good = scenario.submit("counts", end=9000, rate=1500, parallelism=1)
    assert all(job_directory(scenario, job.job_id).exists() for job in (good, surrogate, piped))
    leader = scenario.lab.leader()
    scenario.lab.pause(leader)
    point(scenario, surrogate, "jobs/\ud800/x")
    (graph,) = job_directory(scenario, piped.job_id).glob("submittedJobGraph*")
    graph.unlink()
    os.mkfifo(graph)
    results = scenario.lab.directory / "storage" / "job-result-store" / "lab"
    results.mkdir(parents=True, exist_ok=True)
    for name in ("copy\\of_DIRTY.json", f"{good.job_id}.json"):
        (results / name).write_text("foreign")
    scenario.lab.kill(leader)
    for job in (surrogate, piped):
        said = wait_for_event(scenario.lab, EventKind.STATE_SET_ASIDE, job_id=job.job_id)
        assert job.job_id in said.facts["what"]
    scenario.check_exact(good, 9000)
    assert (results / f"{good.job_id}.json.stale-1").read_text() == "foreign"
    assert (results / "copy\\of_DIRTY.json").exists(), "what cannot be renamed stays"
    assert all(job_directory(scenario, job.job_id).exists() for job in (surrogate, piped))


def test_a_damaged_dirty_result_is_set_aside(shared: Scenario) -> None:
    directory = shared.lab.directory / "storage" / "job-result-store" / "lab"
    directory.mkdir(parents=True, exist_ok=True)
    damaged = directory / f"{'0' * 31}1_DIRTY.json"
    damaged.write_text('{"result":{"id":"0000')
    job = shared.submit()
    shared.lab.kill("leader")
    shared.check_exact(job)
    shared.wait_for_event(EventKind.STATE_SET_ASIDE)
    assert not damaged.exists()
    assert [path.name for path in directory.glob("*.stale-*")] == [f"{damaged.name}.stale-1"]


def test_a_dirty_result_written_by_flink_is_cleaned_up(shared: Scenario) -> None:
    directory = shared.lab.directory / "storage" / "job-result-store" / "lab"
    directory.mkdir(parents=True, exist_ok=True)
    job_id = "0" * 31 + "a"
    (directory / f"{job_id}_DIRTY.json").write_text(
        f'{{"result":{{"id":"{job_id}","application-status":"SUCCEEDED",'
        '"accumulator-results":{},"net-runtime":42},"version":1}'
    )
    shared.lab.kill("leader")
    eventually(lambda: (directory / f"{job_id}.json").exists())
    details = shared.lab.client.job(job_id)
    assert (details.status, details.duration) == (JobStatus.FINISHED, 42)


@pytest.mark.parametrize("scenario", [PATIENT], indirect=True)
def test_a_damaged_artifact_keeps_its_job_from_running_and_no_other(scenario: Scenario) -> None:
    for name in ("tm-1", "tm-2"):
        scenario.lab.kill(name)  # nobody is to have a good copy
    job = scenario.submit("counts")
    (blob,) = (job_directory(scenario, job.job_id) / "blob").iterdir()
    alter(blob)
    for name in ("tm-1", "tm-2"):
        scenario.lab.restart(name)
    eventually(lambda: "the artifact cannot be read" in str(job.details.failure))
    assert blob.name[:12] in str(job.details.failure)
    # Before the other one: its TaskManagers will have a good copy of the same artifact.
    job.cancel()
    assert job.wait(timeout=120).status is JobStatus.CANCELED
    scenario.check_exact(scenario.submit("counts"))


STORAGE = "high-availability.storageDir"


def start_jobmanager(directory: Path, **values: str) -> str:
    """Start a JobManager with these options; what it says when it ends at once."""
    lines = {
        "high-availability.type": "embedded",
        STORAGE: f"file://{directory}/storage",
        "high-availability.cluster-id": "/lab",
        "hawork.run-directory": str(directory),
        **FAST,
        **values,
    }
    path = directory / "config.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value))
    done = subprocess.run(
        [sys.executable, "-m", "hawork.runtime", "jobmanager", "--config", path, "--name", "jm"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_a_missing_storage_dir_is_named(tmp_path: Path) -> None:
    message = start_jobmanager(tmp_path, **{STORAGE: ""})
    assert STORAGE in message
    assert "is set: write" in message


def test_a_storage_dir_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = start_jobmanager(tmp_path, **{STORAGE: f"file://{tmp_path}/file"})
    assert str(tmp_path / "file") in message


def test_a_damaged_database_is_named_with_the_fix(tmp_path: Path) -> None:
    with LabCluster(1, 0, directory=tmp_path / "lab", options=FAST, keep=True) as lab:
        lab.leader()
        (database,) = (lab.directory / "storage").rglob("ha.db")
    database.write_bytes(b"this is not a database" * 1000)
    for name in ("ha.db-wal", "ha.db-shm"):
        database.with_name(name).unlink(missing_ok=True)
    message = start_jobmanager(lab.directory)
    assert str(database) in message
    assert database.read_bytes().startswith(b"this is not a database"), "nothing is thrown away"
