"""What a timeline says of a cluster that is only asked: nothing of a time without answers."""

from __future__ import annotations

from lab_story import SESSIONS, Story

from hawork.core.events import EventKind
from hawork.core.types import REST_SERVER
from hawork.story.beliefs import BELIEF_LANE, HOLDER_LANE, Beliefs
from hawork.story.facts import Facts
from hawork.story.segments import LEADER_LANE
from hawork.story.timeline import Timeline, as_text, mimebundle

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
        at, name, EventKind.REST_SILENT, session_id=SESSIONS[name], address=f"http://{name}",
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
    assert unknown.label == "RUNNING before"


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
    assert "answers again" in as_text(timeline)
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
