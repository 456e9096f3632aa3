"""The events of a run, arranged for the rules.

An event is written *after* what it tells of, and a process may be paused in between. So an
event never says "now", it says "before now"; and where it also says how long the thing took,
"not before then". The rules use these two bounds and nothing finer, so that a slow machine
never looks like a broken cluster.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hawork.core.events import Event, EventKind

_PUBLISHING = "takeover.confirmed"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Something that the HA store let a leader do, between ``start`` and ``end`` (monotonic).

    ``began`` is the event that tells the start, when ``event`` itself does not.
    """

    event: Event
    start: float
    began: Event | None = None

    @property
    def end(self) -> float:
        return self.event.monotonic

    @property
    def session_id(self) -> str:
        return self.event.session_id or ""

    @property
    def process(self) -> str:
        return self.event.process


class History:
    """The events of a run in their order, and what the rules ask about them."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.monotonic)
        by_kind: defaultdict[EventKind, list[Event]] = defaultdict(list)
        for event in self.events:
            by_kind[event.kind].append(event)
        self._by_kind: Mapping[EventKind, list[Event]] = by_kind
        self.grants: dict[str, Event] = {}
        for event in self.of(EventKind.LEADERSHIP_GRANTED):
            self.grants.setdefault(event.session_id or "", event)
        self.writes = [
            Accepted(event, event.monotonic - float(event.facts.get("seconds", 0.0)))
            for event in self.of(EventKind.POINTER_WRITTEN)
        ]
        self.publications = list(self._publications())
        self._late = self._find_late()

    def of(self, kind: EventKind) -> Sequence[Event]:
        """All events of a kind."""
        return self._by_kind.get(kind, ())

    def steps(self, name: str) -> Iterator[Event]:
        """The moments at which a step was reached."""
        return (event for event in self.of(EventKind.STEP_REACHED) if event.step == name)

    def proof_of_another_leader(self, accepted: Accepted) -> tuple[Event, ...]:
        """Proof that a session was accepted again after another one had been; ``()`` for none.

        A leadership begins once and ends once. The proof: the grant of this session, that of
        another one, and something accepted of that other one that began after the first grant
        was known and ended before ``accepted`` began. Its second event names the other leader.
        """
        return self._late.get(id(accepted), ())

    def objection(self, accepted: Accepted) -> tuple[str, tuple[Event, ...]] | None:
        """Why ``accepted`` was not its process's to do, as the end of a sentence, and the proof."""
        event = accepted.event
        under = f"under session {event.session_id}"
        grant = self.grants.get(accepted.session_id)
        if grant is None:
            return f"{under}, which was never granted", (event,)
        if grant.process != event.process:
            return f"{under}, which had been granted to {grant.process}", (grant, event)
        if proof := self.proof_of_another_leader(accepted):
            return f"{under} although {proof[1].process} had led since", (*proof, event)
        return None

    def _find_late(self) -> dict[int, tuple[Event, ...]]:
        """The proofs. What came late itself proves nothing against the leader that it hit."""
        late: dict[int, tuple[Event, ...]] = {}
        proper: list[Accepted] = []
        looked: dict[str, int] = {}
        for accepted in sorted(self._of_leaders_only(), key=lambda each: each.end):
            proof = self._proof(accepted, proper, looked)
            if proof:
                late[id(accepted)] = proof
            else:
                proper.append(accepted)
        return late

    def _proof(
        self, accepted: Accepted, proper: Sequence[Accepted], looked: dict[str, int]
    ) -> tuple[Event, ...]:
        """``looked``: how far each session has looked in vain, so that nothing is read twice."""
        mine = self.grants[accepted.session_id]
        if accepted.session_id not in looked:
            looked[accepted.session_id] = bisect_right(
                proper, mine.monotonic, key=lambda each: each.end
            )
        for number in range(looked[accepted.session_id], len(proper)):
            between = proper[number]
            if between.end >= accepted.start:
                return ()
            if between.session_id != accepted.session_id and between.start > mine.monotonic:
                theirs = self.grants[between.session_id]
                began = accepted.began
                if began is not None and began.session_id == between.session_id:
                    return mine, theirs, began  # what it came after is what was in between
                told = between.began if theirs.monotonic <= mine.monotonic else None
                return mine, theirs, *_known(told), between.event, *_known(began)
            looked[accepted.session_id] = number + 1
        return ()

    def _of_leaders_only(self) -> Iterator[Accepted]:
        """What was accepted of processes that had been granted the session they used."""
        for each in (*self.writes, *self.publications):
            grant = self.grants.get(each.session_id)
            if grant is not None and grant.process == each.process:
                yield each

    def _publications(self) -> Iterator[Accepted]:
        """Confirmed leaderships.

        The address is written after the step before it went on. Of Flink there are no steps:
        there the events tell what was found in the HA store, in the order of the store, so that
        an address that came back was written after the one that had taken its place.
        """
        reached: dict[str, Event] = {}
        found: dict[tuple[str, str], Event] = {}
        publishing = (EventKind.STEP_REACHED, EventKind.STEP_CONTINUED)
        for event in self.events:
            session_id = event.session_id or ""
            if event.kind in publishing and event.step == _PUBLISHING:
                reached[session_id] = event
            elif event.kind is EventKind.LEADERSHIP_CONFIRMED:
                component = str(event.facts.get("component"))
                replaced = found.get((component, str(event.facts.get("again_after"))))
                found[component, session_id] = event
                if replaced is not None:
                    start = math.nextafter(replaced.monotonic, math.inf)
                    yield Accepted(event, start, replaced)
                    continue
                began = reached.get(session_id)
                known = began or self.grants.get(session_id) or event
                yield Accepted(event, known.monotonic, began)


def _known(event: Event | None) -> tuple[Event, ...]:
    return () if event is None else (event,)
