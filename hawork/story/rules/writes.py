"""Every accepted write was made by the leader of its term."""

from __future__ import annotations

from collections.abc import Iterator

from hawork.core.events import EventKind
from hawork.story.rules.history import Accepted, History
from hawork.story.rules.rule import Rule, Violation, count


def _broken(history: History) -> Iterator[Violation]:
    for write in history.writes:
        event = write.event
        grant = history.grants.get(write.session_id)
        if grant is None:
            yield Violation(
                f"{event.process} wrote {_what(write)} under session {event.session_id}, which "
                "was never granted",
                (event,),
            )
        elif grant.process != event.process:
            yield Violation(
                f"{event.process} wrote {_what(write)} under session {event.session_id}, which "
                f"had been granted to {grant.process}",
                (grant, event),
            )
        elif proof := history.proof_of_another_leader(write):
            yield Violation(
                f"{event.process} wrote {_what(write)} under session {event.session_id} although "
                f"{proof[1].process} had led since: the store should have refused it",
                (*proof, event),
            )


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
