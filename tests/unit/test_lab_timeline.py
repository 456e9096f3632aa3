"""The timeline's model, from a story told by hand, and its faces."""

from __future__ import annotations

import dataclasses
import inspect
import io
from typing import Any

import pytest
from lab_story import SESSIONS, Story, killed_leader, paused_leader
from matplotlib import image
from matplotlib.axes import Axes

from hawork.core.errors import NoTakeoverError
from hawork.core.events import EventKind
from hawork.story.beliefs import BELIEF_LANE
from hawork.story.facts import Facts
from hawork.story.frames import events_frame
from hawork.story.job_lanes import JobLanes
from hawork.story.picture import DPI, as_figure, as_png
from hawork.story.picture import _lanes as drawn_lanes
from hawork.story.segments import (
    DOWN,
    LEADER_LANE,
    LEADING,
    PAUSED,
    STANDBY,
    STORE_LANE,
    TAKING_OVER,
    UP,
    Mark,
    Segment,
)
from hawork.story.side_by_side import _shown
from hawork.story.timeline import Timeline, as_table, as_text, mimebundle
from hawork.story.timeline_builder import TimelineBuilder


def states(timeline: Timeline, lane: str) -> list[tuple[str, float, float]]:
    return [
        (each.state, round(each.start, 3), round(each.end, 3)) for each in timeline.of_lane(lane)
    ]


def test_nothing_happened_yet() -> None:
    timeline = Timeline.of([])
    assert str(timeline) == "nothing happened yet"
    assert as_png(timeline).startswith(b"\x89PNG")


def test_a_change_of_the_leader_that_has_not_been_is_told_in_a_sentence() -> None:
    """A cell that asks for the last one may be run before the leader was killed."""
    with pytest.raises(NoTakeoverError, match="the leader has not changed yet: let it go first"):
        Timeline.of([]).takeovers[-1]
    takeovers = Timeline.of(killed_leader().events).takeovers
    assert takeovers[-1].cause == "kill"
    assert takeovers[-1:] == (takeovers[0],)
    with pytest.raises(IndexError, match="the leader has changed once"):
        takeovers[1]


def test_pictures_that_stand_above_each_other_begin_at_the_same_place() -> None:
    """A second was as wide in both, and stood elsewhere: one had a job with a long name."""
    short = killed_leader().events
    long = (
        killed_leader()
        .add(
            9.0,
            "jm-2",
            EventKind.JOB_STATUS,
            job_id="j",
            status="RUNNING",
            name="departure-delays-2013",
        )
        .events
    )
    both = [Timeline.of(events) for events in (short, long)]
    names = tuple({lane for each in both for lane in each.lanes})

    def margins(*shown: Timeline) -> set[float]:
        figures = [as_figure(each) for each in shown]
        for figure in figures:
            figure.draw_without_rendering()
        return {round(figure.axes[0].get_position().x0, 3) for figure in figures}

    assert len(margins(*both)) == 2
    assert len(margins(*(_shown(each, 10.0, names) for each in both))) == 1


def test_the_picture_has_belief_beside_truth_and_stands_on_any_page() -> None:
    timeline = Timeline.of(paused_leader().events)
    assert drawn_lanes(timeline) == [
        "holds the lock", "published leader", "thinks it leads", "jm-1", "jm-2",
    ]  # fmt: skip
    believed = {(each.label, each.state) for each in timeline.beliefs if each.lane == BELIEF_LANE}
    assert {("jm-1", "paused"), ("jm-1", "no longer true"), ("jm-2", "leading")} <= believed
    picture = image.imread(io.BytesIO(as_png(timeline)))
    assert picture[0, 0, 3] == 0.0, "the ground is transparent"


def test_a_picture_of_very_many_jobs_has_the_newest_of_them() -> None:
    """One lane for each of 1,500 was more pixels than a PNG may have."""
    names = [f"job {number}" for number in range(1500)]
    segments = tuple(Segment(name, "RUNNING", float(at), at + 1.0) for at, name in enumerate(names))
    timeline = Timeline((LEADER_LANE, "jm-1", *names), segments, (), (), 0.0, 1500.0)
    drawn = drawn_lanes(timeline)
    assert drawn[:2] == [LEADER_LANE, "jm-1"] and drawn[2:] == names[-len(drawn) + 2 :]
    assert 10 < len(drawn) < 100
    assert as_png(timeline).startswith(b"\x89PNG")


def test_a_picture_of_many_terms_is_made_of_few_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, and each with its label, those of ten hours took a minute and more."""
    drawn: list[int] = []
    draw = Axes.broken_barh
    monkeypatch.setattr(
        Axes,
        "broken_barh",
        lambda axes, spans, *rest, **more: (
            drawn.append(len(spans)) or draw(axes, spans, *rest, **more)  # type: ignore[func-returns-value]
        ),
    )
    pairs = [Segment("jm-1", (STANDBY, LEADING)[n % 2], float(n), n + 1.0) for n in range(20_000)]
    marks = tuple(Mark("jm-1", "fault", float(at), "kill") for at in range(20_000))
    assert as_png(Timeline(("jm-1",), tuple(pairs), marks, (), 0.0, 20_000.0))
    assert sum(drawn) < 5000


def test_lanes_come_in_the_order_of_a_reader() -> None:
    assert Timeline.of(killed_leader().events).lanes == (
        LEADER_LANE, "jm-1", "jm-2", "jm-3", "tm-1", "tm-2", "job delays",
    )  # fmt: skip
    names = [f"jm-{number}" for number in (10, 9, 2)]
    assert Timeline.of(Story().started(0, *names).events).lanes[1:] == ("jm-2", "jm-9", "jm-10")


def test_a_killed_leader_is_followed_by_another() -> None:
    timeline = Timeline.of(killed_leader().events)
    assert states(timeline, "jm-1") == [
        (STANDBY, 0, 0.5), (TAKING_OVER, 0.5, 0.6), (LEADING, 0.6, 4.01), (DOWN, 4.01, 8.0),
    ]  # fmt: skip
    assert states(timeline, "jm-2")[:3] == [
        (STANDBY, 0, 4.05), (TAKING_OVER, 4.05, 4.1), (LEADING, 4.1, 8.0),
    ]  # fmt: skip
    (takeover,) = timeline.takeovers
    assert (takeover.process, takeover.cause) == ("jm-2", "kill")
    assert round(takeover.seconds, 6) == 0.1
    assert takeover.session_id == SESSIONS["jm-2"]


def test_what_a_dead_leader_published_stays_until_it_is_released() -> None:
    published = [
        (each.label, round(each.start, 2), round(each.end, 2))
        for each in Timeline.of(killed_leader().events).of_lane(LEADER_LANE)
    ]
    assert published == [("jm-1", 0.6, 4.02), ("jm-2", 4.1, 8.0)]


def test_a_paused_leader_believes_until_it_finds_out() -> None:
    timeline = Timeline.of(paused_leader().events, until=1006.0)
    assert states(timeline, "jm-1")[2:] == [
        (LEADING, 0.6, 2), (PAUSED, 2, 5), (LEADING, 5, 5.1), (STANDBY, 5.1, 6),
    ]  # fmt: skip
    assert [each.label for each in timeline.of_lane(LEADER_LANE)] == ["jm-1", "jm-2"]
    (takeover,) = timeline.takeovers
    assert (takeover.cause, round(takeover.seconds, 3)) == ("pause", 2.1)


def test_a_short_pause_loses_nothing() -> None:
    story = Story().started(0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.fault(2, "pause", "jm-1").fault(2.5, "resume", "jm-1")
    story.fault(9, "terminate", "jm-1")
    story.add(9.1, "jm-1", EventKind.LEADERSHIP_REVOKED, reason="closed").leads(9.2, "jm-2")
    (takeover,) = Timeline.of(story.events).takeovers
    assert (takeover.cause, round(takeover.lost_at, 3)) == ("terminate", 9.0)


def test_to_start_a_dead_process_is_not_a_fault_and_to_replace_a_living_one_is() -> None:
    story = killed_leader().fault(6, "restart", "jm-1").started(6.1, "jm-1")
    story.fault(7, "restart", "jm-1")
    marks = Timeline.of(story.events).marks
    told = [(each.label, each.kind) for each in marks if each.kind in ("fault", "mended")]
    assert told == [
        ("kill", "fault"), ("restart", "mended"), ("restart", "fault"),
    ]  # fmt: skip
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert [words for _, words in facts.news].count("jm-1 is started again") == 2


def test_a_picture_of_a_part_writes_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of a bar that began long before had been where the names of the lanes stand."""
    written: list[tuple[float, str]] = []
    write = Axes.text

    def text(axes: Axes, x: float, y: float, words: str, **more: object) -> object:
        written.append((x, words))
        return write(axes, x, y, words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "text", text)
    bars = (Segment("jm-1", STANDBY, 0.0, 90.0), Segment("jm-1", LEADING, 90.0, 100.0))
    as_png(Timeline(("jm-1",), bars, (), (), 0.0, 100.0, begin=80.0))
    assert written == [(85.0, STANDBY), (95.0, LEADING)]


def test_labels_of_marks_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of two steps had: a label was taken to be as long as the word kill."""
    written: list[tuple[str, object]] = []
    write = Axes.annotate

    def annotate(axes: Axes, words: str, at: object, **more: Any) -> object:
        written.append((words, more["xytext"][1] > 0))
        return write(axes, words, at, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "annotate", annotate)
    bars = (Segment("jm-1", LEADING, 0.0, 100.0),)
    steps = (
        "hold at submit.graph_written",
        "hold at submit.pointer_added",
        "crash at result.dirty",
    )
    marks = [Mark("jm-1", "step", 40.0 + 8 * at, words) for at, words in enumerate(steps)]
    marks += [Mark("jm-1", "fault", 99.0, "kill"), Mark("jm-2", "fault", 49.0, "pause")]
    as_png(Timeline(("jm-1", "jm-2"), bars, tuple(marks), (), 0.0, 100.0))
    assert written == [
        ("submit.graph_written", True), ("submit.pointer_added", False), ("kill", True),
        ("pause", False),  # above it stands a label of jm-1
    ]  # fmt: skip


def test_no_word_on_a_bar_is_covered_or_higher_than_its_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job that ends near the edge has its end's word at the left, upon its bar. Of three
    processes that think they lead, each has a third of the lane."""
    bars = [Segment("job a", "RUNNING", 40.0, 97.0), Segment("job a", "FINISHED", 97.0, 97.0)]
    believed = [
        Segment(BELIEF_LANE, "leading", 10.0 * at, 100.0, label=f"jm-{at}") for at in range(3)
    ]
    drawn: dict[str, tuple[float, float, float]] = {}
    text = Axes.text

    def noted(axes: Axes, x: float, y: float, words: str, **kwargs: Any) -> Any:
        drawn[words] = (x, y, kwargs.get("fontsize", 0.0))
        return text(axes, x, y, words, **kwargs)

    monkeypatch.setattr(Axes, "text", noted)
    as_png(
        Timeline((LEADER_LANE, "job a"), tuple(bars), (), (), 0.0, 100.0, beliefs=tuple(believed))
    )
    assert drawn["RUNNING"][0] < 65  # the word FINISHED covers the bar from 78 on
    heights = sorted(drawn[f"jm-{at}"][1] for at in range(3))
    third = (heights[1] - heights[0]) * 0.92 * 0.36 * 72  # points
    assert all(drawn[f"jm-{at}"][2] < third for at in range(3))


def test_a_picture_can_be_read_at_half_of_a_notebook() -> None:
    size = image.imread(io.BytesIO(as_png(Timeline.of(killed_leader().events)))).shape
    letters = 8 / 72 * DPI  # pixels of the smallest words but those of narrow belief lanes
    assert letters * 490 / size[1] > 7


def cut_off(healed_at: float) -> Timeline:
    """jm-1 is cut off from the store at 2 s, revoked at 3 s; jm-2 leads from 4 s."""
    story = Story().started(0.0, "jm-1", "jm-2").leads(0.5, "jm-1")
    story.fault(2.0, "partition", "jm-1", how="blackhole").fault(healed_at, "heal", "store")
    if healed_at > 3:
        story.add(3, "jm-1", EventKind.LEADERSHIP_REVOKED, session_id=SESSIONS["jm-1"], reason="-")
        story.leads(4.0, "jm-2", takes=0.5)
    return Timeline.of(story.events, until=1006.0)


@pytest.mark.parametrize("healed_at", [3.5, 5.0])
def test_a_leader_that_is_cut_off_is_lost_from_that_moment_on(healed_at: float) -> None:
    timeline = cut_off(healed_at)
    (takeover,) = timeline.takeovers
    assert (takeover.cause, takeover.seconds) == ("partition", 2.5)
    assert ("jm-1", "partition (blackhole)") in [(m.lane, m.label) for m in timeline.marks]


def test_a_partition_that_is_healed_in_time_loses_nothing() -> None:
    timeline = cut_off(2.5)
    assert timeline.takeovers == ()
    assert states(timeline, "jm-1")[-1] == (LEADING, 0.6, 6.0)


def test_an_outage_of_the_store_has_a_lane() -> None:
    story = Story().started(0.0, "jm-1").fault(2.0, "store_outage", "store", how="kill", server="1")
    story.fault(3.0, "store_outage", "store", how="pause", server="all").fault(5.0, "heal", "store")
    timeline = Timeline.of(story.events, until=1006.0)
    assert timeline.lanes == (LEADER_LANE, "jm-1", STORE_LANE)
    assert states(timeline, STORE_LANE) == [(UP, 0, 3.0), (DOWN, 3.0, 5.0), (UP, 5.0, 6.0)]
    assert "store_outage (pause all)" in str(timeline)
    assert as_png(timeline).startswith(b"\x89PNG")


def test_a_job_is_a_lane_with_its_checkpoints_and_its_restore() -> None:
    timeline = Timeline.of(killed_leader().events)
    lane = "job delays"
    assert [state for state, _, _ in states(timeline, lane)] == [
        "CREATED", "RUNNING", "not known", "CREATED", "RUNNING", "FINISHED",
    ]  # fmt: skip
    labels = [mark.label for mark in timeline.marks if mark.lane == lane]
    assert labels.count("restored from checkpoint 4") == 1
    assert sum(label.startswith("checkpoint") for label in labels) == 4


def test_a_job_whose_leader_died_before_it_acknowledged_it_has_its_name() -> None:
    story = Story().started(0.0, "jm-1").leads(0.5, "jm-1")
    story.add(1, "jm-1", EventKind.JOB_STATUS, job_id="a" * 32, status="CREATED", name="delays")
    story.add(2, "jm-1", EventKind.JOB_STATUS, job_id="a" * 32, status="FINISHED", name="delays")
    assert "job delays" in Timeline.of(story.events).lanes
    facts = Facts()
    for event in story.events:
        facts.see(event)
    assert facts.news[-1][1] == "job delays is FINISHED"


def test_a_deposed_leader_suspends_nothing_but_its_own_belief() -> None:
    story = paused_leader()
    for at, name, status in ((1, "jm-1", "RUNNING"), (4.3, "jm-2", "RUNNING"),
                             (5.1, "jm-1", "SUSPENDED")):  # fmt: skip
        story.add(
            at, name, EventKind.JOB_STATUS, job_id="a" * 32, session_id=SESSIONS[name],
            status=status,
        )  # fmt: skip
    story.add(6, "jm-2", EventKind.PROCESS_STOPPED)
    assert states(Timeline.of(story.events), "job aaaaaaaa") == [
        ("RUNNING", 1, 4.3), ("RUNNING", 4.3, 6), ("not known", 6, 6),
    ]  # fmt: skip


def test_two_jobs_of_one_name_have_two_lanes() -> None:
    story = Story().started(0, "jm-1")
    for number in "ab":
        job_id = number * 32
        story.add(1, "jm-1", EventKind.JOB_ACKNOWLEDGED, job_id=job_id, name="delays")
        story.add(2, "jm-1", EventKind.JOB_STATUS, job_id=job_id, status="RUNNING")
    assert Timeline.of(story.events).lanes[2:] == ("job delays", "job delays (bbbb)")


def test_an_armed_step_shows_as_a_mark_and_a_pause() -> None:
    story = Story().started(0, "jm-1").leads(0.5, "jm-1")
    armed = {"step": "submit.graph_written", "action": "pause"}
    story.add(1, "jm-1", EventKind.STEP_ARMED, **armed)
    story.add(3, "jm-1", EventKind.STEP_CONTINUED, **armed)
    timeline = Timeline.of(story.events)
    assert (PAUSED, 1.0, 3.0) in states(timeline, "jm-1")
    assert "pause at submit.graph_written" in str(timeline)


def test_every_handler_is_asked() -> None:
    handlers = {
        handler
        for kind in (TimelineBuilder, JobLanes)
        for name, handler in inspect.getmembers(kind, inspect.isfunction)
        if name.startswith("_on_")
    }
    assert len(handlers) >= 10
    assert handlers == {each.__func__ for each in TimelineBuilder()._handlers.values()}


def test_every_face_tells_the_same_story() -> None:
    timeline = Timeline.of(killed_leader().events)
    text, table = as_text(timeline), as_table(timeline)
    for words in ("kill", "0.100 s after kill", "restored from checkpoint 4", "FINISHED"):
        assert words in text
        assert words in table
    bundle = mimebundle(timeline)
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert "leaders jm-1, then jm-2; 1 faults" in str(bundle["text/html"])
    assert "<script" not in str(bundle["text/html"])


def test_names_are_escaped() -> None:
    story = Story().add(0, "jm-1", EventKind.JOB_ACKNOWLEDGED, job_id="a" * 32, name="<b>x</b>")
    story.add(1, "jm-1", EventKind.JOB_STATUS, job_id="a" * 32, status="RUNNING")
    assert "<b>x" not in str(mimebundle(Timeline.of(story.events))["text/html"])


def test_events_become_a_frame() -> None:
    events = killed_leader().events
    frame = events_frame(events)
    assert len(frame) == len(events)
    kill = frame[frame.kind == "fault"].iloc[0]
    assert (kill.seconds, kill.process, kill.facts) == (4.0, "lab", "verb=kill, target=jm-1")
    assert list(events_frame([]).columns) == list(frame.columns)


@pytest.mark.parametrize("seconds", [4.05, 1.0, 0.01])
def test_a_label_that_sticks_out_leaves_room_for_the_picture(seconds: float) -> None:
    """A warning of matplotlib's is an error here: "axes sizes collapsed to zero"."""
    timeline = Timeline.of(killed_leader().events)
    assert as_png(dataclasses.replace(timeline, end=seconds)).startswith(b"\x89PNG")
