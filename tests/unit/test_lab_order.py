"""Cells out of order: what is asked too early, too late or twice is answered by one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hawork.core.errors import LabError
from hawork.core.events import EventKind
from hawork.core.types import JobID
from hawork.lab import LabCluster, open_bundle, reset
from hawork.lab.job import Job
from hawork.testing import eventually

JOBS = f"{Path(__file__).parent / 'lab_jobs.py'}"
NOT_STARTED = "this lab is not started: call start(), or use it in a with block"
CLOSED = "this lab is closed: make a new one"
ONLY_TIMELINE = "this lab is closed: only timeline_panel() can show it now"

Call = Callable[[LabCluster], Any]
ACTIONS: dict[str, Call] = {
    "leader": lambda lab: lab.leader(),
    "leader_information": lambda lab: lab.leader_information(),
    "wait_for_leader": lambda lab: lab.wait_for_leader().wait(),
    "wait_for_event": lambda lab: lab.wait_for_event("leadership.revoked", "jm-9").wait(),
    "processes": lambda lab: lab.processes,
    "snapshot": lambda lab: lab.snapshot(),
    "client": lambda lab: lab.client.jobs(),
    "submit": lambda lab: lab.submit(f"{JOBS}:count"),
    "kill": lambda lab: lab.kill(),
    "terminate": lambda lab: lab.terminate("jm-1"),
    "pause": lambda lab: lab.pause("jm-1"),
    "resume": lambda lab: lab.resume("jm-1"),
    "restart": lambda lab: lab.restart("jm-1"),
    "add_job_manager": lambda lab: lab.add_job_manager(),
    "add_task_manager": lambda lab: lab.add_task_manager(),
    "arm the leader": lambda lab: lab.arm("result.dirty", process="leader"),
    "proceed": lambda lab: lab.proceed(),
    "partition": lambda lab: lab.partition(),
    "store_outage": lambda lab: lab.store_outage(),
    "heal": lambda lab: lab.heal(),
}
"""What needs a lab that runs. None of it takes longer than the sentence."""
PANELS = ("cluster_panel", "jobs_panel", "store_panel", "stepper_panel", "inspect_panel", "panels")


@dataclass(frozen=True)
class Closed:
    """A lab that was closed while a submission had no answer and a step was not reached."""

    lab: LabCluster
    finished: Job
    pending: Job
    never: Any


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    out = tmp_path_factory.mktemp("order")
    lab = LabCluster(1, 1)
    lab.cluster_panel()  # before there is anything to see
    with lab:
        panels: Any = lab._panel_set
        eventually(lambda: panels.hub.keyframe["state"].get("cluster", {}).get("leader"))
        finished = lab.submit(f"{JOBS}:count", config={"end": 3, "output": out / "one"})
        finished.wait(progress=False)
        never = lab.arm("takeover.granted", "hold", "jm-9")
    pending = Job(lambda: lab.client, JobID.random(), "count", {}, Future())
    yield Closed(lab, finished, pending, never)


@pytest.mark.timeout(120)
def test_before_the_start_everything_says_so_at_once(tmp_path: Path) -> None:
    lab = LabCluster(1, 0, directory=tmp_path / "lab")
    try:
        for name, call in ACTIONS.items():
            with pytest.raises(LabError) as refused:
                call(lab)
            assert str(refused.value) == NOT_STARTED, name
        for name in PANELS:
            assert "nothing to show yet" in repr(getattr(lab, name)())
        assert lab.event_list() == [], "what was refused is not an event"
        assert lab.store_rows().empty and lab.storage_tree().empty
        assert lab.held() == []
        lab.arm("takeover.granted", "pause")  # the first leader will stop there
    finally:
        lab.close()


@pytest.mark.timeout(25)
@pytest.mark.parametrize("ha", ["zookeeper", "kubernetes"])
def test_nobody_waits_for_servers_that_the_lab_has_not(ha: str, tmp_path: Path) -> None:
    lab = LabCluster(1, 0, ha=ha, directory=tmp_path / "lab")
    with pytest.raises(LabError, match="this lab is not started"):
        lab.store_rows()
    lab.close()
    with pytest.raises(LabError, match="its HA store ended with it"):
        lab.store_rows()


@pytest.mark.timeout(120)
def test_after_the_end_everything_says_so_at_once(closed: Closed) -> None:
    lab, told = closed.lab, len(closed.lab.event_list())
    for name, call in {**ACTIONS, "arm": lambda lab: lab.arm("result.dirty")}.items():
        with pytest.raises(LabError) as refused:
            call(lab)
        assert str(refused.value) == CLOSED, name
    for name in PANELS:
        with pytest.raises(LabError) as refused:
            getattr(lab, name)()
        assert str(refused.value) == ONLY_TIMELINE, name
    for call in (lab.store_rows, lab.storage_tree, lab.job_results):
        with pytest.raises(
            LabError, match="the lab's directory is gone, a temporary one goes with close"
        ):
            call()
    with pytest.raises(LabError, match="this lab is closed"):
        lab.start()
    assert len(lab.event_list()) == told, "what was refused is not an event"
    assert not lab.directory.exists(), "and leaves no file"


@pytest.mark.timeout(120)
def test_jobs_of_a_closed_lab_say_so_and_show_what_was_known(closed: Closed) -> None:
    for job in (closed.finished, closed.pending):
        for call in (lambda job=job: job.status, job.cancel, job.wait, job.checkpoints):
            with pytest.raises(LabError, match=CLOSED):
                call()
    assert "FINISHED" in closed.finished._repr_html_()
    assert CLOSED in closed.pending._repr_html_()
    assert len(closed.finished.output())
    with pytest.raises(LabError, match=CLOSED):
        closed.pending.acknowledged().wait()
    with pytest.raises(LabError, match=CLOSED):
        closed.never.reached().wait()


@dataclass(frozen=True)
class Output:
    records: int = 3
    lost: int = 1
    duplicated: int = 0
    different: int = 0


def test_what_is_said_about_a_closed_lab_still_counts(closed: Closed, tmp_path: Path) -> None:
    """The cell that compares the output may well be run after the one that closes the lab."""
    lab = closed.lab
    assert lab.verdict().valid
    lab.predict("records lost", 0, unit="")
    lab.observe("records lost", 1)
    assert lab.compare().observed.tolist() == [1]
    assert not lab.verdict(Output()).valid
    kept = open_bundle(lab.export_bundle(tmp_path / "run.zip"))
    assert not kept.verdict().valid
    assert all("directory is gone" in why for why in kept.missing.values())
    assert kept.timeline().takeovers == lab.timeline().takeovers


def test_a_refused_fault_is_none(tmp_path: Path) -> None:
    with LabCluster(1, 0, directory=tmp_path / "lab") as lab:
        for call in (lab.partition, lab.store_outage, lab.heal, lab.expire_session):
            with pytest.raises(LabError, match="needs a store that is a server"):
                call()
        with pytest.raises(LabError, match="no process 'jm-9'"):
            lab.partition("jm-9")
        assert not [event for event in lab.event_list() if event.kind is EventKind.FAULT]


def test_an_event_of_no_kind_is_told_at_once(closed: Closed) -> None:
    with pytest.raises(
        LabError, match=r"no event 'leader\.lost': choose one of .*leadership\.revoked"
    ):
        closed.lab.wait_for_event("leader.lost")


def test_a_cell_that_makes_a_lab_is_run_twice(tmp_path: Path) -> None:
    """The first lab was not even started, and no variable names it any more."""
    lab = LabCluster(1, 0, directory=tmp_path / "lab")
    temporary = LabCluster(1, 0).directory
    with pytest.raises(LabError, match=r"another lab of this notebook: .* import reset; reset\(\)"):
        lab = LabCluster(1, 0, directory=tmp_path / "lab")
    assert reset() >= 2
    assert not temporary.exists()
    lab = LabCluster(1, 0, directory=tmp_path / "lab")
    lab.close()


def test_a_leader_is_not_waited_for_when_no_job_manager_is_left() -> None:
    """It had ended with *it printed nothing*, which is so of each process that a signal ended."""
    with LabCluster(job_managers=2, task_managers=0) as lab:
        lab.kill("jm-2" if lab.leader() == "jm-1" else "jm-1")
        fault = lab.kill("leader")
        with pytest.raises(LabError) as told:
            lab.wait_for_leader(other_than=fault).wait()
    assert str(told.value) == (
        "no JobManager is running (jm-1: SIGKILL ended it; jm-2: SIGKILL ended it): "
        "start one again, as with lab.restart('jm-1')"
    )
