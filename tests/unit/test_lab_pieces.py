"""Small pieces of the lab: waiting, reading events, armed steps, artifacts, submissions."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from hawork.client.job_details import JobDetails
from hawork.client.submission import make_submission, seconds
from hawork.client.waiting import Waiting
from hawork.core.errors import ArtifactError, ConfigurationError, JobSubmissionError, LabError
from hawork.core.events import Event, EventKind, EventLog
from hawork.core.jobs import JobStatus
from hawork.core.steps import StepGate
from hawork.core.types import JobID, ProcessState
from hawork.inspect.decode import StoreRow, decoded
from hawork.inspect.entries import Entry
from hawork.inspect.files import job_results, kind_of_file, storage_tree
from hawork.inspect.store import store_frame
from hawork.lab import LabCluster
from hawork.lab.artifacts import find_source, written_artifacts
from hawork.lab.faults import Faults
from hawork.lab.job import Job
from hawork.lab.leadership import Leadership
from hawork.lab.magic import write_artifact
from hawork.lab.steps import ArmedSteps
from hawork.panels.store_rows import MOST_ROWS, StoreRows
from hawork.story.event_reader import EventReader


def job_that_is(status: JobStatus, records: int, failure: str | None = None) -> Job:
    """A job of which the leader says this."""
    job_id = JobID.random()
    details = JobDetails(job_id, "delays", status, records=records, failure=failure)
    client: Any = SimpleNamespace(job=lambda _: details)
    accepted: Future[JobID] = Future()
    accepted.set_result(job_id)
    return Job(lambda: client, job_id, "delays", {}, accepted)


def test_a_job_is_caught_while_it_runs() -> None:
    assert job_that_is(JobStatus.RUNNING, 100).running(100).wait().records == 100
    with pytest.raises(LabError, match="stopped waiting for the 101 records"):
        job_that_is(JobStatus.RUNNING, 100).running(101, timeout=0).wait()


def test_a_job_that_gets_no_slot_says_so() -> None:
    """As when a cell that submits was interrupted and run again: the first job has the slots."""
    with pytest.raises(LabError, match="no TaskManager has a slot for it: cancel an older job"):
        job_that_is(JobStatus.CREATED, 0).running(1, timeout=0).wait()


@pytest.mark.parametrize(
    ("status", "failure", "said"),
    [
        (JobStatus.FINISHED, None, "is FINISHED already, and cannot be caught at 100 records: "
         "submit it again and go on at once, or let it read more, or more slowly"),
        (JobStatus.FAILED, "no space is left", r"is FAILED already \(no space is left\), and c"),
        (JobStatus.CANCELED, None, "is CANCELED already, and cannot be caught"),
    ],
)  # fmt: skip
def test_a_job_that_has_ended_is_not_running(
    status: JobStatus, failure: str | None, said: str
) -> None:
    with pytest.raises(LabError, match=said):
        job_that_is(status, 500, failure).running(100).wait()


class Countdown:
    def __init__(self, looks: int) -> None:
        self.left = looks
        self.threads: set[str] = set()

    def __call__(self) -> str | None:
        self.threads.add(threading.current_thread().name)
        self.left -= 1
        return "there" if self.left <= 0 else None


def test_waiting_blocks() -> None:
    assert Waiting("it", Countdown(3), poll=0.001).wait() == "there"


def test_waiting_can_be_awaited_and_looks_on_another_thread() -> None:
    look, shown, ended = Countdown(3), [], []
    waiting = Waiting(
        "it", look, poll=0.001,
        show=lambda: shown.append(threading.current_thread().name),
        done=lambda: ended.append(True),
    )  # fmt: skip

    async def main() -> str:
        return await waiting

    assert asyncio.run(main()) == "there"
    assert "MainThread" not in look.threads
    assert set(shown) == {"MainThread"}
    assert ended == [True]


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(LabError, match="stopped waiting for a leader after 0 s"):
        Waiting("a leader", lambda: None, timeout=0).wait()
    assert "await" in repr(Waiting("a leader", lambda: None))


def test_events_are_read_on_in_their_order(tmp_path: Path) -> None:
    first, second = (EventLog(name, tmp_path / f"{name}.jsonl") for name in ("b", "a"))
    reader = EventReader(tmp_path)
    assert reader.events() == []
    for log in (first, second, first):
        log.emit(EventKind.PROCESS_STARTED)
    assert [event.process for event in reader.events()] == ["b", "a", "b"]
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write('{"kind": "process.st')
        file.flush()
        assert len(reader.events()) == 3
        file.write("garbage\n")
    second.emit(EventKind.PROCESS_STOPPED)
    assert [event.kind for event in reader.events()][3:] == [EventKind.PROCESS_STOPPED]
    first.close()
    second.close()


def test_a_held_step_is_seen_and_goes_on(tmp_path: Path) -> None:
    log = EventLog("jm-1", tmp_path / "events" / "jm-1.jsonl")
    steps = ArmedSteps(tmp_path / "control", EventReader(tmp_path / "events").events)
    armed = steps.arm("submit.graph_written")
    gate = StepGate("jm-1", log, tmp_path / "control")
    thread = threading.Thread(target=gate.reached, args=("submit.graph_written",))
    thread.start()
    assert armed.reached().wait().process == "jm-1"
    (held,) = steps.held()
    assert (held.step, held.action, held.process) == ("submit.graph_written", "hold", "jm-1")
    assert "jm-1 stands at submit.graph_written: the job graph's file" in str(held)
    assert steps.proceed(lambda name: pytest.fail(f"{name} was not stopped")) == [held]
    thread.join(20)
    assert not thread.is_alive()
    assert steps.held() == []
    log.close()


def test_a_leader_that_cannot_come_is_told_with_what_stands_still() -> None:
    """The cell that pauses the leader was run three times."""
    states = {name: ProcessState(name, 1, "paused") for name in ("jm-1", "jm-2")}
    states["jm-3"] = ProcessState("jm-3", 1, "exited")
    processes: Any = SimpleNamespace(states=lambda: states, names=lambda role: [*states])
    lab: Any = object.__new__(LabCluster)
    lab._started = lambda: processes
    leadership = Leadership(lambda: None, list, lambda: None, lab._hindrance)
    told = r"a leader after 0 s: each JobManager that is alive is paused \(jm-1, jm-2\): resume one"
    with pytest.raises(LabError, match=told):
        leadership.wait(None, 0).wait()
    states["jm-2"] = ProcessState("jm-2", 1, "running")
    with pytest.raises(LabError, match=r"a leader after 0 s$"):
        leadership.wait(None, 0).wait()


def test_a_step_that_no_job_is_left_to_reach_is_told_and_disarmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hawork.lab.steps._PATIENCE", 0.01)
    monkeypatch.setattr("hawork.lab.steps._LOOK_EVERY", 0.0)
    log = EventLog("jm-1", tmp_path / "events" / "jm-1.jsonl")
    log.emit(EventKind.JOB_RESULT, job_id="a" * 32, state="dirty")
    submitted = ["a" * 32]
    steps = ArmedSteps(
        tmp_path / "control", EventReader(tmp_path / "events").events, jobs=lambda: submitted
    )
    armed = steps.arm("cleanup.checkpoints_removed", "crash")
    with pytest.raises(LabError, match=r"stopped waiting for a process to reach"):
        armed.reached(timeout=0.1).wait()  # it is not cleaned up yet
    log.emit(EventKind.JOB_RESULT, job_id="a" * 32, state="clean")
    with pytest.raises(LabError, match=r"stopped waiting for a process to reach"):
        steps.arm("takeover.granted").reached(timeout=0.1).wait()  # this needs no job
    submitted.append("b" * 32)
    with pytest.raises(LabError, match=r"stopped waiting for a process to reach"):
        armed.reached(timeout=0.1).wait()  # another one is on its way
    submitted.pop()
    with pytest.raises(LabError, match=r"no process will reach cleanup\.checkpoints_removed: each"):
        armed.reached().wait()
    assert not armed.order.exists()
    log.close()


def test_a_process_that_is_started_again_stands_at_no_step(tmp_path: Path) -> None:
    """It died there, by itself or while the verb that ended it was interrupted."""
    log = EventLog("jm-1", tmp_path / "events" / "jm-1.jsonl")
    armed = ArmedSteps(tmp_path / "control", EventReader(tmp_path / "events").events)
    reached = armed.arm("submit.graph_written").reached()
    gate = StepGate("jm-1", log, tmp_path / "control")
    thread = threading.Thread(target=gate.reached, args=("submit.graph_written",))
    thread.start()
    reached.wait()
    processes: Any = SimpleNamespace(
        state=lambda name: ProcessState(name, 1, "exited"), start=lambda _: None
    )
    leadership: Any = SimpleNamespace(resolve=lambda name: name)
    nothing: Any = None
    faults = Faults(
        lambda: processes, nothing, nothing, leadership, armed, EventLog("lab"), nothing
    )
    assert armed.held()
    faults.restart("jm-1")
    assert armed.held() == []
    thread.join(20)
    log.close()


def test_an_order_that_was_not_reached_can_be_forgotten(tmp_path: Path) -> None:
    steps = ArmedSteps(tmp_path, list)
    steps.arm("result.dirty", "crash", "jm-1")
    steps.disarm()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigurationError, match=r"step 'result\.drity' is unknown"):
        steps.arm("result.drity")


SOURCE = "import sys\nsys.exit('executed')\ndef build(config):\n    return None\n"


def test_a_written_artifact_is_kept_and_not_executed(tmp_path: Path) -> None:
    message = write_artifact("never_run.py", SOURCE)
    assert message == "never_run.py: 4 lines, not executed; submit never_run.py:build"
    assert written_artifacts()["never_run.py"] == SOURCE
    submission = make_submission(
        "never_run.py:build", {"output": tmp_path / "out", "n": 3},
        parallelism=2, checkpoint_interval="500 ms",
        find=lambda name: find_source(name, tmp_path),
    )  # fmt: skip
    assert submission.entry_point == "never_run:build"
    assert submission.name == "build"
    assert submission.config == {"output": str(tmp_path / "out"), "n": 3}
    assert submission.checkpoint_interval == 0.5
    assert b"never_run.py" in submission.artifact


def test_a_path_is_not_the_artifact_of_that_name(tmp_path: Path) -> None:
    write_artifact("same_name.py", SOURCE)
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "same_name.py"
    file.write_text("HERE = 1\n")
    assert find_source(str(file), tmp_path) == file
    assert find_source("same_name.py", tmp_path).read_text() == SOURCE


@pytest.mark.parametrize("name", ["", "job", "../job.py", "a b.py", "x.PY", "1.py"])
def test_an_artifact_needs_a_modules_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not a module file"):
        write_artifact(name, "")


def test_a_syntax_error_shows_at_once() -> None:
    with pytest.raises(SyntaxError):
        write_artifact("broken.py", "def build(:")
    assert "broken.py" not in written_artifacts()


def test_a_job_needs_a_file_and_a_function() -> None:
    with pytest.raises(JobSubmissionError, match=r"names no function: write file\.py:function"):
        make_submission("job.py", {})
    with pytest.raises(ArtifactError, match=r"job file no\.py does not exist"):
        make_submission("no.py:build", {})


def test_durations_are_text_or_seconds() -> None:
    assert (seconds("2 s"), seconds(1.5), seconds(None)) == (2.0, 1.5, None)
    with pytest.raises(ConfigurationError, match="checkpoint interval 'often'"):
        seconds("often")


def test_the_tree_of_storage_says_what_is_what(tmp_path: Path) -> None:
    job = tmp_path / "lab" / "jobs" / ("a" * 32)
    (job / "blob").mkdir(parents=True)
    (job / "submittedJobGraph0123456789ab").write_text('{"format": 1}')
    (job / "blob" / "ff").write_bytes(b"\xff\xfe")
    (tmp_path / "lab" / "ha.db-wal").write_text("never opened")
    results = tmp_path / "job-result-store" / "lab"
    results.mkdir(parents=True)
    result = {"result": {"application-status": "SUCCEEDED", "net-runtime": 7}, "version": 1}
    (results / f"{'a' * 32}_DIRTY.json").write_text(json.dumps(result))
    (results / f"{'b' * 32}.json").write_text("{")
    tree = storage_tree(tmp_path).set_index("what")
    assert tree.loc["job graph"].content == '{"format": 1}'
    assert tree.loc["HA store"].content == ""
    assert tree.loc["artifact"].bytes == 2
    assert "job result, dirty" in tree.index
    assert kind_of_file(job / "_SUBMITTING-x") == "marker of a submission"
    config = {"high-availability.storageDir": f"file:{tmp_path}"}
    from hawork.core.options import checked

    frame = job_results(checked({**config, "high-availability.cluster-id": "/lab"}))
    assert list(frame.state) == ["dirty", "clean"]
    assert list(frame.application_status) == ["SUCCEEDED", "unreadable"]


class Storage:
    """A storageDir, and an HA store that says nothing about it."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        self.names = list(names)

    def store_rows(self) -> pandas.DataFrame:
        return store_frame(self.store_entries())

    def store_entries(self) -> list[StoreRow]:
        return decoded([Entry("embedded", "pointer", b"", name) for name in self.names], {})

    def storage_tree(self) -> pandas.DataFrame:
        return storage_tree(self.root)


def test_a_folder_may_go_while_it_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flink removes the folder of a checkpoint as soon as it is subsumed."""
    list_folder = os.scandir

    def subsumed(path: Any) -> Any:
        if Path(path).name == "chk-1":
            Path(path).rmdir()
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", subsumed)
    for number in (1, 2):
        (tmp_path / f"chk-{number}").mkdir()
    (tmp_path / "chk-2" / "_metadata").write_text("2")
    assert list(storage_tree(tmp_path).path) == ["chk-2/_metadata"]
    assert not (tmp_path / "chk-1").exists()
    (tmp_path / "chk-1").mkdir()
    assert StoreRows(Storage(tmp_path), tmp_path).look()["order"] == ["file chk-2/_metadata"]
    assert not (tmp_path / "chk-1").exists()


def test_an_entry_that_falls_behind_the_limit_is_not_gone(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(MOST_ROWS)]
    store = Storage(tmp_path, *names)
    rows = StoreRows(store, tmp_path)
    assert rows.look()["note"] == ""
    store.names = ["!", *names, "~"]
    pushed = rows.look()
    assert (pushed["order"][0], pushed["order"][-1]) == ("pointer !", "pointer 298")
    assert len(pushed["rows"]) == len(pushed["order"]) == MOST_ROWS
    assert pushed["gone"] == {}
    assert pushed["note"] == "These are the first 300 of 302 entries."
    store.names = names[1:]
    shorter = rows.look()
    assert set(shorter["gone"]) == {"pointer !", "pointer 000"}, "nobody saw the last one"
    assert shorter["rows"]["pointer 299"][-1] == 0, "and that one is not news"
    assert shorter["note"] == ""


def test_a_jobmanager_is_blocked_once_it_has_an_event_loop() -> None:
    """Before that the signal would end it: it has just been restarted."""
    told: list[Event] = []
    signals: list[tuple[str, str, int]] = []

    class Reader:
        def events(self) -> list[Event]:
            if len(told) < 2:  # the former process of that name, and then this one
                pid = 1 + len(told)
                told.append(Event(EventKind.PROCESS_STARTED, "jm-1", 0.0, 0.0, facts={"pid": pid}))
            return list(told)

    state = ProcessState("jm-1", 2, "running")
    processes: Any = SimpleNamespace(
        state=lambda name: state,
        names=lambda role: ["jm-1"],
        control=SimpleNamespace(signal=lambda name, what: signals.append((name, what, len(told)))),
    )
    leadership: Any = SimpleNamespace(resolve=lambda target: target)
    nothing: Any = None
    reader: Any = Reader()
    faults = Faults(
        lambda: processes, nothing, nothing, leadership, nothing, EventLog("lab"), reader
    )
    event = faults.block("jm-1")
    assert signals == [("jm-1", "USR2", 2)]
    assert (event.facts["verb"], event.facts["target"]) == ("block", "jm-1")
    with pytest.raises(LabError, match="tm-1 has no event loop"):
        faults.block("tm-1")
