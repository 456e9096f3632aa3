"""The verdict: over a run as it was recorded, and over the same run broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from lab_story import SESSIONS, Story

from hawork.core.events import Event, EventKind, read_event_file
from hawork.lab import flights
from hawork.story.comparison import Exactness, compare_values, of_job
from hawork.story.rules import RULES, Violation
from hawork.story.rules.history import History
from hawork.story.segments import LEADER_LANE
from hawork.story.verdict import SHOWN, judge

RECORDED = Path(__file__).parent / "recorded" / "paused_then_killed.jsonl"
"""A leader paused before its write, refused when it woke up; its successor killed later."""

History_ = list[Event]


@pytest.fixture(scope="module")
def recorded() -> History_:
    return sorted(read_event_file(RECORDED), key=lambda event: event.monotonic)


def of(events: Sequence[Event], kind: EventKind, **wanted: Any) -> list[Event]:
    found = [
        event
        for event in events
        if event.kind is kind
        and all(
            getattr(event, name, None) == value or event.facts.get(name) == value
            for name, value in wanted.items()
        )
    ]
    assert found, f"the recorded run has no {kind} with {wanted}"
    return found


def with_facts(event: Event, **facts: Any) -> Event:
    return replace(event, facts={**event.facts, **facts})


def instead(events: Sequence[Event], old: Event, *new: Event) -> History_:
    return sorted([each for each in events if each is not old] + list(new), key=_time)


def _time(event: Event) -> float:
    return event.monotonic


def test_the_recorded_run_was_right(recorded: History_) -> None:
    verdict = judge(recorded)
    assert verdict.valid, str(verdict)
    assert repr(verdict) == "Verdict(valid: 4 rules kept, 1 not judged)"
    looked_at = {finding.rule: finding.looked_at for finding in verdict.findings}
    assert looked_at["one leader per term"] == "3 terms, 9 publications"
    assert looked_at["writes by the leader only"] == "39 accepted writes, 1 refusal"
    assert looked_at["no job is lost"] == "1 acknowledged job, 3 takeovers"
    assert looked_at["checkpoints go forward"] == "12 completed checkpoints, 2 restores"
    assert looked_at["the output is exact"] == "not compared"


def test_nothing_happened_yet() -> None:
    assert judge([]).valid
    assert "0 terms" in str(judge([]))


def test_a_rule_over_nothing_is_not_judged(recorded: History_) -> None:
    assert judge([]).headline.startswith("not judged: nothing happened")
    assert {finding.state for finding in judge([]).findings} == {"not judged"}
    assert not any(finding.kept for finding in judge([]).findings)
    verdict = judge(recorded)
    assert verdict.headline == "valid: 4 rules kept, 1 not judged"
    assert str(verdict).splitlines()[0] == verdict.headline
    assert "  not judged  the output is exact: not compared" in str(verdict)
    page = verdict._repr_html_()
    assert f"Verdict: {verdict.headline}" in page
    assert "○ not judged" in page and page.count("✓ kept") == 4
    frame = verdict.rules_frame()
    assert dict(zip(frame.rule, frame.state, strict=True))["the output is exact"] == "not judged"
    broken = judge(granted_twice(recorded))
    assert re.match(r"NOT valid: \d rules? kept, \d broken, 1 not judged", broken.headline)
    assert "\n  BROKEN      one leader per term" in str(broken)


def test_a_job_without_a_takeover_or_an_end_is_not_judged(recorded: History_) -> None:
    (acknowledged,) = of(recorded, EventKind.JOB_ACKNOWLEDGED)
    before = [each for each in recorded if each.monotonic <= acknowledged.monotonic]
    states = {finding.rule: finding.state for finding in judge(before).findings}
    assert states["one leader per term"] == "kept"
    assert states["no job is lost"] == "not judged"
    assert states["checkpoints go forward"] == "not judged"


# --- one history broken on purpose for each thing that a rule says ----------------------


def granted_twice(events: History_) -> History_:
    first, second, *_ = of(events, EventKind.LEADERSHIP_GRANTED)
    return instead(events, second, replace(second, session_id=first.session_id))


def published_by_another(events: History_) -> History_:
    published = of(events, EventKind.LEADERSHIP_CONFIRMED, component="rest_server")[0]
    other = next(event.process for event in events if event.process not in (published.process,
                 "lab", "supervisor") and event.process.startswith("jm"))  # fmt: skip
    return instead(events, published, replace(published, process=other))


def published_without_a_grant(events: History_) -> History_:
    published = of(events, EventKind.LEADERSHIP_CONFIRMED, component="rest_server")[0]
    return [*events, replace(published, session_id="never-granted")]


def published_after_the_next(events: History_) -> History_:
    """The paused leader wakes up before its publication, and nobody refuses it."""
    first = of(events, EventKind.LEADERSHIP_CONFIRMED, component="rest_server")[0]
    step = of(events, EventKind.STEP_REACHED, step="takeover.confirmed")[0]
    last = events[-1].monotonic
    woken = replace(step, kind=EventKind.STEP_CONTINUED, monotonic=last + 1)
    return [*events, woken, replace(first, monotonic=last + 1.1)]


def published_again_after_the_next(events: History_) -> History_:
    """Two leaders of Flink that publish in turns, as they are found in the HA store."""
    first, second, *_ = of(events, EventKind.LEADERSHIP_CONFIRMED, component="rest_server")
    last = events[-1].monotonic
    again = replace(first, monotonic=last + 1)
    return [*events, with_facts(again, again_after=second.session_id)]


def refused_write_accepted(events: History_) -> History_:
    """The write of the leader that was paused past its lease, had the store not looked."""
    refused = of(events, EventKind.POINTER_REFUSED)[0]
    return instead(events, refused, replace(refused, kind=EventKind.POINTER_WRITTEN))


def written_without_a_grant(events: History_) -> History_:
    write = of(events, EventKind.POINTER_WRITTEN)[3]
    return instead(events, write, replace(write, session_id="made-up"))


def written_by_another(events: History_) -> History_:
    write = of(events, EventKind.POINTER_WRITTEN)[0]
    return instead(events, write, replace(write, process="jm-9"))


def job_not_recovered(events: History_) -> History_:
    step = of(events, EventKind.STEP_REACHED, step="takeover.graphs_recovered")[1]
    return instead(events, step, with_facts(step, jobs=0, job_ids=[]))


def job_set_aside(events: History_) -> History_:
    step = of(events, EventKind.STEP_REACHED, step="takeover.graphs_recovered")[1]
    (job_id,) = step.facts["job_ids"]
    aside = replace(
        step, kind=EventKind.STATE_SET_ASIDE, step=None, job_id=job_id,
        facts={"what": f"jobgraphs/{job_id}", "reason": "its sha256 is another"},
        monotonic=step.monotonic - 1e-4,
    )  # fmt: skip
    return instead(events, step, with_facts(step, jobs=0, job_ids=[]), aside)


def job_ended_twice(events: History_) -> History_:
    result = of(events, EventKind.JOB_RESULT, state="clean")[0]
    return instead(events, result, with_facts(result, application_status="CANCELED"))


def job_ran_again(events: History_) -> History_:
    result = of(events, EventKind.JOB_RESULT, state="dirty")[0]
    return [*instead(events, result), replace(result, monotonic=events[0].monotonic + 1)]


def checkpoint_id_used_twice(events: History_) -> History_:
    *_, before, last = checkpoints_of(events)
    return instead(events, last, with_facts(last, name=before.facts["name"]))


def checkpoint_id_going_back(events: History_) -> History_:
    *_, last = checkpoints_of(events)
    return instead(events, last, with_facts(last, name=f"{1:019d}"))


def checkpoints_of(events: History_) -> list[Event]:
    written = of(events, EventKind.POINTER_WRITTEN, operation="add")
    return [event for event in written if event.facts["namespace"].startswith("checkpoints")]


def restored_an_older_checkpoint(events: History_) -> History_:
    restored = of(events, EventKind.JOB_RESTORED)[-1]
    return instead(events, restored, with_facts(restored, checkpoint_id=1))


def restored_nothing(events: History_) -> History_:
    restored = of(events, EventKind.JOB_RESTORED)[-1]
    return instead(events, restored, with_facts(restored, checkpoint_id=None))


def output_not_exact(events: History_) -> History_:
    facts = {"records": 6000, "lost": 0, "duplicated": 17, "different": 0}
    compared = Event(
        EventKind.OUTPUT_COMPARED, "lab", events[-1].wall + 1, events[-1].monotonic + 1, facts=facts
    )
    return [*events, compared]


BROKEN = [
    (granted_twice, "one leader per term", "was granted to"),
    (published_by_another, "one leader per term", "which had been granted to"),
    (published_without_a_grant, "one leader per term", "which was never granted"),
    (published_after_the_next, "one leader per term", "had led since"),
    (published_again_after_the_next, "one leader per term", "had led since"),
    (refused_write_accepted, "writes by the leader only", "the store should have refused it"),
    (written_without_a_grant, "writes by the leader only", "which was never granted"),
    (written_by_another, "writes by the leader only", "which had been granted to"),
    (job_not_recovered, "no job is lost", "was acknowledged, but"),
    (job_set_aside, "no job is lost", "its sha256 is another"),
    (job_ended_twice, "no job is lost", "ended twice: SUCCEEDED"),
    (job_ran_again, "no job is lost", "which had ended SUCCEEDED"),
    (checkpoint_id_used_twice, "checkpoints go forward", "was completed after checkpoint"),
    (checkpoint_id_going_back, "checkpoints go forward", "was completed after checkpoint"),
    (restored_an_older_checkpoint, "checkpoints go forward", "back to checkpoint 1 although"),
    (restored_nothing, "checkpoints go forward", "back to its beginning although"),
    (output_not_exact, "the output is exact", "17 duplicated"),
]


def test_every_rule_is_broken_by_something() -> None:
    assert {rule.name for rule in RULES} == {name for _, name, _ in BROKEN}


@pytest.mark.parametrize(
    ("broken", "rule", "said"), BROKEN, ids=[broken.__name__ for broken, _, _ in BROKEN]
)
def test_a_broken_history_is_noticed(
    recorded: History_, broken: Callable[[History_], History_], rule: str, said: str
) -> None:
    events = broken(recorded)
    verdict = judge(events)
    assert not verdict.valid
    (found,) = [each for each in verdict.findings if each.rule == rule]
    told = [each for each in found.violations if said in each.sentence]
    assert told, found.violations
    for violation in told[:3]:
        check_smallest(rule, violation)
        check_faces(events, violation)


def check_smallest(rule: str, violation: Violation) -> None:
    """The slice alone breaks the rule in the same way; without any of its events it does not."""
    (judged,) = [each for each in RULES if each.name == rule]

    def says(events: Sequence[Event]) -> bool:
        return any(each.sentence == violation.sentence for each in judged.broken(History(events)))

    assert says(violation.events)
    for event in violation.events:
        rest = [each for each in violation.events if each is not event]
        assert not says(rest), f"{event} is not needed"


def check_faces(events: History_, violation: Violation) -> None:
    verdict = judge(events)
    assert violation.sentence in str(verdict)
    assert verdict.violations[0].sentence in repr(verdict)
    page = verdict._repr_html_()
    assert "NOT valid" in page
    assert "data:image/png;base64," in page
    part = verdict.timeline(violation)
    processes = {event.process for event in violation.events}
    assert set(part.lanes) <= {LEADER_LANE, *processes}
    assert part.begin < part.end
    assert len(verdict.frame(violation)) == len(violation.events)


def compared_as(events: History_, job_id: str | None, **facts: int) -> History_:
    now = events[-1].monotonic + 1
    return [*events, Event(EventKind.OUTPUT_COMPARED, "lab", now, now, job_id=job_id, facts=facts)]


def test_what_was_compared_too_early_counts_no_more(recorded: History_) -> None:
    early = compared_as(recorded, "a", lost=5, different=1)
    assert not judge(early).valid
    assert judge(compared_as(early, "a", lost=0)).valid
    assert not judge(compared_as(early, "b", lost=0)).valid, "another job proves nothing"
    assert not judge(compared_as(compared_as(early, "a", lost=0), "a", lost=1)).valid


def test_what_was_there_twice_counts_for_ever(recorded: History_) -> None:
    early = compared_as(recorded, "a", lost=5, duplicated=2)
    (violation,) = judge(compared_as(early, "a", lost=0)).violations
    assert violation.sentence == "the output is not exact: 2 duplicated"


def test_comparisons_of_unknown_jobs_all_count(recorded: History_) -> None:
    assert not judge(compared_as(compared_as(recorded, None, lost=5), None, lost=0)).valid


def test_an_output_knows_its_job() -> None:
    output = of_job(pandas.DataFrame({"number": [1, 1, 2]}), "a")
    assert compare_values(output["number"], [1, 2, 3]) == Exactness(3, 1, 1)
    assert compare_values(output[output.number > 1]["number"], [2]).job_id == "a"
    assert compare_values([2], [2]).job_id is None
    flown = of_job(pandas.DataFrame(columns=[*flights.KEY, "count", "minutes"]), "b")
    assert flights.compare(flown, flown).job_id == "b"


def test_only_the_late_writer_is_blamed(recorded: History_) -> None:
    """Not the leader whose term the late write fell into, which went on writing after it."""
    events = refused_write_accepted(recorded)
    late = of(recorded, EventKind.POINTER_REFUSED)[0]
    assert any(each.monotonic > late.monotonic for each in checkpoints_of(recorded))
    (writes,) = [each for each in judge(events).findings if each.rule.startswith("writes")]
    (violation,) = writes.violations
    assert violation.events[-1].process == late.process


def test_much_that_is_wrong_is_told_in_part(recorded: History_) -> None:
    compared = output_not_exact(recorded)[-1]
    verdict = judge([*recorded, *[compared] * (SHOWN + 3)])
    assert len(verdict.violations) == SHOWN + 3
    assert "and 3 more" in str(verdict)
    assert str(verdict).count("17 duplicated") == SHOWN


# --- what is slow is not wrong ----------------------------------------------------------


def written(story: Story, at: float, name: str, seconds: float = 0.0) -> Story:
    return story.add(
        at, name, EventKind.POINTER_WRITTEN, session_id=SESSIONS[name], job_id="j",
        namespace="jobgraphs", name="j", operation="replace", seconds=seconds,
    )  # fmt: skip


def test_a_write_that_began_in_time_may_be_told_late() -> None:
    """Paused between the write and the event of it: the store had accepted it in time."""
    story = Story().leads(1.0, "jm-1").leads(4.0, "jm-2")
    assert judge(written(story, 9.0, "jm-1", seconds=6.0).events).valid
    assert not judge(written(story, 9.5, "jm-1", seconds=5.0).events).valid


def test_a_grant_may_be_told_late() -> None:
    """jm-1 won first, slept before it could say so, and never wrote anything."""
    story = Story().leads(1.0, "jm-2")
    written(story, 2.0, "jm-2")
    story.add(3.0, "jm-1", EventKind.LEADERSHIP_GRANTED, session_id=SESSIONS["jm-1"])
    assert judge(written(story, 4.0, "jm-2").events).valid


def test_what_a_leader_said_it_skipped_may_be_skipped(recorded: History_) -> None:
    restored = of(recorded, EventKind.JOB_RESTORED)[-1]
    newest = restored.facts["checkpoint_id"]
    told = [f"checkpoint {newest}: its sha256 is another"]
    older = with_facts(restored, checkpoint_id=newest - 1, skipped=told)
    assert judge(instead(recorded, restored, older)).valid
