"""The lab with real processes: what a reader of the notebooks does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import trustme

from hawork.core.errors import ConfigurationError, JobSubmissionError, LabError
from hawork.core.events import EventKind
from hawork.core.jobs import JobStatus, RestartStrategy
from hawork.lab import LabCluster
from hawork.story.recovery import JobRecovery
from hawork.story.segments import LEADER_LANE
from hawork.testing import eventually

JOBS = f"{Path(__file__).parent / 'lab_jobs.py'}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabCluster]:
    """Two JobManagers and a TaskManager; a test leaves them running."""
    with LabCluster(2, 1, directory=tmp_path_factory.mktemp("lab") / "run") as lab:
        yield lab


def test_somebody_leads_and_everybody_is_seen(lab: LabCluster) -> None:
    leader = lab.leader()
    information = lab.leader_information()
    assert leader in ("jm-1", "jm-2")
    assert information is not None
    assert information.address.startswith("http://127.0.0.1:")
    snapshot = lab.snapshot()
    assert (snapshot.leader, snapshot.session_id) == (leader, str(information.session_id))
    assert {each.name: each.state for each in snapshot.processes} == dict.fromkeys(
        ("jm-1", "jm-2", "tm-1"), "running"
    )
    assert len(snapshot.taskmanagers) == 1
    assert f"leader={leader}" in repr(lab)
    assert leader in lab._repr_html_()


def test_after_a_kill_another_one_leads(lab: LabCluster) -> None:
    fault = lab.kill("leader")
    killed = fault.facts["target"]
    assert (fault.kind, fault.facts["verb"]) == (EventKind.FAULT, "kill")
    assert lab.processes[killed].status == -9
    assert asyncio.run(_await(lab.wait_for_leader(other_than=fault))) != killed
    with pytest.raises(LabError, match=f"process {killed} is not running: restart it first"):
        lab.pause(killed)
    lab.restart(killed)
    assert lab.processes[killed].state == "running"
    assert lab.timeline().takeovers[-1].cause == "kill"


async def _await(waiting):  # type: ignore[no-untyped-def]
    return await waiting


def test_after_a_pause_past_the_lease_another_one_leads(lab: LabCluster) -> None:
    leader = lab.leader()
    paused = lab.pause("leader")
    assert lab.processes[leader].state == "paused"
    assert lab.wait_for_leader(other_than=leader).wait() != leader
    with pytest.raises(LabError, match=f"{leader} is paused and hears nothing"):
        lab.terminate(leader)
    lab.resume(leader)
    assert lab.processes[leader].state == "running"
    revoked = lab.wait_for_event(EventKind.LEADERSHIP_REVOKED, leader, after=paused).wait()
    assert revoked.process == leader
    known = len(lab.event_list())
    with pytest.raises(LabError, match=f"process {leader} is not paused, and cannot be resumed"):
        lab.resume(leader)  # a cell that is run twice would wait for what does not come again
    assert not [e for e in lab.event_list()[known:] if e.kind is EventKind.FAULT]


def test_a_graceful_end_hands_over(lab: LabCluster) -> None:
    fault = lab.terminate("leader")
    leader = str(fault.facts["target"])
    assert lab.processes[leader].status == 0
    assert lab.wait_for_leader(other_than=fault).wait() != leader
    lab.restart(leader)


def test_unknown_processes_are_refused(lab: LabCluster) -> None:
    with pytest.raises(LabError, match="no process 'jm-7': choose one of jm-1, jm-2, tm-1"):
        lab.kill("jm-7")


def test_a_job_runs_and_its_output_is_a_frame(lab: LabCluster, tmp_path: Path) -> None:
    job = lab.submit(
        f"{JOBS}:count", config={"end": 300, "output": tmp_path / "out"}, parallelism=2
    )
    details = asyncio.run(_await(job.finished()))
    assert (details.status, details.records) == (JobStatus.FINISHED, 300)
    output = job.output().sort_values("key")
    assert list(output["count"]) == [100, 100, 100]
    assert list(output["total"]) == [sum(range(start, 300, 3)) for start in range(3)]
    assert job in lab.jobs
    assert "FINISHED" in repr(job)
    results = lab.job_results().set_index("job_id")
    assert results.loc[job.job_id].application_status == "SUCCEEDED"


def test_a_job_can_be_cancelled(lab: LabCluster, tmp_path: Path) -> None:
    job = lab.submit(f"{JOBS}:count", config={"output": tmp_path / "out", "rate": 1000})
    job.running(records=50).wait()
    assert job.status is JobStatus.RUNNING
    job.cancel()
    assert job.wait().status is JobStatus.CANCELED


def test_the_timeline_says_where_the_time_to_progress_goes(lab: LabCluster, tmp_path: Path) -> None:
    job = lab.submit(f"{JOBS}:count", config={"output": tmp_path / "out", "rate": 1000})
    job.running(records=50).wait()
    fault = lab.kill("leader")

    def row() -> JobRecovery | None:
        rows = [each for each in lab.timeline().recovery() if each.job_id == job.job_id]
        return rows[0] if rows and rows[0].total > 0 else None  # nan, until a record was seen

    found = eventually(row)
    assert found is not None
    assert (found.process, found.cause) == (lab.leader(), "kill")
    assert found.total == pytest.approx(sum(found.phases))
    assert found.recovery > 0 and found.restart > 0
    assert "count" in str(lab.timeline().recovery())
    job.cancel()
    job.wait()
    lab.restart(str(fault.facts["target"]))


def test_a_failed_job_says_why(lab: LabCluster, tmp_path: Path) -> None:
    job = lab.submit(
        f"{JOBS}:broken", config={"output": tmp_path}, restart_strategy=RestartStrategy("none")
    )
    details = job.wait(progress=False)
    assert details.status is JobStatus.FAILED
    assert "cannot stand 0" in str(details.failure)


def test_a_refused_job_says_why(lab: LabCluster, tmp_path: Path) -> None:
    with pytest.raises(JobSubmissionError, match="99"):
        lab.submit(f"{JOBS}:count", config={"output": tmp_path, "end": 1}, parallelism=99_999)


def test_a_submission_can_be_held_at_a_step(lab: LabCluster, tmp_path: Path) -> None:
    armed = lab.arm("submit.graph_written", "hold", "leader")
    job = lab.submit(f"{JOBS}:count", config={"end": 9, "output": tmp_path / "o"}, wait=False)
    assert armed.reached().wait().process == lab.leader()
    (held,) = lab.held()
    assert held.step == "submit.graph_written"
    files = lab.storage_tree()
    ours = files[files.path.str.contains(job.job_id)]
    assert "job graph" in set(ours.what)
    assert "marker of a submission" in set(ours.what)
    rows = lab.store_rows()
    assert len(rows)
    assert not rows.name.str.contains(job.job_id).any()
    lab.proceed()
    assert job.acknowledged().wait() == job.job_id
    assert job.wait().status is JobStatus.FINISHED


def test_who_stands_at_a_step_can_be_terminated(tmp_path: Path) -> None:
    with LabCluster(2, 1) as lab:
        leader = lab.leader()
        armed = lab.arm("submit.graph_written", "hold")
        config = {"end": 10, "output": tmp_path / "out"}
        job = lab.submit(f"{JOBS}:count", config=config, wait=False)
        armed.reached().wait()
        fault = lab.terminate(leader)
        state = lab.processes[leader]
        assert (state.state, state.status) == ("exited", 0)
        assert lab.held() == []
        assert lab.wait_for_leader(other_than=fault).wait() != leader
        assert job.acknowledged().wait() == job.job_id
        assert job.wait().status is JobStatus.FINISHED


def test_one_more_task_manager(lab: LabCluster) -> None:
    assert lab.add_task_manager() == "tm-2"
    known = lab.wait_for_event(EventKind.TASKMANAGER_REGISTERED).wait()
    assert known.facts["taskmanager"].startswith("tm-")
    lab.kill("tm-2")


def test_events_and_timeline_tell_it(lab: LabCluster) -> None:
    frame = lab.events()
    assert set(frame[frame.kind == "fault"].process) == {"lab"}
    assert LEADER_LANE in lab.timeline().lanes


def test_a_second_lab_in_the_directory_is_refused(lab: LabCluster) -> None:
    with pytest.raises(LabError, match="used by another lab"):
        LabCluster(directory=lab.directory)


@pytest.mark.parametrize("supervisor", [True, False])
def test_the_supervisor_gives_up_a_dead_ones_leadership_unless_switched_off(
    supervisor: bool,
) -> None:
    options = {"high-availability.embedded.crash-detection": False}
    with LabCluster(2, 0, supervisor=supervisor, options=options) as lab:
        fault = lab.kill("leader")
        killed = fault.facts["target"]
        assert lab.wait_for_leader(other_than=fault).wait() != killed
    released = [each for each in lab.event_list() if each.kind is EventKind.LEADERSHIP_RELEASED]
    assert [(each.process, each.facts["of"]) for each in released] == (
        [("supervisor", killed)] if supervisor else []
    )
    grants = [each for each in lab.event_list() if each.kind is EventKind.LEADERSHIP_GRANTED]
    assert len({each.process for each in grants}) == 2


def test_a_closed_lab_leaves_its_story_and_no_process() -> None:
    lab = LabCluster(1, 0)
    with pytest.raises(LabError, match="not started"):
        lab.kill()
    lab.start()
    pids = [state.pid for state in lab.processes.values()]
    assert lab.start() is lab
    lab.close()
    lab.close()
    assert not any(map(psutil.pid_exists, pids))
    assert not lab.directory.exists()
    assert "leads" in str(lab.timeline())
    assert repr(lab) == "LabCluster(closed)"
    with pytest.raises(LabError, match="closed"):
        lab.leader()


def test_a_cluster_that_cannot_start_says_why() -> None:
    with pytest.raises(ConfigurationError, match="heartbeat"):
        LabCluster(options={"heartbeat.timeout": "1 ms"})
    with pytest.raises(LabError, match="at least one JobManager"):
        LabCluster(0)
    lab = LabCluster(1, 1, options={"rest.bind-address": "192.0.2.1"})
    with pytest.raises(LabError, match=r"process jm-1 ended: .*192\.0\.2\.1"):
        lab.start()
    assert not lab.directory.exists()


def test_a_lab_over_tls_and_ipv6(tmp_path: Path) -> None:
    authority = trustme.CA()
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    own = authority.issue_cert("::1").private_key_and_cert_chain_pem
    (tmp_path / "own.pem").write_bytes(own.bytes())
    secured = {
        "rest": {"address": "::1", "bind-address": "::1"},
        "security.ssl.rest": {
            "enabled": True,
            "keystore": str(tmp_path / "own.pem"),
            "truststore": str(tmp_path / "ca.pem"),
        },
    }
    with LabCluster(1, 1, options=secured, directory=tmp_path / "run") as lab:
        information = lab.leader_information()
        assert information is not None and information.address.startswith("https://[::1]:")
        job = lab.submit(f"{JOBS}:count", config={"end": 3, "output": str(tmp_path / "out")})
        assert job.wait(60).status is JobStatus.FINISHED
