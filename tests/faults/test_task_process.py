"""Real task processes: recovered exactly, and never outliving or fooling their TaskManager."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from hawork.core.events import EventKind, read_events
from hawork.core.steps import arm, disarm, held_steps
from hawork.job import read_output
from hawork.runtime.task_child import TaskChild
from hawork.testing import eventually
from tests.faults.task_under_test import JOB_ID, TaskUnderTest, deployment

ROWS = [("abc"[n * 7 % 5 % 3], n / 10) for n in range(20_000)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    lines = ["key,value", *(f"{key},{value}" for key, value in ROWS)]
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "storage").mkdir()  # by a JobManager: a task makes none where it may be away
    return tmp_path


def expected_sums() -> dict[str, tuple[int, float]]:
    sums: dict[str, tuple[int, float]] = {}
    for key, value in ROWS:
        count, total = sums.get(key, (0, 0.0))
        sums[key] = (count + 1, total + value)
    return sums


def streamed_sums(directory: Path) -> dict[str, tuple[int, float]]:
    rows = read_output(directory)
    sums = {row["key"]: (row["count"], row["total"]) for row in rows}
    assert len(sums) == len(rows), "each key once"
    return sums


def config(directory: Path, **more: object) -> dict[str, object]:
    return {"input": str(directory / "in.csv"), "output": str(directory / "out"), **more}


def test_a_task_runs_from_deployment_to_its_last_commit(directory: Path) -> None:
    with TaskUnderTest(directory, "sums") as task:
        task.expect("running")
        task.expect("end_of_input")
        state = task.checkpoint(1)
        assert state["finished"] and state["records"] == len(ROWS)
        task.notify(1)
        assert task.stop() == 0
        assert streamed_sums(task.output) == expected_sums()
        assert not (task.output / ".pending").exists()
    left = {path.name for path in directory.iterdir()}
    assert not any(name.startswith("task-") for name in left), "the unpacked artifact is gone"
    steps = [
        event.step
        for event in read_events(directory / "run" / "events")
        if event.kind is EventKind.STEP_REACHED
    ]
    assert steps == ["task.started", "task.snapshot_taken", "task.output_committed"]


@pytest.mark.parametrize("memory_threshold", [0, 1 << 20])
def test_a_killed_task_is_restored_exactly(directory: Path, memory_threshold: int) -> None:
    slow = config(directory, rate=5_000)
    with TaskUnderTest(directory, "sums", config=slow, memory_threshold=memory_threshold) as task:
        while task.expect("progress")["records"] < 2000:
            pass
        state = task.checkpoint(1)
        task.notify(1)
        read = state["records"]
        while task.expect("progress")["records"] < read + 1000:
            pass
        task.checkpoint(2)
        task.process.kill()
        assert task.process.wait() == -signal.SIGKILL
    assert (state["handle"] is not None) == (memory_threshold == 0)
    with TaskUnderTest(directory, "sums", attempt="a2", restore=state) as task:
        task.expect("end_of_input")
        assert task.checkpoint(3)["records"] == len(ROWS)
        task.notify(3)
        assert task.stop() == 0
        assert streamed_sums(task.output) == expected_sums()


def test_two_subtasks_share_the_keys(directory: Path) -> None:
    for index in (0, 1):
        with TaskUnderTest(directory, "sums", index=index, parallelism=2) as task:
            task.expect("end_of_input")
            task.checkpoint(1)
            if index == 0:
                task.process.kill()
                continue
            task.notify(1)
            task.stop()
    # The first subtask's commit comes with its restart, as the checkpoint was completed.
    assert 0 < len(read_output(directory / "out")) < len(expected_sums())


def test_damaged_state_is_told_apart(directory: Path) -> None:
    with TaskUnderTest(directory, "sums", memory_threshold=0) as task:
        task.expect("end_of_input")
        state = task.checkpoint(1)
    file = directory / "storage" / state["handle"]["path"]
    assert state["handle"]["path"] == f"jobs/{JOB_ID}/state/1-0-a1.json"
    file.write_bytes(file.read_bytes().replace(b"1", b"2"))
    for attempt in ("a2", "a3"):
        with TaskUnderTest(directory, "sums", attempt=attempt, restore=state) as task:
            failure = task.expect("failed")
            assert failure["corrupt_state"] and not failure["permanent"]
            assert "restore an earlier checkpoint" in failure["reason"]
        file.unlink(missing_ok=True)


def test_a_checkpoint_without_storage_is_declined_and_the_next_one_has_all(
    directory: Path,
) -> None:
    (directory / "storage").rmdir()
    (directory / "storage").write_text("a file where a directory should be")
    with TaskUnderTest(directory, "sums", memory_threshold=0) as task:
        task.expect("end_of_input")
        task.command("checkpoint", checkpoint_id=1)
        assert "storage" in task.expect("declined")["reason"]
        (directory / "storage").unlink()
        (directory / "storage").mkdir()
        assert len(task.checkpoint(2)["pending"]) == 1
        task.notify(2)
        assert streamed_sums(task.output) == expected_sums()


def test_what_user_code_prints_and_reads_is_not_the_protocol(directory: Path) -> None:
    with TaskUnderTest(directory, "chatty") as task:
        while task.expect("progress")["records"] < 3:
            pass
        task.checkpoint(1)
        task.notify(1)
        task.stop(discard=True)
        assert "printed 0" in task.log() and "written" in task.log()
        assert [0, ""] in read_output(task.output)
        assert not (task.output / ".pending").exists()


@pytest.mark.parametrize(
    ("entry_point", "reason"),
    [
        ("raising", "map lambda (task_jobs.py line 30) raised KeyError: 'dep_delay'"),
        ("exiting", "raised SystemExit: 3"),
        ("missing", "module task_jobs has no function missing"),
    ],
)
def test_user_code_that_fails_says_why(directory: Path, entry_point: str, reason: str) -> None:
    with TaskUnderTest(directory, entry_point) as task:
        failure = task.expect("failed")
        assert reason in failure["reason"]
        assert failure["permanent"] is (entry_point == "missing")
        assert failure["blame"] == "job"
        assert "Traceback" in failure["traceback"]
        assert task.process.wait() == 1


def test_state_that_is_not_json_fails_the_task_at_its_snapshot(directory: Path) -> None:
    with TaskUnderTest(directory, "unserialisable") as task:
        while task.expect("progress")["records"] < 1:
            pass
        task.command("checkpoint", checkpoint_id=1)
        assert "is of type set" in task.expect("failed")["reason"]


def test_user_code_that_dies_takes_nothing_but_its_task(directory: Path) -> None:
    with TaskUnderTest(directory, "dying") as task:
        assert task.process.wait() == 3


def test_a_thread_that_user_code_leaves_does_not_keep_the_task(directory: Path) -> None:
    with TaskUnderTest(directory, "leaving_a_thread") as task:
        task.expect("running")
        assert task.stop() == 0


def test_a_wrong_hash_is_refused_before_anything_is_imported(directory: Path) -> None:
    with TaskUnderTest(directory, "sums", sha256="0" * 64) as task:
        failure = task.expect("failed")
        assert "has sha256" in failure["reason"]
        assert (failure["blame"], failure["permanent"]) == ("environment", False)


@pytest.mark.parametrize("entry_point", ["numbers", "hanging"])
def test_the_end_of_the_pipe_ends_the_task(directory: Path, entry_point: str) -> None:
    with TaskUnderTest(directory, entry_point) as task:
        task.expect("running")
        assert task.process.stdin is not None
        task.process.stdin.close()
        assert task.process.wait() == 70


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_stopped_task_dies_with_its_parent(directory: Path) -> None:
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'hawork.runtime.task_process'],\n"
        "                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdin.write(sys.argv[1].encode() + b'\\n')\n"
        "child.stdin.flush()\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    deploy = json.dumps(deployment(directory, "hanging"))
    starter = subprocess.Popen([sys.executable, "-c", parent, deploy], stdout=subprocess.PIPE)
    try:
        assert starter.stdout is not None
        child = psutil.Process(int(starter.stdout.readline()))
        child.suspend()
    finally:
        starter.kill()
        starter.communicate()
    _, alive = psutil.wait_procs([child], timeout=60)
    assert not alive


@pytest.mark.parametrize("step", ["task.started", "task.snapshot_taken", "task.output_committed"])
def test_a_task_crashes_where_it_is_armed_and_the_next_one_goes_on(
    directory: Path, step: str
) -> None:
    control = directory / "run" / "control"
    arm(control, step, "crash", process="tm-1")
    restore = None
    with TaskUnderTest(directory, "sums") as task:
        if step != "task.started":
            task.expect("end_of_input")
            task.command("checkpoint", checkpoint_id=1)
            if step == "task.output_committed":
                restore = task.expect("snapshot")["state"]
                task.command("notify_complete", checkpoint_id=1)
        assert task.process.wait() == -signal.SIGKILL
    assert os.listdir(control)[0].endswith(f"{step}.tm-1.hit")
    with TaskUnderTest(directory, "sums", attempt="a2", restore=restore) as task:
        task.expect("end_of_input")
        task.checkpoint(2)
        task.notify(2)
        task.stop()
        assert streamed_sums(task.output) == expected_sums()


def test_an_artifact_that_is_cleaned_away_is_the_environments_fault(directory: Path) -> None:
    """A cleaner of temporary files is faster than the import."""
    control = directory / "run" / "control"
    arm(control, "task.started", "hold", process="tm-1")
    with TaskUnderTest(directory, "sums") as task:
        eventually(lambda: held_steps(control))
        next(directory.glob("*.zip")).unlink()
        disarm(control)
        failure = task.expect("failed")
        assert (failure["blame"], failure["permanent"]) == ("environment", False)


def test_an_interpreter_that_does_not_start_is_the_environments_fault(tmp_path: Path) -> None:
    """The package itself is away, as while it is installed anew."""
    events: list[dict[str, object]] = []
    child = TaskChild({"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}, None, events.append)
    package = tmp_path / "hawork"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('half installed')")
    asyncio.run(child.run({"type": "deploy"}))
    assert [(event["type"], event["blame"]) for event in events] == [("gone", "environment")]
    assert "before it had started" in str(events[0]["reason"])


def test_a_task_whose_log_cannot_be_written_runs_all_the_same(directory: Path) -> None:
    (directory / "logs").write_text("a file where a directory should be")
    events: list[str] = []
    child = TaskChild({}, directory / "logs" / "tm-1.log", lambda event: tell(event["type"]))

    def tell(kind: str) -> None:
        events.append(kind)
        if kind == "running":
            child.command({"type": "stop"})

    asyncio.run(child.run(deployment(directory, "numbers")))
    assert events[0] == "running" and events[-1] == "gone"


def test_a_worker_that_a_task_forked_does_not_keep_it_from_ending(directory: Path) -> None:
    """It inherits the pipes by whose end a task is known to be gone."""
    events: list[dict[str, object]] = []
    child = TaskChild({}, directory / "tm-1.log", events.append)
    try:
        asyncio.run(asyncio.wait_for(child.run(deployment(directory, "leaving_a_fork")), 60))
        assert events[-1]["type"] == "gone"
    finally:
        pid = int(eventually(lambda: (directory / "out.pid").read_text()) or 0)
        os.kill(pid, signal.SIGKILL)
