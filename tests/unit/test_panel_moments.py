"""A recorded run at any of its moments: what cluster cards and jobs show then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab_story import JOB, SESSIONS, Story, killed_leader, paused_leader

from hawork.core.events import Event, EventKind
from hawork.panels.replay import recorded


def patches(events: Sequence[Event], ha: str = "", **more: int) -> list[Any]:
    found: list[Any] = recorded(events, ha, **more)["state"]["moments"]["patches"]
    return found


def merged(state: Any, patch: Any) -> Any:
    """RFC 7396, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    found = dict(state) if isinstance(state, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def at(found: list[Any], moment: int) -> Any:
    """What a view shows at a moment, in milliseconds."""
    state: Any = {}
    for time, patch in found:
        if time <= moment:
            state = merged(state, patch)
    return state


def test_who_leads_and_who_is_down_at_a_moment() -> None:
    found = patches(killed_leader().events, "embedded")
    assert at(found, 300)["cluster"]["leader"] == ""
    before, without, after = (at(found, moment)["cluster"] for moment in (3000, 4030, 5000))
    assert (before["leader"], before["session"]) == ("jm-1", SESSIONS["jm-1"])
    assert before["cards"]["jm-1"]["leads"]
    assert before["cards"]["jm-1"]["state"] == "leading"
    assert before["store"]["publishes"] == "http://127.0.0.1:1"
    assert before["order"] == ["jm-1", "jm-2", "jm-3", "tm-1", "tm-2"]
    assert without["leader"] == ""
    assert without["store"]["publishes"] == "no leader"
    assert without["cards"]["jm-1"]["state"] == "down"
    assert ["exit status", "-9"] in without["cards"]["jm-1"]["facts"]
    assert (after["leader"], after["cards"]["jm-1"]["leads"]) == ("jm-2", False)
    assert not any(card["buttons"] for card in after["cards"].values())


def test_who_is_paused_at_a_moment() -> None:
    found = patches(paused_leader().events)
    states = [at(found, time)["cluster"]["cards"]["jm-1"]["state"] for time in (1000, 3000, 5200)]
    assert states == ["leading", "paused", "standby"]
    assert at(found, 4500)["cluster"]["leader"] == "jm-2"
    assert at(found, 4500)["cluster"]["store"]["kind"] == "not recorded"


def test_a_process_that_starts_again_is_up_with_its_new_pid() -> None:
    story = killed_leader()
    story.add(6.0, "jm-1", EventKind.PROCESS_STARTED, pid=77, role="jobmanager")
    card = at(patches(story.events), 6500)["cluster"]["cards"]["jm-1"]
    assert (card["state"], card["pid"]) == ("standby", 77)
    assert "exit status" not in dict(card["facts"])


def test_how_far_the_jobs_were_at_a_moment() -> None:
    story = killed_leader()
    story.job(6.0, "jm-1", "SUSPENDED")
    story.events = [
        Event(each.kind, each.process, each.wall, each.monotonic, SESSIONS[each.process],
              each.job_id, each.step, each.facts)
        if each.kind is EventKind.JOB_STATUS else each
        for each in story.events
    ]  # fmt: skip
    story.add(7.1, "jm-2", EventKind.JOB_RESULT, job_id=JOB, application_status="SUCCEEDED",
              state="clean")  # fmt: skip
    found = patches(story.events)
    assert at(found, 600)["jobs"]["order"] == []
    early, restored, deposed, late = (
        at(found, moment)["jobs"]["jobs"][JOB] for moment in (2600, 4200, 6500, 8000)
    )
    assert (early["name"], early["status"], early["ended"]) == ("delays", "RUNNING", False)
    assert (early["records"], early["checkpoints"], early["latest"]) == (2000, 2, 2)
    assert (restored["status"], restored["restored"], restored["records"]) == ("CREATED", 4, 4000)
    assert restored["checkpoints"] == 0
    assert deposed["status"] == "RUNNING"
    assert (late["status"], late["ended"], late["result"]) == ("FINISHED", True, "SUCCEEDED, clean")


def test_a_long_run_has_no_more_moments_than_a_slider_has_places() -> None:
    story = Story().started(0.0, "jm-1").leads(0.5, "jm-1")
    for number in range(500):
        story.add(
            1.0 + number / 10, "jm-1", EventKind.CHECKPOINT_COMPLETED, job_id=JOB,
            checkpoint_id=number, records=number,
        )  # fmt: skip
    whole = patches(story.events)
    few = patches(story.events, most=50)
    assert len(whole) > 490
    assert len(few) <= 51
    assert at(few, 100_000) == at(whole, 100_000)
    assert at(few, 100_000)["jobs"]["jobs"][JOB]["latest"] == 499
