"""Every accepted write was made by the leader of its term."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import EventKind
from hawork.story.rules.history import Accepted, History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    for write in history.writes:
        if objection := history.objection(write):
            why, proof = objection
            told = f"{write.process} wrote {_what(write)} {why}: the store should have refused it"
            yield Violation(told, proof)


def _what(write: Accepted) -> str:
    facts = write.event.facts
    return f"{facts.get('namespace')}/{facts.get('name')} ({facts.get('operation')})"


def _looked_at(history: History) -> str:
    refused = count(len(history.of(EventKind.POINTER_REFUSED)), "refusal")
    return f"{count(len(history.writes), 'accepted write')}, {refused}"


def _judged(history: History) -> bool:
    """A refusal alone says that the store looked, not that what it accepted was right."""
    return bool(history.writes)


WRITES = Rule(
    name="writes by the leader only",
    meaning="every accepted write was made by the leader of its term, before the next one's",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
