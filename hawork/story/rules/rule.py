"""What a rule is, and what it says when it was broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hawork.core.events import Event
from hawork.story.rules.history import History


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a rule was broken: a sentence, and the events that prove it, in order."""

    sentence: str
    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        in_order = tuple(sorted(self.events, key=lambda event: event.monotonic))
        object.__setattr__(self, "events", in_order)


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold in every run.

    ``judged`` says whether the run holds anything that could have broken the rule: a rule over
    nothing is neither kept nor broken. ``looked_at`` says in words how much there was.
    """

    name: str
    meaning: str
    looked_at: Callable[[History], str]
    judged: Callable[[History], bool]
    broken: Callable[[History], Iterator[Violation]]


def count(number: int, what: str) -> str:
    """``1 job``, ``2 jobs``.

    >>> count(2, "job")
    '2 jobs'
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
