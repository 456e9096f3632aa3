"""The pieces of a timeline: states of a lane, moments on it, and changes of the leader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import SupportsIndex, overload

from hawork.core.errors import NoTakeoverError

STANDBY = "standby"
TAKING_OVER = "taking over"
LEADING = "leading"
PAUSED = "paused"
UP = "up"
DOWN = "down"
SILENT = "no answer"
"""It is asked, and gives no answer; something may listen there."""
NOT_KNOWN = "not known"
"""Of jobs and TaskManagers: who told of them last is gone, and no other has told since."""
PROGRESS = "progress"
STILL = "no progress"
"""Of a job: neither a record nor a checkpoint came for a while."""

LEADER_LANE = "published leader"
STORE_LANE = "HA store"

MENDING = frozenset({"resume", "heal", "grant_right", "allow", "put_back", "free_disk"})
"""Verbs that end a fault; they are told as events of one kind with faults."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A state of a lane from ``start`` to ``end``, in seconds since the timeline's start."""

    lane: str
    state: str
    start: float
    end: float
    session_id: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on a lane: a fault, a checkpoint, a restore, an armed step."""

    lane: str
    kind: str
    time: float
    label: str


@dataclass(frozen=True, slots=True)
class Takeover:
    """One change of the leader; ``lost_at`` is when the one before was hit or gave up.

    ``seconds`` is from there to the new leader's published address.
    """

    process: str
    session_id: str
    lost_at: float
    published_at: float
    cause: str

    @property
    def seconds(self) -> float:
        return self.published_at - self.lost_at


class Takeovers(tuple[Takeover, ...]):
    """The changes of the leader, in their order. One that has not been is told in a sentence.

    >>> Takeovers()[-1:]
    ()
    """

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Takeover: ...

    @overload
    def __getitem__(self, index: slice, /) -> tuple[Takeover, ...]: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Takeover | tuple[Takeover, ...]:
        try:
            return super().__getitem__(index)
        except IndexError:
            raise NoTakeoverError(
                f"the leader has {_times(len(self))}: let it go first, as with "
                "lab.kill('leader'), and wait for another one"
            ) from None


def _times(number: int) -> str:
    return {0: "not changed yet", 1: "changed once"}.get(number, f"changed {number} times")


@dataclass(frozen=True, slots=True)
class Lanes:
    """All of a timeline that can be drawn; times in seconds since ``started``.

    ``lanes`` are in the order in which they are drawn. A part of a timeline keeps the times of
    the whole, and shows them from ``begin`` on.
    """

    lanes: tuple[str, ...]
    segments: tuple[Segment, ...]
    marks: tuple[Mark, ...]
    takeovers: Takeovers
    started: float
    end: float
    begin: float = 0.0
    wall: float | None = None
    """The clock at ``started``, in seconds since 1970."""
    beliefs: tuple[Segment, ...] = ()
    """Who holds the lock, who thinks it leads, and what a client sees: see ``story.beliefs``."""
    beside: tuple[str, ...] = ()
    """The lanes of pictures that this one stands above or below: it leaves room for their names."""

    def of_lane(self, lane: str) -> list[Segment]:
        return [segment for segment in self.segments if segment.lane == lane]
