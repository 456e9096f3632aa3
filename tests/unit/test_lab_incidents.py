"""Each kind of incident leaves what its answers say, and the job comes out right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from hawork.core.errors import LabError
from hawork.core.events import EventKind
from hawork.lab import LabCluster
from hawork.lessons import check_incident
from hawork.lessons.incidents import Incident, _case, make_incident

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
KINDS = {2: ("jm", "paused", True), 3: ("jm", "killed", True), 5: ("tm", "killed", False)}
"""By seed: the role of the process that is hit, what happens to it, whether a file is damaged."""


@pytest.mark.parametrize("seed", KINDS)
def test_an_incident_can_be_solved(seed: int) -> None:
    with LabCluster(2, 2) as lab:
        incident = make_incident(lab, seed=seed)
        answers = incident.answers()
        role, what, damaged = KINDS[seed]
        assert answers["process"].startswith(role)
        assert (answers["what"], answers["damaged"] is not None) == (what, damaged)
        assert answers["restored"] is not None
        if damaged:
            assert answers["restored"] < answers["damaged"]
        check_traces(incident)
        check_holes(incident)
        assert check_incident(incident, answers).passed
        incident.job.wait(timeout=60, progress=False)
        assert incident.exact()
        assert lab.verdict().valid


def test_an_incident_that_was_interrupted_can_be_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job of the first time had its output directory, and was still at it."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with LabCluster(2, 2) as lab:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("hawork.lessons.incidents._wait_for_checkpoints", interrupted)
            make_incident(lab, seed=5)
        incident = make_incident(lab, seed=5)
        assert lab.jobs[0].finished(30, progress=False).wait().status == "CANCELED"
        incident.job.wait(timeout=60, progress=False)
        assert incident.exact()


def test_an_incident_that_was_interrupted_leaves_no_process_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was found beside the one of the next incident, and answered the questions wrongly."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with LabCluster(2, 2) as lab:
        monkeypatch.setattr("hawork.lessons.incidents._wait_for_restore", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_incident(lab, seed=2)  # which pauses the leader
        assert {each.state for each in lab.processes.values()} == {"running"}


def check_traces(incident: Incident) -> None:
    """It can be found out from the events, and no fault among them gives it away."""
    answers, events = incident.answers(), incident.lab.event_list()
    assert not [event for event in events if event.kind is EventKind.FAULT]
    exited = {e.facts["of"] for e in events if e.kind is EventKind.PROCESS_EXITED}
    assert (answers["process"] in exited) == (answers["what"] == "killed")
    aside = [e.facts["what"] for e in events if e.kind is EventKind.STATE_SET_ASIDE]
    damaged = answers["damaged"]
    assert aside == ([] if damaged is None else [f"checkpoint {damaged}"])
    found = incident.found
    assert len(found) > 0
    differing = found[found["sha256 in the pointer"] != found["sha256 of the file"]]
    assert list(differing.checkpoint) == ([] if damaged is None else [damaged])


def check_holes(incident: Incident) -> None:
    """Lesson 10's table shows a paused leader first, and runs whatever happened."""
    cells = json.loads((NOTEBOOKS / "10_incident.ipynb").read_text())["cells"]
    (source,) = ["".join(cell["source"]) for cell in cells if cell["id"] == "silence"]
    names: dict[str, Any] = {"pandas": pandas, "events": incident.lab.events()}
    exec(source.rpartition("\n")[0], names)
    holes = names["holes"].sort_values("longest hole", ascending=False)
    if incident.answers()["what"] == "paused":
        assert holes.index[0][1] == incident.answers()["process"]


def test_no_answer_gives_another_away() -> None:
    drawn = {_case(seed)[:3] for seed in range(1, 21)}
    assert drawn == {
        ("killed", "leader", True), ("killed", "leader", False), ("paused", "leader", True),
        ("paused", "leader", False), ("killed", "task manager", False),
    }  # fmt: skip


def test_a_small_lab_has_no_incidents() -> None:
    with LabCluster(1, 0) as lab, pytest.raises(LabError, match="needs two JobManagers and two"):
        make_incident(lab, seed=1)
