"""At most one accepted leader per term.

A term is a leader session id. Accepted is who was granted it, and whose address the HA store
took under it. What a paused process *believes* is not part of this: it may believe what it
likes, as long as it does not act on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import EventKind
from hawork.story.rules.history import History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    for event in history.of(EventKind.LEADERSHIP_GRANTED):
        first = history.grants[event.session_id or ""]
        if first is not event:
            yield Violation(
                f"session {event.session_id} was granted to {first.process}, and again to "
                f"{event.process}",
                (first, event),
            )
    for published in history.publications:
        if objection := history.objection(published):
            why, proof = objection
            event = published.event
            what = event.facts.get("component", "leader")
            yield Violation(f"{event.process} was published as {what} {why}", proof)


def _looked_at(history: History) -> str:
    return (
        f"{count(len(history.grants), 'term')}, {count(len(history.publications), 'publication')}"
    )


def _judged(history: History) -> bool:
    return bool(history.grants or history.publications)


LEADERSHIP = Rule(
    name="one leader per term",
    meaning="a leader session id is granted once, and an address is published only under it",
    looked_at=_looked_at,
    judged=_judged,
    broken=_broken,
)
