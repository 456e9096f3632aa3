"""What a timeline says of a cluster that is only asked: nothing of a time without answers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from lab_story import SESSIONS, Story

from hawork.core.events import EventKind
from hawork.core.types import REST_SERVER
from hawork.lab.flink.progress import ProgressWatch
from hawork.story.beliefs import BELIEF_LANE, HOLDER_LANE, Beliefs
from hawork.story.facts import Facts
from hawork.story.segments import LEADER_LANE
from hawork.story.timeline import Timeline, as_text, mimebundle
from hawork.story.verdict import judge
from hawork.testing import ManualClock

JOB = "a" * 32
TASKS = "10.0.0.7:6122-ab12cd"


def leads(story: Story, at: float, name: str) -> None:
    session_id = SESSIONS[name]
    story.add(at, name, EventKind.PROCESS_STARTED, role="jobmanager")
    story.add(at, name, EventKind.LEADERSHIP_GRANTED, session_id=session_id)
    story.add(
        at + 0.1, name, EventKind.LEADERSHIP_CONFIRMED, session_id=session_id,
        component=REST_SERVER, address=f"http://{name}",
    )  # fmt: skip


def tells(story: Story, at: float, name: str) -> None:
    facts = {"session_id": SESSIONS[name], "job_id": JOB}
    story.add(at, name, EventKind.JOB_STATUS, status="RUNNING", **facts)
    story.add(at, name, EventKind.TASKMANAGER_REGISTERED, taskmanager=TASKS, slots=2)
    story.add(at, TASKS, EventKind.PROCESS_STARTED, role="taskmanager", told_by=name)


def silent(story: Story, at: float, name: str, heard: float | None, listens: bool = False) -> None:
    story.add(
        at, name, EventKind.REST_SILENT, session_id=SESSIONS.get(name), address=f"http://{name}",
        reason="nothing listens there", listens=listens, heard=heard,
    )  # fmt: skip


def revoked(story: Story, at: float, name: str, heard: float) -> None:
    story.add(
        at, name, EventKind.LEADERSHIP_REVOKED, session_id=SESSIONS[name], heard=heard,
        reason="its address is no longer published",
    )  # fmt: skip


def outage() -> Story:
    """The leader dies at 5 s, the store forgets it at 9 s, and another leads 0.06 s later."""
    story = Story()
    leads(story, 0, "jm-1")
    tells(story, 1, "jm-1")
    silent(story, 5.2, "jm-1", heard=0.2)
    revoked(story, 9, "jm-1", heard=4.0)
    leads(story, 8.96, "jm-2")
    tells(story, 10, "jm-2")
    return story


def of_lane(story: Story, lane: str) -> list[tuple[str, float, float]]:
    timeline = Timeline.of(story.events)
    return [
        (each.state, round(each.start, 2), round(each.end, 2)) for each in timeline.of_lane(lane)
    ]


def test_a_gap_begins_with_the_last_answer() -> None:
    """Told from the moment at which the store forgets a leader, 4 s would be 0.06 s."""
    timeline = Timeline.of(outage().events)
    (takeover,) = timeline.takeovers
    assert round(takeover.seconds, 2) == 4.06
    assert takeover.cause == "jm-1 was heard last"
    assert "4.060 s after jm-1 was heard last" in as_text(timeline)


def test_a_silent_leader_is_published_and_does_not_lead() -> None:
    story = outage()
    assert of_lane(story, LEADER_LANE)[:2] == [("leading", 0.1, 5.0), ("no answer", 5.0, 9.0)]
    assert of_lane(story, "jm-1")[-3:] == [
        ("leading", 0.1, 5.0), ("down", 5.0, 9.0), ("down", 9.0, 10.0),
    ]  # fmt: skip
    assert "is published as the leader, and gives no answer" in as_text(Timeline.of(story.events))


def test_what_a_silent_leader_told_is_not_known() -> None:
    story = outage()
    job = [("RUNNING", 1.0, 5.0), ("not known", 5.0, 10.0), ("RUNNING", 10.0, 10.0)]
    assert of_lane(story, "job aaaaaaaa") == job
    assert [state for state, *_ in of_lane(story, TASKS)] == ["up", "not known", "up"][:2]
    timeline = Timeline.of(story.events[:8])
    (unknown,) = [each for each in timeline.segments if each.state == "not known" and each.label]
    assert unknown.label == "not known, RUNNING before"
    told = as_text(Timeline.of(outage().events))
    assert told.count("is down") == 1
    assert "job aaaaaaaa  not known, RUNNING before" in told


def test_the_same_leader_that_answers_again_has_taken_nothing_over() -> None:
    story = Story()
    leads(story, 0, "jm-1")
    tells(story, 1, "jm-1")
    silent(story, 5.2, "jm-1", heard=3.0, listens=True)
    story.add(7, "jm-1", EventKind.REST_ANSWERED, session_id=SESSIONS["jm-1"])
    tells(story, 7.1, "jm-1")
    leads(story, 9, "jm-2")
    assert of_lane(story, LEADER_LANE)[:3] == [
        ("leading", 0.1, 2.2), ("no answer", 2.2, 7.0), ("leading", 7.0, 9.1),
    ]  # fmt: skip
    timeline = Timeline.of(story.events)
    assert timeline.takeovers == ()
    assert "leads, as before" in as_text(timeline)
    assert str(mimebundle(timeline)["text/html"]).count("jm-1, then jm-2") == 1


def test_one_process_may_take_over_from_itself() -> None:
    """The only JobManager, started again at the same address."""
    story = Story()
    leads(story, 0, "jm-1")
    silent(story, 5.5, "jm-1", heard=0.5)
    revoked(story, 9, "jm-1", heard=4.0)
    story.add(12, "jm-1", EventKind.PROCESS_STARTED, role="jobmanager")
    story.add(12, "jm-1", EventKind.LEADERSHIP_GRANTED, session_id="f" * 8)
    story.add(12.5, "jm-1", EventKind.LEADERSHIP_CONFIRMED, session_id="f" * 8,
              component=REST_SERVER, address="http://jm-1")  # fmt: skip
    (takeover,) = Timeline.of(story.events).takeovers
    assert round(takeover.seconds, 2) == 7.5


def test_a_leader_that_was_never_heard_is_silent_since_it_was_asked() -> None:
    story = Story()
    leads(story, 0, "jm-1")
    silent(story, 3, "jm-1", heard=None)
    assert of_lane(story, LEADER_LANE) == [("leading", 0.1, 3.0), ("no answer", 3.0, 3.0)]


def test_a_dead_leader_holds_the_lock_and_thinks_nothing() -> None:
    beliefs, facts = Beliefs(), Facts()
    for event in outage().events[:7]:
        beliefs.see(event)
        facts.see(event)
    assert [each.lane for each in beliefs.going_on(6.0)] == [HOLDER_LANE]
    assert [each.lane for each in beliefs.segments] == [BELIEF_LANE]
    assert list(facts.silent) == ["jm-1"]
    assert facts.news[-1][1] == "jm-1 gives no answer: nothing listens there"


def test_a_verdict_over_a_dead_cluster_is_not_a_good_one() -> None:
    whole = judge(outage().events)
    assert whole.headline.startswith("valid: ") and whole.unheard_since is None
    dead = judge(outage().events[:7])
    assert dead.headline.startswith("not judged to the end: 1 rule kept, 4 not judged, and no ")
    assert dead.unheard_since == 5e9 + 5.0
    story = Story()
    silent(story, 3, "10.0.0.1:8081", heard=1.0)
    assert "no JobManager answers since" in judge(story.events).headline, "attached by its URL"


def test_a_leader_that_left_in_order_is_not_heard_either() -> None:
    story = Story()
    leads(story, 0, "jm-1")
    revoked(story, 9, "jm-1", heard=0.25)
    assert judge(story.events).unheard_since == 5e9 + 8.75


def progress(story: Story, at: float, moves: bool, rate: float = 0.0, seconds: float = 0.0) -> None:
    story.add(
        at, "jm-1", EventKind.JOB_PROGRESS, session_id=SESSIONS["jm-1"], job_id=JOB, moves=moves,
        rate=rate, records=100, seconds=seconds,
    )  # fmt: skip


def test_progress_is_a_lane_below_its_job() -> None:
    story = Story()
    leads(story, 0, "jm-1")
    tells(story, 1, "jm-1")
    progress(story, 2, moves=True, rate=1234.0)
    progress(story, 30, moves=False, seconds=15)
    progress(story, 40, moves=True)
    silent(story, 50.5, "jm-1", heard=0.5)
    story.add(60, "jm-1", EventKind.JOB_STATUS, job_id=JOB, status="FINISHED")
    lane = "progress aaaaaaaa"
    assert of_lane(story, lane) == [
        ("progress", 2, 15), ("no progress", 15, 40), ("progress", 40, 50), ("not known", 50, 60),
    ]  # fmt: skip
    timeline = Timeline.of(story.events[:-1])
    assert timeline.lanes[-2:] == ("job aaaaaaaa", lane)
    assert timeline.of_lane(lane)[0].label == "1,234 records/s"
    assert "no progress for 25.000 s" in as_text(timeline)
    whole = Timeline.of(story.events)
    assert whole.lanes[-2:] == ("job aaaaaaaa", lane), "also when the job has ended"
    story.add(70, "jm-1", EventKind.JOB_ACKNOWLEDGED, job_id=JOB, name="late")
    renamed = Timeline.of(story.events)
    assert {segment.lane for segment in renamed.segments} <= set(renamed.lanes)


def test_the_clock_stands_beside_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    story = Story()
    leads(story, 0, "jm-1")
    assert as_text(Timeline.of(story.events)).startswith("   0.100 s  08:53:20  jm-1  leads")
    monkeypatch.undo()
    time.tzset()


class Told:
    """What a progress watch writes."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.written: list[dict[str, Any]] = []
        self.watch = ProgressWatch(self, self.clock)  # type: ignore[arg-type]

    def write(self, kind: EventKind, process: str, **facts: Any) -> None:
        assert (kind, process) == (EventKind.JOB_PROGRESS, "jm-1")
        self.written.append(facts)

    def look(self, records: int, checkpoint: int | None = None) -> None:
        completed = None if checkpoint is None else {"id": checkpoint}
        self.watch.look(JOB, records, {"latest": {"completed": completed}}, "jm-1", None)
        self.clock.advance(1.0)

    def moves(self) -> list[bool]:
        return [facts["moves"] for facts in self.written]


def test_standing_still_is_told_after_a_while_and_with_its_beginning() -> None:
    told = Told()
    for second in range(100):
        told.look(records=1000 * min(second // 10, 4))  # Flink gathers them every 10 s
    assert told.moves()[-2:] == [True, False]
    assert told.written[-1]["seconds"] == 15.0
    told.look(records=5000)
    assert told.moves()[-1] is True


def test_checkpoints_are_progress_too() -> None:
    """A job without input goes on when its checkpoints complete."""
    told = Told()
    for second in range(100):
        told.look(records=7, checkpoint=second // 10)
    assert told.moves() == [True]


def test_a_new_attempt_counts_from_zero() -> None:
    told = Told()
    for records in (0, 900, 1000, 0, 10):
        told.look(records=records)
    assert told.moves() == [True, True]
    told.watch.forget()
    assert told.watch.due(JOB)


def test_a_rate_is_told_again_when_it_has_changed() -> None:
    told = Told()
    for second in range(60):
        told.look(records=100 * second)
    assert [round(facts["rate"]) for facts in told.written] == [0, 100]


def test_a_dead_leader_that_is_published_again_takes_nothing_over() -> None:
    """On Kubernetes: the next holder renews the lock before it has written its own address."""
    story = Story()
    leads(story, 0, "jm-1")
    silent(story, 5.2, "jm-1", heard=0.2)
    revoked(story, 9, "jm-1", heard=4.0)
    story.add(9.1, "jm-1", EventKind.LEADERSHIP_CONFIRMED, session_id=SESSIONS["jm-1"],
              component=REST_SERVER, address="http://jm-1")  # fmt: skip
    revoked(story, 9.2, "jm-1", heard=4.2)
    leads(story, 9.2, "jm-2")
    (takeover,) = Timeline.of(story.events).takeovers
    assert (takeover.process, round(takeover.seconds, 2)) == ("jm-2", 4.3)
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert [text for _, text in facts.news if "became" in text] == [
        "jm-1 became leader", "jm-2 became leader",
    ]  # fmt: skip
