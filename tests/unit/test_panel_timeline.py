"""The live timeline tells the same story as the finished one, piece by piece."""

from __future__ import annotations

import random
from typing import Any

import pytest
from lab_story import JOB, SESSIONS, START, Story, killed_leader, paused_leader

from hawork.core.errors import LabError
from hawork.core.events import Event, EventKind
from hawork.panels.live_timeline import MERGED, LiveTimeline, merge_oldest
from hawork.panels.replay import recorded, replay
from hawork.story.beliefs import BELIEF_LANE, CLIENT_LANE, HOLDER_LANE, STALE, Beliefs
from hawork.story.facts import Facts
from hawork.story.segments import LEADING, PAUSED
from hawork.story.timeline import Timeline

TRUTH = (HOLDER_LANE, BELIEF_LANE, CLIENT_LANE)


def rows_of(live: LiveTimeline, now: float) -> set[tuple[Any, ...]]:
    """Every segment of processes and jobs as the view shows it, at ``now``."""
    end = live.milliseconds(now)
    found = [*live.lists()["segments"], *live.section(now)["open"].values()]
    return {
        (lane, state, start, end if until < 0 else until)
        for lane, state, start, until, _, _ in found
        if lane not in TRUTH
    }


def finished(events: list[Event]) -> set[tuple[Any, ...]]:
    return {
        (each.lane, each.state, round(each.start * 1000), round(each.end * 1000))
        for each in Timeline.of(events).segments
    }


@pytest.mark.parametrize("story", [killed_leader, paused_leader])
def test_told_event_by_event_it_is_the_same_story(story: Any) -> None:
    events = story().events
    arrived: list[Event] = []
    live = LiveTimeline(lambda known: arrived[known:])
    told = []
    for event in events:
        arrived.append(event)
        added, incomplete = live.advance(event.monotonic + 1.0)
        assert not incomplete
        told += added["segments"]
    now = events[-1].monotonic
    assert rows_of(live, now) == finished(events)
    assert told == live.lists()["segments"]


def test_events_that_are_read_a_little_late_are_waited_for() -> None:
    events = killed_leader().events
    batches = [events[1:2], events[:1], events[2:]]
    arrived: list[Event] = []
    live = LiveTimeline(lambda known: arrived[known:])
    for batch in batches:
        arrived += batch
        _, incomplete = live.advance(START + 0.04 if batch is not batches[2] else START + 99)
        assert not incomplete
    assert rows_of(live, events[-1].monotonic) == finished(events)


def test_an_event_that_comes_far_too_late_makes_everything_new() -> None:
    events = killed_leader().events
    late, rest = events[5], [*events[:5], *events[6:]]  # the first grant
    arrived = list(rest)
    live = LiveTimeline(lambda known: arrived[known:])
    live.advance(START + 99)
    arrived.append(late)
    _, incomplete = live.advance(START + 99)
    assert incomplete
    assert rows_of(live, events[-1].monotonic) == finished(events)


def test_hours_are_merged_and_nothing_is_lost_at_the_ends() -> None:
    story = Story().started(0.0, "jm-1", "jm-2")
    for turn in range(600):
        story.leads(1.0 + turn, f"jm-{1 + turn % 2}", session=f"{turn:08}", takes=0.01)
        story.add(
            1.5 + turn, "jm-1", EventKind.CHECKPOINT_COMPLETED, job_id="0" * 32, checkpoint_id=turn
        )
    story.fault(700.0, "kill", "jm-1")
    live = LiveTimeline(lambda known: story.events[known:], segments=200, marks=100)
    _, incomplete = live.advance(START + 1000)
    lists = live.lists()
    assert incomplete
    assert len(lists["segments"]) <= 800
    assert len(lists["marks"]) <= 100
    assert [mark[1] for mark in lists["marks"]][-1] == "fault"
    assert {row[1] for row in lists["segments"]} >= {MERGED, LEADING}


def test_merging_keeps_every_lane_covered() -> None:
    chance = random.Random(3)
    rows = []
    for number in range(500):
        lane = f"jm-{chance.randrange(3)}"
        rows.append([lane, "standby", number, number + chance.randrange(1, 9), "", ""])
    rows.sort(key=lambda row: row[3])
    merged = merge_oldest(merge_oldest(rows, 100), 50)
    assert len(merged) < 150
    for lane in ("jm-0", "jm-1", "jm-2"):
        of_lane = [row for row in rows if row[0] == lane]
        shown = [row for row in merged if row[0] == lane]
        assert min(row[2] for row in shown) == min(row[2] for row in of_lane)
        assert max(row[3] for row in shown) == max(row[3] for row in of_lane)
        states = sum(int(row[4].split()[0]) if row[1] == MERGED else 1 for row in shown)
        assert states == len(of_lane)


def test_a_job_that_is_created_before_it_is_acknowledged_has_one_lane() -> None:
    story = Story().started(0.0, "jm-1").leads(0.5, "jm-1")
    story.job(1.0, "jm-1", "CREATED").job(1.2, "jm-1", "RUNNING")
    story.add(1.5, "jm-1", EventKind.JOB_ACKNOWLEDGED, job_id=JOB, name="delays")
    story.job(2.0, "jm-1", "FINISHED")
    assert Timeline.of(story.events).lanes[-1] == "job delays"
    assert len(Timeline.of(story.events).of_lane("job delays")) == 3
    arrived: list[Event] = []
    live = LiveTimeline(lambda known: arrived[known:])
    whole = []
    for event in story.events:
        arrived.append(event)
        whole.append(live.advance(event.monotonic + 1.0)[1])
    assert whole.count(True) == 1
    assert rows_of(live, story.events[-1].monotonic) == finished(story.events)


# --- belief and truth ------------------------------------------------------------------


def believed(story: Story, lane: str) -> list[tuple[str, str, float, float]]:
    beliefs = Beliefs()
    for event in story.events:
        beliefs.see(event)
    end = story.events[-1].monotonic - story.events[0].monotonic
    return [
        (each.label, each.state, round(each.start, 2), round(each.end, 2))
        for each in sorted(
            [*beliefs.segments, *beliefs.going_on(end)], key=lambda each: (each.start, each.label)
        )
        if each.lane == lane and each.end > each.start
    ]


def test_a_paused_leader_believes_on_while_another_holds_the_lock() -> None:
    story = paused_leader()
    assert believed(story, HOLDER_LANE) == [
        ("jm-1", LEADING, 0.5, 4.0), ("jm-2", LEADING, 4.0, 5.1),
    ]  # fmt: skip
    assert believed(story, BELIEF_LANE) == [
        ("jm-1", LEADING, 0.5, 2.0), ("jm-1", PAUSED, 2.0, 5.0),
        ("jm-2", LEADING, 4.0, 5.1), ("jm-1", STALE, 5.0, 5.1),
    ]  # fmt: skip


def test_the_lock_of_a_dead_leader_is_held_until_it_is_given_up() -> None:
    story = killed_leader()
    assert believed(story, HOLDER_LANE) == [
        ("jm-1", LEADING, 0.5, 4.02), ("jm-2", LEADING, 4.05, 8.0),
    ]  # fmt: skip
    assert believed(story, BELIEF_LANE)[0] == ("jm-1", LEADING, 0.5, 4.01)


def test_a_client_may_see_who_leads_no_more() -> None:
    story = killed_leader()
    retrieved = EventKind.LEADER_RETRIEVED
    story.add(0.7, "lab", retrieved, component="rest_server", session_id=SESSIONS["jm-1"])
    story.add(4.2, "lab", retrieved, component="rest_server", session_id=SESSIONS["jm-2"])
    story.add(4.3, "tm-1", retrieved, component="rest_server", session_id=SESSIONS["jm-1"])
    assert believed(story, CLIENT_LANE) == [
        ("jm-1", LEADING, 0.7, 4.02), ("jm-1", STALE, 4.02, 4.2), ("jm-2", LEADING, 4.2, 8.0),
    ]  # fmt: skip


# --- a machine that stands still ---------------------------------------------------------


def test_a_process_that_was_paused_is_no_machine_that_stood_still() -> None:
    story = paused_leader()
    story.add(5.05, "jm-1", EventKind.HOST_STALLED, seconds=3.0)
    story.add(9.0, "jm-2", EventKind.HOST_STALLED, seconds=1.5)
    stalls = [mark for mark in Timeline.of(story.events).marks if mark.kind == "stalled"]
    assert [(mark.lane, mark.label) for mark in stalls] == [("jm-2", "host stalled for 1.5 s")]
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert [text for _, text in facts.news if "stood still" in text] == [
        "jm-2, or this whole machine, stood still for 1.5 s"
    ]


def test_a_machine_stood_still_when_two_processes_tell_of_it() -> None:
    """One alone may have been paused, and all others may have had nothing to say meanwhile."""
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.add(9.0, "jm-2", EventKind.HOST_STALLED, seconds=1.5)
    story.add(9.1, "jm-1", EventKind.HOST_STALLED, seconds=1.6)
    story.add(20.0, "jm-1", EventKind.HOST_STALLED, seconds=1.6)
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert [text for _, text in facts.news if "stood still" in text] == [
        "jm-2, or this whole machine, stood still for 1.5 s",
        "this machine stood still for 1.6 s",
        "jm-1, or this whole machine, stood still for 1.6 s",
    ]


def test_a_machine_on_which_others_go_on_did_not_stand_still() -> None:
    """In lesson 10 no event tells of the pause of a leader: its clock jumps, and no other one."""
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.leads(6.0, "jm-2").add(7.5, "jm-1", EventKind.HOST_STALLED, seconds=3.0)
    assert [m for m in Timeline.of(story.events).marks if m.kind == "stalled"] == []
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert facts.news[-1][1] == "jm-1 stood still for 3.0 s"


def test_only_the_leader_that_has_a_task_manager_can_lose_it() -> None:
    story = Story().started(0.0, "jm-1", "jm-2", "tm-1")
    for at, process in ((1.0, "jm-1"), (2.0, "jm-2")):
        story.add(at, process, EventKind.TASKMANAGER_REGISTERED, taskmanager="tm-1", slots=2)
    story.add(3.0, "jm-1", EventKind.TASKMANAGER_LOST, taskmanager="tm-1", reason="silent")
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert facts.registered == {"tm-1": ("jm-2", 2)}


# --- replay ----------------------------------------------------------------------------


def test_a_recorded_run_is_one_keyframe() -> None:
    events = killed_leader().events
    keyframe = recorded(events)
    assert keyframe["now"] == 8000
    assert keyframe["state"]["life"] == {"closed": True}
    lanes = [lane for lane, _ in keyframe["state"]["timeline"]["lanes"]]
    assert lanes[:3] == [HOLDER_LANE, "published leader", BELIEF_LANE]
    assert CLIENT_LANE not in lanes, "no event tells of a client"
    assert lanes[3:] == ["jm-1", "jm-2", "jm-3", "tm-1", "tm-2", "job delays"]
    assert keyframe["state"]["timeline"]["takeovers"] == [["jm-2", 4000, 4100, "kill"]]


def test_there_has_to_be_something_to_replay(tmp_path: Any) -> None:
    with pytest.raises(LabError, match="no events"):
        replay([])
    with pytest.raises(LabError, match=r"no events \(\*\.jsonl\) in"):
        replay(tmp_path)


def test_a_replay_has_a_static_face() -> None:
    bundle = replay(killed_leader().events)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "jm-2" in data["text/plain"]
    assert {"text/html", "image/png", "application/vnd.jupyter.widget-view+json"} <= set(data)
