"""Any run of a store that fences is valid, however late its events are; one bad write is seen."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from hawork.core.events import Event, EventKind
from hawork.story.verdict import judge

TERM = 10.0
moment = st.floats(0, 1, allow_nan=False)
delay = st.sampled_from((0.0, 0.001, 0.5, 3.0, 25.0, 200.0))


@dataclass(frozen=True)
class Written:
    """A write that the store took at ``at``; begun before, told of afterwards."""

    process: str
    start: float
    at: float
    told: float

    @property
    def event(self) -> Event:
        facts = {"namespace": "jobgraphs", "name": "j", "operation": "replace",
                 "seconds": self.told - self.start}  # fmt: skip
        return Event(
            EventKind.POINTER_WRITTEN, self.process, 0, self.told, f"session-{self.process}",
            "j", facts=facts,
        )  # fmt: skip


@st.composite
def fenced_runs(draw: st.DrawFn) -> tuple[list[Event], list[Written]]:
    """Leaders one after the other, each writing in its own term only."""
    grants, writes = [], []
    for number in range(draw(st.integers(1, 5))):
        process, begin = f"jm-{number}", number * TERM
        known = begin + draw(delay)
        grants.append(Event(EventKind.LEADERSHIP_GRANTED, process, 0, known, f"session-{process}"))
        for share in draw(st.lists(moment, max_size=4)):
            start = known + share * (begin + TERM - known)
            if not known <= start < begin + TERM:
                continue  # it heard of its grant when the term was over
            at = start + draw(moment) * (begin + TERM - start) * 0.99
            writes.append(Written(process, start, at, at + draw(delay)))
    return grants, writes


@given(fenced_runs())
def test_a_store_that_fences_makes_valid_runs(run: tuple[list[Event], list[Written]]) -> None:
    grants, writes = run
    verdict = judge([*grants, *(each.event for each in writes)])
    assert verdict.valid, str(verdict)


@given(fenced_runs(), st.data())
def test_a_write_after_the_next_leaders_is_seen(
    run: tuple[list[Event], list[Written]], data: st.DataObject
) -> None:
    grants, writes = run
    assume(len(grants) > 1 and writes)
    later = data.draw(st.sampled_from(writes))
    known = {event.process: event.monotonic for event in grants}
    before = [name for name in known if name < later.process and known[name] < later.start]
    assume(before)
    late = later.told + data.draw(st.floats(0.01, 100))
    bad = Written(data.draw(st.sampled_from(before)), late, late, late + data.draw(delay))
    verdict = judge([*grants, *(each.event for each in writes), bad.event])
    (violation,) = verdict.violations
    assert violation.events[-1] == bad.event
