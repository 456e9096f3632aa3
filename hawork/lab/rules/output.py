"""The output is exact, where it was compared with what it should be."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import Event, EventKind
from hawork.lab.rules.history import History
from hawork.lab.rules.rule import Rule, Violation, count

_WRONG = ("lost", "duplicated", "different")


def _broken(history: History) -> Iterator[Violation]:
    for event in history.of(EventKind.OUTPUT_COMPARED):
        wrong = _wrong(event)
        if wrong:
            yield Violation(f"the output is not exact: {', '.join(wrong)}", (event,))


def _wrong(event: Event) -> list[str]:
    return [f"{event.facts[name]:,} {name}" for name in _WRONG if event.facts.get(name)]


def _looked_at(history: History) -> str:
    compared = history.of(EventKind.OUTPUT_COMPARED)
    return count(len(compared), "comparison") if compared else "not compared"


OUTPUT = Rule(
    name="the output is exact",
    meaning="nothing is lost, nothing is there twice, nothing is different",
    looked_at=_looked_at,
    broken=_broken,
)
