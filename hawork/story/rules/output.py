"""The output is exact, where it was compared with what it should be."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import Event, EventKind
from hawork.story.rules.history import History
from hawork.story.rules.rule import Rule, Violation, count

_FOR_GOOD = ("duplicated",)
_WRONG = ("lost", *_FOR_GOOD, "different")


def _broken(history: History) -> Iterator[Violation]:
    compared = history.of(EventKind.OUTPUT_COMPARED)
    last = {event.job_id: event for event in compared}
    for event in compared:
        # What is missing may come yet, and the job's next comparison tells; what is there twice
        # stays. Comparisons that name no job may be of different ones, and all count.
        superseded = event.job_id is not None and last[event.job_id] is not event
        wrong = _wrong(event, _FOR_GOOD if superseded else _WRONG)
        if wrong:
            yield Violation(f"the output is not exact: {', '.join(wrong)}", (event,))


def _wrong(event: Event, names: tuple[str, ...]) -> list[str]:
    return [f"{event.facts[name]:,} {name}" for name in names if event.facts.get(name)]


def _looked_at(history: History) -> str:
    compared = history.of(EventKind.OUTPUT_COMPARED)
    return count(len(compared), "comparison") if compared else "not compared"


def _judged(history: History) -> bool:
    return bool(history.of(EventKind.OUTPUT_COMPARED))


OUTPUT = Rule(
    name="the output is exact",
    meaning="nothing is lost, nothing is there twice, nothing is different",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
