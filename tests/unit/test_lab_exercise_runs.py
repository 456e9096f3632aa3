"""Checks of exercises in which a run is made, over runs told by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lab_story import JOB, Story, killed_leader, paused_leader

from hawork.core import options
from hawork.core.events import EventKind
from hawork.lab import flights
from hawork.lessons import (
    Check,
    check_awakening,
    check_repair,
    check_restart,
    check_submission,
    check_tolerance,
    check_unseen_death,
)
from hawork.story.timeline import Timeline

JOB_OF_STORY: Any = SimpleNamespace(job_id=JOB, output=lambda: None)
EXACT = flights.Comparison(records=9, groups=1, lost=0, duplicated=0, different=0)


def lab_of(story: Story, **values: Any) -> Any:
    """What a check sees of a lab with these events and options."""
    return SimpleNamespace(
        event_list=lambda: story.events,
        timeline=lambda: Timeline.of(story.events),
        config=options.checked({"high-availability.type": "embedded", **values}),
    )


def right(check: Check) -> list[bool]:
    return [good for _, good in check.points]


def lost_task_manager(*, killed: str = "tm-1", ended: str | None = "SUCCEEDED") -> Story:
    """jm-1 leads and runs a job on tm-1 and tm-2; one is killed, and the job goes on."""
    story = Story().started(0.0, "jm-1", "jm-2", "tm-1", "tm-2").leads(0.5, "jm-1")
    for index, name in enumerate(("tm-1", "tm-2")):
        story.add(
            1.0, "jm-1", EventKind.TASK_STATUS, job_id=JOB, index=index, status="RUNNING",
            taskmanager=name,
        )  # fmt: skip
    story.job(1.1, "jm-1", "RUNNING").fault(2.0, "kill", killed).died(2.01, killed)
    story.job(2.1, "jm-1", "RESTARTING").job(2.5, "jm-1", "RUNNING")
    if ended:
        story.add(
            5.0, "jm-1", EventKind.JOB_RESULT, job_id=JOB, application_status=ended, state="dirty"
        )
    return story


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "compare", lambda output: EXACT)


ANSWERS = {"changes of the leader": 0, "restarts of the job": 1, "flights lost or doubled": 0}


@pytest.mark.usefixtures("exact")
def test_a_dead_task_manager_restarts_the_job_and_nothing_else() -> None:
    check = check_restart(lab_of(lost_task_manager()), JOB_OF_STORY, ANSWERS)
    assert check.passed, str(check)
    wrong = check_restart(
        lab_of(lost_task_manager()), JOB_OF_STORY, {**ANSWERS, "changes of the leader": 1}
    )
    assert right(wrong) == [True, True, True, False, True, True]
    assert "✗ changes of the leader: not 1; compare lab.leader()" in str(wrong)


@pytest.mark.usefixtures("exact")
def test_another_process_is_no_task_manager_of_the_job() -> None:
    check = check_restart(lab_of(lost_task_manager(killed="jm-2")), JOB_OF_STORY, ANSWERS)
    assert right(check)[:3] == [True, False, True]
    assert "✗ a TaskManager that ran it was killed: it runs, or ran, on tm-1 and tm-2" in str(check)
    short = {"restarts": 1}
    assert "'restarts' is not a question here: did you mean 'restarts of the job'?" in str(
        check_restart(lab_of(lost_task_manager()), JOB_OF_STORY, short)
    )


@pytest.mark.parametrize("ended", [None, "CANCELED"])
def test_answers_before_the_end_are_guesses(ended: str | None) -> None:
    check = check_restart(lab_of(lost_task_manager(ended=ended)), JOB_OF_STORY, ANSWERS)
    assert right(check) == [True, True, False, False, False, False]
    assert "✗ restarts of the job: 1 cannot be judged yet; " in str(check)


def test_a_restart_that_nobody_has_tried() -> None:
    check = check_restart(lab_of(Story()), None, dict.fromkeys(ANSWERS, "?"))
    assert not any(right(check))
    assert str(check).count("no answer yet") == 3
    assert not any(right(check_restart(lab_of(Story()), None, {})))


def unanswered(*, step: str = "submit.acknowledged", ended: bool = True) -> Story:
    """jm-1 crashes at a step of a submission; jm-2 runs the job."""
    story = Story().started(0.0, "jm-1", "jm-2", "tm-1").leads(0.5, "jm-1")
    story.job(1.0, "jm-1", "CREATED")
    story.add(1.1, "jm-1", EventKind.STEP_ARMED, job_id=JOB, step=step, action="crash")
    story.died(1.2, "jm-1").leads(1.3, "jm-2").job(1.5, "jm-2", "RUNNING")
    if ended:
        story.add(
            5.0, "jm-2", EventKind.JOB_RESULT, job_id=JOB, application_status="SUCCEEDED",
            state="dirty",
        )  # fmt: skip
    return story


@pytest.mark.usefixtures("exact")
def test_a_job_whose_acceptance_nobody_heard_of_counts_once() -> None:
    check = check_submission(lab_of(unanswered()), JOB_OF_STORY, "once")
    assert check.passed, str(check)
    wrong = check_submission(lab_of(unanswered()), JOB_OF_STORY, "twice")
    assert right(wrong) == [True, True, True, True, False]
    assert "✗ each flight is counted: not 'twice'; " in str(wrong)
    early = check_submission(lab_of(unanswered(step="submit.graph_written")), JOB_OF_STORY, "once")
    assert right(early) == [True, False, False, True, False]
    assert "about to answer: it crashed at submit.graph_written" in str(early)
    running = check_submission(lab_of(unanswered(ended=False)), JOB_OF_STORY, "once")
    assert right(running) == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("output", "counted"),
    [({"lost": 3}, "never"), ({"duplicated": 3}, "twice")],
)
def test_what_was_counted_is_what_the_output_says(
    monkeypatch: pytest.MonkeyPatch, output: dict[str, int], counted: str
) -> None:
    compared = dataclasses.replace(EXACT, **output)
    monkeypatch.setattr(flights, "compare", lambda _: compared)
    check = check_submission(lab_of(unanswered()), JOB_OF_STORY, counted)
    assert check.passed, str(check)


def test_a_submission_that_nobody_has_tried() -> None:
    check = check_submission(lab_of(Story()), None, "?")
    assert not any(right(check))
    assert "✗ each flight is counted: no answer yet" in str(check)


BLIND = {"hawork.supervisor": False, "high-availability.embedded.crash-detection": False}


def test_a_death_that_nobody_sees() -> None:
    check = check_unseen_death(lab_of(killed_leader(), **BLIND))
    assert check.passed, str(check)
    assert "another one leads, after 0.1 s" in str(check)


@pytest.mark.parametrize(
    ("story", "values", "good"),
    [
        (killed_leader(), {}, [True, False, False, True]),
        (killed_leader(), {"hawork.supervisor": False}, [True, True, False, True]),
        (paused_leader(), BLIND, [True, True, True, False]),
        (Story(), BLIND, [False]),
    ],
)
def test_a_death_that_somebody_sees(story: Story, values: Any, good: list[bool]) -> None:
    assert right(check_unseen_death(lab_of(story, **values))) == good


def test_a_store_that_detects_no_crash_needs_no_option() -> None:
    values = {"high-availability.type": "zookeeper", "hawork.supervisor": False}
    assert check_unseen_death(lab_of(killed_leader(), **values)).passed


def test_a_death_that_has_not_come() -> None:
    assert str(check_unseen_death(None)) == "✗ another lab was started\nnot solved yet"


TOLERANT = {
    "high-availability.type": "zookeeper",
    "high-availability.zookeeper.client.tolerate-suspended-connections": True,
}


def cut_off(name: str = "jm-1", *, states: tuple[str, ...] = ("SUSPENDED", "RECONNECTED")) -> Story:
    """jm-1 leads; a JobManager is cut off for a moment, and the lab is closed."""
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.fault(1.0, "partition", name, how="cut").fault(1.2, "heal", "store")
    for number, state in enumerate(states):
        story.add(1.1 + number / 10, name, EventKind.STORE_CONNECTION, state=state)
    return story.add(9.0, "jm-1", EventKind.LEADERSHIP_REVOKED, reason="closed")


def test_a_leader_that_tolerates_a_cut_leads_on() -> None:
    check = check_tolerance(lab_of(cut_off(), **TOLERANT))
    assert check.passed, str(check)


def test_a_leader_that_steps_back_is_noticed() -> None:
    story = cut_off().add(1.15, "jm-1", EventKind.LEADERSHIP_REVOKED, reason="lost")
    config = {"high-availability.type": "zookeeper"}
    assert right(check_tolerance(lab_of(story, **config))) == [True, False, True, True, True, False]


@pytest.mark.parametrize(
    ("story", "good"),
    [
        (Story(), [False]),
        (cut_off("jm-2"), [True, True, False, True, True, True]),
        (cut_off(states=()), [True, True, True, False, False, False]),
        (cut_off(states=("SUSPENDED",)), [True, True, True, True, False, False]),
        (cut_off(states=("SUSPENDED", "LOST")), [True, True, True, True, False, False]),
    ],
)
def test_a_cut_that_is_no_test_of_tolerance(story: Story, good: list[bool]) -> None:
    assert right(check_tolerance(lab_of(story, **TOLERANT))) == good


def test_a_cut_that_has_not_come() -> None:
    assert not check_tolerance(None).passed


def test_a_leader_that_woke_up_and_stepped_back() -> None:
    lab = lab_of(paused_leader())
    assert check_awakening(lab, 0.1).passed
    assert check_awakening(lab, 0.10004).passed
    assert "✗ seconds in which it still believed: not 2.1; " in str(check_awakening(lab, 2.1))
    assert "✗ seconds in which it still believed: no answer yet" in str(check_awakening(lab, None))


@pytest.mark.parametrize(
    ("story", "good"),
    [
        (Story(), [False, False, False, False, False]),
        (killed_leader(), [False, False, False, False, False]),
        (Story().leads(0.5, "jm-1").fault(2, "pause", "jm-1"), [True, False, False, False, False]),
        (
            Story().leads(0.5, "jm-1").fault(2, "pause", "jm-1").fault(3, "resume", "jm-1"),
            [True, False, False, False, False],
        ),
        (
            Story().fault(2, "pause", "jm-1").leads(4, "jm-2").fault(5, "resume", "jm-1"),
            [True, True, True, False, False],
        ),
    ],
)
def test_an_awakening_that_is_not_complete(story: Story, good: list[bool]) -> None:
    assert right(check_awakening(lab_of(story), 0.1)) == good


def dead_cluster() -> Story:
    story = Story().started(0, "jm-1", "jm-2", "tm-1").leads(0.5, "jm-1").fault(1, "kill", "tm-1")
    return story.died(1.1, "tm-1").died(2, "jm-1").leads(2.5, "jm-2").died(3, "jm-2")


def repaired(story: Story, folder: Path) -> list[bool]:
    lab = lab_of(story)
    lab.directory = folder
    return right(check_repair(lab))


def test_a_cluster_with_half_a_result_is_repaired(tmp_path: Path) -> None:
    folder = tmp_path / "storage" / "job-result-store" / "lab"
    assert repaired(Story(), tmp_path) == [True, False, False]
    folder.mkdir(parents=True)
    (folder / "a.json").write_text("{}")
    half = folder / "b_DIRTY.json"
    half.write_text('{"result":{"id":')
    assert repaired(dead_cluster(), tmp_path) == [False, False, False]
    started = dead_cluster().fault(4, "restart", "jm-1")
    assert repaired(started.died(5, "jm-1"), tmp_path) == [False, False, False]
    half.rename(tmp_path / "kept_for_the_operator")
    started.fault(6, "restart", "jm-1")
    assert repaired(started.fault(6.5, "restart", "tm-1"), tmp_path) == [True, True, True, False]
    assert repaired(started.leads(7, "jm-1"), tmp_path) == [True, True, True, True]


def test_a_task_manager_repairs_nothing(tmp_path: Path) -> None:
    story = dead_cluster().fault(4, "restart", "tm-1").died(5, "tm-1")
    assert repaired(story, tmp_path) == [True, False, False]
